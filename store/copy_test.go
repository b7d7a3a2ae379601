package store_test

import (
	"bytes"
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
	now, err := store.OpenSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, now.Size())
	if _, err := now.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckSQLite(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	// The bytes of a customer's row lie on a page of the customers' table.
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
}
