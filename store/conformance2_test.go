package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func claim(b *bundle, holder string, n int, kinds ...string) (got []*muster.Job) {
	b.Helper()
	b.tx(func(tx *store.Tx) (err error) {
		got, err = tx.Claim(b.Context(), kinds, holder, n, time.Minute)
		return err
	})
	return got
}

// under writes in a transaction under fences. One that fails has written nothing.
func under(b *bundle, fences ...muster.Fence) error {
	b.Helper()
	ctx, ran := b.Context(), false
	for _, f := range fences {
		ctx = muster.WithFence(ctx, f)
	}
	id := muster.NewID("job_", b.clock.read())
	err := b.db.InTx(ctx, func(tx *store.Tx) error {
		ran = true
		return tx.Enqueue(ctx, &muster.Job{ID: id, Kind: "under.fence"})
	})
	there := b.db.View(ctx, func(tx *store.Tx) error { _, err := tx.JobByID(ctx, id); return err })
	if (err == nil) != ran || (err == nil) != (there == nil) {
		b.Errorf("%v, and the function was called: %v, and its row: %v", err, ran, there)
	}
	return err
}

func jobs(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		return tx.Enqueue(ctx,
			&muster.Job{ID: "j1", Kind: "send.code", Ref: "chl_1", Payload: []byte("{}")},
			&muster.Job{ID: "j2", Kind: "send.code", RunAt: tx.Now().Add(time.Hour)},
			&muster.Job{ID: "j3", Kind: "application.due"})
	})
	got := claim(b, "one", 10, "send.code")
	if len(got) != 1 || got[0].ID != "j1" || got[0].Attempts != 1 || got[0].Ref != "chl_1" || string(got[0].Payload) != "{}" {
		b.Fatalf("%+v", got)
	}
	if more := claim(b, "two", 10, "send.code"); len(more) != 0 {
		b.Fatalf("a job that is taken was given out: %+v", more)
	}
	b.clock.move(time.Minute)
	again := claim(b, "two", 10, "send.code")
	if len(again) != 1 || again[0].Fence <= got[0].Fence || again[0].Attempts != 2 {
		b.Fatalf("%+v", again)
	}
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.Finish(ctx, "j1", got[0].Fence) })
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.Retry(ctx, "j1", got[0].Fence, tx.Now(), "late") })
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.Bury(ctx, "j1", got[0].Fence, "late") })
	if err := under(b, got[0].Held()); muster.ErrorCode(err) != muster.CodeStale {
		b.Error("a transaction of who had the job before:", err)
	}
	if err := under(b, again[0].Held()); err != nil {
		b.Error("a transaction of who has the job:", err)
	}
	if err := under(b, again[0].Held(), got[0].Held()); muster.ErrorCode(err) != muster.CodeStale {
		b.Error("a transaction under two fences, one of the past:", err)
	}
	b.tx(func(tx *store.Tx) error {
		return tx.Retry(ctx, "j1", again[0].Fence, tx.Now().Add(time.Minute), "timeout")
	})
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.Finish(ctx, "j1", again[0].Fence) })
	if early := claim(b, "one", 10, "send.code"); len(early) != 0 {
		b.Fatalf("%+v", early)
	}
	b.clock.move(time.Minute)
	third := claim(b, "one", 10, "application.due", "send.code")
	if len(third) != 2 || third[1].LastError != "timeout" || third[1].Fence <= again[0].Fence {
		b.Fatalf("%+v", third)
	}
	for _, j := range third {
		b.tx(func(tx *store.Tx) error { return tx.Finish(ctx, j.ID, j.Fence) })
	}
	b.view(func(tx *store.Tx) error {
		due, err := tx.NextDue(ctx, "send.code")
		if want := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC); !due.Equal(want) {
			b.Error("the next is due", due)
		}
		return err
	})
}

func jobRace(b *bundle) { raceJobs(b, b.db) }

func raceJobs(b *bundle, dbs ...*store.DB) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		for i := range 200 {
			if err := tx.Enqueue(ctx, &muster.Job{ID: fmt.Sprintf("j%03d", i), Kind: "k"}); err != nil {
				return err
			}
		}
		return nil
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	given := map[string]int{}
	for h := range 8 {
		wg.Go(func() {
			for empty := 0; empty < 3; {
				var got []*muster.Job
				if err := dbs[h%len(dbs)].InTx(ctx, func(tx *store.Tx) (err error) {
					got, err = tx.Claim(ctx, []string{"k"}, fmt.Sprint("holder", h), 7, time.Minute)
					return err
				}); err != nil {
					b.Error(err)
					return
				}
				if len(got) == 0 {
					empty++
				}
				mu.Lock()
				for _, j := range got {
					given[j.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(given) != 200 {
		b.Errorf("%d jobs were given out", len(given))
	}
	for id, n := range given {
		if n != 1 {
			b.Errorf("%s was given out %d times", id, n)
		}
	}
}

func deadJobs(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error { return tx.Enqueue(ctx, &muster.Job{ID: "j1", Kind: "k"}) })
	j := claim(b, "one", 1, "k")[0]
	b.tx(func(tx *store.Tx) error { return tx.Bury(ctx, j.ID, j.Fence, "gone") })
	b.clock.move(time.Hour)
	if got := claim(b, "one", 1, "k"); len(got) != 0 {
		b.Fatal("a dead job was given out")
	}
	b.view(func(tx *store.Tx) error {
		dead, err := tx.DeadJobs(ctx, muster.Page{Limit: 10})
		if len(dead) != 1 || dead[0].LastError != "gone" {
			b.Errorf("%+v", dead)
		}
		return err
	})
	b.tx(func(tx *store.Tx) error { return tx.Replay(ctx, "j1") })
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { return tx.Replay(ctx, "j1") })
	if got := claim(b, "one", 1, "k"); len(got) != 1 || got[0].Fence <= j.Fence || got[0].Attempts != 1 {
		b.Fatalf("%+v", got)
	}
}

func leases(b *bundle) {
	ctx := b.Context()
	acquire := func(holder string) (l *muster.Lease, err error) {
		err = b.db.InTx(ctx, func(tx *store.Tx) (err error) { l, err = tx.Acquire(ctx, "sequencer", holder, time.Minute); return err })
		return l, err
	}
	one, err := acquire("one")
	if err != nil || one.Fence != 1 {
		b.Fatal(one, err)
	}
	if _, err := acquire("two"); muster.ErrorCode(err) != muster.CodeConflict {
		b.Fatal("two holders:", err)
	}
	if kept, err := acquire("one"); err != nil || kept.Fence != 1 {
		b.Fatal(kept, err)
	}
	b.clock.move(30 * time.Second)
	b.tx(func(tx *store.Tx) error { return tx.Renew(ctx, one, time.Minute) })
	b.clock.move(45 * time.Second)
	if err := under(b, one.Held()); err != nil {
		b.Fatal("under a lease that is held:", err)
	}
	if _, err := acquire("two"); muster.ErrorCode(err) != muster.CodeConflict {
		b.Fatal("a renewed lease was given out:", err)
	}
	b.clock.move(15 * time.Second)
	two, err := acquire("two")
	if err != nil || two.Fence != 2 {
		b.Fatal(two, err)
	}
	for name, use := range map[string]func(*store.Tx) error{
		"renew":   func(tx *store.Tx) error { return tx.Renew(ctx, one, time.Minute) },
		"release": func(tx *store.Tx) error { return tx.Release(ctx, one) },
	} {
		if err := b.db.InTx(ctx, use); muster.ErrorCode(err) != muster.CodeStale {
			b.Errorf("%s under a fence of the past: %v", name, err)
		}
	}
	if err := under(b, one.Held()); muster.ErrorCode(err) != muster.CodeStale {
		b.Error("a transaction under a fence of the past:", err)
	}
	b.tx(func(tx *store.Tx) error { return tx.Release(ctx, two) })
	if err := under(b, two.Held()); muster.ErrorCode(err) != muster.CodeStale {
		b.Error("a transaction under a lease that was given up:", err)
	}
	if three, err := acquire("one"); err != nil || three.Fence != 3 {
		b.Fatal(three, err)
	}
	b.clock.move(2 * time.Minute)
	if four, err := acquire("one"); err != nil || four.Fence != 4 {
		b.Fatal("a lease that ran out kept its fence:", four, err)
	}
}

// presences: of three processes one says no more that it is there, one never did.
func presences(b *bundle) {
	ctx := b.Context()
	inherit := func() (found []muster.Inheritance) {
		b.tx(func(tx *store.Tx) (err error) { found, err = tx.Inherit(ctx); return err })
		return found
	}
	present := func(process string) {
		b.tx(func(tx *store.Tx) error { return tx.Present(ctx, process, 15*time.Second) })
	}
	var lease *muster.Lease
	b.tx(func(tx *store.Tx) (err error) {
		for _, id := range []string{"j1", "j2", "j3", "j4"} {
			if err := tx.Enqueue(ctx, &muster.Job{ID: id, Kind: "k"}); err != nil {
				return err
			}
		}
		lease, err = tx.Acquire(ctx, "lists", "gone", time.Hour)
		return err
	})
	present("gone")
	present("here")
	had, others := claim(b, "gone", 2, "k"), []*muster.Job{claim(b, "here", 1, "k")[0], claim(b, "silent", 1, "k")[0]}
	b.clock.move(14 * time.Second)
	present("here")
	if found := inherit(); len(found) != 0 {
		b.Fatalf("taken from who is there: %+v", found)
	}
	b.clock.move(time.Second)
	if found := inherit(); len(found) != 1 || found[0] != (muster.Inheritance{Process: "gone", Jobs: 2, Leases: 1}) {
		b.Fatalf("%+v", found)
	}
	if found := inherit(); len(found) != 0 {
		b.Fatalf("twice: %+v", found)
	}
	if err := under(b, had[0].Held()); err != nil {
		b.Error("nobody has it yet, and its holder came back:", err)
	}
	got := claim(b, "here", 10, "k")
	if len(got) != 2 || got[0].Fence != 2 || got[0].ID == others[0].ID || got[0].ID == others[1].ID {
		b.Fatalf("%+v", got)
	}
	b.tx(func(tx *store.Tx) error { _, err := tx.Acquire(ctx, "lists", "here", time.Hour); return err })
	for what, held := range map[string]muster.Fence{"a job": had[0].Held(), "a lease": lease.Held()} {
		if err := under(b, held); muster.ErrorCode(err) != muster.CodeStale {
			b.Errorf("%s of a process that is gone: %v", what, err)
		}
	}
	// It comes back, and what it takes is its own; at its end it says so.
	present("gone")
	b.tx(func(tx *store.Tx) error { return tx.Retry(ctx, got[0].ID, got[0].Fence, tx.Now(), "") })
	if back := claim(b, "gone", 1, "k"); len(back) != 1 || len(inherit()) != 0 {
		b.Fatalf("%+v", back)
	}
	b.tx(func(tx *store.Tx) error { return tx.Leave(ctx, "gone") })
	if found := inherit(); len(found) != 1 || found[0].Jobs != 1 {
		b.Fatalf("%+v", found)
	}
}

// pages walks each list while others insert: what was there at the start is seen once.
func pages(b *bundle) {
	ctx := b.Context()
	insert := func(tx *store.Tx, i int) error {
		dec := muster.NewID(muster.PrefixDecision, b.clock.at.Add(time.Duration(i)*time.Second))
		return errors.Join(
			tx.PutCustomer(ctx, &muster.CustomerRecord{ID: fmt.Sprintf("cus_%04d", i*7%1000)}),
			tx.PutApplication(ctx, &muster.ApplicationRecord{ID: fmt.Sprintf("app_%04d", i*7%1000), Reference: fmt.Sprint(i), State: muster.AppReview}),
			tx.PutAccount(ctx, &muster.AccountRecord{ID: fmt.Sprintf("acc_%04d", i*7%1000), Reference: fmt.Sprint(i)}),
			tx.PutReview(ctx, &muster.ReviewRecord{ID: fmt.Sprintf("rev_%04d", i*7%1000), State: muster.ReviewOpen}),
			tx.AddDecision(ctx, &muster.DecisionRecord{ID: dec, Customer: "cus", Application: "app", At: b.clock.at.Add(time.Duration(i) * time.Second)}))
	}
	next := 0
	more := func(n int) {
		b.tx(func(tx *store.Tx) error {
			for end := next + n; next < end; next++ {
				if err := insert(tx, next); err != nil {
					return err
				}
			}
			return nil
		})
	}
	more(50)
	for name, list := range map[string]func(*store.Tx, muster.Page) ([]string, error){
		"customers":    func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.Customers(ctx, p)) },
		"accounts":     func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.Accounts(ctx, p)) },
		"applications": func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.Applications(ctx, "", p)) },
		"applications by state": func(tx *store.Tx, p muster.Page) ([]string, error) {
			return ids(tx.Applications(ctx, muster.AppReview, p))
		},
		"reviews by state":       func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.Reviews(ctx, muster.ReviewOpen, p)) },
		"decisions of a file":    func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.DecisionsOf(ctx, "cus", "", p)) },
		"decisions of one":       func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.DecisionsOf(ctx, "cus", "app", p)) },
		"decisions since a time": func(tx *store.Tx, p muster.Page) ([]string, error) { return ids(tx.DecisionsSince(ctx, b.clock.at, p)) },
	} {
		var before, seen []string
		b.view(func(tx *store.Tx) (err error) { before, err = list(tx, muster.Page{Limit: 10000}); return err })
		for after, done := "", false; !done; {
			b.view(func(tx *store.Tx) error {
				got, err := list(tx, muster.Page{After: after, Limit: 7})
				if done = len(got) == 0; !done {
					seen, after = append(seen, got...), got[len(got)-1]
				}
				return err
			})
			if len(seen) < 40 {
				more(2)
			}
		}
		if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
			b.Errorf("%s: out of order, or twice", name)
		}
		for _, id := range before {
			if !slices.Contains(seen, id) {
				b.Errorf("%s: %s was left out", name, id)
			}
		}
	}
	b.view(func(tx *store.Tx) error {
		got, err := tx.DecisionsSince(ctx, b.clock.at.Add(10*time.Second), muster.Page{Limit: 10000})
		if len(got) != next-10 {
			b.Errorf("%d decisions since then, want %d", len(got), next-10)
		}
		return err
	})
}

func ids[T any](rows []*T, err error) (out []string, _ error) {
	for _, r := range rows {
		switch x := any(r).(type) {
		case *muster.CustomerRecord:
			out = append(out, x.ID)
		case *muster.AccountRecord:
			out = append(out, x.ID)
		case *muster.ApplicationRecord:
			out = append(out, x.ID)
		case *muster.ReviewRecord:
			out = append(out, x.ID)
		case *muster.DecisionRecord:
			out = append(out, x.ID)
		}
	}
	return out, err
}

func active(b *bundle) {
	ctx, now := b.Context(), b.clock.at
	row := func(id, pack string, at time.Duration, approved, retire bool) *muster.ActivationRecord {
		a := &muster.ActivationRecord{ID: id, Pack: pack, Digest: "d" + id, Effective: now.Add(at), Proposer: "opr_1", Made: now, Retire: retire}
		if approved {
			a.Approver, a.Approved = "opr_2", now
		}
		return a
	}
	rows := []*muster.ActivationRecord{
		row("1", "a", -2*time.Hour, true, false), row("2", "a", -time.Hour, true, false), row("3", "a", -time.Minute, false, false),
		row("4", "a", time.Hour, true, false), row("5", "b", -time.Hour, true, false), row("6", "b", -time.Minute, true, true),
		row("7", "c", 0, true, false),
	}
	b.tx(func(tx *store.Tx) error {
		for _, r := range rows {
			if err := tx.PutActivation(ctx, r); err != nil {
				return err
			}
		}
		p := &muster.PackRecord{Digest: "d1", ID: "a", Edition: "1", Source: []byte("yaml"), Made: now}
		return errors.Join(tx.PutPack(ctx, p), tx.PutPack(ctx, p))
	})
	at := func(t time.Time) func(context.Context, *store.Tx) ([]string, error) {
		return func(ctx context.Context, tx *store.Tx) (got []string, err error) {
			rows, err := tx.ActiveAt(ctx, t)
			for _, r := range rows {
				got = append(got, r.ID)
			}
			return got, err
		}
	}
	same(b, []string{"2", "7"}, at(now))
	same(b, []string{"2", "5"}, at(now.Add(-30*time.Minute)))
	same(b, []string{"4", "7"}, at(now.Add(2*time.Hour)))
	rows[2].Approver, rows[2].Approved, rows[2].Effective = "opr_2", now, now
	b.tx(func(tx *store.Tx) error { return tx.PutActivation(ctx, rows[2]) })
	same(b, []string{"3", "7"}, at(now))
	same(b, rows[2], func(ctx context.Context, tx *store.Tx) (*muster.ActivationRecord, error) {
		return tx.Activation(ctx, "3")
	})
	all, err := b.db.Activations(ctx)
	if len(all) != 7 || err != nil {
		b.Error(all, err)
	}
	if p, err := b.db.Pack(ctx, "d1"); err != nil || string(p.Source) != "yaml" {
		b.Error(p, err)
	}
}

func tokens(b *bundle) {
	ctx, now := b.Context(), b.clock.at
	op := muster.OperatorRecord{ID: "opr_1", Name: "Ada", Made: now}
	tok := &muster.TokenRecord{ID: "tok_1", Operator: "opr_1", Name: "ci", MAC: []byte("mac"), Scopes: []muster.Scope{muster.ScopeRead, muster.ScopeApply}, Made: now, Expires: now.Add(time.Hour)}
	b.tx(func(tx *store.Tx) error { return errors.Join(tx.PutOperator(ctx, &op), tx.PutToken(ctx, tok)) })
	op.Disabled, tok.Revoked = now, now
	b.tx(func(tx *store.Tx) error { return errors.Join(tx.PutOperator(ctx, &op), tx.PutToken(ctx, tok)) })
	same(b, []muster.OperatorRecord{op}, func(ctx context.Context, tx *store.Tx) ([]muster.OperatorRecord, error) { return tx.Operators(ctx) })
	same(b, tok, func(ctx context.Context, tx *store.Tx) (*muster.TokenRecord, error) { return tx.Token(ctx, "tok_1") })
	for operator, n := range map[string]int{"": 1, "opr_1": 1, "opr_2": 0} {
		same(b, n, func(ctx context.Context, tx *store.Tx) (int, error) {
			all, err := tx.Tokens(ctx, operator)
			return len(all), err
		})
	}
	b.view(func(tx *store.Tx) error {
		t, o, err := tx.TokenByMAC(ctx, []byte("mac"))
		if err == nil && (t.ID != "tok_1" || o.Name != "Ada" || o.Disabled.IsZero()) {
			b.Error(t, o)
		}
		return err
	})
	b.fails(muster.CodeConflict, func(tx *store.Tx) error {
		return tx.PutToken(ctx, &muster.TokenRecord{ID: "tok_2", MAC: []byte("mac")})
	})
}

func webhooks(b *bundle) {
	ctx, now := b.Context(), b.clock.at
	w := &muster.WebhookRecord{ID: "whk_1", URL: "https://example.net/in", Events: []string{"decision.made"}, Secret: []byte("s"), Enabled: true, Made: now}
	b.tx(func(tx *store.Tx) error { return tx.PutWebhook(ctx, w) })
	same(b, w, func(ctx context.Context, tx *store.Tx) (*muster.WebhookRecord, error) {
		return tx.Webhook(ctx, "whk_1")
	})
	same(b, []*muster.WebhookRecord{w}, func(ctx context.Context, tx *store.Tx) ([]*muster.WebhookRecord, error) {
		return tx.Webhooks(ctx, muster.Page{Limit: 10})
	})
	var all []*muster.DeliveryRecord
	b.tx(func(tx *store.Tx) error {
		for m := range 5 {
			for a := range 2 {
				d := &muster.DeliveryRecord{Message: fmt.Sprintf("msg_%d", m), Webhook: "whk_1", Event: "e", Ref: "r", At: now, Attempt: a + 1, Status: 500, Error: "status", Took: 1500 * time.Microsecond}
				all = append([]*muster.DeliveryRecord{d}, all...)
				if err := errors.Join(tx.AddDelivery(ctx, d), tx.AddDelivery(ctx, d)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	page := func(after string) func(context.Context, *store.Tx) ([]*muster.DeliveryRecord, error) {
		return func(ctx context.Context, tx *store.Tx) ([]*muster.DeliveryRecord, error) {
			return tx.Deliveries(ctx, "whk_1", muster.Page{After: after, Limit: 2})
		}
	}
	same(b, []*muster.DeliveryRecord{all[1], all[0], all[3], all[2]}, page(""))
	same(b, []*muster.DeliveryRecord{all[5], all[4], all[7], all[6]}, page("msg_3"))
	same(b, []*muster.DeliveryRecord{all[9], all[8]}, func(ctx context.Context, tx *store.Tx) ([]*muster.DeliveryRecord, error) {
		return tx.Delivered(ctx, "whk_1", "msg_0")
	})
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.DeleteWebhook(ctx, "whk_1", 2) })
	b.tx(func(tx *store.Tx) error { return tx.DeleteWebhook(ctx, "whk_1", 1) })
}

func idempotency(b *bundle) {
	ctx := b.Context()
	r := &muster.IdempotencyRecord{Operator: "opr_1", Key: "k", MAC: []byte("m"), Expires: b.clock.at.Add(time.Hour)}
	b.tx(func(tx *store.Tx) error { return tx.PutIdempotency(ctx, r) })
	b.fails(muster.CodeConflict, func(tx *store.Tx) error { return tx.PutIdempotency(ctx, r) })
	r.Status, r.Body = 201, []byte("sealed")
	b.tx(func(tx *store.Tx) error { return tx.SettleIdempotency(ctx, r) })
	b.tx(func(tx *store.Tx) error { return tx.ReleaseIdempotency(ctx, "opr_1", "k") }) // settled: stays
	same(b, r, func(ctx context.Context, tx *store.Tx) (*muster.IdempotencyRecord, error) {
		return tx.Idempotency(ctx, "opr_1", "k")
	})
	b.clock.move(time.Hour)
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.Idempotency(ctx, "opr_1", "k"); return err })
	r.Expires, r.Status = b.clock.at.Add(time.Hour), 0
	b.tx(func(tx *store.Tx) error { return tx.PutIdempotency(ctx, r) })
	b.tx(func(tx *store.Tx) error { return tx.ReleaseIdempotency(ctx, "opr_1", "k") })
	b.tx(func(tx *store.Tx) error { return tx.PutIdempotency(ctx, r) })
	b.clock.move(time.Hour)
	b.tx(func(tx *store.Tx) error {
		n, err := tx.ExpireIdempotency(ctx, 10)
		if n != 1 {
			b.Errorf("%d answers expired", n)
		}
		return err
	})
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { return tx.SettleIdempotency(ctx, r) })
}

func deployment(b *bundle) {
	ctx := b.Context()
	m := &muster.Meta{Deployment: "dep_1", Mode: muster.ModeSandbox, Origin: "log.example.net", Made: b.clock.at}
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.Meta(ctx); return err })
	b.tx(func(tx *store.Tx) error { return tx.PutMeta(ctx, m) })
	b.fails(muster.CodeConflict, func(tx *store.Tx) error { return tx.PutMeta(ctx, &muster.Meta{Deployment: "other"}) })
	same(b, m, func(ctx context.Context, tx *store.Tx) (*muster.Meta, error) { return tx.Meta(ctx) })
}

func counts(b *bundle) {
	ctx := b.Context()
	if _, _, err := post(ctx, b.db, "ref"); err != nil {
		b.Fatal(err)
	}
	b.tx(func(tx *store.Tx) error { return tx.Enqueue(ctx, &muster.Job{ID: "j", Kind: "k"}) })
	same(b, &store.JobCounts{Waiting: map[string]int64{"k": 1}, OldestDue: b.clock.at}, func(ctx context.Context, tx *store.Tx) (*store.JobCounts, error) {
		return tx.JobCounts(ctx)
	})
	b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.Counted(ctx); return err })
	accounts := map[string]int64{}
	for i, state := range append(slices.Clone(muster.AccountStates), muster.AccActive) {
		id := fmt.Sprint("acc_", i)
		b.tx(func(tx *store.Tx) error {
			return tx.PutAccount(ctx, &muster.AccountRecord{ID: id, Reference: id, Customer: "cus_1", State: state})
		})
		accounts[state]++
	}
	counted := &store.Counts{
		At: b.clock.at, Took: time.Second, Applications: map[string]int64{muster.AppNeeds: 1}, Accounts: accounts, Jobs: map[string]int64{"k": 1},
	}
	same(b, counted, func(ctx context.Context, tx *store.Tx) (*store.Counts, error) {
		c, err := tx.Counts(ctx)
		if err == nil {
			c.Took = time.Second
		}
		return c, err
	})
	older := &store.Counts{At: b.clock.at.Add(-time.Second), Customers: 7}
	for _, c := range []*store.Counts{counted, older} {
		b.tx(func(tx *store.Tx) error { return tx.KeepCounts(ctx, c) })
		same(b, counted, func(ctx context.Context, tx *store.Tx) (*store.Counts, error) { return tx.Counted(ctx) })
	}
	sizes, err := b.db.TableSizes(ctx)
	if err != nil || sizes["applications"] < 1024 || sizes["leaves"] < 1024 {
		b.Error(sizes, err)
	}
	if s := b.db.Stats(); s.Groups < 2 || s.Transactions < s.Groups {
		b.Errorf("%+v", s)
	}
}

// The things that two processes do to one PostgreSQL.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	for name, race := range map[string]func(*bundle, ...*store.DB){"references": raceReferences, "leaves": raceLeaves, "jobs": raceJobs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			one := openPostgresAt(t, now.read)
			race(&bundle{T: t, db: one, clock: now}, one, openBeside(t, one, now.read))
		})
	}
}
