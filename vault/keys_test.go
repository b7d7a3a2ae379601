package vault_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

// asked is a key store that notes how many keys each read wanted.
type asked struct {
	*vaulttest.Store
	reads []int
}

func (s *asked) Keys(ctx context.Context, ids []string) ([]vault.KeyRow, error) {
	s.reads = append(s.reads, len(ids))
	return s.Store.Keys(ctx, ids)
}

// TestWarmedKeysLastForTheWork: those that were about to be looked at again are read
// with the others, and none by itself afterwards.
func TestWarmedKeysLastForTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{Store: vaulttest.NewStore()}
		c := config(store, vaulttest.NewKMS())
		c.Shared = true
		v, err := vault.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close(t.Context())
		files := write(t, v, 3)
		var ids []string
		for _, f := range files {
			ids = append(ids, f.item.KeyID)
		}
		work := session(v)
		for range 2 {
			store.reads = nil
			if err := work.Warm(t.Context(), ids); err != nil {
				t.Fatal(err)
			}
			warmed := slices.Clone(store.reads)
			time.Sleep(1200 * time.Millisecond) // of the bubble's clock
			for _, f := range files {
				if _, err := work.Open(t.Context(), f.item); err != nil {
					t.Fatal(err)
				}
			}
			if len(warmed) > 1 || len(store.reads) != len(warmed) {
				t.Errorf("keys were read %v to warm them, and %v in all", warmed, store.reads)
			}
			time.Sleep(time.Second) // now each has less than that to go
		}
	})
}
