package watch

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
)

// Queue is the table of jobs as the runner sees it.
type Queue interface {
	// Claim takes at most n due jobs of these kinds, for holder, for as long as
	// lease. It counts the attempt and raises the fence.
	Claim(ctx context.Context, kinds []string, holder string, n int, lease time.Duration) ([]*muster.Job, error)
	// Finish, Retry and Bury end a try. CodeStale: fence is not the latest.
	Finish(ctx context.Context, id string, fence int64) error
	Retry(ctx context.Context, id string, fence int64, runAt time.Time, code string) error
	Bury(ctx context.Context, id string, fence int64, code string) error
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
	JobByID(ctx context.Context, id string) (*muster.Job, error) // waiting, taken or set aside; CodeNotFound
}

// Webhooks are endpoints and what was sent to them.
type Webhooks interface {
	Webhook(ctx context.Context, id string) (*muster.WebhookRecord, error)
	Webhooks(ctx context.Context, p muster.Page) ([]*muster.WebhookRecord, error)
	PutWebhook(ctx context.Context, r *muster.WebhookRecord) error // inserts where Version is 0, else CodeStale unless it is the latest
	DeleteWebhook(ctx context.Context, id string, version int64) error
	Attempts
}

// Attempts are the log of deliveries.
type Attempts interface {
	AddDelivery(ctx context.Context, r *muster.DeliveryRecord) error
	// Delivered are the attempts to deliver one message, in order.
	Delivered(ctx context.Context, webhook, message string) ([]*muster.DeliveryRecord, error)
	// Deliveries are a webhook's attempts, newest message first. Page.After is a
	// message, Page.Limit counts messages.
	Deliveries(ctx context.Context, webhook string, p muster.Page) ([]*muster.DeliveryRecord, error)
}

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Queue
	Webhooks
}

// DB opens transactions. See onboard.DB.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Handler tries a job once. Its context ends before the lease does. It may be
// called again for the same job, by another process too.
type Handler func(ctx context.Context, job *muster.Job) Verdict

// Verdict is what became of one try.
type Verdict struct {
	end   end
	code  string
	after time.Duration // of again; 0: the runner's own back-off

	// With is written in the transaction that ends the try, and only if the lease
	// still held: what must happen once.
	With func(ctx context.Context, tx Tx) error
	// Note is written in any case: what has happened already.
	Note func(ctx context.Context, tx Tx) error
}

type end string

// Ends of a try, as Observe is told them.
const (
	ended  end = "done"
	again  end = "retry"
	buried end = "dead"
	lost   end = "stale" // another holder had it by then, or the store was away
)

// Done ends the job. code is "" or says why nothing was left to do.
func Done(code string) Verdict { return Verdict{end: ended, code: code} }

// Again puts the job off, for at least after; 0 leaves it to the runner. code says why.
func Again(code string, after time.Duration) Verdict {
	return Verdict{end: again, code: code, after: after}
}

// Dead sets the job aside, for a person to look at.
func Dead(code string) Verdict { return Verdict{end: buried, code: code} }

// backoff is how long a job that failed for the nth time waits: a second, doubled
// each time, at most an hour, and up to half as much again so that many that
// failed together do not come back together.
func backoff(n int) time.Duration {
	wait := time.Hour
	if n < 12 {
		wait = time.Second << max(n-1, 0)
	}
	return jitter(wait, 0.5)
}

// jitter lengthens d by a random part of at most share of it.
func jitter(d time.Duration, share float64) time.Duration {
	return d + time.Duration(rand.Float64()*share*float64(d))
}

// enough reports whether the lease of a try leaves it need to work in. Nothing is
// sent otherwise: somebody else might send it at the same time.
func enough(ctx context.Context, need time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) >= need
}
