package onboard_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/verify/contact"
)

func TestCustomerInLagosReachesAnActiveAccount(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} }, "postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			a := b.Apply(roomtest.Person("app-1"))
			b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
			if !a.Created || a.Next != "https://provider.example/verify/"+a.Application || a.Account != "app-1" {
				t.Errorf("%+v", a)
			}
			want := []string{"verify /customer email", "verify /customer name", "verify /customer nationality", "verify /customer phone"}
			if d := cmp.Diff(want, needsOf(a)); d != "" {
				t.Error(d)
			}
			a = b.Contact(a.Application, "")
			b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
			a = b.Document(a.Application, "", roomtest.Passport("NG", "A01234567"))
			b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
			if s := slices.Collect(maps.Values(a.Decision.Foreign)); len(a.Decision.Needs) != 0 || !slices.Equal(s, []string{"foreign"}) {
				t.Errorf("needs %v, foreign %v", a.Decision.Needs, s)
			}
			b.Clean()
		})
	}
}

func TestLimitsMeanwhileAreThePacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	one, fourteen := 1, 14
	want := muster.Limits{Instances: &one, GPU: "none", Deny: []string{"bare_metal"}, OutboundMail: "closed", Days: &fourteen}
	if d := cmp.Diff(want, a.Decision.Limits); d != "" || !a.Decision.Interim {
		t.Error(d, a.Decision.Interim)
	}
	if end := roomtest.Start.Add(14 * day); !a.Decision.Until.Equal(end) {
		t.Errorf("holds until %v, want %v", a.Decision.Until, end)
	}
}

func TestWithoutInterimServiceTheAccountWaits(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "interim:\n  enabled: true", "interim:\n  enabled: false")}})
	a := b.Apply(roomtest.Person("app-1"))
	b.is(a, muster.AppNeeds, muster.AccPending, muster.OutcomeVerify)
	if a.Decision.Interim {
		t.Error("interim service")
	}
}

func TestPersonShownToBeOfTheUnitedStatesIsAskedNothingMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := roomtest.Person("app-1")
	app.Customer.Address = &muster.Address{Lines: []string{"1 Main St"}, Locality: "Columbus", Region: "OH", PostalCode: "43004", Country: "US"}
	app.Customer.Phone, app.Customer.USPersonClaim = "+16142345678", "citizen"
	a := b.Apply(app)
	b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	a = b.Document(a.Application, "", roomtest.Passport("US", "123456789"))
	b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	if len(a.Decision.Needs) != 0 || !slices.Equal(rulesOf(a), []string{"us_persons"}) {
		t.Errorf("needs %v by %v", a.Decision.Needs, rulesOf(a))
	}
}

func TestEntityWithPapersAndOwnersShownBecomesActive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Company("app-1"))
	b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	ids := b.Subjects(a.Application)
	b.Document(a.Application, "", roomtest.Extract("NO"))
	for i, p := range []string{"/beneficial_owners/0", "/beneficial_owners/1"} {
		b.Contact(a.Application, ids[p])
		a = b.Document(a.Application, ids[p], roomtest.Passport("NO", "N000000"+string(rune('1'+i))))
		if i == 0 {
			b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		}
	}
	b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	b.Clean()
}

func TestEntityOfTheUnitedStatesWithForeignOwnerStaysInVerify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := roomtest.Company("app-1")
	app.Customer.Address = &muster.Address{Lines: []string{"1 Main St"}, Locality: "Columbus", Region: "OH", PostalCode: "43004", Country: "US"}
	app.Customer.Formation = &muster.Formation{Country: "US", RegistrationNumber: "1234567"}
	a := b.Apply(app)
	a = b.Document(a.Application, "", roomtest.Extract("US"))
	b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	ids := b.Subjects(a.Application)
	if a.Decision.Foreign[ids["/customer"]] != muster.StatusUS || a.Decision.Foreign[ids["/beneficial_owners/0"]] != muster.StatusPresumed {
		t.Errorf("foreign: %v", a.Decision.Foreign)
	}
	for _, n := range a.Decision.Needs {
		if n.Subject == ids["/customer"] {
			t.Errorf("the entity is asked for %s", n.Attribute)
		}
	}
}

func TestInterimServiceEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	due := roomtest.View(b.Rooms, nextDue)
	if want := roomtest.Start.Add(14 * day); !due.Equal(want) {
		t.Fatalf("looked at again at %v, want %v", due, want)
	}
	v := b.due(a.Application, 14*day-time.Second)
	b.is(&v.Answer, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	if v.Decision.ID != a.Decision.ID {
		t.Error("decided anew before its time")
	}
	v = b.due(a.Application, time.Second)
	b.is(&v.Answer, muster.AppReview, muster.AccSuspended, muster.OutcomeReview)
	if v.Review == "" || v.Decision.Interim {
		t.Errorf("case %q, interim %v", v.Review, v.Decision.Interim)
	}
	// A late or repeated job does no harm, and service does not begin anew.
	again := b.due(a.Application, day)
	b.is(&again.Answer, muster.AppReview, muster.AccSuspended, muster.OutcomeReview)
	got := b.Contact(a.Application, "")
	if got.AccountState != muster.AccSuspended {
		t.Errorf("after a code the account is %s", got.AccountState)
	}
	got = b.Document(a.Application, "", roomtest.Passport("NG", "A1"))
	b.is(got, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	b.Clean()
}

func nextDue(ctx ctx, tx *store.Tx) (time.Time, error) { return tx.NextDue(ctx, muster.JobDue) }

func TestInterimServiceEndsWhateverThePackSaysOfIt(t *testing.T) {
	t.Parallel()
	b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "account.days_interim >= 14 && account.state == 'limited'", "false")}})
	a := b.Apply(roomtest.Person("app-1"))
	v := b.due(a.Application, 14*day)
	b.is(&v.Answer, muster.AppNeeds, muster.AccSuspended, muster.OutcomeVerify)
	if v.Decision.Interim {
		t.Error("interim service without end")
	}
}

func TestNeedsUnansweredExpire(t *testing.T) {
	t.Parallel()
	t.Run("without interim service the account closes", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "interim:\n  enabled: true", "interim:\n  enabled: false")}})
		a := b.Apply(roomtest.Person("app-1"))
		v := b.due(a.Application, 30*day)
		b.is(&v.Answer, muster.AppNeeds, muster.AccPending, muster.OutcomeVerify)
		v = b.due(a.Application, day)
		b.is(&v.Answer, muster.AppExpired, muster.AccClosed, muster.OutcomeVerify)
		if err := b.Onboard.Due(b.Context(), a.Application); err != nil {
			t.Error("again:", err)
		}
		b.Clean()
	})
	t.Run("what was used is closing", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "account.days_interim >= 14 && account.state == 'limited'", "false")}})
		a := b.Apply(roomtest.Person("app-1"))
		v := b.due(a.Application, 31*day)
		b.is(&v.Answer, muster.AppExpired, muster.AccClosing, muster.OutcomeVerify)
	})
	t.Run("evidence begins the term anew", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "interim:\n  enabled: true", "interim:\n  enabled: false")}})
		a := b.Apply(roomtest.Person("app-1"))
		b.Clock.Move(29 * day)
		challenge, code := b.Challenge(a.Application, "", contact.Email)
		if _, err := b.Onboard.Respond(b.Context(), b.Anna, challenge, code); err != nil {
			t.Fatal(err)
		}
		v := b.due(a.Application, 2*day)
		b.is(&v.Answer, muster.AppNeeds, muster.AccPending, muster.OutcomeVerify)
	})
	t.Run("an account that the provider has closed stays closed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		acc := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, "app-1") })
		if _, err := b.Onboard.MoveAccount(b.Context(), b.Anna, "app-1", acc.Version, onboard.Move{To: "closing", Reason: "the customer leaves"}); err != nil {
			t.Fatal(err)
		}
		v := b.due(a.Application, 40*day)
		b.is(&v.Answer, muster.AppExpired, muster.AccClosing, muster.OutcomeVerify)
	})
}
