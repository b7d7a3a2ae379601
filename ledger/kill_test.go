package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// kills is how often the child is killed; MUSTER_SOAK makes it a hundred.
func kills() int {
	if os.Getenv("MUSTER_SOAK") != "" {
		return 100
	}
	return 10
}

// killed is a ledger on stores on disk, keys among them, that outlives its process.
type killed struct {
	main   *store.DB
	keys   *store.Keys
	ledger *store.Ledger
	vault  *vault.Vault
	hot    *ledger.Hot
	sealer *ledger.Sealer
	ask    *ledger.Questions

	shelf *ledger.Shelf // on SQLite: in a directory
	back  bool          // what lies there comes back
	whole bool          // in one volume
	later time.Duration // that sealer and shelf are ahead of the clock
	fault func(what string, after bool) error
}

// clock is that of sealer and shelf.
func (k *killed) clock() time.Time { return time.Now().Add(k.later) }

type noLeaves struct{}

func (noLeaves) Record(context.Context, vault.Entry) error { return nil }

func openKilled(ctx context.Context, dir, dsn string) (*killed, error) {
	k := &killed{}
	return k, k.open(ctx, dir, dsn)
}

func (k *killed) open(ctx context.Context, dir, dsn string) (err error) {
	data, sealed := store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")}
	if dsn != "" {
		data, sealed = store.Config{DSN: dsn}, store.Config{DSN: dsn, Schema: "ledger"}
	}
	if k.main, err = store.Open(ctx, data); err != nil {
		return err
	}
	if k.ledger, err = store.OpenLedger(ctx, sealed); err != nil {
		return err
	}
	if k.keys, err = store.OpenKeys(ctx, store.Config{Path: filepath.Join(dir, "keys", "keys.db")}); err != nil {
		return err
	}
	root := filepath.Join(dir, "root.key")
	kms, err := vault.OpenKeyFile(root)
	if err != nil {
		if kms, err = vault.CreateKeyFile(root); err != nil {
			return err
		}
	}
	if k.vault, err = vault.Open(ctx, vault.Config{Deployment: "test", KMS: kms, Store: k.keys, Clock: time.Now, Create: true, PoolSize: 8}); err != nil {
		return err
	}
	if k.hot, err = ledger.NewHot(ctx, ledger.HotConfig{
		DB: store.LedgerAs[ledger.HotTx](k.ledger), Vault: k.vault, Recorder: noLeaves{}, Accounts: k.main.LedgerAccounts(), Clock: time.Now,
	}); err != nil {
		return err
	}
	if dsn == "" {
		size := int64(2 << 10)
		if k.fault != nil || k.whole {
			size = 0
		}
		o := objects.NewDir(filepath.Join(dir, "objects"))
		if k.shelf, err = ledger.NewShelf(ledger.ShelfConfig{
			Objects: o, Clock: k.clock, Fill: !k.back, Keep: time.Hour, Size: size, Least: 1,
			List: func(ctx context.Context, prefix string, each func(string, int64, time.Time) error) error {
				return o.List(ctx, prefix, func(i objects.Info) error { return each(i.Name, i.Size, i.Made) })
			},
		}); err != nil {
			return err
		}
	}
	room := store.LedgerAs[ledger.Tx](k.ledger)
	if k.sealer, err = ledger.NewSealer(ledger.SealerConfig{
		DB: room, Vault: k.vault, Recorder: noLeaves{}, Directory: k.main.LedgerAccounts(), Clock: k.clock, Slice: 200, Alone: true, Shelf: k.shelf, Fault: k.fault,
	}); err != nil {
		return err
	}
	k.ask, err = ledger.NewQuestions(ledger.QuestionsConfig{
		DB: room, Vault: k.vault, Recorder: noLeaves{}, Tail: k.hot, Directory: k.main.LedgerAccounts(), Clock: time.Now, Shelf: k.shelf,
	})
	return err
}

// people makes the accounts whose records are taken.
func (k *killed) people(t *testing.T) {
	t.Helper()
	for i := range 3 {
		key, err := k.vault.TakeKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		name := "K-" + strconv.Itoa(i)
		if err := k.main.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.PutAccount(t.Context(), &muster.AccountRecord{ID: "acc_" + name, Reference: name, Customer: "cus_" + name, State: muster.AccActive}); err != nil {
				return err
			}
			return tx.PutSubjects(t.Context(), &muster.SubjectRecord{ID: "sub_" + name, Customer: "cus_" + name, Role: muster.RoleCustomer, Key: key.ID(), Revision: 1})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func (k *killed) close(ctx context.Context) {
	k.hot.Close()
	k.sealer.Close(ctx)
	k.vault.Close(ctx)
	k.ledger.Close()
	k.keys.Close()
	k.main.Close()
}

// killedRecord is the n-th record: everything of it follows from n.
func killedRecord(n int) muster.AccessRecord {
	return muster.AccessRecord{
		Account: "K-" + strconv.Itoa(n%3), IP: netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), Action: "login",
		At: time.Date(2026, 9, 29, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 90 * time.Second), Port: uint16(n),
	}
}

// TestKilledChild is not a test: it is the process that TestKilled kills. It takes
// records from a number on, says which are acknowledged, and seals and compacts all the time.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("MUSTER_KILLED_DIR")
	if dir == "" {
		t.Skip("started by TestKilled")
	}
	ctx := t.Context()
	k, err := openKilled(ctx, dir, os.Getenv("MUSTER_KILLED_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(os.Getenv("MUSTER_KILLED_FROM"))
	failed := make(chan error, 1)
	var sealed atomic.Int64
	said := false
	go func() {
		for turn := 0; ; turn++ {
			done, err := k.sealer.Seal(ctx)
			sealed.Add(int64(done.Records))
			if err == nil && turn%3 == 2 {
				_, err = k.sealer.Compact(ctx, turn%2 == 0)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	for taken := 0; ; taken++ {
		// On a slow machine a pass takes its time: what is taken meanwhile is bounded, or
		// each round would leave the next one more to do.
		for taken >= 40 && sealed.Load() == 0 {
			select {
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
		var b ledger.Batch
		for range 7 {
			b.Access = append(b.Access, killedRecord(n))
			n++
		}
		if _, err := k.hot.Take(ctx, &ledger.Arrival{Batch: b, From: "opr_1", Body: strconv.Itoa(n)}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acknowledged", n)
		if sealed.Load() > 0 && !said {
			said = true
			fmt.Println("sealed")
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	}
}

// TestKilled kills a process at any moment of taking, sealing and merging, again and
// again: every acknowledged record is there exactly once, and none that is torn.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, db := range []string{"SQLite", "PostgreSQL"} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			dir, dsn := t.TempDir(), ""
			rounds := kills()
			if db == "PostgreSQL" {
				dsn = pgtest.Database(t)
				rounds /= 4
			}
			k, err := openKilled(ctx, dir, dsn)
			if err != nil {
				t.Fatal(err)
			}
			k.people(t)
			k.close(ctx)
			next, sealedIn := 0, 0
			for round := range rounds {
				acknowledged, sealed := killOne(t, dir, dsn, next, 1+round*7%31, round%4 != 0)
				if sealed {
					sealedIn++
				}
				if k, err = openKilled(ctx, dir, dsn); err != nil {
					t.Fatal(err)
				}
				got := countKilled(t, k, acknowledged)
				k.close(ctx)
				next = got // a batch that was written and not acknowledged is there too, whole
			}
			if sealedIn < rounds/2 {
				t.Fatalf("only %d of %d processes sealed anything before they were killed", sealedIn, rounds)
			}
		})
	}
}

// killOne runs the child until it has acknowledged some batches, late only those after
// the sealer's first pass, and kills it.
func killOne(t *testing.T, dir, dsn string, from, batches int, late bool) (acknowledged int, sealed bool) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	c.Env = append(os.Environ(), "MUSTER_KILLED_DIR="+dir, "MUSTER_KILLED_DSN="+dsn, "MUSTER_KILLED_FROM="+strconv.Itoa(from))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged = from
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
		if !ok {
			sealed = sealed || lines.Text() == "sealed"
			said = append(said, lines.Text())
			continue
		}
		acknowledged, _ = strconv.Atoi(n)
		if late && !sealed {
			continue
		}
		if batches--; batches == 0 {
			c.Process.Kill()
		}
	}
	c.Wait()
	if batches > 0 {
		t.Fatalf("the child ended by itself:\n%s", strings.Join(said, "\n"))
	}
	return acknowledged, sealed
}

// countKilled reads every record back and returns how many there are.
func countKilled(t *testing.T, k *killed, acknowledged int) int {
	t.Helper()
	seen := map[int]bool{}
	for i := range 3 {
		for after := ""; ; {
			page, err := k.ask.Used(t.Context(), asking, ledger.Used{
				Account: "acc_K-" + strconv.Itoa(i), From: killedRecord(0).At, Until: killedRecord(0).At.AddDate(0, 0, 300), After: after, Limit: ledger.MaxPage,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				n := int(r.At.Sub(killedRecord(0).At) / (90 * time.Second))
				want := killedRecord(n)
				if want.Account = "acc_" + want.Account; r != want {
					t.Fatalf("record %d is another one", n)
				}
				if seen[n] {
					t.Fatalf("record %d is there twice", n)
				}
				seen[n] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	for n := range acknowledged {
		if !seen[n] {
			t.Fatalf("record %d of %d acknowledged is not there", n, acknowledged)
		}
	}
	for n := range len(seen) {
		if !seen[n] {
			t.Fatalf("%d records and not the %d-th: a batch is torn", len(seen), n)
		}
	}
	if len(seen)%7 != 0 {
		t.Fatalf("%d records: a batch is torn", len(seen))
	}
	return len(seen)
}
