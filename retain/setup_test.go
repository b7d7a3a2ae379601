package retain_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
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
		DB: failing{store.As[retain.Tx](b.DB), b.faults}, Programme: b.Programme, Keys: b.Vault, Staff: b.Staff, Journal: b.Journal,
		Clock: b.Clock.Now, Delay: delay, Share: share,
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
	keys, claims, evidence, sealed, facts, index int
	gone                                         []string
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

// faults makes the store of this room fail: before the nth transaction, or after it landed.
type faults struct {
	n, before, after int
	hit              bool
}

type failing struct {
	store.Room[retain.Tx]
	f *faults
}

func (r failing) InTx(ctx context.Context, fn func(retain.Tx) error) error {
	r.f.n++
	if r.f.n == r.f.before {
		r.f.hit = true
		return roomtest.ErrFault
	}
	n := r.f.n
	if err := r.Room.InTx(ctx, fn); err != nil {
		return err
	}
	if n == r.f.after {
		r.f.hit = true
		return roomtest.ErrFault
	}
	return nil
}

func (f *faults) fail(before, after int) { *f = faults{before: before, after: after} }

func (b *bundle) erasures(state string) []*muster.Erasure {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.Erasure, error) {
		return tx.Erasures(ctx, state, muster.Page{Limit: 100})
	})
}
