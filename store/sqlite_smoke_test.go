package store_test

import (
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	ctx := t.Context()
	rec := &muster.CustomerRecord{ID: "cus_1", Kind: muster.Individual}
	if err := db.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.Append(ctx, []byte("leaf"), "x"); err != nil {
			return err
		}
		return tx.PutCustomer(ctx, rec)
	}); err != nil || rec.Version != 1 {
		t.Fatal(err, rec.Version)
	}
	if err := db.View(ctx, func(tx *store.Tx) error {
		n, err := tx.LeafOf(ctx, "x")
		if n != 0 || err != nil {
			t.Error(n, err)
		}
		if err := tx.PutCustomer(ctx, rec); err == nil {
			t.Error("a view wrote")
		}
		got, err := tx.Customer(ctx, "cus_1")
		if err == nil && *got != *rec {
			t.Error(got)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dup := &muster.CustomerRecord{ID: "cus_1"}
	if err := db.InTx(ctx, func(tx *store.Tx) error { return tx.PutCustomer(ctx, dup) }); muster.ErrorCode(err) != muster.CodeConflict || dup.Version != 0 {
		t.Error(err)
	}
}
