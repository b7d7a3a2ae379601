package onboard_test

import (
	"context"
	"encoding/json"
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
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

type bundle struct{ *roomtest.Rooms }

func setup(t *testing.T) *bundle { return setupWith(t, roomtest.Options{}) }

func setupWith(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	return &bundle{roomtest.Setup(t, o)}
}

func onPostgres(t *testing.T) roomtest.Options {
	return roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}
}

// variant is the default pack with one text replaced.
func variant(t *testing.T, old, new string) string {
	t.Helper()
	src := roomtest.Pack(t, packs.Default)
	if strings.Count(src, old) != 1 {
		t.Fatalf("the default pack has %d times %q", strings.Count(src, old), old)
	}
	return strings.Replace(src, old, new, 1)
}

// is compares what an answer says: application state, account state, outcome.
func (b *bundle) is(a *onboard.Answer, application, account string, outcome muster.Outcome) {
	b.Helper()
	if a.State != application || a.AccountState != account || a.Decision.Outcome != outcome {
		b.Fatalf("application %s, account %s, outcome %s by %v; want %s, %s, %s",
			a.State, a.AccountState, a.Decision.Outcome, rulesOf(a), application, account, outcome)
	}
}

func rulesOf(a *onboard.Answer) (list []string) {
	for _, r := range a.Decision.Reasons {
		list = append(list, r.Rule)
	}
	return list
}

func needsOf(a *onboard.Answer) (list []string) {
	for _, n := range a.Decision.Needs {
		list = append(list, strings.TrimSpace(string(n.Kind)+" "+n.Pointer+" "+n.Attribute))
	}
	return list
}

// fails is the error that has to come, of a code, naming the faults ("pointer code").
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

func (b *bundle) post(app *muster.Application) (*onboard.Answer, error) {
	return b.Onboard.Apply(b.Context(), b.Anna, roomtest.JSON(app))
}

// look is an application as it stands.
func (b *bundle) look(id string) *onboard.View {
	b.Helper()
	v, err := b.Onboard.View(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// correct patches the claims of an application at its present version.
func (b *bundle) correct(id string, patch any) *onboard.Answer {
	b.Helper()
	a, err := b.tryCorrect(id, patch)
	if err != nil {
		b.Fatalf("correct: %v %v", err, roomtest.Faulted(err))
	}
	return a
}

func (b *bundle) tryCorrect(id string, patch any) (*onboard.Answer, error) {
	b.Helper()
	body, err := json.Marshal(patch)
	if err != nil {
		b.Fatal(err)
	}
	return b.Onboard.Correct(b.Context(), b.Anna, id, b.look(id).Version, body)
}

// due moves the clock and does what time does.
func (b *bundle) due(id string, after time.Duration) *onboard.View {
	b.Helper()
	b.Clock.Move(after)
	if err := b.Onboard.Due(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	return b.look(id)
}

const day = 24 * time.Hour

// active walks a person to an active account.
func (b *bundle) active(app *muster.Application) *onboard.Answer {
	b.Helper()
	a := b.Apply(app)
	b.Contact(a.Application, "")
	a = b.Document(a.Application, "", roomtest.Passport("NG", "A0"+strings.ToUpper(strings.ReplaceAll(app.Reference, "-", ""))))
	b.is(a, muster.AppApproved, muster.AccActive, muster.OutcomeOpen)
	return a
}

type ctx = context.Context

func asJSON(t *testing.T, x any) []byte {
	t.Helper()
	data, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
