package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"github.com/muster-cip/muster"
)

// PostgreSQL: any number of processes. Transactions are READ COMMITTED: what people
// edit carries versions, names are unique, and a fn whose write shows that a row was
// overtaken runs again. Writes wait in the process and go out with the next read or
// with the commit, so that a group costs few round trips; those that must affect a row
// go out before it.

type postgres struct {
	write, read *pgxpool.Pool
	writers     int
	texts       sync.Map // statement -> the same in PostgreSQL's words
}

func openPostgres(ctx context.Context, c Config, m migrations) (_ *postgres, err error) {
	conf, err := parseDSN(c.DSN)
	if err != nil {
		return nil, err
	}
	conf.MinConns = 0
	if err := refusePooler(ctx, conf.ConnConfig); err != nil {
		return nil, err
	}
	conf.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return prepareSession(ctx, conn, c.Schema) }
	if err := m.runPostgres(ctx, conf.ConnConfig, c.Schema); err != nil {
		return nil, err
	}
	p := &postgres{writers: c.Writers}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	dial := conf.ConnConfig.DialFunc
	writers := conf.Copy()
	writers.MaxConns = int32(c.Writers)
	writers.ConnConfig.DialFunc = notSilent(dial, writerSilence)
	writers.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := conf.AfterConnect(ctx, conn); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, false)`, strconv.FormatInt(writerIdle.Milliseconds(), 10))
		return err
	}
	if p.write, err = pgxpool.NewWithConfig(ctx, writers); err != nil {
		return nil, postgresError(err)
	}
	readers := conf.Copy()
	readers.MaxConns = int32(c.Readers)
	readers.ConnConfig.DialFunc = notSilent(dial, readerSilence)
	if p.read, err = pgxpool.NewWithConfig(ctx, readers); err != nil {
		return nil, postgresError(err)
	}
	var fsync string
	if err := p.read.QueryRow(ctx, `SELECT current_setting('fsync')`).Scan(&fsync); err != nil {
		return nil, postgresError(err)
	}
	if fsync != "on" {
		c.Logger.Warn("PostgreSQL runs with fsync off: a crash of the machine loses what was acknowledged")
	}
	return p, nil
}

// prepareSession sets what holds for a connection. Poolers refuse to have it said as one
// connects.
func prepareSession(ctx context.Context, conn *pgx.Conn, schema string) error {
	// Every statement is prepared, and each has one way to be run: planning the question
	// of an arrival anew for its parameters costs more than answering it. Acknowledged means
	// synced, whatever the server's default; stronger settings (remote_write, remote_apply) stay.
	settings := `SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
		set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)`
	var args []any
	if schema != "" {
		settings += `, set_config('search_path', $1, false)`
		args = append(args, pgx.Identifier{schema}.Sanitize())
	}
	_, err := conn.Exec(ctx, settings, args...)
	return err
}

// migrationLock is the advisory lock under which one process at a time migrates.
const migrationLock = 0x6d757374

func (m migrations) runPostgres(ctx context.Context, conf *pgx.ConnConfig, schema string) error {
	// Whoever limits how long a statement may take does not mean these: one that is never
	// through keeps the program from starting.
	db := stdlib.OpenDB(*conf, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		if err := prepareSession(ctx, conn, schema); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false)`)
		return err
	}))
	defer db.Close()
	lock, err := db.Conn(ctx)
	if err != nil {
		return postgresError(err)
	}
	defer lock.Close() // which ends the session, and with it the lock
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return postgresError(err)
	}
	defer lock.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrationLock) //nolint:errcheck // the session ends next
	if schema != "" {
		if _, err := lock.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return postgresError(err)
		}
	}
	return m.run(ctx, db, database.DialectPostgres, strings.NewReplacer(
		" BLOB", " BYTEA", " INTEGER", " BIGINT", " TEXT", ` TEXT COLLATE "C"`, ") WITHOUT ROWID", ")").Replace)
}

func (p *postgres) lanes() int { return p.writers }

func (p *postgres) writer(ctx context.Context) (conn, func(), error) { return p.acquire(ctx, p.write) }

func (p *postgres) reader(ctx context.Context) (conn, func(), error) { return p.acquire(ctx, p.read) }

func (p *postgres) acquire(ctx context.Context, pool *pgxpool.Pool) (conn, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	c, err := pool.Acquire(ctx)
	if err != nil {
		return nil, nil, postgresError(err)
	}
	return &postgresConn{c: c.Conn(), texts: &p.texts}, c.Release, nil
}

// scrub leaves it to vacuum: see Keys.
func (p *postgres) scrub(context.Context) error { return nil }

func (p *postgres) close() error {
	for _, pool := range []*pgxpool.Pool{p.write, p.read} {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}

func (p *postgres) sizes(ctx context.Context) (map[string]int64, error) {
	rows, err := p.read.Query(ctx, `SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c
		WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace`)
	if err != nil {
		return nil, postgresError(err)
	}
	sizes := map[string]int64{}
	var name string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { sizes[name] = n; return nil }); err != nil {
		return nil, postgresError(err)
	}
	return sizes, nil
}

// postgresConn is one connection in one transaction.
type postgresConn struct {
	c       *pgx.Conn
	texts   *sync.Map
	batch   *pgx.Batch
	waiting []error // for each statement of batch: the error where it affects no row
	sent    int     // writes sent since begin
	open    bool    // BEGIN was sent
	heard   bool    // and answered
	closed  bool    // while it was idle
	saved   bool    // a savepoint is set
	savedAt int     // how many statements wait before and with SAVEPOINT; -1: it was sent
	failed  bool
}

func (c *postgresConn) begin(_ context.Context, view bool) error {
	c.reset()
	c.sent, c.open, c.heard, c.closed, c.saved, c.failed = 0, false, false, false, false, false
	if view {
		c.queue(nil, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	} else {
		c.queue(nil, "BEGIN")
	}
	return nil
}

func (c *postgresConn) reset() {
	c.batch, c.waiting, c.savedAt = &pgx.Batch{}, c.waiting[:0], -1
}

func (c *postgresConn) queue(none error, q string, args ...any) {
	c.batch.Queue(q, args...)
	c.waiting = append(c.waiting, none)
}

// locks are the clauses that SQLite does not have, and with one writer does not need.
// They stand in statements as comments.
var locks = strings.NewReplacer("/* ", "", " */", "")

// text puts a statement in PostgreSQL's words.
func (c *postgresConn) text(q string) string {
	if t, ok := c.texts.Load(q); ok {
		return t.(string)
	}
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(locks.Replace(q), "?") {
		if rest, ok := strings.CutSuffix(part, "?"); ok {
			n++
			part = rest + "$" + strconv.Itoa(n)
		}
		b.WriteString(part)
	}
	c.texts.Store(q, b.String())
	return b.String()
}

func (c *postgresConn) exec(_ context.Context, none error, q string, args []any) error {
	c.queue(none, c.text(q), args...)
	return nil
}

func (c *postgresConn) flush(ctx context.Context) error {
	if c.batch.Len() == 0 {
		return nil
	}
	r, err := c.send(ctx)
	return c.end(r, err)
}

// send sends what waits and reads its results; those of what was queued past waiting
// are the caller's.
func (c *postgresConn) send(ctx context.Context) (pgx.BatchResults, error) {
	waiting := c.waiting
	c.open = true
	c.sent += len(waiting)
	r := c.c.SendBatch(ctx, c.batch)
	c.reset()
	for _, none := range waiting {
		tag, err := r.Exec()
		if err != nil {
			return r, err
		}
		c.heard = true
		if none != nil && tag.RowsAffected() == 0 {
			return r, none
		}
	}
	return r, nil
}

// end closes results; err is what came before.
func (c *postgresConn) end(r pgx.BatchResults, err error) error {
	if closed := r.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return nil
	}
	c.failed = true
	c.closed = c.c.IsClosed() && !c.heard && !errors.Is(err, errSilent)
	return postgresError(err)
}

func (c *postgresConn) query(ctx context.Context, q string, args []any, each func(row) error) error {
	if writes(q) {
		c.sent++
	}
	return c.queries(ctx, []asked{{q, args, each}})
}

func (c *postgresConn) queries(ctx context.Context, asked []asked) error {
	for _, a := range asked {
		c.batch.Queue(c.text(a.q), a.args...)
	}
	r, err := c.send(ctx)
	if err != nil {
		return c.end(r, err)
	}
	var own error // of the caller's reading, which the database has no part in
	for _, a := range asked {
		rows, err := r.Query()
		if err != nil {
			return c.end(r, err)
		}
		for own == nil && rows.Next() {
			own = a.each(postgresRow{rows})
		}
		rows.Close()
		if rows.Err() != nil {
			return c.end(r, rows.Err())
		}
	}
	if err := c.end(r, nil); err != nil {
		return err
	}
	return own
}

func (c *postgresConn) mark() mark   { return mark{c.sent, len(c.waiting)} }
func (c *postgresConn) broken() bool { return c.failed }
func (c *postgresConn) lost() bool   { return c.c.IsClosed() }
func (c *postgresConn) idle() bool   { return c.closed }

func (c *postgresConn) undo(m mark) bool {
	switch c.sent {
	case m.sent: // nothing was sent since
		c.drop(m.waiting)
	case m.sent + m.waiting: // what waited then was, and nothing of ours
		c.drop(0)
	default:
		return false
	}
	return true
}

// drop takes statements back that wait, all past n.
func (c *postgresConn) drop(n int) {
	clear(c.batch.QueuedQueries[n:])
	c.batch.QueuedQueries, c.waiting = c.batch.QueuedQueries[:n], c.waiting[:n]
}

func (c *postgresConn) savepoint(context.Context) error {
	if c.saved {
		c.queue(nil, "RELEASE SAVEPOINT fn")
	}
	c.queue(nil, "SAVEPOINT fn")
	c.saved, c.savedAt = true, len(c.waiting)
	return nil
}

func (c *postgresConn) rollbackTo(ctx context.Context) error {
	c.failed = false
	if c.savedAt >= 0 {
		c.drop(c.savedAt)
		return nil
	}
	c.drop(0)
	if _, err := c.c.Exec(ctx, "ROLLBACK TO SAVEPOINT fn"); err != nil {
		return postgresError(err)
	}
	return nil
}

// appendLeaves takes the lock of log_size, held to the end of the transaction that
// it stands last in: so indexes rise in the order of commits.
const appendLeaves = `WITH past AS (UPDATE log_size SET size = size + cardinality($1::bytea[]) WHERE one = 1
	RETURNING size - cardinality($1::bytea[]) AS size)
	INSERT INTO leaves (idx, leaf, ref) SELECT past.size + l.n - 1, l.leaf, l.ref
	FROM past, unnest($1::bytea[], $2::text[]) WITH ORDINALITY l (leaf, ref, n)`

// appendGate does the same for the gate's rows, under the lock of gate_state. Its two
// forms are for accounts that are made now, whose hash must not be there, and for others.
const appendGate = `WITH past AS (UPDATE gate_state SET seq = seq + cardinality($1::bytea[]) WHERE one = 1
	RETURNING seq - cardinality($1::bytea[]) AS seq)
	INSERT INTO gate_accounts (hash, account, seq, profile, decision) SELECT g.hash, g.account, past.seq + g.n, g.profile, g.decision
	FROM past, unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[]) WITH ORDINALITY g (hash, account, profile, decision, n)`

// addProfiles stands before what takes locks: it waits for who is adding the same.
const addProfiles = `INSERT INTO gate_profiles (id, body) SELECT p.id, p.body FROM unnest($1::bytea[], $2::bytea[]) p (id, body) ON CONFLICT DO NOTHING`

// appendGateTurning is appendGate while the gate's key turns: which hash it is, is seen
// under the lock.
const appendGateTurning = `WITH past AS (UPDATE gate_state SET seq = seq + cardinality($1::bytea[]) WHERE one = 1
	RETURNING seq - cardinality($1::bytea[]) AS seq, keyed)
	INSERT INTO gate_accounts (hash, account, seq, profile, decision)
	SELECT CASE WHEN g.key = past.keyed THEN g.other ELSE g.hash END, g.account, past.seq + g.n, g.profile, g.decision
	FROM past, unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::bigint[]) WITH ORDINALITY g (hash, account, profile, decision, other, key, n)`

// queueGate queues the gate's rows: of several of one account the last.
func (c *postgresConn) queueGate(rows []gateRow) {
	last := map[string]int{} // account -> its place
	var merged []gateRow
	for _, g := range rows {
		if i, ok := last[g.account]; ok {
			g.fresh = g.fresh || merged[i].fresh
			merged[i] = g
			continue
		}
		last[g.account] = len(merged)
		merged = append(merged, g)
	}
	for _, fresh := range []bool{true, false} {
		var hashes, profiles, others [][]byte
		var accounts, decisions []string
		var keys []int64
		turning := false
		for _, g := range merged {
			if g.fresh == fresh {
				hashes, profiles = append(hashes, g.hash), append(profiles, g.profile)
				accounts, decisions = append(accounts, g.account), append(decisions, g.decision)
				others, keys = append(others, g.other), append(keys, g.otherKey)
				turning = turning || g.otherKey != 0
			}
		}
		if len(hashes) == 0 {
			continue
		}
		q, args := appendGate, []any{hashes, accounts, profiles, decisions}
		if turning {
			q, args = appendGateTurning, append(args, others, keys)
		}
		if !fresh {
			q += sameGateAccount
		}
		c.queue(nil, q, args...)
	}
}

func (c *postgresConn) commit(ctx context.Context, t *tail) error {
	leaves := t.leaves
	if !c.open && len(c.waiting) == 1 && len(leaves)+len(t.gate) == 0 {
		c.reset() // nothing but BEGIN
		return nil
	}
	// The server takes no offence at a statement that affects no row, and would go on to
	// the COMMIT behind it: what must affect one has done so before COMMIT goes out.
	if slices.ContainsFunc(c.waiting, func(none error) bool { return none != nil }) {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	if len(t.gate) > 0 {
		var names, bodies [][]byte
		for _, p := range profiles(t.gate) {
			names, bodies = append(names, p.profile), append(bodies, p.body)
		}
		c.queue(nil, addProfiles, names, bodies)
	}
	if len(leaves) > 0 {
		bytes, refs := make([][]byte, len(leaves)), make([]string, len(leaves))
		for i, l := range leaves {
			bytes[i], refs[i] = l.leaf, l.ref
		}
		c.queue(nil, appendLeaves, bytes, refs)
	}
	if len(t.gate) > 0 {
		c.queueGate(t.gate)
	}
	c.batch.Queue("COMMIT")
	r, err := c.send(ctx)
	if err == nil {
		var tag pgconn.CommandTag
		if tag, err = r.Exec(); err == nil && tag.String() != "COMMIT" {
			err = errors.New("the commit answered " + tag.String())
		}
	}
	if err = c.end(r, err); err == nil && here(c.c.PgConn()) {
		err = muster.Errorf(muster.CodeUnavailable, "the store kept it on one server only")
	}
	return err
}

func (c *postgresConn) rollback(ctx context.Context) {
	c.reset()
	if c.open && !c.c.IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = c.c.Exec(ctx, "ROLLBACK") // where it fails the connection is closed, which rolls back too
	}
	c.open, c.failed = false, false
}

// postgresError maps the driver's errors to ours. Neither the server's messages nor
// the driver's are kept: they can repeat values.
func postgresError(err error) error {
	var own *muster.Error
	if errors.As(err, &own) {
		return err
	}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		cause := errors.New("SQLSTATE " + e.Code + " " + e.TableName + " " + e.ConstraintName)
		switch {
		case e.Code == "23505":
			return muster.Errorf(muster.CodeConflict, "that name is taken: %w", cause)
		case e.Code == "40001", e.Code == "40P01", e.Code == "55P03":
			return muster.Errorf(muster.CodeUnavailable, "others write the same rows: %w", errors.Join(errRetry, cause))
		case e.Code == "53100":
			return &muster.Error{Code: muster.CodeNoSpace, Message: "the disk of the store is full: nothing was kept", Cause: cause, RetryAfter: retryNoSpace}
		case e.Code[:2] == "08", e.Code[:2] == "53", e.Code[:2] == "57", e.Code[:2] == "55", e.Code[:2] == "58", e.Code[:2] == "25", e.Code[:2] == "28", e.Code[:2] == "3D":
			return muster.Errorf(muster.CodeUnavailable, "the store failed: %w", cause)
		}
		return muster.Errorf(muster.CodeInternal, "the store refused a statement: %w", cause)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return muster.Errorf(muster.CodeUnavailable, "the store cannot be reached: %w", err)
	}
	return muster.Errorf(muster.CodeUnavailable, "the store failed: %w", errors.New(kindsOf(err)))
}

// kindsOf names an error by its types, from the outermost in, and where it ends in one
// whose words never change by those.
func kindsOf(err error) string {
	var kinds []string
	for ; err != nil; err = errors.Unwrap(err) {
		kind := fmt.Sprintf("%T", err)
		if err == io.EOF || err == io.ErrUnexpectedEOF || err == net.ErrClosed || err == errSilent {
			kind = err.Error()
		}
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, ": ")
}

// postgresRow is one row as pgx gives it.
type postgresRow struct{ rows pgx.Rows }

func (r postgresRow) scan(dst ...any) error {
	var numbers [24]int64 // of times and truths, kept as numbers
	for i, d := range dst {
		switch d.(type) {
		case *time.Time, *time.Duration, *bool:
			dst[i] = &numbers[i]
			defer func() { assign(d, numbers[i]) }()
		}
	}
	if err := r.rows.Scan(dst...); err != nil {
		return muster.Errorf(muster.CodeInternal, "a row is not what it should be: %w", fmt.Errorf("%T", err))
	}
	return nil
}

func assign(dst any, n int64) {
	switch d := dst.(type) {
	case *time.Time:
		*d = fromMicros(n)
	case *time.Duration:
		*d = time.Duration(n) * time.Microsecond
	case *bool:
		*d = n != 0
	}
}
