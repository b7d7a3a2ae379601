package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
)

// A pooler that gives sessions is PostgreSQL as ever, with the ledger's tables where they
// belong; one that lends them out for a transaction is refused by name.
func TestPoolers(t *testing.T) {
	t.Parallel()
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		dsn := pgtest.Pooler(t, "session")
		db, err := store.Open(t.Context(), store.Config{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		l, err := store.OpenLedger(t.Context(), store.Config{DSN: dsn, Schema: "ledger"})
		if err != nil {
			t.Fatal(err)
		}
		if n := pgtest.One[int64](t, dsn, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'ledger_state'`); n != 0 {
			t.Error("the ledger's tables lie among the others")
		}
		err = db.InTx(t.Context(), func(tx *store.Tx) error { return tx.Enqueue(t.Context(), &muster.Job{ID: "j1", Kind: "k"}) })
		if err := errors.Join(err, l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Run("transaction", func(t *testing.T) {
		t.Parallel()
		db, err := store.Open(t.Context(), store.Config{DSN: pgtest.Pooler(t, "transaction")})
		if err == nil {
			db.Close()
		}
		if muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("opened: %v", err)
		}
	})
}

// While PostgreSQL has no connection left, gives a statement no time, or takes no writes,
// callers are told to come back; once it does, all goes on by itself, and nothing of what
// failed was kept.
func TestWhatADatabaseRefusesForAWhile(t *testing.T) {
	t.Parallel()
	own := pgtest.NewOwn(t)
	dsn := own.Database()
	pgtest.Exec(t, dsn, `CREATE ROLE muster LOGIN`)
	pgtest.Exec(t, dsn, `GRANT ALL ON SCHEMA public TO muster`)
	admin, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	run := func(q string) {
		t.Helper()
		if _, err := admin.Exec(context.Background(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	// A migration has the time that it takes, such as until another process has migrated.
	run(`ALTER ROLE muster SET statement_timeout = '1s'`)
	run(`SELECT pg_advisory_lock(x'6d757374'::bigint)`)
	var db *store.DB
	opened := make(chan error)
	go func() {
		var err error
		db, err = store.Open(t.Context(), store.Config{DSN: strings.Replace(dsn, "postgres@", "muster@", 1)})
		opened <- err
	}()
	for waits := false; !waits; {
		select {
		case err := <-opened:
			t.Fatal("it did not wait:", err)
		default:
			waits = pgtest.One[bool](t, dsn, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE usename = 'muster' AND wait_event = 'advisory' AND now() - query_start > '1.2 s')`)
		}
	}
	run(`SELECT pg_advisory_unlock(x'6d757374'::bigint)`)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run(`ALTER ROLE muster RESET ALL`)
	all := func() {
		run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'muster'`)
	}

	write := func() error {
		return db.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.Enqueue(t.Context(), &muster.Job{ID: "j", Kind: "k"}); err != nil {
				return err
			}
			_, err := tx.Acquire(t.Context(), "x", "x", time.Minute)
			return err
		})
	}
	read := func() error {
		return db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.JobByID(t.Context(), "k"); return err })
	}
	for _, x := range []struct {
		what, begin, end string
		reads            bool
	}{
		{"no connection is left", `ALTER ROLE muster CONNECTION LIMIT 0`, `ALTER ROLE muster CONNECTION LIMIT -1`, false},
		{"statements have no time", `ALTER ROLE muster SET statement_timeout = 100`, `ALTER ROLE muster RESET ALL`, false},
		{"transactions may not wait", `ALTER ROLE muster SET lock_timeout = 100`, `ALTER ROLE muster RESET ALL`, false},
		{"nothing may be written, as on a standby", `ALTER ROLE muster SET default_transaction_read_only = on`, `ALTER ROLE muster RESET ALL`, true},
	} {
		run(x.begin)
		all()
		run(`BEGIN`)
		if !x.reads {
			run(`LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE`)
		}
		if err := write(); muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Errorf("%s: %v", x.what, err)
		}
		if err := read(); muster.ErrorCode(err) != muster.CodeUnavailable && !(x.reads && muster.ErrorCode(err) == muster.CodeNotFound) {
			t.Errorf("%s, to read: %v", x.what, err)
		}
		run(`ROLLBACK`)
		run(x.end)
		all()
		if err := write(); err != nil {
			t.Errorf("after %s: %v", x.what, err)
		}
		if err := read(); muster.ErrorCode(err) != muster.CodeNotFound {
			t.Errorf("after %s, to read: %v", x.what, err)
		}
		run(`DELETE FROM jobs`) // one, or the next write is a conflict
	}
}

// Whoever cancels a commit that waits for a standby has PostgreSQL call it a success: it
// lies on one server only, and is not acknowledged.
func TestACommitThatItsStandbyDoesNotHaveIsNone(t *testing.T) {
	t.Parallel()
	own := pgtest.NewOwn(t)
	dsn := own.Database()
	db := open(t, store.Config{DSN: dsn})
	wait := func(names string) {
		pgtest.Exec(t, dsn, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`)
		pgtest.Exec(t, dsn, `SELECT pg_reload_conf()`)
	}
	wait("nobody")
	// The server reads its configuration when it comes to it, and acknowledges until then.
	var err error
	name, cancelled := "", int64(0)
	for n := 0; err == nil && cancelled == 0; n++ {
		name = fmt.Sprint("alone-", n)
		done := make(chan error)
		go func() { _, _, err := post(t.Context(), db, name); done <- err }()
		for waits := true; waits; {
			select {
			case err = <-done:
				waits = false
			default:
				cancelled += pgtest.One[int64](t, dsn, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
			}
		}
	}
	if muster.ErrorCode(err) != muster.CodeUnavailable || !strings.Contains(err.Error(), "one server only") {
		t.Errorf("a commit that its standby does not have: %v", err)
	}
	wait("")
	if _, _, err := post(t.Context(), db, name); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

// A process that sleeps in a transaction loses it, and its locks, after ten seconds: what it
// wrote is not kept, and it is told so once awake.
func TestATransactionThatIsSleptInIsUndone(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	ctx, db, other := t.Context(), open(t, store.Config{DSN: dsn}), open(t, store.Config{DSN: dsn})
	put := func(tx *store.Tx) error {
		if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1", Kind: muster.Individual}); err != nil {
			return err
		}
		_, err := tx.Acquire(ctx, "duty", "one", time.Minute) // which goes out at once, and locks
		return err
	}
	err := db.InTx(ctx, func(tx *store.Tx) error {
		if err := put(tx); err != nil {
			return err
		}
		// The other waits for the row, is given it, and leaves it free.
		return other.InTx(ctx, func(tx *store.Tx) error {
			l, err := tx.Acquire(ctx, "duty", "other", time.Minute)
			if err != nil {
				return err
			}
			return tx.Release(ctx, l)
		})
	})
	if muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Errorf("who slept: %v", err)
	}
	if n := pgtest.One[int64](t, dsn, `SELECT count(*) FROM customers`); n != 0 {
		t.Errorf("%d customers", n)
	}
	if err := db.InTx(ctx, put); err != nil {
		t.Errorf("the same again: %v", err)
	}
}
