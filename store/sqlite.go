package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/muster-cip/muster"
)

// SQLite: one process (held by a lock file), one connection that writes, a few that
// read. The driver's own interface is used, without database/sql: its conversions
// and its watcher of contexts would cost as much again as the statements.

const (
	sqliteFull       = 13 // primary result codes, sqlite.org/rescode.html
	sqliteConstraint = 19
	sqliteUnique     = 2067 // extended
	sqlitePrimaryKey = 1555
	sqliteRowid      = 2579
)

// caches are how many KiB of pages connections remember, as SQLite counts them. They take
// nearly twice that of memory: a page of 4 KiB, with what SQLite notes of it, is 8 KiB to
// the allocator. A page that is not remembered is read again, from the system's cache.
type caches struct{ write, read int }

type sqliteDriver struct {
	path  string
	lock  *lockFile
	write *sqliteConn
	read  chan *sqliteConn
	n     int
	ease  *easer // nil: what is written is small
}

func openSQLite(ctx context.Context, c Config, m migrations) (_ *sqliteDriver, err error) {
	// As SQLite does on Linux by itself. fsync writes a file's time of change too, for which
	// ext4 commits its journal, and with it what others have just written anywhere.
	_, _ = sqlite.Fdatasync(true) // where there is none, it stays with fsync
	lock, err := takeLock(c.Path + ".lock")
	if err != nil {
		return nil, err
	}
	d := &sqliteDriver{path: c.Path, lock: lock, read: make(chan *sqliteConn, c.Readers)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := m.runSQLite(ctx, c.Path); err != nil {
		return nil, err
	}
	if d.write, err = newSQLiteConn(c.Path, false); err != nil {
		return nil, err
	}
	if err := d.write.cache(m.caches.write); err != nil {
		return nil, err
	}
	if m.page > 0 { // as many bytes in the log as with pages of 4 kB
		if err := d.write.plain("PRAGMA wal_autocheckpoint = " + strconv.Itoa(16000*4096/m.page)); err != nil {
			return nil, err
		}
	}
	if m.wide {
		// A checkpoint after each write of so many pages writes the same pages again.
		// A log that is cut after each, and grown again, is one more thing to sync.
		for _, q := range []string{"PRAGMA wal_autocheckpoint = 64000", "PRAGMA journal_size_limit = 402653184"} {
			if err := d.write.plain(q); err != nil {
				return nil, err
			}
		}
		if d.ease, err = newEaser(c.Path); err != nil {
			return nil, muster.Errorf(muster.CodeUnavailable, "the store's file cannot be opened: %w", err)
		}
		d.write.ease = d.ease
	}
	for range c.Readers {
		r, err := newSQLiteConn(c.Path, true)
		if err != nil {
			return nil, err
		}
		d.n++
		d.read <- r
		if err := r.cache(m.caches.read); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// sqliteDSN is the connection string of a file. Every commit is synced
// (synchronous=FULL); what is deleted is overwritten (secure_delete), so that an
// erased value does not stay in a free page.
func sqliteDSN(path string, readOnly bool) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	q := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "temp_store(MEMORY)",
		"foreign_keys(OFF)", "journal_size_limit(67108864)", "wal_autocheckpoint(16000)",
	}}
	if readOnly {
		q = url.Values{"_pragma": {"busy_timeout(10000)", "query_only(ON)", "temp_store(MEMORY)"}}
	}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String()
}

func (d *sqliteDriver) lanes() int { return 1 }

func (d *sqliteDriver) writer(context.Context) (conn, func(), error) { return d.write, func() {}, nil }

func (d *sqliteDriver) reader(ctx context.Context) (conn, func(), error) {
	select {
	case c := <-d.read:
		return c, func() { d.read <- c }, nil
	case <-ctx.Done():
		return nil, nil, contextError(ctx)
	}
}

// scrub moves the write-ahead log into the file and truncates it: a page as it was
// before stays in neither. The file itself is overwritten (secure_delete).
func (d *sqliteDriver) scrub(ctx context.Context) error {
	// A connection of its own: it waits for the writer, not for the writer's queue.
	c, err := newSQLiteConn(d.path, false)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		var busy, pages, moved int64
		if err := d.ease.during(func() error {
			return c.query(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`, nil, func(r row) error { return r.scan(&busy, &pages, &moved) })
		}); err != nil {
			return err
		}
		if busy == 0 {
			return nil
		}
		if err := contextError(ctx); err != nil { // a reader holds an old page: once it is done, again
			return err
		}
	}
}

func (d *sqliteDriver) close() error {
	var errs []error
	for ; d.n > 0; d.n-- {
		errs = append(errs, (<-d.read).close())
	}
	if d.write != nil {
		errs = append(errs, d.write.close())
	}
	errs = append(errs, d.ease.close(), d.lock.release())
	if err := errors.Join(errs...); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the store did not close: %w", err)
	}
	return nil
}

func (d *sqliteDriver) sizes(ctx context.Context) (map[string]int64, error) {
	c, done, err := d.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	sizes := map[string]int64{}
	err = c.query(ctx, `SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_schema m ON m.name = s.name GROUP BY 1`, nil,
		func(r row) error {
			var name string
			var n int64
			err := r.scan(&name, &n)
			sizes[name] = n
			return err
		})
	return sizes, err
}

// sqliteConn is one connection. It is for one goroutine at a time.
type sqliteConn struct {
	raw    driver.Conn
	stmts  map[string]*sqliteStmt
	args   []driver.NamedValue
	sent   int
	saved  bool // a savepoint is set
	failed bool
	ease   *easer // of its commits
}

type sqliteStmt struct {
	driver.StmtExecContext
	driver.StmtQueryContext
	close func() error
	busy  bool
}

func newSQLiteConn(path string, readOnly bool) (*sqliteConn, error) {
	raw, err := (&sqlite.Driver{}).Open(sqliteDSN(path, readOnly))
	if err != nil {
		return nil, sqliteError(err)
	}
	return &sqliteConn{raw: raw, stmts: map[string]*sqliteStmt{}}, nil
}

func (c *sqliteConn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// prepare returns the statement of q, prepared once per connection.
func (c *sqliteConn) prepare(q string) (*sqliteStmt, error) {
	if s := c.stmts[q]; s != nil && !s.busy {
		return s, nil
	}
	raw, err := c.raw.Prepare(q)
	if err != nil {
		return nil, c.fail(err)
	}
	s := &sqliteStmt{raw.(driver.StmtExecContext), raw.(driver.StmtQueryContext), raw.Close, false}
	if c.stmts[q] == nil {
		c.stmts[q] = s
	} else {
		s.busy = true // a second reading of q while the first one runs: closed after use
	}
	return s, nil
}

func (c *sqliteConn) named(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		if b, ok := a.([]byte); ok && b == nil {
			a = nil
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

// plain runs a statement of the connection's own.
func (c *sqliteConn) plain(q string) error {
	s, err := c.prepare(q)
	if err != nil {
		return err
	}
	if _, err := s.ExecContext(context.Background(), nil); err != nil {
		return c.fail(err)
	}
	return nil
}

// cache sets how many KiB of pages are remembered; what is too much by then is let go.
func (c *sqliteConn) cache(kib int) error {
	return c.plain("PRAGMA cache_size = -" + strconv.Itoa(kib))
}

func (c *sqliteConn) begin(_ context.Context, view bool) error {
	c.failed, c.saved, c.sent = false, false, 0
	if view {
		return c.plain("BEGIN")
	}
	return c.plain("BEGIN IMMEDIATE")
}

func (c *sqliteConn) exec(_ context.Context, none error, q string, args []any) error {
	s, err := c.prepare(q)
	if err != nil {
		return err
	}
	// The background context: with one that can end, the driver starts a goroutine
	// for every statement. Statements are short; the caller's is looked at before each.
	r, err := s.ExecContext(context.Background(), c.named(args))
	if err != nil {
		return c.fail(err)
	}
	if none != nil {
		if n, _ := r.RowsAffected(); n == 0 {
			return none
		}
	}
	c.sent++
	return nil
}

func (c *sqliteConn) query(_ context.Context, q string, args []any, each func(row) error) error {
	if writes(q) {
		c.sent++
	}
	s, err := c.prepare(q)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), c.named(args))
	if err != nil {
		return c.fail(err)
	}
	own := s.busy
	s.busy = true
	defer func() {
		rows.Close()
		s.busy = own
		if own {
			s.close()
		}
	}()
	values := make(sqliteRow, len(rows.Columns()))
	for {
		if err := rows.Next(values); err == io.EOF {
			return nil
		} else if err != nil {
			return c.fail(err)
		}
		if err := each(values); err != nil {
			return err
		}
	}
}

func (c *sqliteConn) queries(ctx context.Context, asked []asked) error {
	for _, a := range asked {
		if err := c.query(ctx, a.q, a.args, a.each); err != nil {
			return err
		}
	}
	return nil
}

// writes reports whether q changes rows.
func writes(q string) bool { return !strings.HasPrefix(q, "SELECT") && !strings.HasPrefix(q, "WITH") }

func (c *sqliteConn) flush(context.Context) error { return nil }
func (c *sqliteConn) mark() mark                  { return mark{sent: c.sent} }
func (c *sqliteConn) undo(m mark) bool            { return c.sent == m.sent }
func (c *sqliteConn) broken() bool                { return c.failed }
func (c *sqliteConn) lost() bool                  { return false }
func (c *sqliteConn) idle() bool                  { return false }

func (c *sqliteConn) savepoint(context.Context) error {
	if c.saved { // the one before has done its work
		if err := c.plain("RELEASE fn"); err != nil {
			return err
		}
	}
	c.saved = true
	return c.plain("SAVEPOINT fn")
}

func (c *sqliteConn) rollbackTo(context.Context) error {
	c.failed = false
	return c.plain("ROLLBACK TO fn")
}

func (c *sqliteConn) commit(ctx context.Context, t *tail) error {
	if err := c.commitLeaves(ctx, t.leaves); err != nil {
		return err
	}
	if err := c.commitGate(ctx, t.gate); err != nil {
		return err
	}
	return c.ease.during(func() error { return c.plain("COMMIT") })
}

func (c *sqliteConn) commitLeaves(ctx context.Context, leaves []leafRow) error {
	if len(leaves) == 0 {
		return nil
	}
	var size int64
	if err := c.query(ctx, `SELECT coalesce(max(idx) + 1, 0) FROM leaves`, nil, func(r row) error { return r.scan(&size) }); err != nil {
		return err
	}
	rows := make([][]any, len(leaves))
	for i, l := range leaves {
		rows[i] = []any{size + int64(i), l.leaf, l.ref}
	}
	return insert(rows, `leaves (idx, leaf, ref)`, "", func(q string, args []any) error { return c.exec(ctx, nil, q, args) })
}

func (c *sqliteConn) commitGate(ctx context.Context, rows []gateRow) error {
	if len(rows) == 0 {
		return nil
	}
	var seq, key int64
	if err := c.query(ctx, `UPDATE gate_state SET seq = seq + ? WHERE one = 1 RETURNING seq, keyed`, []any{int64(len(rows))},
		func(r row) error { return r.scan(&seq, &key) }); err != nil {
		return err
	}
	for _, p := range profiles(rows) {
		if err := c.exec(ctx, nil, `INSERT INTO gate_profiles (id, body) VALUES (?, ?) ON CONFLICT DO NOTHING`, []any{p.profile, p.body}); err != nil {
			return err
		}
	}
	seq -= int64(len(rows))
	for i := range rows {
		g := &rows[i]
		q := `INSERT INTO gate_accounts (hash, account, seq, profile, decision) VALUES (?, ?, ?, ?, ?)`
		if !g.fresh {
			q += sameGateAccount
		}
		if err := c.exec(ctx, nil, q, []any{g.under(key), g.account, seq + int64(i) + 1, g.profile, g.decision}); err != nil {
			return err
		}
	}
	return nil
}

func (c *sqliteConn) rollback(context.Context) {
	// After some failures (disk full) SQLite has rolled back by itself, and says so.
	_ = c.plain("ROLLBACK")
	c.failed = false
}

// fail maps an error. A statement that breaks a constraint undoes itself and no more;
// after anything else the transaction is not to be trusted.
func (c *sqliteConn) fail(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xff != sqliteConstraint {
		c.failed = true
	}
	return sqliteError(err)
}

// sqliteError maps the driver's errors to ours. The driver's text names tables and
// columns, never values.
func sqliteError(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return muster.Errorf(muster.CodeUnavailable, "the store cannot be reached: %w", err)
	}
	switch code := e.Code(); {
	case code == sqliteUnique, code == sqlitePrimaryKey, code == sqliteRowid:
		return muster.Errorf(muster.CodeConflict, "that name is taken: %w", err)
	case code&0xff == sqliteFull:
		return &muster.Error{
			Code: muster.CodeNoSpace, Message: "the disk of the store is full: nothing was kept", Cause: err, RetryAfter: retryNoSpace,
		}
	case code&0xff == sqliteConstraint, code&0xff == 1, code&0xff == 20, code&0xff == 21, code&0xff == 25:
		// An error in a statement of ours: ERROR, MISMATCH, MISUSE, RANGE.
		return muster.Errorf(muster.CodeInternal, "the store refused a statement: %w", err)
	default: // IOERR, READONLY, CANTOPEN, BUSY, CORRUPT, NOTADB, ...
		return muster.Errorf(muster.CodeUnavailable, "the store failed: %w", err)
	}
}

// sqliteRow is the values of one row as the driver gave them.
type sqliteRow []driver.Value

func (r sqliteRow) scan(dst ...any) error {
	if len(dst) != len(r) {
		return muster.Errorf(muster.CodeInternal, "a row has %d columns, and %d were asked for", len(r), len(dst))
	}
	for i, d := range dst {
		if !r.scanOne(i, d) {
			return muster.Errorf(muster.CodeInternal, "column %d is not what it should be: %w", i, fmt.Errorf("%T into %T", r[i], d))
		}
	}
	return nil
}

func (r sqliteRow) scanOne(i int, dst any) (ok bool) {
	var n int64
	switch d := dst.(type) {
	case *string:
		*d, ok = r[i].(string)
	case *[]byte:
		if r[i] == nil {
			*d = nil
			return true
		}
		var b []byte
		b, ok = r[i].([]byte)
		*d = bytes.Clone(b)
	case *int64:
		*d, ok = r[i].(int64)
	case *int:
		n, ok = r[i].(int64)
		*d = int(n)
	case *bool:
		n, ok = r[i].(int64)
		*d = n != 0
	case *time.Duration:
		n, ok = r[i].(int64)
		*d = time.Duration(n) * time.Microsecond
	case *time.Time:
		n, ok = r[i].(int64)
		*d = fromMicros(n)
	}
	return ok
}
