package watch

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Measures is the register of special measures (package register).
type Measures interface {
	Apply(ctx context.Context, act string) (done bool, err error)
	Catch(ctx context.Context, act string) error
	Notice(ctx context.Context, account string) error
	Waiting(ctx context.Context) (bool, error)
	Due(ctx context.Context) (more bool, err error)
}

// ApplyMeasure is the duty of JobMeasure: as many accounts as fit into a try. The
// next try goes on behind them.
func ApplyMeasure(m Measures) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		done, err := m.Apply(ctx, job.Ref)
		if v, failed := opened(err); failed {
			return v
		}
		if !done {
			return Again("more", time.Millisecond)
		}
		return Done("")
	}
}

// CatchMeasure is the duty of JobMeasureCatch.
func CatchMeasure(m Measures) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		v, _ := opened(m.Catch(ctx, job.Ref))
		return v
	}
}

// NoticeMeasure is the duty of JobMeasureNotice.
func NoticeMeasure(m Measures) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		v, _ := opened(m.Notice(ctx, job.Ref))
		return v
	}
}

// Leases are held by one process at a time.
type Leases interface {
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (*muster.Lease, error) // CodeConflict: another has it
	Renew(ctx context.Context, l *muster.Lease, ttl time.Duration) error
	Release(ctx context.Context, l *muster.Lease) error
}

// LeaseDB opens transactions that hold leases.
type LeaseDB interface {
	InTx(ctx context.Context, fn func(Leases) error) error
}

// MeasuresDue is the standing duty that decides accounts whose measures begin, end
// or change: one process does it, whichever comes first, and goes on until nobody
// waits. It costs one look while there is nothing to do. ttl is of its lease.
func MeasuresDue(db LeaseDB, m Measures, holder string, ttl time.Duration) func(context.Context) error {
	const name = "measures"
	return func(ctx context.Context) error {
		waits, err := m.Waiting(ctx)
		if err != nil || !waits {
			return err
		}
		var lease *muster.Lease
		err = db.InTx(ctx, func(tx Leases) (err error) {
			lease, err = tx.Acquire(ctx, name, holder, ttl)
			return err
		})
		if muster.ErrorCode(err) == muster.CodeConflict {
			return nil // another process is at it
		}
		if err != nil {
			return err
		}
		defer func() {
			_ = db.InTx(context.WithoutCancel(ctx), func(tx Leases) error { return tx.Release(context.WithoutCancel(ctx), lease) }) // it runs out by itself
		}()
		held := muster.WithFence(ctx, lease.Held())
		for more := true; more && ctx.Err() == nil; {
			if more, err = m.Due(held); err != nil {
				return err
			}
			if err := db.InTx(ctx, func(tx Leases) error { return tx.Renew(ctx, lease, ttl) }); err != nil {
				return err
			}
		}
		return nil
	}
}
