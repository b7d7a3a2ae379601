package measure

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// fold is a place's name in the one spelling that is compared: case and marks
// gone, what is no letter or digit a space.
func fold(s string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(cases.Fold().String(s)) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(r)
		case r == '\'' || r == '’' || r == 'ʹ' || r == 'ʼ': // of transliterated soft signs: Sevastopol'
		default:
			space = true
		}
	}
	return b.String()
}

// names reports whether text, folded, has name, folded, as whole words: "Respublika
// Krym" has "krym", "Krymsk" does not.
func names(text, name string) bool {
	for text != "" && name != "" {
		i := strings.Index(text, name)
		if i < 0 {
			return false
		}
		before, after := i == 0 || text[i-1] == ' ', i+len(name) == len(text) || text[i+len(name)] == ' '
		if before && after {
			return true
		}
		text = text[i+1:]
	}
	return false
}
