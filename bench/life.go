package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/vault"
)

// The life of a record: each act beside what the disk and the database alone take
// for it, one after the other in the same run, on the same rows and bytes.

// lifeSettings are what the run is made of; they are printed with its result.
type lifeSettings struct {
	Seed      uint64
	Erased    int // subjects that are erased
	Customers int // on file for everything else; as many keys
	Before    int // applications posted one after another before the epoch turns
}

func lifeOf(quick bool) lifeSettings {
	s := lifeSettings{Seed: 20261126, Erased: 10_000, Customers: 1_000_000, Before: 3000}
	if quick {
		s.Erased, s.Customers, s.Before = 1000, 50_000, 800
	}
	return s
}

func lifeBench(ctx context.Context, r *run) error {
	s := lifeOf(r.quick)
	if r.records > 0 {
		s.Customers = r.records
	}
	people := synthetic.New(s.Seed)
	r.say("applications: package synthetic, seed %d, %s", s.Seed, people.Mix())
	if full := lifeOf(false); s != full {
		r.say("smaller: %d subjects erased instead of %d, %d customers on file instead of %d", s.Erased, full.Erased, s.Customers, full.Customers)
	}
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	few, err := r.posted(ctx, bin, s, people)
	if err != nil {
		return err
	}
	var errs []error // one part that fails does not hide the others
	for _, p := range []struct {
		name string
		run  func(context.Context, *run, lifeSettings, *deployment) error
	}{
		{"SQLite, erasing", eraseSQLite},
		{"SQLite, many on file", manySQLite},
		{"PostgreSQL, erasing", erasePostgres},
		{"PostgreSQL, many on file", manyPostgres},
	} {
		if strings.Contains(p.name, r.only) {
			errs = append(errs, part(p.name, p.run(ctx, r, s, few)))
		}
	}
	return errors.Join(errs...)
}

// kept is a deployment of that name, made by fill where it was not kept.
func (r *run) kept(ctx context.Context, bin, name string, fill func(d *deployment) error) (*deployment, error) {
	at := r.dir
	if r.keep != "" {
		at = r.keep
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	d := &deployment{bin: bin, dir: filepath.Join(at, name), addr: addr}
	whole := d.dir + ".token" // is there when the deployment is whole
	if token, err := os.ReadFile(whole); err == nil {
		d.token = string(token)
		r.say("%s: kept from an earlier run", d.dir)
		db, err := store.Open(ctx, sqliteOf(d.dir)) // of an older program, perhaps
		if err != nil {
			return nil, err
		}
		return d, db.Close()
	}
	if err := errors.Join(os.RemoveAll(d.dir), durable.MkdirAll(at, 0o700)); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := fill(d); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.say("%s: made in %.0f s", name, time.Since(began).Seconds())
	return d, os.WriteFile(whole, []byte(d.token), 0o600)
}

// posted is a deployment into which a few applications were posted: so many that they
// have at least as many subjects as are to be erased.
func (r *run) posted(ctx context.Context, bin string, s lifeSettings, people *synthetic.Population) (*deployment, error) {
	return r.kept(ctx, bin, fmt.Sprintf("posted-%d", s.Erased), func(d *deployment) error {
		made, err := newDeployment(ctx, bin, d.dir, "", "")
		if err != nil {
			return err
		}
		d.token = made.token
		if _, err := d.start(ctx); err != nil {
			return err
		}
		defer d.stop()
		all, _, err := requests(d, people, 0, s.Erased*11/10)
		if err != nil {
			return err
		}
		_, err = post(ctx, d.addr, all, 64, 0, false)
		return err
	})
}

// many is a deployment with as many customers as asked for: the posted ones, written
// again with other ids. Of one in five the account has ended. The keys are made by
// the vault, as many as there are customers; they belong to nobody.
func (r *run) many(ctx context.Context, s lifeSettings, few *deployment) (*deployment, error) {
	return r.kept(ctx, few.bin, fmt.Sprintf("many-%d", s.Customers), func(d *deployment) error {
		if err := copyTree(few.dir, d.dir); err != nil {
			return err
		}
		d.token = few.token
		data := filepath.Join(d.dir, "data", "muster.db")
		if err := execSQLite(ctx, data, endAccounts("{customer} GLOB '*[0-5]'")...); err != nil {
			return err
		}
		if _, err := growData(ctx, data, s.Customers); err != nil {
			return err
		}
		if err := d.makeKeys(ctx, s.Customers); err != nil {
			return err
		}
		size, err := leavesOf(ctx, data)
		if err != nil {
			return err
		}
		// The tiles of leaves that came in behind the log's back are made once, before.
		if _, err := d.start(ctx); err != nil {
			return err
		}
		defer d.stop()
		return d.caughtUp(ctx, size)
	})
}

// endAccounts are statements that end accounts long ago, and the applications for
// them. {customer} in which is the column with the customer's id.
func endAccounts(which string) []string {
	ended := time.Date(2015, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro()
	of := func(column string) string { return strings.ReplaceAll(which, "{customer}", column) }
	return []string{
		fmt.Sprintf("UPDATE accounts SET state = 'closed', opened = %d, closed = %d WHERE %s", ended-1, ended, of("customer")),
		fmt.Sprintf("UPDATE applications SET updated = %d WHERE %s", ended, of("customer")),
		fmt.Sprintf("UPDATE customers SET made = %d WHERE %s", ended-1, of("id")),
	}
}

func execSQLite(ctx context.Context, path string, statements ...string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, sqliteSettings...))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// makeKeys has the vault make keys until there are n.
func (d *deployment) makeKeys(ctx context.Context, n int) error {
	h, err := openRooms(ctx, d.dir, sqliteOf(d.dir), keysOf(d.dir), 20_000)
	if err != nil {
		return err
	}
	defer h.close(ctx)
	have, err := countSQLite(ctx, filepath.Join(d.dir, "keys", "keys.db"), "subject_keys")
	if err != nil {
		return err
	}
	_, err = h.vault.TakeKeys(ctx, max(0, n-have))
	return err
}

func countSQLite(ctx context.Context, path, name string) (n int, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(ON)"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return n, db.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&n)
}

func sqliteOf(dir string) store.Config {
	return store.Config{Path: filepath.Join(dir, "data", "muster.db")}
}

func keysOf(dir string) store.Config {
	return store.Config{Path: filepath.Join(dir, "keys", "keys.db")}
}

// rooms are as much of a deployment as acts inside the bench's process use.
type rooms struct {
	db      *store.DB
	keys    *store.Keys
	vault   *vault.Vault
	journal *journal.Journal
}

// openRooms opens a deployment that no process has open. dir has its root key.
func openRooms(ctx context.Context, dir string, data, keys store.Config, pool int) (_ *rooms, err error) {
	h := &rooms{}
	defer func() {
		if err != nil {
			h.close(ctx)
		}
	}()
	if h.db, err = store.Open(ctx, data); err != nil {
		return nil, err
	}
	if h.keys, err = store.OpenKeys(ctx, keys); err != nil {
		return nil, err
	}
	var meta *muster.Meta
	if err := h.db.View(ctx, func(tx *store.Tx) error {
		meta, err = tx.Meta(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	kms, err := vault.OpenKeyFile(filepath.Join(dir, "keys", "root.key"))
	if err != nil {
		return nil, err
	}
	if h.vault, err = vault.Open(ctx, vault.Config{
		Deployment: meta.Deployment, KMS: kms, Store: h.keys, Clock: muster.SystemClock, PoolSize: pool, Shared: keys.DSN != "",
	}); err != nil {
		return nil, err
	}
	h.journal = journal.New(h.vault, store.As[journal.Tx](h.db))
	return h, nil
}

func (h *rooms) close(ctx context.Context) {
	if h.vault != nil {
		_ = h.vault.Close(ctx)
	}
	if h.keys != nil {
		_ = h.keys.Close()
	}
	if h.db != nil {
		_ = h.db.Close()
	}
}

// copyTree copies a folder and all in it, each file synced.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

// copyFile copies a file and syncs it.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
