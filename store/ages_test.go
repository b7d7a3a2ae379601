package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// heldDecisions holds the database's reading of holds against Hold.Holds.
func heldDecisions(b *bundle) {
	ctx, made := b.Context(), b.clock.read()
	file := muster.FileAge{Customer: "cus_1", Made: made}
	b.tx(func(tx *store.Tx) error {
		if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1", Kind: "individual", Made: made}); err != nil {
			return err
		}
		if err := tx.AddDecision(ctx, &muster.DecisionRecord{ID: "dec_1", Customer: "cus_1", At: made, Outcome: muster.OutcomeOpen, Body: []byte("{}")}); err != nil {
			return err
		}
		return tx.Append(ctx, []byte("leaf"), "dec_1")
	})
	n, kept := 0, 0
	for _, customer := range []string{"", "cus_1", "cus_2"} {
		for _, class := range []string{"", muster.ClassDecisions, muster.ClassIdentity} {
			for _, from := range []time.Time{{}, made, made.Add(time.Second)} {
				for _, until := range []time.Time{{}, made, made.Add(time.Second)} {
					for _, lifted := range []time.Time{{}, made} {
						for _, withheld := range []bool{false, true} {
							n++
							h := &muster.Hold{ID: fmt.Sprintf("hld_%03d", n), Customer: customer, Class: class, From: from, Until: until, Lifted: lifted, Withheld: withheld}
							b.tx(func(tx *store.Tx) error { return tx.PutHold(ctx, h) })
							b.view(func(tx *store.Tx) error {
								due, held, err := tx.CountOldDecisions(ctx, made.Add(time.Hour), time.Time{})
								old, e := tx.OldDecisions(ctx, made.Add(time.Hour), time.Time{}, 10)
								if err == nil {
									err = e
								}
								if want := h.Holds(&file, muster.ClassDecisions); (held == 1) != want || due+held != 1 || int64(len(old)) != due {
									b.Errorf("%+v: due %d, held %d, listed %d, and it holds: %v", h, due, held, len(old), want)
								}
								kept += int(held)
								return err
							})
							h.Lifted = made
							b.tx(func(tx *store.Tx) error { return tx.PutHold(ctx, h) })
						}
					}
				}
			}
		}
	}
	if kept == 0 || kept == n {
		b.Errorf("%d of %d holds keep the decision: nothing was compared", kept, n)
	}
}

// listed is a list's history as package watchlist writes it.
type listed struct {
	*bundle
	state muster.ListState
	n     int
}

func (l *listed) snapshot(digest string) {
	l.Helper()
	l.tx(func(tx *store.Tx) error {
		return tx.AddListSnapshot(l.Context(), &muster.ListSnapshot{List: "un", Digest: digest, Made: tx.Now(), Body: []byte(digest)})
	})
	l.clock.move(time.Minute)
}

// effect puts a snapshot into effect; an hour passes.
func (l *listed) effect(digest, what string) {
	l.Helper()
	l.tx(func(tx *store.Tx) error {
		st := l.state
		if all, err := tx.ListStates(l.Context()); err != nil {
			return err
		} else if len(all) > 0 {
			st = *all[0]
		}
		was := st.Digest
		st.List, st.Digest = "un", digest
		if err := tx.PutListState(l.Context(), &st); err != nil {
			return err
		}
		l.n++
		return tx.AddListEvent(l.Context(), &muster.ListEvent{ID: fmt.Sprintf("ent_%d", l.n), List: "un", Version: st.Version, At: tx.Now(), What: what, Digest: digest, Before: was})
	})
	l.clock.move(time.Hour)
}

func (l *listed) old(want ...string) {
	l.Helper()
	l.view(func(tx *store.Tx) error {
		found, err := tx.OldEditions(l.Context(), time.Minute)
		var got []string
		for _, x := range found {
			got = append(got, x.Digest)
		}
		if !slices.Equal(got, want) {
			l.Errorf("old: %v, want %v", got, want)
		}
		return err
	})
}

func editions(b *bundle) {
	ctx := b.Context()
	l := &listed{bundle: b}
	for _, digest := range []string{"a", "b", "c", "declined", "d", "e"} {
		l.snapshot(digest)
		if digest != "declined" {
			l.effect(digest, "applied")
		}
		if digest == "b" { // decided half a minute after c came
			b.tx(func(tx *store.Tx) error {
				return tx.AddDecision(ctx, &muster.DecisionRecord{ID: "dec_1", Customer: "cus_1", At: tx.Now().Add(90 * time.Second), Outcome: muster.OutcomeOpen, Body: []byte("{}")})
			})
		}
	}
	l.old("a", "declined") // b and c: the decision; d is the way back
	hit := &muster.HitRecord{ID: "hit_1", Customer: "cus_1", List: "un", Listed: []byte("x"), State: muster.HitFalse, Opened: b.clock.read().Add(-5*time.Hour + time.Minute), Changed: b.clock.read()}
	b.tx(func(tx *store.Tx) error { return tx.PutHit(ctx, hit) })
	l.old("declined")
	b.tx(func(tx *store.Tx) error { return tx.EraseHits(ctx, "cus_1") })
	job := &muster.Job{ID: "req_1", Kind: muster.JobSweep, Ref: "un"}
	b.tx(func(tx *store.Tx) error { return tx.Enqueue(ctx, job) })
	l.old()
	b.tx(func(tx *store.Tx) error { return tx.Finish(ctx, "req_1", 0) })

	sweep := &muster.SweepRecord{ID: "swp_1", Kind: muster.SweepChange, List: "un", From: "", To: "a", Made: b.clock.read(), Ended: b.clock.read()}
	b.tx(func(tx *store.Tx) error { return tx.PutSweep(ctx, sweep) })
	var held *muster.ListState // as an operator has read it who goes back to a
	b.view(func(tx *store.Tx) (err error) { held, err = tx.ListState(ctx, "un"); return err })
	b.tx(func(tx *store.Tx) error { return tx.DropEdition(ctx, "un", "a") })
	b.fails(muster.CodeStale, func(tx *store.Tx) error { held.Digest = "a"; return tx.PutListState(ctx, held) })
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.DropEdition(ctx, "un", "e") })
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.Sweep(ctx, "swp_1"); return err })
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.ListBody(ctx, "un", "a"); return err })
	l.old("declined")
	l.effect("b", "rolled_back") // e is the way back now
	l.old("declined", "d")
}

func gateAges(b *bundle) {
	ctx, at := b.Context(), b.clock.read()
	batch := func(run int, at time.Time) *muster.GateBatch {
		return &muster.GateBatch{
			Run: fmt.Sprintf("gtn_%d", run), N: 1, At: at, Counts: []muster.GateCount{{Protocol: "authzen", Action: "use", Answer: muster.AnswerDeny, Count: 1}},
			Records: []muster.GateRecord{{ID: fmt.Sprintf("gtr_%d", run), Account: strings.Repeat("0a", 16), First: at, Last: at, Count: 1}},
		}
	}
	for i := range 5 {
		b.tx(func(tx *store.Tx) error { return tx.PutGateBatch(ctx, "", batch(i, tx.Now())) })
		b.clock.move(2 * time.Hour)
	}
	before := at.Add(5 * time.Hour) // three of five
	var gone int64
	for range 3 { // two at a time
		b.tx(func(tx *store.Tx) error {
			n, err := tx.DropGateRecords(ctx, before, 2)
			gone += n
			return err
		})
	}
	b.view(func(tx *store.Tx) error {
		left, err := tx.GateRecords(ctx, nil, muster.Page{Limit: 10})
		counts, e := tx.GateCounts(ctx, time.Time{})
		if err == nil {
			err = e
		}
		if gone != 3 || len(left) != 2 || len(counts) != 1 || counts[0].Count != 2 {
			b.Errorf("%d went, %d are left, counted %+v", gone, len(left), counts)
		}
		return err
	})
	// What tells batches apart went with them: only who sends again after that counts twice.
	b.tx(func(tx *store.Tx) error { return tx.PutGateBatch(ctx, "", batch(4, at.Add(8*time.Hour))) })
	same(b, 0, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.CountOldGateRecords(ctx, before) })
}

func notedGone(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		for i := range 20 { // more than one list for IN holds
			if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: fmt.Sprintf("cus_%02d", i), Kind: muster.Individual, Applied: []string{"1"}}); err != nil {
				return err
			}
		}
		return nil
	})
	ids := func(from, until int) (all []string) {
		for i := from; i < until; i++ {
			all = append(all, fmt.Sprintf("cus_%02d", i))
		}
		return all
	}
	b.tx(func(tx *store.Tx) error { return tx.NoteGone(ctx, nil, []string{"claims"}, ids(0, 19)...) })
	b.tx(func(tx *store.Tx) error {
		return tx.NoteGone(ctx, []string{"claims"}, []string{"claims", "hits"}, ids(18, 19)...)
	})
	b.fails(muster.CodeStale, func(tx *store.Tx) error {
		return tx.NoteGone(ctx, []string{"claims"}, []string{"claims", "evidence"}, ids(0, 19)...)
	})
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.NoteGone(ctx, nil, []string{"claims"}, "cus_19", "cus_20") })
	for id, want := range map[string]string{"cus_00": "[claims] 2", "cus_18": "[claims hits] 3", "cus_19": "[] 1"} {
		same(b, want, func(ctx context.Context, tx *store.Tx) (string, error) {
			c, err := tx.Customer(ctx, id)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(c.Gone, " ", c.Version), nil
		})
	}
}
