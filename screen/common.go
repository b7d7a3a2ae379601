package screen

// common is a word's share of names in the world, where a list does not show it.
func common(word string) float64 { return commonWords[word] }

var commonWords = map[string]float64{}
