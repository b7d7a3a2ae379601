package onboard_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// recohort changes a cohort as it stands.
func (b *bundle) recohort(by muster.Principal, o onboard.CohortOrder) (c *muster.CohortCount, done bool) {
	b.Helper()
	now, err := b.Onboard.Cohort(b.Context(), "all")
	if err == nil {
		c, done, err = b.Onboard.ChangeCohort(b.Context(), by, "all", now.Version, o)
	}
	if err != nil {
		b.Fatal(err)
	}
	return c, done
}

// said are the entries about the cohort, oldest first: what, who.
func (b *bundle) said() (list []string) {
	b.Helper()
	all := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) ([]*muster.EntryRecord, error) {
		return tx.Entries(ctx, muster.Page{Limit: 1000})
	})
	slices.SortFunc(all, func(a, b *muster.EntryRecord) int { return int(a.Leaf - b.Leaf) })
	for _, e := range all {
		if e.About != (muster.Ref{Kind: "cohort", ID: "all"}) {
			continue
		}
		var body struct{ What, Case string }
		if err := json.Unmarshal(e.Body, &body); err != nil || body.Case == "" {
			b.Fatalf("%s, %v", e.Body, err)
		}
		list = append(list, body.What+" "+e.Operator)
	}
	return list
}

// jobs are those of cohorts that are due.
func (b *bundle) jobs() (jobs []*muster.Job) {
	b.Helper()
	if err := b.DB.InTx(b.Context(), func(tx *store.Tx) (err error) {
		jobs, err = tx.Claim(b.Context(), []string{muster.JobCohort}, "test", 100, time.Hour)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return jobs
}

func TestACohortMovesSoonerWithOneAndLaterWithTwo(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"SQLite":     func(*testing.T) roomtest.Options { return roomtest.Options{} },
		"PostgreSQL": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			due := roomtest.Start.Add(90 * day)
			id := b.openImport("all", due, 50)
			var lines []string
			for _, n := range []string{"a", "b", "c", "d"} {
				lines = append(lines, customerLine(roomtest.Person(n), ""))
			}
			b.took(b.takeLines(id, 1, lines...), 4, 0)
			b.endImport(id)

			// Sooner, by one, at once; and a job is there in time.
			sooner := roomtest.Start.Add(10 * day)
			if c, done := b.recohort(b.Anna, onboard.CohortOrder{Due: sooner, Case: "law-1"}); !done || !c.Due.Equal(sooner) || c.Share != 50 || c.Adopted != 4 {
				t.Fatalf("%+v %v", c, done)
			}
			b.Clock.Move(10*day - time.Second)
			if n := len(b.jobs()); n != 0 {
				t.Fatalf("%d jobs before it is due", n)
			}
			b.Clock.Move(time.Second)
			first := b.jobs()
			if len(first) != 1 {
				t.Fatalf("%d jobs when it is due", len(first))
			}
			if s := b.reachDue("all"); s.Code != "share_of_the_day" {
				t.Fatalf("%+v", s)
			}
			// A larger share goes on the same day.
			if c, done := b.recohort(b.Bea, onboard.CohortOrder{Share: 75, Case: "desk-1"}); !done || c.Share != 75 || c.Decided != 2 || c.Today != 2 {
				t.Fatalf("%+v %v", c, done)
			}
			made := b.jobs()
			if len(made) != 1 {
				t.Fatalf("%d jobs for a larger share", len(made))
			}
			// The one before leaves it to this one: two that wake together are one share.
			if s, err := b.Onboard.CohortDue(b.Context(), first[0]); err != nil || !s.Done || s.Code != "another" {
				t.Fatalf("%+v %v", s, err)
			}
			if c, err := b.Onboard.Cohort(b.Context(), "all"); err != nil || c.Today != 2 {
				t.Fatalf("%+v %v", c, err)
			}
			if s := b.reachDue("all"); s.Code != "share_of_the_day" {
				t.Fatalf("%+v", s)
			}
			if c, err := b.Onboard.Cohort(b.Context(), "all"); err != nil || c.Today != 3 {
				t.Fatalf("%+v %v", c, err)
			}

			// Later, by one: nothing changes.
			later := roomtest.Start.Add(400 * day)
			c, done := b.recohort(b.Anna, onboard.CohortOrder{Due: later, Share: 1, Case: "desk-2"})
			if done || !c.Due.Equal(sooner) || c.Share != 75 || c.Change == nil || !c.Change.Due.Equal(later) || c.Change.Share != 1 || c.Change.By != b.Anna.Operator {
				t.Fatalf("%+v %v", c, done)
			}
			_, err := b.Onboard.AgreeCohort(b.Context(), b.Anna, "all", c.Version)
			b.fails(err, muster.CodeForbidden)
			_, err = b.Onboard.AgreeCohort(b.Context(), b.Bea, "all", c.Version-1)
			b.fails(err, muster.CodeStale)
			// Taken back, it cannot be agreed to.
			if c, done = b.recohort(b.Bea, onboard.CohortOrder{Due: sooner, Case: "desk-3"}); !done || c.Change != nil || !c.Due.Equal(sooner) {
				t.Fatalf("%+v %v", c, done)
			}
			_, err = b.Onboard.AgreeCohort(b.Context(), b.Bea, "all", c.Version)
			b.fails(err, muster.CodeIllegalMove)
			// Who proposed it last is who may not agree.
			b.recohort(b.Anna, onboard.CohortOrder{Due: later.Add(day), Case: "desk-4"})
			c, _ = b.recohort(b.Bea, onboard.CohortOrder{Due: later, Case: "desk-4"})
			_, err = b.Onboard.AgreeCohort(b.Context(), b.Bea, "all", c.Version)
			b.fails(err, muster.CodeForbidden)
			if c, err = b.Onboard.AgreeCohort(b.Context(), b.Anna, "all", c.Version); err != nil || !c.Due.Equal(later) || c.Share != 75 || c.Change != nil || c.Decided != 3 {
				t.Fatalf("%+v %v", c, err)
			}
			// It rests until then; who was decided stays decided, and the last comes in his time.
			b.Clock.Move(day)
			if s := b.reachDue("all"); s.Code != "not_due" {
				t.Fatalf("%+v", s)
			}
			b.Clock.Move(390 * day)
			if s := b.reachDue("all"); !s.Done {
				t.Fatalf("%+v", s)
			}
			if v := b.look("a"); v.Adopted.Decided.IsZero() || !v.Adopted.Due.Equal(later) {
				t.Fatalf("%+v", v.Adopted)
			}
			anna, bea := b.Anna.Operator, b.Bea.Operator
			want := []string{"changed " + anna, "changed " + bea, "proposed " + anna, "taken_back " + bea, "proposed " + anna, "proposed " + bea, "agreed " + anna}
			if got := b.said(); !slices.Equal(got, want) {
				t.Errorf("the entries are %q, want %q", got, want)
			}
			b.Clean()
		})
	}
}

func TestChangesOfACohortThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openImport("all", roomtest.Start.Add(90*day), 0)
	now, err := b.Onboard.Cohort(b.Context(), "all")
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, version int64, o onboard.CohortOrder) error {
		_, _, err := b.Onboard.ChangeCohort(b.Context(), b.Anna, name, version, o)
		return err
	}
	for fault, o := range map[string]onboard.CohortOrder{
		"/due required": {Case: "c-1"},
		"/share format": {Share: 101, Case: "c-1"},
		"/case format":  {Share: 5, Case: "of Ada!"},
	} {
		b.fails(change("all", now.Version, o), muster.CodeInvalid, fault)
	}
	b.fails(change("none", 1, onboard.CohortOrder{Share: 5, Case: "c-1"}), muster.CodeNotFound)
	b.fails(change("all", now.Version+1, onboard.CohortOrder{Share: 5, Case: "c-1"}), muster.CodeStale)
	if c, done := b.recohort(b.Anna, onboard.CohortOrder{Due: now.Due, Share: now.Share, Case: "c-1"}); !done || c.Version != now.Version {
		t.Errorf("what is in force changed the row: %+v", c)
	}
	if got := b.said(); got != nil {
		t.Errorf("entries of what was refused: %q", got)
	}
}

// Who shows enough on the day is decided beside the date, and does not count against its share.
func TestTheShareOfADayIsOfItsDate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	due := roomtest.Start.Add(10 * day)
	id := b.openImport("all", due, 50)
	var lines []string
	for _, n := range []string{"early", "b", "c", "d"} {
		lines = append(lines, customerLine(roomtest.Person(n), ""))
	}
	b.took(b.takeLines(id, 1, lines...), 4, 0)
	b.endImport(id)
	b.Clock.Move(10 * day)
	v := b.look("early")
	b.Contact(v.Application, "")
	b.is(b.Document(v.Application, "", roomtest.Passport("NG", "A0EARLY")), muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	is := func(decided, today int) {
		t.Helper()
		c, err := b.Onboard.Cohort(t.Context(), "all")
		if err != nil || c.Decided != decided || c.Today != today {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	is(1, 0)
	if s := b.reachDue("all"); s.Code != "share_of_the_day" {
		t.Fatalf("%+v", s)
	}
	is(3, 2)
	b.Clock.Move(day)
	if s := b.reachDue("all"); !s.Done {
		t.Fatalf("%+v", s)
	}
	is(4, 1)
	b.Clean()
}
