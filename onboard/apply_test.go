package onboard_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

func TestSameApplicationAgainIsTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := roomtest.JSON(roomtest.Person("app-1"))
	first, err := b.Onboard.Apply(b.Context(), b.Anna, body)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.MarshalIndent(members, " ", "\t") // other order of keys, other white space
	if err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string][]byte{"bytes": body, "order and space": sorted} {
		a, err := b.Onboard.Apply(b.Context(), b.Bea, again)
		if err != nil {
			t.Fatal(name, err)
		}
		if a.Created || !first.Created {
			t.Errorf("%s: created %v, first %v", name, a.Created, first.Created)
		}
		a.Created = true
		if d := cmp.Diff(first, a); d != "" {
			t.Error(name, d)
		}
	}
	// What was taken is answered though it would not be taken now.
	b.Clock.Move(-400 * day)
	if a, err := b.Onboard.Apply(b.Context(), b.Anna, body); err != nil || a.Application != first.Application {
		t.Errorf("%+v, %v", a, err)
	}
	b.Clean()
}

func TestSameReferenceWithOtherContentIsAConflictThatNamesTheWayToCorrect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.Apply(roomtest.Person("app-1"))
	other := roomtest.Person("app-1")
	other.Customer.Address.Lines = []string{"15 Adeola Odeku Street"}
	_, err := b.post(other)
	e := b.fails(err, muster.CodeConflict, "/reference taken")
	if !strings.Contains(e.Hint, "PATCH /v1/applications/"+first.Application+"/claims") {
		t.Error("hint:", e.Hint)
	}
	if strings.Contains(e.Error()+e.Hint, "Adeola") {
		t.Error("a value is in the message")
	}
	if v := b.look(first.Application); v.Version != first.Version || v.Decision.ID != first.Decision.ID {
		t.Error("the first did not stay as it was")
	}
	// As typed counts, not as normalised.
	spelled := roomtest.Person("app-1")
	spelled.Customer.Phone = "+234 803 123 4504"
	_, err = b.post(spelled)
	b.fails(err, muster.CodeConflict, "/reference taken")
}

func TestFaultyApplicationLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := rows(b)
	app := roomtest.Person("app-1")
	app.Customer.Phone, app.Access.IP = "+23412", "10.0.0.1"
	_, err := b.post(app)
	b.fails(err, muster.CodeInvalid, "/customer/phone phone_number", "/access/ip address_range")
	if d := cmp.Diff(before, rows(b)); d != "" {
		t.Error(d)
	}
}

func TestAccountReferenceIsTakenOnce(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} }, "postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, o(t))
			app := roomtest.Person("app-1")
			app.Account = "shop-7"
			if a := b.Apply(app); a.Account != "shop-7" {
				t.Error(a.Account)
			}
			second := roomtest.Person("app-2")
			second.Account = "shop-7"
			before := rows(b)
			_, err := b.post(second)
			b.fails(err, muster.CodeConflict, "/account taken")
			if d := cmp.Diff(before, rows(b)); d != "" {
				t.Error(d)
			}
			b.Clean()
		})
	}
}

func TestOfManyEqualPostsOneIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wait sync.WaitGroup
	answers := make([]*onboard.Answer, 16)
	for i := range answers {
		wait.Go(func() {
			a, err := b.post(roomtest.Person("app-1"))
			if err != nil {
				t.Error(err)
			}
			answers[i] = a
		})
	}
	wait.Wait()
	created := 0
	for _, a := range answers {
		if a.Created {
			created++
		}
		if a.Application != answers[0].Application || a.Decision.ID != answers[0].Decision.ID {
			t.Error("another application")
		}
	}
	if created != 1 {
		t.Errorf("%d were created", created)
	}
	b.Clean()
}

func TestParents(t *testing.T) {
	t.Parallel()
	for _, relation := range []muster.Relation{muster.RelationResellerCustomer, muster.RelationSubLessee, muster.RelationDelegate} {
		t.Run(string(relation), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.active(roomtest.Person("above"))
			app := roomtest.Person("below")
			app.Parent = &muster.Parent{Account: "above", Relation: relation}
			a := b.Apply(app)
			b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
			acc := account(b, "below")
			if above := account(b, "above"); acc.Parent != above.ID || acc.Relation != relation {
				t.Errorf("%+v", acc)
			}
			// Every relation is identified like any other customer.
			b.Contact(a.Application, "")
			a = b.Document(a.Application, "", roomtest.Passport("NG", "B1"))
			b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
		})
	}
	below := func(parent string) *muster.Application {
		app := roomtest.Person("below")
		app.Parent = &muster.Parent{Account: parent, Relation: muster.RelationSubLessee}
		return app
	}
	t.Run("of an account that nobody knows", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.post(below("nobody"))
		b.fails(err, muster.CodeInvalid, "/parent/account unknown_account")
		above := b.Apply(roomtest.Person("above"))
		_, err = b.post(below(account(b, above.Account).ID)) // our own id is no reference of theirs
		b.fails(err, muster.CodeInvalid, "/parent/account unknown_account")
	})
	t.Run("of an account that has ended", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.Apply(roomtest.Person("above"))
		for _, to := range []string{"closing", "closed"} {
			if _, err := b.Onboard.MoveAccount(b.Context(), b.Anna, "above", account(b, "above").Version, onboard.Move{To: to, Reason: "left"}); err != nil {
				t.Fatal(err)
			}
			_, err := b.post(below("above"))
			b.fails(err, muster.CodeInvalid, "/parent/account ended_account")
		}
	})
	t.Run("of an account that is not in service goes to a person", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: []string{variant(t, "interim:\n  enabled: true", "interim:\n  enabled: false")}})
		b.Apply(roomtest.Person("above"))
		b.is(b.Apply(below("above")), muster.AppReview, muster.AccPending, muster.OutcomeReview)
	})
}

func TestAccountMovesOnlyAsTheProviderMay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.active(roomtest.Person("app-1"))
	move := func(version int64, to, reason string) error {
		_, err := b.Onboard.MoveAccount(b.Context(), b.Anna, "app-1", version, onboard.Move{To: to, Reason: reason})
		return err
	}
	v := account(b, "app-1").Version
	b.fails(move(v, "active", "please"), muster.CodeInvalid, "/to unknown_move")
	b.fails(move(v, "closing", " "), muster.CodeInvalid, "/reason length")
	b.fails(move(v-1, "closing", "left"), muster.CodeStale)
	b.fails(move(v, "closed", "left"), muster.CodeIllegalMove)
	for _, to := range []string{"closing", "closed"} {
		if err := move(account(b, "app-1").Version, to, "left"); err != nil {
			t.Fatal(err)
		}
	}
	a := account(b, "app-1")
	if a.State != muster.AccClosed || !a.Closed.Equal(b.Clock.Now()) {
		t.Errorf("%+v", a)
	}
	b.fails(move(a.Version, "closed", "left"), muster.CodeIllegalMove)
	b.Clean()
}

func TestWithdrawEndsTheAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.Apply(roomtest.Person("app-1"))
	_, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, a.Version+1)
	b.fails(err, muster.CodeStale)
	w, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, a.Version)
	if err != nil {
		t.Fatal(err)
	}
	b.is(w, muster.AppWithdrawn, muster.AccClosing, muster.OutcomeVerify)
	_, err = b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, w.Version)
	b.fails(err, muster.CodeIllegalMove)
	_, err = b.tryCorrect(a.Application, map[string]any{"device": "d"})
	b.fails(err, muster.CodeIllegalMove)
	b.Clean()
}

func account(b *bundle, reference string) *muster.AccountRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, reference) })
}

// rows is how many rows there are of what an application writes.
func rows(b *bundle) map[string]int64 {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (map[string]int64, error) {
		c, err := tx.Counts(ctx)
		if err != nil {
			return nil, err
		}
		leaves, err := tx.LogSize(ctx)
		if err != nil {
			return nil, err
		}
		m := map[string]int64{"customers": c.Customers, "leaves": leaves}
		for kind, by := range map[string]map[string]int64{"application": c.Applications, "account": c.Accounts, "review": c.Reviews, "job": c.Jobs} {
			for state, n := range by {
				m[kind+" "+state] = n
			}
		}
		ds, err := tx.DecisionsSince(ctx, roomtest.Start.Add(-1e18), muster.Page{Limit: 1000})
		m["decisions"] = int64(len(ds))
		return m, err
	})
}
