package review_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

type bundle struct {
	*roomtest.Rooms
	application string
}

// setup has one application whose three countries wait for a person.
func setup(t *testing.T) *bundle { return setupWith(t, roomtest.Options{}) }

func setupWith(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	b := &bundle{Rooms: roomtest.Setup(t, o)}
	app := roomtest.Person("app-1")
	app.Payment.Country, app.Access.IP = "KZ", "51.174.0.10"
	a := b.Apply(app)
	if a.State != muster.AppReview || a.AccountState != muster.AccPending || a.Decision.Outcome != muster.OutcomeReview {
		t.Fatalf("%+v", a)
	}
	b.application = a.Application
	return b
}

func (b *bundle) look() *onboard.View {
	b.Helper()
	v, err := b.Onboard.View(b.Context(), b.application)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// open is the case of the application that waits.
func (b *bundle) open() *muster.ReviewRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) {
		return tx.OpenReview(ctx, b.application)
	})
}

func (b *bundle) caseOf(id string) *muster.ReviewRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) { return tx.Review(ctx, id) })
}

func (b *bundle) fails(err error, code muster.Code, faults ...string) *muster.Error {
	b.Helper()
	var e *muster.Error
	if !errors.As(err, &e) || e.Code != code {
		b.Fatalf("error %v, want %s", err, code)
	}
	for _, f := range faults {
		if !slices.Contains(roomtest.Faulted(e), f) {
			b.Fatalf("faults %v, want %s", roomtest.Faulted(e), f)
		}
	}
	return e
}

func (b *bundle) resolve(by muster.Principal, r *muster.ReviewRecord, finding string) (bool, error) {
	_, done, err := b.Review.Resolve(b.Context(), by, r.ID, r.Version, review.Finding{Finding: finding, Reason: "seen"})
	return done, err
}

func TestThreeCountriesOpenACase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	if r.State != muster.ReviewOpen || r.Decision != b.look().Decision.ID || !slices.Equal(r.Rules, []string{"us-iaas-cip/three_countries"}) {
		t.Errorf("%+v", r)
	}
	if b.look().Review != r.ID {
		t.Error("the application does not name its case")
	}
}

func TestClearedCaseGoesOnWithoutThatGround(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} },
		"postgres": func(t *testing.T) roomtest.Options {
			return roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			r := b.open()
			if done, err := b.resolve(b.Anna, r, review.Clear); !done || err != nil { // clearing takes one
				t.Fatal(done, err)
			}
			v := b.look()
			if v.State != muster.AppNeeds || v.AccountState != muster.AccLimited || v.Decision.Outcome != muster.OutcomeVerify || v.Review != "" {
				t.Errorf("%s, account %s, %s, case %q", v.State, v.AccountState, v.Decision.Outcome, v.Review)
			}
			if got := b.caseOf(r.ID); got.State != muster.ReviewResolved || got.Evidence == "" {
				t.Errorf("%+v", got)
			}
			b.Contact(b.application, "")
			if a := b.Document(b.application, "", roomtest.Passport("NG", "A1")); a.AccountState != muster.AccActive {
				t.Errorf("account %s", a.AccountState)
			}
			_, err := b.resolve(b.Anna, b.caseOf(r.ID), review.Clear)
			b.fails(err, muster.CodeIllegalMove)
			b.Clean()
		})
	}
}

func TestReasonIsSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	if _, _, err := b.Review.Resolve(b.Context(), b.Anna, r.ID, r.Version, review.Finding{Finding: review.Clear, Reason: "Chidinma showed a bill from Almaty"}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(b.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "Almaty") {
			t.Error("the reason lies clear in muster.db" + suffix)
		}
	}
}

func TestConfirmingTakesTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	done, err := b.resolve(b.Anna, r, review.Confirm)
	if done || err != nil {
		t.Fatal(done, err)
	}
	if v := b.look(); v.State != muster.AppReview || v.Review != r.ID {
		t.Errorf("%s, case %q", v.State, v.Review)
	}
	r = b.caseOf(r.ID)
	if r.State != muster.ReviewProposed || r.Proposer != b.Anna.Operator {
		t.Errorf("%+v", r)
	}
	another := b.Anna // another token of the same person
	another.Token = "tok_other"
	_, err = b.resolve(another, r, review.Confirm)
	b.fails(err, muster.CodeForbidden)
	if done, err = b.resolve(b.Bea, b.caseOf(r.ID), review.Confirm); !done || err != nil {
		t.Fatal(done, err)
	}
	v := b.look()
	if v.State != muster.AppRefused || v.AccountState != muster.AccClosed || v.Decision.Outcome != muster.OutcomeRefuse {
		t.Errorf("%s, account %s, %s", v.State, v.AccountState, v.Decision.Outcome)
	}
	b.Clean()
}

func TestSecondOperatorMayFindOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	if _, err := b.resolve(b.Anna, r, review.Confirm); err != nil {
		t.Fatal(err)
	}
	if done, err := b.resolve(b.Bea, b.caseOf(r.ID), review.Clear); !done || err != nil {
		t.Fatal(done, err)
	}
	if v := b.look(); v.State != muster.AppNeeds {
		t.Error(v.State)
	}
	all := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.EntryRecord, error) {
		return tx.Entries(ctx, muster.Page{Limit: 100})
	})
	for _, e := range all {
		if e.About.ID == r.ID && strings.Contains(string(e.Body), b.Anna.Operator) {
			t.Errorf("the finding names a proposer of another one: %s", e.Body)
		}
	}
}

func TestSoloOperatorWaits(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Solo: true})
	r := b.open()
	if done, err := b.resolve(b.Anna, r, review.Confirm); done || err != nil {
		t.Fatal(done, err)
	}
	_, err := b.resolve(b.Anna, b.caseOf(r.ID), review.Confirm)
	if e := b.fails(err, muster.CodeForbidden); e.RetryAfter != roomtest.SoloDelay {
		t.Errorf("try again after %v", e.RetryAfter)
	}
	b.Clock.Move(roomtest.SoloDelay)
	if done, err := b.resolve(b.Anna, b.caseOf(r.ID), review.Confirm); !done || err != nil {
		t.Fatal(done, err)
	}
	if v := b.look(); v.State != muster.AppRefused {
		t.Error(v.State)
	}
	b.Clean()
}

func TestCaseIsMootOnceTheGroundIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	if _, err := b.Onboard.Correct(b.Context(), b.Anna, b.application, b.look().Version, []byte(`{"payment":{"country":"NG"}}`)); err != nil {
		t.Fatal(err)
	}
	if v := b.look(); v.State != muster.AppNeeds || v.Review != "" {
		t.Errorf("%s, case %q", v.State, v.Review)
	}
	if got := b.caseOf(r.ID); got.State != muster.ReviewMoot {
		t.Error(got.State)
	}
	_, err := b.resolve(b.Anna, b.caseOf(r.ID), review.Clear)
	b.fails(err, muster.CodeIllegalMove)
}

func TestCorrectionVoidsAFinding(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.resolve(b.Anna, b.open(), review.Clear); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Onboard.Correct(b.Context(), b.Anna, b.application, b.look().Version, []byte(`{"customer":{"address":{"lines":["15 Adeola Odeku Street"]}}}`)); err != nil {
		t.Fatal(err)
	}
	if v := b.look(); v.State != muster.AppReview || v.Review == "" {
		t.Errorf("%s, case %q: what was found speaks of other claims", v.State, v.Review)
	}
}

func TestContradictionGoesToAPerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.resolve(b.Anna, b.open(), review.Clear); err != nil {
		t.Fatal(err)
	}
	a := b.Document(b.application, "", strings.Replace(roomtest.Passport("NG", "A1"), `"name":"supports"`, `"name":"contradicts"`, 1))
	if a.State != muster.AppReview || a.AccountState != muster.AccLimited || !a.Decision.Interim || a.Decision.Limits.Instances == nil {
		t.Errorf("%s, account %s, limits %+v", a.State, a.AccountState, a.Decision.Limits)
	}
	if r := b.open(); !slices.Equal(r.Rules, []string{"us-iaas-cip/contradicted"}) {
		t.Error(r.Rules)
	}
	if got := b.Onboard.Due(b.Context(), b.application); got != nil {
		t.Error(got)
	}
	b.Clock.Move(14 * 24 * time.Hour) // a person looks, but interim service has an end all the same
	if err := b.Onboard.Due(b.Context(), b.application); err != nil {
		t.Fatal(err)
	}
	if v := b.look(); v.AccountState != muster.AccSuspended {
		t.Errorf("after its term the account is %s", v.AccountState)
	}
}

func TestFindingsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	for fault, f := range map[string]review.Finding{
		"/finding unknown_finding": {Finding: "shrug", Reason: "x"},
		"/reason length":           {Finding: review.Clear, Reason: " "},
		"/rules unknown_rule":      {Finding: review.Clear, Reason: "x", Rules: []string{"us-iaas-cip/verify_name"}},
		"/expires in_past":         {Finding: review.Clear, Reason: "x", Expires: b.Clock.Now()},
	} {
		_, _, err := b.Review.Resolve(b.Context(), b.Anna, r.ID, r.Version, f)
		b.fails(err, muster.CodeInvalid, fault)
	}
	_, _, err := b.Review.Resolve(b.Context(), b.Anna, r.ID, r.Version+1, review.Finding{Finding: review.Clear, Reason: "x"})
	b.fails(err, muster.CodeStale)
	_, _, err = b.Review.Resolve(b.Context(), b.Anna, "rev_nobody", 1, review.Finding{Finding: review.Clear, Reason: "x"})
	b.fails(err, muster.CodeNotFound)
	if got := b.open(); got.Version != r.Version {
		t.Error("a refused finding changed the case")
	}
}

func TestFindingEndsWhenItExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.open()
	until := b.Clock.Now().Add(24 * time.Hour)
	if _, _, err := b.Review.Resolve(b.Context(), b.Anna, r.ID, r.Version, review.Finding{Finding: review.Clear, Reason: "x", Expires: until}); err != nil {
		t.Fatal(err)
	}
	if v := b.look(); !v.Decision.Until.Equal(until) {
		t.Errorf("holds until %v, want %v", v.Decision.Until, until)
	}
	b.Clock.Move(24 * time.Hour)
	if err := b.Onboard.Due(b.Context(), b.application); err != nil {
		t.Fatal(err)
	}
	if v := b.look(); v.State != muster.AppReview {
		t.Error(v.State)
	}
}
