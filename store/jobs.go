package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Background work. A job that is taken has its lease's end as RunAt: if its holder
// dies, it is due again then, or once that is seen (presence.go), and its next holder has
// a higher fence.

const jobColumns = `id, kind, ref, payload, run_at, attempts, fence, last_error`

func scanJob(r row) (*muster.Job, error) {
	x := &muster.Job{}
	return x, r.scan(&x.ID, &x.Kind, &x.Ref, &x.Payload, &x.RunAt, &x.Attempts, &x.Fence, &x.LastError)
}

// Enqueue adds jobs. A RunAt of zero is now.
func (tx *Tx) Enqueue(ctx context.Context, jobs ...*muster.Job) error {
	rows := make([][]any, len(jobs))
	for i, j := range jobs {
		at := j.RunAt
		if at.IsZero() {
			at = tx.now
		}
		rows[i] = []any{j.ID, j.Kind, j.Ref, j.Payload, at, j.Attempts, 0, "", j.LastError, false}
	}
	return tx.insert(ctx, rows, `jobs (id, kind, ref, payload, run_at, attempts, fence, holder, last_error, dead)`, "")
}

// Claim takes at most n jobs of these kinds that are due, for holder and for as long
// as leaseFor. Attempts counts this one. Nobody else is given them before the lease ends.
func (tx *Tx) Claim(ctx context.Context, kinds []string, holder string, n int, leaseFor time.Duration) ([]*muster.Job, error) {
	var taken []*muster.Job
	for _, kind := range kinds {
		if len(taken) >= n {
			break
		}
		var ids []string
		if err := tx.change(ctx, func(r row) error {
			var id string
			err := r.scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM jobs WHERE dead = 0 AND kind = ? AND run_at <= ? ORDER BY run_at LIMIT ?`+skipLocked, kind, tx.now, n-len(taken)); err != nil {
			return nil, err
		}
		for _, id := range ids {
			if err := tx.change(ctx, func(r row) error {
				j, err := scanJob(r)
				taken = append(taken, j)
				return err
			}, `UPDATE jobs SET run_at = ?, attempts = attempts + 1, fence = fence + 1, holder = ? WHERE id = ? RETURNING `+jobColumns,
				tx.now.Add(leaseFor), holder, id); err != nil {
				return nil, err
			}
		}
	}
	return taken, nil
}

var errFence = muster.Errorf(muster.CodeStale, "another holder has this by now")

// Finish removes a job that is done. CodeStale: its fence is not the latest.
func (tx *Tx) Finish(ctx context.Context, id string, fence int64) error {
	return tx.exec(ctx, errFence, `DELETE FROM jobs WHERE id = ? AND fence = ? AND dead = 0`, id, fence)
}

// Retry puts a job off until runAt. CodeStale: its fence is not the latest.
func (tx *Tx) Retry(ctx context.Context, id string, fence int64, runAt time.Time, errCode string) error {
	return tx.exec(ctx, errFence, `UPDATE jobs SET run_at = ?, last_error = ?, holder = '', fence = fence + 1
		WHERE id = ? AND fence = ? AND dead = 0`, runAt, errCode, id, fence)
}

// Bury sets a job aside that is not to be tried again. CodeStale: its fence is not the latest.
func (tx *Tx) Bury(ctx context.Context, id string, fence int64, errCode string) error {
	return tx.exec(ctx, errFence, `UPDATE jobs SET dead = 1, last_error = ?, holder = '', fence = fence + 1
		WHERE id = ? AND fence = ? AND dead = 0`, errCode, id, fence)
}

// DeadJobs lists jobs set aside, in the order of their ids.
func (tx *Tx) DeadJobs(ctx context.Context, p muster.Page) ([]*muster.Job, error) {
	return all(ctx, tx, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE dead = 1 AND id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// Replay makes a job that was set aside due now, with no attempt counted. CodeNotFound: it is not dead.
func (tx *Tx) Replay(ctx context.Context, id string) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeNotFound, "there is no such job that was set aside"),
		`UPDATE jobs SET dead = 0, run_at = ?, attempts = 0 WHERE id = ? AND dead = 1`, tx.now, id)
}

// JobByID finds a job that is not finished.
func (tx *Tx) JobByID(ctx context.Context, id string) (*muster.Job, error) {
	return one(ctx, tx, "job", scanJob, `SELECT `+jobColumns+` FROM jobs WHERE id = ?`, id)
}

// LaterJob reports whether a job of a kind about the same was made after one, is neither
// through nor set aside, and is under way, or due, by then.
func (tx *Tx) LaterJob(ctx context.Context, kind, ref, id string, by time.Time) (bool, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM jobs WHERE dead = 0 AND kind = ? AND run_at <= ? AND ref = ? AND id > ?`, kind, by, ref, id)
	return n > 0, err
}

// AwaitedJob reports whether a job of a kind about the same is due by then and nobody has begun
// it: what is committed before this is asked is there for whoever does.
func (tx *Tx) AwaitedJob(ctx context.Context, kind, ref string, by time.Time) (bool, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM jobs WHERE dead = 0 AND kind = ? AND run_at <= ? AND ref = ? AND attempts = 0`, kind, by, ref)
	return n > 0, err
}

// NextDue is when the earliest job of a kind is due; zero where there is none.
func (tx *Tx) NextDue(ctx context.Context, kind string) (time.Time, error) {
	n, err := one(ctx, tx, "job", scanInt, `SELECT coalesce(min(run_at), 0) FROM jobs WHERE dead = 0 AND kind = ?`, kind)
	return fromMicros(n), err
}

func scanLease(r row) (*muster.Lease, error) {
	x := &muster.Lease{}
	return x, r.scan(&x.Name, &x.Holder, &x.Fence, &x.Until)
}

// Acquire takes or keeps a lease: where nobody has it, its time is over, or holder
// has it already. A new holding has a higher fence; a kept one keeps its fence.
// CodeConflict: another has it; nothing is undone by that error.
func (tx *Tx) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (*muster.Lease, error) {
	var l *muster.Lease
	err := tx.change(ctx, func(r row) (err error) {
		l, err = scanLease(r)
		return err
	}, `INSERT INTO leases (name, holder, fence, expires) VALUES (?, ?, 1, ?)
		ON CONFLICT (name) DO UPDATE SET
			fence = leases.fence + CASE WHEN leases.holder = excluded.holder AND leases.expires > ? THEN 0 ELSE 1 END,
			holder = excluded.holder, expires = excluded.expires
		WHERE leases.holder = excluded.holder OR leases.expires <= ?
		RETURNING name, holder, fence, expires`,
		name, holder, tx.now.Add(ttl), tx.now, tx.now)
	if err == nil && l == nil {
		err = muster.Errorf(muster.CodeConflict, "another process has this duty")
	}
	return l, err
}

// Renew lengthens a lease that is still held under its fence. CodeStale: it is not.
func (tx *Tx) Renew(ctx context.Context, l *muster.Lease, ttl time.Duration) error {
	until := tx.now.Add(ttl)
	err := tx.exec(ctx, errFence, `UPDATE leases SET expires = ? WHERE name = ? AND holder = ? AND fence = ? AND expires > ?`,
		until, l.Name, l.Holder, l.Fence, tx.now)
	if err == nil {
		l.Until = until
	}
	return err
}

// Release gives a lease up. CodeStale: it was not held any more.
func (tx *Tx) Release(ctx context.Context, l *muster.Lease) error {
	return tx.exec(ctx, errFence, `UPDATE leases SET expires = 0, holder = '' WHERE name = ? AND holder = ? AND fence = ?`, l.Name, l.Holder, l.Fence)
}

// hold keeps what ctx is entitled by until the transaction ends: meanwhile nobody else
// is given it. CodeStale where somebody was.
func (tx *Tx) hold(ctx context.Context) error {
	for _, f := range muster.FencesOf(ctx) {
		q, name := `SELECT 1 FROM jobs WHERE id = ? AND fence = ? AND dead = 0`+forShare, f.Job
		if f.Lease != "" {
			q, name = `SELECT 1 FROM leases WHERE name = ? AND fence = ? AND holder <> ''`+forShare, f.Lease
		}
		held := false
		if err := tx.query(ctx, func(row) error { held = true; return nil }, q, name, f.Fence); err != nil {
			return err
		}
		if !held {
			return errFence
		}
	}
	return nil
}
