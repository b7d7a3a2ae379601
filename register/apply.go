package register

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// again is how long after an act began to bind accounts are looked at a second
// time: a transaction that began before it, and was held up, is over by then.
const again = 2 * time.Minute

// spare is what a try keeps for writing down how far it came.
const spare = 3 * time.Second

// Apply brings accounts up to an act, as far as it comes before ctx ends. done: there
// are none left. Whatever was written is kept, and the next try goes on behind it.
func (r *Register) Apply(ctx context.Context, id string) (done bool, err error) {
	if err := r.Load(ctx); err != nil {
		return false, err
	}
	var a *muster.MeasureAct
	if err := r.DB.View(ctx, func(tx Tx) (err error) {
		a, err = tx.MeasureAct(ctx, id)
		return err
	}); err != nil {
		return false, err
	}
	if !a.Done.IsZero() || a.Approved.IsZero() {
		return true, nil
	}
	session, err := r.Vault.Use(ctx, vault.Job{Name: "measure.apply", Purpose: "measures", Scope: "accounts after " + a.Cursor + " under " + a.ID}, r.Journal)
	if err != nil {
		return false, err
	}
	stop, bounded := ctx.Deadline()
	matched := 0
	done = true
	from := everybody
	if a.Kind != muster.ActEnact {
		from = under(a.Determination) // it brings nobody under the measure who was not
	}
	err = r.each(ctx, session, from, r.now.Load().needles(), a.Cursor, func(list []known, last string) (bool, error) {
		n, err := r.bring(ctx, a, a.Cursor, list, last)
		matched += n
		if bounded && time.Until(stop) < spare {
			done = false
			return false, err
		}
		return true, err
	})
	if end := session.End(context.WithoutCancel(ctx), matched); err == nil {
		err = end
	}
	if err != nil || !done {
		return false, err
	}
	return true, r.DB.InTx(ctx, func(tx Tx) error {
		a.Done = tx.Now()
		if err := tx.Progress(ctx, a.Cursor, a); err != nil {
			return err
		}
		return tx.Enqueue(ctx, &muster.Job{ID: a.ID + ".catch", Kind: muster.JobMeasureCatch, Ref: a.ID, RunAt: a.Binds.Add(again)})
	})
}

// Catch looks once more at accounts that were decided around the time at which an
// act began to bind.
func (r *Register) Catch(ctx context.Context, id string) error {
	if err := r.Load(ctx); err != nil {
		return err
	}
	var a *muster.MeasureAct
	if err := r.DB.View(ctx, func(tx Tx) (err error) {
		a, err = tx.MeasureAct(ctx, id)
		return err
	}); err != nil {
		return err
	}
	from, to := a.Binds.Add(-again), a.Binds.Add(again)
	session, err := r.Vault.Use(ctx, vault.Job{Name: "measure.catch", Purpose: "measures", Scope: "accounts decided around " + a.ID}, r.Journal)
	if err != nil {
		return err
	}
	matched, cursor := 0, ""
	err = r.each(ctx, session, func(ctx context.Context, tx Tx, p muster.Page) ([]muster.FactsRecord, error) {
		return tx.FactsDecided(ctx, from, to, p)
	}, r.now.Load().needles(), "",
		func(list []known, last string) (bool, error) {
			n, err := r.bring(ctx, nil, cursor, list, last)
			matched, cursor = matched+n, last
			return true, err
		})
	if end := session.End(context.WithoutCancel(ctx), matched); err == nil {
		err = end
	}
	return err
}

// bring writes what one page of accounts comes under; of a's progress, where a is
// not nil, how far it came.
func (r *Register) bring(ctx context.Context, a *muster.MeasureAct, after string, list []known, last string) (matched int, err error) {
	b := r.now.Load()
	type change struct {
		known
		under []muster.AccountMeasure
		rows  []muster.MatchRecord
	}
	now := r.Clock()
	had := map[string][]muster.MatchRecord{}
	if err := r.DB.View(ctx, func(tx Tx) error {
		rows, err := tx.MatchesBetween(ctx, after, last)
		for _, row := range rows {
			had[row.Account] = append(had[row.Account], row)
		}
		return err
	}); err != nil {
		return 0, err
	}
	var changes []change
	seen := 0
	for _, k := range list {
		seen++
		if k.facts == nil && !k.nobody {
			continue
		}
		var under []muster.AccountMeasure
		if !k.nobody {
			under = b.of(k.facts, k.account, now)
		}
		if len(under) > 0 && (a == nil || slices.ContainsFunc(under, func(m muster.AccountMeasure) bool { return m.Fact.ID == a.Determination })) {
			matched++
		}
		if len(under) == 0 && len(had[k.account.ID]) == 0 {
			continue
		}
		c := change{known: k, under: under}
		c.rows = changed(b, &k, under, had[k.account.ID], now, a)
		if c.rows != nil || len(under) == 0 {
			changes = append(changes, c)
		}
	}
	var next muster.MeasureAct
	if a != nil {
		next = *a
		next.Cursor, next.Seen, next.Matched = last, a.Seen+seen, a.Matched+matched
	}
	err = r.DB.InTx(ctx, func(tx Tx) error {
		if a != nil {
			if err := tx.Progress(ctx, a.Cursor, &next); err != nil {
				return err
			}
		}
		for i := range changes {
			c := &changes[i]
			account, err := tx.Account(ctx, c.account.ID)
			if err != nil {
				return err
			}
			if account.Version != c.account.Version {
				continue // decided since, by whoever knows the act
			}
			if err := tx.PutMatches(ctx, account.ID, c.rows...); err != nil {
				return err
			}
			if len(c.rows) > 0 {
				if err := tx.Enqueue(ctx, notice(tx, account.ID)); err != nil {
					return err
				}
			}
			if r.Profiles == nil {
				continue
			}
			var ts []muster.Transition
			for _, m := range c.under {
				ts = append(ts, m.Transitions...)
			}
			if err := r.Profiles.PutProfile(ctx, tx, account, ts); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && a != nil {
		*a = next
	}
	return matched, err
}

// changed are the rows of an account where they are not those on file; nil where
// they are. What is in force, doubtful or lifted is due at once: the account is
// decided under it. What is coming waits for its instant.
func changed(b *book, k *known, under []muster.AccountMeasure, had []muster.MatchRecord, now time.Time, a *muster.MeasureAct) []muster.MatchRecord {
	// A licence changes what the gate is told, and no row.
	same := len(under) == len(had) && (a == nil || a.Kind == muster.ActEnact)
	rows := []muster.MatchRecord{}
	for i := range under {
		row := rowOf(k.account, &under[i])
		row.Next = now
		if row.Phase == muster.PhaseComing && k.account.Beneath == "" {
			row.Next = next(b.find(row.Determination), &row, now)
		}
		same = same && had[i].Determination == row.Determination && had[i].Phase == row.Phase && had[i].From.Equal(row.From) && had[i].Until.Equal(row.Until)
		rows = append(rows, row)
	}
	if same {
		return nil
	}
	if len(under) == 0 { // it came out from under all: decided anew, and then off the books
		for _, row := range had {
			row.Next = now
			rows = append(rows, row)
		}
	}
	return rows
}

func notice(tx Tx, account string) *muster.Job {
	return &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobMeasureNotice, Ref: account, RunAt: tx.Now()}
}
