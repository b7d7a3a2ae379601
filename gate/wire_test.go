package gate_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

var (
	signing = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	trusted = signing.Public().(ed25519.PublicKey)
	aHead   = gate.Head{Time: noon, Bound: time.Minute, Fail: gate.Fail{Stale: gate.Actions("use"), Unknown: gate.Actions("open_account")}}
)

func setupSnapshot(t interface{ Fatal(...any) }, n int) *gate.Snapshot {
	key := gate.Key{9}
	b := gate.NewBuilder("dep", key)
	for i := range n {
		p, err := b.Profile(encode(t, always(muster.GateDeny, fmt.Sprint(i%7))))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(key.Hash(fmt.Sprint(i)), gate.DecisionID{byte(i)}, p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Snapshot(4, 100)
}

// wire writes and reads a message back.
func wire(t interface{ Fatal(...any) }, m *gate.Message, err error) *gate.Message {
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := m.WriteTo(&b); err != nil || int(n) != m.Size() {
		t.Fatal(n, m.Size(), err)
	}
	got, err := gate.ReadMessage(&b, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.Len() != 0 {
		t.Fatal("bytes are left over")
	}
	if err := got.Verify(trusted, "dep"); err != nil {
		t.Fatal(err)
	}
	if got.Head != m.Head || got.Kind != m.Kind {
		t.Fatal(cmp.Diff(m.Head, got.Head))
	}
	return got
}

// TestFollowersStateIsTheCentres: snapshot and deltas over the wire give the state
// of the centre, from whichever state of a delta's span the follower comes.
func TestFollowersStateIsTheCentres(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		centre := setupSnapshot(t, rapid.IntRange(0, 500).Draw(t, "accounts"))
		m, err := centre.Encode(aHead, signing)
		edge, err := wire(t, m, err).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if edge.Digest() != centre.Digest() || edge.Len() != centre.Len() {
			t.Fatal("the snapshot came over as another")
		}
		behind := edge // applies two portions as one delta
		var both []gate.Change
		for step := range rapid.IntRange(0, 4).Draw(t, "steps") {
			var changes []gate.Change
			for range rapid.IntRange(0, 30).Draw(t, "changes") {
				c := gate.Change{Hash: centre.Key().Hash(fmt.Sprint(rapid.IntRange(0, 600).Draw(t, "account")))}
				if p := rapid.IntRange(-1, 9).Draw(t, "profile"); p >= 0 {
					c.Profile = encode(t, always(muster.GateLimited, fmt.Sprint(p)))
				}
				changes = append(changes, c)
			}
			both = append(both, changes...)
			from := centre.Seq
			if centre, err = centre.With(from+3, changes); err != nil {
				t.Fatal(err)
			}
			m, err := centre.Delta(from, changes, aHead, signing)
			if edge, err = edge.Apply(wire(t, m, err)); err != nil {
				t.Fatal(err)
			}
			m, err = centre.Delta(behind.Seq, both, aHead, signing)
			whole := wire(t, m, err)
			if got, err := behind.Apply(whole); err != nil || got.Digest() != centre.Digest() {
				t.Fatal(step, err)
			}
			if got, err := edge.Apply(whole); err != nil || got.Digest() != centre.Digest() {
				t.Fatal("a delta over what is known already:", err)
			}
		}
		for i := range 620 {
			want, wd, known := centre.Lookup(fmt.Sprint(i))
			got, gd, ok := edge.Lookup(fmt.Sprint(i))
			if ok != known || gd != wd || !cmp.Equal(want, got) {
				t.Fatalf("account %d is another at the edge", i)
			}
		}
	})
}

// TestDamagedMessagesAreRefused: any byte changed, cut anywhere, of another key,
// another deployment, another version.
func TestDamagedMessagesAreRefused(t *testing.T) {
	t.Parallel()
	s := setupSnapshot(t, 12)
	m, err := s.Encode(aHead, signing)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	read := func(raw []byte) error {
		m, err := gate.ReadMessage(bytes.NewReader(raw), 0)
		if err != nil {
			return err
		}
		if err := m.Verify(trusted, "dep"); err != nil {
			return err
		}
		_, err = m.Snapshot()
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if read(bad) == nil {
			t.Fatalf("byte %d of %d changed, and nobody noticed", i, len(good))
		}
		if err := read(good[:i]); err == nil {
			t.Fatalf("cut at %d of %d, and nobody noticed", i, len(good))
		} else if i == 0 != errors.Is(err, io.EOF) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, ed25519.SeedSize))
	forged, err := s.Encode(aHead, other)
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Verify(trusted, "dep"); muster.ErrorCode(err) != muster.CodeForbidden {
		t.Errorf("forged: %v", err)
	}
	if err := m.Verify(trusted, "other"); muster.ErrorCode(err) != muster.CodeForbidden {
		t.Errorf("of another deployment: %v", err)
	}
	if _, err := gate.ReadMessage(bytes.NewReader(good), 100); muster.ErrorCode(err) != muster.CodeTooLarge {
		t.Errorf("past the limit: %v", err)
	}
	unverified, err := gate.ReadMessage(bytes.NewReader(good), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unverified.Snapshot(); muster.ErrorCode(err) != muster.CodeInternal {
		t.Errorf("used before it was verified: %v", err)
	}
}

// TestDeltasThatDoNotLeadOn: replayed, rolled back, with a gap, of another epoch,
// and one whose changes are not what its head says.
func TestDeltasThatDoNotLeadOn(t *testing.T) {
	t.Parallel()
	s := setupSnapshot(t, 20)
	change := []gate.Change{{Hash: s.Key().Hash("new"), Profile: encode(t, always(muster.GateAllow, ""))}}
	next, err := s.With(101, change)
	if err != nil {
		t.Fatal(err)
	}
	after, err := next.With(102, nil)
	if err != nil {
		t.Fatal(err)
	}
	delta := func(of *gate.Snapshot, from uint64, c []gate.Change) *gate.Message {
		m, err := of.Delta(from, c, aHead, signing)
		return wire(t, m, err)
	}
	other := *next
	other.Epoch = 5
	for _, c := range []struct {
		name string
		s    *gate.Snapshot
		m    *gate.Message
		code muster.Code
	}{
		{"leads on", s, delta(next, 100, change), ""},
		{"replayed after a later one", after, delta(next, 100, change), muster.CodeStale},
		{"a gap", s, delta(after, 101, nil), muster.CodeStale},
		{"another epoch", s, delta(&other, 100, change), muster.CodeStale},
		{"a change is missing", s, delta(next, 100, nil), muster.CodeConflict},
		{"a change too many", s, delta(next, 100, append(change, gate.Change{Hash: gate.Hash{1}, Profile: change[0].Profile})), muster.CodeConflict},
	} {
		digest := c.s.Digest()
		got, err := c.s.Apply(c.m)
		if muster.ErrorCode(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
		if c.code == "" && got.Digest() != next.Digest() || c.s.Digest() != digest {
			t.Errorf("%s: the state is another", c.name)
		}
	}
	head, err := aHead.Seal(signing)
	if err == nil {
		t.Errorf("a head without a deployment was sealed: %v", head)
	}
}

func TestHear(t *testing.T) {
	t.Parallel()
	g := setupGate(t, map[string]muster.Profile{"good": always(muster.GateAllow, "")})
	s, h := g.Load()
	r := &gate.Request{Account: "good", Action: muster.ActionAddGPU}
	later := noon.Add(2 * time.Minute)
	if g.Decide(r, later).Allow {
		t.Fatal("it allows on old knowledge")
	}
	wrong := h
	wrong.Digest, wrong.Time = gate.Digest{1}, later
	if g.Hear(&wrong) || g.Decide(r, later).Allow {
		t.Error("a head of another state was believed")
	}
	h.Time = later
	if !g.Hear(&h) || !g.Decide(r, later).Allow {
		t.Error("a head of this state was not believed")
	}
	if now, _ := g.Load(); now != s {
		t.Error("the snapshot is another")
	}
	if a := g.Decide(&gate.Request{Account: "good"}, noon.Add(-time.Hour)); !a.Allow {
		t.Error("a clock that went back denies")
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	got, err := gate.ParseKey(gate.FormatKey(trusted) + "\n")
	if err != nil || !got.Equal(trusted) {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "muster-gate+", "muster-gate+AAAA", gate.FormatKey(trusted)[1:], gate.FormatKey(trusted) + "A"} {
		if _, err := gate.ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

// FuzzMessage: whatever bytes come, reading is bounded and does not panic; what is
// read writes back to the same bytes.
func FuzzMessage(f *testing.F) {
	s := setupSnapshot(f, 3)
	next, err := s.With(101, []gate.Change{{Hash: gate.Hash{1}}, {Hash: gate.Hash{2}, Profile: encode(f, always(muster.GateAllow, ""))}})
	if err != nil {
		f.Fatal(err)
	}
	snap, err1 := s.Encode(aHead, signing)
	delta, err2 := next.Delta(100, []gate.Change{{Hash: gate.Hash{1}}, {Hash: gate.Hash{2}, Profile: encode(f, always(muster.GateAllow, ""))}}, aHead, signing)
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	for _, m := range []*gate.Message{snap, delta} {
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := gate.ReadMessage(bytes.NewReader(raw), 1<<20)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil || !bytes.HasPrefix(raw, b.Bytes()) {
			t.Fatalf("it writes back as something else: %v", err)
		}
		m.Believe()
		if s, err := m.Snapshot(); err == nil {
			s.Lookup("x")
		}
		if _, err := next.Apply(m); err == nil && m.Head.Digest != next.Digest() && m.Head.Seq == next.Seq {
			t.Fatal("a delta that changes nothing was taken for a change")
		}
	})
}

// FuzzBody is FuzzMessage past the header and the signature.
func FuzzBody(f *testing.F) {
	s := setupSnapshot(f, 3)
	for _, k := range []gate.Kind{gate.KindSnapshot, gate.KindDelta} {
		m, err := s.Encode(aHead, signing)
		if k == gate.KindDelta {
			m, err = s.Delta(99, []gate.Change{{Hash: gate.Hash{1}, Profile: encode(f, always(muster.GateAllow, ""))}}, aHead, signing)
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(k), m.Body())
	}
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		h := gate.Head{Deployment: "dep", Epoch: 4, From: 100, Seq: 101, Bound: time.Second}
		m := gate.WithBody(gate.Kind(k), h, body)
		if _, err := m.Snapshot(); err == nil {
			t.Fatal("a digest of zeroes is right")
		}
		if _, err := s.Apply(m); err == nil {
			t.Fatal("a digest of zeroes is right")
		}
	})
}
