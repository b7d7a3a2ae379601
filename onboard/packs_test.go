package onboard_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/verify/contact"
)

// beside are the default pack and two regimes more, one of them of the test folder.
func beside(t *testing.T) []string {
	t.Helper()
	dk, err := os.ReadFile("../policy/testdata/packs/dk-domain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return []string{roomtest.Pack(t, "us-iaas-cip"), roomtest.Pack(t, "in-cert-in"), string(dk)}
}

func TestRegimesSideBySide(t *testing.T) {
	t.Parallel()
	t.Run("needs are the union, and the most severe outcome wins", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: beside(t)})
		app := roomtest.Person("app-1")
		app.Request.Products = []string{"vm", "domain"}
		app.Customer.Phone = ""
		a := b.Apply(app)
		b.is(a, muster.AppNeeds, muster.AccPending, muster.OutcomeCollect)
		if d := cmp.Diff([]string{"supply /customer/phone", "supply /request/period", "supply /request/purpose"}, needsOf(a)); d != "" {
			t.Error(d)
		}
		a = b.correct(a.Application, object{"customer": object{"phone": "+2348031234504"}, "request": object{"purpose": "a shop", "period": object{"from": "2026-11-02"}}})
		b.is(a, muster.AppNeeds, muster.AccPending, muster.OutcomeVerify) // one of them grants no interim service
		want := []string{"verify /customer address", "verify /customer email", "verify /customer name", "verify /customer nationality", "verify /customer phone"}
		if d := cmp.Diff(want, needsOf(a)); d != "" || a.Decision.Interim {
			t.Error(d, a.Decision.Interim)
		}
		if len(a.Decision.Packs) != 3 {
			t.Errorf("packs %v", a.Decision.Packs)
		}
		b.Contact(a.Application, "")
		input := strings.Replace(roomtest.Passport("NG", "A1"), `"name":"supports"`, `"name":"supports","address":"supports"`, 1)
		b.is(b.Document(a.Application, "", input), muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
		b.Clean()
	})
	t.Run("a regime that does not apply asks for nothing", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: beside(t)})
		a := b.Apply(roomtest.Person("app-1")) // no domain
		for _, p := range a.Decision.Packs {
			if p.ID == "dk-domain" {
				t.Error("a pack that does not apply is named")
			}
		}
		if slices.ContainsFunc(a.Decision.Reasons, func(r muster.Reason) bool { return r.Pack == "dk-domain" }) {
			t.Error("a rule of it held")
		}
	})
}

func TestEditionActiveAtTheTimeOfADecisionDecides(t *testing.T) {
	t.Parallel()
	b := setup(t)
	next := strings.Replace(variant(t, "interim:\n  enabled: true", "interim:\n  enabled: false"), `edition: "2027-01"`, `edition: "2027-02"`, 1)
	at := b.Clock.Now().Add(day)
	act, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: next, Effective: at})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Activate.Approve(b.Context(), b.Anna.Operator, act.ID)
	b.fails(err, muster.CodeForbidden)
	edition := func(reference string) string {
		app := roomtest.Person(reference)
		a := b.Apply(app)
		return a.Decision.Packs[0].Edition + " " + a.AccountState
	}
	b.Clock.Move(day) // its time has come, but nobody approved it
	if got := edition("app-1"); got != "2027-01 limited" {
		t.Error(got)
	}
	if act, err = b.Activate.Approve(b.Context(), b.Bea.Operator, act.ID); err != nil {
		t.Fatal(err)
	}
	if soonest := b.Clock.Now().Add(programme.ActivationLead); !act.Effective.Equal(soonest) {
		t.Errorf("effective %v, want %v", act.Effective, soonest)
	}
	b.Clock.Move(programme.ActivationLead - time.Microsecond)
	if got := edition("app-2"); got != "2027-01 limited" {
		t.Error(got)
	}
	b.Clock.Move(time.Microsecond)
	if got := edition("app-3"); got != "2027-02 pending" {
		t.Error(got)
	}
	// A decision of the old edition keeps its words; the next one is the new one's.
	v := b.look("app-1")
	if len(v.Decision.Reasons) == 0 || v.Decision.Reasons[0].Customer == "" || v.Decision.Packs[0].Edition != "2027-01" {
		t.Errorf("%+v", v.Decision)
	}
	challenge, code := b.Challenge(v.Application, "", contact.Email)
	a, err := b.respond(challenge, code)
	if err != nil {
		t.Fatal(err)
	}
	b.is(a, muster.AppNeeds, muster.AccSuspended, muster.OutcomeVerify)
	b.Clean()
}

func TestWithoutAPackNothingOpens(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Packs: []string{}})
	_, err := b.post(roomtest.Person("app-1"))
	b.fails(err, muster.CodeUnavailable)
	if n := rows(b)["customers"]; n != 0 {
		t.Errorf("%d customers", n)
	}
}

func TestObserveModeRecordsAndEnforcesNothing(t *testing.T) {
	t.Parallel()
	observed := func(t *testing.T) *bundle {
		b := setupWith(t, roomtest.Options{Packs: []string{}})
		act, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: roomtest.Pack(t, "us-iaas-cip"), Observe: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Activate.Approve(b.Context(), b.Bea.Operator, act.ID); err != nil {
			t.Fatal(err)
		}
		b.Clock.Move(time.Minute)
		return b
	}
	three := roomtest.Person("app-2")
	three.Payment.Country, three.Access.IP = "KZ", "51.174.0.10"
	t.Run("accounts open whatever comes out", func(t *testing.T) {
		t.Parallel()
		b := observed(t)
		for _, app := range []*muster.Application{roomtest.Person("app-1"), three} {
			a := b.Apply(app)
			if !a.Observe || a.AccountState != muster.AccActive || a.Decision.Outcome == muster.OutcomeOpen || len(a.Decision.Reasons) == 0 {
				t.Errorf("observe %v, account %s, outcome %s", a.Observe, a.AccountState, a.Decision.Outcome)
			}
			if v := b.look(a.Application); v.Review != "" {
				t.Error("a person is asked to look")
			}
			v := b.due(a.Application, 40*day)
			if v.AccountState != muster.AccActive {
				t.Errorf("after 40 days the account is %s", v.AccountState)
			}
		}
		b.Clean()
	})
	t.Run("what is asked may be withdrawn", func(t *testing.T) {
		t.Parallel()
		b := observed(t)
		a := b.Apply(roomtest.Person("app-1"))
		w, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, a.Version)
		if err != nil || w.AccountState != muster.AccClosing {
			t.Error(w, err)
		}
	})
	t.Run("beside a pack that enforces, its reasons are told apart", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		act, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: roomtest.Pack(t, "in-cert-in"), Observe: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Activate.Approve(b.Context(), b.Bea.Operator, act.ID); err != nil {
			t.Fatal(err)
		}
		b.Clock.Move(time.Minute)
		a := b.Apply(roomtest.Person("app-1"))
		b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		full, err := b.Onboard.Explain(b.Context(), a.Decision.ID)
		if err != nil {
			t.Fatal(err)
		}
		if a.Observe || a.Decision.Observed != nil || len(full.Observed) == 0 {
			t.Errorf("observe %v, %d told to the provider, %d observed", a.Observe, len(a.Decision.Observed), len(full.Observed))
		}
	})
	t.Run("once it enforces, the next decision is enforced", func(t *testing.T) {
		t.Parallel()
		b := observed(t)
		a := b.Apply(roomtest.Person("app-1"))
		act, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: roomtest.Pack(t, "us-iaas-cip")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Activate.Approve(b.Context(), b.Bea.Operator, act.ID); err != nil {
			t.Fatal(err)
		}
		b.Clock.Move(time.Minute)
		challenge, code := b.Challenge(a.Application, "", contact.Email)
		if a, err = b.respond(challenge, code); err != nil {
			t.Fatal(err)
		}
		b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		if a.Observe {
			t.Error("still observed")
		}
	})
}
