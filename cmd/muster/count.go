package main

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// Whole tables are counted for muster_records. One process does so for all, and takes a
// hundredth of its time for it at most: where a count takes two seconds there is one in
// three minutes (decision 0092).
const (
	countLeast = 45 * time.Second // less than the minute after which each process asks again
	countShare = 100
	countLease = time.Minute
)

// recount is what is on file by the newest count, which this process takes where it is due
// and nobody else does, and how old that is. Nil: there is none yet.
func recount(ctx context.Context, db *store.DB, holder string) (last *store.Counts, age time.Duration, err error) {
	var now time.Time
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now()
		last, err = tx.Counted(ctx)
		return err
	})
	if err != nil && muster.ErrorCode(err) != muster.CodeNotFound {
		return nil, 0, err
	}
	if last != nil {
		if age = now.Sub(last.At); age < max(countLeast, countShare*last.Took) {
			return last, age, nil
		}
	}
	err = db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Acquire(ctx, "count", holder, countLease)
		return err
	})
	if muster.ErrorCode(err) == muster.CodeConflict {
		return last, age, nil
	}
	if err != nil {
		return nil, 0, err
	}
	c, err := view(ctx, db, func(tx *store.Tx) (*store.Counts, error) { return tx.Counts(ctx) })
	if err != nil {
		return nil, 0, err
	}
	return c, 0, db.InTx(ctx, func(tx *store.Tx) error { return tx.KeepCounts(ctx, c) })
}

// count says what is on file: what changes by the minute as it is, the rest as it was
// counted last.
func (m *meters) count(ctx context.Context, db *store.DB, holder string) error {
	if err := db.View(ctx, func(tx *store.Tx) error { return m.now(ctx, tx) }); err != nil {
		return err
	}
	c, age, err := recount(ctx, db, holder)
	if err != nil || c == nil {
		return err
	}
	for was := range m.stood {
		m.stood[was] = 0
	}
	for _, state := range muster.HitStates {
		m.stood[[2]string{"hit", string(state)}] = 0
	}
	for kind, by := range map[string]map[string]int64{"application": c.Applications, "account": c.Accounts, "review": c.Reviews, "hit": c.Hits, "job": c.Jobs} {
		for state, n := range by {
			m.stood[[2]string{kind, state}] = n
		}
	}
	for of, n := range m.stood {
		m.standing.WithLabelValues(of[0], of[1]).Set(float64(n))
	}
	m.standing.WithLabelValues("customer", "").Set(float64(c.Customers))
	m.counted.Set(age.Seconds())
	return nil
}

// now is what is read without reading much: what has to be seen at once.
func (m *meters) now(ctx context.Context, tx *store.Tx) error {
	due, err := tx.HitReports(ctx)
	if err != nil {
		return err
	}
	dead, err := tx.CountDeadJobs(ctx)
	if err != nil {
		return err
	}
	leaves, err := tx.LogSize(ctx)
	if err != nil {
		return err
	}
	m.due.WithLabelValues("running").Set(float64(due.Running))
	m.due.WithLabelValues("overdue").Set(float64(due.Overdue))
	m.standing.WithLabelValues("job", "dead").Set(float64(dead))
	m.standing.WithLabelValues("leaf", "").Set(float64(leaves))
	return nil
}
