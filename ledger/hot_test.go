package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// hotBundle is a ledger's hot end on a real store, with a few accounts on file.
type hotBundle struct {
	testing.TB
	t      testing.TB
	main   *store.DB
	ledger *store.Ledger
	conf   ledger.HotConfig
	db     *failing
	vault  *vault.Vault
	hot    *ledger.Hot
	serial int

	mu  sync.Mutex
	now time.Time
}

// failing is the ledger's store, which fails where a test says.
type failing struct {
	store.LedgerRoom[ledger.HotTx]
	mu            sync.Mutex
	before, after bool // once
}

var errAway = muster.Errorf(muster.CodeUnavailable, "the store is away")

func (f *failing) InTx(ctx context.Context, fn func(ledger.HotTx) error) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.before, f.after = false, false
	f.mu.Unlock()
	err := f.LedgerRoom.InTx(ctx, func(tx ledger.HotTx) error {
		if err := fn(tx); err != nil || !before {
			return err
		}
		return errAway
	})
	if err == nil && after {
		return errAway
	}
	return err
}

func onBoth(t *testing.T, test func(b *hotBundle)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")}))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dsn := pgtest.Database(t)
		test(setupHot(t, store.Config{DSN: dsn}, store.Config{DSN: dsn, Schema: "ledger"}))
	})
}

func setupHot(t testing.TB, main, hot store.Config) *hotBundle {
	t.Helper()
	b := &hotBundle{TB: t, t: t, now: time.Date(2026, 11, 26, 8, 30, 0, 0, time.UTC)}
	main.Clock, hot.Clock = b.clock, b.clock
	var err error
	if b.main, err = store.Open(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	if b.ledger, err = store.OpenLedger(t.Context(), hot); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.hot != nil {
			b.hot.Close()
		}
		if err := errors.Join(b.ledger.Close(), b.main.Close()); err != nil {
			t.Error(err)
		}
	})
	b.vault = vaulttest.New(t)
	b.db = &failing{LedgerRoom: store.LedgerAs[ledger.HotTx](b.ledger)}
	b.conf = ledger.HotConfig{
		DB: b.db, Vault: b.vault, Recorder: journal.New(b.vault, store.As[journal.Tx](b.main)), Accounts: b.main.LedgerAccounts(), Clock: b.clock,
	}
	b.open(b.conf)
	for _, reference := range []string{"A-1", "A-2", "A-3"} {
		b.account(reference)
	}
	return b
}

func (b *hotBundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *hotBundle) move(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// open starts the hot end, again where it ran.
func (b *hotBundle) open(c ledger.HotConfig) {
	b.Helper()
	if b.hot != nil {
		b.hot.Close()
	}
	var err error
	if b.hot, err = ledger.NewHot(b.t.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}

func (b *hotBundle) account(reference string) {
	b.Helper()
	if err := b.main.InTx(b.t.Context(), func(tx *store.Tx) error {
		return tx.PutAccount(b.t.Context(), &muster.AccountRecord{ID: muster.NewID(muster.PrefixAccount, b.clock()), Reference: reference, Customer: "cus_1", State: muster.AccActive})
	}); err != nil {
		b.t.Fatal(err)
	}
}

func line(id, account, ip string) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return `{` + id + `"account":"` + account + `","ip":"` + ip + `","at":"2026-11-26T08:00:00.123Z","action":"login"}` + "\n"
}

// try posts a batch of access records as text.
func (b *hotBundle) try(key, text string) (ledger.Taken, error) {
	b.Helper()
	rows, err := ledger.ParseAccess(text, b.clock())
	if err != nil {
		b.t.Fatal(err)
	}
	return b.hot.Take(b.t.Context(), &ledger.Arrival{Batch: ledger.Batch{Access: rows}, Key: key, From: "opr_1", Body: text})
}

// post is try that goes well, with what the receipt should say: accepted, duplicates, waiting.
func (b *hotBundle) post(key, text string, want ...int) {
	b.Helper()
	got, err := b.try(key, text)
	if err != nil || got != (ledger.Taken{Accepted: want[0], Duplicates: want[1], Waiting: want[2]}) {
		b.t.Errorf("the receipt is %+v, want %v: %v", got, want, err)
	}
}

// records lists what the hot end answers with, "reference ip", sorted.
func (b *hotBundle) records(want ledger.Want) (found []string) {
	b.Helper()
	ctx := b.t.Context()
	s, err := b.vault.Use(ctx, vault.Job{Name: "test", Purpose: "test", Scope: "test"}, b.conf.Recorder)
	if err != nil {
		b.t.Fatal(err)
	}
	names := map[string]string{}
	rows := []*muster.AccountRecord{}
	if err := b.main.View(ctx, func(tx *store.Tx) error {
		rows, err = tx.Accounts(ctx, muster.Page{Limit: 10000})
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range rows {
		names[r.ID] = r.Reference
	}
	if err := b.db.View(ctx, func(tx ledger.HotTx) error {
		found = nil
		return b.hot.Tail(ctx, s, tx, want, func(x *ledger.Batch) error {
			for _, r := range x.Access {
				found = append(found, names[r.Account]+" "+r.IP.String())
			}
			for _, r := range x.Leases {
				found = append(found, names[r.Account]+" "+r.Prefix.String())
			}
			return nil
		})
	}); err != nil {
		b.t.Fatal(err)
	}
	if err := s.End(ctx, len(found)); err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func (b *hotBundle) holds(want ...string) {
	b.Helper()
	if got := b.records(ledger.Want{}); !slices.Equal(got, want) {
		b.t.Errorf("the ledger holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAcknowledgedIsThere(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		b.post("", line("", "A-1", "192.0.2.1")+line("", "A-2", "2001:db8::1"), 2, 0, 0)
		leases, err := ledger.ParseLeases(`{"account":"A-3","resource":"prefix","prefix":"198.51.100.0/24","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"0s"}`, b.clock())
		if err != nil {
			b.Fatal(err)
		}
		if r, err := b.hot.Take(b.t.Context(), &ledger.Arrival{Batch: ledger.Batch{Leases: leases}, Body: "x"}); err != nil || r.Accepted != 1 {
			b.Fatal(r, err)
		}
		for range 2 { // as this process has it in memory, and as another reads it
			b.holds("A-1 192.0.2.1", "A-2 2001:db8::1", "A-3 198.51.100.0/24")
			for want, found := range map[ledger.Want][]string{
				{IP: netip.MustParseAddr("192.0.2.1")}:        {"A-1 192.0.2.1", "A-2 2001:db8::1", "A-3 198.51.100.0/24"},
				{IP: netip.MustParseAddr("2001:db8::ffff:1")}: {"A-1 192.0.2.1", "A-2 2001:db8::1", "A-3 198.51.100.0/24"}, // its /64
				{IP: netip.MustParseAddr("192.0.2.2")}:        {"A-3 198.51.100.0/24"},                                     // a prefix may hold anything
			} {
				if got := b.records(want); !slices.Equal(got, found) {
					b.Errorf("%v: %v", want, got)
				}
			}
			if got := b.records(ledger.Want{Account: "acc_nobody"}); got != nil {
				b.Errorf("batches that cannot hold the account were opened: %v", got)
			}
			b.open(b.conf)
		}
	})
}

func TestWhatIsADuplicate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		with, without := line("r-1", "A-1", "192.0.2.1"), line("", "A-1", "192.0.2.2")
		b.post("", with+without, 2, 0, 0)
		for range 2 { // also after a restart
			b.post("", with+without, 0, 2, 0)                    // the batch again
			b.post("", with, 0, 1, 0)                            // a record id, in another batch
			b.post("", line("r-1", "A-9", "192.0.2.9"), 0, 1, 0) // whatever else it says
			b.open(b.conf)
		}
		b.post("k-1", without, 1, 0, 0) // another batch by its key
		b.post("k-1", without, 0, 1, 0)
		if _, err := b.try("k-1", with); muster.ErrorCode(err) != muster.CodeInvalid {
			b.Errorf("a key that was used with another batch: %v", err)
		}
		b.post("k-2", without+without, 2, 0, 0) // two records without ids are two
		b.holds("A-1 192.0.2.1", "A-1 192.0.2.2", "A-1 192.0.2.2", "A-1 192.0.2.2", "A-1 192.0.2.2")
		b.post("", line("r-2", "A-1", "192.0.2.3")+line("r-2", "A-1", "192.0.2.3")+with, 1, 2, 0)

		b.move(25 * time.Hour)
		b.post("", line("r-3", "A-1", "192.0.2.1"), 1, 0, 0)
		b.post("", with, 0, 1, 0) // still known
		b.move(25 * time.Hour)
		b.post("", line("r-4", "A-1", "192.0.2.1"), 1, 0, 0)
		b.post("", line("r-3", "A-1", "192.0.2.1")+with, 1, 1, 0) // forgotten after twice the window
	})
}

func TestTheEndOfALeaseIsNoDuplicate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")})
	post := func(text string, want ledger.Taken) {
		leases, err := ledger.ParseLeases(text, b.clock())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.hot.Take(t.Context(), &ledger.Arrival{Batch: ledger.Batch{Leases: leases}, Body: text}); err != nil || got != want {
			t.Error(got, err)
		}
	}
	begun := `{"id":"l-1","account":"A-1","resource":"address","prefix":"198.51.100.1","from":"2026-11-01T00:00:00Z","source":"dhcp","precision":"1s"}`
	ended := `{"id":"l-1","account":"A-1","resource":"address","prefix":"198.51.100.1","from":"2026-11-01T00:00:00Z","until":"2026-11-02T00:00:00Z","source":"dhcp","precision":"1s"}`
	post(begun, ledger.Taken{Accepted: 1})
	post(begun+"\n"+begun, ledger.Taken{Duplicates: 2})
	post(ended, ledger.Taken{Accepted: 1})
	post(ended+"\n", ledger.Taken{Duplicates: 1})
}

func TestUnknownAccountsWait(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		ctx := b.t.Context()
		b.post("", line("", "A-1", "192.0.2.1")+line("", "late", "192.0.2.2")+line("", "never", "192.0.2.3"), 3, 0, 2)
		b.post("", line("r-9", "late", "192.0.2.4"), 1, 0, 1)
		b.post("", line("r-9", "late", "192.0.2.4")+" ", 0, 1, 0)
		if n, err := b.hot.Claim(ctx); n != 0 || err != nil {
			b.Error(n, err)
		}
		b.holds("A-1 192.0.2.1")
		b.move(time.Hour)
		b.account("late")
		b.open(b.conf)
		if n, err := b.hot.Claim(ctx); n != 2 || err != nil {
			b.Error(n, err)
		}
		if n, err := b.hot.Claim(ctx); n != 0 || err != nil {
			b.Error(n, err)
		}
		b.holds("A-1 192.0.2.1", "late 192.0.2.2", "late 192.0.2.4")
		b.post("", line("", "late", "192.0.2.5"), 1, 0, 0)
		_, waits, err := b.hot.Standing(ctx)
		if err != nil || waits.Records != 1 || waits.Accounts != 1 || !waits.Oldest.Equal(b.clock().Add(-time.Hour)) {
			b.Errorf("%+v %v", waits, err)
		}
		for _, c := range []struct {
			move time.Duration
			gone int64
			days int
		}{{7*24*time.Hour - time.Hour - time.Microsecond, 0, 1}, {2 * time.Microsecond, 1, 1}, {24 * time.Hour, 0, 0}} {
			b.move(c.move)
			gone, err := b.hot.Expire(ctx)
			days, err2 := b.vault.Periods(ctx, vault.UseQuarantine)
			if err := errors.Join(err, err2); err != nil || gone != c.gone || len(days) != c.days {
				b.Errorf("after %v: %d went, keys of %d days: %v", c.move, gone, len(days), err)
			}
		}
		b.account("never")
		if n, err := b.hot.Claim(ctx); n != 0 || err != nil {
			b.Error(n, err)
		}
	})
}

func TestQuarantineIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")})
	b.conf.MaxWaiting = 2
	b.open(b.conf)
	b.post("", line("", "x", "192.0.2.1")+line("", "y", "192.0.2.1"), 2, 0, 2)
	if _, err := b.try("", line("", "z", "192.0.2.1")); muster.ErrorCode(err) != muster.CodeRateLimited {
		t.Error(err)
	}
	b.post("", line("", "A-1", "192.0.2.1"), 1, 0, 0)
}

func TestTheTailIsBounded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		ctx := b.t.Context()
		b.conf.MaxTail = 3
		b.open(b.conf)
		b.post("", line("", "A-1", "192.0.2.1")+line("", "A-1", "192.0.2.2"), 2, 0, 0)
		_, err := b.try("", line("", "A-1", "192.0.2.3")+line("", "A-1", "192.0.2.4"))
		var e *muster.Error
		if !errors.As(err, &e) || e.Code != muster.CodeRateLimited || e.RetryAfter == 0 {
			b.Error(err)
		}
		b.post("", line("", "A-1", "192.0.2.3"), 1, 0, 0)
		if err := b.ledger.InTx(ctx, func(tx *store.LedgerTx) error { return tx.DropHot(ctx, 0, 1) }); err != nil {
			b.Fatal(err)
		}
		if err := b.ledger.InTx(ctx, func(tx *store.LedgerTx) error { return tx.DropHot(ctx, 0, 2) }); muster.ErrorCode(err) != muster.CodeStale {
			b.Errorf("a sealer that was overtaken drops: %v", err)
		}
		b.holds("A-1 192.0.2.3")
		if _, err := b.hot.Claim(ctx); err != nil { // a duty that looks
			b.Fatal(err)
		}
		b.post("", line("", "A-1", "192.0.2.5")+line("", "A-1", "192.0.2.6"), 2, 0, 0)
		b.holds("A-1 192.0.2.3", "A-1 192.0.2.5", "A-1 192.0.2.6")
	})
}

func TestAWriteThatFailsIsSentAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		for i, after := range []bool{false, true} {
			text := line(fmt.Sprint("r-", i), "A-1", "192.0.2.1") + line("", "unknown", "192.0.2.1")
			b.db.before, b.db.after = !after, after
			if _, err := b.try("", text); !errors.Is(err, errAway) {
				b.Error(err)
			}
			if after { // it landed, and nobody heard
				b.post("", text, 0, 2, 0)
			} else {
				b.post("", text, 2, 0, 1)
			}
			b.open(b.conf)
			b.post("", text, 0, 2, 0)
		}
		b.holds("A-1 192.0.2.1", "A-1 192.0.2.1")
	})
}

func TestManyAtOnceShareCommits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *hotBundle) {
		const posts = 200
		var all sync.WaitGroup
		for i := range posts {
			all.Go(func() {
				text := line(fmt.Sprint("r-", i/2), "A-1", fmt.Sprintf("10.0.0.%d", i/2)) // each twice
				for {
					if _, err := b.try("", text); err == nil {
						return
					} else if muster.ErrorCode(err) != muster.CodeUnavailable {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		var want []string
		for i := range posts / 2 {
			want = append(want, fmt.Sprintf("A-1 10.0.0.%d", i))
		}
		slices.Sort(want)
		b.holds(want...)
		head, _, err := b.hot.Standing(b.t.Context())
		if err != nil || head.Records != posts/2 || head.Seq >= posts/2 {
			b.Errorf("%+v %v: no two posts shared a commit", head, err)
		}
	})
}

func TestTwoProcessesKnowOneAnothersRecords(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	b := setupHot(t, store.Config{DSN: dsn}, store.Config{DSN: dsn, Schema: "ledger"})
	second, err := store.OpenLedger(t.Context(), store.Config{DSN: dsn, Schema: "ledger", Clock: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	c := b.conf
	c.DB = store.LedgerAs[ledger.HotTx](second)
	other, err := ledger.NewHot(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	const posts = 60
	var all sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for i := range posts {
		for _, h := range []*ledger.Hot{b.hot, other} {
			all.Go(func() {
				text := line(fmt.Sprint("r-", i), "A-1", fmt.Sprintf("10.0.0.%d", i))
				rows, _ := ledger.ParseAccess(text, b.clock())
				for {
					r, err := h.Take(t.Context(), &ledger.Arrival{Batch: ledger.Batch{Access: rows}, Body: text})
					if errors.Is(err, context.DeadlineExceeded) { // the machine has much else to do: it is sent again
						continue
					}
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					accepted += r.Accepted
					mu.Unlock()
					return
				}
			})
		}
	}
	all.Wait()
	if got := b.records(ledger.Want{}); accepted != posts || len(got) != posts || len(slices.Compact(got)) != posts {
		t.Errorf("%d accepted, %d there, of %d", accepted, len(got), posts)
	}
}
