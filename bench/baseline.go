package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
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
// that run, on as many connections as Muster writes with. It reads nothing, checks
// nothing, draws no key, answers nobody.

// table is one table's rows.
type table struct {
	name    string
	columns int
	rows    [][]any
}

// chunk is the i-th of n parts of the table's rows.
func (t *table) chunk(i, n int) [][]any {
	return t.rows[len(t.rows)*i/n : len(t.rows)*(i+1)/n]
}

func (t *table) insert(mark func(int) string) string {
	marks := make([]string, t.columns)
	for i := range marks {
		marks[i] = mark(i + 1)
	}
	return "INSERT INTO " + t.name + " VALUES (" + strings.Join(marks, ",") + ")"
}

// volume is the number of rows and their bytes: text and blobs by length, numbers
// as eight.
func volume(tables []table) (rows, size int) {
	for _, t := range tables {
		rows += len(t.rows)
		for _, r := range t.rows {
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
	}
	return rows, size
}

// sqliteSettings are those of package store.
var sqliteSettings = []string{
	"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "temp_store(MEMORY)",
	"cache_size(-65536)", "foreign_keys(OFF)", "journal_size_limit(67108864)", "wal_autocheckpoint(16000)",
}

func sqliteDSN(path string, pragmas ...string) string {
	return (&url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}).String()
}

// readSQLite is the schema and all rows of a file that no process has open.
func readSQLite(ctx context.Context, path string) (schema []string, tables []table, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(ON)"))
	if err != nil {
		return nil, nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index', name`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return nil, nil, err
		}
		schema = append(schema, text)
		if kind == "table" {
			tables = append(tables, table{name: name})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	for i := range tables {
		if err := tables[i].read(ctx, db); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", tables[i].name, err)
		}
	}
	return schema, tables, nil
}

func (t *table) read(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	t.columns = len(names)
	for rows.Next() {
		r := make([]any, t.columns)
		at := make([]any, t.columns)
		for i := range r {
			at[i] = &r[i]
		}
		if err := rows.Scan(at...); err != nil {
			return err
		}
		t.rows = append(t.rows, r)
	}
	return rows.Err()
}

// insertSQLite inserts the rows in so many transactions and returns how long it took.
func insertSQLite(ctx context.Context, path string, schema []string, tables []table, transactions int) (time.Duration, error) {
	// The driver itself, as package store uses it: database/sql would cost the
	// baseline time that Muster does not spend.
	c, err := new(sqlite.Driver).Open(sqliteDSN(path, sqliteSettings...))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	execute := c.(driver.ExecerContext)
	for _, s := range schema {
		if _, err := execute.ExecContext(ctx, s, nil); err != nil {
			return 0, err
		}
	}
	statements := make([]driver.StmtExecContext, len(tables))
	for i := range tables {
		s, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, tables[i].insert(func(int) string { return "?" }))
		if err != nil {
			return 0, err
		}
		defer s.Close()
		statements[i] = s.(driver.StmtExecContext)
	}
	args := make([]driver.NamedValue, 0, 32)
	began := time.Now()
	for n := range transactions {
		if _, err := execute.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
			return 0, err
		}
		for i := range tables {
			for _, r := range tables[i].chunk(n, transactions) {
				args = args[:0]
				for k, v := range r {
					args = append(args, driver.NamedValue{Ordinal: k + 1, Value: v})
				}
				if _, err := statements[i].ExecContext(ctx, args); err != nil {
					return 0, fmt.Errorf("%s: %w", tables[i].name, err)
				}
			}
		}
		if _, err := execute.ExecContext(ctx, "COMMIT", nil); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// readPostgres is all rows of a database, in the order in which they lie.
func readPostgres(ctx context.Context, dsn string) ([]table, error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	names, err := pgx.CollectRows(must(c.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)), pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	tables := make([]table, len(names))
	for i, name := range names {
		rows, err := c.Query(ctx, "SELECT * FROM "+pgx.Identifier{name}.Sanitize()+" ORDER BY ctid")
		if err != nil {
			return nil, err
		}
		tables[i].name, tables[i].columns = name, len(rows.FieldDescriptions())
		for rows.Next() {
			r, err := rows.Values()
			if err != nil {
				rows.Close()
				return nil, err
			}
			tables[i].rows = append(tables[i].rows, slices.Clone(r))
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// must passes a query on: pgx.CollectRows reports the error that its rows carry.
func must(r pgx.Rows, _ error) pgx.Rows { return r }

// insertPostgres empties a database that muster init made and inserts the rows: each
// transaction one batch, as package store sends its own.
func insertPostgres(ctx context.Context, dsn string, tables []table, transactions, lanes int) (time.Duration, error) {
	conns := make([]*pgx.Conn, lanes)
	for i := range conns {
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return 0, err
		}
		defer c.Close(ctx)
		conns[i] = c
	}
	for i := range tables {
		if _, err := conns[0].Exec(ctx, "TRUNCATE "+pgx.Identifier{tables[i].name}.Sanitize()); err != nil {
			return 0, err
		}
	}
	texts := make([]string, len(tables))
	for i := range tables {
		texts[i] = tables[i].insert(func(n int) string { return fmt.Sprintf("$%d", n) })
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	began := time.Now()
	for lane, c := range conns {
		wg.Go(func() {
			for n := lane; n < transactions; n += lanes {
				b := &pgx.Batch{}
				b.Queue("BEGIN")
				for i := range tables {
					for _, r := range tables[i].chunk(n, transactions) {
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
	return time.Since(began), errors.Join(errs...)
}
