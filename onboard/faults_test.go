package onboard_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/verify/contact"
)

// steps are the verbs that write; each is run once more after it failed.
var steps = map[string]func(t *testing.T, b *bundle) func() error{
	"apply": func(t *testing.T, b *bundle) func() error {
		app := roomtest.Company("app-1")
		return func() error { _, err := b.post(app); return err }
	},
	"apply, to a person": func(t *testing.T, b *bundle) func() error {
		app := threeCountries("app-1")
		return func() error { _, err := b.post(app); return err }
	},
	"correct": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(threeCountries("app-1"))
		return func() error {
			_, err := b.Onboard.Correct(b.Context(), b.Anna, a.Application, a.Version, []byte(`{"payment":{"country":"NG"}}`))
			return err
		}
	},
	"record": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(roomtest.Person("app-1"))
		return func() error {
			_, err := b.Onboard.Record(b.Context(), b.Anna, a.Application, onboard.EvidenceInput{Method: "document.manual", Input: []byte(roomtest.Passport("NG", "A1"))})
			return err
		}
	},
	"challenge": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(roomtest.Person("app-1"))
		return func() error { _, err := b.challenge(a.Application); return err }
	},
	"respond": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(roomtest.Person("app-1"))
		var sent [][2]string // one for each try: an attempt stays spent
		for range 5 {
			for _, method := range []string{contact.Email, contact.Phone} {
				challenge, code := b.Challenge(a.Application, "", method)
				sent = append(sent, [2]string{challenge, code})
			}
		}
		return func() error {
			next := sent[0]
			sent = sent[1:]
			_, err := b.respond(next[0], next[1])
			return err
		}
	},
	"withdraw": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(threeCountries("app-1"))
		return func() error { _, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, a.Version); return err }
	},
	"due": func(t *testing.T, b *bundle) func() error {
		a := b.Apply(roomtest.Person("app-1"))
		b.Clock.Move(14 * day)
		return func() error { return b.Onboard.Due(b.Context(), a.Application) }
	},
	"move": func(t *testing.T, b *bundle) func() error {
		b.active(roomtest.Person("app-1"))
		v := account(b, "app-1").Version
		return func() error {
			_, err := b.Onboard.MoveAccount(b.Context(), b.Anna, "app-1", v, onboard.Move{To: "closing", Reason: "left"})
			return err
		}
	},
}

func threeCountries(reference string) *muster.Application {
	app := roomtest.Person(reference)
	app.Payment.Country, app.Access.IP = "KZ", "51.174.0.10"
	return app
}

// Every durable write fails, one after another, before it lands: nothing of the
// verb is there, and the same call then succeeds.
func TestVerbFailingAtAnyWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, roomtest.Options{Listens: true})
			verb := step(t, b)
			before := rows(b)
			n := 1
			for ; ; n++ {
				b.Faults.FailWrite(n)
				err := verb()
				if !b.Faults.Off() {
					if err != nil {
						t.Fatalf("write %d: %v", n, err)
					}
					break
				}
				b.fails(err, muster.CodeUnavailable)
				if d := cmp.Diff(before, rows(b)); d != "" {
					t.Fatalf("write %d failed and left:\n%s", n, d)
				}
			}
			if n < 3 {
				t.Errorf("only %d writes were seen", n-1)
			}
			b.Clean()
		})
	}
}

// The answer is lost after the commit: the whole is there, and asking again does
// it no second time.
func TestVerbFailingAfterItLandedIsWhole(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]muster.Code{
		"apply": "", "apply, to a person": "", "correct": muster.CodeStale, "withdraw": muster.CodeStale, "due": "", "move": muster.CodeStale,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			verb := steps[name](t, b)
			before := rows(b)
			b.Faults.FailAfter()
			b.fails(verb(), muster.CodeUnavailable)
			if !b.Faults.Off() {
				t.Fatal("nothing failed")
			}
			landed := rows(b)
			if cmp.Equal(before, landed) {
				t.Fatal("nothing landed")
			}
			if code := muster.ErrorCode(verb()); code != again {
				t.Errorf("again: %q, want %q", code, again)
			}
			if d := cmp.Diff(landed, rows(b)); d != "" && name != "due" {
				t.Errorf("done twice:\n%s", d)
			}
			b.Clean()
		})
	}
}
