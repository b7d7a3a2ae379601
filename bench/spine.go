package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/synthetic"
)

// spineSettings are what the run is made of; they are printed with its result.
type spineSettings struct {
	Seed        uint64
	Connections int           // that post at the same time
	Warm        int           // applications before the clock starts
	Load        time.Duration // of posting
	Ceiling     int           // applications made ready: more than can be posted in Load
	Lone        int           // posts one after another
	Lanes       int           // of PostgreSQL: connections that commit groups (package store)
	Baselines   int           // repetitions of the baseline; the fastest counts
	Few, Many   int           // customers on file for memory and start
}

func settings(quick bool) spineSettings {
	s := spineSettings{
		Seed: 20261102, Connections: 64, Warm: 1000, Load: 20 * time.Second, Ceiling: 200_000, Lone: 3000, Lanes: 2, Baselines: 3,
		Few: 5000, Many: 1_000_000,
	}
	if quick {
		s.Warm, s.Load, s.Ceiling, s.Lone, s.Baselines, s.Many = 500, 3*time.Second, 20_000, 400, 2, 20_000
	}
	return s
}

func spine(ctx context.Context, r *run) error {
	s := settings(r.quick)
	people := synthetic.New(s.Seed)
	r.say("applications: package synthetic, seed %d, %s", s.Seed, people.Mix())
	r.say("load: %d connections for %v after %d to warm up; then %d one after another on one", s.Connections, s.Load, s.Warm, s.Lone)
	r.say("baseline: every row of the run, same driver, schema and settings, in transactions of Muster's mean group, on as many connections (SQLite 1, PostgreSQL %d); fastest of %d", s.Lanes, s.Baselines)
	if r.quick {
		r.say("quick: %v of load instead of %v; %d customers instead of %d for the start", s.Load, settings(false).Load, s.Many, settings(false).Many)
	}
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	if err := measurePolicy(r); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	// One part that fails does not hide the others.
	return errors.Join(
		part("SQLite", spineSQLite(ctx, r, s, bin, people)),
		part("PostgreSQL", spinePostgres(ctx, r, s, bin, people)),
		part("start and memory", spineStart(ctx, r, s, bin)),
	)
}

func part(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func spineSQLite(ctx context.Context, r *run, s spineSettings, bin string, people *synthetic.Population) error {
	const what = "SQLite, synchronous=FULL"
	dir := filepath.Join(r.dir, "sqlite")
	d, err := newDeployment(ctx, bin, dir, "", "")
	if err != nil {
		return err
	}
	taken, group, rate, err := load(ctx, r, s, d, people, what)
	d.stop()
	if err != nil {
		return err
	}
	transactions := max(1, int(math.Round(float64(taken)/group)))
	best, err := fastest(s.Baselines, func(i int) (inserted, error) {
		rows, err := openSQLite(ctx, filepath.Join(dir, "data", "muster.db"))
		if err != nil {
			return inserted{}, err
		}
		defer rows.close()
		return insertSQLite(ctx, filepath.Join(r.dir, fmt.Sprintf("baseline%d.db", i)), rows, transactions)
	})
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	compare(r, what, best, taken, transactions, group, rate)
	return nil
}

func spinePostgres(ctx context.Context, r *run, s spineSettings, bin string, people *synthetic.Population) error {
	const what = "PostgreSQL, fsync=on"
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	dsn := map[string]string{}
	for _, name := range []string{"data", "keys", "baseline", "baselinekeys"} {
		if dsn[name], err = p.database(ctx, name); err != nil {
			return err
		}
	}
	d, err := newDeployment(ctx, bin, filepath.Join(r.dir, "postgres"), dsn["data"], dsn["keys"])
	if err != nil {
		return err
	}
	taken, group, rate, err := load(ctx, r, s, d, people, what)
	d.stop()
	if err != nil {
		return err
	}
	// The schema of the baseline is made as Muster's is.
	if _, err := newDeployment(ctx, bin, filepath.Join(r.dir, "baselinepg"), dsn["baseline"], dsn["baselinekeys"]); err != nil {
		return err
	}
	transactions := max(1, int(math.Round(float64(taken)/group)))
	best, err := fastest(s.Baselines, func(int) (inserted, error) {
		rows, err := openPostgres(ctx, dsn["data"])
		if err != nil {
			return inserted{}, err
		}
		defer rows.close()
		return insertPostgres(ctx, p, dsn["baseline"], rows, transactions, s.Lanes)
	})
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	compare(r, what, best, taken, transactions, group, rate)
	return nil
}

// load posts to a deployment that it starts: to warm up, at once from many
// connections, one after another. It returns how many applications were taken in
// all, and of the middle part the mean group and how many a second.
func load(ctx context.Context, r *run, s spineSettings, d *deployment, people *synthetic.Population, what string) (taken int, group, rate float64, err error) {
	if _, err := d.start(ctx); err != nil {
		return 0, 0, 0, err
	}
	all, size, err := requests(d, people, 0, s.Warm+s.Ceiling+s.Lone)
	if err != nil {
		return 0, 0, 0, err
	}
	warm, err := post(ctx, d.addr, all[:s.Warm], s.Connections, 0, false)
	if err != nil {
		return 0, 0, 0, err
	}
	before, err := d.commits(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	busy, err := post(ctx, d.addr, all[s.Warm:s.Warm+s.Ceiling], s.Connections, s.Load, false)
	if err != nil {
		return 0, 0, 0, err
	}
	after, err := d.commits(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	lone, err := post(ctx, d.addr, all[s.Warm+s.Ceiling:], 1, 0, true)
	if err != nil {
		return 0, 0, 0, err
	}
	if n := warm.failed + busy.failed + lone.failed; n > 0 {
		return 0, 0, 0, fmt.Errorf("%d posts were answered with an error of the server's: %s", n, d.errors)
	}
	if busy.taken+busy.refused == s.Ceiling {
		r.say("%s: all %d applications were posted before the time was up", what, s.Ceiling)
	}
	if err := replay(ctx, r, d, what); err != nil {
		return 0, 0, 0, err
	}
	slices.Sort(lone.lone)
	rate = float64(busy.taken) / busy.took.Seconds()
	group = (after.transactions - before.transactions) / max(1, after.groups-before.groups)
	m, err := d.memory()
	if err != nil {
		return 0, 0, 0, err
	}
	r.say("%s: %d taken and %d refused as invalid in %.1f s, %d bytes a request; resident %.0f MiB, at most %.0f", what, busy.taken, busy.refused, busy.took.Seconds(), size, m.now, m.most)
	r.atMost(what+": p99 of a lone application", milliseconds(lone.lone[len(lone.lone)*99/100]), "ms", 15)
	r.note(what+": median of a lone application", milliseconds(lone.lone[len(lone.lone)/2]), "ms")
	return warm.taken + busy.taken + lone.taken, group, rate, nil
}

// replay decides everything on file again under the default pack, as muster policy
// replay does: read, open, decide, compare.
func replay(ctx context.Context, r *run, d *deployment, what string) error {
	source, ok := packs.Source(packs.Default)
	if !ok {
		return errors.New("the default pack is not embedded")
	}
	body, err := json.Marshal(map[string]string{"source": string(source)})
	if err != nil {
		return err
	}
	began := time.Now()
	answer, err := d.call(ctx, http.MethodPost, "/v1/packs/replays", body)
	if err != nil {
		return err
	}
	took := time.Since(began)
	var got policy.ReplayReport
	if err := json.Unmarshal(answer, &got); err != nil {
		return err
	}
	if got.Decided == 0 || got.OutOfReach > 0 || got.Different > 0 {
		return fmt.Errorf("the same pack decided %d again, %d differently, %d were out of reach", got.Decided, got.Different, got.OutOfReach)
	}
	r.atLeast(what+": policy replay of what is on file", float64(got.Decided)/took.Seconds(), "decisions/s", 20_000)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// commits is what the server has committed so far.
type commits struct{ transactions, groups float64 }

func (d *deployment) commits(ctx context.Context) (c commits, err error) {
	if c.transactions, err = d.metric(ctx, "muster_commit_transactions_sum"); err != nil {
		return c, err
	}
	c.groups, err = d.metric(ctx, "muster_commit_transactions_count")
	return c, err
}

func compare(r *run, what string, in inserted, taken, transactions int, group, rate float64) {
	base := float64(taken) / in.took.Seconds()
	r.say("%s: baseline inserted %d rows (%.1f an application, %d bytes) in %d transactions", what, in.rows, float64(in.rows)/float64(taken), in.size/taken, transactions)
	r.note(what+": applications decided and durable", rate, "applications/s")
	r.note(what+": baseline, the same rows", base, "applications/s")
	r.note(what+": Muster's group", group, "applications")
	r.note(what+": the baseline's group", float64(taken)/float64(transactions), "applications")
	r.atLeast(what+": Muster against the baseline", rate/base, "", 0.4)
}

// spineStart measures bytes on disk, memory and time to ready, with few and with
// many customers on file.
func spineStart(ctx context.Context, r *run, s spineSettings, bin string) error {
	dir := filepath.Join(r.dir, "start")
	data, keys := filepath.Join(dir, "data", "muster.db"), filepath.Join(dir, "keys", "keys.db")
	d, err := newDeployment(ctx, bin, dir, "", "")
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	all, _, err := requests(d, synthetic.New(s.Seed+1), 0, s.Few*104/100)
	if err != nil {
		return err
	}
	got, err := post(ctx, d.addr, all, s.Connections, 0, false)
	if err != nil {
		return err
	}
	d.stop()
	if err := sizes(ctx, r, data, keys, filepath.Join(dir, "data", "log"), got.taken); err != nil {
		return err
	}
	if err := started(ctx, r, d, got.taken, 5, 200); err != nil {
		return err
	}
	began := time.Now()
	many, err := grow(ctx, data, keys, s.Many)
	if err != nil {
		return fmt.Errorf("%d customers could not be put on file: %w", s.Many, err)
	}
	size, err := leavesOf(ctx, data)
	if err != nil {
		return err
	}
	// The tiles of leaves that came in behind the log's back are made once, before.
	if _, err := d.start(ctx); err != nil {
		return err
	}
	if err := d.caughtUp(ctx, size); err != nil {
		return err
	}
	d.stop()
	r.say("start: %d customers on file, made of %d by copying their rows with other ids, in %.0f s", many, got.taken, time.Since(began).Seconds())
	return started(ctx, r, d, many, 5, 1024)
}

// started starts the server and stops it again.
func started(ctx context.Context, r *run, d *deployment, customers int, seconds, mebibytes float64) error {
	ready, err := d.start(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	for _, path := range []string{"/v1/customers?limit=100", "/v1/applications?limit=100", "/v1/reviews?limit=100"} {
		if _, err := d.get(ctx, path); err != nil {
			return err
		}
	}
	m, err := d.memory()
	if err != nil {
		return err
	}
	r.atMost(fmt.Sprintf("ready with %d customers", customers), ready.Seconds(), "s", seconds)
	r.atMost(fmt.Sprintf("resident memory at most, %d customers", customers), m.most, "MiB", mebibytes)
	return nil
}

// leavesOf is the size of the log in a file that no process has open.
func leavesOf(ctx context.Context, path string) (n int64, err error) {
	db, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.View(ctx, func(tx *store.Tx) error {
		n, err = tx.LogSize(ctx)
		return err
	})
	return n, err
}

// sizes reports bytes on disk by table, keys and tiles included.
func sizes(ctx context.Context, r *run, data, keys, tiles string, customers int) error {
	db, err := store.Open(ctx, store.Config{Path: data})
	if err != nil {
		return err
	}
	tables, err := db.TableSizes(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	var ofKeys, ofTiles int64
	for _, folder := range []struct {
		path string
		sum  *int64
	}{{filepath.Dir(keys), &ofKeys}, {tiles, &ofTiles}} {
		err := filepath.WalkDir(folder.path, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				*folder.sum += info.Size()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	tables["(keys)"], tables["(tiles)"] = ofKeys, ofTiles
	total := 0.0
	names := slices.SortedFunc(maps.Keys(tables), func(a, b string) int { return int(tables[b] - tables[a]) })
	for _, name := range names {
		each := float64(tables[name]) / float64(customers)
		total += each
		if each >= 1 {
			r.note("bytes a customer: "+name, each, "bytes")
		}
	}
	r.atMost("bytes a customer in all", total, "bytes", 6*1024)
	return nil
}
