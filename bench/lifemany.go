package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/synthetic"
)

// With many on file: what retention would do, backup, restore, the turn of the epoch.

// asked is what a preview reads at the least: the times and states of every file.
var asked = []string{
	"SELECT id, made, applied, gone FROM customers ORDER BY id",
	"SELECT customer, state, opened, interim_since, closed FROM accounts ORDER BY customer",
	"SELECT customer, account, state, updated FROM applications ORDER BY customer",
}

func manySQLite(ctx context.Context, r *run, s lifeSettings, few *deployment) error {
	d, err := r.many(ctx, s, few)
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	if err := preview(ctx, r, "SQLite", s, d, func() error { return readSQLiteRows(ctx, sqliteOf(d.dir).Path) }); err != nil {
		return err
	}
	restored, err := backUpAndRestore(ctx, r, s, d)
	if err != nil {
		return err
	}
	defer restored.stop()
	return turn(ctx, r, "SQLite", s, restored, func(q string, args ...any) (int, error) {
		return askSQLite(ctx, restored.dir, q, args...)
	})
}

// preview asks a running server what would go now.
func preview(ctx context.Context, r *run, what string, s lifeSettings, d *deployment, read func() error) error {
	began := time.Now()
	if err := read(); err != nil {
		return err
	}
	base := time.Since(began)
	began = time.Now()
	body, err := d.get(ctx, "/v1/retention/preview")
	if err != nil {
		return err
	}
	took := time.Since(began)
	var p retain.Preview
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	if p.Files < int64(s.Customers) || p.Due < p.Files/10 || p.Live < p.Files/10 {
		return fmt.Errorf("the preview looked at %d files: %d are due, %d in use", p.Files, p.Due, p.Live)
	}
	r.say("%s: preview of %d files: something of %d would go, %d are in use", what, p.Files, p.Due, p.Live)
	r.note(what+": the same rows read", base.Seconds(), "s")
	r.note(what+": preview against reading", took.Seconds()/base.Seconds(), "times")
	r.atMost(fmt.Sprintf("%s: retention preview of %d customers", what, s.Customers), took.Seconds(), "s", 10)
	return nil
}

func readSQLiteRows(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(ON)"))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, q := range asked {
		rows, err := db.QueryContext(ctx, q)
		if err != nil {
			return err
		}
		values := make([]sql.RawBytes, strings.Count(q, ",")+1)
		at := make([]any, len(values))
		for i := range values {
			at[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(at...); err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

// backUpAndRestore backs a running deployment up, loses it in thought and restores it
// elsewhere, beside copying its files and syncing them.
func backUpAndRestore(ctx context.Context, r *run, s lifeSettings, d *deployment) (*deployment, error) {
	at := filepath.Join(r.dir, "backup")
	identity := filepath.Join(r.dir, "identity")
	recipient, err := d.run(ctx, "backup", "identity", identity)
	if err != nil {
		return nil, err
	}
	copied := func() (time.Duration, int64, error) {
		to := filepath.Join(r.dir, "copied")
		defer os.RemoveAll(to)
		return copyStoresTo(d.dir, to)
	}
	backedUp := func() (took time.Duration, err error) {
		began := time.Now()
		for _, kind := range []string{"data", "keys"} {
			out, err := d.run(ctx, "backup", kind, filepath.Join(at, kind), "--config", filepath.Join(d.dir, "muster.yaml"), "--recipient", strings.TrimSpace(recipient))
			if err != nil {
				return 0, err
			}
			r.say("%s", strings.TrimSpace(out))
		}
		return time.Since(began), nil
	}
	base, size, err := copied()
	if err != nil {
		return nil, err
	}
	took, err := backedUp()
	if err != nil {
		return nil, err
	}
	after, _, err := copied()
	if err != nil {
		return nil, err
	}
	r.say("SQLite: copied and synced %.0f MiB in %.2f s before the backup and in %.2f s after it", float64(size)/(1<<20), base.Seconds(), after.Seconds())
	base = (base + after) / 2
	r.note("SQLite: files copied and synced", float64(size)/(1<<20)/base.Seconds(), "MiB/s")
	r.note("SQLite: backup, sealed and read back", float64(size)/(1<<20)/took.Seconds(), "MiB/s")
	r.atLeast("SQLite: speed of the backup against copying", base.Seconds()/took.Seconds(), "", 0.5)
	again, err := backedUp()
	if err != nil {
		return nil, err
	}
	r.note("SQLite: backup again, little changed, against copying", base.Seconds()/again.Seconds(), "")
	d.stop()

	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	to := &deployment{bin: d.bin, dir: filepath.Join(r.dir, "restored"), token: d.token, addr: addr}
	began := time.Now()
	if _, err := d.run(ctx, "restore", "--data", filepath.Join(at, "data"), "--keys", filepath.Join(at, "keys"), "--identity", identity,
		"--into", to.dir, "--root-key", filepath.Join(d.dir, "keys", "root.key")); err != nil {
		return nil, err
	}
	unpacked := time.Since(began)
	ready, err := to.start(ctx)
	if err != nil {
		return nil, err
	}
	restored := time.Since(began)
	last, _, err := copied()
	if err != nil {
		to.stop()
		return nil, err
	}
	r.say("SQLite: restored in %.2f s and ready in %.2f s; copied and synced in %.2f s after", unpacked.Seconds(), ready.Seconds(), last.Seconds())
	r.atMost(fmt.Sprintf("SQLite: restore of %d customers to ready against copying", s.Customers), restored.Seconds()/((after+last)/2).Seconds(), "times", 3)
	return to, os.RemoveAll(at)
}

// backUpAndRestorePostgres backs a running deployment up and restores it into empty
// databases, beside PostgreSQL's own tools alone on the same databases: pg_dump into files that
// are synced, and pg_restore of those. The copy is the uncompressed custom format for both.
func backUpAndRestorePostgres(ctx context.Context, r *run, s lifeSettings, p *postgres, d *deployment, data, keys string) (*deployment, error) {
	at, dumps := filepath.Join(r.dir, "pgbackup"), filepath.Join(r.dir, "dumps")
	defer os.RemoveAll(at)
	defer os.RemoveAll(dumps)
	if err := os.MkdirAll(dumps, 0o700); err != nil {
		return nil, err
	}
	identity := filepath.Join(r.dir, "pgidentity")
	recipient, err := d.run(ctx, "backup", "identity", identity)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var size int64
	for name, dsn := range map[string]string{"data": data, "keys": keys} {
		path := filepath.Join(dumps, name)
		if err := tool(ctx, "pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--file="+path, "--dbname="+dsn); err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return nil, err
		}
		size += info.Size()
	}
	dumped := time.Since(began)
	began = time.Now()
	for _, kind := range []string{"data", "keys"} {
		out, err := d.run(ctx, "backup", kind, filepath.Join(at, kind), "--config", filepath.Join(d.dir, "muster.yaml"), "--recipient", strings.TrimSpace(recipient))
		if err != nil {
			return nil, err
		}
		r.say("%s", strings.TrimSpace(out))
	}
	took := time.Since(began)
	r.note("PostgreSQL: pg_dump and synced", float64(size)/(1<<20)/dumped.Seconds(), "MiB/s")
	r.note("PostgreSQL: backup, sealed and read back", float64(size)/(1<<20)/took.Seconds(), "MiB/s")
	r.atLeast("PostgreSQL: speed of the backup against pg_dump", dumped.Seconds()/took.Seconds(), "", 0.5)
	d.stop()

	files := map[string]string{} // option -> file that names an empty database
	var base time.Duration
	for _, name := range []string{"data", "keys"} {
		empty, err := p.database(ctx, "tool"+name)
		if err != nil {
			return nil, err
		}
		began = time.Now()
		if err := tool(ctx, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--dbname="+empty, filepath.Join(dumps, name)); err != nil {
			return nil, err
		}
		base += time.Since(began)
		if err := p.drop(ctx, "tool"+name); err != nil {
			return nil, err
		}
		if empty, err = p.database(ctx, "restored"+name); err != nil {
			return nil, err
		}
		files[name] = filepath.Join(r.dir, "restored-"+name+".dsn")
		if err := os.WriteFile(files[name], []byte(empty+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	to := &deployment{bin: d.bin, dir: filepath.Join(r.dir, "pgrestored"), token: d.token, addr: addr}
	began = time.Now()
	if _, err := d.run(ctx, "restore", "--data", filepath.Join(at, "data"), "--keys", filepath.Join(at, "keys"), "--identity", identity,
		"--into", to.dir, "--root-key", filepath.Join(d.dir, "keys", "root.key"), "--database", files["data"], "--key-database", files["keys"]); err != nil {
		return nil, err
	}
	ready, err := to.start(ctx)
	if err != nil {
		return nil, err
	}
	restored := time.Since(began)
	r.say("PostgreSQL: restored and ready in %.2f s, of which serve %.2f s; pg_restore alone %.2f s", restored.Seconds(), ready.Seconds(), base.Seconds())
	r.atMost(fmt.Sprintf("PostgreSQL: restore of %d customers to ready against pg_restore", s.Customers), restored.Seconds()/base.Seconds(), "times", 3)
	return to, nil
}

// tool runs one of PostgreSQL's client programs.
func tool(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// run runs a command of the program and returns what it prints.
func (d *deployment) run(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, d.bin, args...)
	var says strings.Builder
	c.Stderr = &says
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("muster %s: %w\n%s", args[0], err, says.String())
	}
	return string(out), nil
}

// copyStoresTo copies the files that a backup is of, synced, names included.
func copyStoresTo(from, to string) (took time.Duration, size int64, err error) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for _, name := range []string{"data/muster.db", "data/ledger.db", "keys/keys.db"} {
		path := filepath.Join(from, filepath.FromSlash(name))
		if err := copyFile(path, filepath.Join(to, filepath.Base(path))); err != nil {
			return 0, 0, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return 0, 0, err
		}
		size += info.Size()
	}
	return time.Since(began), size, syncDir(to)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// What the epoch's turn is seen by, and what starts it: the day's duty, made due. The
// statements are for the data or, where they name a table of it, for the keys.
const (
	turnNow    = "UPDATE jobs SET run_at = 0, payload = ? WHERE kind = 'keys.epoch'"
	epochNow   = "SELECT epoch FROM key_set"
	epochsOpen = "SELECT count(*) FROM named_keys WHERE name = 'epoch'"
	keysNow    = "SELECT count(*) FROM subject_keys"
)

// turn has a running server turn the epoch while applications come in one after
// another, as they did before. ask runs a statement on the data or keys and returns
// the number that it selects.
func turn(ctx context.Context, r *run, what string, s lifeSettings, d *deployment, ask func(q string, args ...any) (int, error)) error {
	keys, err := ask(keysNow)
	if err != nil {
		return err
	}
	epoch, err := ask(epochNow)
	if err != nil {
		return err
	}
	all, _, err := requests(d, synthetic.New(s.Seed+1), 0, 40*s.Before)
	if err != nil {
		return err
	}
	warm, all := all[:s.Before/4], all[s.Before/4:]
	if _, err := post(ctx, d.addr, warm, 1, 0, true); err != nil {
		return err
	}
	before, err := post(ctx, d.addr, all[:s.Before], 1, 0, true)
	if err != nil {
		return err
	}
	if _, err := ask(turnNow, fmt.Appendf(nil, `{"epoch":%d,"since":"2015-03-01T12:00:00Z"}`, epoch)); err != nil {
		return err
	}
	began := time.Now()
	wait := func(pause time.Duration) error {
		time.Sleep(pause)
		if time.Since(began) > 10*time.Minute || ctx.Err() != nil {
			return fmt.Errorf("the epoch did not turn: %s", d.errors)
		}
		return nil
	}
	for n := epoch; n == epoch; {
		if n, err = ask(epochNow); err == nil {
			err = wait(time.Millisecond)
		}
		if err != nil {
			return err
		}
	}
	began = time.Now()
	posting, stop := context.WithCancel(ctx)
	defer stop()
	type posted struct {
		result
		err error
	}
	during := make(chan posted, 1)
	go func() {
		p, err := post(posting, d.addr, all[s.Before:], 1, 0, true)
		during <- posted{p, err}
	}()
	for open := 2; open > 1; {
		if open, err = ask(epochsOpen); err == nil {
			err = wait(10 * time.Millisecond)
		}
		if err != nil {
			return err
		}
	}
	took := time.Since(began)
	stop()
	meanwhile := <-during
	if meanwhile.err != nil && !errors.Is(meanwhile.err, context.Canceled) {
		return meanwhile.err
	}
	if n := before.failed + meanwhile.failed; n > 0 || len(meanwhile.lone) == 0 {
		return fmt.Errorf("%d of %d posts failed: %s", n, len(meanwhile.lone), d.errors)
	}
	slices.Sort(before.lone)
	slices.Sort(meanwhile.lone)
	p99 := func(all []time.Duration) time.Duration { return all[len(all)*99/100] }
	r.say("%s: %d keys wrapped anew; %d applications before and %d meanwhile, one after another", what, keys, len(before.lone), len(meanwhile.lone))
	r.note(what+": p99 of a lone application before the turn", milliseconds(p99(before.lone)), "ms")
	r.note(what+": p99 of a lone application meanwhile", milliseconds(p99(meanwhile.lone)), "ms")
	r.note(what+": slowest meanwhile", milliseconds(meanwhile.lone[len(meanwhile.lone)-1]), "ms")
	r.atMost(what+": p99 meanwhile against before", p99(meanwhile.lone).Seconds()/p99(before.lone).Seconds(), "times", 2)
	r.atMost(fmt.Sprintf("%s: epoch turned over %d keys", what, s.Customers), took.Seconds(), "s", 60)
	return nil
}

// ofKeys reports whether a statement is for the key store.
func ofKeys(q string) bool { return !strings.Contains(q, "jobs") }

func askSQLite(ctx context.Context, dir, q string, args ...any) (n int, err error) {
	path := sqliteOf(dir).Path
	if ofKeys(q) {
		path = keysOf(dir).Path
	}
	db, err := sql.Open("sqlite", sqliteDSN(path, "busy_timeout(10000)"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if !strings.HasPrefix(q, "SELECT") {
		_, err := db.ExecContext(ctx, q, args...)
		return 0, err
	}
	return n, db.QueryRowContext(ctx, q, args...).Scan(&n)
}

func manyPostgres(ctx context.Context, r *run, s lifeSettings, few *deployment) error {
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	from, err := r.many(ctx, s, few)
	if err != nil {
		return err
	}
	data, err := p.database(ctx, "data")
	if err != nil {
		return err
	}
	keys, err := p.database(ctx, "keys")
	if err != nil {
		return err
	}
	d, err := newDeployment(ctx, few.bin, filepath.Join(r.dir, "manypostgres"), data, keys)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := copyStores(ctx, from.dir, data, keys, "claims", "blind"); err != nil {
		return err
	}
	r.say("PostgreSQL: the same rows, but for claims and blind indexes, which neither reads, copied in %.0f s", time.Since(began).Seconds())
	// The rows are of the other deployment: so are its keys, and its token.
	d.token = from.token
	root := filepath.Join(d.dir, "keys", "root.key")
	if err := os.Remove(root); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(from.dir, "keys", "root.key"), root); err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, data)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	k, err := pgx.Connect(ctx, keys)
	if err != nil {
		return err
	}
	defer k.Close(ctx)
	if err := preview(ctx, r, "PostgreSQL", s, d, func() error {
		for _, q := range asked {
			rows, err := c.Query(ctx, q)
			if err != nil {
				return err
			}
			for rows.Next() {
				rows.RawValues()
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	restored, err := backUpAndRestorePostgres(ctx, r, s, p, d, data, keys)
	if err != nil {
		return err
	}
	restored.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	return turn(ctx, r, "PostgreSQL", s, d, func(q string, args ...any) (n int, err error) {
		on := c
		if ofKeys(q) {
			on = k
		}
		if !strings.HasPrefix(q, "SELECT") {
			_, err := on.Exec(ctx, strings.Replace(q, "?", "$1", 1), args...)
			return 0, err
		}
		return n, on.QueryRow(ctx, q).Scan(&n)
	})
}
