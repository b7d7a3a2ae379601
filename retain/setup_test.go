package retain_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

const (
	delay = 48 * time.Hour
	share = 0.02
)

type bundle struct {
	*roomtest.Rooms
	*faults
	retain *retain.Service
}

func setup(t *testing.T) *bundle { return setupWith(t, roomtest.Options{}) }

func setupWith(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	b := &bundle{Rooms: roomtest.Setup(t, o), faults: &faults{}}
	b.retain = b.service()
	return b
}

// service is the room anew, as after a start.
func (b *bundle) service() *retain.Service {
	return retain.New(retain.Config{
		DB: failing{store.As[retain.Tx](b.DB), b.faults}, Programme: b.Programme, Keys: failingKeys{b.Vault, b.faults}, Staff: b.Staff, Journal: b.Journal,
		Clock: b.Clock.Now, Delay: delay, Share: share, Owner: b.Onboard,
	})
}

// both runs a test on both stores.
func both(t *testing.T, fn func(*bundle)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(setup(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(setupWith(t, roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}))
	})
}

// customer is one who came through, and whose account is in use.
func (b *bundle) customer(reference, mail, phone string) *muster.ApplicationRecord {
	b.Helper()
	app := roomtest.Person(reference)
	app.Customer.Email, app.Customer.Phone = mail, phone
	a := b.Apply(app)
	a = b.Contact(a.Application, "")
	if a.AccountState != muster.AccActive && a.AccountState != muster.AccLimited {
		b.Fatalf("the account is %s", a.AccountState)
	}
	return b.look(a.Application)
}

func (b *bundle) look(application string) *muster.ApplicationRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ApplicationRecord, error) {
		return tx.Application(ctx, application)
	})
}

// end closes an account.
func (b *bundle) end(reference string) {
	b.Helper()
	a := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) {
		return tx.Account(ctx, reference)
	})
	for _, to := range []string{muster.AccClosing, muster.AccClosed} {
		var err error
		if a, err = b.Onboard.MoveAccount(b.Context(), b.Anna, reference, a.Version, onboard.Move{To: to, Reason: "it ended"}); err != nil {
			b.Fatal(err)
		}
	}
	if a.State != muster.AccClosed {
		b.Fatalf("the account is %s", a.State)
	}
}

func (b *bundle) run() retain.Swept {
	b.Helper()
	s, err := b.retain.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// left is what is left of a file.
type left struct {
	keys, seen, claims, evidence, sealed, facts, index int
	gone                                               []string
}

func (b *bundle) left(customer string) left {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (l left, err error) {
		people, err := tx.Subjects(ctx, customer)
		if err != nil {
			return l, err
		}
		for _, p := range people {
			if _, err := b.Vault.Key(ctx, p.Key); err == nil {
				l.keys++
			}
			claims, err := tx.ClaimsOf(ctx, p.ID)
			if err != nil {
				return l, err
			}
			l.claims += len(claims)
		}
		evidence, err := tx.EvidenceOf(ctx, customer)
		if err != nil {
			return l, err
		}
		for _, e := range evidence {
			l.evidence++
			if e.Key != "" && b.alive(e.Key) {
				l.seen++ // keys of what was seen
			}
			if len(e.Sealed) > 0 {
				l.sealed++
			}
		}
		facts, err := tx.FactsOf(ctx, customer)
		if err != nil {
			return l, err
		}
		for _, f := range facts {
			l.facts += len(f)
		}
		c, err := tx.Customer(ctx, customer)
		if err != nil {
			return l, err
		}
		l.gone = c.Gone
		for _, k := range []string{"name", "email", "phone", "card", "ip"} {
			rows, err := tx.IndexPage(ctx, k, muster.IndexRow{}, 1000)
			if err != nil {
				return l, err
			}
			l.index += len(rows)
		}
		return l, nil
	})
}

// alive reports whether a key is in the key store.
func (b *bundle) alive(id string) bool {
	b.Helper()
	_, err := b.Vault.Key(b.Context(), id)
	if err != nil && muster.ErrorCode(err) != muster.CodeGone {
		b.Fatal(err)
	}
	return err == nil
}

// faults makes the stores of this room fail: before the nth transaction or destruction
// of keys, or after it landed. Two erasures write at the same time.
type faults struct {
	mu               sync.Mutex
	n, before, after int
	hit              bool
}

type failing struct {
	store.Room[retain.Tx]
	f *faults
}

func (r failing) InTx(ctx context.Context, fn func(retain.Tx) error) error {
	return r.f.write(func() error { return r.Room.InTx(ctx, fn) })
}

func (f *faults) write(do func() error) error {
	f.mu.Lock()
	f.n++
	before, after := f.n == f.before, f.n == f.after
	f.hit = f.hit || before || after
	f.mu.Unlock()
	if before {
		return roomtest.ErrFault
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return roomtest.ErrFault
	}
	return nil
}

// failingKeys is the key store's part.
type failingKeys struct {
	*vault.Vault
	f *faults
}

func (k failingKeys) Destroy(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return k.Vault.Destroy(ctx, ids)
	}
	return k.f.write(func() error { return k.Vault.Destroy(ctx, ids) })
}

func (f *faults) fail(before, after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.before, f.after, f.hit = 0, before, after, false
}

func (b *bundle) erasures(state string) []*muster.Erasure {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.Erasure, error) {
		return tx.Erasures(ctx, state, muster.Page{Limit: 100})
	})
}
