package watch_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/verify/contact"
	"github.com/muster-cip/muster/watch"
)

// table is a queue in memory with the store's contract, for tests whose time is
// that of a bubble: leases, fences and dead jobs. What a Tx has beyond Queue is
// not there.
type table struct {
	mu     sync.Mutex
	rows   map[string]*row
	claims int
	writes []string // by With and Note
	down   bool
}

type row struct {
	muster.Job
	dead bool
}

type tableTx struct {
	watch.Tx
	*table
}

func (t *table) InTx(_ context.Context, fn func(watch.Tx) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return muster.Errorf(muster.CodeUnavailable, "the store is away")
	}
	before, writes := map[string]row{}, len(t.writes)
	for id, r := range t.rows {
		before[id] = *r
	}
	err := fn(tableTx{table: t})
	if err != nil {
		t.rows, t.writes = map[string]*row{}, t.writes[:writes]
		for id, r := range before {
			t.rows[id] = &r
		}
	}
	return err
}

func (t *table) View(ctx context.Context, fn func(watch.Tx) error) error { return t.InTx(ctx, fn) }

func (t tableTx) Claim(_ context.Context, kinds []string, _ string, n int, lease time.Duration) (taken []*muster.Job, err error) {
	t.claims++
	for _, r := range t.rows {
		if len(taken) < n && !r.dead && slices.Contains(kinds, r.Kind) && !r.RunAt.After(time.Now()) {
			r.RunAt, r.Attempts, r.Fence = time.Now().Add(lease), r.Attempts+1, r.Fence+1
			j := r.Job
			taken = append(taken, &j)
		}
	}
	return taken, nil
}

func (t tableTx) held(id string, fence int64) (*row, error) {
	r, ok := t.rows[id]
	if !ok || r.Fence != fence || r.dead {
		return nil, muster.Errorf(muster.CodeStale, "another holder has this by now")
	}
	return r, nil
}

func (t tableTx) Finish(_ context.Context, id string, fence int64) error {
	if _, err := t.held(id, fence); err != nil {
		return err
	}
	delete(t.rows, id)
	return nil
}

func (t tableTx) Retry(_ context.Context, id string, fence int64, at time.Time, code string) error {
	r, err := t.held(id, fence)
	if err == nil {
		r.RunAt, r.LastError, r.Fence = at, code, r.Fence+1
	}
	return err
}

func (t tableTx) Bury(_ context.Context, id string, fence int64, code string) error {
	r, err := t.held(id, fence)
	if err == nil {
		r.dead, r.LastError, r.Fence = true, code, r.Fence+1
	}
	return err
}

func newTable(jobs ...muster.Job) *table {
	t := &table{rows: map[string]*row{}}
	for _, j := range jobs {
		t.rows[j.ID] = &row{Job: j}
	}
	return t
}

// jobs makes jobs 0 to n-1 of a kind.
func jobs(kind string, n int) (all []muster.Job) {
	for i := range n {
		all = append(all, muster.Job{ID: fmt.Sprint(kind, i), Kind: kind, Ref: fmt.Sprint("ref", i)})
	}
	return all
}

func newRunner(t *testing.T, db watch.DB, duty watch.Duty, change func(*watch.Config)) *watch.Runner {
	t.Helper()
	c := watch.Config{DB: db, Holder: "test", Duties: map[string]watch.Duty{"k": duty}, Clock: time.Now}
	if change != nil {
		change(&c)
	}
	r, err := watch.NewRunner(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs r in the bubble until the returned function is called.
func start(t *testing.T, r *watch.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestAJobIsDoneOnceAndGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 20)...)
		var mu sync.Mutex
		seen, at, most := map[string]int{}, 0, 0
		stop := start(t, newRunner(t, db, watch.Duty{Workers: 3, Handle: func(_ context.Context, j *muster.Job) watch.Verdict {
			mu.Lock()
			seen[j.ID]++
			at++
			most = max(most, at)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			at--
			mu.Unlock()
			return watch.Done("")
		}}, nil))
		<-time.After(8 * time.Second)
		stop()
		if len(seen) != 20 || len(db.rows) != 0 || most != 3 {
			t.Errorf("%d done, %d left, %d at once", len(seen), len(db.rows), most)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was done %d times", id, n)
			}
		}
	})
}

func TestOneSlowDutyDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(append(jobs("slow", 50), jobs("k", 5)...)...)
		began, worst := time.Now(), time.Duration(0)
		stop := start(t, newRunner(t, db, watch.Duty{Workers: 1, Handle: func(context.Context, *muster.Job) watch.Verdict {
			worst = max(worst, time.Since(began))
			return watch.Done("")
		}}, func(c *watch.Config) {
			c.Duties["slow"] = watch.Duty{Workers: 2, Handle: func(ctx context.Context, _ *muster.Job) watch.Verdict {
				<-ctx.Done()
				return watch.Again("timeout", 0)
			}}
		}))
		<-time.After(time.Minute)
		stop()
		if worst > time.Second {
			t.Errorf("the quick ones waited %v", worst)
		}
	})
}

func TestIdleRunnersLookOnceASecondAndWakeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable()
		wake := make(chan struct{}, 1)
		woken := false
		stop := start(t, newRunner(t, db, watch.Duty{Handle: func(context.Context, *muster.Job) watch.Verdict {
			woken = true
			return watch.Done("")
		}}, func(c *watch.Config) { c.Wake = wake }))
		<-time.After(10*time.Second + 300*time.Millisecond)
		synctest.Wait()
		if db.claims < 10 || db.claims > 12 {
			t.Errorf("%d claims in ten idle seconds", db.claims)
		}
		db.rows["k0"] = &row{Job: muster.Job{ID: "k0", Kind: "k"}}
		wake <- struct{}{}
		synctest.Wait() // no time passes
		if len(db.rows) != 0 || !woken {
			t.Error("it was not woken")
		}
		stop()
	})
}

func TestFailuresBackOffAndDieAtTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 1)...)
		var tries []time.Time
		var told []string
		stop := start(t, newRunner(t, db, watch.Duty{Limit: 6, Handle: func(context.Context, *muster.Job) watch.Verdict {
			tries = append(tries, time.Now())
			if len(tries) == 2 {
				panic("with ada@example.org in it")
			}
			return watch.Again("unavailable", 0)
		}}, func(c *watch.Config) {
			c.Observe = func(kind, outcome, code string, _ time.Duration) {
				told = append(told, kind+" "+outcome+" "+code)
			}
		}))
		<-time.After(time.Hour)
		stop()
		if len(tries) != 6 || !db.rows["k0"].dead || db.rows["k0"].LastError != "unavailable" {
			t.Fatalf("%d tries, %+v", len(tries), db.rows["k0"])
		}
		for i := 1; i < len(tries); i++ {
			low := time.Second << (i - 1)
			if gap := tries[i].Sub(tries[i-1]); gap < low || gap > low*3/2+2*time.Second {
				t.Errorf("try %d came %v after the one before", i+1, gap)
			}
		}
		want := []string{"k retry unavailable", "k retry panic", "k retry unavailable", "k retry unavailable", "k retry unavailable", "k dead unavailable"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
	})
}

func TestATryEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 1)...)
		began := time.Now()
		var ran time.Duration
		stop := start(t, newRunner(t, db, watch.Duty{Timeout: 10 * time.Second, Handle: func(ctx context.Context, _ *muster.Job) watch.Verdict {
			<-ctx.Done()
			ran = time.Since(began)
			return watch.Again("timeout", time.Hour)
		}}, func(c *watch.Config) { c.Lease = 15 * time.Second }))
		<-time.After(time.Minute)
		stop()
		if ran != 10*time.Second {
			t.Errorf("it ran %v", ran)
		}
	})
	if _, err := watch.NewRunner(watch.Config{DB: newTable(), Holder: "x", Lease: 15 * time.Second, Duties: map[string]watch.Duty{
		"k": {Timeout: 14 * time.Second, Handle: func(context.Context, *muster.Job) watch.Verdict { return watch.Done("") }},
	}}); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Errorf("a timeout that the lease does not cover: %v", err)
	}
}

// What is sent is sent while the others believe that this process is there; what a fence
// guards may go on. Of a process that is not there any more nothing is taken.
func TestATryThatSendsEndsWithThePresence(t *testing.T) {
	t.Parallel()
	for _, sends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			db := newTable(jobs("k", 2)...)
			began := time.Now()
			there := began.Add(7 * time.Second)
			var mu sync.Mutex
			var ran []time.Duration
			stop := start(t, newRunner(t, db, watch.Duty{Workers: 1, Sends: sends, Timeout: 10 * time.Second, Handle: func(ctx context.Context, _ *muster.Job) watch.Verdict {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				ran = append(ran, time.Since(began))
				return watch.Again("timeout", time.Hour)
			}}, func(c *watch.Config) { c.Present = func() time.Time { return there } }))
			<-time.After(2 * time.Minute)
			stop()
			want := 10 * time.Second
			if sends {
				want = 7 * time.Second
			}
			if !slices.Equal(ran, []time.Duration{want}) {
				t.Errorf("sends: %v; tries ran to %v", sends, ran)
			}
		})
	}
}

// What a handler writes is written as long as the job is its own, and no longer.
func TestATryIsFenced(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := t.Context()
	if err := db.InTx(ctx, func(tx *store.Tx) error { return tx.Enqueue(ctx, &muster.Job{ID: "k0", Kind: "k"}) }); err != nil {
		t.Fatal(err)
	}
	write := func(ctx context.Context, id string) error {
		return db.InTx(ctx, func(tx *store.Tx) error { return tx.Enqueue(ctx, &muster.Job{ID: id, Kind: "written"}) })
	}
	var before, after error
	r, err := watch.NewRunner(watch.Config{DB: store.As[watch.Tx](db), Holder: "one", Duties: map[string]watch.Duty{
		"k": {Handle: func(ctx context.Context, job *muster.Job) watch.Verdict {
			before = write(ctx, "before")
			// It is set aside, as by an operator; or another was given it.
			if err := db.InTx(t.Context(), func(tx *store.Tx) error { return tx.Bury(ctx, job.ID, job.Fence, "lost") }); err != nil {
				t.Error(err)
			}
			after = write(ctx, "after")
			return watch.Done("")
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.Drain(ctx)
	if before != nil || muster.ErrorCode(after) != muster.CodeStale {
		t.Errorf("before it lost the job: %v, after: %v", before, after)
	}
}

// A holder that lost its lease while it worked ends nothing and makes nothing,
// but what it has already sent is on record.
func TestAStaleHolderWritesNothingButItsNote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 1)...)
		var outcomes []string
		first := true
		stop := start(t, newRunner(t, db, watch.Duty{Handle: func(context.Context, *muster.Job) watch.Verdict {
			v := watch.Done("")
			mark := fmt.Sprint("first ", first)
			v.With = func(context.Context, watch.Tx) error { db.writes = append(db.writes, "with, "+mark); return nil }
			v.Note = func(context.Context, watch.Tx) error { db.writes = append(db.writes, "note, "+mark); return nil }
			if first {
				first = false
				// Somebody else was given it: as after a lease that ran out.
				db.mu.Lock()
				db.rows["k0"].Fence++
				db.rows["k0"].RunAt = time.Now().Add(time.Second)
				db.mu.Unlock()
			}
			return v
		}}, func(c *watch.Config) {
			c.Observe = func(_, outcome, _ string, _ time.Duration) { outcomes = append(outcomes, outcome) }
		}))
		<-time.After(time.Minute)
		stop()
		if want := []string{"stale", "done"}; !slices.Equal(outcomes, want) {
			t.Errorf("outcomes %q", outcomes)
		}
		if want := []string{"note, first true", "with, first false", "note, first false"}; !slices.Equal(db.writes, want) {
			t.Errorf("writes %q", db.writes)
		}
	})
}

func TestStoppingLetsTriesEndWithinGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 10)...)
		stop := start(t, newRunner(t, db, watch.Duty{Workers: 2, Handle: func(ctx context.Context, j *muster.Job) watch.Verdict {
			if j.ID == "k0" || j.ID == "k1" {
				<-ctx.Done() // never by itself
				return watch.Again("stopped", time.Hour)
			}
			<-time.After(4 * time.Second)
			return watch.Done("")
		}}, func(c *watch.Config) { c.Grace = 5 * time.Second }))
		<-time.After(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		// Two had begun; each was ended in the store, and no other was taken.
		begun := 0
		for _, r := range db.rows {
			if r.Attempts > 0 {
				begun++
				if r.LastError != "stopped" {
					t.Errorf("%s was left as taken", r.ID)
				}
			}
		}
		if left := len(db.rows); begun+10-left != 2 {
			t.Errorf("%d begun and %d done", begun, 10-left)
		}
	})
}

func TestAStoreThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(jobs("k", 1)...)
		db.down = true
		stop := start(t, newRunner(t, db, watch.Duty{Handle: func(context.Context, *muster.Job) watch.Verdict { return watch.Done("") }}, nil))
		<-time.After(10 * time.Second)
		db.mu.Lock()
		db.down = false
		db.mu.Unlock()
		<-time.After(2 * time.Second)
		stop()
		if len(db.rows) != 0 {
			t.Error("the job is still there")
		}
	})
}

type challenges func() (*contact.Message, error)

func (c challenges) ToSend(context.Context, string) (*contact.Message, error) { return c() }

type applications func() error

func (a applications) Due(context.Context, string) error { return a() }

type sender func(contact.Message) error

func (s sender) Send(_ context.Context, m contact.Message) error { return s(m) }

func TestSendingOfCodes(t *testing.T) {
	t.Parallel()
	message := &contact.Message{Method: contact.Email, To: "ada@example.org", Code: "031415", Reference: "chl_1"}
	for name, c := range map[string]struct {
		open, send error
		left       time.Duration // of the lease
		sent       bool
		want       string // last error of the job, "done", or "dead" and the error
	}{
		"sent":              {left: time.Minute, sent: true, want: "done"},
		"answered already":  {open: muster.Errorf(muster.CodeGone, "x"), left: time.Minute, want: "done"},
		"address not there": {open: muster.Errorf(muster.CodeInvalid, "x"), left: time.Minute, want: "done"},
		"vault away":        {open: muster.Errorf(muster.CodeUnavailable, "x"), left: time.Minute, want: "unavailable"},
		"not our error":     {open: errors.New("x"), left: time.Minute, want: "internal"},
		"relay away":        {send: muster.Errorf(muster.CodeUnavailable, "x"), left: time.Minute, sent: true, want: "unavailable"},
		"refused":           {send: muster.Errorf(muster.CodeInvalid, "x"), left: time.Minute, sent: true, want: "dead refused"},
		"little time left":  {left: 3 * time.Second, want: "late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sent := false
				db := newTable(jobs("k", 1)...)
				duty := watch.Duty{Timeout: c.left, Handle: watch.SendCode(
					challenges(func() (*contact.Message, error) {
						if c.open != nil {
							return nil, c.open
						}
						return message, nil
					}),
					sender(func(m contact.Message) error {
						sent = m == *message
						return c.send
					}),
					10*time.Second,
				)}
				newRunner(t, db, duty, func(cf *watch.Config) { cf.Lease = 2 * time.Minute }).Drain(t.Context())
				got := "done"
				if r := db.rows["k0"]; r != nil {
					got = strings.TrimSpace(map[bool]string{true: "dead "}[r.dead] + r.LastError)
				}
				if got != c.want || sent != c.sent {
					t.Errorf("got %q, sent %v", got, sent)
				}
			})
		})
	}
}

func TestApplicationsThatAreDue(t *testing.T) {
	t.Parallel()
	for code, want := range map[muster.Code]string{
		"": "done", muster.CodeNotFound: "done", muster.CodeIllegalMove: "done", muster.CodeStale: "stale", muster.CodeUnavailable: "unavailable",
	} {
		synctest.Test(t, func(t *testing.T) {
			db := newTable(jobs("k", 1)...)
			newRunner(t, db, watch.Duty{Handle: watch.ApplicationDue(applications(func() error {
				if code == "" {
					return nil
				}
				return muster.Errorf(code, "x")
			}))}, nil).Drain(t.Context())
			got := "done"
			if r := db.rows["k0"]; r != nil {
				got = r.LastError
			}
			if got != want {
				t.Errorf("%s: got %q", code, got)
			}
		})
	}
}
