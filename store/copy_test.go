package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// A copy of a file that is open holds together; one with a page of another's does not.
func TestACopyIsCheckedTableByTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "muster.db")
	db, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for range 500 {
			id := muster.NewID(muster.PrefixCustomer, tx.Now())
			if err := tx.PutCustomer(t.Context(), &muster.CustomerRecord{ID: id, Kind: muster.Individual, Made: tx.Now()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var copied bytes.Buffer
	if err := store.CopySQLite(t.Context(), path, &copied); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(to, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckSQLite(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	// The bytes of a customer's row lie on a page of the customers' table.
	raw := copied.Bytes()
	at := bytes.Index(raw, []byte(muster.PrefixCustomer))
	if at < 0 {
		t.Fatal("no customer is in the copy")
	}
	clear(raw[at/4096*4096 : at/4096*4096+64])
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckSQLite(t.Context(), to); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Fatalf("%v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := store.CopySQLite(ended, path, &copied); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
}
