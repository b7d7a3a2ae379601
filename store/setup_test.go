package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

var _ onboard.DB = store.As[onboard.Tx](nil)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func openSQLite(t testing.TB) *store.DB   { return openSQLiteAt(t, nil) }
func openPostgres(t testing.TB) *store.DB { return openPostgresAt(t, nil) }

func openSQLiteAt(t testing.TB, now muster.Clock) *store.DB {
	return open(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db"), Clock: now})
}

func openPostgresAt(t testing.TB, now muster.Clock) *store.DB {
	dsn := pgtest.Database(t)
	db := open(t, store.Config{DSN: dsn, Clock: now})
	dsns.Store(db, dsn)
	return db
}

// dsns leads from a store to its database, for a second process beside the first.
var dsns sync.Map

func openBeside(t testing.TB, db *store.DB, now muster.Clock) *store.DB {
	dsn, _ := dsns.Load(db)
	return open(t, store.Config{DSN: dsn.(string), Clock: now})
}

func open(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// runAlone runs one test in a process of its own, for what it changes is the process's.
func runAlone(t *testing.T, test string, env ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Fatalf("%v\n%s", err, out)
	}
}
