package watch

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Slicer does a day's work in parts that each end about when they are told to. next
// is where to go on, or what to begin the next day with; done says that the day's work is.
type Slicer interface {
	Slice(ctx context.Context, cursor []byte, until time.Time) (next []byte, done bool, err error)
}

// dayStart is how long after midnight UTC the next day's work begins.
const dayStart = 2 * time.Hour

// Daily is the duty of a kind of job that does a day's work in slices, each of a try,
// and, at its end, puts itself off until tomorrow. A slice that fails is tried again from
// where the last one ended.
func Daily(s Slicer, clock muster.Clock, slice time.Duration) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		now := clock()
		next, done, err := s.Slice(ctx, job.Payload, now.Add(slice))
		if err != nil {
			return Again(string(muster.ErrorCode(err)), 0)
		}
		at := now
		if done {
			at = tomorrow(now)
		}
		v := Done("")
		v.With = func(ctx context.Context, tx Tx) error {
			return tx.Enqueue(ctx, &muster.Job{ID: muster.NewID("job_", tx.Now()), Kind: job.Kind, Ref: job.Ref, Payload: next, RunAt: at})
		}
		return v
	}
}

func tomorrow(now time.Time) time.Time {
	return now.UTC().Truncate(24 * time.Hour).Add(24*time.Hour + dayStart)
}

// Standings are what Standing needs of a transaction.
type Standings interface {
	Now() time.Time
	NextDue(ctx context.Context, kind string) (time.Time, error)
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
}

// Standing makes sure that there is a job of a kind that puts itself off for ever: at
// the first start of a deployment, or of a program that has a duty which the last had not.
func Standing(ctx context.Context, db interface {
	InTx(ctx context.Context, fn func(Standings) error) error
}, kind string,
) error {
	err := db.InTx(ctx, func(tx Standings) error {
		next, err := tx.NextDue(ctx, kind)
		if err != nil || !next.IsZero() {
			return err
		}
		// One id: of two processes that find none, one fails here.
		return tx.Enqueue(ctx, &muster.Job{ID: "job_" + kind, Kind: kind, RunAt: tomorrow(tx.Now())})
	})
	if muster.ErrorCode(err) == muster.CodeConflict {
		return nil
	}
	return err
}
