package retain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// wholeBook is a deployment with records of every kind and a die.
type wholeBook struct {
	*bundle
	*rand.Rand
	n     int
	open  []string // references of accounts in use
	files []string // customers
	holds []*muster.Hold
	state *muster.ListState
}

// fill brings in who can be: proven here and elsewhere, presumed from a book, withdrawn.
func (b *wholeBook) fill() {
	b.Helper()
	for i, country := range []string{"US", "US", "NG", "US"} {
		x := b.proven(fmt.Sprintf("c-%d", i), country, fmt.Sprintf("c%d@example.com", i), fmt.Sprintf("+1202555010%d", i))
		b.open, b.files = append(b.open, x.Reference), append(b.files, x.Customer)
	}
	r, _, err := b.Onboard.OpenImport(b.Context(), b.Anna, onboard.ImportOrder{Cohort: "all", Due: b.Clock.Now().Add(30 * year), Source: strings.Repeat("ab", 32)})
	if err != nil {
		b.Fatal(err)
	}
	var lines []string
	for i, more := range []string{"", "", `,"state":"closed","closed":"2026-10-01","ground":"abuse"`} {
		app := roomtest.Person(fmt.Sprintf("old-%d", i))
		app.Customer.Email, app.Customer.Phone = fmt.Sprintf("o%d@example.com.ng", i), fmt.Sprintf("+234803123451%d", i)
		lines = append(lines, `{"type":"customer","customer":{"application":`+string(roomtest.JSON(app))+more+`}}`)
	}
	if out, err := b.Onboard.TakeLines(b.Context(), b.Anna, r.ID, 1, []byte(strings.Join(lines, "\n"))); err != nil || out.Taken != 3 {
		b.Fatalf("%+v, %v", out, err)
	}
	if _, err := b.Onboard.EndImport(b.Context(), b.Anna, r.ID); err != nil {
		b.Fatal(err)
	}
	b.open = append(b.open, "old-0", "old-1")
	for i := range 2 {
		a := b.Apply(stranger(fmt.Sprintf("gone-%d", i)))
		v := b.look(a.Application)
		if _, err := b.Onboard.Withdraw(b.Context(), b.Anna, a.Application, v.Version); err != nil {
			b.Fatal(err)
		}
		b.files = append(b.files, v.Customer)
	}
}

func some[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// What happens in a book.
const (
	ended = iota
	held
	lifted
	requested
	revealed
	denied
	sent
	listed
	kinds
)

// do does one thing that records are made of, or that keeps them or lets them go.
func (b *wholeBook) do(kind int) {
	b.Helper()
	ctx := b.Context()
	b.n++
	switch kind {
	case ended:
		if len(b.open) > 2 {
			i := b.IntN(len(b.open))
			b.end(b.open[i])
			b.open = slices.Delete(b.open, i, i+1)
		}
	case held:
		h := muster.Hold{Ground: muster.HoldLitigation, Case: "1", Review: b.Clock.Now().Add(year)}
		if b.IntN(3) > 0 {
			h.Customer = some(b.Rand, b.files)
		}
		if b.IntN(3) > 0 {
			h.Class = some(b.Rand, muster.RecordClasses)
		}
		if b.IntN(2) > 0 {
			h.From = roomtest.Start.Add(time.Duration(b.IntN(3)-1) * time.Hour)
		}
		placed, err := b.retain.Place(ctx, b.Anna.Operator, h)
		if err != nil {
			b.Fatal(err)
		}
		b.holds = append(b.holds, placed)
	case lifted:
		if len(b.holds) > 0 {
			h := b.holds[0]
			b.holds = b.holds[1:]
			if _, err := b.retain.Lift(ctx, b.Bea.Operator, h.ID, h.Version); err != nil {
				b.Fatal(err)
			}
		}
	case requested:
		e, err := b.retain.Ask(ctx, "", some(b.Rand, b.files), muster.GroundRequest)
		for _, by := range []muster.Principal{b.Anna, b.Bea} {
			if err == nil && e.State == muster.ErasureProposed {
				var agreed *muster.Erasure
				if agreed, err = b.retain.Agree(ctx, by.Operator, e.ID, e.Version); err == nil {
					e = agreed
				}
			}
		}
		if err != nil && muster.ErrorCode(err) != muster.CodeIllegalMove { // in use
			b.Fatal(err)
		}
	case revealed:
		if _, err := b.Onboard.Copy(ctx, b.Bea, onboard.CopyRequest{Customer: b.files[0], Case: "request-1"}); err != nil {
			b.Fatal(err)
		}
	case denied:
		b.asked(fmt.Sprintf("gtn_%026d", b.n))
	case sent:
		b.inTx(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddDelivery(ctx, &muster.DeliveryRecord{Webhook: "whk_1", Message: fmt.Sprint("msg_", b.n), Attempt: 1, Event: "application.decided", At: tx.Now()}); err != nil {
				return err
			}
			return tx.Enqueue(ctx, &muster.Job{ID: fmt.Sprint("msg_", b.n), Kind: muster.JobWebhook, Ref: "app_1"})
		})
		b.inTx(func(ctx context.Context, tx *store.Tx) error { // it is given up
			jobs, err := tx.Claim(ctx, []string{muster.JobWebhook}, "me", 100, time.Minute)
			for _, j := range jobs {
				if err == nil {
					err = tx.Bury(ctx, j.ID, j.Fence, "gone")
				}
			}
			return err
		})
	case listed:
		b.edition(fmt.Sprintf("%064x", b.n))
	}
}

// asked has the gate record that it denied somebody.
func (b *bundle) asked(run string) {
	b.Helper()
	now := b.Clock.Now()
	batch := &muster.GateBatch{
		Run: run, N: 1, At: now, Counts: []muster.GateCount{{Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse, Answer: muster.AnswerDeny, Count: 2}},
		Records: []muster.GateRecord{{
			ID: muster.NewID(muster.PrefixGateRecord, now), Account: strings.Repeat("0a", 16), Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse,
			Answer: muster.AnswerDeny, First: now, Last: now, Count: 2,
		}},
	}
	b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.PutGateBatch(ctx, "", batch) })
}

// edition puts another edition of a list into effect, as package watchlist does.
func (b *wholeBook) edition(digest string) {
	b.Helper()
	b.Clock.Move(time.Minute)
	b.inTx(func(ctx context.Context, tx *store.Tx) error {
		if b.state == nil {
			b.state = &muster.ListState{List: "un"}
		}
		st := *b.state
		was := st.Digest
		st.Digest, st.Since = digest, tx.Now()
		if err := tx.AddListSnapshot(ctx, &muster.ListSnapshot{List: "un", Digest: digest, Made: tx.Now(), Body: []byte("entries")}); err != nil {
			return err
		}
		if states, err := tx.ListStates(ctx); err != nil {
			return err
		} else if len(states) > 0 {
			st.Version = states[0].Version
		}
		if err := tx.PutListState(ctx, &st); err != nil {
			return err
		}
		b.state = &st
		return tx.AddListEvent(ctx, &muster.ListEvent{ID: "ent_" + digest[38:], List: "un", Version: st.Version, At: tx.Now(), What: "applied", Digest: digest, Before: was})
	})
}

// TestARunTakesWhatItsPreviewCounted: whatever is on file, held, asked for or agreed to,
// a run at an instant takes away of each class what a preview of that instant counts, and
// a second one nothing.
func TestARunTakesWhatItsPreviewCounted(t *testing.T) {
	both(t, func(x *bundle) {
		seed := rand.Uint64()
		b := &wholeBook{bundle: x, Rand: rand.New(rand.NewPCG(seed, 1))}
		b.fill()
		total := map[string]int64{}
		days := 0
		for days < 14*366 {
			for range b.IntN(4) {
				b.do(b.IntN(kinds))
			}
			step := some(b.Rand, []int{0, 1, 30, 60, 61, 180, 366})
			days += step
			at := b.Clock.Now().Add(time.Duration(step) * 24 * time.Hour)
			p, err := b.retain.Preview(b.Context(), at)
			if err != nil {
				b.Fatal(err)
			}
			b.until(at)
			s := b.run()
			want := map[string]int64{}
			for class, c := range p.Classes {
				if c.Due > 0 {
					want[class] = c.Due
				}
			}
			if !maps.Equal(s.Classes, want) || s.Editions != p.Editions || p.Waits || s.Waits != 0 {
				text, _ := json.Marshal(p)
				b.Fatalf("seed %d, day %d: the run took %v and %d editions; the preview was %s", seed, days, s.Classes, s.Editions, text)
			}
			for class, n := range s.Classes {
				total[class] += n
			}
			total["editions"] += s.Editions
			if again := b.run(); len(again.Classes) != 0 {
				b.Fatalf("seed %d, day %d: a second run took %v", seed, days, again.Classes)
			}
		}
		b.Logf("seed %d: %v", seed, total)
		b.Clean()
	})
}

// TestEachClassGoes: with nothing that keeps it, everything that has a period goes, and
// what the preview calls silent stays.
func TestEachClassGoes(t *testing.T) {
	both(t, func(x *bundle) {
		b := &wholeBook{bundle: x, Rand: rand.New(rand.NewPCG(7, 7))}
		b.edition(strings.Repeat("0", 64))
		b.fill()
		for range 3 {
			b.do(listed)
		}
		for _, kind := range []int{revealed, denied, sent} {
			b.do(kind)
		}
		b.Clock.Move(61 * 24 * time.Hour)
		first := b.run()
		for _, reference := range b.open {
			b.end(reference)
		}
		b.Clock.Move(12 * year)
		second := b.run()
		b.Clock.Move(time.Hour)
		third := b.run() // editions, the day after what referred to them
		p, err := b.retain.Preview(b.Context(), b.Clock.Now())
		if err != nil || p.Due != 0 {
			b.Fatalf("%+v, %v", p, err)
		}
		for _, class := range muster.RecordClasses {
			took := first.Classes[class] + second.Classes[class]
			switch class {
			case muster.ClassImages, muster.ClassAccess, muster.ClassLeases, muster.ClassRefused: // none here
			default:
				if silent := slices.Contains(p.Silent, class); silent != (took == 0) {
					b.Errorf("%s: %d went, silent %v", class, took, silent)
				}
			}
		}
		// Under the first edition everybody was decided, under the second nobody was.
		if first.Editions != 1 || second.Editions != 0 || third.Editions != 1 {
			b.Errorf("editions went before what refers to them, or did not: %+v, %+v, %+v", first, second, third)
		}
		left := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.ListSnapshot, error) {
			return tx.ListSnapshots(ctx, "un")
		})
		if len(left) != 2 || !slices.ContainsFunc(left, func(s *muster.ListSnapshot) bool { return s.Digest == b.state.Digest }) {
			b.Errorf("%d editions are left; wanted: the one in effect and the one before", len(left))
		}
		b.Clean()
	})
}
