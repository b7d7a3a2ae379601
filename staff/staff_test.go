package staff_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
)

type bundle struct{ *roomtest.Rooms }

func setup(t *testing.T) *bundle { return &bundle{roomtest.Setup(t, roomtest.Options{})} }

func (b *bundle) fails(err error, code muster.Code, faults ...string) {
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
}

func (b *bundle) token(by muster.Principal, operator string, scopes ...muster.Scope) (*muster.TokenRecord, string) {
	b.Helper()
	r, secret, err := b.Staff.Create(b.Context(), by, staff.Grant{Operator: operator, Name: "sign-up", Scopes: scopes, Days: 30})
	if err != nil {
		b.Fatal(err)
	}
	return r, secret
}

// entries of a type, as they were committed to.
func (b *bundle) entries(kind string) (list []string) {
	b.Helper()
	all := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.EntryRecord, error) {
		return tx.Entries(ctx, muster.Page{Limit: 1000})
	})
	slices.SortFunc(all, func(a, b *muster.EntryRecord) int { return int(a.Leaf - b.Leaf) }) // ids of one millisecond have no order
	for _, e := range all {
		if e.Type == kind {
			list = append(list, e.Operator+" "+e.About.ID+" "+string(e.Body))
		}
	}
	return list
}

func TestTokenStandsForItsOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, secret := b.token(b.Anna, b.Bea.Operator, muster.ScopeApply, muster.ScopeRead)
	if !strings.HasPrefix(secret, "muster_production_") || len(secret) < 40 {
		t.Errorf("a secret of %d characters", len(secret))
	}
	p, err := b.Staff.Principal(b.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if p.Operator != b.Bea.Operator || p.Token != r.ID || !p.May(muster.ScopeApply) || p.May(muster.ScopeReveal) {
		t.Errorf("%+v", p)
	}
	for _, other := range []string{"", "x", secret + "x", strings.ToUpper(secret), secret[:len(secret)-1]} {
		_, err := b.Staff.Principal(b.Context(), other)
		b.fails(err, muster.CodeUnauthorized)
	}
	stored, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(stored), secret) || strings.Contains(strings.Join(b.entries("token"), ""), secret) {
		t.Error("the secret is kept")
	}
	b.Clean()
}

func TestNobodyGrantsWhatTheyDoNotCarry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.token(b.Anna, b.Anna.Operator, muster.Scopes...) // as the first token has
	little := b.Anna
	little.Scopes = []muster.Scope{muster.ScopeOperators, muster.ScopeRead}
	_, _, err := b.Staff.Create(b.Context(), little, staff.Grant{Operator: b.Anna.Operator, Scopes: []muster.Scope{muster.ScopeRead, muster.ScopeReveal}, Days: 1})
	b.fails(err, muster.CodeForbidden)
	b.token(little, b.Anna.Operator, muster.ScopeRead)
}

// A scope that came with a release is in no token, and no token leads to it: only the
// machine's own command line does.
func TestScopeOfANewReleaseComesFromTheMachine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := slices.DeleteFunc(slices.Clone(muster.Scopes), func(s muster.Scope) bool { return s == muster.ScopeKeys })
	_, secret := b.token(b.Anna, b.Anna.Operator, old...)
	anna, err := b.Staff.Principal(b.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	grant := staff.Grant{Operator: b.Bea.Operator, Name: "x", Scopes: []muster.Scope{muster.ScopeKeys}, Days: 1}
	refused := func(by muster.Principal) {
		t.Helper()
		_, _, err := b.Staff.Create(b.Context(), by, grant)
		b.fails(err, muster.CodeForbidden)
	}
	refused(anna) // who makes tokens
	refused(muster.Principal{})
	r, secret, err := b.Staff.CreateOnMachine(b.Context(), grant)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := b.Staff.Principal(b.Context(), secret); err != nil || p.Operator != b.Bea.Operator || !p.May(muster.ScopeKeys) {
		t.Errorf("%+v, %v", p, err)
	}
	refused(anna) // that somebody has it changes nothing, nor that nobody has it any more
	if err := b.Staff.Revoke(b.Context(), b.Anna.Operator, r.ID); err != nil {
		t.Fatal(err)
	}
	refused(anna)
	got := b.entries("token")
	want := " " + r.ID + ` {"what":"created","for":"` + b.Bea.Operator + `","from":"machine","scopes":["keys:write"]}`
	if !slices.Contains(got, want) {
		t.Errorf("the entries are %q, want %q among them", got, want)
	}
	if strings.Contains(got[0], "machine") {
		t.Errorf("a token that Anna made: %q", got[0])
	}
	grant.Operator = "opr_nobody"
	_, _, err = b.Staff.CreateOnMachine(b.Context(), grant)
	b.fails(err, muster.CodeInvalid, "/operator unknown")
	b.Clean()
}

func TestGrantsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := staff.Grant{Operator: b.Anna.Operator, Scopes: []muster.Scope{muster.ScopeRead}, Days: 1}
	for fault, change := range map[string]func(*staff.Grant){
		"/days range":           func(g *staff.Grant) { g.Days = 0 },
		"/scopes empty":         func(g *staff.Grant) { g.Scopes = nil },
		"/scopes unknown_scope": func(g *staff.Grant) { g.Scopes = []muster.Scope{"everything"} },
		"/name length":          func(g *staff.Grant) { g.Name = strings.Repeat("x", 101) },
		"/operator unknown":     func(g *staff.Grant) { g.Operator = "opr_nobody" },
	} {
		g := good
		change(&g)
		_, _, err := b.Staff.Create(b.Context(), b.Anna, g)
		b.fails(err, muster.CodeInvalid, fault)
	}
	for _, days := range []int{401, 1 << 40} {
		g := good
		g.Days = days
		_, _, err := b.Staff.Create(b.Context(), b.Anna, g)
		b.fails(err, muster.CodeInvalid, "/days range")
	}
}

func TestTokenEnds(t *testing.T) {
	t.Parallel()
	t.Run("when it expires", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, secret := b.token(b.Anna, b.Anna.Operator, muster.ScopeRead)
		b.Clock.Move(30*24*time.Hour - time.Microsecond)
		if _, err := b.Staff.Principal(b.Context(), secret); err != nil {
			t.Fatal(err)
		}
		b.Clock.Move(time.Microsecond)
		_, err := b.Staff.Principal(b.Context(), secret)
		b.fails(err, muster.CodeUnauthorized)
	})
	t.Run("when it is revoked, and only it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		r, secret := b.token(b.Anna, b.Anna.Operator, muster.ScopeRead)
		_, other := b.token(b.Anna, b.Anna.Operator, muster.ScopeRead)
		for range 2 { // again does no harm
			if err := b.Staff.Revoke(b.Context(), b.Bea.Operator, r.ID); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.Staff.Principal(b.Context(), secret)
		b.fails(err, muster.CodeUnauthorized)
		if _, err := b.Staff.Principal(b.Context(), other); err != nil {
			t.Error(err)
		}
		if got := b.entries("token"); len(got) != 3 || !strings.Contains(got[2], b.Bea.Operator+" "+r.ID+` {"what":"revoked"}`) {
			t.Error(got)
		}
		b.fails(b.Staff.Revoke(b.Context(), b.Bea.Operator, "tok_nobody"), muster.CodeNotFound)
		b.Clean()
	})
	t.Run("when its operator is disabled", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if _, err := b.Staff.Add(b.Context(), b.Anna.Operator, "Cy"); err != nil {
			t.Fatal(err)
		}
		_, secret := b.token(b.Anna, b.Bea.Operator, muster.ScopeRead)
		if err := b.Staff.Disable(b.Context(), b.Anna.Operator, b.Bea.Operator, false); err != nil {
			t.Fatal(err)
		}
		_, err := b.Staff.Principal(b.Context(), secret)
		b.fails(err, muster.CodeUnauthorized)
		_, _, err = b.Staff.Create(b.Context(), b.Anna, staff.Grant{Operator: b.Bea.Operator, Scopes: []muster.Scope{muster.ScopeRead}, Days: 1})
		b.fails(err, muster.CodeInvalid, "/operator unknown")
		b.Clean()
	})
}

func TestOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Staff.Add(b.Context(), b.Anna.Operator, " Anna ")
	b.fails(err, muster.CodeConflict)
	_, err = b.Staff.Add(b.Context(), b.Anna.Operator, " ")
	b.fails(err, muster.CodeInvalid, "/name length")
	b.fails(b.Staff.Disable(b.Context(), b.Anna.Operator, "opr_nobody", true), muster.CodeNotFound)
}

func TestGoingBackToOneOperatorBreaksGlass(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fails(b.Staff.Disable(b.Context(), b.Anna.Operator, b.Bea.Operator, false), muster.CodeForbidden)
	if got := b.entries("break_glass"); got != nil {
		t.Fatal(got)
	}
	for range 2 { // again does no harm
		if err := b.Staff.Disable(b.Context(), b.Anna.Operator, b.Bea.Operator, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.entries("break_glass"); len(got) != 1 || !strings.HasPrefix(got[0], b.Anna.Operator+" "+b.Bea.Operator) {
		t.Error(got)
	}
	b.fails(b.Staff.Disable(b.Context(), b.Anna.Operator, b.Anna.Operator, true), muster.CodeForbidden)
	if a := b.Audit(); !a.Clean() || a.ByType["operator"] != 3 {
		t.Errorf("%+v", a)
	}
}

func TestFourEyes(t *testing.T) {
	t.Parallel()
	ask := func(b *bundle, proposer, by string, proposed time.Time) error {
		return b.DB.View(b.Context(), func(tx *store.Tx) error { return b.Staff.FourEyes(b.Context(), tx, proposer, by, proposed) })
	}
	b := setup(t)
	at := b.Clock.Now()
	if err := ask(b, b.Anna.Operator, b.Bea.Operator, at); err != nil {
		t.Error(err)
	}
	b.Clock.Move(10 * roomtest.SoloDelay) // while there are two, no delay replaces the other
	b.fails(ask(b, b.Anna.Operator, b.Anna.Operator, at), muster.CodeForbidden)
	if err := b.Staff.Disable(b.Context(), b.Anna.Operator, b.Bea.Operator, true); err != nil {
		t.Fatal(err)
	}
	at = b.Clock.Now()
	b.Clock.Move(roomtest.SoloDelay - time.Microsecond)
	b.fails(ask(b, b.Anna.Operator, b.Anna.Operator, at), muster.CodeForbidden)
	b.Clock.Move(time.Microsecond)
	if err := ask(b, b.Anna.Operator, b.Anna.Operator, at); err != nil {
		t.Error(err)
	}
}
