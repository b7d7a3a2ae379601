package register_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/watch"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// both runs a test on either store.
func both(t *testing.T, fn func(b *bundle)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(&bundle{roomtest.Setup(t, roomtest.Options{Listens: true})})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(&bundle{roomtest.Setup(t, roomtest.Options{Listens: true, Store: store.Config{DSN: pgtest.Database(t)}})})
	})
}

type bundle struct{ *roomtest.Rooms }

var (
	effective = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	until     = time.Date(2028, 5, 31, 0, 0, 0, 0, time.UTC)
)

// text is a determination on Nigeria; more replaces lines.
func text(id string, more ...string) string {
	src := `format: 1
id: ` + id + `
title: No accounts in a country of the test
kind: jurisdiction
authority: An authority of the test
citation: Test Determination ` + id + `
status: in force
measure: prohibit
targets: [{country: NG}]
by: [address, nationality, ip]
published: 2026-11-02
effective: 2027-06-01
until: 2028-05-31
words:
  customer: A government measure does not let us serve this account.
  appeal: If this is a mistake, write to appeals@provider.example.
`
	for i := 0; i+1 < len(more); i += 2 {
		src = strings.Replace(src, more[i], more[i+1], 1)
	}
	return src
}

func (b *bundle) try(p register.MeasureProposal) (*muster.MeasureAct, error) {
	return b.Register.Propose(b.Context(), b.Anna.Operator, p)
}

// act proposes and approves, and brings accounts up to it.
func (b *bundle) act(p register.MeasureProposal) *muster.MeasureAct {
	b.Helper()
	a, err := b.try(p)
	if err != nil {
		b.Fatalf("%v %v", err, roomtest.Faulted(err))
	}
	if a, err = b.Register.Approve(b.Context(), b.Bea.Operator, a.ID); err != nil {
		b.Fatal(err)
	}
	b.Clock.Move(register.Lead + time.Second)
	b.work()
	return a
}

// work does every job that is due, and whatever measures begin, end or changed.
func (b *bundle) work() {
	b.Helper()
	none := func(context.Context, *muster.Job) watch.Verdict { return watch.Done("") }
	r, err := watch.NewRunner(watch.Config{DB: store.As[watch.Tx](b.DB), Holder: "test", Clock: b.Clock.Now, Duties: map[string]watch.Duty{
		muster.JobMeasure: {Handle: watch.ApplyMeasure(b.Register)}, muster.JobMeasureCatch: {Handle: watch.CatchMeasure(b.Register)},
		muster.JobMeasureNotice: {Handle: watch.NoticeMeasure(b.Register)}, muster.JobPublish: {Handle: none},
	}})
	if err != nil {
		b.Fatal(err)
	}
	due := watch.MeasuresDue(store.As[watch.Leases](b.DB), b.Register, "test", 30*time.Second)
	for range 3 {
		r.Drain(b.Context())
		if err := due(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// to moves the clock to an instant.
func (b *bundle) to(t time.Time) { b.Clock.Move(t.Sub(b.Clock.Now())) }

// approved is a person whose papers were seen.
func (b *bundle) approved(reference, country string) *onboard.Answer {
	b.Helper()
	p := roomtest.Person(reference)
	p.Customer.Address.Country, p.Customer.Nationalities = muster.Country(country), []muster.Country{muster.Country(country)}
	if country != "NG" {
		p.Customer.Address, p.Access.IP = &muster.Address{Lines: []string{"Street 1"}, PostalCode: "10115", Locality: "Berlin", Country: muster.Country(country)}, "5.9.120.33"
		p.Payment.Country = muster.Country(country)
	}
	a := b.Apply(p)
	b.Contact(a.Application, "")
	a = b.Document(a.Application, "", roomtest.Passport(country, reference))
	if a.AccountState != muster.AccActive {
		b.Fatalf("%s: %s, %+v", reference, a.AccountState, a.Decision)
	}
	return a
}

// gated is what the gate says of an account now. It is read from what was
// published: nothing else tells it.
func (b *bundle) gated(reference string) muster.GateStatus {
	b.Helper()
	return b.verdict(reference, b.Clock.Now()).Status
}

func (b *bundle) verdict(reference string, at time.Time) muster.Verdict {
	b.Helper()
	key := gate.Key(b.GateKey())
	want := key.Hash(reference)
	p := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (p *muster.Profile, err error) {
		err = tx.GateChanges(ctx, 0, func(hash, body []byte, _ string) error {
			if !bytes.Equal(hash, want[:]) {
				return nil
			}
			p = &muster.Profile{}
			return json.Unmarshal(body, p)
		})
		return p, err
	})
	if p == nil {
		b.Fatalf("the gate does not know %s", reference)
	}
	v := p.Steps[0].Verdict
	for _, s := range p.Steps[1:] {
		if !s.From.After(at) {
			v = s.Verdict
		}
	}
	return v
}

func (b *bundle) account(reference string) *muster.AccountRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) {
		return tx.Account(ctx, reference)
	})
}

func (b *bundle) under(reference string) []muster.MatchRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]muster.MatchRecord, error) {
		a, err := tx.Account(ctx, reference)
		if err != nil {
			return nil, err
		}
		return tx.MatchesOf(ctx, a.ID)
	})
}

func (b *bundle) decision(reference string) *muster.Decision {
	b.Helper()
	d, err := b.Onboard.Explain(b.Context(), b.account(reference).Decision)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func (b *bundle) wants(what string, got, want any) {
	b.Helper()
	if got != want {
		b.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A measure from its proposal to its end: told of before, in force at its instant
// with nobody's help, decided and noticed, and over by itself.
func TestAMeasureBeginsAndEndsByItself(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-ng", "NG")
		b.approved("acct-de", "DE")
		a, err := b.try(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		if err != nil {
			b.Fatal(err)
		}
		if _, err = b.Register.Approve(b.Context(), b.Anna.Operator, a.ID); muster.ErrorCode(err) != muster.CodeForbidden {
			b.Errorf("one operator enacted alone: %v", err)
		}
		if _, err = b.Register.Approve(b.Context(), b.Bea.Operator, a.ID); err != nil {
			b.Fatal(err)
		}
		b.Clock.Move(register.Lead + time.Second)
		b.work()
		b.wants("accounts under it", len(b.under("acct-ng")), 1)
		b.wants("others", len(b.under("acct-de")), 0)
		b.wants("told", b.under("acct-ng")[0].Told, muster.PhaseComing)
		b.wants("the gate before", b.gated("acct-ng"), muster.GateAllow)
		said, err := b.Register.Notices(b.Context(), "acct-ng")
		if err != nil || len(said) != 1 || said[0].Phase != muster.PhaseComing || !strings.Contains(said[0].Words, "appeals@") || said[0].Citation == "" {
			b.Errorf("%+v, %v", said, err)
		}

		b.to(effective.Add(-time.Microsecond))
		b.wants("the gate a moment before", b.gated("acct-ng"), muster.GateAllow)
		b.to(effective)
		b.wants("the gate at the instant, before any duty ran", b.gated("acct-ng"), muster.GateDeny)
		b.wants("the other account", b.gated("acct-de"), muster.GateAllow)
		b.wants("the account's state before any duty ran", b.account("acct-ng").State, muster.AccActive)
		refused := b.Apply(roomtest.Person("acct-new"))
		b.wants("who applies now", refused.State, muster.AppRefused)
		b.wants("citation", refused.Decision.Reasons[0].Citation, "Test Determination m-1")

		b.work()
		b.wants("state", b.account("acct-ng").State, muster.AccSuspended)
		d := b.decision("acct-ng")
		if d.Outcome != muster.OutcomeSuspend || d.Reasons[0].Measure != "m-1" || d.Reasons[0].Citation != "Test Determination m-1" || !strings.Contains(d.Reasons[0].Customer, "appeals@") {
			b.Errorf("%+v", d)
		}
		b.wants("told", b.under("acct-ng")[0].Told, muster.PhaseInForce)
		at := b.account("acct-ng").Decision
		b.work()
		b.wants("a second look decides nothing", b.account("acct-ng").Decision, at)
		b.wants("the gate in force", b.gated("acct-ng"), muster.GateDeny)

		b.to(until.Add(-time.Microsecond))
		b.wants("the gate before the end", b.gated("acct-ng"), muster.GateDeny)
		b.to(until)
		b.wants("the gate at the end, before any duty ran", b.gated("acct-ng"), muster.GateAllow)
		b.work()
		b.wants("state after the end", b.account("acct-ng").State, muster.AccActive)
		b.wants("rows after the end", len(b.under("acct-ng")), 0)
		b.wants("outcome after the end", b.decision("acct-ng").Outcome, muster.OutcomeOpen)
		all, err := b.Register.List(b.Context())
		if err != nil || len(all) != 1 || all[0].State != register.Over {
			b.Errorf("%+v, %v", all, err)
		}
		b.Clean()
		if got := b.Audit(); got.ByType["measure"] != 2+2 { // proposed, approved; two notices
			b.Errorf("%v", got.ByType)
		}
	})
}

// Between enactment and effect an account is made, and the nationality of another is
// corrected: each has its own transition in its own transaction.
func TestAnAccountThatChangesBeforeTheEffect(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		german := roomtest.Person("acct-1")
		german.Customer.Nationalities, german.Access.IP, german.Payment.Country = []muster.Country{"DE"}, "5.9.120.33", "DE"
		german.Customer.Address = &muster.Address{Lines: []string{"Street 1"}, PostalCode: "10115", Locality: "Berlin", Country: "DE"}
		a := b.Apply(german)
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		b.wants("before", len(b.under("acct-1")), 0)
		corrected, err := b.Onboard.Correct(b.Context(), b.Anna, a.Application, a.Version, []byte(`{"customer":{"nationalities":["DE","NG"]}}`))
		if err != nil {
			b.Fatal(err)
		}
		b.wants("after the correction", len(b.under("acct-1")), 1)
		b.wants("nothing is in force", corrected.Decision.Outcome, muster.OutcomeVerify)
		b.wants("the gate at the instant", b.verdict("acct-1", effective).Status, muster.GateDeny)
		made := b.Apply(roomtest.Person("acct-2"))
		b.wants("an account made since", len(b.under("acct-2")), 1)
		b.wants("the gate at the instant", b.verdict("acct-2", effective).Status, muster.GateDeny)
		// And back again: what no longer matches is off the books at once.
		if _, err := b.Onboard.Correct(b.Context(), b.Anna, a.Application, corrected.Version, []byte(`{"customer":{"nationalities":["DE"]}}`)); err != nil {
			b.Fatal(err)
		}
		b.wants("corrected back", len(b.under("acct-1")), 0)
		b.wants("the gate at the instant", b.verdict("acct-1", effective).Rule == "measure/m-1", false)
		if made.State != muster.AppNeeds {
			b.Errorf("%+v", made)
		}
		b.Clean()
	})
}

// What was decided at an instant stays decided when the clock goes back behind it, in
// a process that was started anew.
func TestAClockThatGoesBack(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-ng", "NG")
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		b.to(effective.Add(time.Hour))
		b.work()
		facts := &muster.Facts{At: effective, Subjects: []muster.SubjectFacts{{Role: muster.RoleCustomer, Country: "NG"}}}
		again := register.New(b.Register.Config)
		if err := again.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		for at, phase := range map[time.Time]string{effective.Add(-time.Hour): muster.PhaseInForce, effective.Add(-10000 * time.Hour): muster.PhaseInForce} {
			under := again.Of(facts, b.account("acct-ng"), at)
			if len(under) != 1 || under[0].Fact.Phase != phase {
				b.Errorf("at %s: %+v", at, under)
			}
		}
		b.to(until.Add(time.Hour))
		b.work()
		if err := again.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if under := again.Of(facts, b.account("acct-ng"), effective.Add(time.Hour)); len(under) != 0 {
			b.Errorf("a measure that was over fires again: %+v", under)
		}
	})
}

func TestLicensedLiftedRenewed(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-1", "NG")
		b.approved("acct-2", "NG")
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		b.to(effective)
		b.work()
		b.wants("both are suspended", b.account("acct-1").State+b.account("acct-2").State, muster.AccSuspended+muster.AccSuspended)

		end := effective.AddDate(0, 1, 0)
		b.act(register.MeasureProposal{Kind: muster.ActLicense, Measure: "m-1", Licence: &muster.Licence{Reference: "L-7", Account: "acct-1", Until: end}})
		b.wants("licensed", b.account("acct-1").State, muster.AccActive)
		b.wants("licensed, at the gate", b.gated("acct-1"), muster.GateAllow)
		b.wants("the other", b.gated("acct-2"), muster.GateDeny)
		b.to(end)
		b.wants("the licence ends by itself", b.gated("acct-1"), muster.GateDeny)
		b.work()
		b.wants("and is decided", b.account("acct-1").State, muster.AccSuspended)

		_, err := b.try(register.MeasureProposal{Kind: muster.ActRenew, Measure: "m-1", Until: until.AddDate(0, 0, 366)})
		var e *muster.Error
		if !errors.As(err, &e) || len(e.Faults) != 1 || e.Faults[0].Code != "too_late" {
			b.Errorf("renewed for longer than the pack allows: %v", err)
		}
		b.act(register.MeasureProposal{Kind: muster.ActRenew, Measure: "m-1"})
		b.wants("renewed", b.verdict("acct-2", until.AddDate(0, 0, 364)).Status, muster.GateDeny)
		b.wants("by as long as the pack allows", b.verdict("acct-2", until.AddDate(0, 0, 365)).Status, muster.GateAllow)

		lift := b.Clock.Now().Add(24 * time.Hour)
		b.act(register.MeasureProposal{Kind: muster.ActLift, Measure: "m-1", At: lift})
		b.wants("until it is lifted", b.gated("acct-2"), muster.GateDeny)
		b.to(lift)
		b.wants("lifted", b.gated("acct-2"), muster.GateAllow)
		b.work()
		b.wants("and decided", b.account("acct-1").State+b.account("acct-2").State, muster.AccActive+muster.AccActive)
		if s, err := b.Register.Show(b.Context(), "m-1"); err != nil || s.State != register.Lifted || len(s.Acts) != 4 {
			b.Errorf("%+v, %v", s, err)
		}
		_, err = b.try(register.MeasureProposal{Kind: muster.ActRenew, Measure: "m-1"})
		b.wants("what is over is not renewed", muster.ErrorCode(err), muster.CodeIllegalMove)
		b.Clean()
	})
}

func TestConditionsLimitAndAskForMore(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-1", "NG")
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1", "measure: prohibit", "measure: conditions\nconditions: {limits: {gpu: none, deny: [bare_metal]}, verify: [address], obligations: [closer_monitoring]}")})
		b.to(effective)
		v := b.verdict("acct-1", effective)
		if v.Status != muster.GateLimited || v.Limits.GPU != "none" {
			b.Errorf("%+v", v)
		}
		b.work()
		d := b.decision("acct-1")
		if d.Outcome != muster.OutcomeLimit || d.Limits.GPU != "none" || !slices.Contains(d.Obligations, "closer_monitoring") || len(d.Needs) != 1 || d.Needs[0].Attribute != muster.AttrAddress || len(d.Needs[0].Methods) == 0 {
			b.Errorf("%+v", d)
		}
		b.to(until)
		b.wants("the gate after the end, before any duty ran", b.gated("acct-1"), muster.GateAllow)
		b.work()
		b.wants("state after the end", b.account("acct-1").State, muster.AccActive)
		b.Clean()
	})
}

// Network alone is a doubt: an applicant is asked for more, an approved customer's
// case goes to a person, whose finding counts.
func TestDoubtfulLocationAsksAndProhibitsNothing(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		from := func(reference string) *muster.Application {
			p := roomtest.Person(reference) // from an address in Lagos, says Berlin
			p.Customer.Nationalities, p.Payment.Country = []muster.Country{"DE"}, "DE"
			p.Customer.Address = &muster.Address{Lines: []string{"Street 1"}, PostalCode: "10115", Locality: "Berlin", Country: "DE"}
			return p
		}
		a := b.Apply(from("acct-1"))
		b.Contact(a.Application, "")
		b.wants("approved", b.Document(a.Application, "", roomtest.Passport("DE", "X1")).AccountState, muster.AccActive)
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		b.wants("asked of a person", b.decision("acct-1").Outcome, muster.OutcomeReview)
		b.wants("meanwhile", b.account("acct-1").State, muster.AccActive)
		b.to(effective)
		b.work()
		b.wants("the gate", b.gated("acct-1"), muster.GateAllow)
		fresh := b.Apply(from("acct-2"))
		b.Contact(fresh.Application, "")
		asked := b.Document(fresh.Application, "", roomtest.Passport("DE", "X2"))
		if asked.Decision.Outcome != muster.OutcomeVerify || len(asked.Decision.Needs) != 1 || asked.Decision.Needs[0].Attribute != muster.AttrAddress {
			b.Errorf("%+v", asked.Decision)
		}
		r := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) {
			return tx.OpenReview(ctx, a.Application)
		})
		if !slices.Equal(r.Rules, []string{"measure/m-1"}) {
			b.Errorf("%+v", r)
		}
		resolve := func(by muster.Principal, finding string) bool {
			r, done, err := b.Review.Resolve(b.Context(), by, r.ID, r.Version, review.Finding{Finding: finding, Reason: "seen"})
			if err != nil {
				b.Fatal(err)
			}
			_ = r
			return done
		}
		if !resolve(b.Anna, review.Clear) {
			b.Fatal("not done")
		}
		b.wants("cleared", b.decision("acct-1").Outcome, muster.OutcomeOpen)
		if said, err := b.Register.Notices(b.Context(), "acct-1"); err != nil || len(said) != 1 || said[0].Phase != muster.PhaseCleared {
			b.Errorf("%+v %v", said, err)
		}
		b.Clean()
	})
}

// An appeal is a case that no later decision sets aside; a finding that clears it
// ends the measure for the customer, in the same transaction at the gate.
func TestAppeal(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-1", "NG")
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		if _, err := b.Onboard.Appeal(b.Context(), b.Anna, "acct-1", "m-2"); muster.ErrorCode(err) != muster.CodeNotFound {
			b.Errorf("an appeal against a measure that is none of theirs: %v", err)
		}
		b.to(effective)
		b.work()
		r, err := b.Onboard.Appeal(b.Context(), b.Anna, "acct-1", "m-1")
		if err != nil {
			b.Fatal(err)
		}
		again, err := b.Onboard.Appeal(b.Context(), b.Anna, "acct-1", "m-1")
		if err != nil || again.ID != r.ID {
			b.Errorf("a second appeal: %+v, %v", again, err)
		}
		b.act(register.MeasureProposal{Kind: muster.ActRenew, Measure: "m-1"}) // decides the account anew
		b.wants("meanwhile", b.gated("acct-1"), muster.GateDeny)
		r = roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) { return tx.Review(ctx, r.ID) })
		b.wants("the case", r.State, muster.ReviewOpen)
		if _, done, err := b.Review.Resolve(b.Context(), b.Bea, r.ID, r.Version, review.Finding{Finding: review.Clear, Reason: "a namesake of the country"}); err != nil || !done {
			b.Fatal(done, err)
		}
		b.wants("the gate after it was cleared", b.gated("acct-1"), muster.GateAllow)
		b.wants("the account", b.account("acct-1").State, muster.AccActive)
		b.work()
		b.wants("and it stays so", b.account("acct-1").State, muster.AccActive)
		b.Clean()
	})
}

// A preview counts who would be touched and writes nothing but the leaves of its use.
func TestPreview(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.approved("acct-1", "NG")
		b.approved("acct-2", "DE")
		tagged := roomtest.Person("acct-3")
		tagged.Tag = "band-a"
		b.Apply(tagged)
		before := b.Audit()
		p, err := b.Register.Preview(b.Context(), b.Anna.Operator, register.MeasureDraft{Source: text("m-1"), List: 10})
		if err != nil {
			b.Fatal(err)
		}
		if p.Accounts != 3 || p.Touched != 2 || p.Doubtful != 0 || p.ByOutcome["suspend"] != 2 || p.ByCountry["NG"] != 2 || p.ByTag["band-a"] != 1 || p.ByTag[""] != 1 || len(p.Items) != 2 {
			b.Errorf("%+v", p)
		}
		i := slices.IndexFunc(p.Items, func(m muster.MeasureMatch) bool { return m.Account == "acct-1" })
		if !slices.Equal(p.Items[i].By, []string{"address", "nationality", "ip"}) || p.Items[i].Was != muster.OutcomeOpen {
			b.Errorf("%+v", p.Items[0])
		}
		after := b.Audit()
		if after.Size != before.Size+2 || after.ByType["use_start"] != before.ByType["use_start"]+1 {
			b.Errorf("%+v, before %+v", after, before)
		}
		if all, err := b.Register.List(b.Context()); err != nil || len(all) != 0 {
			b.Errorf("%+v, %v", all, err)
		}
		// The pack's lead where the text names no beginning, its longest where it names no end.
		p, err = b.Register.Preview(b.Context(), b.Anna.Operator, register.MeasureDraft{Source: text("m-1", "published: 2026-11-02", "published: 2027-01-01", "effective: 2027-06-01\n", "", "until: 2028-05-31\n", "")})
		if err != nil || !p.Starts.Equal(time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)) || !p.Ends.Equal(p.Starts.AddDate(0, 0, 365)) {
			b.Errorf("%+v, %v", p, err)
		}
		_, err = b.Register.Preview(b.Context(), b.Anna.Operator, register.MeasureDraft{Source: text("m-1", "until: 2028-05-31", "until: 2028-06-01")})
		if got := roomtest.Faulted(err); !slices.Equal(got, []string{"/until too_late"}) {
			b.Errorf("a measure of 366 days: %v %v", got, err)
		}
		b.Clean()
	})
}

// A try that is cut short goes on where it was; a page that is looked at twice is
// written once.
func TestApplyGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b := &bundle{roomtest.Setup(t, roomtest.Options{})}
	for _, ref := range []string{"acct-1", "acct-2", "acct-3"} {
		b.Apply(roomtest.Person(ref))
	}
	a, err := b.try(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
	if err != nil {
		t.Fatal(err)
	}
	if a, err = b.Register.Approve(b.Context(), b.Bea.Operator, a.ID); err != nil {
		t.Fatal(err)
	}
	b.Clock.Move(register.Lead + time.Second)
	done, err := b.Register.Apply(dueSoon{b.Context()}, a.ID) // one page and no more
	if err != nil || done {
		t.Fatalf("%v %v", done, err)
	}
	show := func() muster.MeasureAct {
		s, err := b.Register.Show(b.Context(), "m-1")
		if err != nil {
			t.Fatal(err)
		}
		return s.Acts[0]
	}
	if got := show(); got.Seen != 3 || got.Matched != 3 || !got.Done.IsZero() {
		t.Errorf("%+v", got)
	}
	if done, err = b.Register.Apply(b.Context(), a.ID); err != nil || !done {
		t.Fatalf("%v %v", done, err)
	}
	if got := show(); got.Seen != 3 || got.Matched != 3 || got.Done.IsZero() {
		t.Errorf("%+v", got)
	}
	if done, err = b.Register.Apply(b.Context(), a.ID); err != nil || !done {
		t.Fatalf("again: %v %v", done, err)
	}
	b.Clean()
}

// dueSoon says that it ends in less time than a try keeps in hand, and does not.
type dueSoon struct{ context.Context }

func (dueSoon) Deadline() (time.Time, bool) { return time.Now().Add(2 * time.Second), true }

// Who comes in with a provider's book is under the measures like anybody else: from the
// first instant at the gate, and decided by the duty that brings accounts up to them.
func TestAMeasureBindsWhoComesWithABook(t *testing.T) {
	t.Parallel()
	both(t, func(b *bundle) {
		b.act(register.MeasureProposal{Kind: muster.ActEnact, Source: text("m-1")})
		german := roomtest.Person("other")
		german.Customer.Nationalities, german.Access.IP, german.Payment.Country = []muster.Country{"DE"}, "5.9.120.33", "DE"
		german.Customer.Address = &muster.Address{Lines: []string{"Street 1"}, PostalCode: "10115", Locality: "Berlin", Country: "DE"}
		take := func(cohort string, apps ...*muster.Application) {
			b.Helper()
			order := onboard.ImportOrder{Cohort: cohort, Due: effective.AddDate(3, 0, 0), Source: strings.Repeat("a", 63) + strconv.Itoa(len(apps))}
			r, _, err := b.Onboard.OpenImport(b.Context(), b.Anna, order)
			if err != nil {
				b.Fatal(err)
			}
			var lines []string
			for _, a := range apps {
				lines = append(lines, `{"type":"customer","customer":{"application":`+string(roomtest.JSON(a))+`}}`)
			}
			out, err := b.Onboard.TakeLines(b.Context(), b.Anna, r.ID, 1, []byte(strings.Join(lines, "\n")))
			if err != nil || out.Taken != len(apps) {
				b.Fatalf("%+v, %v", out, err)
			}
			if _, err := b.Onboard.EndImport(b.Context(), b.Anna, r.ID); err != nil {
				b.Fatal(err)
			}
		}
		take("before", roomtest.Person("before"), german)
		b.wants("the gate before the effect", b.gated("before"), muster.GateAllow)
		b.wants("the gate at the instant", b.verdict("before", effective).Status, muster.GateDeny)
		b.wants("another country's", b.verdict("other", effective).Status, muster.GateAllow)
		b.to(effective.Add(time.Minute))
		b.work()
		take("after", roomtest.Person("after"))
		b.wants("the gate of who comes in after it", b.gated("after"), muster.GateDeny)
		b.work()
		for _, reference := range []string{"before", "after"} {
			b.wants(reference, b.account(reference).State, muster.AccSuspended)
			b.wants(reference+", under", len(b.under(reference)), 1)
		}
		b.wants("other", b.account("other").State, muster.AccActive)
		b.Clean()
	})
}
