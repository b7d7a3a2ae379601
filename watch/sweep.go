package watch

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Step does what it can of a job within its context and says whether it is done;
// if not, when to go on (0: at once) and why. It keeps its own place, and is
// called again by any process.
type Step func(ctx context.Context, job *muster.Job) (done bool, after time.Duration, code string, err error)

// GoOn is the duty of a job that takes longer than a try.
func GoOn(step Step) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		done, after, code, err := step(ctx, job)
		switch c := muster.ErrorCode(err); {
		case c == muster.CodeInvalid:
			return Dead(string(c))
		case err != nil && ctx.Err() != nil: // its time was over in the middle of something: that is done again
			return Again("interrupted", time.Millisecond)
		case err != nil:
			return Again(string(c), 0)
		case done:
			return Done("")
		}
		return Again(code, max(after, time.Millisecond))
	}
}

// HitDue is the duty of JobHitDue: overdue says that the clock of a hit has run out.
func HitDue(overdue func(ctx context.Context, hit string) error) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		v, _ := opened(overdue(ctx, job.Ref))
		return v
	}
}
