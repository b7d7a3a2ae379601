package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"
)

// The baseline answers: how fast could these very rows be stored if nothing had to
// be thought about? It takes every row that Muster wrote in the run, table by table
// with all its bytes, and inserts them into an empty database of the same schema and
// settings with the same driver, in transactions as large as Muster's groups were in
// that run, on as many connections as Muster writes with. It checks nothing, draws no
// key, answers nobody. It reads a few transactions' rows at a time, between which its
// clock stands still: as many rows as there are, in the memory of a few.

// source is a store that is read once, from its first row to its last.
type source struct {
	schema []string // statements that make it; nil of PostgreSQL, where muster init does
	tables []table  // those that have rows
	size   int      // bytes read so far: text and blobs by length, numbers as eight
	close  func()
}

// table is one table's rows, in the order in which they lie.
type table struct {
	name    string
	columns int
	rows    int
	next    func(n int) ([][]any, error) // the next n of them
}

func (t *table) insert(mark func(int) string) string {
	marks := make([]string, t.columns)
	for i := range marks {
		marks[i] = mark(i + 1)
	}
	return "INSERT INTO " + t.name + " VALUES (" + strings.Join(marks, ",") + ")"
}

// group is what one transaction inserts: rows by table.
type group [][][]any

// spanRows is about how many rows are read together.
const spanRows = 50_000

// inserted is a baseline that was measured.
type inserted struct {
	rows, size int
	took, cpu  time.Duration
}

// insert cuts the rows into as many transactions as asked for and has write insert some
// at a time. Only write is measured; cpu is what was computed so far by whatever inserts.
func (s *source) insert(transactions int, cpu func() (time.Duration, error), write func(some []group) error) (in inserted, err error) {
	for _, t := range s.tables {
		in.rows += t.rows
	}
	width := max(1, spanRows*transactions/max(in.rows, 1))
	for from := 0; from < transactions; from += width {
		some := make([]group, min(width, transactions-from))
		for i := range some {
			n := from + i
			some[i] = make(group, len(s.tables))
			for k := range s.tables {
				t := &s.tables[k]
				if some[i][k], err = t.next(t.rows*(n+1)/transactions - t.rows*n/transactions); err != nil {
					return in, fmt.Errorf("%s: %w", t.name, err)
				}
				s.size += volume(some[i][k])
			}
		}
		idle, err := cpu()
		if err != nil {
			return in, err
		}
		began := time.Now()
		if err := write(some); err != nil {
			return in, err
		}
		in.took += time.Since(began)
		busy, err := cpu()
		if err != nil {
			return in, err
		}
		in.cpu += busy - idle
	}
	in.size = s.size
	return in, nil
}

// fastest runs a baseline so many times; the fastest counts.
func fastest(rounds int, run func(i int) (inserted, error)) (best inserted, err error) {
	for i := range rounds {
		in, err := run(i)
		if err != nil {
			return in, err
		}
		if i == 0 || in.took < best.took {
			best = in
		}
	}
	return best, nil
}

func volume(rows [][]any) (size int) {
	for _, r := range rows {
		for _, v := range r {
			switch v := v.(type) {
			case []byte:
				size += len(v)
			case string:
				size += len(v)
			case nil:
			default:
				size += 8
			}
		}
	}
	return size
}

// sqliteSettings are those of package store.
var sqliteSettings = []string{
	"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "temp_store(MEMORY)",
	"cache_size(-65536)", "foreign_keys(OFF)", "journal_size_limit(67108864)", "wal_autocheckpoint(16000)",
}

// openAsStore opens a file as package store does.
func openAsStore(path string) (driver.Conn, error) {
	_, _ = sqlite.Fdatasync(true) // where there is none, the store has none either
	return new(sqlite.Driver).Open(sqliteDSN(path, sqliteSettings...))
}

func sqliteDSN(path string, pragmas ...string) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}).String()
}

// openSQLite is a file that no process has open.
func openSQLite(ctx context.Context, path string) (_ *source, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(ON)"))
	if err != nil {
		return nil, err
	}
	var open []*sql.Rows
	s := &source{close: func() {
		for _, r := range open {
			r.Close()
		}
		db.Close()
	}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	rows, err := db.QueryContext(ctx, `SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index', name`)
	if err != nil {
		return nil, err
	}
	open = append(open, rows)
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return nil, err
		}
		s.schema = append(s.schema, text)
		if kind != "table" {
			continue
		}
		t := table{name: name}
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&t.rows); err != nil {
			return nil, err
		}
		if t.rows == 0 {
			continue
		}
		all, err := db.QueryContext(ctx, "SELECT * FROM "+name)
		if err != nil {
			return nil, err
		}
		open = append(open, all)
		names, err := all.Columns()
		if err != nil {
			return nil, err
		}
		t.columns = len(names)
		t.next = func(n int) ([][]any, error) { return nextSQLite(all, t.columns, n) }
		s.tables = append(s.tables, t)
	}
	return s, rows.Err()
}

func nextSQLite(all *sql.Rows, columns, n int) ([][]any, error) {
	some := make([][]any, n)
	at := make([]any, columns)
	for i := range some {
		if !all.Next() {
			return nil, errors.Join(errors.New("it has fewer rows than it had"), all.Err())
		}
		some[i] = make([]any, columns)
		for k := range at {
			at[k] = &some[i][k]
		}
		if err := all.Scan(at...); err != nil {
			return nil, err
		}
	}
	return some, nil
}

// insertSQLite inserts the rows of a source into a new file, in so many transactions.
func insertSQLite(ctx context.Context, path string, s *source, transactions int) (inserted, error) {
	// The driver itself, as package store uses it: database/sql would cost the
	// baseline time that Muster does not spend.
	c, err := openAsStore(path)
	if err != nil {
		return inserted{}, err
	}
	defer c.Close()
	execute := c.(driver.ExecerContext)
	for _, q := range s.schema {
		if _, err := execute.ExecContext(ctx, q, nil); err != nil {
			return inserted{}, err
		}
	}
	statements := make([]driver.StmtExecContext, len(s.tables))
	for i := range s.tables {
		q, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, s.tables[i].insert(func(int) string { return "?" }))
		if err != nil {
			return inserted{}, err
		}
		defer q.Close()
		statements[i] = q.(driver.StmtExecContext)
	}
	args := make([]driver.NamedValue, 0, 32)
	return s.insert(transactions, ownCPU, func(some []group) error {
		for _, g := range some {
			if _, err := execute.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
				return err
			}
			for i, rows := range g {
				for _, r := range rows {
					args = args[:0]
					for k, v := range r {
						args = append(args, driver.NamedValue{Ordinal: k + 1, Value: v})
					}
					if _, err := statements[i].ExecContext(ctx, args); err != nil {
						return fmt.Errorf("%s: %w", s.tables[i].name, err)
					}
				}
			}
			if _, err := execute.ExecContext(ctx, "COMMIT", nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// openPostgres is a database that nobody writes to.
func openPostgres(ctx context.Context, dsn string) (_ *source, err error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	s := &source{close: func() { c.Close(ctx) }}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	// A scan begins at the first row, and goes on where its cursor is.
	if _, err := c.Exec(ctx, "SET synchronize_seqscans = off; BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(must(c.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)), pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t := table{name: name}
		of, cursor := pgx.Identifier{name}.Sanitize(), pgx.Identifier{"all " + name}.Sanitize()
		if err := c.QueryRow(ctx, "SELECT count(*) FROM "+of).Scan(&t.rows); err != nil {
			return nil, err
		}
		if t.rows == 0 {
			continue
		}
		if _, err := c.Exec(ctx, "DECLARE "+cursor+" NO SCROLL CURSOR FOR SELECT * FROM "+of); err != nil {
			return nil, err
		}
		if err := c.QueryRow(ctx, "SELECT count(*) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", of).Scan(&t.columns); err != nil {
			return nil, err
		}
		t.next = func(n int) ([][]any, error) {
			if n == 0 { // FETCH 0 is the row before, again
				return nil, nil
			}
			some, err := pgx.CollectRows(must(c.Query(ctx, fmt.Sprintf("FETCH %d FROM %s", n, cursor))), func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
			if err == nil && len(some) < n {
				err = errors.New("it has fewer rows than it had")
			}
			return some, err
		}
		s.tables = append(s.tables, t)
	}
	return s, nil
}

// must passes a query on: pgx.CollectRows reports the error that its rows carry.
func must(r pgx.Rows, _ error) pgx.Rows { return r }

// insertPostgres empties a database that muster init made and inserts the rows of a
// source: each transaction one batch, as package store sends its own.
func insertPostgres(ctx context.Context, p *postgres, dsn string, s *source, transactions, lanes int) (inserted, error) {
	conns := make([]*pgx.Conn, lanes)
	for i := range conns {
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return inserted{}, err
		}
		defer c.Close(ctx)
		conns[i] = c
	}
	texts := make([]string, len(s.tables))
	for i := range s.tables {
		if _, err := conns[0].Exec(ctx, "TRUNCATE "+pgx.Identifier{s.tables[i].name}.Sanitize()); err != nil {
			return inserted{}, err
		}
		texts[i] = s.tables[i].insert(func(n int) string { return fmt.Sprintf("$%d", n) })
	}
	cpu := func() (time.Duration, error) {
		ours, err := ownCPU()
		theirs, e := p.cpu()
		return ours + theirs, errors.Join(err, e)
	}
	return s.insert(transactions, cpu, func(some []group) error {
		var mu sync.Mutex
		var errs []error
		var wg sync.WaitGroup
		for lane, c := range conns {
			wg.Go(func() {
				for n := lane; n < len(some); n += lanes {
					b := &pgx.Batch{}
					b.Queue("BEGIN")
					for i, rows := range some[n] {
						for _, r := range rows {
							b.Queue(texts[i], r...)
						}
					}
					b.Queue("COMMIT")
					if err := c.SendBatch(ctx, b).Close(); err != nil {
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}
