package tlog

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

func FuzzParseLeaf(f *testing.F) {
	f.Add(Leaf{Type: Decision, Hour: 492_000}.Marshal())
	f.Add(Leaf{Type: Tombstone, Covers: [][2]int64{{1, 2}, {5, 90}}, Ground: "retention/expired", Operators: []string{"opr_a", "opr_b"}}.Marshal())
	f.Add(Leaf{Type: Repair, Ground: "x"}.Marshal())
	f.Add([]byte{1, 10})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLeaf(b)
		if err != nil {
			if muster.ErrorCode(err) != muster.CodeMalformed {
				t.Fatalf("code of %v", err)
			}
			return
		}
		if !bytes.Equal(l.Marshal(), b) {
			t.Fatalf("%x is read, and written as %x", b, l.Marshal())
		}
	})
}

func FuzzTilePath(f *testing.F) {
	for _, s := range []string{"tile/0/000", "tile/entries/x001/234.p/5", "tile/63/x999/x999/x999/999", "tile/data/000", "tile/0/../000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseTilePath(s)
		if err != nil {
			return
		}
		if id.Path() != s || id.N < 0 || id.Width < 1 || id.Width > 256 || id.Level < EntriesLevel || id.Level > 63 {
			t.Fatalf("%q is read as %+v", s, id)
		}
		if !bytes.HasPrefix([]byte(s), []byte("tile/")) || bytes.Contains([]byte(s), []byte("..")) {
			t.Fatalf("%q leaves its directory", s)
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, []byte("ab")), nil), 2)
	f.Add([]byte{0xff, 0xff, 1}, 1)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		entries, err := ParseEntries(b, width)
		if err != nil {
			return
		}
		var out []byte
		for _, e := range entries {
			out = appendEntry(out, e)
		}
		if !bytes.Equal(out, b) || len(entries) != width {
			t.Fatalf("%x is read, and written as %x", b, out)
		}
	})
}

// trusting takes every signature, so that the fuzzer gets past it.
type trusting struct{ note.Verifier }

func (trusting) Verify(_, _ []byte) bool { return true }

func FuzzCheckpoint(f *testing.F) {
	l := setup(f)
	f.Add(l.grow(f, 3).Signed)
	f.Add([]byte("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextension\n\n— x AAAAAAA=\n"))
	f.Add([]byte("a\n9223372036854775807\n\n"))
	v := trusting{l.verifier}
	f.Fuzz(func(t *testing.T, b []byte) {
		UnverifiedSize(b)
		MergeCosignatures(b, b)
		c, err := OpenCheckpoint(b, v)
		if err != nil {
			return
		}
		if c.Size < 0 || c.Size > MaxSize || !bytes.HasPrefix(b, []byte(c.Text())) {
			t.Fatalf("%q is read as %q", b, c.Text())
		}
	})
}

func FuzzAddCheckpoint(f *testing.F) {
	l := setup(f)
	f.Add(formatAddCheckpoint(5, nil, l.grow(f, 3).Signed))
	f.Add([]byte("old 7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		old, proof, signed, err := parseAddCheckpoint(b)
		if err != nil {
			return
		}
		if !bytes.Equal(formatAddCheckpoint(old, proof, signed), b) {
			t.Fatalf("%q is not written as it was read", b)
		}
	})
}

func FuzzBundle(f *testing.F) {
	s := setupBundle(f)
	good := s.marshal(f)
	f.Add(good)
	f.Add([]byte(`{"format":"muster/bundle/v1","facts":[{}],"packs":[{}],"proof":[""],"consistency":[{}]}`))
	f.Add([]byte(`{"proof":[null],"facts":[{"commitment":"AAAA"}]}`))
	opts := s.opts(1)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := VerifyBundle(b, opts)
		if err != nil {
			return
		}
		// Whatever was done to the file, what verifies says what the good one says.
		if !bytes.Equal(r.Bundle.Leaf, s.bundle.Leaf) || !bytes.Equal(r.Bundle.Decision.Data, s.bundle.Decision.Data) {
			t.Fatalf("another decision verifies: %s", b)
		}
		for i, p := range r.Bundle.Facts {
			if p.Shown() && !bytes.Equal(p.Data, s.bundle.Facts[i].Data) {
				t.Fatalf("other facts verify: %s", b)
			}
		}
	})
}
