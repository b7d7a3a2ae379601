package edge

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// believer is a belief in a centre's key, that has its snapshot.
func believer(t testing.TB, c *centre) *belief {
	t.Helper()
	b := &belief{keys: c.keys()}
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsNotBelieved(t *testing.T) {
	t.Parallel()
	stranger := newCentre(t, 50)
	for name, x := range map[string]struct {
		want error
		make func(c *centre) *gate.Message
	}{
		"forged": {Forged, func(*centre) *gate.Message { return stranger.whole(stranger.snap) }},
		"damaged": {Forged, func(c *centre) *gate.Message {
			b := raw(t, c.whole(c.snap))
			b[len(b)-100] ^= 1
			return came(t, b)
		}},
		"of another deployment": {OtherDeployment, func(c *centre) *gate.Message {
			h := c.now()
			h.Deployment, h.Epoch = "dep_2", 99
			m, err := h.Seal(c.key)
			return c.must(m, err)
		}},
		"too old": {TooOld, func(c *centre) *gate.Message {
			c.head.Time = time.Now().Add(-31 * time.Second)
			return c.whole(c.snap)
		}},
		"from the future": {FromFuture, func(c *centre) *gate.Message {
			c.head.Time = time.Now().Add(time.Minute)
			return c.whole(c.snap)
		}},
		"replayed": {Replayed, func(c *centre) *gate.Message {
			c.head.Time = time.Now().Add(-10 * time.Second)
			return c.beat(c.older)
		}},
		"rolled back": {RolledBack, func(c *centre) *gate.Message { return c.whole(c.older) }},
		"of a lower epoch": {LowerEpoch, func(c *centre) *gate.Message {
			c.restore(6, 50)
			return c.whole(c.snap)
		}},
		"another state under the same number": {Forked, func(c *centre) *gate.Message {
			was := c.snap.Seq
			c.restore(7, 50)
			for c.snap.Seq < was {
				c.put("other", muster.GateDeny)
			}
			return c.whole(c.snap)
		}},
		"a gap": {errBehind, func(c *centre) *gate.Message {
			c.put("a", muster.GateDeny)
			c.put("b", muster.GateDeny)
			return c.delta(len(c.changes) - 1)
		}},
		"a head of what is not known": {errBehind, func(c *centre) *gate.Message { c.put("a", muster.GateDeny); return c.beat(c.snap) }},
		"a head of a new epoch": {errNewEpoch, func(c *centre) *gate.Message {
			c.restore(8, 50)
			return c.beat(c.snap)
		}},
		"a change that leads elsewhere": {Inconsistent, func(c *centre) *gate.Message {
			was := c.snap.Seq
			c.restore(7, 50)
			for c.snap.Seq <= was {
				c.put("other", muster.GateDeny)
			}
			return c.delta(len(c.changes) - 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCentre(t, 50)
			c.older = c.snap
			c.put("r-1", muster.GateDeny)
			b := believer(t, c)
			before := *b
			m := x.make(c)
			if _, err := b.take(came(t, raw(t, m)), time.Now()); !errors.Is(err, x.want) {
				t.Errorf("%v, want %v", err, x.want)
			}
			if b.snap != before.snap || b.head != before.head || b.deployment != before.deployment {
				t.Error("what was refused changed something")
			}
		})
	}
}

func TestAHeadPastItsBoundIsRefusedOnFirstStartToo(t *testing.T) {
	t.Parallel()
	c := newCentre(t, 5)
	c.head.Time = time.Now().Add(-31 * time.Second)
	b := &belief{keys: c.keys()}
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); !errors.Is(err, TooOld) || b.snap != nil {
		t.Error(err)
	}
}

// A key that was announced is added before it is used, and the old one taken out after.
func TestKeysAreTakenAsTheyAreThen(t *testing.T) {
	t.Parallel()
	c, next := newCentre(t, 5), newCentre(t, 5)
	trusted := c.keys()()
	b := &belief{keys: func() []ed25519.PublicKey { return trusted }}
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); err != nil {
		t.Fatal(err)
	}
	old := c.key
	c.key = next.key
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); !errors.Is(err, Forged) {
		t.Fatalf("a key that nobody announced was taken: %v", err)
	}
	trusted = append(trusted, c.keys()()...)
	for _, key := range []ed25519.PrivateKey{old, next.key} {
		c.key = key
		if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	trusted = trusted[1:]
	c.key = old
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); !errors.Is(err, Forged) {
		t.Fatalf("the old key is still taken: %v", err)
	}
}

func TestANewEpochIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	c := newCentre(t, 50)
	b := believer(t, c)
	before := raw(t, c.whole(c.snap))
	c.restore(8, 20)
	if _, err := b.take(came(t, raw(t, c.whole(c.snap))), time.Now()); err != nil || b.snap.Epoch != 8 || b.snap.Len() != 20 {
		t.Fatal(err)
	}
	if _, err := b.take(came(t, before), time.Now()); !errors.Is(err, LowerEpoch) || b.snap.Epoch != 8 {
		t.Error(err)
	}
}

// TestBeliefNeverFalls: whatever comes in whatever order, true, old, cut or forged,
// (epoch, sequence) rises and the state is one that the centre had.
func TestBeliefNeverFalls(t *testing.T) {
	t.Parallel()
	c := newCentre(t, 30)
	stranger := newCentre(t, 30)
	var pool [][]byte
	states := map[[2]uint64]gate.Digest{}
	keep := func(c *centre) {
		pool = append(pool, raw(t, c.whole(c.snap)), raw(t, c.beat(c.snap)))
		if n := len(c.changes); n > 0 {
			pool = append(pool, raw(t, c.delta(n-1)))
		}
	}
	for epoch := uint64(7); epoch < 10; epoch++ {
		c.restore(epoch, 30)
		stranger.restore(epoch, 30)
		for i := range 6 {
			keep(c)
			states[[2]uint64{c.snap.Epoch, c.snap.Seq}] = c.snap.Digest()
			c.put(string(rune('a'+i)), muster.GateDeny)
			stranger.put("r-1", muster.GateDeny)
			keep(stranger)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := &belief{keys: c.keys()}
		var epoch, seq uint64
		for range rapid.IntRange(1, 40).Draw(rt, "messages") {
			data := rapid.SampledFrom(pool).Draw(rt, "message")
			if rapid.IntRange(0, 4).Draw(rt, "harm") == 0 {
				data = bytes.Clone(data)
				i := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
				if rapid.Bool().Draw(rt, "cut") {
					data = data[:i]
				} else {
					data[i] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
				}
			}
			m, err := gate.ReadMessage(bytes.NewReader(data), 0)
			if err != nil {
				continue
			}
			_, _ = b.take(m, time.Now())
			if b.snap == nil {
				continue
			}
			if b.snap.Epoch < epoch || b.snap.Epoch == epoch && b.snap.Seq < seq {
				rt.Fatalf("from %d/%d to %d/%d", epoch, seq, b.snap.Epoch, b.snap.Seq)
			}
			epoch, seq = b.snap.Epoch, b.snap.Seq
			if states[[2]uint64{epoch, seq}] != b.snap.Digest() {
				rt.Fatalf("%d/%d is not a state that the centre had", epoch, seq)
			}
		}
	})
}
