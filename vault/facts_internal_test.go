package vault

import "testing"

// The decision key, which every subject's key opens, must not open another
// subject's part: that is what erasure of one subject rests on.
func TestDecisionKeyAloneOpensNoSubjectsPart(t *testing.T) {
	t.Parallel()
	v := &Vault{deployment: "dep"}
	keys := make([]Key, 2)
	for i := range keys {
		secret := [32]byte{byte(i + 1)}
		o, err := newOpenKey(string(rune('a'+i)), [16]byte{byte(i)}, secret[:])
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = Key{o}
	}
	none := func(string, []byte, []byte) [32]byte { return [32]byte{} }
	sealed, err := v.SealFacts("dec_1", []Part{{Name: CommonPart}, {Name: "sub_1", Key: keys[0]}, {Name: "sub_2", Key: keys[1]}}, none)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := parseFacts(sealed.Blob)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keys[1].o.seal.Open(nil, nil, raw[2].wrapped, v.factsAD(nil, "muster facts key", "dec_1", &raw[2].Commitment))
	if err != nil {
		t.Fatal(err)
	}
	dk := [32]byte(b)
	tries := func(part int, o *openKey) error {
		aead, err := subAEAD(partSecret(&dk, o), "muster facts part")
		if err != nil {
			t.Fatal(err)
		}
		_, err = aead.Open(nil, nil, raw[part].body, v.factsAD(nil, "muster facts part", "dec_1", &raw[part].Commitment))
		return err
	}
	if tries(0, nil) != nil || tries(1, keys[0].o) != nil || tries(2, keys[1].o) != nil {
		t.Fatal("a part does not open with its own keys")
	}
	if tries(1, nil) == nil || tries(1, keys[1].o) == nil {
		t.Fatal("the first subject's part opens without the first subject's key")
	}
}
