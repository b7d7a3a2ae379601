package retain_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
)

const year = 365 * 24 * time.Hour

// stranger waits for a person and uses nothing meanwhile: three countries.
func stranger(reference string) *muster.Application {
	app := roomtest.Person(reference)
	app.Payment.Country, app.Access.IP = "KZ", "51.174.0.10"
	return app
}

func (b *bundle) until(t time.Time) { b.Clock.Move(t.Sub(b.Clock.Now())) }

func TestFileGoesWhenItsTimeIsOverAndNotBefore(t *testing.T) {
	both(t, func(b *bundle) {
		ada := b.customer("ada-1", "ada@example.com.ng", "+2348031234504")
		bola := b.customer("bola-1", "bola@example.com.ng", "+2348031234505")
		before := b.left(ada.Customer)
		b.end("ada-1")
		over := time.Date(2028, 11, 3, 0, 0, 0, 0, time.UTC) // the day after two years from 2 November 2026
		b.until(over.Add(-time.Second))
		if s := b.run(); s.Files != 0 || b.left(ada.Customer).keys != before.keys {
			b.Fatalf("a second too early: %+v", s)
		}
		p, err := b.retain.Preview(b.Context(), over)
		if err != nil || p.Files != 2 || p.Live != 1 || p.Due != 1 || p.Classes[muster.ClassIdentity].Due != 1 || len(p.Classes[muster.ClassIdentity].Packs) != 1 {
			b.Fatalf("%+v, %v", p, err)
		}
		b.until(over)
		if s := b.run(); s.Files != 1 || s.Index == 0 || s.Waits != 0 {
			b.Fatalf("%+v", s)
		}
		after := b.left(ada.Customer)
		if after.keys != 0 || after.claims != 0 || after.evidence != 0 || after.facts >= before.facts || !slices.Contains(after.gone, muster.ClassIdentity) {
			b.Errorf("left: %+v, was %+v", after, before)
		}
		if after.index == 0 || after.index >= before.index*2 {
			b.Errorf("%d rows of the index, %d for one file before", after.index, before.index)
		}
		if got := b.left(bola.Customer); got.keys == 0 || got.claims == 0 || len(got.gone) != 0 {
			b.Errorf("another's file: %+v", got)
		}
		if s := b.run(); s.Files != 0 || s.Index != 0 {
			b.Errorf("again: %+v", s)
		}
		b.Clean()
	})
}

func TestFilesOfWhomNobodyBecameACustomer(t *testing.T) {
	both(t, func(b *bundle) {
		a := b.Apply(stranger("gone-1"))
		v := b.look(a.Application)
		if _, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, v.Version); err != nil {
			b.Fatal(err)
		}
		b.Clock.Move(60 * 24 * time.Hour)
		if s := b.run(); s.Files != 0 {
			b.Fatalf("too early: %+v", s)
		}
		b.Clock.Move(24 * time.Hour)
		if s := b.run(); s.Files != 1 {
			b.Fatalf("%+v", s)
		}
		if got := b.left(v.Customer); got.keys != 0 || got.claims != 0 || got.index != 0 || !slices.Equal(got.gone, []string{muster.ClassAbandoned}) {
			b.Errorf("%+v", got)
		}
		b.Clean()
	})
}

func TestHoldBeatsClockAndRequest(t *testing.T) {
	both(t, func(b *bundle) {
		ctx := b.Context()
		ada := b.customer("ada-1", "ada@example.com.ng", "+2348031234504")
		b.end("ada-1")
		h, err := b.retain.Place(ctx, b.Anna.Operator, muster.Hold{
			Customer: ada.Customer, Ground: muster.HoldLitigation, Case: "2026/17", Review: b.Clock.Now().Add(5 * year),
		})
		if err != nil {
			b.Fatal(err)
		}
		e, err := b.retain.Ask(ctx, "", ada.Customer, muster.GroundRequest)
		if err != nil {
			b.Fatal(err)
		}
		for _, by := range []string{b.Anna.Operator, b.Bea.Operator} {
			if e, err = b.retain.Agree(ctx, by, e.ID, e.Version); err != nil {
				b.Fatal(err)
			}
		}
		b.Clock.Move(3 * year)
		p, err := b.retain.Preview(ctx, b.Clock.Now())
		if err != nil || p.Due != 0 || p.Held != 1 || p.Classes[muster.ClassIdentity].Held != 1 {
			b.Fatalf("%+v, %v", p, err)
		}
		if s := b.run(); s.Files != 0 || b.left(ada.Customer).keys == 0 {
			b.Fatalf("the hold did not hold: %+v", s)
		}
		if h, err = b.retain.Review(ctx, b.Bea.Operator, h.ID, h.Version, b.Clock.Now().Add(year)); err != nil {
			b.Fatal(err)
		}
		if _, err = b.retain.Lift(ctx, b.Bea.Operator, h.ID, h.Version); err != nil {
			b.Fatal(err)
		}
		b.run()
		if got := b.left(ada.Customer); got.keys != 0 || got.claims != 0 {
			b.Errorf("lifted, and left: %+v", got)
		}
		if _, err = b.retain.Lift(ctx, b.Bea.Operator, h.ID, h.Version+1); muster.ErrorCode(err) != muster.CodeIllegalMove {
			b.Errorf("lifted twice: %v", err)
		}
		b.Clean()
	})
}

func TestHoldSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.retain.Place(t.Context(), b.Anna.Operator, muster.Hold{Ground: "whim", Class: "everything", Case: "of Ada!", Review: b.Clock.Now()})
	if got := roomtest.Faulted(err); !slices.Equal(got, []string{"/ground unknown_ground", "/class unknown_class", "/case form", "/review in_past"}) {
		t.Errorf("%v", got)
	}
	_, err = b.retain.Place(t.Context(), b.Anna.Operator, muster.Hold{
		Customer: "cus_none", Ground: muster.HoldOwn, Case: "x", Review: b.Clock.Now().Add(year),
	})
	if muster.ErrorCode(err) != muster.CodeNotFound {
		t.Errorf("a hold on nobody: %v", err)
	}
}

func TestEarlyErasureTakesTwoAndADelay(t *testing.T) {
	both(t, func(b *bundle) {
		ctx := b.Context()
		ada := b.customer("ada-1", "ada@example.com.ng", "+2348031234504")
		e, err := b.retain.Ask(ctx, "", ada.Customer, muster.GroundRequest)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := b.retain.Agree(ctx, b.Anna.Operator, e.ID, e.Version); muster.ErrorCode(err) != muster.CodeIllegalMove {
			b.Fatalf("the account is in use: %v", err)
		}
		b.end("ada-1")
		if again, err := b.retain.Ask(ctx, "", ada.Customer, muster.GroundRequest); err != nil || again.ID != e.ID {
			b.Fatalf("asked twice: %+v, %v", again, err)
		}
		if e, err = b.retain.Agree(ctx, b.Anna.Operator, e.ID, e.Version); err != nil || e.State != muster.ErasureProposed {
			b.Fatalf("%+v, %v", e, err)
		}
		if _, err := b.retain.Agree(ctx, b.Anna.Operator, e.ID, e.Version); muster.ErrorCode(err) != muster.CodeForbidden {
			b.Fatalf("one person was two: %v", err)
		}
		if e, err = b.retain.Agree(ctx, b.Bea.Operator, e.ID, e.Version); err != nil || e.State != muster.ErasureApproved {
			b.Fatalf("%+v, %v", e, err)
		}
		b.Clock.Move(delay - time.Second)
		if b.run(); b.left(ada.Customer).keys == 0 {
			b.Fatal("erased within the delay")
		}
		// Taken back, it does not go; asked anew, it does.
		if _, err := b.retain.TakeBack(ctx, b.Bea.Operator, e.ID, e.Version); err != nil {
			b.Fatal(err)
		}
		b.Clock.Move(time.Hour)
		if b.run(); b.left(ada.Customer).keys == 0 {
			b.Fatal("erased though it was taken back")
		}
		if e, err = b.retain.Ask(ctx, b.Anna.Operator, ada.Customer, muster.GroundError); err != nil {
			b.Fatal(err)
		}
		if e, err = b.retain.Agree(ctx, b.Bea.Operator, e.ID, e.Version); err != nil || e.State != muster.ErasureApproved {
			b.Fatalf("%+v, %v", e, err)
		}
		b.Clock.Move(delay)
		b.run()
		if got := b.left(ada.Customer); got.keys != 0 || got.claims != 0 || got.evidence != 0 {
			b.Errorf("left: %+v", got)
		}
		if _, err := b.retain.TakeBack(ctx, b.Bea.Operator, e.ID, e.Version+2); muster.ErrorCode(err) != muster.CodeIllegalMove {
			b.Errorf("taken back when it was done: %v", err)
		}
		b.Clean()
	})
}

func TestDayOnWhichMuchExpiresWaitsForTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	var files []string
	for i := range 101 {
		a := b.Apply(stranger(fmt.Sprint("p-", i)))
		v := b.look(a.Application)
		if _, err := b.Onboard.Withdraw(ctx, b.Anna, a.Application, v.Version); err != nil {
			t.Fatal(err)
		}
		files = append(files, v.Customer)
	}
	b.Clock.Move(year)
	for range 2 { // it asks once
		if s := b.run(); s.Files != 0 || s.Waits != 101 {
			t.Fatalf("%+v", s)
		}
	}
	asked := b.erasures(muster.ErasureProposed)
	if len(asked) != 1 || asked[0].Ground != muster.GroundMass {
		t.Fatalf("%+v", asked)
	}
	e := asked[0]
	for _, by := range []string{b.Anna.Operator, b.Bea.Operator} {
		var err error
		if e, err = b.retain.Agree(ctx, by, e.ID, e.Version); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.run(); s.Files != 101 || s.Waits != 0 {
		t.Fatalf("%+v", s)
	}
	for _, c := range files {
		if b.left(c).keys != 0 {
			t.Fatalf("%s is still there", c)
		}
	}
	if left := b.erasures(muster.ErasureApproved); len(left) != 0 {
		t.Errorf("it allows another day: %+v", left)
	}
	b.Clean()
}

// TestErasureIsFinishedWhateverFailed: before and after each durable write of a run of
// two erasures, which go on together, the store fails once; the next run of a new
// process leaves nothing, and a clean log.
func TestErasureIsFinishedWhateverFailed(t *testing.T) {
	t.Parallel()
	for n := range writesOfTwo(t) {
		n++
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint("write ", n, " after ", after), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				ended := b.twoEnded()
				if after {
					b.fail(0, n)
				} else {
					b.fail(n, 0)
				}
				_, err := b.retain.Run(t.Context())
				if b.hit != (err != nil) {
					t.Fatalf("hit %v, %v", b.hit, err)
				}
				if !b.hit {
					t.Fatal("it did not fail")
				}
				if open := b.erasures(muster.ErasureBegun); len(open) > 2 {
					t.Errorf("%d are begun", len(open))
				}
				b.fail(0, 0)
				b.retain = b.service()
				// A part of the run that is past where erasures are begun.
				if _, _, err := b.retain.Slice(t.Context(), retain.Cursor{Step: "strays", Began: b.Clock.Now()}, b.Clock.Now()); err != nil {
					t.Fatal(err)
				}
				if open := b.erasures(muster.ErasureBegun); len(open) != 0 {
					t.Errorf("%d are begun still", len(open))
				}
				b.run()
				for _, customer := range ended {
					if got := b.left(customer); got.keys != 0 || got.claims != 0 || got.evidence != 0 || got.index != 0 {
						t.Errorf("left %+v", got)
					}
				}
				b.Clean()
			})
		}
	}
}

// twoEnded are two customers whose time is over; each is an erasure.
func (b *bundle) twoEnded() (customers []string) {
	b.Helper()
	b.retain.Together(1)
	for _, reference := range []string{"ada-1", "bea-1"} {
		a := b.customer(reference, reference+"@example.com.ng", "+2348031234504")
		b.end(reference)
		customers = append(customers, a.Customer)
	}
	b.Clock.Move(3 * year)
	return customers
}

// TestTwoErasuresAreCarriedOutAtATime: the keys of the second go before the first is done.
func TestTwoErasuresAreCarriedOutAtATime(t *testing.T) {
	both(t, func(b *bundle) {
		b.twoEnded()
		two := &twoKeys{Keys: b.retain.Keys, met: make(chan struct{})}
		b.retain.Keys = two
		if swept := b.run(); swept.Files != 2 || two.alone.Load() {
			b.Fatalf("%d files went, one after another: %v", swept.Files, two.alone.Load())
		}
		b.Clean()
	})
}

// twoKeys lets no erasure go on until another has come as far.
type twoKeys struct {
	retain.Keys
	came  atomic.Int64
	met   chan struct{}
	alone atomic.Bool // no other came
}

func (k *twoKeys) Destroy(ctx context.Context, ids []string) error {
	if k.came.Add(1) == 2 {
		close(k.met)
	}
	select {
	case <-k.met:
	case <-time.After(time.Minute):
		k.alone.Store(true)
	}
	return k.Keys.Destroy(ctx, ids)
}

// writesOfTwo counts the durable writes of a run that erases two files, each by itself.
func writesOfTwo(t *testing.T) int {
	b := setup(t)
	b.twoEnded()
	b.fail(0, 0)
	if swept := b.run(); swept.Files != 2 || b.n < 6 {
		t.Fatalf("%d files went by %d writes", swept.Files, b.n)
	}
	if done := b.erasures(muster.ErasureDone); len(done) != 2 {
		t.Fatalf("%d erasures", len(done))
	}
	return b.n
}

// A slice carries out erasures until its time is over, and ends with the files: what
// is kept of how far it came is then that all of them were looked at.
func TestASliceEndsWithItsTimeOrTheFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := b.twoEnded()
	b.retain.Clock = func() time.Time { // time goes by
		b.Clock.Move(time.Second)
		return b.Clock.Now()
	}
	c := retain.Cursor{Step: "files", After: muster.PrefixCustomer, Began: b.Clock.Now()}
	c, done, err := b.retain.Slice(t.Context(), c, b.Clock.Now().Add(2*time.Second))
	if err != nil || done || c.Step != "files" || c.After != slices.Min(ended) || c.Swept.Files != 1 {
		t.Fatalf("%+v, %v, %v", c, done, err)
	}
	c, done, err = b.retain.Slice(t.Context(), c, b.Clock.Now().Add(time.Hour))
	if err != nil || done || c.Step != "records" || c.After != "" || c.Swept.Files != 2 {
		t.Fatalf("%+v, %v, %v", c, done, err)
	}
}

func TestOldRecordsLeaveTombstones(t *testing.T) {
	both(t, func(b *bundle) {
		ada := b.customer("ada-1", "ada@example.com.ng", "+2348031234504")
		b.customer("bola-1", "bola@example.com.ng", "+2348031234505")
		b.end("ada-1")
		b.Clock.Move(12 * year)
		s := b.run()
		if s.Files != 1 || s.Records == 0 {
			b.Fatalf("%+v", s)
		}
		a := b.Audit()
		if !a.Clean() || int64(a.Tombstoned) != s.Records {
			b.Fatalf("%+v, %+v", a, s)
		}
		// The decision under which a live account stands is still there.
		if d, err := b.Onboard.Explain(b.Context(), b.look("bola-1").Decision); err != nil {
			b.Errorf("%+v, %v", d, err)
		}
		if got := b.left(ada.Customer); got.facts != 0 {
			b.Errorf("%+v", got)
		}
	})
}

// A true hit keeps the file for its list's own period, whatever the clock says; then it goes too.
func TestTrueHitKeepsTheFileForItsListsPeriod(t *testing.T) {
	both(t, func(b *bundle) {
		ada := b.customer("ada-1", "ada@example.com.ng", "+2348031234504")
		b.end("ada-1")
		hit := &muster.HitRecord{
			ID: "hit_1", Customer: ada.Customer, Application: ada.ID, Of: "subject", List: "ofac.sdn", Listed: []byte("digest"),
			State: muster.HitTrue, Opened: b.Clock.Now(), Changed: b.Clock.Now(), Keep: b.Clock.Now().Add(10 * year),
			Found: []byte("sealed"), Finding: []byte("sealed"),
		}
		if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error { return tx.PutHit(b.Context(), hit) }); err != nil {
			b.Fatal(err)
		}
		b.Clock.Move(9 * year)
		if p, err := b.retain.Preview(b.Context(), b.Clock.Now()); err != nil || p.Due != 0 || p.Held != 1 {
			b.Fatalf("%+v, %v", p, err)
		}
		if s := b.run(); s.Files != 0 || b.left(ada.Customer).keys == 0 {
			b.Fatalf("erased within the list's period: %+v", s)
		}
		b.Clock.Move(2 * year)
		b.run()
		if got := b.left(ada.Customer); got.keys != 0 || got.claims != 0 {
			b.Errorf("%+v", got)
		}
		hits := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.HitRecord, error) {
			return tx.HitsOf(ctx, ada.Customer)
		})
		if len(hits) != 0 {
			b.Errorf("%d hits are left", len(hits))
		}
	})
}
