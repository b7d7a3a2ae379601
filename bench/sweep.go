package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/watchlist"
)

// The sweep is measured inside one process: the population is sealed through the
// vault directly, once, and kept in a folder of the user's cache; everything that
// a sweep does is the program's own.

const (
	sweepSeed    = 20261126
	sweepChange  = 200 // entries that change
	sweepPlanted = 20  // customers whose names are on it
	sweepList    = "ofac.sdn"
)

func sweepBench(ctx context.Context, r *run) error {
	many, few := pick(r.quick, 50_000, 1_000_000), pick(r.quick, 5_000, 100_000)
	entries, from, err := sweepEntries()
	if err != nil {
		return err
	}
	r.say("lists: %s, %d entries; a change of %d of them, drawn with seed %d", from, len(entries), sweepChange, sweepSeed)
	r.say("customers: package synthetic, seed %d, each sealed under a key of their own; %d of them carry a changed entry's name", sweepSeed, sweepPlanted)
	r.say("baseline: the same book, read page by page and every claim opened and decoded, on all cores; nothing is compared")
	book := func(n int) (string, error) { return sealedBook(ctx, r, n, entries) }
	large, err := book(many)
	if err != nil {
		return err
	}
	small, err := book(few)
	if err != nil {
		return err
	}
	lite := func(dir string) func() (*sweepHouse, error) {
		return func() (*sweepHouse, error) {
			return openSweep(ctx, dir, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "keys", "keys.db")}, entries)
		}
	}
	return errors.Join(
		part("SQLite", compareSweep(ctx, r, "SQLite", many, few, lite(large), lite(small))),
		part("PostgreSQL", sweepPostgres(ctx, r, many, few, large, small, entries)),
	)
}

// compareSweep prints one store's numbers.
func compareSweep(ctx context.Context, r *run, what string, many, few int, large, small func() (*sweepHouse, error)) error {
	base, took, err := oneSweep(ctx, r, what, many, large)
	if err != nil {
		return err
	}
	_, fewTook, err := oneSweep(ctx, r, what, few, small)
	if err != nil {
		return err
	}
	r.note(what+": customers a second, swept", float64(many)/took.Seconds(), "/s")
	r.note(what+fmt.Sprintf(": read and open %d", many), base.Seconds(), "s")
	r.note(what+fmt.Sprintf(": sweep %d", many), took.Seconds(), "s")
	r.atMost(what+": sweep against reading and opening", took.Seconds()/base.Seconds(), "times", 3)
	r.atMost(what+fmt.Sprintf(": sweep of %d against %d", many, few), took.Seconds()/fewTook.Seconds(), "times", 11)
	return nil
}

func oneSweep(ctx context.Context, r *run, what string, n int, open func() (*sweepHouse, error)) (base, took time.Duration, err error) {
	h, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer h.close(ctx)
	if base, err = h.readAll(ctx, n); err != nil {
		return 0, 0, err
	}
	if took, err = h.sweep(ctx, n); err != nil {
		return 0, 0, err
	}
	r.say("%s, %d customers: read and opened in %.2f s, swept in %.2f s", what, n, base.Seconds(), took.Seconds())
	return base, took, nil
}

// sweepEntries are the published list where it is at hand, else made-up names.
func sweepEntries() (entries []muster.ListEntry, from string, err error) {
	if _, err := os.Stat("../shared/data/watchlists/ofac"); err == nil {
		all, _, err := watchlist.ReadDir(os.DirFS("../shared/data/watchlists/ofac"))
		if err != nil {
			return nil, "", err
		}
		for _, e := range all {
			if e.List == sweepList {
				entries = append(entries, e)
			}
		}
		if len(entries) > 10*sweepChange {
			return entries, "OFAC SDN as published", nil
		}
	}
	people := synthetic.New(sweepSeed + 1)
	for i := range 9000 {
		app := people.Next(i)
		entries = append(entries, muster.ListEntry{List: sweepList, ID: fmt.Sprint(i), Kind: muster.ListedIndividual, Names: []muster.ListedName{
			{Full: app.Customer.Name.Full, Role: muster.NamePrimary, Quality: muster.NameStrong},
		}})
	}
	return entries, "made up", nil
}

// changedEntries are those that a change touches: individuals, drawn once.
func changedEntries(entries []muster.ListEntry) (ids []string, names []string) {
	d := rand.New(rand.NewPCG(sweepSeed, 1))
	for _, i := range d.Perm(len(entries)) {
		if e := &entries[i]; e.Kind == muster.ListedIndividual && len(strings.Fields(e.Names[0].Full)) > 1 && len(ids) < sweepChange {
			ids, names = append(ids, e.ID), append(names, e.Names[0].Full)
		}
	}
	return ids, names
}

// sweepHouse is as much of a deployment as a sweep uses.
type sweepHouse struct {
	db      *store.DB
	keys    *store.Keys
	vault   *vault.Vault
	journal *journal.Journal
	onboard *onboard.Service
	lists   *sweepLists
}

type sweepLists struct {
	now atomic.Pointer[onboard.Watch]
	ids []string
}

func (l *sweepLists) Watch() *onboard.Watch { return l.now.Load() }

func (l *sweepLists) Touched(context.Context, muster.SweepOrder) ([]string, []string, error) {
	return l.ids, nil, nil
}

type onePack struct{ p *policy.Pack }

func (o onePack) At(time.Time) (enforce, observe []*policy.Pack) { return []*policy.Pack{o.p}, nil }

func (o onePack) Ever() []*policy.Pack { return []*policy.Pack{o.p} }

func (o onePack) Pack(context.Context, string) (*policy.Pack, error) { return o.p, nil }

type nobody struct{}

func (nobody) Any() bool { return false }

func openSweep(ctx context.Context, dir string, data, keys store.Config, entries []muster.ListEntry) (h *sweepHouse, err error) {
	h = &sweepHouse{lists: &sweepLists{}}
	defer func() {
		if err != nil {
			h.close(ctx)
		}
	}()
	if err := durable.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return nil, err
	}
	if h.db, err = store.Open(ctx, data); err != nil {
		return nil, err
	}
	if h.keys, err = store.OpenKeys(ctx, keys); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "root.key")
	kms, err := vault.OpenKeyFile(root)
	if errors.Is(err, os.ErrNotExist) || err != nil && kms == nil {
		if kms, err = vault.CreateKeyFile(root); err != nil {
			return nil, err
		}
	}
	if h.vault, err = vault.Open(ctx, vault.Config{
		Deployment: "bench", KMS: kms, Store: h.keys, Clock: muster.SystemClock, Create: true, PoolSize: 20_000,
	}); err != nil {
		return nil, err
	}
	h.journal = journal.New(h.vault, store.As[journal.Tx](h.db))
	src, ok := packs.Source(packs.Default)
	if !ok {
		return nil, errors.New("no default pack")
	}
	pack, err := policy.Compile(src)
	if err != nil {
		return nil, err
	}
	checker, err := validate.New()
	if err != nil {
		return nil, err
	}
	index, err := screen.Build(entries)
	if err != nil {
		return nil, err
	}
	h.lists.ids, _ = changedEntries(entries)
	h.lists.now.Store(&onboard.Watch{Index: index, Refs: []muster.ListRef{{List: sweepList, Digest: "to"}}})
	h.onboard = onboard.New(onboard.Config{
		DB: store.As[onboard.Tx](h.db), Vault: h.vault, Journal: h.journal, Checker: checker, Programme: onePack{pack}, Listeners: nobody{},
		Lists: h.lists, Clock: muster.SystemClock, Mode: muster.ModeProduction,
	})
	return h, nil
}

func (h *sweepHouse) close(ctx context.Context) {
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

// sealedPiece has the shape in which package onboard seals claims. Were it another,
// the planted names would not be found, and the bench says so.
type sealedPiece struct {
	Party *muster.Party       `json:"party,omitempty"`
	Rest  *muster.Application `json:"rest,omitempty"`
	Salt  []byte              `json:"salt,omitempty"`
}

// sealedBook is a folder with n customers, made where it is not there yet.
func sealedBook(ctx context.Context, r *run, n int, entries []muster.ListEntry) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "muster-bench", fmt.Sprintf("book5-%d", n))
	whole := filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err == nil {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	began := time.Now()
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	h, err := openSweep(ctx, dir, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "keys", "keys.db")}, entries)
	if err != nil {
		return "", err
	}
	defer h.close(ctx)
	if err := h.seal(ctx, n, entries); err != nil {
		return "", err
	}
	r.say("sealed %d customers in %.0f s, kept in %s", n, time.Since(began).Seconds(), dir)
	return dir, os.WriteFile(whole, nil, 0o600)
}

const sealTogether = 2000

// seal writes n customers, each with an account and one subject.
func (h *sweepHouse) seal(ctx context.Context, n int, entries []muster.ListEntry) error {
	people := synthetic.New(sweepSeed)
	_, names := changedEntries(entries)
	// The planted ones are decided, as anybody is: the sweep decides them anew.
	lists := h.lists.now.Load()
	h.lists.now.Store(nil)
	defer h.lists.now.Store(lists)
	for i := range sweepPlanted {
		k := i
		for people.Class(k) != synthetic.Complete {
			k += sweepPlanted
		}
		app := people.Next(k)
		app.Reference, app.Account = fmt.Sprintf("planted-%d", i), ""
		app.Customer.Name = muster.Name{Full: names[i*sweepChange/sweepPlanted]}
		app.Customer.DateOfBirth, app.Customer.Nationalities = "", nil // that would speak against it
		body, err := json.Marshal(app)
		if err != nil {
			return err
		}
		if _, err := h.onboard.Apply(ctx, muster.Principal{Operator: "muster"}, body); err != nil {
			return fmt.Errorf("planted %d: %w", i, err)
		}
	}
	for from := sweepPlanted; from < n; from += sealTogether {
		if err := h.sealSome(ctx, people, from, min(from+sealTogether, n)); err != nil {
			return err
		}
	}
	return nil
}

func (h *sweepHouse) sealSome(ctx context.Context, people *synthetic.Population, from, to int) error {
	keys, err := h.vault.TakeKeys(ctx, to-from)
	if err != nil {
		return err
	}
	now := time.Now()
	sealed := make([][]byte, to-from)
	ids := make([]string, to-from)
	if err := spread(to-from, func(i int) error {
		app := people.Next(from + i)
		rest, customer := *app, app.Customer
		rest.Customer, rest.Owners, rest.Signatories, customer.Owners = muster.Party{}, nil, nil, nil
		data, err := json.Marshal(sealedPiece{&customer, &rest, make([]byte, 32)})
		if err != nil {
			return err
		}
		ids[i] = muster.NewID("", now)
		sealed[i], err = h.vault.Seal(keys[i], vault.Place{Subject: muster.PrefixSubject + ids[i], Record: "claims", Field: "piece", Revision: 1}, data)
		return err
	}); err != nil {
		return err
	}
	return h.db.InTx(ctx, func(tx *store.Tx) error {
		for i := range sealed {
			customer, subject, account := muster.PrefixCustomer+ids[i], muster.PrefixSubject+ids[i], muster.PrefixAccount+ids[i]
			if err := errors.Join(
				tx.PutCustomer(ctx, &muster.CustomerRecord{ID: customer, Kind: muster.Individual, Made: now}),
				tx.PutAccount(ctx, &muster.AccountRecord{ID: account, Reference: ids[i], Customer: customer, State: muster.AccActive, Opened: now}),
				tx.PutSubjects(ctx, &muster.SubjectRecord{ID: subject, Customer: customer, Role: muster.RoleCustomer, Pointer: "/customer", Key: keys[i].ID(), Revision: 1}),
				tx.AddClaims(ctx, &muster.ClaimsRecord{Subject: subject, Revision: 1, At: now, By: "muster", Sealed: sealed[i]}),
			); err != nil {
				return err
			}
		}
		return nil
	})
}

// spread calls fn for 0..n-1 on all cores.
func spread(n int, fn func(i int) error) error {
	var g errgroup.Group
	cores := runtime.GOMAXPROCS(0)
	for k := range cores {
		g.Go(func() error {
			for i := k; i < n; i += cores {
				if err := fn(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// readAll is the baseline: read and open every name of the book, and no more.
func (h *sweepHouse) readAll(ctx context.Context, n int) (time.Duration, error) {
	began := time.Now()
	session, err := h.vault.Use(ctx, vault.Job{Name: "bench.read", Purpose: "bench", Scope: "everybody on file"}, h.journal)
	if err != nil {
		return 0, err
	}
	type page struct {
		rows []muster.BookRow
		last string
		err  error
	}
	read := func(after string) <-chan page {
		out := make(chan page, 1)
		go func() {
			var p page
			p.err = h.db.View(ctx, func(tx *store.Tx) error {
				ids, err := tx.CustomersAfter(ctx, muster.Page{After: after, Limit: 4000})
				if err != nil || len(ids) == 0 {
					return err
				}
				p.last = ids[len(ids)-1]
				p.rows, err = tx.Book(ctx, after, p.last)
				return err
			})
			out <- p
		}()
		return out
	}
	opened := 0
	var mu sync.Mutex
	letters := 0
	next := read("")
	for {
		p := <-next
		if p.err != nil {
			return 0, p.err
		}
		if p.last == "" {
			break
		}
		next = read(p.last)
		keys := make([]string, len(p.rows))
		for i := range p.rows {
			keys[i] = p.rows[i].Key
		}
		if err := session.Warm(ctx, keys); err != nil {
			return 0, err
		}
		if err := spread(len(p.rows), func(i int) error {
			x := &p.rows[i]
			data, err := session.Open(ctx, vault.Item{KeyID: x.Key, Place: vault.Place{Subject: x.Subject, Record: "claims", Field: "piece", Revision: x.Revision}, Sealed: x.Sealed})
			if err != nil {
				return err
			}
			var piece struct {
				Party struct {
					Name muster.Name `json:"name"`
				} `json:"party"`
			}
			if err := json.Unmarshal(data, &piece); err != nil {
				return err
			}
			mu.Lock()
			letters += len(piece.Party.Name.Full)
			mu.Unlock()
			return nil
		}); err != nil {
			return 0, err
		}
		opened += len(p.rows)
	}
	if opened < n || letters < n {
		return 0, fmt.Errorf("only %d of %d were opened", opened, n)
	}
	return time.Since(began), session.End(ctx, opened)
}

// sweep runs one sweep to the end of the book. The tail, which waits for other
// processes, is no work and is not waited for.
func (h *sweepHouse) sweep(ctx context.Context, n int) (time.Duration, error) {
	payload, err := json.Marshal(muster.SweepOrder{List: sweepList, From: "from", To: "to"})
	if err != nil {
		return 0, err
	}
	var job *muster.Job
	if err := h.db.InTx(ctx, func(tx *store.Tx) error {
		return tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobSweep, Ref: sweepList, Payload: payload})
	}); err != nil {
		return 0, err
	}
	if err := h.db.InTx(ctx, func(tx *store.Tx) error {
		for {
			jobs, err := tx.Claim(ctx, []string{muster.JobSweep}, "bench", 1, time.Hour)
			if err != nil || len(jobs) == 0 {
				return err
			}
			job = jobs[0] // the newest is the last
		}
	}); err != nil {
		return 0, err
	}
	if job == nil {
		return 0, errors.New("there is no job")
	}
	began := time.Now()
	if _, err := h.onboard.Sweep(ctx, job); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, h.db.View(ctx, func(tx *store.Tx) error {
		sweeps, err := tx.Sweeps(ctx, muster.Page{Limit: 10_000})
		if err != nil {
			return err
		}
		if last := sweeps[len(sweeps)-1]; last.Done < n || last.Stage != "tail" {
			return fmt.Errorf("the sweep came to %d of %d customers, stage %s", last.Done, n, last.Stage)
		}
		c, err := tx.HitCounts(ctx)
		if err == nil && c.States["open"] < sweepPlanted {
			err = fmt.Errorf("%d of %d planted names were found", c.States["open"], sweepPlanted)
		}
		return err
	})
}

func sweepPostgres(ctx context.Context, r *run, many, few int, large, small string, entries []muster.ListEntry) error {
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	open := func(name, dir string) (func() (*sweepHouse, error), error) {
		data, err := p.database(ctx, name)
		if err != nil {
			return nil, err
		}
		keys, err := p.database(ctx, name+"keys")
		if err != nil {
			return nil, err
		}
		empty, err := store.Open(ctx, store.Config{DSN: data})
		if err != nil {
			return nil, err
		}
		_ = empty.Close()
		emptyKeys, err := store.OpenKeys(ctx, store.Config{DSN: keys})
		if err != nil {
			return nil, err
		}
		_ = emptyKeys.Close()
		if err := errors.Join(copyToPostgres(ctx, filepath.Join(dir, "muster.db"), data), copyToPostgres(ctx, filepath.Join(dir, "keys", "keys.db"), keys)); err != nil {
			return nil, err
		}
		return func() (*sweepHouse, error) {
			return openSweep(ctx, dir, store.Config{DSN: data}, store.Config{DSN: keys}, entries)
		}, nil
	}
	l, err := open("large", large)
	if err != nil {
		return err
	}
	s, err := open("small", small)
	if err != nil {
		return err
	}
	return compareSweep(ctx, r, "PostgreSQL", many, few, l, s)
}

// copyToPostgres copies the rows of every table but those named: what is sealed opens
// there too.
func copyToPostgres(ctx context.Context, path, dsn string, without ...string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, "query_only(ON)"))
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	names, err := pgx.CollectRows(must(c.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%schema_version' ORDER BY 1`)), pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(without, name) {
			continue
		}
		if err := copyTable(ctx, db, c, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if slices.Contains(names, "log_size") { // SQLite counts its leaves
		if _, err := c.Exec(ctx, "UPDATE log_size SET size = (SELECT count(*) FROM leaves)"); err != nil {
			return err
		}
	}
	_, err = c.Exec(ctx, "ANALYZE")
	return err
}

func copyTable(ctx context.Context, db *sql.DB, c *pgx.Conn, name string) error {
	if _, err := c.Exec(ctx, "TRUNCATE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT * FROM "`+name+`"`)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	_, err = c.CopyFrom(ctx, pgx.Identifier{name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if !rows.Next() {
			return nil, rows.Err()
		}
		values := make([]any, len(columns))
		at := make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		return values, rows.Scan(at...)
	}))
	return err
}
