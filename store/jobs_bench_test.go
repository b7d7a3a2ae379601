package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// BenchmarkClaimAmongMany takes and finishes jobs while very many wait that are not due.
func BenchmarkClaimAmongMany(b *testing.B) {
	db, ctx := openSQLite(b), b.Context()
	const waiting = 1_000_000
	for from := 0; from < waiting; from += 10_000 {
		if err := db.InTx(ctx, func(tx *store.Tx) error {
			for i := range 10_000 {
				j := &muster.Job{ID: fmt.Sprintf("job_%07d", from+i), Kind: "k", RunAt: tx.Now().Add(time.Duration(i%2) * time.Hour)}
				if err := tx.Enqueue(ctx, j); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := db.InTx(ctx, func(tx *store.Tx) error {
			jobs, err := tx.Claim(ctx, []string{"k"}, "me", 10, time.Minute)
			for _, j := range jobs {
				if err := tx.Finish(ctx, j.ID, j.Fence); err != nil {
					return err
				}
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
