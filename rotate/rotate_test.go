package rotate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/rotate"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

func TestEveryKeyTurnsAndNothingIsLost(t *testing.T) {
	both(t, func(b *bundle) {
		ctx := b.Context()
		var apps []*onboard.Answer
		for i := 1; i <= 4; i++ {
			a := b.Apply(unlike(i))
			b.Document(a.Application, "", roomtest.Passport("NG", "A00000001"))
			apps = append(apps, a)
		}
		company := b.Apply(roomtest.Company("com-1"))
		gone := b.Apply(unlike(9)) // of whom nothing is left: the rows go
		b.erase(gone.Application)
		_, secret, err := b.Staff.Create(ctx, b.Anna, staff.Grant{Operator: b.Anna.Operator, Name: "x", Scopes: []muster.Scope{muster.ScopeRead}, Days: 30})
		if err != nil {
			b.Fatal(err)
		}
		hook := &muster.WebhookRecord{ID: "whk_1", Secret: b.Vault.SealWebhookSecret("whk_1", []byte("hook"))}
		b.write(func(tx *store.Tx) error { return tx.PutWebhook(ctx, hook) })
		before := b.rows(2)
		if before < 20 {
			b.Fatalf("%d rows in the indexes", before)
		}
		was, err := b.turns.Begin(ctx, b.Anna.Operator, rotate.All, 48*time.Hour)
		if err != nil || len(was) != 13 {
			b.Fatalf("%d turns, %v", len(was), err)
		}
		if again, err := b.turns.Begin(ctx, b.Bea.Operator, rotate.All, 0); err != nil || again[3].ID != was[3].ID {
			b.Fatalf("begun twice: %v, %v", again, err)
		}
		if _, err := b.turns.Begin(ctx, b.Anna.Operator, "prf/email", 0); muster.ErrorCode(err) != muster.CodeConflict {
			b.Fatalf("a key turns twice: %v", err)
		}
		for range 10 { // until the token is all that waits; its use brings it up
			if _, err := b.step(b.turns); err != nil {
				b.Fatal(err)
			}
			b.Clock.Move(settle)
		}
		if who, err := b.Staff.Principal(ctx, secret); err != nil || who.Operator != b.Anna.Operator {
			b.Fatalf("the token: %+v, %v", who, err)
		}
		b.finish()

		for _, k := range b.Vault.Statics() {
			want := []int{2}
			if k.Name == "check" {
				want = []int{1}
			}
			if fmt.Sprint(k.Versions) != fmt.Sprint(want) || k.Next != 0 {
				b.Errorf("%s has versions %v, next %d", k.Name, k.Versions, k.Next)
			}
		}
		if n := b.rows(2); n != 0 {
			b.Errorf("%d rows are under old digests", n)
		}
		if n := b.sharing(b.Vault); n != 4 {
			b.Errorf("%d share the device", n)
		}
		passport := muster.HandleCount{Kind: "document", Digests: b.Vault.Digests(vault.KindDocument, 1, "NG|passport|A00000001")}
		if n := b.counted(passport); n != 4 {
			b.Errorf("%d share the passport", n)
		}
		// Handles lead to those whose they are.
		for _, kind := range vault.Kinds {
			for _, r := range b.index(kind) {
				lead, err := b.Vault.Resolve(ctx, kind, [][16]byte{[16]byte(r.Handle)})
				if err != nil || lead[[16]byte(r.Handle)] == "" {
					b.Errorf("a handle of kind %s leads nowhere: %v", kind, err)
				}
			}
		}
		// The same application again gets its answer, another content is a conflict.
		for i, a := range apps {
			if again := b.Apply(unlike(i + 1)); again.Application != a.Application {
				b.Errorf("application %d came twice", i+1)
			}
		}
		if again := b.Apply(roomtest.Company("com-1")); again.Application != company.Application {
			b.Error("the company came twice")
		}
		other := unlike(1)
		other.Customer.Email = "other@example.com.ng"
		if _, err := b.Onboard.Apply(ctx, b.Anna, roomtest.JSON(other)); muster.ErrorCode(err) != muster.CodeConflict {
			b.Errorf("another content: %v", err)
		}
		if _, err := b.Staff.Principal(ctx, secret); err != nil {
			b.Errorf("the token: %v", err)
		}
		hook = roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.WebhookRecord, error) {
			return tx.Webhook(ctx, "whk_1")
		})
		if plain, err := b.Vault.OpenWebhookSecret("whk_1", hook.Secret); err != nil || string(plain) != "hook" || hook.Version != 2 {
			b.Errorf("the webhook's secret: %q, %v, version %d", plain, err, hook.Version)
		}
		// What the gate says is under the new key, in a new epoch.
		key := gate.Key(b.GateKey())
		found := 0
		if err := b.DB.Gate().LoadGate(ctx, func(epoch, _ uint64, version int) {
			if epoch == 1 || version != 2 {
				b.Errorf("the gate is in epoch %d under version %d", epoch, version)
			}
		}, func([]byte) error { return nil }, func(hash, _ []byte, _ string) error {
			for i := range 4 {
				if want := key.Hash(fmt.Sprintf("app-%d", i+1)); bytes.Equal(hash, want[:]) {
					found++
				}
			}
			return nil
		}); err != nil || found != 4 {
			b.Errorf("%d of four accounts at the gate, %v", found, err)
		}
		// The hand-over leads from the key that everybody had to the one that signs.
		signers, err := b.Vault.LogSigners("test.muster.example/log")
		if err != nil || len(signers) != 1 {
			b.Fatal(signers, err)
		}
		past, err := b.DB.LogHandovers(ctx)
		if err != nil || len(past) != 1 || past[0].Public != b.Key {
			b.Fatal(past, err)
		}
		if next, _, err := tlog.OpenHandover(past[0].Note, b.Verifier); err != nil || next.KeyHash() != signers[0].KeyHash() {
			b.Errorf("the hand-over leads elsewhere: %v", err)
		}
		if b.Verifier, err = tlog.NewLogVerifier(signers[0].Public); err != nil {
			b.Fatal(err)
		}
		if a := b.Audit(); !a.Clean() || a.ByType["key"] != 25 {
			b.Errorf("the audit finds %v; %d leaves of keys", a.Findings, a.ByType["key"])
		}
		ended, err := b.turns.Rotations(ctx, true)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range ended {
			switch {
			case r.Name == "prf" && (r.Left == 0 || r.Done+r.Left < before):
				b.Errorf("of %d rows %d were moved, and %d went", before, r.Done, r.Left)
			case r.Name == "compliance" && r.Done < 20, r.Name == "handle" && r.Done < 10, r.Name == "request" && r.Done < 5:
				b.Errorf("%s moved %d", r.Name, r.Done)
			}
		}
	})
}

// erase destroys the keys of a customer and leaves the rows, as a crash may.
func (b *bundle) erase(application string) {
	b.Helper()
	app := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ApplicationRecord, error) {
		return tx.Application(ctx, application)
	})
	subjects := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
		return tx.Subjects(ctx, app.Customer)
	})
	for _, s := range subjects {
		if err := b.Vault.Destroy(b.Context(), []string{s.Key}); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bundle) write(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.DB.InTx(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) index(kind vault.Kind) []muster.IndexRow {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]muster.IndexRow, error) {
		return tx.IndexPage(ctx, string(kind), muster.IndexRow{}, 1000)
	})
}

// Applications arrive through two processes while keys of digests and handles turn:
// each sees exactly those that came before it.
func TestCountsAreRightWhileKeysTurn(t *testing.T) {
	both(t, func(b *bundle) {
		ctx := b.Context()
		second, err := vault.Open(ctx, vault.Config{
			Deployment: "test", KMS: b.KMS, Store: b.KeyStore, PoolSize: 16, Clock: b.Clock.Now, Shared: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { second.Close(context.Background()) })
		c := b.Config
		c.Vault, c.Journal = second, journal.New(second, store.As[journal.Tx](b.DB))
		processes := []*onboard.Service{b.Onboard, onboard.New(c)}

		var busy sync.WaitGroup
		var underWay sync.RWMutex
		stop := make(chan struct{})
		arrived := 0
		apply := func() {
			arrived++
			a, err := processes[arrived%2].Apply(ctx, b.Anna, roomtest.JSON(unlike(arrived)))
			if err != nil {
				b.Errorf("application %d: %v", arrived, err)
				return
			}
			if review := a.State == muster.AppReview; review != (arrived > 5) {
				b.Errorf("application %d is %s: it did not see those before it", arrived, a.State)
			}
			for _, v := range []*vault.Vault{b.Vault, second} {
				if n := b.sharing(v); n != int64(arrived) {
					b.Errorf("%d share the device, and %d is counted", arrived, n)
				}
			}
		}
		for range 40 {
			apply()
		}
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					underWay.RLock()
					apply()
					underWay.RUnlock()
				}
			}
		})
		for _, name := range []string{"prf", "handle", "prf"} {
			b.begin(name, 0)
			for {
				// What Settle gives processes the time for: they learn of it, and what they
				// had begun before ends.
				if err := errors.Join(b.Vault.Refresh(ctx), second.Refresh(ctx)); err != nil {
					b.Error(err)
				}
				underWay.Lock()
				func() { defer underWay.Unlock() }()
				if _, err := b.step(b.turns); err != nil {
					b.Error(err)
				}
				list, err := b.turns.Rotations(ctx, false)
				if err != nil || len(list) == 0 {
					break
				}
				b.Clock.Move(settle)
			}
		}
		close(stop)
		busy.Wait()
		if n := b.rows(3); n != 0 || arrived <= 40 {
			b.Errorf("%d rows are under old digests; %d applications in all", n, arrived)
		}
		if n := b.sharing(b.Vault); n != int64(arrived) {
			b.Errorf("%d share the device, and %d is counted", arrived, n)
		}
	})
}

// A turn is cut off before or after its writes, to either store (in the long version each
// of them, else every third), and the next try goes on.
func TestTurnCutOffAnywhereGoesOn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"prf", "handle", "gate", "compliance", "request"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, roomtest.Options{})
			for i := 1; i <= 3; i++ {
				b.Apply(unlike(i))
			}
			if _, err := b.Publisher.Publish(b.Context()); err != nil {
				t.Fatal(err)
			}
			cuts, stride := 0, 3 // odd: before and after take turns
			if os.Getenv("MUSTER_SOAK") != "" {
				stride = 1
			}
			for n := 1; ; n += stride {
				b.begin(name, 0)
				f := &faults{n: n/2 + 1, after: n%2 == 0}
				c := b.config
				c.DB = failing{store.As[rotate.Tx](b.DB), f}
				b.KeyStore.Fail(f.keys)
				service, cut := rotate.New(c), false
				for range 100 {
					if _, err := b.step(service); errors.Is(err, errCut) {
						cut = true
						break
					} else if err != nil {
						t.Fatal(err)
					}
					b.Clock.Move(settle)
					if list, _ := b.turns.Rotations(b.Context(), false); len(list) == 0 {
						break
					}
				}
				b.KeyStore.Fail(nil)
				b.Clock.Move(time.Minute)
				b.finish()
				if got := b.sharing(b.Vault); got != 3 {
					t.Fatalf("cut %d: %d share the device", n, got)
				}
				for i := 1; i <= 3; i++ {
					b.Apply(unlike(i)) // each is known by what it said
				}
				if !cut {
					break
				}
				cuts++
			}
			if cuts*stride < 8 {
				t.Errorf("cut off %d times only", cuts)
			}
			b.Clean()
		})
	}
}

var errCut = errors.New("the power went")

// faults makes the nth write fail, before or after it landed, and every later one.
type faults struct {
	mu    sync.Mutex
	n     int
	after bool
	seen  int
}

func (f *faults) at(landed bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !landed {
		f.seen++
	}
	if f.seen > f.n || f.seen == f.n && landed == f.after {
		return errCut
	}
	return nil
}

func (f *faults) keys(_ string, after bool) error { return f.at(after) }

type failing struct {
	rotate.DB
	f *faults
}

func (d failing) InTx(ctx context.Context, fn func(rotate.Tx) error) error {
	if err := d.f.at(false); err != nil {
		return err
	}
	if err := d.DB.InTx(ctx, fn); err != nil {
		return err
	}
	return d.f.at(true)
}

// A key that others hold waits for them, or until somebody says that it is enough.
func TestOverlapIsWaitedForOrEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, roomtest.Options{})
	b.begin("snapshot", 48*time.Hour)
	first := b.Vault.SnapshotKeys()
	turn := func() muster.Rotation {
		if _, err := b.step(b.turns); err != nil {
			t.Fatal(err)
		}
		list, err := b.turns.Rotations(b.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		return *list[0]
	}
	turn()
	b.Clock.Move(47 * time.Hour)
	if r := turn(); r.Stage != muster.RotationKnown {
		t.Fatalf("%s an hour before its time", r.Stage)
	}
	both := b.Vault.SnapshotKeys()
	if len(both) != 2 || !both[0].Equal(first[0]) {
		t.Fatal("the next key is not announced, or is used")
	}
	if r, err := b.turns.Finish(b.Context(), b.Bea.Operator, turn().ID); err != nil || r.Overlap != 0 {
		t.Fatal(r, err)
	}
	b.Clock.Move(settle)
	if r := turn(); r.Stage != muster.RotationUsed {
		t.Fatalf("%s after its overlap was ended", r.Stage)
	}
	b.finish()
	if now := b.Vault.SnapshotKeys(); len(now) != 1 || !now[0].Equal(both[1]) {
		t.Fatal("the announced key is not the one in use")
	}
	if _, err := b.turns.Finish(b.Context(), b.Bea.Operator, turn().ID); muster.ErrorCode(err) != muster.CodeConflict {
		t.Fatalf("ended twice: %v", err)
	}
}

func TestUnknownKeysAndTimesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, roomtest.Options{})
	for _, c := range []struct {
		name    string
		overlap time.Duration
	}{{"check", 0}, {"root", 0}, {"", 0}, {"prf/none", 0}, {"log", -1}, {"log", rotate.Longest + 1}} {
		if _, err := b.turns.Begin(b.Context(), b.Anna.Operator, c.name, c.overlap); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%q, %s: %v", c.name, c.overlap, err)
		}
	}
}
