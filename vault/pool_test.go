package vault_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestKeysAreDurableBeforeOneIsTaken(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		v, store, _ := setup(t)
		store.Fail(func(op string, landed bool) error {
			if op == "AddKeys" && landed == after {
				return errCut
			}
			return nil
		})
		if k, err := v.TakeKey(t.Context()); !errors.Is(err, errCut) || k.ID() != "" {
			t.Fatalf("after %v: took %v, %v", after, k, err)
		}
		store.Fail(nil)
		for range 50 {
			k := take(t, v)
			if rows, err := store.Keys(t.Context(), []string{k.ID()}); err != nil || len(rows) != 1 {
				t.Fatalf("took a key that the store does not hold: %v", err)
			}
		}
	}
}

func TestEachKeyIsTakenOnce(t *testing.T) {
	t.Parallel()
	v, store, kms := setup(t)
	c := config(store, kms)
	c.Shared = true
	other := open(t, c)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{}
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				k, err := []*vault.Vault{v, other}[i%2].TakeKey(context.Background())
				mu.Lock()
				if err != nil || seen[k.ID()] {
					t.Errorf("key %v twice, or %v", k, err)
				}
				seen[k.ID()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 800 {
		t.Fatalf("%d keys", len(seen))
	}
}

func TestCloseDestroysKeysThatNobodyTook(t *testing.T) {
	t.Parallel()
	v, store, _ := setup(t)
	take(t, v)
	if err := v.Close(t.Context()); err != nil || store.Len() != 1 {
		t.Fatalf("%d keys, %v", store.Len(), err)
	}
	if _, err := v.TakeKey(t.Context()); err == nil {
		t.Fatal("took a key from a closed vault")
	}
}

// The design's bound: destroyed keys are gone from every process within 5 s.
func TestDestroyedKeyIsGoneElsewhereWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, kms := vaulttest.NewStore(), vaulttest.NewKMS()
		c := config(store, kms)
		c.Shared = true
		v, err := vault.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close(t.Context())
		w, err := vault.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close(t.Context())
		files := write(t, v, 1)
		if _, err := seen(w, files[0].item); err != nil { // read a moment ago: the worst case
			t.Fatal(err)
		}
		if err := v.Destroy(t.Context(), []string{files[0].item.KeyID}); err != nil {
			t.Fatal(err)
		}
		if _, err := seen(v, files[0].item); muster.ErrorCode(err) != muster.CodeGone {
			t.Fatalf("here: %v", err)
		}
		gone := time.Duration(0)
		for ; ; gone += 100 * time.Millisecond {
			if _, err := seen(w, files[0].item); muster.ErrorCode(err) == muster.CodeGone {
				break
			}
			if gone > 5*time.Second {
				t.Fatal("it lives on elsewhere")
			}
			time.Sleep(100 * time.Millisecond) // of the bubble's clock
		}
	})
}

// slowStore lets a test act between the reading of a row and its return.
type slowStore struct {
	*vaulttest.Store
	between func()
}

func (s *slowStore) Keys(ctx context.Context, ids []string) ([]vault.KeyRow, error) {
	rows, err := s.Store.Keys(ctx, ids)
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
	return rows, err
}

func TestRowReadJustBeforeItsDestructionIsNotKept(t *testing.T) {
	t.Parallel()
	store := &slowStore{Store: vaulttest.NewStore()}
	v := open(t, config(store, vaulttest.NewKMS()))
	files := write(t, v, 1)
	id := []string{files[0].item.KeyID}
	store.between = func() {
		if err := v.Destroy(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	_, _ = seen(v, files[0].item) // began before: it may open, once
	if _, err := seen(v, files[0].item); muster.ErrorCode(err) != muster.CodeGone {
		t.Fatalf("a destroyed key is kept: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	reads := 0
	store := &slowStore{Store: vaulttest.NewStore()}
	c := config(store, vaulttest.NewKMS())
	c.CacheSize = 2
	v := open(t, c)
	files := write(t, v, 3)
	open := func(i int) {
		t.Helper()
		store.between = func() { reads++ }
		if _, err := seen(v, files[i].item); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 1, 0, 1} {
		open(i)
	}
	if reads != 2 {
		t.Fatalf("%d reads of two keys", reads)
	}
	open(2) // drops 0, the one used longest ago
	open(1)
	if reads != 3 {
		t.Fatalf("%d reads", reads)
	}
	open(0)
	if reads != 4 {
		t.Fatalf("%d reads", reads)
	}
}

// TestKeysAreAheadOfALargeWrite: while a turn of the epoch writes, which is when a
// refill waits, so many are there already.
func TestKeysAreAheadOfALargeWrite(t *testing.T) {
	t.Parallel()
	v, store, _ := setup(t)
	if _, err := v.MakeKeys(t.Context(), store.AtOnce()+1); err != nil {
		t.Fatal(err)
	}
	writes, writing := 0, atomic.Bool{}
	store.Fail(func(op string, landed bool) error {
		switch {
		case op == "AddKeys" && writing.Load():
			return errCut
		case op == "Rewrap" && !landed:
			if writes++; writes > 1 {
				return nil
			}
			writing.Store(true)
			defer writing.Store(false)
			took := make(chan error, 1)
			go func() {
				var err error
				for n := 0; n < 2000 && err == nil; n++ {
					_, err = v.TakeKey(t.Context())
				}
				took <- err
			}()
			select {
			case err := <-took:
				return err
			case <-time.After(20 * time.Second): // it waits for this very write
				return errCut
			}
		}
		return nil
	})
	if err := v.Rotate(t.Context(), nil); err != nil || writes != 2 {
		t.Fatalf("%d writes, %v", writes, err)
	}
}
