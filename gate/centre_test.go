package gate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// centreBundle is a store with centres on it, and a clock that a test moves.
type centreBundle struct {
	*testing.T
	db  *store.DB
	key gate.Key
	mu  sync.Mutex
	now time.Time
}

func setupCentre(t *testing.T, c store.Config) *centreBundle {
	t.Helper()
	b := &centreBundle{T: t, key: gate.Key{8}, now: noon}
	c.Clock = b.clock
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b.db = db
	return b
}

func (b *centreBundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *centreBundle) move(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *centreBundle) centre() *gate.Centre {
	return gate.NewCentre(gate.CentreConfig{
		Store: b.db.Gate(), Deployment: "dep", Key: gate.OneKey(b.key), Signer: signing, Clock: b.clock, Bound: time.Minute,
		Rules: func(time.Time) (gate.Fail, bool) { return gate.Fail{Stale: gate.Actions("use")}, false },
	})
}

func (b *centreBundle) put(account string, s muster.GateStatus) {
	b.Helper()
	err := b.db.InTx(b.Context(), func(tx *store.Tx) error {
		return tx.PutGate(b.Context(), &muster.ProfileRecord{Hash: b.key.Hash(account), Account: account, Profile: encode(b, always(s, string(s)))})
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *centreBundle) poll(c *gate.Centre) {
	b.Helper()
	if err := c.Poll(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *centreBundle) says(g *gate.Gate, account string, want bool) {
	b.Helper()
	if a := g.Decide(&gate.Request{Account: account, Action: muster.ActionAddResources}, b.clock()); a.Allow != want {
		b.Errorf("%s: allow %v (%s), want %v", account, a.Allow, a.Code, want)
	}
}

// follower keeps a snapshot as an edge does.
type follower struct {
	s     *gate.Snapshot
	heads int
}

var errEnough = errors.New("enough")

// take lets f follow c until it has the state of c's head; what Follow says otherwise.
func (b *centreBundle) take(f *follower, c *gate.Centre) error {
	b.Helper()
	if f.s == nil {
		m, err := c.Snapshot()
		if err != nil {
			return err
		}
		if f.s, err = wire(b, m, nil).Snapshot(); err != nil {
			return err
		}
	}
	want := c.Head().Head
	err := c.Follow(b.Context(), f.s.Epoch, f.s.Seq, func(m *gate.Message) (err error) {
		m = wire(b, m, nil)
		if m.Kind == gate.KindDelta {
			if f.s, err = f.s.Apply(m); err != nil {
				return err
			}
		} else {
			f.heads++
		}
		if f.s.Seq >= want.Seq {
			return errEnough
		}
		return nil
	})
	if err == errEnough {
		if f.s.Digest() != want.Digest {
			b.Error("a follower's state is another")
		}
		return nil
	}
	return err
}

func TestCentreTellsWhatTheStoreHolds(t *testing.T) {
	t.Parallel()
	b := setupCentre(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	c := b.centre()
	if _, err := c.Snapshot(); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Errorf("before it is loaded: %v", err)
	}
	b.put("good", muster.GateAllow)
	b.put("bad", muster.GateDeny)
	b.poll(c)
	b.says(c.Gate(), "good", true)
	b.says(c.Gate(), "bad", false)
	f := &follower{}
	if err := b.take(f, c); err != nil {
		t.Fatal(err)
	}
	b.put("bad", muster.GateAllow)
	b.put("new", muster.GateAllow)
	b.says(c.Gate(), "bad", false)
	b.poll(c)
	b.says(c.Gate(), "bad", true)
	if err := b.take(f, c); err != nil {
		t.Fatal(err)
	}
	if p, _, ok := f.s.Lookup("new"); !ok || p.Steps[0].Status != muster.GateAllow {
		t.Error("the follower has not heard of a new account")
	}

	head := c.Head()
	b.poll(c)
	if c.Head() != head {
		t.Error("a head was signed though nothing changed and no second passed")
	}
	b.move(time.Second)
	b.poll(c)
	if h := c.Head(); h == head || !h.Head.Time.Equal(b.clock()) {
		t.Error("a second passed without a head")
	}
	b.move(2 * time.Minute)
	b.says(c.Gate(), "good", false) // nothing heard for longer than the bound
	b.poll(c)
	b.says(c.Gate(), "good", true)

	// A follower of another time, and of the future.
	for _, after := range []uint64{0, f.s.Seq + 1} {
		if err := c.Follow(t.Context(), f.s.Epoch, after, nil); muster.ErrorCode(err) != muster.CodeGone {
			t.Errorf("after %d: %v", after, err)
		}
	}
}

// TestANewEpochBeginsAnew: after a restore followers of the old epoch are told so,
// and a snapshot of the new one is what they go on from.
func TestANewEpochBeginsAnew(t *testing.T) {
	t.Parallel()
	b := setupCentre(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	c := b.centre()
	b.put("good", muster.GateAllow)
	b.poll(c)
	f := &follower{}
	if err := b.take(f, c); err != nil {
		t.Fatal(err)
	}
	old := f.s.Epoch
	if err := b.db.InTx(t.Context(), func(tx *store.Tx) error { _, err := tx.NextGateEpoch(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	b.poll(c)
	if err := b.take(f, c); muster.ErrorCode(err) != muster.CodeGone {
		t.Errorf("a follower of the old epoch: %v", err)
	}
	f.s = nil
	if err := b.take(f, c); err != nil || f.s.Epoch <= old {
		t.Errorf("epoch %d after %d: %v", f.s.Epoch, old, err)
	}
}

// away is a store that fails.
type away struct {
	gate.Store
	fails bool
}

func (a *away) GateState(ctx context.Context) (epoch, seq uint64, err error) {
	if a.fails {
		return 0, 0, muster.Errorf(muster.CodeUnavailable, "away")
	}
	return a.Store.GateState(ctx)
}

// TestNoHeadIsSignedBlindly: a centre that cannot read its store must not vouch for
// what it knew.
func TestNoHeadIsSignedBlindly(t *testing.T) {
	t.Parallel()
	b := setupCentre(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	c := b.centre()
	a := &away{Store: b.db.Gate()}
	c.Store = a
	b.put("good", muster.GateAllow)
	b.poll(c)
	head := c.Head()
	a.fails = true
	b.move(time.Hour)
	if err := c.Poll(t.Context()); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Errorf("polling a store that is away: %v", err)
	}
	if c.Head() != head {
		t.Error("a head was signed while the store was away")
	}
	b.says(c.Gate(), "good", false)
	a.fails = false
	b.poll(c)
	b.says(c.Gate(), "good", true)
}

// TestAnyProcessLeadsOn: two processes on one PostgreSQL, each with its own pace; a
// follower that changes between them has the one state.
func TestAnyProcessLeadsOn(t *testing.T) {
	t.Parallel()
	b := setupCentre(t, store.Config{DSN: pgtest.Database(t)})
	one, two := b.centre(), b.centre()
	b.poll(one)
	b.poll(two)
	f := &follower{}
	if err := b.take(f, one); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		for j := range 3 {
			b.put(fmt.Sprint("account", (i*7+j)%20), []muster.GateStatus{muster.GateAllow, muster.GateDeny, muster.GateLimited}[(i+j)%3])
			if (i+j)%2 == 0 {
				b.poll(one)
			} else if i%3 == 0 {
				b.poll(two)
			}
		}
		c := one
		if i%2 == 1 {
			c = two
		}
		b.poll(c)
		if err := b.take(f, c); err != nil {
			t.Fatal(i, err)
		}
	}
	b.poll(one)
	b.poll(two)
	if one.Head().Head.Digest != two.Head().Head.Digest || one.Head().Head.Seq != two.Head().Head.Seq {
		t.Error("two processes know two states")
	}
}

// TestRunTellsFollowersAtOnce: a running centre, a change, and the time it takes to
// be in force at a follower; then the end of both.
func TestRunTellsFollowersAtOnce(t *testing.T) {
	t.Parallel()
	b := setupCentre(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	c := b.centre()
	b.poll(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- c.Run(ctx) }()
	changed := make(chan uint64, 10)
	s, _ := c.Gate().Load()
	go func() {
		ended <- c.Follow(context.WithoutCancel(ctx), s.Epoch, s.Seq, func(m *gate.Message) error {
			if m.Kind == gate.KindDelta {
				changed <- m.Head.Seq
			}
			return nil
		})
	}()
	b.put("good", muster.GateAllow)
	if seq := <-changed; seq <= s.Seq {
		t.Errorf("a delta to %d after %d", seq, s.Seq)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil && muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Error(err)
		}
	}
}
