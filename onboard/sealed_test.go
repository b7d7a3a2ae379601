package onboard_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
)

func decision(b *bundle, id string) *muster.DecisionRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.DecisionRecord, error) { return tx.Decision(ctx, id) })
}

// The facts that lie sealed are those that were decided: opened, they give the
// same decision again.
func TestSealedFactsAreThoseDecided(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Company("app-1"))
	ids := b.Subjects(a.Application)
	b.Contact(a.Application, ids["/beneficial_owners/0"])
	a = b.Document(a.Application, "", roomtest.Extract("NO"))
	b.correct(a.Application, object{"customer": object{"phone": "+4722123457"}})
	all := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) ([]*muster.DecisionRecord, error) {
		return tx.DecisionsSince(ctx, roomtest.Start, muster.Page{Limit: 100})
	})
	slices.SortFunc(all, func(a, b *muster.DecisionRecord) int { return int(a.Leaf - b.Leaf) }) // made within one millisecond
	if len(all) != 5 {
		t.Fatalf("%d decisions", len(all))
	}
	enforce, _ := b.Programme.At(b.Clock.Now())
	session := b.Vault.UseForDecision(muster.Ref{})
	for i, r := range all {
		opened, err := session.OpenFacts(b.Context(), r.ID, r.Facts)
		if err != nil {
			t.Fatal(err)
		}
		facts, erased, err := journal.Facts(opened)
		if err != nil || erased != 0 {
			t.Fatal(erased, err)
		}
		if len(facts.Subjects) != 3 || facts.Subjects[0].Role != muster.RoleCustomer || facts.Event != []string{"received", "evidence", "evidence", "evidence", "corrected"}[i] {
			t.Errorf("%d: event %s, %d subjects", i, facts.Event, len(facts.Subjects))
		}
		if facts.Editions["phones"] == "" || facts.Editions["ip_country"] == "" {
			t.Errorf("editions %v", facts.Editions)
		}
		made, err := b.Onboard.Explain(b.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(*made, policy.Decide(enforce, facts), cmpopts.IgnoreFields(muster.Decision{}, "ID"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%d: decided again it is another:\n%s", i, d)
		}
		// Facts hold no name, contact or number; they are sealed all the same.
		for _, p := range opened {
			for _, value := range []string{"Fjord", "Kari", "kari@", "91234567", "Storgata", "923609016", "R-1", "tok_"} {
				if bytes.Contains(p.Data, []byte(value)) {
					t.Errorf("part %s of the facts holds %q", p.Name, value)
				}
			}
		}
	}
	if facts, _ := session.OpenFacts(b.Context(), all[1].ID, all[0].Facts); facts != nil {
		t.Error("facts open in another decision's place")
	}
}

// Nothing that identifies lies clear in any file of the store or of the log.
func TestNothingLiesClear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Company("app-1"))
	ids := b.Subjects(a.Application)
	b.Contact(a.Application, ids["/beneficial_owners/0"])
	b.Document(a.Application, ids["/beneficial_owners/0"], roomtest.Passport("NO", "N7654321"))
	b.Clean()
	needles := []string{"Kari Nordmann", "kari@fjorddata", "91234567", "Storgata", "923609016", "N7654321", "tok_app-1", "51.174.0.10"}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(b.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(a.Application)) && suffix == "-wal" {
			t.Error("the search does not find what is there")
		}
		for _, n := range needles {
			for _, form := range []string{n, base64.StdEncoding.EncodeToString([]byte(n))[:8]} {
				if bytes.Contains(data, []byte(form)) {
					t.Errorf("%s holds %q", "muster.db"+suffix, n)
				}
			}
		}
	}
}

func TestBundlesVerifyOffline(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} }, "postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			a := b.Apply(roomtest.Company("app-1"))
			ids := b.Subjects(a.Application)
			for audience, shown := range map[string][]string{
				tlog.AudienceExaminer: {"common", ids["/customer"], ids["/beneficial_owners/0"], ids["/beneficial_owners/1"]},
				tlog.AudienceCourt:    {"common", ids["/customer"], ids["/beneficial_owners/0"], ids["/beneficial_owners/1"]},
				tlog.AudienceCustomer: {}, // a receipt
			} {
				data, err := b.Onboard.Bundle(b.Context(), b.Anna, a.Decision.ID, audience)
				if err != nil {
					t.Fatal(audience, err)
				}
				parsed, err := tlog.ParseBundle(data)
				if err != nil {
					t.Fatal(err)
				}
				report, err := tlog.VerifyBundle(data, tlog.VerifyOptions{Checkpoint: []byte(parsed.Checkpoint), Verifier: b.Verifier})
				if err != nil {
					t.Fatal(audience, err)
				}
				if d := cmp.Diff(shown, report.Shown, cmpopts.SortSlices(strings.Compare), cmpopts.EquateEmpty()); d != "" {
					t.Error(audience, d)
				}
				for _, p := range parsed.Facts {
					if !slices.Contains(shown, p.Name) && (p.Data != nil || p.Salt != nil || p.Commitment == nil) {
						t.Error(audience, "the part of", p.Name, "is there")
					}
				}
				committed := []byte(parsed.Decision.Data)
				if c := parsed.Decision.Commitment; c != nil {
					committed = c[:]
				}
				spoiled := flip(t, data, committed)
				if _, err := tlog.VerifyBundle(spoiled, tlog.VerifyOptions{Checkpoint: []byte(parsed.Checkpoint), Verifier: b.Verifier}); err == nil {
					t.Error(audience, "verifies though its decision was changed")
				}
			}
			_, err := b.Onboard.Bundle(b.Context(), b.Anna, a.Decision.ID, "friend")
			b.fails(err, muster.CodeInvalid, "/audience unknown_audience")
			if got := b.Audit(); got.ByType["reveal"] != 3 || !got.Clean() {
				t.Errorf("%+v", got)
			}
		})
	}
}

// flip changes one byte of what stands in a bundle in base64.
func flip(t *testing.T, bundle []byte, data []byte) []byte {
	t.Helper()
	other := slices.Clone(data)
	other[len(other)/2] ^= 1
	out := bytes.Replace(bundle, []byte(base64.StdEncoding.EncodeToString(data)), []byte(base64.StdEncoding.EncodeToString(other)), 1)
	if bytes.Equal(out, bundle) {
		t.Fatal("the decision is not in the bundle")
	}
	return out
}

// brokenJournal is a journal whose store is away.
type brokenJournal struct{}

func (brokenJournal) InTx(context.Context, func(journal.Tx) error) error { return roomtest.ErrFault }

func TestLeafOfAReveal(t *testing.T) {
	t.Parallel()
	t.Run("is there before a value is", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		got, err := b.Onboard.Reveal(b.Context(), b.Bea, a.Application, onboard.RevealRequest{Purpose: "review", Case: "case-7"})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(roomtest.Person("app-1"), got.Application); d != "" {
			t.Error(d)
		}
		all := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) ([]*muster.EntryRecord, error) {
			return tx.Entries(ctx, muster.Page{Limit: 100})
		})
		i := slices.IndexFunc(all, func(e *muster.EntryRecord) bool { return e.Type == "reveal" })
		if i < 0 {
			t.Fatal("no leaf says so")
		}
		if e := all[i]; e.Operator != b.Bea.Operator || !bytes.Contains(e.Body, []byte(`"case":"case-7"`)) || !bytes.Contains(e.Body, []byte(`"purpose":"review"`)) {
			t.Errorf("%+v %s", e, e.Body)
		}
		b.Clean()
	})
	t.Run("that cannot be written opens nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		conf := b.Config
		conf.Journal = journal.New(b.Vault, brokenJournal{})
		service := onboard.New(conf)
		got, err := service.Reveal(b.Context(), b.Anna, a.Application, onboard.RevealRequest{Purpose: "review", Case: "c"})
		if b.fails(err, muster.CodeUnavailable); got != nil {
			t.Error("values came out")
		}
		data, err := service.Bundle(b.Context(), b.Anna, a.Decision.ID, tlog.AudienceExaminer)
		if b.fails(err, muster.CodeUnavailable); data != nil {
			t.Error("a bundle came out")
		}
	})
	t.Run("wants a purpose, a case and an operator", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		_, err := b.Onboard.Reveal(b.Context(), b.Anna, a.Application, onboard.RevealRequest{Purpose: "curiosity", Case: "c"})
		if code := muster.ErrorCode(err); code != muster.CodeForbidden && code != muster.CodeInvalid {
			t.Error(err)
		}
		_, err = b.Onboard.Reveal(b.Context(), b.Anna, a.Application, onboard.RevealRequest{Purpose: "review", Case: "for Mr. Okafor"})
		b.fails(err, muster.CodeInvalid, "/case required")
		_, err = b.Onboard.Reveal(b.Context(), muster.Principal{}, a.Application, onboard.RevealRequest{Purpose: "review", Case: "c"})
		b.fails(err, muster.CodeInvalid, "/operator required")
	})
	t.Run("of a person whose key is destroyed shows the others", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		a := b.Apply(roomtest.Company("app-1"))
		id := b.Subjects(a.Application)["/beneficial_owners/1"]
		r := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (key string, err error) {
			app, err := tx.Application(ctx, a.Application)
			if err != nil {
				return "", err
			}
			all, err := tx.Subjects(ctx, app.Customer)
			for _, s := range all {
				if s.ID == id {
					key = s.Key
				}
			}
			return key, err
		})
		if err := b.Vault.Destroy(b.Context(), []string{r}); err != nil {
			t.Fatal(err)
		}
		got, err := b.Onboard.Reveal(b.Context(), b.Anna, a.Application, onboard.RevealRequest{Purpose: "review", Case: "c"})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Withheld, []string{"/beneficial_owners/1"}) || got.Application.Owners[0].Name.Full != "Kari Nordmann" {
			t.Errorf("withheld %v", got.Withheld)
		}
		data, err := b.Onboard.Bundle(b.Context(), b.Anna, a.Decision.ID, tlog.AudienceExaminer)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := tlog.ParseBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		report, err := tlog.VerifyBundle(data, tlog.VerifyOptions{Checkpoint: []byte(parsed.Checkpoint)})
		if err != nil || len(report.Shown) != 3 || len(report.Hidden) != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		_, err = b.tryCorrect(a.Application, object{"device": "d"})
		b.fails(err, muster.CodeGone)
		b.Clean()
	})
}

func TestDecisionsAreKeptAsTheyWere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	before := decision(b, a.Decision.ID)
	b.Contact(a.Application, "")
	b.correct(a.Application, object{"customer": object{"name": object{"full": "Another Name"}}})
	if d := cmp.Diff(before, decision(b, a.Decision.ID)); d != "" {
		t.Error(d)
	}
}
