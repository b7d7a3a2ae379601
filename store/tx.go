package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Tx is one transaction's view of the store. It is for the one goroutine that runs
// fn, and of no use after it.
type Tx struct {
	c        conn
	run      context.Context // of the group: what statements run under; nil in a view
	now      time.Time
	view     bool
	fenced   bool // the tables of jobs and leases are here
	over     bool
	err      error // of the first write that failed; ends the transaction
	overtook bool  // err may be because of a row that changed since it was read
	raised   []raised
	tail     *tail // of the group
}

// raised is a version that a Put raised in the caller's record.
type raised struct {
	version *int64
	was     int64
}

// tail is what is written last of all in a group, in the order of commits: under
// locks that are held to its end, and so for a moment only.
type tail struct {
	leaves []leafRow
	gate   []gateRow

	written map[string]bool // what an arrival may have asked about, since the group last asked
}

// write notes a reference or digest that is written. What is cut stays noted.
func (t *tail) write(what string) {
	if t == nil {
		return
	}
	if t.written == nil {
		t.written = map[string]bool{}
	}
	t.written[what] = true
}

// cut takes back what was added since the tail was as long as at.
func (t *tail) cut(at tail) {
	t.leaves, t.gate = t.leaves[:len(at.leaves)], t.gate[:len(at.gate)]
}

// leafRow waits for its index.
type leafRow struct {
	leaf []byte
	ref  string
}

// gateRow waits for its sequence number.
type gateRow struct {
	hash              []byte
	profile, body     []byte // of the profile its name and what it says
	account, decision string
	fresh             bool

	other    []byte // hash under the version otherKey of the gate's key, where that may be in force
	otherKey int64
}

// under is the hash under the version that is in force.
func (g *gateRow) under(key int64) []byte {
	if g.otherKey != 0 && g.otherKey == key {
		return g.other
	}
	return g.hash
}

// Now is the time of everything in this transaction: the clock at its start. It
// does not go back within a process.
func (tx *Tx) Now() time.Time { return tx.now }

// conn is one connection with its prepared statements. Placeholders are ?; args are
// int64, string, []byte, and what bind turns into them.
type conn interface {
	begin(ctx context.Context, view bool) error
	// exec writes, perhaps later (flush). none is the error where no row was affected;
	// nil: that is fine.
	exec(ctx context.Context, none error, q string, args []any) error
	// query sends what exec left waiting and calls each for every row.
	query(ctx context.Context, q string, args []any, each func(row) error) error
	// queries is query for several that only read, in one round trip.
	queries(ctx context.Context, asked []asked) error
	flush(ctx context.Context) error
	// mark and undo: undo takes back the writes since the mark if they were not sent
	// yet, or there were none; else it returns false and the group rolls back.
	mark() mark
	undo(mark) bool
	savepoint(ctx context.Context) error
	rollbackTo(ctx context.Context) error
	// commit writes the tail, in order, under the next indexes, and commits.
	commit(ctx context.Context, t *tail) error
	rollback(ctx context.Context)
	// broken reports whether a statement failed since begin or rollbackTo.
	broken() bool
	// lost reports whether the connection is of no use any more.
	lost() bool
	// idle reports whether it was lost while nothing was under way, before begin.
	idle() bool
}

// Clauses that PostgreSQL reads and SQLite, which has one writer, does not need: a
// comment to one, a lock to the other.
const (
	skipLocked = ` /* FOR UPDATE SKIP LOCKED */`
	forShare   = ` /* FOR SHARE */`
)

// mark is a point in a connection's writes.
type mark struct{ sent, waiting int }

// row is one row of a query. dst are pointers to string, int64, int, bool, []byte,
// time.Duration and time.Time (both kept as microseconds).
type row interface{ scan(dst ...any) error }

// check says why tx cannot be used now.
func (tx *Tx) check(ctx context.Context, write bool) error {
	switch {
	case tx.over:
		return muster.Errorf(muster.CodeInternal, "a transaction was used after its end")
	case write && tx.view:
		return muster.Errorf(muster.CodeInternal, "a view does not write")
	case tx.err != nil:
		return tx.err
	}
	return contextError(ctx)
}

// contextError says why nothing is done for ctx any more. Of a process that was stopped
// the clock knows that before the timer of ctx does.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); err == nil && ok && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the request ended before it was done: %w", err)
	}
	return nil
}

// under is what a statement runs under. A driver closes a connection on which the
// context of a statement ends, so within a group it is not the caller's: one who leaves
// must not take the others along. Between statements the caller's is looked at.
func (tx *Tx) under(ctx context.Context) context.Context {
	if tx.run != nil {
		return tx.run
	}
	return ctx
}

// exec writes. none is the error where no row was affected.
func (tx *Tx) exec(ctx context.Context, none error, q string, args ...any) error {
	if err := tx.check(ctx, true); err != nil {
		return err
	}
	if err := tx.c.exec(tx.under(ctx), none, q, bind(args)); err != nil {
		return tx.fail(err)
	}
	return nil
}

// put inserts where *version is 0, else updates the row of that version; the last
// args of update are the id and the version. It raises *version.
func (tx *Tx) put(ctx context.Context, version *int64, insert, update string, id string, fields ...any) error {
	next := append(fields, *version+1, id) //nolint:gocritic // fields is the caller's own list
	var err error
	if *version == 0 {
		err = tx.exec(ctx, nil, insert, next...)
	} else {
		err = tx.exec(ctx, errStale, update, append(next, *version)...)
	}
	if err == nil {
		tx.raised = append(tx.raised, raised{version, *version})
		*version++
	}
	return err
}

// change is a statement that writes and returns rows.
func (tx *Tx) change(ctx context.Context, each func(row) error, q string, args ...any) error {
	if err := tx.check(ctx, true); err != nil {
		return err
	}
	err := tx.c.query(tx.under(ctx), q, bind(args), each)
	if err != nil {
		return tx.fail(err)
	}
	return nil
}

func (tx *Tx) query(ctx context.Context, each func(row) error, q string, args ...any) error {
	if err := tx.check(ctx, false); err != nil {
		return err
	}
	if err := tx.c.query(tx.under(ctx), q, bind(args), each); err != nil {
		return tx.fail(err)
	}
	return nil
}

// fail keeps the first error: nothing goes on after it.
func (tx *Tx) fail(err error) error {
	if tx.err == nil {
		tx.err = err
		code := muster.ErrorCode(err)
		tx.overtook = code == muster.CodeConflict || code == muster.CodeStale
	}
	return err
}

// undo gives the caller's records the versions they came with.
func (tx *Tx) undo() {
	for i := len(tx.raised) - 1; i >= 0; i-- {
		*tx.raised[i].version = tx.raised[i].was
	}
	tx.raised = nil
}

// one reads one row; what names it in the error of code not_found.
func one[T any](ctx context.Context, tx *Tx, what string, scan func(row) (T, error), q string, args ...any) (found T, err error) {
	n := 0
	err = tx.query(ctx, func(r row) (err error) {
		n++
		found, err = scan(r)
		return err
	}, q, args...)
	if err == nil && n == 0 {
		err = muster.Errorf(muster.CodeNotFound, "there is no such %s", what)
	}
	return found, err
}

// all reads every row.
func all[T any](ctx context.Context, tx *Tx, scan func(row) (T, error), q string, args ...any) (found []T, err error) {
	err = tx.query(ctx, func(r row) error {
		x, err := scan(r)
		found = append(found, x)
		return err
	}, q, args...)
	return found, err
}

// inserted is how many rows one INSERT has at most: few lengths, so that few
// statements are prepared.
const inserted = 8

// insert writes rows of a table by as few statements as there may be: into is "table
// (columns)", tail what comes behind the values.
func insert(rows [][]any, into, tail string, exec func(q string, args []any) error) error {
	for some := range slices.Chunk(rows, inserted) {
		values := "(" + marks(len(some[0])) + ")"
		q := "INSERT INTO " + into + " VALUES " + values + strings.Repeat(", "+values, len(some)-1) + tail
		if err := exec(q, slices.Concat(some...)); err != nil {
			return err
		}
	}
	return nil
}

// insert is insert in the transaction.
func (tx *Tx) insert(ctx context.Context, rows [][]any, into, tail string) error {
	return insert(rows, into, tail, func(q string, args []any) error { return tx.exec(ctx, nil, q, args...) })
}

func scanInt(r row) (n int64, err error) { return n, r.scan(&n) }

// inLists calls fn with the values in lists for IN, which have one of few lengths so
// that few statements are prepared: the last value is repeated to fill one.
func inLists[T any](values []T, fn func(marks string, args []any) error) error {
	for len(values) > 0 {
		width := 1
		if len(values) > 1 {
			width = 16
		}
		if len(values) > 16 {
			width = 256
		}
		args := make([]any, width)
		for i := range args {
			args[i] = values[min(i, len(values)-1)]
		}
		if err := fn(`(?`+strings.Repeat(`, ?`, width-1)+`)`, args); err != nil {
			return err
		}
		values = values[min(width, len(values)):]
	}
	return nil
}

// bind turns args, in place, into what both drivers take.
func bind(args []any) []any {
	for i, a := range args {
		switch x := a.(type) {
		case time.Time:
			args[i] = micros(x)
		case int:
			args[i] = int64(x)
		case bool:
			args[i] = int64(0)
			if x {
				args[i] = int64(1)
			}
		}
	}
	return args
}

// micros is a time as it is kept.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the reverse of micros.
func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
