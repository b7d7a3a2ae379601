package onboard_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// Source is the digest of a file in tests.
var source = strings.Repeat("ab", 32)

// customerLine is a line of a book; more is what stands beside the application.
func customerLine(app *muster.Application, more string) string {
	return `{"type":"customer","customer":{"application":` + string(roomtest.JSON(app)) + more + `}}`
}

func (b *bundle) openImport(cohort string, due time.Time, share int) string {
	b.Helper()
	r, _, err := b.Onboard.OpenImport(b.Context(), b.Anna, onboard.ImportOrder{Cohort: cohort, Due: due, Share: share, Source: source})
	if err != nil {
		b.Fatal(err)
	}
	return r.ID
}

func (b *bundle) takeLines(id string, first int, lines ...string) *onboard.ImportLines {
	b.Helper()
	out, err := b.Onboard.TakeLines(b.Context(), b.Anna, id, first, []byte(strings.Join(lines, "\n")))
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (b *bundle) endImport(id string) *muster.ImportRecord {
	b.Helper()
	r, err := b.Onboard.EndImport(b.Context(), b.Anna, id)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// took wants lines taken, there and refused ("line pointer code").
func (b *bundle) took(out *onboard.ImportLines, taken, there int, refused ...string) {
	b.Helper()
	var faults []string
	for _, r := range out.Refused {
		for _, f := range r.Faults {
			faults = append(faults, fmt.Sprintf("%d %s %s", r.Line, f.Pointer, f.Code))
		}
	}
	if out.Taken != taken || out.There != there || !slices.Equal(faults, refused) {
		b.Fatalf("taken %d, there %d, refused %q; want %d, %d, %q", out.Taken, out.There, faults, taken, there, refused)
	}
}

// reachDue lets the cohort's job run once.
func (b *bundle) reachDue(cohort string) onboard.SweepState {
	b.Helper()
	s, err := b.Onboard.CohortDue(b.Context(), &muster.Job{ID: "~", Ref: cohort})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func TestABookComesIn(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"SQLite":     func(*testing.T) roomtest.Options { return roomtest.Options{Listens: true} },
		"PostgreSQL": func(t *testing.T) roomtest.Options { o := onPostgres(t); o.Listens = true; return o },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			g := setupGated(b)
			due := roomtest.Start.Add(30 * day)
			id := b.openImport("2019", due, 50)
			reseller := roomtest.Company("reseller")
			below := roomtest.Person("below")
			below.Parent = &muster.Parent{Account: "reseller", Relation: muster.RelationSubLessee}
			lines := []string{
				customerLine(below, ""), // its parent comes later
				customerLine(roomtest.Person("p-1"), `,"since":"2019-03-01","accounts":[{"account":"p-1-b","since":"2020-01-01"}]`),
				customerLine(reseller, `,"evidence":[{"method":"document.manual","kind":"documentary","attributes":{"name":"supports"},"assurance":"high","at":"2020-01-01","details":{"seen":"extract"}}]`),
				"",
				customerLine(roomtest.Person("gone"), `,"state":"closed","closed":"2025-05-01","since":"2018-01-01"`),
				customerLine(roomtest.Person("p-1"), ""), // the same reference, other content
			}
			out := b.takeLines(id, 1, lines...)
			b.took(out, 3, 0, "1 /customer/application/parent/account unknown_account", "6 /customer/application/reference taken")
			out = b.takeLines(id, 1, lines...) // what was refused because of the order is taken now
			b.took(out, 1, 3, "6 /customer/application/reference taken")
			out = b.takeLines(id, 1, lines...)
			b.took(out, 0, 4, "6 /customer/application/reference taken")
			r := b.endImport(id)
			if r.Taken != 4 || r.There != 0 || r.Refused != 1 || r.Place != 6 || r.Report.Later != 0 || len(r.Report.Lines) != 1 {
				t.Fatalf("%+v", r)
			}

			g.hears()
			for _, account := range []string{"p-1", "p-1-b", "reseller", "below"} {
				g.says(account, muster.ActionAddGPU, true, "")
			}
			g.says("gone", muster.ActionUse, false, "closed")
			v := b.look("p-1")
			b.is(&v.Answer, muster.AppReceived, muster.AccActive, muster.OutcomeOpen)
			if !v.Observe || v.Adopted == nil || v.Adopted.Cohort != "2019" || !v.Adopted.Due.Equal(due) || v.Subjects[0].Foreign != muster.StatusPresumed {
				t.Fatalf("%+v", v)
			}
			seen := 0
			for _, x := range b.look("reseller").Subjects {
				if len(x.Evidence) > 0 && x.Pointer == "/customer" {
					seen++
				}
			}
			if seen != 1 {
				t.Fatal("no evidence")
			}
			if a := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, "p-1") }); !a.Opened.Equal(time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC)) {
				t.Fatalf("opened %v", a.Opened)
			}
			// Nothing is sent, nothing waits but the cohort.
			jobs := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*store.Counts, error) { return tx.Counts(ctx) })
			for kind, n := range jobs.Jobs {
				if kind != muster.JobCohort && n > 0 {
					t.Fatalf("a job: %s", kind)
				}
			}
			b.Clean()

			// Half of three a day, rounded up.
			if s := b.reachDue("2019"); s.Done || s.Code != "not_due" {
				t.Fatalf("%+v", s)
			}
			b.Clock.Move(30*day + time.Hour)
			if s := b.reachDue("2019"); s.Code != "share_of_the_day" {
				t.Fatalf("%+v", s)
			}
			if c, err := b.Onboard.Cohorts(b.Context()); err != nil || len(c) != 1 || c[0].Adopted != 3 || c[0].Decided != 2 || c[0].Today != 2 {
				t.Fatalf("%+v %v", c, err)
			}
			b.Clock.Move(day)
			if s := b.reachDue("2019"); !s.Done {
				t.Fatalf("%+v", s)
			}
			v = b.look("p-1")
			if v.State != muster.AppNeeds || v.AccountState != muster.AccLimited || v.Observe || v.Adopted.Decided.IsZero() || !v.Received.After(due) {
				t.Fatalf("%+v", v)
			}
			g.hears()
			g.says("p-1", muster.ActionAddGPU, false, "limit_gpu")
			// From here it goes on as with anybody: codes and papers open it.
			b.Contact(v.Application, "")
			a := b.Document(v.Application, "", roomtest.Passport("NG", "A0P1"))
			b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
			b.Clean()
		})
	}
}

// Before a cohort is due a customer may show who they are, and nothing that is
// missing is held against them; what opens them is for good.
func TestBeforeACohortIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.openImport("all", roomtest.Start.Add(90*day), 0)
	b.took(b.takeLines(id, 1, customerLine(roomtest.Person("early"), ""), customerLine(roomtest.Person("idle"), "")), 2, 0)
	b.endImport(id)
	v := b.look("early")
	a := b.Contact(v.Application, "")
	b.is(a, muster.AppNeeds, muster.AccActive, muster.OutcomeVerify)
	if !a.Observe {
		t.Fatal("it was enforced")
	}
	b.Clock.Move(60 * day) // past every term of an application
	if err := b.Onboard.Due(b.Context(), v.Application); err != nil {
		t.Fatal(err)
	}
	v = b.look("early")
	b.is(&v.Answer, muster.AppNeeds, muster.AccActive, muster.OutcomeVerify)
	a = b.Document(v.Application, "", roomtest.Passport("NG", "A0EARLY"))
	if a.Decision.Outcome == muster.OutcomeVerify { // the codes are older than they may be
		a = b.Contact(v.Application, "")
	}
	b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	if v := b.look("early"); v.Observe || v.Adopted.Decided.IsZero() {
		t.Fatalf("%+v", v.Adopted)
	}
	b.Clean()
}

// What a list says is enforced on everybody, and a sweep finds who came in with a book.
func TestASweepFindsWhoCameWithABook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	entry := roomtest.Listed("1", "Zebedee Quillfeather")
	entry.Identifiers = []muster.ListedIdentifier{{Kind: muster.IdentEmail, Value: "zq@example.org"}}
	b.Lists.Put("own.bad", entry)
	id := b.openImport("all", roomtest.Start.Add(90*day), 0)
	bad := roomtest.Person("bad")
	bad.Customer.Name.Full, bad.Customer.Email = "Zebedee Quillfeather", "zq@example.org"
	b.took(b.takeLines(id, 1, customerLine(bad, ""), customerLine(roomtest.Person("good"), "")), 2, 0)
	v := b.look("bad")
	b.is(&v.Answer, muster.AppReceived, muster.AccActive, muster.OutcomeOpen)
	b.endImport(id)
	var job *muster.Job
	if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error {
		jobs, err := tx.Claim(b.Context(), []string{muster.JobSweep}, "test", 1, time.Minute)
		if err == nil && len(jobs) == 1 {
			job = jobs[0]
		}
		return err
	}); err != nil || job == nil {
		t.Fatalf("no sweep: %v", err)
	}
	if _, err := b.Onboard.Sweep(b.Context(), job); err != nil {
		t.Fatal(err)
	}
	v = b.look("bad")
	if v.Decision.Outcome.Severity() < muster.OutcomeReview.Severity() {
		t.Fatalf("nothing was found: %s", v.Decision.Outcome)
	}
	if v := b.look("good"); v.AccountState != muster.AccActive || v.State != muster.AppReceived {
		t.Fatalf("%+v", v.Answer)
	}
	b.Clean()
}

// Of many files that end one after another, one look at everybody does for all that had
// ended before it began.
func TestManyFilesAreSweptOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Lists.Put("own.bad", roomtest.Listed("1", "Zebedee Quillfeather"))
	file := func(n int) {
		t.Helper()
		r, _, err := b.Onboard.OpenImport(b.Context(), b.Anna, onboard.ImportOrder{Cohort: "all", Due: roomtest.Start.Add(90 * day), Source: fmt.Sprintf("%064x", n)})
		if err != nil {
			t.Fatal(err)
		}
		b.took(b.takeLines(r.ID, 1, customerLine(roomtest.Person(fmt.Sprint("p", n)), "")), 1, 0)
		b.endImport(r.ID)
	}
	// begin takes the jobs that wait, and says how many there were.
	begin := func(kind string) (n int) {
		t.Helper()
		if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error {
			jobs, err := tx.Claim(b.Context(), []string{kind}, "test", 100, time.Hour)
			n = len(jobs)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for n := range 3 {
		file(n)
	}
	if n := begin(muster.JobSweep); n != 1 {
		t.Errorf("%d sweeps of one list wait", n)
	}
	file(3) // the sweep has begun: it may have passed by
	if n := begin(muster.JobSweep); n != 1 {
		t.Errorf("%d sweeps wait for who came after one began", n)
	}
	b.Clock.Move(91 * day)
	if n := begin(muster.JobCohort); n != 1 {
		t.Errorf("%d jobs decide one cohort", n)
	}
	file(4)
	if n := begin(muster.JobCohort); n != 1 {
		t.Errorf("%d jobs decide who came after one began", n)
	}
}

// A value shared with somebody whose account was closed for abuse is counted.
func TestClosedForAbuseCounts(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Packs: []string{variant(t,
		"  - {name: customers_per_phone, of: phone, count: customers, roles: [customer], text: Distinct customers who gave one telephone number as their own.}",
		"  - {name: customers_per_phone, of: phone, count: abusers, text: Closed for abuse.}")}})
	id := b.openImport("all", roomtest.Start.Add(90*day), 0)
	abuser, left := roomtest.Person("abuser"), roomtest.Person("left")
	abuser.Customer.Phone, left.Customer.Phone = "+4930123456", "+4930123457"
	b.took(b.takeLines(id, 1,
		customerLine(abuser, `,"state":"closed","closed":"2025-05-01","ground":"abuse"`),
		customerLine(left, `,"state":"closed","closed":"2025-05-01","ground":"left"`)), 2, 0)
	for reference, shares := range map[string]struct {
		phone string
		n     int64
	}{"n-1": {"+49 30 123456", 1}, "n-2": {"+49 30 123457", 0}} {
		app := roomtest.Person(reference)
		app.Customer.Phone = shares.phone
		a := b.Apply(app)
		if got := b.facts(a.Decision.ID).Counts["customers_per_phone"]; got != shares.n {
			t.Errorf("%s: %d, want %d", reference, got, shares.n)
		}
	}
	if v := b.look("abuser"); v.Adopted.Ground != "abuse" || v.State != muster.AppWithdrawn {
		t.Fatalf("%+v", v)
	}
}

// Faults name line and field; no value is in them, nor in the report.
func TestFaultsOfABook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.openImport("all", roomtest.Start, 0)
	bad := roomtest.Person("bad")
	bad.Customer.Email, bad.Customer.Phone = "SECRET at example.org", "SECRET"
	card := roomtest.Person("card")
	out := b.takeLines(id, 11,
		customerLine(bad, ""),
		`{"type":"customer","customer":{"application":{"reference":"SECRET SECRET"}}}`,
		`SECRET`,
		`{"type":"lease","lease":{"account":"a","resource":"SECRET"}}`,
		customerLine(card, `,"accounts":[{"account":"4111111111111111"}]`),
		customerLine(roomtest.Person("who"), `,"evidence":[{"subject":"/beneficial_owners/3","method":"x","kind":"documentary","attributes":{"name":"supports"},"assurance":"high","at":"2020-01-01"}]`),
		customerLine(roomtest.Person("good"), ""),
	)
	if out.Taken != 1 || len(out.Refused) != 6 || out.Refused[0].Line != 11 || out.Refused[5].Line != 16 {
		t.Fatalf("%+v", out)
	}
	all := asJSON(t, out)
	for _, want := range []string{"/customer/application/customer/email", "/lease/resource", "/customer/accounts/0/account", "/customer/evidence/0/subject"} {
		if !bytes.Contains(all, []byte(want)) {
			t.Errorf("%s is not in %s", want, all)
		}
	}
	r := b.endImport(id)
	rows := asJSON(t, r)
	if bytes.Contains(all, []byte("SECRET")) || bytes.Contains(rows, []byte("SECRET")) || bytes.Contains(all, []byte("41111111")) {
		t.Fatalf("a value is in %s or %s", all, rows)
	}
}

// Every write of a chunk may fail, and the answer may get lost: sent again, each line
// is there once.
// A line is named by its own number, whatever is wrong with it: who sent it keeps the one
// of that number to be corrected.
func TestALineThatIsRefusedIsNamedByItsNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.openImport("all", roomtest.Start.Add(90*day), 0)
	numbered := func(n int, text string) string { return fmt.Sprintf(`{"line":%d,%s`, n, text[1:]) }
	out := b.takeLines(id, 1,
		numbered(20, customerLine(roomtest.Person("good"), "")),
		numbered(30, customerLine(roomtest.Person("closed"), `,"state":"closed"`)), // read whole, and at fault
		numbered(40, `{"type":"customer","nonsense":{}}`),
		numbered(50, `{"type":"customer","customer":{"application":`), // broken off
		`no object`,
		strings.Replace(customerLine(roomtest.Person("late"), `,"state":"closed"`), `"type"`, `"line":70,"type"`, 1),
	)
	b.took(out, 1, 0, "30 /customer/closed required", "40  unknown_field", "50  json", "51  json", "70 /customer/closed required")
	if out.Place != 70 {
		t.Errorf("done up to line %d", out.Place)
	}
}

func TestALineIsTakenOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.openImport("all", roomtest.Start.Add(day), 0)
	lines := []string{customerLine(roomtest.Person("a"), ""), customerLine(roomtest.Company("b"), `,"evidence":[{"method":"x","kind":"documentary","attributes":{"name":"supports"},"assurance":"high","at":"2020-01-01"}]`)}
	for n := 1; ; n++ {
		b.Faults.FailWrite(n)
		_, err := b.Onboard.TakeLines(b.Context(), b.Anna, id, 1, []byte(strings.Join(lines, "\n")))
		if !b.Faults.Off() {
			if n < 10 {
				t.Fatalf("only %d writes", n)
			}
			break
		}
		b.fails(err, muster.CodeUnavailable)
		if c := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (int, error) { return tx.CountCustomers(ctx) }); c != 0 {
			t.Fatalf("%d customers after a failure", c)
		}
	}
	b.Faults.FailAfter()
	_, err := b.Onboard.TakeLines(b.Context(), b.Anna, id, 3, []byte(customerLine(roomtest.Person("c"), "")))
	b.fails(err, muster.CodeUnavailable)
	b.took(b.takeLines(id, 1, append(lines, customerLine(roomtest.Person("c"), ""))...), 0, 3)
	if r := b.endImport(id); r.Taken != 3 || r.Place != 3 || r.There != 0 {
		t.Fatalf("%+v", r)
	}
	if c := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (int, error) { return tx.CountCustomers(ctx) }); c != 3 {
		t.Fatalf("%d customers", c)
	}
	b.Clean()
}

// facts opens the facts of a decision.
func (b *bundle) facts(id string) *muster.Facts {
	b.Helper()
	r := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.DecisionRecord, error) { return tx.Decision(ctx, id) })
	opened, err := b.Vault.UseForDecision(r.About).OpenFacts(b.Context(), r.ID, r.Facts)
	if err != nil {
		b.Fatal(err)
	}
	f, _, err := journal.Facts(opened)
	if err != nil {
		b.Fatal(err)
	}
	return f
}
