package store_test

import (
	"errors"
	"slices"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// evidenceKeys: of five pieces one is in use, one is dropped, one lost its details, one
// its row, and one lies under the person's key.
func evidenceKeys(b *bundle) {
	ctx, now := b.Context(), b.clock.read()
	person := &muster.SubjectRecord{ID: "sub_1", Customer: "cus_1", Role: muster.RoleCustomer, Key: "key_0", Revision: 1}
	other := &muster.SubjectRecord{ID: "sub_2", Customer: "cus_2", Role: muster.RoleOwner, Key: "key_9", Revision: 1}
	evidence := func(id, key string, of *muster.SubjectRecord) *muster.EvidenceRecord {
		return &muster.EvidenceRecord{
			Evidence:    muster.Evidence{ID: id, Subject: of.ID, Method: "document.manual", Kind: muster.Documentary, At: now, Producer: "opr_1"},
			Application: "app_" + of.Customer, Sealed: []byte("seen"), Key: key,
		}
	}
	shared := evidence("evd_5", "", other)
	b.tx(func(tx *store.Tx) error {
		return errors.Join(
			tx.PutApplication(ctx, &muster.ApplicationRecord{ID: "app_cus_1", Reference: "r-1", Customer: "cus_1", State: muster.AppApproved, Received: now}),
			tx.PutApplication(ctx, &muster.ApplicationRecord{ID: "app_cus_2", Reference: "r-2", Customer: "cus_2", State: muster.AppApproved, Received: now}),
			tx.PutSubjects(ctx, person, other),
			tx.AddEvidence(ctx, evidence("evd_1", "key_1", person)), tx.AddEvidence(ctx, evidence("evd_2", "key_2", person)),
			tx.AddEvidence(ctx, evidence("evd_3", "key_3", person)), tx.AddEvidence(ctx, evidence("evd_4", "key_4", other)), tx.AddEvidence(ctx, shared))
	})
	keys := func(ended bool) (ids, strays []string) {
		b.Helper()
		b.tx(func(tx *store.Tx) (err error) {
			ids, strays = nil, nil
			if ended {
				ids, err = tx.EndedEvidenceKeys(ctx, muster.Page{Limit: 10})
				return err
			}
			all, err := tx.EvidenceKeys(ctx, muster.Page{Limit: 10})
			for _, k := range all {
				if ids = append(ids, k.ID); k.Stray {
					strays = append(strays, k.ID)
				}
			}
			return err
		})
		return ids, strays
	}
	expect := func(what string, got []string, want ...string) {
		b.Helper()
		if !slices.Equal(got, want) {
			b.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	ids, strays := keys(false)
	expect("in use", ids, "key_1", "key_2", "key_3", "key_4")
	expect("strays", strays)

	// One under the person's key comes under its own, once.
	b.tx(func(tx *store.Tx) error {
		page, err := tx.SharedEvidence(ctx, "", "", 10)
		if err != nil || len(page) != 1 || page[0].ID != "evd_5" || page[0].Of.Key != "key_9" || page[0].Of.Customer != "cus_2" || page[0].Of.Role != muster.RoleOwner {
			b.Errorf("shared: %+v, %v", page, err)
		}
		none, err := tx.SharedEvidence(ctx, "sub_2", "evd_5", 10)
		if len(none) != 0 {
			b.Errorf("after the last: %d", len(none))
		}
		return err
	})
	shared.Key, shared.Sealed = "key_5", []byte("anew")
	b.tx(func(tx *store.Tx) error { return tx.OwnEvidence(ctx, shared, []byte("seen")) })
	if err := b.db.InTx(ctx, func(tx *store.Tx) error { return tx.OwnEvidence(ctx, shared, []byte("seen")) }); muster.ErrorCode(err) != muster.CodeStale {
		b.Errorf("again: %v", err)
	}
	b.tx(func(tx *store.Tx) error {
		of, err := tx.EvidenceKeysOf(ctx, "cus_2")
		slices.Sort(of)
		expect("of a customer", of, "key_4", "key_5")
		return err
	})

	b.tx(func(tx *store.Tx) error {
		return errors.Join(tx.DropProofs(ctx, muster.Proof{Customer: "cus_1", Subject: "sub_1", Evidence: "evd_2", Under: "key_2"}),
			tx.EraseEvidence(ctx, "cus_2"))
	})
	ids, strays = keys(false)
	expect("in use after a drop", ids, "key_1", "key_3", "key_4", "key_5")
	expect("strays after a deletion", strays, "key_4", "key_5")
	ids, _ = keys(true)
	expect("ended", ids, "key_2")
	due := func() (ids, of []string) {
		b.Helper()
		b.tx(func(tx *store.Tx) error {
			all, err := tx.EvidenceKeysDue(ctx, 10)
			ids, of = nil, nil
			for _, k := range all {
				ids, of = append(ids, k.ID), append(of, k.Customer)
			}
			return err
		})
		return ids, of
	}
	b.tx(func(tx *store.Tx) error { return tx.DueEvidenceKeys(ctx, "key_4", "key_5") })
	ids, of := due()
	expect("due", ids, "key_2", "key_4", "key_5")
	expect("of", of, "cus_1", "", "")
	for _, want := range [][]string{{"key_2", "key_4"}, nil} { // once
		b.tx(func(tx *store.Tx) error {
			ended, err := tx.EndEvidenceKeys(ctx, "key_2", "key_4")
			slices.Sort(ended)
			expect("ended now", ended, want...)
			return err
		})
	}
	ids, _ = due()
	expect("due after two are gone", ids, "key_5")
	b.tx(func(tx *store.Tx) error {
		_, err := tx.EndEvidenceKeys(ctx, "key_1")
		return errors.Join(tx.EraseIdentity(ctx, "cus_1"), err)
	})
	_, strays = keys(false)
	expect("strays after an erasure", strays, "key_3")
	ids, _ = keys(true)
	expect("ended at last", ids, "key_1", "key_2", "key_4", "key_5")
}
