package onboard_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/verify/contact"
)

type object = map[string]any

func TestClaimsAreSuppliedAndCorrectedWithHistory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := roomtest.Person("app-1")
	app.Customer.Phone = ""
	a := b.Apply(app)
	b.is(a, muster.AppNeeds, muster.AccPending, muster.OutcomeCollect)
	if d := cmp.Diff([]string{"supply /customer/phone"}, needsOf(a)); d != "" {
		t.Error(d)
	}
	fixed := b.correct(a.Application, object{"customer": object{"phone": "+2348031234504"}})
	b.is(fixed, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	if fixed.Revision != 2 || fixed.Decision.ID == a.Decision.ID {
		t.Errorf("revision %d", fixed.Revision)
	}
	id := b.Subjects(a.Application)["/customer"]
	history := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) ([]*muster.ClaimsRecord, error) { return tx.ClaimsOf(ctx, id) })
	if len(history) != 2 || history[0].Revision != 1 || history[1].Revision != 2 || history[1].By != b.Anna.Operator {
		t.Errorf("history %+v", history)
	}
	got, err := b.Onboard.Reveal(b.Context(), b.Anna, a.Application, onboard.RevealRequest{Purpose: "support", Case: "t-1"})
	if err != nil {
		t.Fatal(err)
	}
	app.Customer.Phone = "+2348031234504"
	if d := cmp.Diff(app, got.Application); d != "" || got.Revision != 2 {
		t.Error(d, got.Revision)
	}
	// The first application again is still the same.
	app.Customer.Phone = ""
	if again := b.Apply(app); again.Created || again.Revision != 2 {
		t.Errorf("%+v", again)
	}
	b.Clean()
}

func TestCorrectionOfAnOlderVersionIsStale(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	b.correct(a.Application, object{"device": "d-1"})
	_, err := b.Onboard.Correct(b.Context(), b.Anna, a.Application, a.Version, []byte(`{"device":"d-2"}`))
	b.fails(err, muster.CodeStale)
}

func TestWhatNamesThingsCannotBeCorrected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	for pointer, patch := range map[string]object{
		"/reference fixed": {"reference": "app-2"}, "/account fixed": {"account": "x"}, "/customer/kind fixed": {"customer": object{"kind": "entity"}},
		"/parent fixed": {"parent": object{"account": "app-1", "relation": "delegate"}},
	} {
		_, err := b.tryCorrect(a.Application, patch)
		b.fails(err, muster.CodeInvalid, pointer)
	}
	_, err := b.tryCorrect(a.Application, object{"customer": object{"phone": "+2341"}})
	b.fails(err, muster.CodeInvalid, "/customer/phone phone_number")
	_, err = b.tryCorrect(a.Application, []int{1})
	b.fails(err, muster.CodeMalformed)
	_, err = b.Onboard.Correct(b.Context(), b.Anna, a.Application, a.Version, []byte(`{"device":"d"} trailing`))
	b.fails(err, muster.CodeMalformed)
	if v := b.look(a.Application); v.Version != a.Version {
		t.Error("a refused correction changed something")
	}
}

func TestEvidenceOnWhatChangedCountsNoMore(t *testing.T) {
	t.Parallel()
	shown := func(t *testing.T) (*bundle, string) {
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		challenge, code := b.Challenge(a.Application, "", contact.Email)
		if _, err := b.Onboard.Respond(b.Context(), b.Anna, challenge, code); err != nil {
			t.Fatal(err)
		}
		a = b.Document(a.Application, "", roomtest.Passport("NG", "A1"))
		if d := cmp.Diff([]string{"verify /customer phone"}, needsOf(a)); d != "" {
			t.Fatal(d)
		}
		return b, a.Application
	}
	for name, c := range map[string]struct {
		patch object
		needs []string
	}{
		"another e-mail address asks for its code": {object{"customer": object{"email": "other@example.com.ng"}}, []string{"verify /customer email", "verify /customer phone"}},
		"another name asks for papers, not for the mailbox": {
			object{"customer": object{"name": object{"full": "Chidinma Obi"}}},
			[]string{"verify /customer name", "verify /customer nationality", "verify /customer phone"},
		},
		"another nationality asks for it":  {object{"customer": object{"nationalities": []string{"GH"}}}, []string{"verify /customer nationality", "verify /customer phone"}},
		"another purpose asks for nothing": {object{"request": object{"purpose": "a shop"}}, []string{"verify /customer phone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, id := shown(t)
			if d := cmp.Diff(c.needs, needsOf(b.correct(id, c.patch))); d != "" {
				t.Error(d)
			}
			b.Clean()
		})
	}
	t.Run("a code sent to the old address shows nothing of the new one", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		challenge, code := b.Challenge(a.Application, "", contact.Email)
		b.correct(a.Application, object{"customer": object{"email": "other@example.com.ng"}})
		a, err := b.Onboard.Respond(b.Context(), b.Anna, challenge, code)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(needsOf(a), "verify /customer email") {
			t.Error("the new address is shown by the old one's code")
		}
	})
	t.Run("papers of one company do not show another", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Company("app-1"))
		a = b.Document(a.Application, "", roomtest.Extract("NO"))
		if slices.Contains(needsOf(a), "verify /customer existence") {
			t.Fatal(needsOf(a))
		}
		a = b.correct(a.Application, object{"customer": object{"formation": object{"registration_number": "985821585"}}})
		if !slices.Contains(needsOf(a), "verify /customer existence") {
			t.Error("existence is shown by another company's extract")
		}
	})
}

func TestOwnersComeAndGo(t *testing.T) {
	t.Parallel()
	raw := func(t *testing.T, ps ...muster.Party) []any {
		var list []any
		data, err := json.Marshal(ps)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	share := func(t *testing.T, p muster.Party, s string) muster.Party {
		v, err := muster.ParsePercent(s)
		if err != nil {
			t.Fatal(err)
		}
		p.OwnershipPercent = &v
		return p
	}
	t.Run("who stays keeps what was shown, though the place and share are others", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		app := roomtest.Company("app-1")
		a := b.Apply(app)
		was := b.Subjects(a.Application)
		kari, ola := was["/beneficial_owners/0"], was["/beneficial_owners/1"]
		b.Contact(a.Application, ola)
		b.Document(a.Application, ola, roomtest.Passport("NO", "N1"))
		rest := share(t, app.Owners[1], "100")
		rest.Control = true
		a = b.correct(a.Application, object{"beneficial_owners": raw(t, rest)})
		is := b.Subjects(a.Application)
		if is["/beneficial_owners/0"] != ola {
			t.Fatalf("place 0 is %s; was Kari %s, Ola %s", is["/beneficial_owners/0"], kari, ola)
		}
		for _, n := range a.Decision.Needs {
			if n.Subject == ola || n.Subject == kari {
				t.Errorf("asked of an owner: %s", n.Attribute)
			}
		}
		b.Clean()
	})
	t.Run("who is added is asked, and nobody else again", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		app := roomtest.Company("app-1")
		a := b.Apply(app)
		was := b.Subjects(a.Application)
		b.Contact(a.Application, was["/beneficial_owners/0"])
		third := share(t, app.Owners[1], "40")
		third.Name.Full, third.Email, third.Phone = "Nils Berg", "nils@fjorddata.example", "+4793456789"
		a = b.correct(a.Application, object{"beneficial_owners": raw(t, third, app.Owners[0])})
		is := b.Subjects(a.Application)
		if is["/beneficial_owners/1"] != was["/beneficial_owners/0"] || is["/beneficial_owners/0"] == was["/beneficial_owners/1"] {
			t.Errorf("was %v, is %v", was, is)
		}
		needs := needsOf(a)
		if !slices.Contains(needs, "verify /beneficial_owners/0 email") || slices.Contains(needs, "verify /beneficial_owners/1 email") {
			t.Error(needs)
		}
		b.Clean()
	})
	t.Run("a chain that is supplied ends in individuals", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		app := roomtest.Company("app-1")
		person := app.Owners[1]
		app.Owners[1] = share(t, muster.Party{Kind: muster.Entity, Name: muster.Name{Full: "Holding BV"}}, "40")
		a := b.Apply(app)
		b.is(a, muster.AppNeeds, muster.AccPending, muster.OutcomeCollect)
		if d := cmp.Diff([]string{"supply /beneficial_owners/1/owners"}, needsOf(a)); d != "" {
			t.Error(d)
		}
		holding := app.Owners[1]
		holding.Owners = []muster.Party{share(t, person, "75")}
		a = b.correct(a.Application, object{"beneficial_owners": raw(t, app.Owners[0], holding)})
		b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		if !slices.Contains(needsOf(a), "verify /beneficial_owners/1/owners/0 name") { // 75 % of 40 % is past the threshold
			t.Error(needsOf(a))
		}
		b.Clean()
	})
}

func TestRefusedPathsLeaveNoTraceOfValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	_, err := b.tryCorrect(a.Application, object{"payment": object{"token": "4111111111111111"}})
	b.fails(err, muster.CodeInvalid, "/payment/token card_number")
}
