package store_test

import (
	"fmt"
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
// reference one is the first.
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
			var counts []int64
			var took []string
			arrive := func(n int, reference string) error {
				card := []byte("one card for all of")
				question := []muster.HandleCount{{Kind: "card", Digests: [][]byte{card}}, {Kind: "phone"}}
				return db.Arrive(t.Context(), reference, reference, question, func(tx *store.Tx, taken bool, got []int64) error {
					mu.Lock()
					defer mu.Unlock()
					if taken {
						return nil
					}
					counts, took = append(counts, got[0]), append(took, reference)
					if err := tx.AddIndex(t.Context(), muster.IndexRow{Kind: "card", Digest: card, Handle: fmt.Appendf(nil, "%016d", n), Role: muster.RoleCustomer, Made: tx.Now()}); err != nil {
						return err
					}
					return tx.PutApplication(t.Context(), &muster.ApplicationRecord{ID: fmt.Sprint("app_", n), Reference: reference, State: muster.AppNeeds})
				})
			}
			// The lane is held until all are on their way.
			var coming, done sync.WaitGroup
			coming.Add(2 * pairs)
			done.Go(func() {
				if err := db.InTx(t.Context(), func(*store.Tx) error { coming.Wait(); return nil }); err != nil {
					t.Error(err)
				}
			})
			for n := range 2 * pairs {
				done.Go(func() {
					coming.Done()
					if err := arrive(n, fmt.Sprint("r-", n/2)); err != nil {
						t.Error(err)
					}
				})
			}
			done.Wait()
			slices.Sort(counts)
			slices.Sort(took)
			for i, n := range counts {
				if n != int64(i) {
					t.Fatalf("they counted %v before them", counts)
				}
			}
			if len(counts) != pairs || len(slices.Compact(took)) != pairs {
				t.Errorf("%d were taken under %d references, want %d", len(counts), len(took), pairs)
			}
		})
	}
}
