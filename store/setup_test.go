package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
)

func openSQLite(t testing.TB) *store.DB {
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func openPostgres(t testing.TB) *store.DB {
	return openDSN(t, pgtest.Database(t))
}

func openDSN(t testing.TB, dsn string) *store.DB {
	db, err := store.Open(t.Context(), store.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
