package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Presence. A process that shares a database says again and again that it is there, by a
// lease of its own name. Once that is over it has lost what it had, jobs and leases, and
// need not be waited for. One that never said so, as of an older release or a command, is
// waited for: until the end of each job and lease.
//
// The row of a presence is locked while what its process had is taken from it. So a
// process that comes back is there again only afterwards, and what it takes then is its own.

const (
	presence    = "process."
	presenceEnd = "process/" // behind all of these
)

// Present says that a process is there for ttl from now on.
func (tx *Tx) Present(ctx context.Context, process string, ttl time.Duration) error {
	_, err := tx.Acquire(ctx, presence+process, process, ttl)
	return err
}

// IsPresent reports whether a process that said so is there.
func (tx *Tx) IsPresent(ctx context.Context, process string) (bool, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM leases WHERE name = ? AND expires > ?`, presence+process, tx.now)
	return n > 0, err
}

// Leave says that a process is there no more.
func (tx *Tx) Leave(ctx context.Context, process string) error {
	return tx.exec(ctx, nil, `UPDATE leases SET expires = ? WHERE name = ? AND expires > ?`, tx.now, presence+process, tx.now)
}

// Inherit has jobs and leases of processes that are gone be due and free now, and says
// what that was. What a transaction of a process that was stopped still holds is left
// for the next time.
func (tx *Tx) Inherit(ctx context.Context) (found []muster.Inheritance, err error) {
	gone := `SELECT holder FROM leases WHERE name >= ? AND name < ? AND expires <= ? ORDER BY name` + skipLocked
	if err := tx.change(ctx, func(r row) error {
		x := muster.Inheritance{}
		err := r.scan(&x.Process)
		found = append(found, x)
		return err
	}, gone, presence, presenceEnd, tx.now); err != nil {
		return nil, err
	}
	for i := range found {
		x := &found[i]
		if err := tx.change(ctx, counted(&x.Jobs), `UPDATE jobs SET run_at = ? WHERE id IN (
			SELECT id FROM jobs WHERE holder = ? AND holder <> '' AND dead = 0 AND run_at > ?`+skipLocked+`) RETURNING id`, tx.now, x.Process, tx.now); err != nil {
			return nil, err
		}
		if err := tx.change(ctx, counted(&x.Leases), `UPDATE leases SET expires = ? WHERE name IN (
			SELECT name FROM leases WHERE holder = ? AND expires > ?`+skipLocked+`) RETURNING name`, tx.now, x.Process, tx.now); err != nil {
			return nil, err
		}
		if err := tx.exec(ctx, nil, `DELETE FROM leases WHERE name = ?
			AND NOT EXISTS (SELECT 1 FROM jobs WHERE holder = ? AND holder <> '' AND dead = 0 AND run_at > ?)
			AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.holder = ? AND l.expires > ?)`, presence+x.Process, x.Process, tx.now, x.Process, tx.now); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// counted counts rows that are named by a text.
func counted(n *int) func(row) error {
	return func(r row) error {
		var name string
		*n++
		return r.scan(&name)
	}
}

// inheritAll is Inherit of whoever had something: in a file that this process alone has open.
func (tx *Tx) inheritAll(ctx context.Context) error {
	if err := tx.exec(ctx, nil, `UPDATE jobs SET run_at = ? WHERE holder <> '' AND dead = 0 AND run_at > ?`, tx.now, tx.now); err != nil {
		return err
	}
	return tx.exec(ctx, nil, `UPDATE leases SET expires = ? WHERE holder <> '' AND expires > ?`, tx.now, tx.now)
}
