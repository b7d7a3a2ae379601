// Package screen compares persons and things with watch lists. An Index is made
// once of all entries and never changes; whoever owns one swaps it as a whole.
//
// Rules of this room:
//   - Pure: no clock, no I/O, no logging. The same index, query and options give the
//     same answer years later; Version changes when an answer could.
//   - One name score, and apart from it what else agreed or disagreed.
//   - Rare words weigh more than common ones; what matches nothing costs, on both
//     sides. No legal form and no generic word carries a match.
//   - Work is bounded, whatever the name is.
//   - A query is personal data. Candidates hold none of it; an Explanation does.
//
// How a search goes: the words of the query, and neighbours joined, find words of
// the lists that are spelled or sound alike (vocabulary.go); those find names
// (search.go); the best of the names are aligned word by word (score.go); grounds
// besides the name are added (grounds.go).
package screen

import "github.com/muster-cip/muster"

// Version of the matcher. A screening names it, so that it can be repeated.
const Version = 2

// DefaultThreshold is where a candidate becomes a hit unless a pack says otherwise:
// measured by the bench, see docs/performance.md.
const DefaultThreshold = 0.78

// Options of one search.
type Options struct {
	Floor   float64  // candidates below it are left out
	Limit   int      // how many candidates at most; 0 for ten
	Weights *Weights // nil for the defaults
}

// Weights is what the fields besides the name add to the score, or take off, and
// what a weak name is worth. A pack may set them.
type Weights struct {
	WeakName float64 // factor of a name that its publisher calls weak

	BirthAgrees    float64 // the whole date
	BirthYear      float64 // the year, where one side knows no more
	BirthDisagrees float64 // the years are further apart than one
	NationAgrees   float64
	NationDiffers  float64
	CountryAgrees  float64 // of an address; a different one says nothing, people move
	KindDiffers    float64
	Identifier     float64 // the score of an identifier that is the same, whatever the name
}

// DefaultWeights are those that DefaultThreshold was measured with.
func DefaultWeights() Weights {
	return Weights{
		WeakName:    0.97,
		BirthAgrees: 0.06, BirthYear: 0.03, BirthDisagrees: -0.20,
		NationAgrees: 0.02, NationDiffers: -0.06, CountryAgrees: 0.02, KindDiffers: -0.15,
		Identifier: 1,
	}
}

// Key names one entry.
type Key struct{ List, ID string }

// KeyOf is the key of an entry.
func KeyOf(e *muster.ListEntry) Key { return Key{e.List, e.ID} }
