package review_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
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

// list is one that takes two operators in either direction but to clear, and has a clock.
const list = "ofac.sdn"

// wanted has Chidinma Okafor on a list, and nobody on file.
func wanted(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	b := &bundle{Rooms: roomtest.Setup(t, o)}
	b.Lists.Put(list, roomtest.Listed("1001", "Chidinma OKAFOR"), roomtest.Listed("1002", "Somebody Else"))
	return b
}

func (b *bundle) apply(app *muster.Application) *onboard.Answer {
	b.Helper()
	a := b.Apply(app)
	b.application = a.Application
	return a
}

func (b *bundle) is(application, account string, outcome muster.Outcome) {
	b.Helper()
	if v := b.look(); v.State != application || v.AccountState != account || v.Decision.Outcome != outcome {
		b.Fatalf("application %s, account %s, %s; want %s, %s, %s", v.State, v.AccountState, v.Decision.Outcome, application, account, outcome)
	}
}

func (b *bundle) hits() []*muster.HitRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.HitRecord, error) {
		app, err := tx.Application(ctx, b.application)
		if err != nil {
			return nil, err
		}
		return tx.HitsOf(ctx, app.Customer)
	})
}

// hit is the only hit of the application.
func (b *bundle) hit() *muster.HitRecord {
	b.Helper()
	all := b.hits()
	if len(all) != 1 {
		b.Fatalf("%d hits: %+v", len(all), all)
	}
	return all[0]
}

func (b *bundle) find(by muster.Principal, state muster.HitState) (bool, error) {
	b.Helper()
	h := b.hit()
	_, done, err := b.Review.ResolveHit(b.Context(), by, h.ID, h.Version, review.HitFinding{Finding: state, Reason: "the passport was compared"})
	return done, err
}

func (b *bundle) must(done bool, err error) {
	b.Helper()
	if err != nil || !done {
		b.Fatal(done, err)
	}
}

func (b *bundle) rescreen() bool {
	b.Helper()
	v := b.look()
	_ = v
	app := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.ApplicationRecord, error) {
		return tx.Application(ctx, b.application)
	})
	decided, err := b.Onboard.Rescreen(b.Context(), app.Customer)
	if err != nil {
		b.Fatal(err)
	}
	return decided
}

// randomOfID is an id behind its prefix: every word of its letters comes up there by chance.
var randomOfID = regexp.MustCompile(`_[0-9a-hjkmnp-tv-z]{26}\b`)

func TestListedNameEndsInReviewAndResolvedTrueInSuspension(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} },
		"postgres": func(t *testing.T) roomtest.Options {
			return roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := wanted(t, o(t))
			a := b.apply(roomtest.Person("app-1"))
			b.is(muster.AppReview, muster.AccPending, muster.OutcomeReview)
			// What the provider's program may show a customer names no list, entry or score.
			answer, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.ToLower(randomOfID.ReplaceAllString(string(answer), "_"))
			for _, word := range []string{"ofac", "sdn", "1001", "screening", "listed", "score", "hit_"} {
				if strings.Contains(said, word) {
					t.Errorf("the answer says %q: %s", word, answer)
				}
			}
			h := b.hit()
			if h.State != muster.HitOpen || h.List != list || h.Score != 1000 || h.Of != muster.HitOfSubject || !h.Due.IsZero() || h.Holds() {
				t.Errorf("%+v", h)
			}
			// The case itself is answered by the hit, and not the other way round.
			_, err = b.resolve(b.Anna, b.open(), review.Clear)
			b.fails(err, muster.CodeIllegalMove)

			done, err := b.find(b.Anna, muster.HitTrue)
			if done || err != nil {
				t.Fatal(done, err)
			}
			b.is(muster.AppReview, muster.AccPending, muster.OutcomeReview)
			_, err = b.find(b.Anna, muster.HitTrue)
			b.fails(err, muster.CodeForbidden)
			b.must(b.find(b.Bea, muster.HitTrue))
			b.is(muster.AppReview, muster.AccSuspended, muster.OutcomeSuspend)
			h = b.hit()
			if h.State != muster.HitTrue || h.Operator != b.Bea.Operator || !h.Holds() || h.Proposer != "" {
				t.Errorf("%+v", h)
			}
			if until := time.Date(2026, 11, 13, 0, 0, 0, 0, time.UTC); !h.Due.Equal(until) || h.Keep.Year() != 2036 {
				t.Errorf("due %v, want %v; kept until %v", h.Due, until, h.Keep)
			}
			counts := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*store.HitCounts, error) { return tx.HitCounts(ctx) })
			if counts.States["true"] != 1 || counts.Running != 1 || counts.Overdue != 0 || !counts.NextDue.Equal(h.Due) {
				t.Errorf("%+v", counts)
			}
			// It is not refused, and stays suspended whatever else comes.
			b.Contact(b.application, "")
			b.Document(b.application, "", roomtest.Passport("NG", "A1"))
			b.is(muster.AppReview, muster.AccSuspended, muster.OutcomeSuspend)

			if _, err := b.Review.ReportHit(b.Context(), b.Anna, h.ID, h.Version, review.HitReport{Case: "OFAC-1"}); err != nil {
				t.Fatal(err)
			}
			if counts = roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*store.HitCounts, error) { return tx.HitCounts(ctx) }); counts.Running != 0 {
				t.Errorf("%+v", counts)
			}
			b.Clean()
		})
	}
}

func TestFalseHitLetsTheApplicationGoOn(t *testing.T) {
	t.Parallel()
	b := wanted(t, roomtest.Options{})
	b.apply(roomtest.Person("app-1"))
	b.must(b.find(b.Anna, muster.HitFalse)) // clearing takes one
	b.is(muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	if v := b.look(); v.Review != "" {
		t.Error("the case is still open")
	}
	b.Contact(b.application, "")
	b.Document(b.application, "", roomtest.Passport("NG", "A1"))
	b.is(muster.AppApproved, muster.AccActive, muster.OutcomeOpen)

	// The same pair stays suppressed: another snapshot, a remark, another reason to be listed.
	e := roomtest.Listed("1001", "Chidinma OKAFOR")
	e.Remarks, e.Programmes = "Also listed for something else", []string{"SDGT"}
	b.Lists.Put(list, e)
	if b.rescreen() || b.hit().State != muster.HitFalse {
		t.Errorf("%+v", b.hit())
	}
	// It comes back with the entry, and says so; the approved account waits in a case, and is not shut in silence.
	e.Births = []muster.PartialDate{{Year: 1984}}
	b.Lists.Put(list, e)
	if !b.rescreen() {
		t.Fatal("nothing was decided")
	}
	if h := b.hit(); h.State != muster.HitOpen || h.Again != muster.AgainEntry {
		t.Errorf("%+v", h)
	}
	b.is(muster.AppApproved, muster.AccActive, muster.OutcomeReview)
	if v := b.look(); v.Review == "" {
		t.Error("no case is open")
	}
	b.must(b.find(b.Bea, muster.HitFalse))
	b.is(muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	b.Clean()
}

func TestFalseHitComesBackWithTheClaims(t *testing.T) {
	t.Parallel()
	b := wanted(t, roomtest.Options{})
	b.apply(roomtest.Person("app-1"))
	b.must(b.find(b.Anna, muster.HitFalse))
	correct := func(patch string) {
		t.Helper()
		if _, err := b.Onboard.Correct(b.Context(), b.Anna, b.application, b.look().Version, []byte(patch)); err != nil {
			t.Fatal(err)
		}
	}
	correct(`{"payment":{"token":"tok_other"}}`) // nothing that a finding rests on
	if h := b.hit(); h.State != muster.HitFalse {
		t.Errorf("%+v", h)
	}
	correct(`{"customer":{"date_of_birth":"1984-05-06"}}`)
	if h := b.hit(); h.State != muster.HitOpen || h.Again != muster.AgainClaims || h.Findings != 1 {
		t.Errorf("%+v", h)
	}
	b.is(muster.AppReview, muster.AccLimited, muster.OutcomeReview)
	// Another name: there is nothing left to look at.
	correct(`{"customer":{"name":{"full":"Ngozi Eze"}}}`)
	if h := b.hit(); h.State != muster.HitMoot {
		t.Errorf("%+v", h)
	}
	if v := b.look(); v.State != muster.AppNeeds {
		t.Errorf("%s", v.State)
	}
	b.Clean()
}

func TestEntryThatLeavesItsList(t *testing.T) {
	t.Parallel()
	b := wanted(t, roomtest.Options{})
	b.apply(roomtest.Person("app-1"))
	b.Lists.Put(list, roomtest.Listed("1002", "Somebody Else"))
	if !b.rescreen() || b.hit().State != muster.HitMoot {
		t.Errorf("%+v", b.hit())
	}
	b.is(muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)

	// Back again, and found true: leaving the list then lifts nothing by itself.
	b.Lists.Put(list, roomtest.Listed("1001", "Chidinma OKAFOR"))
	b.rescreen()
	if _, err := b.find(b.Anna, muster.HitTrue); err != nil {
		t.Fatal(err)
	}
	b.must(b.find(b.Bea, muster.HitTrue))
	b.is(muster.AppReview, muster.AccSuspended, muster.OutcomeSuspend)
	b.Lists.Put(list)
	b.rescreen()
	if h := b.hit(); h.State != muster.HitTrue || !h.Gone {
		t.Errorf("%+v", h)
	}
	b.is(muster.AppReview, muster.AccSuspended, muster.OutcomeSuspend)
	// Taking it back takes two, as it did.
	if done, err := b.find(b.Anna, muster.HitFalse); done || err != nil {
		t.Fatal(done, err)
	}
	b.must(b.find(b.Bea, muster.HitFalse))
	b.is(muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	b.Clean()
}

func TestEverybodyOnFileIsScreened(t *testing.T) {
	t.Parallel()
	wallet := muster.ListEntry{
		ID: "2001", Kind: muster.ListedEntity, Names: []muster.ListedName{{Full: "Nobody Of That Name"}},
		Identifiers: []muster.ListedIdentifier{{Kind: muster.IdentWallet, Value: "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B"}},
	}
	for name, c := range map[string]struct {
		app  func() *muster.Application
		what func(h *muster.HitRecord) bool
	}{
		"an owner": {func() *muster.Application {
			app := roomtest.Company("app-1")
			app.Owners[1].Name.Full = "Chidinma Okafor"
			return app
		}, func(h *muster.HitRecord) bool { return h.Of == muster.HitOfSubject }},
		"the payer": {func() *muster.Application {
			app := roomtest.Company("app-1")
			app.Payment.PayerName = "Chidinma Okafor"
			return app
		}, func(h *muster.HitRecord) bool { return h.Of == muster.HitOfPayer }},
		"another name in use": {func() *muster.Application {
			app := roomtest.Company("app-1")
			app.Owners[0].Name.Others = []string{"Chidinma Okafor"}
			return app
		}, func(h *muster.HitRecord) bool { return h.Of == muster.HitOfSubject }},
		"a wallet": {func() *muster.Application {
			app := roomtest.Company("app-1")
			app.Payment = &muster.Payment{Means: "virtual_currency", Country: "NO", Wallet: &muster.Wallet{Network: "ethereum", Address: "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B"}}
			return app
		}, func(h *muster.HitRecord) bool { return h.Score == 1000 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := wanted(t, roomtest.Options{})
			b.Lists.Put("csl.isn", wallet)
			b.apply(c.app())
			if h := b.hit(); !c.what(h) || h.State != muster.HitOpen {
				t.Errorf("%+v", h)
			}
			b.is(muster.AppReview, muster.AccPending, muster.OutcomeReview)
		})
	}
}

func TestListThatComesLaterIsSeenAtTheNextDecision(t *testing.T) {
	t.Parallel()
	b := &bundle{Rooms: roomtest.Setup(t, roomtest.Options{})}
	b.apply(roomtest.Person("app-1"))
	b.is(muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
	b.Lists.Put(list, roomtest.Listed("1001", "Chidinma OKAFOR"))
	b.Contact(b.application, "") // evidence decides anew
	b.is(muster.AppReview, muster.AccLimited, muster.OutcomeReview)
	if h := b.hit(); h.State != muster.HitOpen {
		t.Errorf("%+v", h)
	}
}

func TestWhichEntryIsNotInTheClear(t *testing.T) {
	t.Parallel()
	b := &bundle{Rooms: roomtest.Setup(t, roomtest.Options{})}
	b.Lists.Put(list, roomtest.Listed("entry-9917", "Chidinma OKAFOR"))
	b.apply(roomtest.Person("app-1"))
	b.must(b.find(b.Anna, muster.HitFalse))
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(b.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"entry-9917", "the passport was compared"} {
			if strings.Contains(string(data), word) {
				t.Errorf("%q lies clear in muster.db%s", word, suffix)
			}
		}
		if suffix == "" && !strings.Contains(string(data), "meta") {
			t.Error("the search finds nothing")
		}
	}
}
