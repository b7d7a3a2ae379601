package vault_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

func TestErasedSubjectsPartIsClosedWhileOthersOpen(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "subjects")
		parts := []vault.Part{{Name: vault.CommonPart, Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "common")}}
		for i := range n {
			parts = append(parts, vault.Part{Name: fmt.Sprintf("sub_%d", i), Key: take(t, v), Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "own")})
		}
		sealed, err := v.SealFacts("dec_1", parts, commit)
		if err != nil {
			rt.Fatal(err)
		}
		gone := map[string]bool{}
		var ids []string
		for _, p := range parts[1:] {
			if rapid.Bool().Draw(rt, "erase") {
				gone[p.Name] = true
				ids = append(ids, p.Key.ID())
			}
		}
		if err := v.Destroy(t.Context(), ids); err != nil {
			rt.Fatal(err)
		}
		blobs := [][]byte{sealed.Blob}
		if rapid.Bool().Draw(rt, "drop the bytes") {
			keys := map[string]bool{}
			for _, id := range ids {
				keys[id] = true
			}
			smaller, err := vault.EraseFacts(sealed.Blob, keys)
			if err != nil {
				rt.Fatal(err)
			}
			blobs = append(blobs, smaller)
		}
		for _, blob := range blobs {
			kept, err := vault.FactsCommitments(blob)
			if err != nil {
				rt.Fatal(err)
			}
			got, err := session(v).OpenFacts(t.Context(), "dec_1", blob)
			if err != nil {
				rt.Fatal(err)
			}
			for i, p := range parts {
				erased := gone[p.Name] || len(gone) == n
				if got[i].Erased != erased || got[i].Name != p.Name {
					rt.Fatalf("part %d %s: erased %v, want %v", i, got[i].Name, got[i].Erased, erased)
				}
				if got[i].Value != sealed.Commitments[i].Value || kept[i].Value != got[i].Value || kept[i].KeyID != p.Key.ID() {
					rt.Fatalf("part %d lost its commitment", i)
				}
				if erased {
					if got[i].Data != nil || got[i].Salt != nil {
						rt.Fatalf("part %d is erased and came out", i)
					}
				} else if !bytes.Equal(got[i].Data, p.Data) || commit(p.Name, got[i].Salt, got[i].Data) != got[i].Value {
					rt.Fatalf("part %d came out otherwise", i)
				}
			}
		}
		// In the place of another decision it does not open.
		if len(gone) < n {
			if _, err := session(v).OpenFacts(t.Context(), "dec_2", sealed.Blob); err == nil {
				rt.Fatal("opened as another decision's")
			}
		}
	})
}

func TestFactsOfAnotherShapeAreRefused(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	k := take(t, v)
	for name, parts := range map[string][]vault.Part{
		"nothing":        nil,
		"common only":    {{Name: vault.CommonPart}},
		"no common":      {{Name: "sub_1", Key: k}, {Name: "sub_2", Key: k}},
		"common twice":   {{Name: vault.CommonPart}, {Name: vault.CommonPart, Key: k}},
		"no key":         {{Name: vault.CommonPart}, {Name: "sub_1"}},
		"nameless":       {{Name: vault.CommonPart}, {Key: k}},
		"key for common": {{Name: vault.CommonPart, Key: k}, {Name: "sub_1", Key: k}},
		"subject twice":  {{Name: vault.CommonPart}, {Name: "sub_1", Key: k}, {Name: "sub_1", Key: k}},
	} {
		if _, err := v.SealFacts("dec_1", parts, commit); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func TestEveryByteOfFactsCounts(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	parts := []vault.Part{{Name: vault.CommonPart, Data: []byte("c")}, {Name: "sub_1", Key: take(t, v), Data: []byte("s")}, {Name: "sub_2", Key: take(t, v), Data: []byte("t")}}
	sealed, err := v.SealFacts("dec_1", parts, commit)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed.Blob {
		b := bytes.Clone(sealed.Blob)
		b[i] ^= 1
		got, err := session(v).OpenFacts(t.Context(), "dec_1", b)
		if err != nil {
			continue
		}
		// A key id that is altered names no key: that part is closed, and nothing
		// of it comes out.
		closed := 0
		for j, p := range got {
			if p.Erased {
				closed++
			} else if !bytes.Equal(p.Data, parts[j].Data) {
				t.Fatalf("byte %d altered: part %d is %q", i, j, p.Data)
			}
		}
		if closed != 1 {
			t.Fatalf("byte %d altered: nothing noticed", i)
		}
	}
}

func FuzzFacts(f *testing.F) {
	v, _, _ := setup(f)
	sealed, err := v.SealFacts("dec_1", []vault.Part{{Name: vault.CommonPart, Data: []byte("c")}, {Name: "sub_1", Key: take(f, v), Data: []byte("s")}}, commit)
	if err != nil {
		f.Fatal(err)
	}
	erased, err := vault.EraseFacts(sealed.Blob, map[string]bool{sealed.Commitments[1].KeyID: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed.Blob)
	f.Add(erased)
	f.Add([]byte{1, 2})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := vault.FactsCommitments(b); err != nil {
			if c := muster.ErrorCode(err); c != muster.CodeMalformed {
				t.Fatalf("code %s", c)
			}
			return
		}
		// What parses has one encoding.
		again, err := vault.EraseFacts(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := vault.EraseFacts(again, nil)
		if err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("not stable: %v", err)
		}
		_, _ = session(v).OpenFacts(t.Context(), "dec_1", b)
	})
}

func FuzzSealed(f *testing.F) {
	v, _, _ := setup(f)
	k := take(f, v)
	place := vault.Place{Subject: "sub_1", Record: "app_1", Field: "claims", Revision: 1}
	sealed, err := v.Seal(k, place, []byte("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := seen(v, vault.Item{Place: place, KeyID: k.ID(), Sealed: b})
		if (err == nil) != bytes.Equal(b, sealed) {
			t.Fatalf("%x opened as %q, %v", b, got, err)
		}
		if _, err := v.OpenCompliance(place, b); err == nil {
			t.Fatal("opened under the compliance key")
		}
	})
}
