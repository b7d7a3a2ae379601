package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// quarter is the start of the quarter of t.
func quarter(t time.Time) time.Time {
	return time.Date(t.Year(), (t.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC)
}

// chunks cuts an account's records as the ledger does.
func chunks(records []muster.AccessRecord, each func(base time.Time, chunk []muster.AccessRecord)) {
	for len(records) > 0 {
		base := quarter(records[0].At)
		n := min(len(records), 512)
		if i := slices.IndexFunc(records[:n], func(r muster.AccessRecord) bool { return !quarter(r.At).Equal(base) }); i >= 0 {
			n = i
		}
		each(records[0].At.Truncate(time.Hour), records[:n])
		records = records[n:]
	}
}

// ledgerTrain makes the starting probabilities of the chunk format anew, from
// accounts that no other bench generates. It is how ledger/access.v1 was made.
func ledgerTrain(_ context.Context, r *run) error {
	y := newYear(4000, 77)
	var all [][]muster.AccessRecord
	var bases []time.Time
	add := func(base time.Time, chunk []muster.AccessRecord) {
		all, bases = append(all, chunk), append(bases, base)
	}
	counts := map[string]int{}
	for i := range y.accounts {
		class := y.class(i)
		if limit := map[string]int{"person": 400, "script": 12, "api": 6}[class]; counts[class] >= limit {
			continue
		}
		counts[class]++
		records := y.records(i)
		if class != "person" {
			records = records[:min(len(records), 20_000)]
		}
		chunks(records, add)
	}
	table := ledger.TrainAccess(func(i int) time.Time { return bases[i] }, all)
	if err := os.WriteFile("ledger/access.v1", table, 0o600); err != nil {
		return err
	}
	r.say("ledger/access.v1: %d bytes from %d chunks", len(table), len(all))
	return nil
}

// ledgerRig is a ledger in this process, on SQLite, whose clock is the records'.
type ledgerRig struct {
	dir    string
	now    time.Time
	main   *store.DB
	keys   *store.Keys
	store  *store.Ledger
	vault  *vault.Vault
	hot    *ledger.Hot
	sealer *ledger.Sealer
	ask    *ledger.Questions // its leaf is counted, not written
	sworn  *ledger.Questions // its leaf is committed to the main store first
	owners map[string]ledger.Holder
	serial int
}

// unwritten takes leaves and keeps nothing.
type unwritten struct{}

func (unwritten) Record(context.Context, vault.Entry) error { return nil }

// AccountIDs: here a reference is its own id.
func (l *ledgerRig) AccountIDs(_ context.Context, references []string) (map[string]string, error) {
	m := make(map[string]string, len(references))
	for _, a := range references {
		m[a] = a
	}
	return m, nil
}

func (l *ledgerRig) NewAccounts(context.Context, string, int) ([]string, string, error) {
	return nil, "", nil
}

func (l *ledgerRig) AccountHolders(_ context.Context, accounts []string) (list []ledger.Holder, err error) {
	for _, a := range accounts {
		if h, ok := l.owners[a]; ok {
			list = append(list, h)
		}
	}
	return list, nil
}

func openLedgerRig(ctx context.Context, dir string, owners map[string]ledger.Holder) (_ *ledgerRig, err error) {
	l := &ledgerRig{dir: dir, now: yearStart, owners: owners}
	clock := func() time.Time { return l.now }
	create := false
	kms, err := vault.OpenKeyFile(filepath.Join(dir, "root.key"))
	if err != nil {
		create = true
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if kms, err = vault.CreateKeyFile(filepath.Join(dir, "root.key")); err != nil {
			return nil, err
		}
	}
	if l.main, err = store.Open(ctx, store.Config{Path: filepath.Join(dir, "muster.db")}); err != nil {
		return nil, err
	}
	if l.keys, err = store.OpenKeys(ctx, store.Config{Path: filepath.Join(dir, "keys", "keys.db")}); err != nil {
		return nil, err
	}
	if l.store, err = store.OpenLedger(ctx, store.Config{Path: filepath.Join(dir, "ledger.db"), Clock: clock}); err != nil {
		return nil, err
	}
	if l.vault, err = vault.Open(ctx, vault.Config{Deployment: "bench", KMS: kms, Store: l.keys, Clock: clock, Create: create, PoolSize: 4096}); err != nil {
		return nil, err
	}
	if l.hot, err = ledger.NewHot(ctx, ledger.HotConfig{
		DB: store.LedgerAs[ledger.HotTx](l.store), Vault: l.vault, Recorder: unwritten{}, Accounts: l, Clock: clock, MaxTail: 10_000_000, MaxSeen: 1000,
	}); err != nil {
		return nil, err
	}
	room := store.LedgerAs[ledger.Tx](l.store)
	if l.sealer, err = ledger.NewSealer(ledger.SealerConfig{DB: room, Vault: l.vault, Recorder: unwritten{}, Directory: l, Clock: clock}); err != nil {
		return nil, err
	}
	q := ledger.QuestionsConfig{DB: room, Vault: l.vault, Recorder: unwritten{}, Tail: l.hot, Directory: l, Clock: clock}
	if l.ask, err = ledger.NewQuestions(q); err != nil {
		return nil, err
	}
	q.Recorder = journal.New(l.vault, store.As[journal.Tx](l.main))
	l.sworn, err = ledger.NewQuestions(q)
	return l, err
}

func (l *ledgerRig) close(ctx context.Context) error {
	l.hot.Close()
	return errors.Join(l.sealer.Close(ctx), l.vault.Close(ctx), l.store.Close(), l.keys.Close(), l.main.Close())
}

// own gives accounts a subject and key each.
func (l *ledgerRig) own(ctx context.Context, accounts []string) error {
	for _, a := range accounts {
		key, err := l.vault.TakeKey(ctx)
		if err != nil {
			return err
		}
		l.owners[a] = ledger.Holder{Account: a, Subject: "sub" + a[3:], KeyID: key.ID()}
	}
	return nil
}

// filled says what filling a ledger took.
type filled struct {
	records       int
	sealing       time.Duration
	before, after int64 // bytes of all tables of the ledger, sealed, and merged
	merging       time.Duration
	samples       map[string][]muster.AccessRecord
	postgres      []muster.AccessRecord // the first of the year, for the table beside
	chunks, index int64
}

// fill brings a year through the hot end and the sealer, a pass a simulated day, in the
// order of time across accounts; then it compacts once.
func (l *ledgerRig) fill(ctx context.Context, y *year, only string, keep int) (f filled, err error) {
	months := make([][][]byte, 13)
	var accounts []string
	pick := rand.New(rand.NewPCG(y.seed, 1<<40))
	f.samples = map[string][]muster.AccessRecord{}
	for i := range y.accounts {
		class := y.class(i)
		if only != "" && class != only {
			continue
		}
		accounts = append(accounts, y.id(i))
		records := y.records(i)
		f.records += len(records)
		for len(records) > 0 {
			month := records[0].At.Month()
			n := slices.IndexFunc(records, func(r muster.AccessRecord) bool { return r.At.Month() != month })
			if n < 0 {
				n = len(records)
			}
			months[month] = append(months[month], ledger.EncodeBatch(nil, &ledger.Batch{Access: records[:n]}))
			for _, r := range records[:n] {
				switch natted := r.IP.Is4() && r.IP.As4()[0] == 100; {
				case natted && pick.IntN(50) == 0:
					f.samples["carrier"] = append(f.samples["carrier"], r)
				case class == "person" && pick.IntN(200) == 0:
					f.samples["person"] = append(f.samples["person"], r)
				}
				if pick.IntN(2000) == 0 {
					f.samples["any"] = append(f.samples["any"], r)
				}
			}
			records = records[n:]
		}
	}
	if err := l.own(ctx, accounts); err != nil {
		return f, err
	}
	for month, blobs := range months {
		var list []muster.AccessRecord
		for _, blob := range blobs {
			b, err := ledger.DecodeBatch(blob)
			if err != nil {
				return f, err
			}
			list = append(list, b.Access...)
		}
		months[month] = nil
		slices.SortFunc(list, func(a, b muster.AccessRecord) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Account, b.Account))
		})
		f.postgres = append(f.postgres, list[:min(len(list), keep-len(f.postgres))]...)
		for len(list) > 0 {
			day := list[0].At.Truncate(24 * time.Hour)
			n, _ := slices.BinarySearchFunc(list, day.Add(24*time.Hour), func(r muster.AccessRecord, t time.Time) int { return r.At.Compare(t) })
			l.now = day.Add(24 * time.Hour)
			for part := range slices.Chunk(list[:n], 10_000) {
				l.serial++
				if _, err := l.hot.Take(ctx, &ledger.Arrival{Batch: ledger.Batch{Access: part}, From: "bench", Body: strconv.Itoa(l.serial)}); err != nil {
					return f, err
				}
			}
			list = list[n:]
			began := time.Now()
			if _, err := l.sealer.Seal(ctx); err != nil {
				return f, err
			}
			f.sealing += time.Since(began)
		}
	}
	l.now = l.now.AddDate(0, 0, 5)
	if f.before, _, _, err = l.size(ctx); err != nil {
		return f, err
	}
	began := time.Now()
	if _, err := l.sealer.Compact(ctx, false); err != nil {
		return f, err
	}
	f.merging = time.Since(began)
	f.after, f.chunks, f.index, err = l.size(ctx)
	return f, err
}

// size is the bytes of all that the ledger keeps of sealed records: whole pages.
func (l *ledgerRig) size(ctx context.Context) (all, chunks, index int64, err error) {
	sizes, err := l.store.TableSizes(ctx)
	return sizes["chunks"] + sizes["index_blocks"] + sizes["index_runs"] + sizes["holders"], sizes["chunks"], sizes["index_blocks"] + sizes["index_runs"], err
}

// latencies asks who came from the address of each record, within half a minute.
func latencies(ctx context.Context, q *ledger.Questions, list []muster.AccessRecord) (times []time.Duration, err error) {
	for _, r := range list {
		began := time.Now()
		page, err := q.CameFrom(ctx, ledger.Ask{Operator: "opr_00000000000000000000000000", Purpose: vault.PurposeAbuse, Case: "bench"}, ledger.CameFrom{
			Prefix: netip.PrefixFrom(r.IP, r.IP.BitLen()), From: r.At.Add(-30 * time.Second), Until: r.At.Add(30 * time.Second), Limit: ledger.MaxPage,
		})
		times = append(times, time.Since(began))
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(page.Records, func(x muster.AccessRecord) bool { return x.Account == r.Account && x.At.Equal(r.At) }) {
			return nil, fmt.Errorf("a record was not found")
		}
	}
	slices.Sort(times)
	return times, nil
}

func at(times []time.Duration, share float64) float64 {
	return float64(times[min(int(float64(len(times))*share), len(times)-1)].Microseconds()) / 1000
}

// some draws n of a list, the same again.
func some(list []muster.AccessRecord, n int) []muster.AccessRecord {
	list = slices.Clone(list)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// ledgerBench measures size and questions of the ledger on the generated year.
func ledgerBench(ctx context.Context, r *run) error {
	scales := []int{1_000_000, 10_000_000}
	beside := 4_000_000
	if r.quick {
		scales, beside = scales[:1], 1_000_000
		r.say("quick: one million records instead of ten, and of four beside")
	}
	if r.records > 0 {
		scales = []int{r.records}
	}
	p50 := map[string][]float64{}
	var mix float64
	var copied []muster.AccessRecord
	for i, n := range scales {
		last := i == len(scales)-1
		y := newYear(accountsFor(n), 1)
		y.print(r.said)
		l, err := openLedgerRig(ctx, filepath.Join(r.dir, "mix"+strconv.Itoa(n)), map[string]ledger.Holder{})
		if err != nil {
			return err
		}
		f, err := l.fill(ctx, y, "", pick(last, beside, 0))
		if err != nil {
			return err
		}
		copied = f.postgres
		name := fmt.Sprintf("%.3g M records: ", float64(f.records)/1e6)
		mix = float64(f.after) / float64(f.records)
		r.atMost(name+"mix, compacted, all pages", mix, "B/record", 4)
		r.note(name+"  of it chunks", float64(f.chunks)/float64(f.records), "B/record")
		r.note(name+"  of it index", float64(f.index)/float64(f.records), "B/record")
		r.atMost(name+"mix before compaction", float64(f.before)/float64(f.after), "times", 3)
		r.note(name+"sealed", float64(f.records)/f.sealing.Seconds()/1e6, "M records/s")
		r.note(name+"compacted", float64(f.records)/f.merging.Seconds()/1e6, "M records/s")
		asked := pick(r.quick, 200, 500)
		for _, class := range []string{"person", "any", "carrier"} {
			list := some(f.samples[class], asked)
			if len(list) == 0 {
				continue
			}
			if _, err := latencies(ctx, l.ask, list); err != nil { // warms
				return err
			}
			times, err := latencies(ctx, l.ask, list)
			if err != nil {
				return err
			}
			what := map[string]string{"person": "a person's record", "any": "any record", "carrier": "behind a carrier"}[class]
			r.atMost(name+"who came from IP at T, "+what+", p50", at(times, 0.5), "ms", 3)
			r.atMost(name+"  p99", at(times, 0.99), "ms", 10)
			p50[class] = append(p50[class], at(times, 0.5))
			if class == "any" {
				if times, err = latencies(ctx, l.sworn, some(list, 100)); err != nil {
					return err
				}
				r.note(name+"  p50 with the leaf of the reveal committed", at(times, 0.5), "ms")
			}
		}
		owners := l.owners
		dir := l.dir
		if err := l.close(ctx); err != nil {
			return err
		}
		// Cold: nothing of the files in the cache, nothing open.
		var cold []time.Duration
		for _, rec := range some(f.samples["any"], pick(r.quick, 8, 20)) {
			if err := dropFromCache(dir); err != nil {
				return err
			}
			if l, err = openLedgerRig(ctx, dir, owners); err != nil {
				return err
			}
			times, err := latencies(ctx, l.ask, []muster.AccessRecord{rec})
			if err != nil {
				return err
			}
			cold = append(cold, times...)
			if err := l.close(ctx); err != nil {
				return err
			}
		}
		slices.Sort(cold)
		r.note(name+"cold, any record, p50", at(cold, 0.5), "ms")
		r.note(name+"cold, any record, slowest", at(cold, 1), "ms")
		if err := ledgerVolumes(ctx, r, name, dir, owners, some(f.samples["any"], asked)); err != nil {
			return err
		}

		if l, err = openLedgerRig(ctx, filepath.Join(r.dir, "people"+strconv.Itoa(n)), map[string]ledger.Holder{}); err != nil {
			return err
		}
		if f, err = l.fill(ctx, y, "person", 0); err != nil {
			return err
		}
		if err := l.close(ctx); err != nil {
			return err
		}
		r.atMost(name+"people alone, compacted", float64(f.after)/float64(f.records), "B/record", 8)
		r.note(name+"  of it index", float64(f.index)/float64(f.records), "B/record")
		r.atMost(name+"people before compaction", float64(f.before)/float64(f.after), "times", 3)
		runtime.GC()
	}
	if len(scales) == 2 {
		for _, class := range []string{"person", "any", "carrier"} {
			if x := p50[class]; len(x) == 2 {
				r.note("p50 at ten times the records, "+class, x[1]/x[0], "times")
			}
		}
	}
	return ledgerBeside(ctx, r, copied, mix)
}

// dropFromCache has the kernel forget the files of a folder.
func dropFromCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return err
		}
		const dontNeed = 4
		if _, _, e := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); e != 0 {
			return e
		}
		return nil
	})
}

// ledgerBeside is the table that answers the same questions: COPY in the order of
// time, batches of 50,000, with the two indexes there.
func ledgerBeside(ctx context.Context, r *run, records []muster.AccessRecord, mix float64) error {
	p, err := startPostgres(ctx)
	if errors.Is(err, errNoPostgres) {
		r.say("nothing beside: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer p.stop()
	c, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	took, err := copyAccess(ctx, c, records, 50_000)
	if err != nil {
		return err
	}
	var size int64
	if err := c.QueryRow(ctx, `SELECT pg_total_relation_size('access')`).Scan(&size); err != nil {
		return err
	}
	n := float64(len(records))
	r.note(fmt.Sprintf("PostgreSQL, %.3g M records: COPY with the two indexes", n/1e6), n/took.Seconds()/1e6, "M records/s")
	r.note("  table and indexes", float64(size)/n, "B/record")
	r.atLeast("  of the ledger's", float64(size)/n/mix, "times", 35)
	var times []time.Duration
	for _, x := range some(records, 300) {
		began := time.Now()
		rows, err := c.Query(ctx, `SELECT account, at, device, action FROM access WHERE ip = $1 AND at BETWEEN $2 AND $3`, x.IP, x.At.Add(-30*time.Second), x.At.Add(30*time.Second))
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		if err := rows.Err(); err != nil {
			return err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	r.note("  who came from IP at T, any record, p50", at(times, 0.5), "ms")
	r.note("  p99", at(times, 0.99), "ms")
	return nil
}

// copyAccess makes a table of access records with two indexes and fills it, so many
// records at a time; it says how long the filling took.
func copyAccess(ctx context.Context, c *pgx.Conn, records []muster.AccessRecord, at int) (time.Duration, error) {
	for _, q := range []string{
		`CREATE TABLE access (at timestamptz NOT NULL, device bigint, account integer NOT NULL, action smallint NOT NULL, ip inet NOT NULL)`,
		`CREATE INDEX ON access (account, at)`, `CREATE INDEX ON access (ip, at)`,
	} {
		if _, err := c.Exec(ctx, q); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	for part := range slices.Chunk(records, at) {
		if _, err := c.CopyFrom(ctx, pgx.Identifier{"access"}, []string{"at", "device", "account", "action", "ip"}, pgx.CopyFromSlice(len(part), func(i int) ([]any, error) {
			x := &part[i]
			account, _ := strconv.Atoi(x.Account[4:])
			var device any
			if x.Device != "" {
				n, _ := strconv.ParseUint(x.Device, 16, 64)
				device = int64(n)
			}
			return []any{x.At, device, int32(account), int16(slices.Index(muster.AccessActions, x.Action)), x.IP}, nil
		})); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
