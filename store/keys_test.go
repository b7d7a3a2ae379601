package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestKeysSQLite(t *testing.T) {
	t.Parallel()
	vaulttest.Conformance(t, func(t *testing.T) vault.KeyStore {
		return openKeys(t, store.Config{Path: filepath.Join(t.TempDir(), "keys", "keys.db")})
	})
}

func TestKeysPostgres(t *testing.T) {
	t.Parallel()
	vaulttest.Conformance(t, func(t *testing.T) vault.KeyStore {
		return openKeys(t, store.Config{DSN: pgtest.Database(t), Schema: "keys"})
	})
}

func openKeys(t testing.TB, c store.Config) *store.Keys {
	k, err := store.OpenKeys(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// A deleted key's bytes are in no file of the key store once Delete returns.
func TestDeletedKeyIsOverwritten(t *testing.T) {
	t.Parallel()
	ctx, folder := t.Context(), t.TempDir()
	k := openKeys(t, store.Config{Path: filepath.Join(folder, "keys.db")})
	if err := k.SwapSet(ctx, 0, vault.Set{Version: 1, Epoch: 1, Root: "r", Rows: []vault.NamedRow{{Name: "epoch", Version: 1, Wrapped: []byte{1}}}}); err != nil {
		t.Fatal(err)
	}
	wrapped := bytes.Repeat([]byte("planted."), 8)
	var rows []vault.KeyRow
	for i := range 200 {
		rows = append(rows, vault.KeyRow{ID: "key_" + string(rune('a'+i/26)) + string(rune('a'+i%26)), Handle: [16]byte{byte(i)}, Epoch: 1, Wrapped: []byte("another.")})
	}
	rows[77].Wrapped = wrapped
	if err := k.AddKeys(ctx, rows); err != nil {
		t.Fatal(err)
	}
	if !anyFileHolds(t, folder, wrapped[:16]) {
		t.Fatal("the key is not found while it is there: this test sees nothing")
	}
	if err := k.Delete(ctx, []string{rows[77].ID}); err != nil {
		t.Fatal(err)
	}
	if anyFileHolds(t, folder, wrapped[:16]) {
		t.Error("a deleted key is still in a file")
	}
}

func anyFileHolds(t *testing.T, folder string, what []byte) bool {
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, what) {
			return true
		}
	}
	return false
}
