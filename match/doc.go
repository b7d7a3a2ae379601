// Package match is text: it makes names comparable and says how close two
// spellings are. It knows scripts, romanisations, honorifics and legal forms; it
// does not know lists, persons or weights.
//
// Rules of this room:
//   - Pure, and a function of its input alone: no clock, no I/O, no state but tables
//     that are made once and then only read.
//   - Words turns any text into words of [a-z0-9]. Two spellings that differ in case,
//     diacritics, punctuation or Unicode form give the same words.
//   - Work is bounded: no more than MaxWords words, none longer than MaxWord bytes,
//     whatever comes in. The rest of a longer text is not looked at.
//   - Tables come from published romanisation systems; each says which.
//   - Everything here sees personal data and nothing keeps any.
package match

// The bounds of one name.
const (
	MaxWords = 40
	MaxWord  = 40 // bytes of one word, folded
	maxInput = 4096
)

// Class says what a word is in a name.
type Class uint8

const (
	Plain    Class = iota
	Initial        // one letter
	Particle       // al, bin, de, van, of: seldom decides anything
	Title          // Dr, Sheikh, Hajji, M/V
	Legal          // Ltd, GmbH, OOO
	Generic        // trading, group, international: many firms have it
	Number         // digits, or digits and letters
)

// Word is one word of a name.
type Word struct {
	Text   string   // [a-z0-9], not empty
	Raw    string   // as it stood, where Text is what it stands for; else ""
	Also   []string // other Latin spellings of a word in another script; what an abbreviation may stand for
	Sound  []Letter // of a script that does not write how it sounds: what its letters may be in Latin, else nil
	Short  bool     // an abbreviation: Also is what it may stand for
	Native bool     // of another script: Also are readings of it, as good as Text
	Class  Class
	// Person is its class in a person's name where Organisational is set.
	Person Class
	// Organisational is set where Class holds for firms and ships only: "An" is a
	// person's name, "AN" may be a legal form.
	Organisational bool
}
