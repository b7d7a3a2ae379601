package store_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
)

// TestWhoArrivesTogetherIsCounted: of many who share a value and come at once, each
// counts those before, though their questions were put together; and of two under one
// reference one is the first. Who writes a name that is taken fails, and nobody else.
func TestWhoArrivesTogetherIsCounted(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(*testing.T) store.Config{
		"SQLite":     func(t *testing.T) store.Config { return store.Config{Path: filepath.Join(t.TempDir(), "muster.db")} },
		"PostgreSQL": func(t *testing.T) store.Config { return store.Config{DSN: pgtest.Database(t), Writers: 1} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, config(t))
			const pairs = 40
			var mu sync.Mutex
			counts := map[string]int64{}
			arrive := func(n int, reference string) error {
				card := []byte("one card for all of")
				question := []muster.HandleCount{{Kind: "card", Digests: [][]byte{card}}, {Kind: "phone"}}
				return db.Arrive(t.Context(), reference, reference, question, func(tx *store.Tx, taken bool, got []int64) error {
					mu.Lock()
					defer mu.Unlock()
					if taken {
						return nil
					}
					counts[reference] = got[0] // it may run again
					if err := tx.AddIndex(t.Context(), muster.IndexRow{Kind: "card", Digest: card, Handle: fmt.Appendf(nil, "%016d", n), Role: muster.RoleCustomer, Made: tx.Now()}); err != nil {
						return err
					}
					return tx.PutApplication(t.Context(), &muster.ApplicationRecord{ID: fmt.Sprint("app_", n), Reference: reference, State: muster.AppNeeds})
				})
			}
			name := func(n int, reference string) error {
				return db.Arrive(t.Context(), fmt.Sprint("other-", n), "", nil, func(tx *store.Tx, _ bool, _ []int64) error {
					return tx.PutApplication(t.Context(), &muster.ApplicationRecord{ID: fmt.Sprint("app_other_", n), Reference: reference, State: muster.AppNeeds})
				})
			}
			if err := name(0, "taken"); err != nil {
				t.Fatal(err)
			}
			// The lane is held until all are on their way.
			var coming, done sync.WaitGroup
			coming.Add(2 * pairs)
			done.Go(func() {
				err := db.InTx(t.Context(), func(tx *store.Tx) error {
					coming.Wait()
					return tx.PutApplication(t.Context(), &muster.ApplicationRecord{ID: "app_first", Reference: "taken", State: muster.AppNeeds})
				})
				if muster.ErrorCode(err) != muster.CodeConflict {
					t.Errorf("a name that is taken: %v", err)
				}
			})
			for n := range 2 * pairs {
				if n%8 == 0 {
					done.Go(func() {
						if err := name(1+n, "taken"); muster.ErrorCode(err) != muster.CodeConflict {
							t.Errorf("a name that is taken: %v", err)
						}
					})
				}
				done.Go(func() {
					coming.Done()
					if err := arrive(n, fmt.Sprint("r-", n/2)); err != nil {
						t.Error(err)
					}
				})
			}
			done.Wait()
			before := slices.Sorted(maps.Values(counts))
			for i, n := range before {
				if n != int64(i) {
					t.Fatalf("they counted %v before them", before)
				}
			}
			if len(before) != pairs {
				t.Errorf("%d were taken, want %d", len(before), pairs)
			}
		})
	}
}
