package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/synthetic"
)

// importSettings are the parameters of a run.
type importSettings struct {
	Seed      uint64
	Customers int
	Rounds    int // of the baseline; the fastest counts
}

// importBench takes a provider's existing book in, by the command line as anybody
// would, and beside it inserts the same rows: those of the main store and the keys.
// Then it gives everything out again and takes that in, into an empty deployment.
func importBench(ctx context.Context, r *run) error {
	s := importSettings{Seed: 20261126, Customers: pick(r.quick, 20_000, 400_000), Rounds: pick(r.quick, 2, 1)}
	if r.records > 0 {
		s.Customers = r.records
	}
	r.say("book: package synthetic, seed %d, %d customers without the invalid", s.Seed, s.Customers)
	r.say("baseline: every row of main store and keys, same driver, schema and settings, on one connection, in as many transactions; fastest of %d", s.Rounds)
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	book := filepath.Join(r.dir, "book.ndjson")
	size, err := writeBook(book, s)
	if err != nil {
		return err
	}
	r.say("%d bytes a line", size/int64(s.Customers))
	var errs []error // one database that fails does not hide the other
	for _, x := range []struct {
		name string
		open func(context.Context, *run) (*importStores, error)
	}{{"SQLite", importSQLite}, {"PostgreSQL", importPostgres}} {
		if r.databases == nil || slices.Contains(r.databases, x.name) {
			errs = append(errs, part(x.name, importInto(ctx, r, s, bin, book, x.open)))
		}
	}
	return errors.Join(errs...)
}

// importStores make deployments on one kind of database, and look at what lies in them.
type importStores struct {
	what     string
	cpu      func() (time.Duration, error) // what the database has computed so far, where it is a process of its own
	make     func(ctx context.Context, bin, name string) (*deployment, error)
	size     func(ctx context.Context, name string) (int64, error) // bytes on disk of one that is stopped
	baseline func(ctx context.Context, name, store string, transactions int) (inserted, error)
	drop     func(ctx context.Context, name string) error
	close    func()
}

// importChunk is how many customers package onboard writes in one transaction.
const importChunk = 250

// storeNames are the stores of a deployment that an import writes to.
var storeNames = []string{"data", "keys"}

func importInto(ctx context.Context, r *run, s importSettings, bin, book string, open func(context.Context, *run) (*importStores, error)) error {
	x, err := open(ctx, r)
	if err != nil {
		return err
	}
	defer x.close()
	d, err := x.make(ctx, bin, "imported")
	if err != nil {
		return err
	}
	if _, err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	idle, err := x.cpu()
	if err != nil {
		return err
	}
	order := []string{"import", book, "--cohort", "all", "--due", "2090-01-01"}
	first, err := d.watch(ctx, s.Customers, order...)
	if err != nil {
		return err
	}
	busy, err := x.cpu()
	if err != nil {
		return err
	}
	first.cpu += busy - idle
	again, err := d.watch(ctx, s.Customers, order...)
	if err != nil {
		return err
	}
	if r.only != "book" {
		if err := given(ctx, r, s, x, d); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	d.stop()
	transactions := (s.Customers + importChunk - 1) / importChunk
	r.say("%s: taken in %.1f s", x.what, first.took.Seconds())
	first.say(r, x.what)
	size, err := x.size(ctx, "imported")
	if err != nil {
		return err
	}
	var base inserted
	for _, store := range storeNames {
		best, err := fastest(s.Rounds, func(int) (inserted, error) { return x.baseline(ctx, "imported", store, transactions) })
		if err != nil {
			return fmt.Errorf("baseline of %s: %w", store, err)
		}
		base.rows += best.rows
		base.took += best.took
		base.cpu += best.cpu
	}
	if err := x.drop(ctx, "imported"); err != nil {
		return err
	}
	r.say("%s: baseline inserted %d rows (%.1f a customer) in %d transactions and %.1f s", x.what, base.rows, float64(base.rows)/float64(s.Customers), transactions, base.took.Seconds())
	r.note(x.what+": customers taken", float64(s.Customers)/first.took.Seconds(), "customers/s")
	r.note(x.what+": baseline, the same rows", float64(s.Customers)/base.took.Seconds(), "customers/s")
	r.note(x.what+": last tenth of the file against the second", first.falls(), "times")
	r.note(x.what+": server, resident at most", first.server, "MiB")
	r.note(x.what+": server, of no file at most", first.anonymous, "MiB")
	r.note(x.what+": command line, resident at most", first.client, "MiB")
	r.note(x.what+": bytes on disk a customer", float64(size)/float64(s.Customers), "bytes")
	r.note(x.what+": the same file again", again.took.Seconds(), "s")
	r.note(x.what+": CPU of server, command line and database", first.cpu.Seconds(), "s")
	r.note(x.what+": CPU of the baseline", base.cpu.Seconds(), "s")
	r.note(x.what+": CPU against the baseline", first.cpu.Seconds()/base.cpu.Seconds(), "")
	r.atMost(x.what+": time against the baseline", first.took.Seconds()/base.took.Seconds(), "", 3)
	return nil
}

func importSQLite(_ context.Context, r *run) (*importStores, error) {
	at := func(name string) string { return filepath.Join(r.dir, name) }
	return &importStores{
		what: "SQLite",
		cpu:  func() (time.Duration, error) { return 0, nil },
		make: func(ctx context.Context, bin, name string) (*deployment, error) {
			return newDeployment(ctx, bin, at(name), "", "")
		},
		size: func(_ context.Context, name string) (int64, error) { return sizeOf(at(name)) },
		baseline: func(ctx context.Context, name, store string, transactions int) (inserted, error) {
			from := map[string]string{"data": sqliteOf(at(name)).Path, "keys": keysOf(at(name)).Path}[store]
			rows, err := openSQLite(ctx, from)
			if err != nil {
				return inserted{}, err
			}
			defer rows.close()
			to := at("baseline")
			if err := os.Mkdir(to, 0o700); err != nil {
				return inserted{}, err
			}
			defer os.RemoveAll(to)
			return insertSQLite(ctx, filepath.Join(to, store+".db"), rows, transactions)
		},
		drop:  func(_ context.Context, name string) error { return os.RemoveAll(at(name)) },
		close: func() {},
	}, nil
}

func importPostgres(ctx context.Context, r *run) (*importStores, error) {
	p, err := startPostgres(ctx)
	if err != nil {
		return nil, err
	}
	x := &importStores{what: "PostgreSQL", cpu: p.cpu, close: p.stop}
	x.make = func(ctx context.Context, bin, name string) (*deployment, error) {
		dsn := map[string]string{}
		for _, store := range storeNames {
			if dsn[store], err = p.database(ctx, name+store); err != nil {
				return nil, err
			}
		}
		return newDeployment(ctx, bin, filepath.Join(r.dir, "pg"+name), dsn["data"], dsn["keys"])
	}
	x.size = func(ctx context.Context, name string) (sum int64, err error) {
		c, err := pgx.Connect(ctx, p.dsn("postgres"))
		if err != nil {
			return 0, err
		}
		defer c.Close(ctx)
		return sum, c.QueryRow(ctx, "SELECT pg_database_size($1) + pg_database_size($2)", name+"data", name+"keys").Scan(&sum)
	}
	x.baseline = func(ctx context.Context, name, store string, transactions int) (inserted, error) {
		rows, err := openPostgres(ctx, p.dsn(name+store))
		if err != nil {
			return inserted{}, err
		}
		defer rows.close()
		empty, err := p.database(ctx, "baseline"+store)
		if err != nil {
			return inserted{}, err
		}
		if err := emptyStore(ctx, store, empty); err != nil {
			return inserted{}, err
		}
		in, err := insertPostgres(ctx, p, empty, rows, transactions, 1)
		return in, errors.Join(err, p.drop(ctx, "baseline"+store))
	}
	x.drop = func(ctx context.Context, name string) error {
		return errors.Join(p.drop(ctx, name+"data"), p.drop(ctx, name+"keys"))
	}
	return x, nil
}

// emptyStore makes the schema of a store in an empty database.
func emptyStore(ctx context.Context, name, dsn string) error {
	if name == "keys" {
		k, err := store.OpenKeys(ctx, store.Config{DSN: dsn})
		if err != nil {
			return err
		}
		return k.Close()
	}
	db, err := store.Open(ctx, store.Config{DSN: dsn})
	if err != nil {
		return err
	}
	return db.Close()
}

// sizeOf is how many bytes the files in a folder have.
func sizeOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// writeBook writes the lines of so many customers who do not exist.
func writeBook(path string, s importSettings) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	people := synthetic.New(s.Seed)
	for i, n := 0, 0; n < s.Customers; i++ {
		if people.Class(i) == synthetic.Invalid {
			continue
		}
		n++
		app, err := json.Marshal(people.Next(i))
		if err != nil {
			return 0, err
		}
		k, err := fmt.Fprintf(w, `{"type":"customer","customer":{"application":%s,"since":"2020-01-01"}}`+"\n", app)
		if err != nil {
			return 0, err
		}
		size += int64(k)
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return size, f.Close()
}
