package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Counts are how many rows there were at a time, for metrics.
type Counts struct {
	At           time.Time        `json:"-"`
	Took         time.Duration    `json:"-"` // to count
	Customers    int64            `json:"customers"`
	Applications map[string]int64 `json:"applications"` // by state
	Accounts     map[string]int64 `json:"accounts"`     // by state
	Reviews      map[string]int64 `json:"reviews"`      // by state
	Hits         map[string]int64 `json:"hits"`         // by state
	Jobs         map[string]int64 `json:"jobs"`         // waiting or taken, by kind
}

// Counts counts: it reads whole indexes, so that it is for one process at a time, and
// for those who have seen that what was Counted is too old.
func (tx *Tx) Counts(ctx context.Context) (c *Counts, err error) {
	began := time.Now()
	c = &Counts{At: tx.now}
	for _, of := range []struct {
		into *map[string]int64
		q    string
	}{
		{&c.Applications, `SELECT state, count(*) FROM applications GROUP BY state`},
		{&c.Reviews, `SELECT state, count(*) FROM reviews GROUP BY state`},
		{&c.Hits, countHits},
		{&c.Jobs, countJobs},
	} {
		if *of.into, err = tx.by(ctx, of.q); err != nil {
			return nil, err
		}
	}
	if c.Accounts, err = tx.countAccounts(ctx); err != nil {
		return nil, err
	}
	if c.Customers, err = one(ctx, tx, "count", scanInt, `SELECT count(*) FROM customers`); err != nil {
		return nil, err
	}
	c.Took = time.Since(began)
	return c, nil
}

const (
	countHits = `SELECT state, count(*) FROM hits GROUP BY state`
	countJobs = `SELECT kind, count(*) FROM jobs WHERE dead = 0 GROUP BY kind`
)

// countAccounts counts accounts by state, in one pass: no index has their states, and
// SQLite would sort them all to group them.
func (tx *Tx) countAccounts(ctx context.Context) (map[string]int64, error) {
	of := make([]string, len(muster.AccountStates))
	n := make([]int64, len(of))
	into := make([]any, len(of))
	for i, state := range muster.AccountStates {
		of[i], into[i] = `count(CASE WHEN state = '`+state+`' THEN 1 END)`, &n[i]
	}
	if err := tx.query(ctx, func(r row) error { return r.scan(into...) }, `SELECT `+strings.Join(of, ", ")+` FROM accounts`); err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for i, state := range muster.AccountStates {
		if n[i] > 0 {
			found[state] = n[i]
		}
	}
	return found, nil
}

// by reads counts by a word.
func (tx *Tx) by(ctx context.Context, q string) (map[string]int64, error) {
	found := map[string]int64{}
	return found, tx.query(ctx, func(r row) error {
		var word string
		var n int64
		err := r.scan(&word, &n)
		found[word] = n
		return err
	}, q)
}

// Counted is the newest count that any process kept. CodeNotFound: none did yet.
func (tx *Tx) Counted(ctx context.Context) (*Counts, error) {
	return one(ctx, tx, "count", func(r row) (*Counts, error) {
		c := &Counts{}
		var body string
		if err := r.scan(&c.At, &c.Took, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), c); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "the count does not read: %w", err)
		}
		return c, nil
	}, `SELECT at, took, body FROM counted WHERE one = 1`)
}

// KeepCounts keeps a count for all processes, unless a newer one is there.
func (tx *Tx) KeepCounts(ctx context.Context, c *Counts) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.exec(ctx, nil, `INSERT INTO counted (one, at, took, body) VALUES (1, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET at = excluded.at, took = excluded.took, body = excluded.body WHERE counted.at < excluded.at`,
		c.At, c.Took.Microseconds(), string(body))
}

// JobCounts is what waits to be done.
type JobCounts struct {
	Waiting   map[string]int64 // or taken, by kind
	Dead      int64
	OldestDue time.Time // RunAt of the job that waits longest; zero: none is due
}

// JobCounts counts jobs: it reads an index whole.
func (tx *Tx) JobCounts(ctx context.Context) (*JobCounts, error) {
	waiting, err := tx.by(ctx, countJobs)
	if err != nil {
		return nil, err
	}
	c := &JobCounts{Waiting: waiting}
	for kind := range waiting {
		due, err := tx.NextDue(ctx, kind)
		if err != nil {
			return nil, err
		}
		if !due.IsZero() && !due.After(tx.now) && (c.OldestDue.IsZero() || due.Before(c.OldestDue)) {
			c.OldestDue = due
		}
	}
	c.Dead, err = tx.CountDeadJobs(ctx)
	return c, err
}

// CountDeadJobs counts jobs that were given up.
func (tx *Tx) CountDeadJobs(ctx context.Context) (int64, error) {
	return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM jobs WHERE dead = 1`)
}
