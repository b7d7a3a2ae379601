package onboard_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

const sdn = "ofac.sdn"

// crowd has n customers, each of a name of their own; some are a company.
func crowd(t *testing.T, o roomtest.Options, n int) (*bundle, []string) {
	t.Helper()
	b := setupWith(t, o)
	b.Config.SweepPage = 4
	b.Onboard = onboard.New(b.Config)
	var ids []string
	for i := range n {
		app := roomtest.Person(fmt.Sprintf("app-%d", i))
		app.Customer.Name.Full = nameOf(i)
		app.Customer.Phone = fmt.Sprintf("+23480312345%02d", i)
		ids = append(ids, b.Apply(app).Application)
	}
	return b, ids
}

// nameOf is the ith name: no two are alike.
func nameOf(i int) string {
	given := []string{"Chidinma", "Torvald", "Guadalupe", "Przemyslaw", "Aylin", "Haruto"}
	family := []string{"Okafor", "Lindqvist", "Villanueva", "Kowalczyk", "Demirtas", "Yamaguchi", "Obradovic"}
	return given[i%len(given)] + " " + family[i%len(family)]
}

// order enqueues the sweep of a change and claims its job.
func (b *bundle) order(list, from, to string) *muster.Job {
	b.Helper()
	payload := asJSON(b.TB.(*testing.T), muster.SweepOrder{List: list, From: from, To: to})
	b.tx(func(tx *store.Tx) error {
		return tx.Enqueue(b.Context(), &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobSweep, Ref: list, Payload: payload})
	})
	return b.claim()
}

func (b *bundle) tx(fn func(tx *store.Tx) error) {
	b.Helper()
	if err := b.DB.InTx(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

// claim takes the job, as another process does once the lease of the one before is over.
func (b *bundle) claim() (job *muster.Job) {
	b.Helper()
	b.Clock.Move(time.Minute)
	b.tx(func(tx *store.Tx) error {
		jobs, err := tx.Claim(b.Context(), []string{muster.JobSweep, muster.JobTune}, "test", 1, time.Minute)
		if err == nil && len(jobs) == 1 {
			job = jobs[0]
		}
		return err
	})
	if job == nil {
		b.Fatal("there is no job of a sweep")
	}
	return job
}

// sweepAll runs a sweep to its end.
func (b *bundle) sweepAll(job *muster.Job) *muster.SweepRecord {
	b.Helper()
	for range 100 {
		s, err := b.Onboard.Sweep(b.Context(), job)
		if err != nil {
			b.Fatal(err)
		}
		if s.Done {
			b.tx(func(tx *store.Tx) error { return tx.Finish(b.Context(), job.ID, job.Fence) })
			all := b.sweeps()
			return all[len(all)-1]
		}
		b.Clock.Move(s.After)
	}
	b.Fatal("the sweep does not end")
	return nil
}

func (b *bundle) sweeps() []*muster.SweepRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.SweepRecord, error) {
		return tx.Sweeps(ctx, muster.Page{Limit: 10})
	})
}

func (b *bundle) openHits() (of []string) {
	b.Helper()
	rows := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.HitRecord, error) {
		return tx.Hits(ctx, "open", muster.Page{Limit: 100})
	})
	for _, r := range rows {
		of = append(of, r.Application)
	}
	slices.Sort(of)
	return of
}

func TestSweepFindsWhomAChangeOfAListMeets(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite":   func(*testing.T) roomtest.Options { return roomtest.Options{} },
		"postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ids := crowd(t, o(t), 11)
			one := b.Lists.Put(sdn, roomtest.Listed("1", nameOf(7)), roomtest.Listed("2", "Nobody Whatsoever"))
			r := b.sweepAll(b.order(sdn, "", one))
			if r.Done != 11 || r.Total != 11 || r.Affected != 1 || r.Ended.IsZero() || r.Stage != "done" {
				t.Errorf("%+v", r)
			}
			if got := b.openHits(); !slices.Equal(got, []string{ids[7]}) {
				t.Errorf("hits of %v, want %s", got, ids[7])
			}
			v := b.look(ids[7])
			b.is(&v.Answer, muster.AppReview, muster.AccLimited, muster.OutcomeReview) // a decision by the pack: what may be used stays as it was
			if d := b.decisions(ids[3]); d != 1 {
				t.Errorf("%d decisions of a customer whom nothing meets", d)
			}
			// An entry goes, another comes, a third changes.
			two := b.Lists.Put(sdn, roomtest.Listed("2", nameOf(2)), roomtest.Listed("3", nameOf(10)))
			b.sweepAll(b.order(sdn, one, two))
			want := []string{ids[10], ids[2]}
			slices.Sort(want)
			if got := b.openHits(); !slices.Equal(got, want) {
				t.Errorf("hits of %v, want %v", got, want)
			}
			v = b.look(ids[7])
			b.is(&v.Answer, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
			a := b.Audit()
			if !a.Clean() || a.ByType["use_start"] == 0 || a.ByType["use_start"] != a.ByType["use_end"] {
				t.Errorf("%v: %v", a.ByType, a.Findings)
			}
		})
	}
}

func (b *bundle) decisions(application string) int {
	b.Helper()
	return len(roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.DecisionRecord, error) {
		app, err := tx.Application(ctx, application)
		if err != nil {
			return nil, err
		}
		return tx.DecisionsOf(ctx, app.Customer, app.ID, muster.Page{Limit: 100})
	}))
}

// Killed at whichever write, a sweep goes on where it was and finds the same.
func TestSweepGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b, ids := crowd(t, roomtest.Options{}, 11)
	digest := b.Lists.Put(sdn, roomtest.Listed("1", nameOf(3)), roomtest.Listed("2", nameOf(9)))
	job := b.order(sdn, "", digest)
	failures, reached := 0, 0
	for try := range 60 {
		b.Faults.FailWrite(try%3 + 1)
		if try > 40 {
			b.Faults.Off()
		}
		s, err := b.Onboard.Sweep(b.Context(), job)
		if err != nil {
			failures++
		}
		b.Faults.Off()
		if rows := b.sweeps(); len(rows) == 1 {
			if rows[0].Done < reached {
				t.Fatalf("went back from %d to %d", reached, rows[0].Done)
			}
			reached = rows[0].Done
		}
		if s.Done {
			break
		}
		if s.After > 0 {
			b.Clock.Move(s.After)
		}
	}
	if failures < 3 {
		t.Errorf("only %d failures", failures)
	}
	r := b.sweeps()[0]
	if r.Done != 11 || r.Stage != "done" {
		t.Errorf("%+v", r)
	}
	want := []string{ids[3], ids[9]}
	slices.Sort(want)
	if got := b.openHits(); !slices.Equal(got, want) {
		t.Errorf("hits of %v, want %v", got, want)
	}
	if n := b.decisions(ids[3]); n != 2 {
		t.Errorf("%d decisions of one who was met, want 2", n)
	}
	b.Clean()
}

// A process that lost its job writes nothing more.
func TestSweepOfALostJobStops(t *testing.T) {
	t.Parallel()
	b, _ := crowd(t, roomtest.Options{}, 6)
	digest := b.Lists.Put(sdn, roomtest.Listed("1", "Nobody Whatsoever"))
	old := b.order(sdn, "", digest)
	b.claim() // the lease is over: another process has it
	_, err := b.Onboard.Sweep(muster.WithFence(b.Context(), old.Held()), old)
	b.fails(err, muster.CodeStale)
	if n := len(b.sweeps()); n != 0 {
		t.Errorf("%d sweeps", n)
	}
}

// Who is decided by a process that still has the list of before is found in the tail.
func TestSweepLooksAgainAtWhoWasDecidedMeanwhile(t *testing.T) {
	t.Parallel()
	b, _ := crowd(t, roomtest.Options{}, 2)
	one := b.Lists.Put(sdn, roomtest.Listed("1", "Nobody Whatsoever"))
	behind := b.Config
	behind.Lists = standing{b.Lists.Watch()} // another process, a second behind
	late := onboard.New(behind)
	two := b.Lists.Put(sdn, roomtest.Listed("1", nameOf(5)))
	job := b.order(sdn, one, two)
	s, err := b.Onboard.Sweep(b.Context(), job)
	if err != nil || s.Done || s.After <= 0 {
		t.Fatal(s, err)
	}
	app := roomtest.Person("app-late")
	app.Customer.Name.Full = nameOf(5)
	a, err := late.Apply(b.Context(), b.Anna, roomtest.JSON(app))
	if err != nil || a.State != muster.AppNeeds {
		t.Fatal(a, err)
	}
	b.Clock.Move(s.After)
	b.sweepAll(job)
	if got := b.openHits(); !slices.Equal(got, []string{a.Application}) {
		t.Errorf("hits of %v", got)
	}
	// A process that has not loaded the list yet puts the sweep off.
	s, err = late.Sweep(b.Context(), b.order(sdn, one, two))
	if err != nil || s.Done || s.Code != "not_loaded" {
		t.Error(s, err)
	}
}

// standing is lists that do not change.
type standing struct{ w *onboard.Watch }

func (s standing) Watch() *onboard.Watch { return s.w }

func (s standing) Touched(context.Context, muster.SweepOrder) ([]string, []string, error) {
	return nil, nil, nil
}
