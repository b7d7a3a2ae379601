package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
)

// Group commit. Callers hand their fn to a lane (one on SQLite, Config.Writers on
// PostgreSQL), which takes whatever waits, runs it in one transaction and commits
// once. A lone caller is not delayed: a group is what came while the last one ran.
//
// A group is first run without savepoints. If one fn fails after it has written, all
// is rolled back and the group runs again with a savepoint before each; if that ends
// in a deadlock, each runs in a transaction of its own.

// job is one caller's transaction.
type job struct {
	ctx      context.Context
	fn       func(*Tx) error
	arrival  *arrival // nil: it asks nothing ahead
	done     chan struct{}
	err      error
	panicked any
}

// retries of a transaction of its own after deadlocks and overtaken rows.
const retries = 5

// InTx runs fn in a transaction; see the package's rules. What ctx is fenced by
// (muster.WithFence) is held from before fn to the end, or fn is not called. When it returns nil, what
// fn wrote is committed and synced. Errors are of fn, or CodeUnavailable; where the
// connection to PostgreSQL was lost in the commit itself, nobody knows whether it was
// kept, and that is CodeUnavailable too: ask again under the same name.
func (db *DB) InTx(ctx context.Context, fn func(*Tx) error) error { return db.inTx(ctx, nil, fn) }

func (db *DB) inTx(ctx context.Context, a *arrival, fn func(*Tx) error) error {
	j := &job{ctx: ctx, fn: fn, arrival: a, done: make(chan struct{})}
	wait := time.NewTimer(longestWait)
	defer wait.Stop()
	select {
	case db.queue <- j:
	case <-wait.C:
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the store is away, or has too much to do", RetryAfter: time.Second}
	case <-ctx.Done():
		return contextError(ctx)
	case <-db.stop:
		return muster.Errorf(muster.CodeUnavailable, "the store is closed")
	}
	<-j.done // fn runs on the caller's variables: wait, whatever became of ctx
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// View runs fn on one snapshot. Its Tx refuses writes. Where PostgreSQL had closed the
// connection while it was idle, which shows when fn asks the first time, fn runs again on
// another.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	select {
	case <-db.stop:
		return muster.Errorf(muster.CodeUnavailable, "the store is closed")
	default:
	}
	for tries := 0; ; tries++ {
		if idle, err := db.view(ctx, fn); !idle || tries == db.conf.Readers {
			return err
		}
	}
}

// view also reports whether the connection was one that had been closed while it was idle.
func (db *DB) view(ctx context.Context, fn func(*Tx) error) (idle bool, err error) {
	c, done, err := db.driver.reader(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if err := c.begin(ctx, true); err != nil {
		return false, err
	}
	defer c.rollback(ctx)
	tx := &Tx{c: c, now: db.clock.now(), view: true}
	defer func() { tx.over = true }()
	err = fn(tx)
	return c.idle(), err
}

// As gives a DB the type of a room's own: As[onboard.Tx](db) has the methods
// InTx(ctx, func(onboard.Tx) error) and View. It panics, at once, where T asks for
// a method that Tx does not have.
func As[T any](db *DB) Room[T] {
	_ = any((*Tx)(nil)).(T)
	return Room[T]{db}
}

// Room is a DB as one room sees it.
type Room[T any] struct{ db *DB }

// InTx is DB.InTx.
func (r Room[T]) InTx(ctx context.Context, fn func(T) error) error {
	return r.db.InTx(ctx, func(tx *Tx) error { return fn(any(tx).(T)) })
}

// Arrive is DB.Arrive.
func (r Room[T]) Arrive(ctx context.Context, reference, account string, questions []muster.HandleCount, fn func(tx T, taken bool, counts []int64) error) error {
	return r.db.Arrive(ctx, reference, account, questions, func(tx *Tx, taken bool, counts []int64) error { return fn(any(tx).(T), taken, counts) })
}

// View is DB.View.
func (r Room[T]) View(ctx context.Context, fn func(T) error) error {
	return r.db.View(ctx, func(tx *Tx) error { return fn(any(tx).(T)) })
}

// lane runs groups until the store closes.
func (db *DB) lane() {
	for {
		select {
		case <-db.stop:
			return
		case first := <-db.queue:
			for _, j := range db.run(first) {
				close(j.done)
			}
			// Those just answered stand behind this goroutine on its processor, and may
			// be the next group's members.
			runtime.Gosched()
		}
	}
}

// waiting returns some jobs that wait now, none where the group has had its fill: of
// members, or of time that the first of them waits for the last.
func (db *DB) waiting(size int, ran time.Duration) (jobs []*job) {
	for len(jobs) < together && size+len(jobs) < db.conf.Group && ran <= longestRun {
		select {
		case j := <-db.queue:
			jobs = append(jobs, j)
		default:
			return jobs
		}
	}
	return jobs
}

// together is how many a group takes on at once: another lane has its share of them.
const together = 16

// longestRun is how long a group goes on taking members.
const longestRun = 10 * time.Millisecond

// longestGroup is how long a group may take in all before its connection is given up:
// a network that swallows packets must not hold a lane for ever.
const longestGroup = time.Minute

// run runs first and whatever waits, and returns the jobs that it has done.
func (db *DB) run(first *job) []*job {
	group := []*job{first}
	// Not the callers' contexts: one that ends must not undo the others.
	ctx, cancel := context.WithTimeout(context.Background(), longestGroup)
	defer cancel()
	c, done, err := db.driver.writer(ctx)
	if err != nil {
		first.err = err
		return group
	}
	defer func() { done() }()
	// A connection that was lost before the commit takes nothing with it: the group runs
	// again on another.
	attempt := func(group *[]*job, careful bool) bool {
		if c.lost() {
			done()
			next, release, err := db.driver.writer(ctx)
			if err != nil {
				done = func() {}
				for _, j := range *group {
					j.err, j.panicked = err, nil
				}
				return true
			}
			c, done = next, release
		}
		return db.attempt(ctx, c, group, careful)
	}
	if attempt(&group, false) || len(group) > 1 && attempt(&group, true) {
		return group
	}
	for _, j := range group {
		ok := false
		for try := 0; try < retries && !ok; try++ {
			ok = attempt(&[]*job{j}, true)
		}
		if !ok {
			j.err = &muster.Error{Code: muster.CodeUnavailable, Message: "too many others write the same rows", RetryAfter: time.Second}
		}
	}
	return group
}

// attempt runs a group in one transaction; where it is not careful the group grows
// by those who wait. It returns false where nothing came of it and it has to run
// again, more carefully.
func (db *DB) attempt(ctx context.Context, c conn, group *[]*job, careful bool) bool {
	started := time.Now()
	unavailable := func(err error) bool {
		c.rollback(ctx)
		if isRetry(err) {
			return false
		}
		for _, j := range *group {
			j.err, j.panicked = err, nil
		}
		return true
	}
	if err := c.begin(ctx, false); err != nil {
		return unavailable(err)
	}
	var last tail
	var txs []*Tx
	undo := func() {
		for i := len(txs) - 1; i >= 0; i-- {
			txs[i].undo()
		}
	}
	for _, j := range *group {
		j.forget()
	}
	for i, taken := 0, 0; ; i++ {
		if i == taken && !careful {
			*group = append(*group, db.waiting(len(*group), time.Since(started))...)
			if err := last.askAhead(ctx, c, (*group)[taken:]); err != nil {
				undo()
				c.rollback(ctx)
				return false // a write that went out with the questions failed: a more careful run finds out whose
			}
			taken = len(*group)
		}
		if i == len(*group) {
			break
		}
		j, reruns := (*group)[i], 1
	again:
		at, from := last, c.mark()
		if careful {
			if err := c.savepoint(ctx); err != nil {
				undo()
				return unavailable(err)
			}
		}
		tx := &Tx{c: c, run: ctx, now: db.clock.now(), tail: &last, fenced: db.fenced}
		j.call(tx)
		if careful && j.err == nil {
			if err := c.flush(ctx); err != nil {
				j.err = tx.fail(err)
			}
		}
		if j.err == nil {
			txs = append(txs, tx)
			continue
		}
		tx.undo()
		last.cut(at)
		switch {
		case !careful && (c.broken() || !c.undo(from)):
			undo()
			c.rollback(ctx)
			return false
		case careful:
			if isRetry(j.err) {
				undo()
				c.rollback(ctx)
				return false
			}
			if err := c.rollbackTo(ctx); err != nil {
				undo()
				return unavailable(err)
			}
			// What fn read may have changed before it wrote: it looks once more.
			if tx.overtook && reruns > 0 {
				reruns--
				goto again
			}
		}
	}
	ran := time.Now()
	if err := c.commit(ctx, &last); err != nil {
		undo()
		if code := muster.ErrorCode(err); (!careful || len(*group) > 1) && code != muster.CodeUnavailable && code != muster.CodeNoSpace {
			c.rollback(ctx)
			return false // a write that waited failed: whose it was, a more careful run finds out
		}
		return unavailable(err)
	}
	db.stats.add(len(*group), ran.Sub(started), time.Since(ran))
	if db.conf.Observe != nil {
		db.conf.Observe(Commit{Size: len(*group), Ran: ran.Sub(started), Synced: time.Since(ran)})
	}
	return true
}

// call runs fn. A panic is kept for the caller's goroutine.
func (j *job) call(tx *Tx) {
	j.err, j.panicked = nil, nil
	defer func() {
		tx.over = true
		if p := recover(); p != nil {
			j.panicked = p
			j.err = muster.Errorf(muster.CodeInternal, "a transaction panicked: %w", fmt.Errorf("%v", p))
		}
	}()
	if j.err = contextError(j.ctx); j.err != nil {
		return
	}
	if tx.fenced {
		if j.err = tx.hold(j.ctx); j.err != nil {
			return
		}
	}
	if j.err = j.fn(tx); j.err == nil {
		j.err = tx.err
	}
}

// errRetry is the cause of an error after which the same again may succeed.
var errRetry = errors.New("to be run again")

func isRetry(err error) bool { return errors.Is(err, errRetry) }

var errStale = muster.Errorf(muster.CodeStale, "it was changed by someone else since you read it")

// Stats are totals since the store was opened.
type Stats struct {
	Groups       int64         // commits
	Transactions int64         // in all groups; divided by Groups, the mean size of a group
	Ran          time.Duration // spent running them
	Synced       time.Duration // spent in commits
}

type counters struct{ groups, transactions, ran, synced atomic.Int64 }

func (c *counters) add(size int, ran, synced time.Duration) {
	c.groups.Add(1)
	c.transactions.Add(int64(size))
	c.ran.Add(int64(ran))
	c.synced.Add(int64(synced))
}

// Stats returns the totals.
func (db *DB) Stats() Stats {
	return Stats{
		Groups: db.stats.groups.Load(), Transactions: db.stats.transactions.Load(),
		Ran: time.Duration(db.stats.ran.Load()), Synced: time.Duration(db.stats.synced.Load()),
	}
}
