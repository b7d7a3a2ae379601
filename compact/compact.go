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
	"bytes"
	"compress/flate"
	"embed"
	"io"
	"sync"

	kflate "github.com/klauspost/compress/flate"

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

// dictionary is a kind's words, and the decoders that know them.
type dictionary struct {
	words   []byte
	readers sync.Pool
}

var dictionaries = map[Kind]*dictionary{
	Decision: newDictionary("decision1.txt"), Facts: newDictionary("facts1.txt"), Subject: newDictionary("subject1.txt"),
}

func newDictionary(name string) *dictionary {
	words, err := files.ReadFile("dictionaries/" + name)
	if err != nil {
		panic("compact: " + err.Error()) // it is embedded above
	}
	d := &dictionary{words: words}
	d.readers.New = func() any { return flate.NewReaderDict(nil, words) }
	return d
}

// Pack packs a text of a kind. The encoder has no state to clear: for texts this
// small, clearing it would be most of the work.
func Pack(kind Kind, text []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(text)/2 + 64)
	out.WriteByte(byte(kind))
	// A bytes.Buffer takes everything, and what is too long does not come out shorter.
	if err := kflate.StatelessDeflate(&out, text, true, dictionaries[kind].words); err == nil && out.Len() <= len(text) {
		return out.Bytes()
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
	r := d.readers.Get().(io.ReadCloser)
	defer d.readers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(packed[1:]), d.words); err != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text cannot be read: %w", err)
	}
	var out bytes.Buffer
	out.Grow(4 * len(packed))
	if n, err := out.ReadFrom(io.LimitReader(r, MaxText+1)); err != nil || n > MaxText {
		return nil, muster.Errorf(muster.CodeMalformed, "a packed text cannot be read: %w", err)
	}
	return out.Bytes(), nil
}
