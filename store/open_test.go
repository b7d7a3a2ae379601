package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

func TestConfigNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []store.Config{{}, {Path: "x", DSN: "y"}, {Path: "x", Group: -1}, {DSN: "postgres://secret@:bad:/"}} {
		_, err := store.Open(t.Context(), c)
		if muster.ErrorCode(err) != muster.CodeInvalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A commit waits for its own bytes, and not for the times of files.
func TestCommitsAreSyncedWithoutTimes(t *testing.T) {
	t.Parallel()
	open(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	if runtime.GOOS == "linux" && !sqlite.FdatasyncEnabled() {
		t.Error("SQLite syncs with fsync")
	}
}

// What was acknowledged is there after the store is opened again.
func TestReopen(t *testing.T) {
	t.Parallel()
	for name, c := range configs(t) {
		db, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, _, err := post(t.Context(), db, "ref"); err != nil {
			t.Fatal(name, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(name, err)
		}
		if err := db.InTx(t.Context(), func(*store.Tx) error { return nil }); muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Error(name, "a closed store took a transaction:", err)
		}
		if err := db.View(t.Context(), func(*store.Tx) error { return nil }); muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Error(name, "a closed store gave a view:", err)
		}
		again := open(t, c)
		same(&bundle{T: t, db: again}, 1, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
		if _, taken, err := post(t.Context(), again, "ref"); err != nil || taken {
			t.Error(name, "it was taken twice:", err)
		}
	}
}

func configs(t *testing.T) map[string]store.Config {
	c := map[string]store.Config{"sqlite": {Path: filepath.Join(t.TempDir(), "a folder?", "muster.db")}}
	c["postgres"] = store.Config{DSN: pgtest.Database(t), Schema: "a schema"}
	return c
}

// A database that a newer program has written is refused, and not touched.
func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	file := filepath.Join(t.TempDir(), "muster.db")
	for name, c := range map[string]struct {
		conf        store.Config
		driver, dsn string
	}{
		"sqlite":   {store.Config{Path: file}, "sqlite", file},
		"postgres": {store.Config{DSN: dsn}, "pgx", dsn},
	} {
		db, err := store.Open(t.Context(), c.conf)
		if err != nil {
			t.Fatal(name, err)
		}
		db.Close()
		raw, err := sql.Open(c.driver, c.dsn)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := raw.Exec(`INSERT INTO schema_version (version_id, is_applied) VALUES (9999, '1')`); err != nil {
			t.Fatal(name, err)
		}
		raw.Close()
		_, err = store.Open(t.Context(), c.conf)
		var e *muster.Error
		if !errors.As(err, &e) || e.Code != muster.CodeConflict || !strings.Contains(e.Message, "9999") || e.Hint == "" {
			t.Error(name, err)
		}
	}
}

// The file that a second process opens is refused while the first one has it. Two
// openings in one process hold the lock apart as two processes do (flock).
func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "muster.db")
	first := open(t, store.Config{Path: path})
	_, err := store.Open(t.Context(), store.Config{Path: path})
	var e *muster.Error
	if !errors.As(err, &e) || e.Code != muster.CodeConflict || !strings.Contains(e.Message, "another process") || e.Hint == "" {
		t.Fatal(err)
	}
	if _, _, err := post(t.Context(), first, "ref"); err != nil {
		t.Error("the first one was disturbed:", err)
	}
}

// Two processes may start on an empty PostgreSQL at once.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	opened := make(chan error)
	for range 3 {
		go func() {
			db, err := store.Open(context.Background(), store.Config{DSN: dsn})
			if err == nil {
				err = db.Close()
			}
			opened <- err
		}()
	}
	for range 3 {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}

// A write fails in the middle and at the commit (the file may not grow): nobody is told
// that it was kept, nothing of it is there, and the store works when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getenv("MUSTER_FULL_DISK") == "" {
		t.Parallel()
		runAlone(t, "TestFullDisk", "MUSTER_FULL_DISK=1")
		return
	}
	path := filepath.Join(t.TempDir(), "muster.db")
	db := open(t, store.Config{Path: path})
	ctx := t.Context()
	if _, _, err := post(ctx, db, "before"); err != nil {
		t.Fatal(err)
	}
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
		if l.Cur = l.Max; n > 0 {
			l.Cur = n
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
	}
	failed := 0
	for room := range 16 {
		limit(uint64(wal.Size()) + uint64(room)*3000)
		_, _, err := post(ctx, db, fmt.Sprint("full-", room))
		limit(0)
		if err == nil {
			continue
		}
		failed++
		if muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Errorf("room %d: %v", room, err)
		}
		b := &bundle{T: t, db: db}
		b.view(func(tx *store.Tx) error {
			if _, err := tx.Application(ctx, fmt.Sprint("full-", room)); muster.ErrorCode(err) != muster.CodeNotFound {
				t.Errorf("room %d: what failed is there: %v", room, err)
			}
			return nil
		})
		if _, taken, err := post(ctx, db, fmt.Sprint("after-", room)); err != nil || !taken {
			t.Errorf("room %d: the store does not work again: %v", room, err)
		}
		same(b, nil, func(ctx context.Context, tx *store.Tx) ([]string, error) { return tx.Leafless(ctx, 10) })
	}
	if failed == 0 {
		t.Error("no write failed: this test sees nothing")
	}
}

func TestEveryKindHasANumber(t *testing.T) {
	t.Parallel()
	b := &bundle{T: t, db: openSQLite(t)}
	for _, kind := range vault.Kinds {
		b.tx(func(tx *store.Tx) error {
			return tx.AddIndex(b.Context(), muster.IndexRow{Kind: string(kind), Digest: []byte("d"), Handle: []byte("h"), Role: muster.RoleOwner})
		})
		same(b, []int64{1}, func(ctx context.Context, tx *store.Tx) ([]int64, error) {
			return tx.CountHandles(ctx, muster.HandleCount{Kind: string(kind), Digests: [][]byte{[]byte("d")}})
		})
	}
}

// The server ends a connection in the middle of a group and right before its commit:
// nobody is told that it was kept, nothing of it is there, and the next one works.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	ctx, db := t.Context(), open(t, store.Config{DSN: dsn})
	other, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, sent := range []bool{false, true} {
		err := db.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_lost"}); err != nil {
				return err
			}
			if sent {
				if _, err := tx.Customer(ctx, "cus_lost"); err != nil {
					return err
				}
			}
			_, err := other.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
			return err
		})
		if muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Errorf("sent %v: %v", sent, err)
		}
		// Each connection that was idle is found out once.
		_, taken, err := post(ctx, db, fmt.Sprint("after-", sent))
		for tries := 0; tries < 8 && muster.ErrorCode(err) == muster.CodeUnavailable; tries++ {
			_, taken, err = post(ctx, db, fmt.Sprint("after-", sent))
		}
		if err != nil || !taken {
			t.Errorf("sent %v: the store does not work again: %v", sent, err)
		}
	}
	again := open(t, store.Config{DSN: dsn})
	same(&bundle{T: t, db: again}, nil, func(ctx context.Context, tx *store.Tx) ([]*muster.CustomerRecord, error) {
		return tx.Customers(ctx, muster.Page{Limit: 10})
	})
	same(&bundle{T: t, db: again}, 2, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
}

// TestNoReaderHearsOfAConnectionThatWasClosed while it was idle: a server that was started
// again has closed all of them.
func TestNoReaderHearsOfAConnectionThatWasClosed(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	ctx, db := t.Context(), open(t, store.Config{DSN: dsn})
	var read func(beside int) error
	read = func(beside int) error {
		return db.View(ctx, func(tx *store.Tx) error {
			if _, err := tx.LogSize(ctx); err != nil || beside == 0 {
				return err
			}
			return read(beside - 1)
		})
	}
	for range 3 {
		if err := read(3); err != nil {
			t.Fatal(err)
		}
		pgtest.Exec(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	}
	if err := read(3); err != nil {
		t.Fatal(err)
	}
}

// TestWhoLeavesTakesNobodyAlong: of two who share a group on PostgreSQL one goes away
// while a statement of theirs waits. The other's transaction is kept.
func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	var size atomic.Int64 // of the last group
	db := open(t, store.Config{DSN: dsn, Writers: 1, Observe: func(c store.Commit) { size.Store(int64(c.Size)) }})
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := db.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.PutCustomer(t.Context(), &muster.CustomerRecord{ID: "cus_0", Kind: muster.Individual})
	}); err != nil {
		t.Fatal(err)
	}
	for try := 1; try <= 1000; try++ {
		lock, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lock.Exec(t.Context(), `LOCK TABLE customers IN EXCLUSIVE MODE`); err != nil {
			t.Fatal(err)
		}
		leaves, leave := context.WithCancel(t.Context())
		id := fmt.Sprintf("whk_%d", try)
		var stays, gone error
		var both sync.WaitGroup
		came := make(chan struct{})
		come := sync.OnceFunc(func() { close(came) })
		both.Go(func() {
			stays = db.InTx(t.Context(), func(tx *store.Tx) error {
				come()
				for range 100 { // so that the other stands in the queue
					runtime.Gosched()
				}
				return tx.PutWebhook(t.Context(), &muster.WebhookRecord{ID: id})
			})
		})
		<-came
		both.Go(func() {
			gone = db.InTx(leaves, func(tx *store.Tx) error {
				if err := tx.PutCustomer(leaves, &muster.CustomerRecord{ID: "cus_" + id, Kind: muster.Individual}); err != nil {
					return err
				}
				_, err := tx.Customer(leaves, "cus_0")
				return err
			})
		})
		for pgtest.One[int64](t, dsn, `SELECT count(*) FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))`, int64(conn.PgConn().PID())) == 0 {
		}
		leave()
		if err := lock.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
		both.Wait()
		if stays != nil {
			t.Fatalf("who stayed: %v; who left: %v", stays, gone)
		}
		if size.Load() == 2 {
			return
		}
	}
	t.Fatal("they never shared a group")
}
