package store

import (
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster/vault"
)

// A turn of the epoch has many pages at hand, and lets go of them when it ends.
func TestATurnAloneHasALargeCache(t *testing.T) {
	t.Parallel()
	k, err := OpenKeys(t.Context(), Config{Path: filepath.Join(t.TempDir(), "keys.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	remembers := func(want int64) {
		t.Helper()
		var n int64
		if err := k.db.InTx(t.Context(), func(tx *Tx) error {
			return tx.query(t.Context(), func(r row) error { return r.scan(&n) }, `PRAGMA cache_size`)
		}); err != nil || n != -want {
			t.Errorf("%d, want -%d, %v", n, want, err)
		}
	}
	remembers(16 << 10)
	if err := k.SwapSet(t.Context(), 0, vault.Set{Version: 1, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	if err := k.Rewrap(t.Context(), []vault.KeyRow{{ID: "a", Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	remembers(192 << 10)
	if err := k.SwapSet(t.Context(), 1, vault.Set{Version: 2, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	remembers(16 << 10)
}
