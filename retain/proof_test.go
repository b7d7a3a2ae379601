package retain_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// proven is a person with a document whose account is in use: of the United States
// where country says so.
func (b *bundle) proven(reference, country, mail, phone string) *muster.ApplicationRecord {
	b.Helper()
	app := roomtest.Person(reference)
	app.Customer.Email, app.Customer.Phone = mail, phone
	app.Customer.Nationalities = []muster.Country{muster.Country(country)}
	a := b.Apply(app)
	b.Document(a.Application, "", roomtest.Passport(country, "P-"+reference))
	x := b.look(a.Application)
	if x.State != muster.AppApproved { // a US person is not asked for more
		b.Contact(a.Application, "")
		x = b.look(a.Application)
	}
	if x.State != muster.AppApproved {
		b.Fatalf("the application is %s", x.State)
	}
	return x
}

// presumed is a person of whom a document showed only a residence elsewhere.
func (b *bundle) presumed(reference, mail, phone string) *muster.ApplicationRecord {
	b.Helper()
	app := roomtest.Person(reference)
	app.Customer.Email, app.Customer.Phone = mail, phone
	a := b.Apply(app)
	b.Document(a.Application, "", `{"type":"residence_permit","issuer":"NG","number":"R-1","issued_on":"2022-03-01","expires_on":"2032-02-28","has_photo":true,
		"attributes":{"name":"supports","residence":"supports"},"shows":{"residence":["NG"]}}`)
	if x := b.look(a.Application); x.State != muster.AppApproved {
		b.Contact(a.Application, "")
	}
	x := b.look(a.Application)
	d, err := b.Onboard.Explain(b.Context(), x.Decision)
	if err != nil || x.State != muster.AppApproved || d.Foreign[b.Subjects(a.Application)["/customer"]] != muster.StatusPresumed {
		b.Fatalf("%s, %+v, %v", x.State, d, err)
	}
	return x
}

// proof is the document of a file.
func (b *bundle) proof(customer string) *muster.EvidenceRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.EvidenceRecord, error) {
		all, err := tx.EvidenceOf(ctx, customer)
		for _, e := range all {
			if e.Method == "document.manual" {
				return e, err
			}
		}
		return nil, err
	})
}

// planned is what a preview of now says of proofs.
func (b *bundle) planned() (due, held int64) {
	b.Helper()
	v, err := b.retain.Preview(b.Context(), b.Clock.Now())
	if err != nil {
		b.Fatal(err)
	}
	c := v.Classes[muster.ClassUSProof]
	return c.Due, c.Held
}

// dropped runs a day, holds it against its preview and reports what went.
func (b *bundle) dropped() int64 {
	b.Helper()
	due, _ := b.planned()
	s := b.run()
	if s.Proofs != due {
		b.Fatalf("%d went, the preview said %d", s.Proofs, due)
	}
	return s.Proofs
}

func (b *bundle) inTx(fn func(context.Context, *store.Tx) error) {
	b.Helper()
	if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error { return fn(b.Context(), tx) }); err != nil {
		b.Fatal(err)
	}
}

// over is the first instant at which what was shown on the first day may go: the day
// after sixty days.
func (b *bundle) over(e *muster.EvidenceRecord) time.Time {
	y, m, d := e.At.UTC().Date()
	return time.Date(y, m, d+61, 0, 0, 0, 0, time.UTC)
}

func TestProofGoesWhenItHasProvedAndNotADayBefore(t *testing.T) {
	both(t, func(b *bundle) {
		us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
		ng := b.proven("ng-1", "NG", "bola@example.com.ng", "+2348031234505")
		presumed := b.presumed("no-1", "carl@example.com.ng", "+2348031234506")
		was := b.proof(us.Customer)
		b.until(b.over(was).Add(-time.Second))
		if n := b.dropped(); n != 0 || len(b.proof(us.Customer).Sealed) == 0 {
			b.Fatalf("a second too early: %d", n)
		}
		b.until(b.over(was))
		if n := b.dropped(); n != 1 {
			b.Fatalf("%d went", n)
		}
		is := b.proof(us.Customer)
		if is == nil || len(is.Sealed) != 0 || is.Dropped.IsZero() || is.Shows["nationality"][0] != "US" ||
			is.Attributes["nationality"] != muster.Supports || is.Method != was.Method || !is.At.Equal(was.At) {
			b.Fatalf("%+v", is)
		}
		for status, customer := range map[string]string{muster.StatusForeign: ng.Customer, muster.StatusPresumed: presumed.Customer} {
			if e := b.proof(customer); len(e.Sealed) == 0 || !e.Dropped.IsZero() {
				b.Errorf("of one who is %s: %+v", status, e)
			}
		}
		c, err := b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: us.Customer, Case: "request-1"})
		if err != nil {
			b.Fatal(err)
		}
		notes := 0
		for _, e := range c.Evidence {
			if e.Note == "dropped after it proved" && e.Seen == nil && e.Method == "document.manual" {
				notes++
			}
		}
		if notes != 1 {
			b.Errorf("%d notes in the copy: %+v", notes, c.Evidence)
		}
		// Decided anew: what it showed still counts.
		id := b.Subjects(us.ID)["/customer"]
		before, err := b.Onboard.Explain(b.Context(), b.look(us.ID).Decision)
		if err != nil {
			b.Fatal(err)
		}
		if err := b.Onboard.Measured(b.Context(), "us-1"); err != nil {
			b.Fatal(err)
		}
		after, err := b.Onboard.Explain(b.Context(), b.look(us.ID).Decision)
		if err != nil {
			b.Fatal(err)
		}
		if before.ID == after.ID || before.Outcome != after.Outcome || before.Foreign[id] != muster.StatusUS || after.Foreign[id] != muster.StatusUS {
			b.Errorf("decided anew: %s %v, was %s %v", after.Outcome, after.Foreign, before.Outcome, before.Foreign)
		}
		if n := b.dropped(); n != 0 {
			b.Errorf("again: %d", n)
		}
		b.Clean()
	})
}

func TestProofStaysWhileSomethingKeepsIt(t *testing.T) {
	both(t, func(b *bundle) {
		us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
		b.until(b.over(b.proof(us.Customer)))
		stays := func(what string, held int64) {
			b.Helper()
			if _, h := b.planned(); h != held {
				b.Errorf("%s: %d held", what, h)
			}
			if n := b.dropped(); n != 0 || len(b.proof(us.Customer).Sealed) == 0 {
				b.Fatalf("%s: it went", what)
			}
		}
		for _, class := range []string{"", muster.ClassUSProof, muster.ClassEvidence} {
			h, err := b.retain.Place(b.Context(), b.Anna.Operator, muster.Hold{
				Customer: us.Customer, Class: class, Ground: muster.HoldLitigation, Case: "1", Review: b.Clock.Now().Add(year),
			})
			if err != nil {
				b.Fatal(err)
			}
			stays("hold of "+class, 1)
			if _, err := b.retain.Lift(b.Context(), b.Anna.Operator, h.ID, h.Version); err != nil {
				b.Fatal(err)
			}
		}
		hit := &muster.HitRecord{
			ID: "hit_1", Customer: us.Customer, Application: us.ID, Of: "subject", List: "ofac.sdn", Listed: []byte("digest"),
			State: muster.HitTrue, Opened: b.Clock.Now(), Changed: b.Clock.Now(), Found: []byte("sealed"), Finding: []byte("sealed"),
		}
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutHit(ctx, hit) })
		stays("true hit", 1)
		hit.State = muster.HitOpen
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutHit(ctx, hit) })
		stays("open hit", 0)
		hit.State = muster.HitFalse
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutHit(ctx, hit) })

		for _, state := range []string{muster.ReviewOpen, muster.ReviewProposed} { // an appeal is one too
			r := &muster.ReviewRecord{ID: "rev_" + state, Application: us.ID, Customer: us.Customer, Decision: us.Decision, State: state, Opened: b.Clock.Now()}
			b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutReview(ctx, r) })
			stays("review "+state, 0)
			r.State = muster.ReviewResolved
			b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutReview(ctx, r) })
		}
		a := b.look(us.ID)
		a.State = muster.AppReview // a refused customer's appeal, or a correction
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutApplication(ctx, a) })
		stays("application in review", 0)
		a = b.look(us.ID)
		a.State = muster.AppApproved
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutApplication(ctx, a) })
		if n := b.dropped(); n != 1 { // none of the above was wanting for another reason
			b.Errorf("%d went when nothing kept it", n)
		}
	})
}

// TestProofIsDroppedWhateverFailed: before and after each durable write the store fails
// once; the next run of a new process drops what is left, once, with one entry.
func TestProofIsDroppedWhateverFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.proven("us-1", "US", "amy@example.com", "+2348031234504")
	for i, n := 0, 1; ; n++ {
		for _, after := range []bool{false, true} {
			i++
			us := b.proven(fmt.Sprintf("us-2-%d", i), "US", fmt.Sprintf("b%d@example.com", i), fmt.Sprintf("+23480312345%02d", i+10))
			b.until(b.over(b.proof(us.Customer)))
			if after {
				b.fail(0, n)
			} else {
				b.fail(n, 0)
			}
			_, err := b.retain.Run(t.Context())
			hit := b.hit
			if hit != (err != nil) {
				t.Fatalf("write %d, after %v: hit %v, %v", n, after, hit, err)
			}
			b.fail(0, 0)
			b.retain = b.service()
			key := b.proof(us.Customer).Key
			if err := b.retain.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			if e := b.proof(us.Customer); len(e.Sealed) == 0 && b.alive(key) {
				t.Errorf("write %d, after %v: what was begun is not finished at the start", n, after)
			}
			b.run()
			if e := b.proof(us.Customer); len(e.Sealed) != 0 || e.Dropped.IsZero() || b.alive(key) {
				t.Errorf("write %d, after %v: it is still there", n, after)
			}
			if due := b.due(); len(due) != 0 {
				t.Errorf("write %d, after %v: %d keys are not said to be gone", n, after, len(due))
			}
			b.Clean()
			if !hit {
				if n < 4 { // intent, key, that it is gone
					t.Fatal("no write failed")
				}
				return
			}
		}
	}
}
