package tlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

// told is a log with one decision in it, and the decision's bundle.
type told struct {
	*log
	heads  []Checkpoint
	bundle Bundle
}

// setupBundle publishes sizes 3, 10 (which holds the decision as leaf 5) and 300.
func setupBundle(t tb) *told {
	t.Helper()
	s := &told{log: setup(t)}
	s.heads = append(s.heads, s.grow(t, 3))
	s.append(2)

	yaml := []byte("id: us-iaas-cip\nedition: \"1\"\n")
	sum := sha256.Sum256(yaml)
	ref := muster.PackRef{ID: "us-iaas-cip", Edition: "1", Digest: hex.EncodeToString(sum[:])}
	at := testClock()
	decision, err := json.Marshal(muster.Decision{
		ID: "dec_1", At: at, Outcome: muster.OutcomeVerify, Packs: []muster.PackRef{ref},
		Reasons: []muster.Reason{{Pack: "us-iaas-cip", Rule: "r1", Citation: "c", Customer: "<words> & more"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	part := func(name, data string) Part { return Part{Name: name, Salt: NewSalt(), Data: Bytes(data)} }
	hidden := Hash(CommitPart("sub_2", NewSalt(), []byte("owner")))
	s.bundle = Bundle{
		Key: s.public, Audience: AudienceExaminer, Index: 5,
		Facts: []Part{
			part("common", `{"mode":"production"}`), part("sub_1", `{"kind":"individual"}`),
			{Name: "sub_2", Commitment: &hidden, Why: "erased: retention"},
		},
		Decision: Opened{Salt: NewSalt(), Data: decision},
		Packs:    []BundlePack{{PackRef: ref, Data: yaml}},
	}
	leaf := Leaf{Type: Decision, Hour: HourOf(at), C2: CommitDecision(s.bundle.Decision.Salt, decision)}
	leaf.C1 = CommitFacts([][32]byte{
		CommitPart("common", s.bundle.Facts[0].Salt, s.bundle.Facts[0].Data),
		CommitPart("sub_1", s.bundle.Facts[1].Salt, s.bundle.Facts[1].Data), hidden,
	})
	s.bundle.Leaf = leaf.Marshal()
	s.leaves = append(s.leaves, s.bundle.Leaf)
	s.heads = append(s.heads, s.grow(t, 4))
	s.heads = append(s.heads, s.grow(t, 290))
	s.complete(t, 1, 3)
	return s
}

// complete proves the bundle in heads[i], with consistency to sizes.
func (s *told) complete(t tb, i int, sizes ...int64) {
	t.Helper()
	if err := s.prover.Complete(context.Background(), &s.bundle, s.heads[i], sizes...); err != nil {
		t.Fatal(err)
	}
}

func (s *told) marshal(t tb) []byte {
	t.Helper()
	data, err := s.bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *told) opts(i int) VerifyOptions {
	return VerifyOptions{Checkpoint: s.heads[i].Signed, Verifier: s.verifier}
}

func TestBundleVerifies(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	r, err := VerifyBundle(s.marshal(t), s.opts(1))
	if err != nil {
		t.Fatal(err)
	}
	if r.Backing != BackingSelfSigned || !strings.Contains(r.String(), "self-signed") {
		t.Fatalf("backing %s", r.Backing)
	}
	if r.Size != 10 || r.Leaf != "decision" || !r.Hour.Equal(testClock().Truncate(time.Hour)) {
		t.Fatalf("%+v", r)
	}
	if d := cmp.Diff([]string{"common", "sub_1"}, r.Shown); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"sub_2: erased: retention"}, r.Hidden); d != "" {
		t.Error(d)
	}
	back, err := ParseBundle(s.marshal(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&s.bundle, back); d != "" {
		t.Error(d)
	}
}

func TestBundleAgainstCheckpointsOfOtherSizes(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	_, err := VerifyBundle(s.marshal(t), s.opts(2))
	wantCode(t, err, muster.CodeInvalid)
	s.complete(t, 1, 300)
	r, err := VerifyBundle(s.marshal(t), s.opts(2))
	if err != nil || r.Size != 300 {
		t.Fatal(r.Size, err)
	}
	// A verifier's checkpoint from before the leaf covers it only by way of the bundle's own.
	s.complete(t, 1, 3)
	r, err = VerifyBundle(s.marshal(t), s.opts(0))
	if err != nil || r.Size != 10 || !strings.Contains(r.String(), "NOT verified: your checkpoint (size 3) is older") {
		t.Fatal(r, err)
	}
	_, err = VerifyBundle(s.marshal(t), VerifyOptions{Verifier: s.verifier})
	wantCode(t, err, muster.CodeInvalid)
}

func TestPinnedCheckpointDemandsConsistency(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	opts := s.opts(1)
	opts.Pinned = s.heads[0].Signed
	r, err := VerifyBundle(s.marshal(t), opts)
	if err != nil || r.Backing != BackingPinned {
		t.Fatal(r.Backing, err)
	}
	s.complete(t, 1)
	_, err = VerifyBundle(s.marshal(t), opts)
	wantCode(t, err, muster.CodeInvalid)
	s.complete(t, 2, 3)
	opts.Checkpoint = s.heads[2].Signed
	if r, err = VerifyBundle(s.marshal(t), opts); err != nil || r.Backing != BackingPinned {
		t.Fatal(r.Backing, err)
	}
	opts.Pinned = s.heads[2].Signed // the same tree
	if _, err = VerifyBundle(s.marshal(t), opts); err != nil {
		t.Fatal(err)
	}
	fork, err := SignCheckpoint(Checkpoint{Size: 3, Root: emptyRoot()}, s.signer)
	if err != nil {
		t.Fatal(err)
	}
	opts.Pinned = fork.Signed
	_, err = VerifyBundle(s.marshal(t), opts)
	wantCode(t, err, muster.CodeInvalid)
	opts.Checkpoint, opts.Pinned = s.heads[1].Signed, s.heads[2].Signed
	s.complete(t, 1, 300)
	_, err = VerifyBundle(s.marshal(t), opts) // pinned is newer
	wantCode(t, err, muster.CodeInvalid)
}

func TestWitnessPolicyIsDemanded(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	a, publicA := newCosigner(t, "a.example")
	b, publicB := newCosigner(t, "b.example")
	opts := s.opts(1)
	var err error
	if opts.Policy, err = NewPolicy(2, publicA, publicB); err != nil {
		t.Fatal(err)
	}
	for i, c := range []*Cosigner{a, b} {
		_, err = VerifyBundle(s.marshal(t), opts)
		wantCode(t, err, muster.CodeInvalid)
		if opts.Checkpoint, err = Cosign(opts.Checkpoint, c); err != nil {
			t.Fatal(i, err)
		}
	}
	r, err := VerifyBundle(s.marshal(t), opts)
	if err != nil || r.Backing != BackingWitnessed || len(r.Witnesses) != 2 {
		t.Fatal(r, err)
	}
	opts.Pinned = s.heads[0].Signed
	if r, err = VerifyBundle(s.marshal(t), opts); err != nil || r.Backing != BackingBoth {
		t.Fatal(r.Backing, err)
	}
}

func TestKeyFromTheBundleIsSaid(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	opts := s.opts(1)
	opts.Verifier = nil
	r, err := VerifyBundle(s.marshal(t), opts)
	if err != nil || !strings.Contains(r.String(), "NOT verified: the log's key was taken from the bundle") {
		t.Fatal(r, err)
	}
	opts.Verifier = setup(t).verifier
	_, err = VerifyBundle(s.marshal(t), opts)
	wantCode(t, err, muster.CodeInvalid)
}

// Every byte of every proven value is changed, in every bit; nothing passes.
func TestEveryChangedByteIsFound(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	s.complete(t, 1, 3)
	opts := s.opts(1)
	opts.Pinned = s.heads[0].Signed
	if _, err := VerifyBundle(s.marshal(t), opts); err != nil {
		t.Fatal(err)
	}
	b := &s.bundle
	fields := map[string][]byte{
		"leaf": b.Leaf, "decision.salt": b.Decision.Salt, "decision.data": b.Decision.Data, "pack": b.Packs[0].Data,
		"facts.0.salt": b.Facts[0].Salt, "facts.0.data": b.Facts[0].Data, "facts.1.salt": b.Facts[1].Salt, "facts.1.data": b.Facts[1].Data,
		"facts.2.commitment": b.Facts[2].Commitment[:],
	}
	for i := range b.Proof {
		fields["proof."+string(rune('0'+i))] = b.Proof[i][:]
	}
	for i := range b.Consistency[0].Proof {
		fields["consistency."+string(rune('0'+i))] = b.Consistency[0].Proof[i][:]
	}
	for name, field := range fields {
		for i := range field {
			for _, bit := range []byte{0x01, 0x20, 0x80} {
				field[i] ^= bit
				if _, err := VerifyBundle(s.marshal(t), opts); err == nil {
					t.Fatalf("%s: byte %d changed by %#x, and it verifies", name, i, bit)
				}
				field[i] ^= bit
			}
		}
	}
	for name, change := range map[string]func(b *Bundle){
		"a name of a part":   func(b *Bundle) { b.Facts[0].Name = "comnon" },
		"parts exchanged":    func(b *Bundle) { b.Facts[0], b.Facts[1] = b.Facts[1], b.Facts[0] },
		"a part left out":    func(b *Bundle) { b.Facts = b.Facts[:2] },
		"another index":      func(b *Bundle) { b.Index = 4 },
		"an index past it":   func(b *Bundle) { b.Index = 10 },
		"a short proof":      func(b *Bundle) { b.Proof = b.Proof[1:] },
		"a long proof":       func(b *Bundle) { b.Proof = append(b.Proof, Hash{}) },
		"no pack":            func(b *Bundle) { b.Packs = nil },
		"a pack too many":    func(b *Bundle) { b.Packs = append(b.Packs, b.Packs[0]) },
		"another edition":    func(b *Bundle) { b.Packs[0].Edition = "2" },
		"another digest":     func(b *Bundle) { b.Packs[0].Digest = strings.Repeat("0", 64) },
		"another origin":     func(b *Bundle) { b.Origin = "other.example" },
		"another checkpoint": func(b *Bundle) { b.Checkpoint = string(s.heads[0].Signed) },
		"another format":     func(b *Bundle) { b.Format = "muster/bundle/v2" },
		"data moved to salt": func(b *Bundle) {
			p := &b.Facts[0]
			p.Salt, p.Data = append(slices.Clone(p.Salt), p.Data[0]), p.Data[1:]
		},
	} {
		c := s.bundle
		c.Facts, c.Packs, c.Proof = slices.Clone(c.Facts), slices.Clone(c.Packs), slices.Clone(c.Proof)
		change(&c)
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyBundle(data, opts); err == nil {
			t.Errorf("%s, and it verifies", name)
		}
	}
}

// Every bit of the file is flipped. What passes must be the sender's word alone:
// audience has a closed list, so only name and ground of the part that is not
// shown are left.
func TestEveryFlippedBitOfTheFileIsFound(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	data := s.marshal(t)
	opts := s.opts(1)
	opts.Pinned = s.heads[0].Signed
	name := bytes.Index(data, []byte(`"sub_2"`))
	why := bytes.Index(data, []byte(`"erased: retention"`))
	free := func(i int) bool {
		return i > name && i < name+len(`"sub_2"`)-1 || i > why && i < why+len(`"erased: retention"`)-1
	}
	for i := range data {
		if free(i) {
			continue
		}
		for bit := range 8 {
			data[i] ^= 1 << bit
			if _, err := VerifyBundle(data, opts); err == nil {
				t.Fatalf("byte %d, bit %d flipped, and it verifies: ...%s...", i, bit, data[max(0, i-30):min(len(data), i+10)])
			}
			data[i] ^= 1 << bit
		}
	}
	if _, err := VerifyBundle(data, opts); err != nil {
		t.Fatal(err)
	}
}

func TestBundleIsReadStrictly(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	good := string(s.marshal(t))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the bundle", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"not an object":       "[]",
		"null":                "null",
		"an unknown key":      replace(`"index"`, `"extra":1,"index"`),
		"a key twice":         replace(`"index": 5`, `"index": 5, "index": 5`),
		"a key in other case": replace(`"index"`, `"Index"`),
		"a folded key":        replace(`"packs"`, `"pac\u212as"`),
		"a null":              replace(`"index": 5`, `"index": null`),
		"a fraction":          replace(`"index": 5`, `"index": 5.0`),
		"something behind":    good + "{}",
		"a list too deep":     replace(`"index": 5`, `"index": [[[[[[[[5]]]]]]]]`),
		"invalid UTF-8":       replace(`"examiner"`, "\"examiner\xff\""),
		"another audience":    replace(`"examiner"`, `"press"`),
		"base64 with a line":  replace(`"salt": "`, `"salt": "\n`),
		"a number for bytes":  replace(`"leaf": "`, `"leaf": 5, "x": "`),
		"a part open and not": replace(`"why"`, `"salt": "AAAA", "why"`),
	} {
		if _, err := ParseBundle([]byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if _, err := ParseBundle(make([]byte, MaxBundleBytes+1)); muster.ErrorCode(err) != muster.CodeTooLarge {
		t.Errorf("past the bound: %v", err)
	}
	deep := strings.Repeat("[", 1<<20)
	if _, err := ParseBundle([]byte(deep)); muster.ErrorCode(err) != muster.CodeMalformed {
		t.Errorf("deep: %v", err)
	}
}

func TestOnlyADecisionOfThatHourVerifies(t *testing.T) {
	t.Parallel()
	s := setupBundle(t)
	for name, change := range map[string]func(l *Leaf){
		"another type": func(l *Leaf) { l.Type = Resolution },
		"another hour": func(l *Leaf) { l.Hour++ },
	} {
		l, err := ParseLeaf(s.bundle.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		change(&l)
		other := setup(t)
		other.append(5)
		other.leaves = append(other.leaves, l.Marshal())
		b := s.bundle
		b.Leaf, b.Key = l.Marshal(), other.public
		c := other.grow(t, 0)
		if err := other.prover.Complete(context.Background(), &b, c); err != nil {
			t.Fatal(err)
		}
		data, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyBundle(data, VerifyOptions{Checkpoint: c.Signed, Verifier: other.verifier}); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
