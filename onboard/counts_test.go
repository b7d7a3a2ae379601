package onboard_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
)

func TestSixthCustomerOfOneValueGoesToAPerson(t *testing.T) {
	t.Parallel()
	unlike := func(i int) *muster.Application { // another person in everything
		app := roomtest.Person(fmt.Sprintf("app-%d", i))
		app.Customer.Phone = fmt.Sprintf("+23480312345%02d", i)
		app.Customer.Email = fmt.Sprintf("c%d@example.com.ng", i)
		app.Payment.Fingerprint = fmt.Sprintf("fp_%d", i)
		return app
	}
	for name, same := range map[string]func(*muster.Application){
		"token":                     func(a *muster.Application) { a.Payment.Token, a.Payment.Fingerprint = "tok_one", "" },
		"fingerprint, other tokens": func(a *muster.Application) { a.Payment.Fingerprint = "fp_one" },
		"telephone":                 func(a *muster.Application) { a.Customer.Phone = "+2348031234599" },
		"device":                    func(a *muster.Application) { a.Device = "device-one" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for i := 1; i <= 6; i++ {
				app := unlike(i)
				same(app)
				a := b.Apply(app)
				if i <= 5 {
					b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
					continue
				}
				b.is(a, muster.AppReview, muster.AccPending, muster.OutcomeReview)
			}
			if v := b.look("app-1"); v.State != muster.AppNeeds {
				t.Error("the first answer changed")
			}
			b.Clean()
		})
	}
	t.Run("document", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for i := 1; i <= 6; i++ {
			a := b.Document(b.Apply(unlike(i)).Application, "", roomtest.Passport("NG", "A00000001"))
			if got := slices.Contains(rulesOf(a), "random_check"); got != (i == 6) {
				t.Errorf("customer %d: %v", i, rulesOf(a))
			}
		}
	})
	t.Run("a bank's number and last four digits are no card", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for i := 1; i <= 7; i++ {
			b.is(b.Apply(unlike(i)), muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		}
	})
	t.Run("one customer many times over is one", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		app := roomtest.Person("app-1")
		a := b.Apply(app)
		for range 7 {
			b.Apply(app)
			a = b.correct(a.Application, object{"request": object{"purpose": strings.Repeat("x", b.look(a.Application).Revision)}})
		}
		b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	})
	t.Run("owners' contacts count nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for i := 1; i <= 8; i++ {
			app := roomtest.Company(fmt.Sprintf("app-%d", i))
			app.Customer.Phone, app.Customer.Email = fmt.Sprintf("+472212345%d", i), fmt.Sprintf("post%d@fjorddata.example", i)
			b.is(b.Apply(app), muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		}
		person := roomtest.Person("kari") // who owns them all applies herself
		person.Customer.Phone = "+4791234567"
		b.is(b.Apply(person), muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	})
	t.Run("a card that was taken out counts no more", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for i := 1; i <= 6; i++ {
			app := unlike(i)
			app.Payment.Fingerprint = "fp_one"
			b.Apply(app)
		}
		a := b.correct("app-6", object{"payment": object{"fingerprint": nil, "token": nil, "means": "invoice"}})
		if slices.Contains(rulesOf(a), "random_check") {
			t.Error(rulesOf(a))
		}
	})
}

// What a stranger learns from applying with another's card, telephone and mailbox
// is what they would learn without.
func TestRepeatedApplicationRevealsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := b.active(roomtest.Person("app-1"))
	again := roomtest.Person("app-2")
	again.Payment.Token = "tok_app-1"
	stranger := roomtest.Person("app-3")
	stranger.Customer.Email, stranger.Customer.Phone, stranger.Customer.Name.Full = "x@example.com.ng", "+2348031234588", "Somebody Else"
	b1, b2 := b.Apply(again), b.Apply(stranger)
	if b1.Application == known.Application {
		t.Error("the same application under another reference")
	}
	for _, a := range []**muster.Decision{&b1.Decision, &b2.Decision} {
		d := **a
		d.ID, d.About, d.Foreign, d.Needs = "", muster.Ref{}, nil, slices.Clone(d.Needs)
		for i := range d.Needs {
			d.Needs[i].Subject = ""
		}
		*a = &d
	}
	b1.Application, b1.Reference, b1.Account, b1.Next = b2.Application, b2.Reference, b2.Account, b2.Next
	if d := cmp.Diff(b2, b1); d != "" {
		t.Error(d)
	}
	if v := b.look("app-1"); v.Decision.ID != known.Decision.ID || v.AccountState != muster.AccActive {
		t.Error("the first changed")
	}
}

// A hidden ground reads like a random check: nothing of the answer names a card,
// a count or another customer.
func TestHiddenGroundReadsLikeARandomCheck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := 1; i <= 6; i++ {
		app := roomtest.Person(fmt.Sprintf("app-%d", i))
		app.Payment.Token = "tok_one"
		b.Apply(app)
	}
	a := b.look("app-6")
	raw := strings.ToLower(string(asJSON(t, a)))
	for _, word := range []string{"card_of_many", "phone_of_many", "more than", "distinct", "hidden", "customers_per"} {
		if strings.Contains(raw, word) {
			t.Errorf("the answer says %q: %s", word, raw)
		}
	}
	if !strings.Contains(raw, "random_check") {
		t.Error(raw)
	}
	full, err := b.Onboard.Explain(b.Context(), a.Decision.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(full.Reasons, func(r muster.Reason) bool { return r.Rule == "card_of_many" && r.Hidden && r.Operator != "" }) {
		t.Errorf("the explanation does not name the rule: %+v", full.Reasons)
	}
}
