// Package compact makes small JSON texts smaller: DEFLATE (RFC 1951) with a
// preset dictionaries of the words that Muster's own records repeat.
//
// Rules of this room:
//   - What is packed comes back byte for byte: commitments are to the text, never
//     to its packed form.
//   - A dictionary is part of a format and is never changed; a new one gets a new number.
//   - Unpacking is bounded: a packed text cannot grow past MaxText.
package compact

import (
	"embed"

	"github.com/klauspost/compress/s2"

	"github.com/muster-cip/muster"
)

// MaxText bounds a text, in bytes.
const MaxText = 4 << 20

// Kind of text: each has a dictionary of its own, for indexing it is most of the
// work. The number is a packed text's first byte and is never reused.
type Kind byte

// The kinds.
const (
	plain    Kind = 0 // not packed: it would not have helped
	Decision Kind = 1
	Facts    Kind = 2 // what is common to a decision's facts
	Subject  Kind = 3 // one subject's facts
)

//go:embed dictionaries
var files embed.FS

var dictionaries = map[Kind]*s2.Dict{
	Decision: newDictionary("decision1.txt"), Facts: newDictionary("facts1.txt"), Subject: newDictionary("subject1.txt"),
}

func newDictionary(name string) *s2.Dict {
	words, err := files.ReadFile("dictionaries/" + name)
	if err != nil {
		panic("compact: " + err.Error()) // it is embedded above
	}
	return s2.MakeDict(words, nil)
}

// Pack packs a text of a kind.
func Pack(kind Kind, text []byte) []byte {
	if len(text) > 0 && len(text) <= MaxText {
		packed := dictionaries[kind].Encode(make([]byte, 0, s2.MaxEncodedLen(len(text))), text)
		if len(packed) < len(text) {
			return append([]byte{byte(kind)}, packed...)
		}
	}
	return append([]byte{byte(plain)}, text...)
}

// Unpack is the text. CodeMalformed for what Pack did not make.
func Unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text is empty")
	}
	if Kind(packed[0]) == plain {
		return packed[1:], nil
	}
	d := dictionaries[Kind(packed[0])]
	if d == nil {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text has an unknown form")
	}
	if n, err := s2.DecodedLen(packed[1:]); err != nil || n > MaxText {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text is too long: %w", err)
	}
	text, err := d.Decode(nil, packed[1:])
	if err != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text cannot be read: %w", err)
	}
	return text, nil
}
