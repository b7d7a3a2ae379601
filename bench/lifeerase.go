package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
)

// Erasing: package retain's own way (intent and leaf, keys gone and synced, rows, done
// and leaf), beside deleting the very rows from both stores, with the driver alone, in
// as many transactions as retain makes erasures.

// eraseTogether is how many files one erasure of package retain holds.
const eraseTogether = 1000

// held is a subject that is to be erased.
type held struct{ customer, subject, key string }

// erased are the statements that delete a subject's and a customer's rows: what retain
// deletes, and the subject's row, which retain keeps and marks.
var (
	ofSubject  = []string{"DELETE FROM claims WHERE subject = ?", "DELETE FROM evidence WHERE subject = ?"}
	ofCustomer = []string{"DELETE FROM hits WHERE customer = ?", "UPDATE decisions SET facts = NULL WHERE customer = ?", "DELETE FROM subjects WHERE customer = ?"}
	ofKey      = []string{"DELETE FROM subject_keys WHERE id = ?"}
)

const (
	peopleQuery = "SELECT customer, id, sealed_under FROM subjects ORDER BY customer, id"
)

// endOld ends the accounts of as many customers as have n subjects, and returns them.
func endOld(people []held, n int, exec func(statements ...string) error) ([]held, error) {
	if len(people) < n {
		return nil, fmt.Errorf("%d subjects are on file, and %d are to be erased", len(people), n)
	}
	last := people[n-1].customer
	for n < len(people) && people[n].customer == last {
		n++
	}
	return people[:n], exec(endAccounts("{customer} <= '" + last + "'")...)
}

func eraseSQLite(ctx context.Context, r *run, s lifeSettings, few *deployment) error {
	ours, theirs := filepath.Join(r.dir, "erase"), filepath.Join(r.dir, "erasebaseline")
	if err := copyTree(few.dir, ours); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", sqliteDSN(sqliteOf(ours).Path, sqliteSettings...))
	if err != nil {
		return err
	}
	people, err := peopleOfSQLite(ctx, db)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	people, err = endOld(people, s.Erased, func(q ...string) error { return execSQLite(ctx, sqliteOf(ours).Path, q...) })
	if err != nil {
		return err
	}
	if err := copyTree(ours, theirs); err != nil {
		return err
	}
	took, err := eraseOurs(ctx, r, "SQLite", ours, sqliteOf(ours), keysOf(ours), people)
	if err != nil {
		return err
	}
	base, err := deleteSQLite(ctx, theirs, people)
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	compareErasing(r, "SQLite", len(people), took, base)
	return nil
}

func peopleOfSQLite(ctx context.Context, db *sql.DB) (people []held, err error) {
	rows, err := db.QueryContext(ctx, peopleQuery)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p held
		if err := rows.Scan(&p.customer, &p.subject, &p.key); err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, rows.Err()
}

func compareErasing(r *run, what string, subjects int, took, base time.Duration) {
	r.note(fmt.Sprintf("%s: %d subjects erased", what, subjects), took.Seconds(), "s")
	r.note(what+": the same rows deleted and synced", base.Seconds(), "s")
	r.atMost(what+": erasing against deleting", took.Seconds()/base.Seconds(), "times", 2)
}

// eraseOurs has package retain erase what is due, and says how long it took until all
// was gone but rows of the blind indexes that lead nowhere, which go with the day's
// pass over all of them.
func eraseOurs(ctx context.Context, r *run, what, dir string, data, keys store.Config, people []held) (took time.Duration, err error) {
	h, err := openRooms(ctx, dir, data, keys, 256)
	if err != nil {
		return 0, err
	}
	defer h.close(ctx)
	source, ok := packs.Source(packs.Default)
	if !ok {
		return 0, errors.New("the default pack is not embedded")
	}
	pack, err := policy.Compile(source)
	if err != nil {
		return 0, err
	}
	service := retain.New(retain.Config{
		DB: store.As[retain.Tx](h.db), Programme: onePack{pack}, Keys: h.vault, Journal: h.journal, Clock: muster.SystemClock, Share: 1,
	})
	began := time.Now()
	// Past the question whether too much goes on one day, which is a preview's work.
	c, done := retain.Cursor{Step: "files", After: muster.PrefixCustomer, Began: began}, false
	for c.Step == "files" {
		if c, done, err = service.Slice(ctx, c, time.Now().Add(time.Minute)); err != nil { // it ends with the files
			return 0, err
		}
	}
	took = time.Since(began)
	began = time.Now()
	for !done {
		if c, done, err = service.Slice(ctx, c, time.Now().Add(time.Minute)); err != nil {
			return 0, err
		}
	}
	r.note(what+": the day's pass over the blind indexes, after", time.Since(began).Seconds(), "s")
	customers := map[string]bool{}
	for _, p := range people {
		customers[p.customer] = true
	}
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.key
	}
	left, err := h.vault.Keys(ctx, ids)
	if err != nil {
		return 0, err
	}
	if int(c.Swept.Files) != len(customers) || len(left) > 0 || c.Swept.Index == 0 {
		return 0, fmt.Errorf("of %d files %d were erased, %d keys are left, %d rows of indexes went", len(customers), c.Swept.Files, len(left), c.Swept.Index)
	}
	return took, nil
}

// batches calls fn with the subjects of so many customers at a time.
func batches(people []held, fn func(some []held, customers []string) error) error {
	for from := 0; from < len(people); {
		var customers []string
		to := from
		for ; to < len(people); to++ {
			if n := len(customers); n == 0 || customers[n-1] != people[to].customer {
				if n == eraseTogether {
					break
				}
				customers = append(customers, people[to].customer)
			}
		}
		if err := fn(people[from:to], customers); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// sqliteDeleter is one open file with statements, each of one text.
type sqliteDeleter struct {
	c          driver.Conn
	statements []driver.StmtExecContext
}

func openDeleter(ctx context.Context, path string, statements ...string) (*sqliteDeleter, error) {
	c, err := openAsStore(path)
	if err != nil {
		return nil, err
	}
	d := &sqliteDeleter{c: c}
	for _, q := range statements {
		s, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, q)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		d.statements = append(d.statements, s.(driver.StmtExecContext))
	}
	return d, nil
}

func (d *sqliteDeleter) exec(ctx context.Context, q string) error {
	_, err := d.c.(driver.ExecerContext).ExecContext(ctx, q, nil)
	return err
}

func (d *sqliteDeleter) delete(ctx context.Context, from, to int, id string) error {
	for _, s := range d.statements[from:to] {
		if _, err := s.ExecContext(ctx, []driver.NamedValue{{Ordinal: 1, Value: id}}); err != nil {
			return err
		}
	}
	return nil
}

func (d *sqliteDeleter) close() {
	for _, s := range d.statements {
		_ = s.(driver.Stmt).Close()
	}
	_ = d.c.Close()
}

func deleteSQLite(ctx context.Context, dir string, people []held) (time.Duration, error) {
	data, err := openDeleter(ctx, sqliteOf(dir).Path, append(append([]string{}, ofSubject...), ofCustomer...)...)
	if err != nil {
		return 0, err
	}
	defer data.close()
	keys, err := openDeleter(ctx, keysOf(dir).Path, ofKey...)
	if err != nil {
		return 0, err
	}
	defer keys.close()
	began := time.Now()
	err = batches(people, func(some []held, customers []string) error {
		if err := errors.Join(data.exec(ctx, "BEGIN IMMEDIATE"), keys.exec(ctx, "BEGIN IMMEDIATE")); err != nil {
			return err
		}
		for _, p := range some {
			if err := errors.Join(data.delete(ctx, 0, len(ofSubject), p.subject), keys.delete(ctx, 0, 1, p.key)); err != nil {
				return err
			}
		}
		for _, c := range customers {
			if err := data.delete(ctx, len(ofSubject), len(data.statements), c); err != nil {
				return err
			}
		}
		return errors.Join(keys.exec(ctx, "COMMIT"), data.exec(ctx, "COMMIT"))
	})
	return time.Since(began), err
}

func erasePostgres(ctx context.Context, r *run, s lifeSettings, few *deployment) error {
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	var dsn [4]string // ours: data, keys; the baseline's
	for i, name := range []string{"ours", "ourkeys", "theirs", "theirkeys"} {
		if dsn[i], err = p.database(ctx, name); err != nil {
			return err
		}
	}
	for i := 0; i < len(dsn); i += 2 {
		if err := copyStores(ctx, few.dir, dsn[i], dsn[i+1]); err != nil {
			return err
		}
	}
	var people []held
	for _, d := range []string{dsn[0], dsn[2]} {
		c, err := pgx.Connect(ctx, d)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		all, err := pgx.CollectRows(must(c.Query(ctx, peopleQuery)), func(row pgx.CollectableRow) (x held, err error) {
			return x, row.Scan(&x.customer, &x.subject, &x.key)
		})
		if err != nil {
			return err
		}
		if people, err = endOld(all, s.Erased, func(statements ...string) error {
			for _, q := range statements {
				if _, err := c.Exec(ctx, q); err != nil {
					return err
				}
			}
			_, err := c.Exec(ctx, "VACUUM ANALYZE")
			return err
		}); err != nil {
			return err
		}
	}
	took, err := eraseOurs(ctx, r, "PostgreSQL", few.dir, store.Config{DSN: dsn[0]}, store.Config{DSN: dsn[1]}, people)
	if err != nil {
		return err
	}
	base, err := deletePostgres(ctx, dsn[2], dsn[3], people)
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	compareErasing(r, "PostgreSQL", len(people), took, base)
	return nil
}

// copyStores makes the schema of both stores and fills it with a SQLite deployment's
// rows, but for those of some tables.
func copyStores(ctx context.Context, dir, data, keys string, without ...string) error {
	db, err := store.Open(ctx, store.Config{DSN: data})
	if err != nil {
		return err
	}
	k, err := store.OpenKeys(ctx, store.Config{DSN: keys})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return errors.Join(db.Close(), k.Close(), copyToPostgres(ctx, sqliteOf(dir).Path, data, without...), copyToPostgres(ctx, keysOf(dir).Path, keys))
}

func deletePostgres(ctx context.Context, data, keys string, people []held) (time.Duration, error) {
	d, err := pgx.Connect(ctx, data)
	if err != nil {
		return 0, err
	}
	defer d.Close(ctx)
	k, err := pgx.Connect(ctx, keys)
	if err != nil {
		return 0, err
	}
	defer k.Close(ctx)
	began := time.Now()
	err = batches(people, func(some []held, customers []string) error {
		of, ofKeys := transaction(), transaction()
		for _, p := range some {
			ofKeys.add(p.key, ofKey)
			of.add(p.subject, ofSubject)
		}
		for _, c := range customers {
			of.add(c, ofCustomer)
		}
		return errors.Join(ofKeys.send(ctx, k), of.send(ctx, d))
	})
	return time.Since(began), err
}

// pgTransaction is one transaction that goes out in one batch.
type pgTransaction struct{ pgx.Batch }

func transaction() *pgTransaction {
	t := &pgTransaction{}
	t.Queue("BEGIN")
	return t
}

func (t *pgTransaction) add(id string, statements []string) {
	for _, q := range statements {
		t.Queue(strings.Replace(q, "?", "$1", 1), id)
	}
}

func (t *pgTransaction) send(ctx context.Context, c *pgx.Conn) error {
	t.Queue("COMMIT")
	return c.SendBatch(ctx, &t.Batch).Close()
}
