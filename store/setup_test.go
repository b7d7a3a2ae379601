package store_test

import (
	"path/filepath"
	"testing"

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
