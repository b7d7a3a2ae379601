package watch

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Duty is how jobs of one kind are done.
type Duty struct {
	Handle  Handler
	Workers int           // at once in this process; 0: 4
	Timeout time.Duration // of one try; 0: a third of the lease. Less than the lease
	Limit   int           // tries before a job is set aside; 0: none but the handler's own
	Sends   bool          // what no fence refuses: a try ends by Config.Present too
}

// Config of a Runner. DB, Holder and Duties are required.
type Config struct {
	DB     DB
	Holder string          // this process, among all that share the store
	Duties map[string]Duty // by kind of job
	Clock  muster.Clock    // nil: muster.SystemClock
	Wake   <-chan struct{} // a token each time that jobs were enqueued here; nil: none, jobs are found by polling
	Poll   time.Duration   // how often to look without being woken; 0: a second
	Lease  time.Duration   // 0: a minute
	Grace  time.Duration   // how long tries may run on once Run is to stop; 0: 15 s
	Log    *slog.Logger    // nil: none. Gets ids, kinds and codes

	// Present, where not nil, is until when nobody takes from this process what it takes
	// now, though its lease be longer. Nothing is taken once that is past.
	Present func() time.Time

	// Fresh, where not nil, is asked before each try: whether this process knows what
	// decides. An error puts the job off.
	Fresh func(context.Context) error

	// Observe, where not nil, is told of each try: outcome is done, retry, dead or
	// stale, code is of a closed set. It is called from many goroutines.
	Observe func(kind, outcome, code string, took time.Duration)
}

// Runner takes jobs and has them done.
type Runner struct {
	c      Config
	kinds  []string
	margin time.Duration // of a lease: kept for writing down what became of a try
}

// NewRunner makes a Runner.
func NewRunner(c Config) (*Runner, error) {
	if c.DB == nil || c.Holder == "" || len(c.Duties) == 0 {
		return nil, muster.Errorf(muster.CodeInvalid, "a runner of jobs needs a store, a name and duties")
	}
	setDefault(&c.Poll, time.Second)
	setDefault(&c.Lease, time.Minute)
	setDefault(&c.Grace, 15*time.Second)
	if c.Clock == nil {
		c.Clock = muster.SystemClock
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(string, string, string, time.Duration) {}
	}
	r := &Runner{c: c, margin: c.Lease / 12}
	duties := map[string]Duty{}
	for kind, d := range c.Duties {
		if d.Workers <= 0 {
			d.Workers = 4
		}
		setDefault(&d.Timeout, c.Lease/3)
		if d.Handle == nil || d.Timeout+r.margin > c.Lease {
			return nil, muster.Errorf(muster.CodeInvalid, "the duty %s has no handler, or a timeout that its lease of %s does not cover", kind, c.Lease)
		}
		duties[kind] = d
		r.kinds = append(r.kinds, kind)
	}
	r.c.Duties = duties
	slices.Sort(r.kinds)
	return r, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// Run does jobs until ctx ends; then it takes no more, lets running tries end
// within Grace, and returns nil.
func (r *Runner) Run(ctx context.Context) error {
	// Tries outlive ctx by Grace, and then end through work.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	c := r.newCrew()
	poll := time.NewTimer(0)
	defer poll.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case kind := <-c.freed:
			c.free[kind]++
		case <-r.c.Wake:
		case <-poll.C:
		}
		r.takeAll(ctx, work, c)
		poll.Reset(r.c.Poll)
	}
	grace := time.AfterFunc(r.c.Grace, stop)
	defer grace.Stop()
	c.running.Wait()
	return nil
}

// Drain does what is due now, and what that makes due at once, and returns. It
// is for programs and tests that do not stay.
func (r *Runner) Drain(ctx context.Context) {
	c := r.newCrew()
	for r.takeAll(ctx, ctx, c) > 0 {
		c.running.Wait()
	}
}

// crew are the workers of one Run.
type crew struct {
	free    map[string]int // by kind
	freed   chan string    // kinds of workers that are free again
	running sync.WaitGroup
}

func (r *Runner) newCrew() *crew {
	c, all := &crew{free: map[string]int{}}, 0
	for kind, d := range r.c.Duties {
		c.free[kind] = d.Workers
		all += d.Workers
	}
	c.freed = make(chan string, all) // room for each: none ever waits to say so
	return c
}

// takeAll has free workers take what is due and counts it.
func (r *Runner) takeAll(ctx, work context.Context, c *crew) (taken int) {
	for more := true; more; {
		for drained := false; !drained; {
			select {
			case kind := <-c.freed:
				c.free[kind]++
			default:
				drained = true
			}
		}
		var n int
		n, more = r.take(ctx, work, c)
		taken += n
	}
	return taken
}

// take claims jobs for workers that are free, as many as fit if all are of one
// kind, and starts them. more: there may be others that are due.
func (r *Runner) take(ctx, work context.Context, c *crew) (taken int, more bool) {
	var kinds []string
	n := 0
	for _, kind := range r.kinds {
		if f := c.free[kind]; f > 0 {
			kinds = append(kinds, kind)
			if n == 0 || f < n {
				n = f
			}
		}
	}
	if n == 0 || ctx.Err() != nil {
		return 0, false
	}
	// Read before the claim: our idea of the lease ends before the store's, and who is
	// believed to be gone meanwhile has lost what it takes.
	claimed := time.Now()
	until := claimed.Add(r.c.Lease - r.margin)
	there := until
	if r.c.Present != nil {
		if there = earlier(r.c.Present(), until); !claimed.Before(there) {
			return 0, false
		}
	}
	var jobs []*muster.Job
	err := r.c.DB.InTx(ctx, func(tx Tx) (err error) {
		jobs, err = tx.Claim(ctx, kinds, r.c.Holder, n, r.c.Lease)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			r.c.Log.Warn("jobs cannot be taken", "code", string(muster.ErrorCode(err)))
		}
		return 0, false
	}
	for _, job := range jobs {
		c.free[job.Kind]--
		by := until
		if r.c.Duties[job.Kind].Sends {
			by = there
		}
		c.running.Go(func() {
			r.try(work, job, by)
			c.freed <- job.Kind
		})
	}
	return len(jobs), len(jobs) == n
}

// try does a job once and writes down what became of it.
func (r *Runner) try(work context.Context, job *muster.Job, until time.Time) {
	duty := r.c.Duties[job.Kind]
	start := time.Now()
	if start.After(until) {
		// The machine slept, or the claim took long. The job is due again by itself.
		r.c.Observe(job.Kind, string(lost), "late", 0)
		return
	}
	ctx, cancel := context.WithDeadline(muster.WithFence(work, job.Held()), earlier(start.Add(duty.Timeout), until))
	v := r.call(ctx, duty, job)
	cancel()
	if v.end == again && duty.Limit > 0 && job.Attempts >= duty.Limit {
		v.end = buried
	}
	outcome := r.settle(work, job, v)
	took := time.Since(start)
	r.c.Observe(job.Kind, string(outcome), v.code, took)
	if outcome != ended {
		r.c.Log.Info("job not done", "job", job.ID, "kind", job.Kind, "ref", job.Ref, "attempt", job.Attempts, "outcome", string(outcome), "code", v.code, "took", took)
	}
}

// call runs the handler with what decides known; a panic is a failed try.
func (r *Runner) call(ctx context.Context, duty Duty, job *muster.Job) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			// The stack holds no values; what was panicked with may, and is dropped.
			r.c.Log.Error("job panicked", "job", job.ID, "kind", job.Kind, "stack", string(debug.Stack()))
			v = Again("panic", 0)
		}
	}()
	if r.c.Fresh != nil {
		if err := r.c.Fresh(ctx); err != nil {
			return Again(string(muster.ErrorCode(err)), 0)
		}
	}
	return duty.Handle(ctx, job)
}

// settle ends the try in the store, in one transaction with what the handler has
// to write. It goes on while Run is being stopped: what was done is written down.
func (r *Runner) settle(work context.Context, job *muster.Job, v Verdict) end {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), r.margin)
	defer cancel()
	err := r.c.DB.InTx(ctx, func(tx Tx) error {
		// First, so that a lost lease undoes the rest.
		if err := r.finish(ctx, tx, job, v); err != nil {
			return err
		}
		if v.With != nil {
			if err := v.With(ctx, tx); err != nil {
				return err
			}
		}
		if v.Note != nil {
			return v.Note(ctx, tx)
		}
		return nil
	})
	if err == nil {
		return v.end
	}
	r.c.Log.Warn("the end of a job cannot be written", "job", job.ID, "kind", job.Kind, "code", string(muster.ErrorCode(err)))
	if v.Note != nil {
		if err := r.c.DB.InTx(ctx, func(tx Tx) error { return v.Note(ctx, tx) }); err != nil {
			r.c.Log.Warn("what a job did cannot be noted", "job", job.ID, "kind", job.Kind, "code", string(muster.ErrorCode(err)))
		}
	}
	return lost
}

func (r *Runner) finish(ctx context.Context, tx Tx, job *muster.Job, v Verdict) error {
	switch v.end {
	case ended:
		return tx.Finish(ctx, job.ID, job.Fence)
	case buried:
		return tx.Bury(ctx, job.ID, job.Fence, v.code)
	}
	after := v.after
	if after <= 0 {
		after = backoff(job.Attempts)
	}
	return tx.Retry(ctx, job.ID, job.Fence, muster.Instant(r.c.Clock().Add(after)), v.code)
}
