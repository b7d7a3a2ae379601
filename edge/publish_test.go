package edge

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/store"
)

// TestPublishingIsOnesDuty: a centre on a real store, two publishers, a real NATS.
// What changes comes to those who subscribe, from the one that has the lease; when it
// loses the lease the other goes on.
func TestPublishingIsOnesDuty(t *testing.T) {
	t.Parallel()
	s := natsServer(t, -1)
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	centre := gate.NewCentre(gate.CentreConfig{
		Store: db.Gate(), Deployment: "dep_1", Key: gate.OneKey(gate.Key{}), Signer: signer, Clock: muster.SystemClock, Bound: time.Minute,
		Rules: func(time.Time) (gate.Fail, bool) { return gate.DefaultFail, false },
	})
	if err := centre.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { centre.Run(ctx) })

	var mu sync.Mutex
	var duty, may int // who has the lease, and who may have it from now on
	var until time.Time
	fan := NATS{URL: s.ClientURL(), Prefix: "muster.gate"}
	for i := range 2 {
		p := &Publisher{NATS: fan, Centre: centre, Lease: func(_ context.Context, ttl time.Duration) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if may != i || duty != i && time.Now().Before(until) {
				return false, nil
			}
			duty, until = i, time.Now().Add(ttl)
			return true, nil
		}, ttl: 300 * time.Millisecond, Trouble: func(err error) { t.Log(err) }} // it is tried again
		wg.Go(func() { p.Run(ctx) })
	}
	put := func(n byte) (seq uint64) {
		raw, _, err := gate.EncodeProfile(muster.Profile{Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: muster.GateAllow}}}})
		if err != nil {
			t.Error(err)
		}
		if err := db.InTx(ctx, func(tx *store.Tx) error {
			return tx.PutGate(ctx, &muster.ProfileRecord{Hash: [16]byte{n}, Account: string('a' + rune(n)), Profile: raw})
		}); err != nil {
			t.Error(err)
		}
		if _, seq, err = db.Gate().GateState(ctx); err != nil {
			t.Error(err)
		}
		return seq
	}
	got := make(chan *gate.Message, 64)
	wg.Go(func() {
		fan.Subscribe(ctx, "dep_1", func(raw []byte) error {
			m, err := gate.ReadMessage(bytes.NewReader(raw), 0)
			if err != nil || m.Verify(signer.Public().(ed25519.PublicKey), "dep_1") != nil {
				t.Errorf("a message that is none: %v", err)
				return nil
			}
			got <- m
			return nil
		})
	})
	deltas := map[uint64]int{}
	wait := func(what string, until func(*gate.Message) bool) {
		t.Helper()
		limit := time.After(time.Minute)
		for {
			select {
			case m := <-got:
				if m.Kind == gate.KindDelta {
					deltas[m.Head.Seq]++
				}
				if until(m) {
					return
				}
			case <-limit:
				t.Fatalf("%s did not come", what)
			}
		}
	}
	at := func(seq uint64) func(*gate.Message) bool {
		return func(m *gate.Message) bool { return m.Head.Seq >= seq }
	}
	wait("a head", at(0))
	first := put(1)
	wait("a change", func(m *gate.Message) bool { return m.Kind == gate.KindDelta && m.Head.Seq >= first })
	mu.Lock()
	may = 1
	mu.Unlock()
	for n, over := byte(2), false; !over; n++ { // until the other has taken over, which it does within a lease
		wait("what changed while the duty changed hands", at(put(n)))
		mu.Lock()
		over = duty == 1
		mu.Unlock()
	}
	last := put(255)
	wait("a change by the other", func(m *gate.Message) bool { return m.Kind == gate.KindDelta && m.Head.Seq >= last })
	// While the duty changed hands one may have been published twice: by who was about to
	// and lost it, on a machine that pauses.
	for _, seq := range []uint64{first, last} {
		if n := deltas[seq]; n > 1 {
			t.Errorf("the change to %d was published %d times", seq, n)
		}
	}
}
