package watchlist_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
	"github.com/muster-cip/muster/watchlist"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// began is when every test begins, in the processes that it starts too.
var began = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// bundle is a service over a real store.
type bundle struct {
	*testing.T
	*watchlist.Service
	db    *store.DB
	vault *vault.Vault
	mu    sync.Mutex
	now   time.Time
}

func (b *bundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bundle) move(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// onBoth runs a test on both stores.
func onBoth(t *testing.T, test func(*bundle)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(setup(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, watchlist.Rules{}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(setup(t, store.Config{DSN: pgtest.Database(t)}, watchlist.Rules{}))
	})
}

func setup(t *testing.T, c store.Config, rules watchlist.Rules, allow ...string) *bundle {
	t.Helper()
	b := &bundle{T: t, now: began}
	c.Clock = b.clock
	var err error
	if b.db, err = store.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	b.vault, err = vault.Open(t.Context(), vault.Config{
		Deployment: "dep_1", KMS: vaulttest.NewKMS(), Store: vaulttest.NewStore(), Clock: b.clock, Create: true, PoolSize: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.vault.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b.Service = b.service(b.db, rules, allow...)
	return b
}

// service is one process's service over a store.
func (b *bundle) service(db *store.DB, rules watchlist.Rules, allow ...string) *watchlist.Service {
	b.Helper()
	client, err := outbound.New(outbound.Config{Allow: allow, MaxBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s, err := watchlist.New(watchlist.Config{
		DB: store.As[watchlist.Tx](db), Journal: journal.New(b.vault, store.As[journal.Tx](db)), Seals: b.vault, Client: client,
		Clock: b.clock, Holder: "test", Rules: rules,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// sdn is a set of so many entries, with ids from first on.
func sdn(first, n int, extra ...string) lists.File {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "%d,\"DOE %d, John\",\"individual\",\"SDGT\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,\"DOB 1 Jan 1960.\"\r\n", first+i, first+i)
	}
	for _, x := range extra {
		s.WriteString(x + "\r\n")
	}
	return lists.File{Path: "sdn.csv", Data: []byte(s.String())}
}

func (b *bundle) imports(state string, files ...lists.File) watchlist.Arrived {
	b.Helper()
	outs, err := b.Import(b.Context(), "opr_1", files)
	if err != nil || len(outs) != 1 || outs[0].State != state {
		b.Fatalf("%+v, %v; want %s", outs, err, state)
	}
	return outs[0]
}

// inEffect is the digest and the number of entries of a list, as this process sees it.
func (b *bundle) inEffect(s *watchlist.Service, list string) (digest string, n int) {
	b.Helper()
	refs, entries, err := s.Current(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range refs {
		if r.List == list {
			digest = r.Digest
		}
	}
	for _, e := range entries {
		if e.List == list {
			n++
		}
	}
	return digest, n
}

func (b *bundle) sweeps() (orders []string) {
	b.Helper()
	err := b.db.InTx(b.Context(), func(tx *store.Tx) error {
		jobs, err := tx.Claim(b.Context(), []string{muster.JobSweep}, "test", 100, time.Minute)
		orders = nil
		for _, j := range jobs {
			orders = append(orders, string(j.Payload))
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return orders
}

func code(t testing.TB, err error, want muster.Code) {
	t.Helper()
	if muster.ErrorCode(err) != want {
		t.Fatalf("%v, want %s", err, want)
	}
}
