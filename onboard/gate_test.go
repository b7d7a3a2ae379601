package onboard_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/store"
)

// gated is a deployment with the centre of a gate.
type gated struct {
	*bundle
	centre *gate.Centre
}

func setupGated(b *bundle) *gated {
	return &gated{b, gate.NewCentre(gate.CentreConfig{
		Store: b.DB.Gate(), Deployment: "test", Key: gate.OneKey(b.GateKey()), Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)),
		Clock: b.Clock.Now, Bound: 365 * day, Rules: b.Programme.GateRules,
	})}
}

// says asks the gate, with what it has heard.
func (g *gated) says(account, action string, allow bool, code string) gate.Answer {
	g.Helper()
	a := g.centre.Gate().Decide(&gate.Request{Account: account, Action: action}, g.Clock.Now())
	if a.Allow != allow || a.Code != code {
		g.Errorf("%s of %s: allow %v, code %q; want %v, %q", action, account, a.Allow, a.Code, allow, code)
	}
	return a
}

// hears lets the gate look at the store.
func (g *gated) hears() {
	g.Helper()
	if err := g.centre.Poll(g.Context()); err != nil {
		g.Fatal(err)
	}
}

func (g *gated) move(account, to string) {
	g.Helper()
	a, err := read(g.bundle, account)
	if err == nil {
		_, err = g.Onboard.MoveAccount(g.Context(), g.Anna, account, a.Version, onboard.Move{To: to, Reason: "left"})
	}
	if err != nil {
		g.Fatal(err)
	}
}

func read(b *bundle, account string) (a *muster.AccountRecord, err error) {
	err = b.DB.View(b.Context(), func(tx *store.Tx) error { a, err = tx.Account(b.Context(), account); return err })
	return a, err
}

// TestTheGateFollowsAnAccountThroughItsLife: on both stores.
func TestTheGateFollowsAnAccountThroughItsLife(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} }, "postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := setupGated(setupWith(t, o(t)))
			g.hears()
			g.says("app-1", muster.ActionOpenAccount, true, "unknown_account")
			g.says("app-1", muster.ActionFirstOrder, false, "unknown_account")

			a := g.Apply(roomtest.Person("app-1"))
			g.says("app-1", muster.ActionFirstOrder, false, "unknown_account")
			g.hears()
			got := g.says("app-1", muster.ActionAddResources, true, "verify_email")
			if got.Status != muster.GateLimited || *got.Verdict.Limits.Instances != 1 || got.Decision.String() != a.Decision.ID || got.Rule != "us-iaas-cip/verify_email" || got.Unblock == "" {
				t.Errorf("%+v", got)
			}
			if end := roomtest.Start.Add(14 * day); !got.Until.Equal(end) {
				t.Errorf("holds until %v, want the end of interim service, %v", got.Until, end)
			}
			g.says("app-1", muster.ActionAddGPU, false, "limit_gpu")

			g.Contact(a.Application, "")
			g.Document(a.Application, "", roomtest.Passport("NG", "A01234567"))
			g.hears()
			if got := g.says("app-1", muster.ActionAddGPU, true, ""); got.Decision != (gate.DecisionID{}) {
				t.Errorf("a plain yes names decision %s", got.Decision)
			}
			g.move("app-1", muster.AccClosing)
			g.hears()
			g.says("app-1", muster.ActionUse, true, "closing")
			g.says("app-1", muster.ActionAddResources, false, "closing")
			g.says("app-1", muster.ActionExportData, true, "closing")
			g.move("app-1", muster.AccClosed)
			g.hears()
			g.says("app-1", muster.ActionExportData, false, "closed")
			g.Clean()
		})
	}
}

// TestInterimServiceEndsAtItsInstant without a message: the process that ends it is down.
func TestInterimServiceEndsAtItsInstant(t *testing.T) {
	t.Parallel()
	g := setupGated(setup(t))
	g.Apply(roomtest.Person("app-1"))
	g.hears()
	g.Clock.Move(14*day - time.Microsecond)
	g.says("app-1", muster.ActionUse, true, "verify_email")
	g.Clock.Move(time.Microsecond)
	g.says("app-1", muster.ActionUse, false, "interim_ended")
	g.says("app-1", muster.ActionExportData, true, "interim_ended")
}

// TestEveryOutcomeAtTheGate: what a decision does to an account is what the gate says of it.
func TestEveryOutcomeAtTheGate(t *testing.T) {
	t.Parallel()
	g := setupGated(setupWith(t, roomtest.Options{Mode: muster.ModeSandbox, Packs: []string{roomtest.Pack(t, "us-iaas-cip"), roomtest.Pack(t, "sandbox")}}))
	type says struct {
		status muster.GateStatus
		use    bool
		export bool
	}
	for outcome, want := range map[muster.Outcome]says{
		muster.OutcomeOpen: {muster.GateAllow, true, true}, muster.OutcomeLimit: {muster.GateLimited, true, true},
		muster.OutcomeCollect: {muster.GateDeny, false, false}, muster.OutcomeVerify: {muster.GateDeny, false, false},
		muster.OutcomeReview: {muster.GateDeny, false, false}, muster.OutcomeSuspend: {muster.GateDeny, false, true},
		muster.OutcomeRefuse: {muster.GateDeny, false, false}, muster.OutcomeClose: {muster.GateDeny, false, false},
	} {
		app := roomtest.Person("app-" + string(outcome))
		app.Customer.Email = string(outcome) + "+1@sandbox.muster.example"
		g.Apply(app)
		g.hears()
		ask := func(action string) gate.Answer {
			return g.centre.Gate().Decide(&gate.Request{Account: app.Reference, Action: action}, g.Clock.Now())
		}
		use, export := ask(muster.ActionUse), ask(muster.ActionExportData)
		if got := (says{use.Status, use.Allow, export.Allow}); got != want || !use.Known {
			t.Errorf("%s: %+v, want %+v", outcome, got, want)
		}
		if !use.Allow && (use.Code == "" || use.Unblock == "") {
			t.Errorf("%s: a denial does not say why, or where it gets unblocked: %+v", outcome, use)
		}
	}
}

// TestObservedDenialsAreAdvice: nothing is enforced, and the gate says what would be.
func TestObservedDenialsAreAdvice(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Packs: []string{}})
	act, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: roomtest.Pack(t, "us-iaas-cip"), Observe: true})
	if err == nil {
		_, err = b.Activate.Approve(b.Context(), b.Bea.Operator, act.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Clock.Move(programme.ActivationLead)
	if err := b.Programme.Load(b.Context()); err != nil {
		t.Fatal(err)
	}
	g := setupGated(b)
	app := roomtest.Person("app-1")
	app.Customer.Phone = ""
	g.Apply(app)
	g.hears()
	for account, code := range map[string]string{"app-1": "", "nobody": "unknown_account"} {
		a := g.centre.Gate().Decide(&gate.Request{Account: account, Action: muster.ActionAddResources}, g.Clock.Now())
		if !a.Allow || !a.WouldDeny || code != "" && a.Code != code {
			t.Errorf("%s: allow %v, would deny %v, code %q", account, a.Allow, a.WouldDeny, a.Code)
		}
	}
}

// TestAccountsFromBeforeAreFilled: page by page, and again without effect.
func TestAccountsFromBeforeAreFilled(t *testing.T) {
	t.Parallel()
	g := setupGated(setup(t))
	ctx := t.Context()
	g.Apply(roomtest.Person("app-1"))
	a, err := read(g.bundle, "app-1")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := gate.EncodeProfile(muster.Profile{Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: muster.GateDeny, Code: "lost"}}}})
	if err != nil {
		t.Fatal(err)
	}
	key := gate.Key(g.GateKey())
	if err := g.DB.InTx(ctx, func(tx *store.Tx) error {
		return tx.PutGate(ctx, &muster.ProfileRecord{Hash: key.Hash("app-1"), Account: a.ID, Profile: other})
	}); err != nil {
		t.Fatal(err)
	}
	g.hears()
	g.says("app-1", muster.ActionUse, false, "lost")
	for want := 1; want >= 0; want-- {
		if n, err := g.Onboard.FillGate(ctx); n != want || err != nil {
			t.Errorf("filled %d: %v, want %d", n, err, want)
		}
	}
	g.hears()
	g.says("app-1", muster.ActionUse, true, "verify_email")
}
