package tlog

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

func TestKeyIsHandedOver(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	old, oldSigner := s.verifier, s.signer
	pinned := s.heads[0]
	fresh, other := setup(t), setup(t)
	hand, err := SignHandover(s.heads[1], fresh.public, oldSigner, fresh.signer)
	if err != nil {
		t.Fatal(err)
	}
	// While it is handed over heads are of both keys, and either opens them.
	s.Publisher.Keys = func() (Keys, error) {
		return Keys{[]note.Signer{oldSigner, fresh.signer}, []note.Verifier{old, fresh.verifier}}, nil
	}
	both := s.grow(t, 1)
	for _, v := range []note.Verifier{old, fresh.verifier} {
		if _, err := OpenCheckpoint(both.Signed, v); err != nil {
			t.Fatal(err)
		}
	}
	// Then of the new one alone, which goes on from what both signed.
	s.Publisher.Keys = OneKey(fresh.signer, fresh.verifier)
	last := s.grow(t, 1)
	if _, err := OpenCheckpoint(last.Signed, old); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Fatalf("the old key still signs: %v", err)
	}
	s.heads = append(s.heads, last)
	s.bundle.Key = fresh.public
	s.complete(t, len(s.heads)-1, 3)
	opts := s.opts(len(s.heads) - 1)
	opts.Verifier, opts.Pinned = old, pinned.Signed
	if _, err := VerifyBundle(s.marshal(t), opts); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Fatalf("another key was taken without a hand-over: %v", err)
	}
	opts.Handovers = [][]byte{hand}
	r, err := VerifyBundle(s.marshal(t), opts)
	if err != nil || r.Backing != BackingPinned || !strings.Contains(r.String(), "leads by hand-over") {
		t.Fatalf("%v\n%s", err, r)
	}

	// What is no hand-over to that key.
	stranger, err := SignHandover(s.heads[1], other.public, oldSigner, other.signer)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := note.Sign(&note.Note{Text: s.heads[1].Text() + nextKey + fresh.public + "\n"}, oldSigner)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := SignHandover(s.heads[1], fresh.public, other.signer, fresh.signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string][]byte{
		"two signatures under a head":    both.Signed,
		"to another key":                 stranger,
		"that the next key did not sign": unsigned,
		"that the old key did not sign":  forged,
	} {
		opts.Handovers = [][]byte{h}
		if _, err := VerifyBundle(s.marshal(t), opts); err == nil {
			t.Errorf("a hand-over %s was taken", name)
		}
	}

	file := append(append(append([]byte{}, hand...), '\n'), stranger...)
	if all, err := SplitHandovers(file); err != nil || len(all) != 2 || string(all[0]) != string(hand) || string(all[1]) != string(stranger) {
		t.Errorf("a file of two comes apart into %q, %v", all, err)
	}
	if _, err := SplitHandovers([]byte("no note\n")); muster.ErrorCode(err) != muster.CodeMalformed {
		t.Errorf("no file of hand-overs: %v", err)
	}
}
