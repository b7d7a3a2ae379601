package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Meta is the deployment's own record. CodeNotFound: this store was never started.
func (tx *Tx) Meta(ctx context.Context) (*muster.Meta, error) {
	return one(ctx, tx, "deployment", func(r row) (*muster.Meta, error) {
		x := &muster.Meta{}
		return x, r.scan(&x.Deployment, &x.Mode, &x.Origin, &x.Made)
	}, `SELECT deployment, mode, origin, made FROM meta WHERE one = 1`)
}

// PutMeta writes the deployment's record, once: CodeConflict where there is one.
func (tx *Tx) PutMeta(ctx context.Context, m *muster.Meta) error {
	return tx.exec(ctx, nil, `INSERT INTO meta (one, deployment, mode, origin, made) VALUES (1, ?, ?, ?, ?)`,
		m.Deployment, m.Mode, m.Origin, m.Made)
}

// Idempotency finds the answer kept under an operator's key. CodeNotFound: none, or it has expired.
func (tx *Tx) Idempotency(ctx context.Context, operator, key string) (*muster.IdempotencyRecord, error) {
	return one(ctx, tx, "answer", func(r row) (*muster.IdempotencyRecord, error) {
		x := &muster.IdempotencyRecord{}
		return x, r.scan(&x.Operator, &x.Key, &x.MAC, &x.Status, &x.Body, &x.Expires)
	}, `SELECT operator, idem, mac, status, body, expires FROM idempotency WHERE operator = ? AND idem = ? AND expires > ?`,
		operator, key, tx.now)
}

// PutIdempotency keeps an answer. CodeConflict: one that has not expired is there.
func (tx *Tx) PutIdempotency(ctx context.Context, r *muster.IdempotencyRecord) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeConflict, "that idempotency key is in use"),
		`INSERT INTO idempotency (operator, idem, mac, status, body, expires) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (operator, idem) DO UPDATE SET mac = excluded.mac, status = excluded.status, body = excluded.body, expires = excluded.expires
		WHERE idempotency.expires <= ?`, r.Operator, r.Key, r.MAC, r.Status, r.Body, r.Expires, tx.now)
}

// SettleIdempotency gives a claimed row its status, body and expiry.
func (tx *Tx) SettleIdempotency(ctx context.Context, r *muster.IdempotencyRecord) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeNotFound, "there is no such claim"),
		`UPDATE idempotency SET status = ?, body = ?, expires = ? WHERE operator = ? AND idem = ?`,
		r.Status, r.Body, r.Expires, r.Operator, r.Key)
}

// ReleaseIdempotency removes a row that is still claimed; one that is settled, or gone, is left.
func (tx *Tx) ReleaseIdempotency(ctx context.Context, operator, key string) error {
	return tx.exec(ctx, nil, `DELETE FROM idempotency WHERE operator = ? AND idem = ? AND status = 0`, operator, key)
}

// ExpireIdempotency removes answers that have expired, at most n, and says how many.
func (tx *Tx) ExpireIdempotency(ctx context.Context, n int) (int64, error) {
	return tx.removed(ctx, `DELETE FROM idempotency WHERE (operator, idem) IN
		(SELECT operator, idem FROM idempotency WHERE expires <= ? ORDER BY expires LIMIT ?) RETURNING 1`, tx.now, n)
}

// Counts are how many rows there are, by state, for metrics and status pages.
type Counts struct {
	Customers    int64
	Applications map[string]int64 // by state
	Accounts     map[string]int64 // by state
	Reviews      map[string]int64 // by state
	Jobs         map[string]int64 // waiting or taken, by kind
	DeadJobs     int64
	Leaves       int64
	OldestDue    time.Time // RunAt of the job that waits longest; zero: none is due
}

// Counts counts. It reads whole indexes: tens of milliseconds for each 100,000
// customers; call it at most every few seconds.
func (tx *Tx) Counts(ctx context.Context) (*Counts, error) {
	c := &Counts{Applications: map[string]int64{}, Accounts: map[string]int64{}, Reviews: map[string]int64{}, Jobs: map[string]int64{}}
	for _, group := range []struct {
		into map[string]int64
		q    string
	}{
		{c.Applications, `SELECT state, count(*) FROM applications GROUP BY state`},
		{c.Accounts, `SELECT state, count(*) FROM accounts GROUP BY state`},
		{c.Reviews, `SELECT state, count(*) FROM reviews GROUP BY state`},
		{c.Jobs, `SELECT kind, count(*) FROM jobs WHERE dead = 0 GROUP BY kind`},
	} {
		if err := tx.query(ctx, func(r row) error {
			var name string
			var n int64
			err := r.scan(&name, &n)
			group.into[name] = n
			return err
		}, group.q); err != nil {
			return nil, err
		}
	}
	var err error
	for _, single := range []struct {
		into *int64
		q    string
	}{
		{&c.Customers, `SELECT count(*) FROM customers`},
		{&c.DeadJobs, `SELECT count(*) FROM jobs WHERE dead = 1`},
	} {
		if *single.into, err = one(ctx, tx, "count", scanInt, single.q); err != nil {
			return nil, err
		}
	}
	if c.Leaves, err = tx.LogSize(ctx); err != nil {
		return nil, err
	}
	for kind := range c.Jobs {
		due, err := tx.NextDue(ctx, kind)
		if err != nil {
			return nil, err
		}
		if !due.IsZero() && !due.After(tx.now) && (c.OldestDue.IsZero() || due.Before(c.OldestDue)) {
			c.OldestDue = due
		}
	}
	return c, nil
}
