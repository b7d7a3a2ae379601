package main

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// TestAStateThatEmptiesIsCountedAsNone moves the only application on.
func TestAStateThatEmptiesIsCountedAsNone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	registry := prometheus.NewRegistry()
	m := newMeters(registry)
	app := &muster.ApplicationRecord{ID: "app_1", Reference: "a", MAC: []byte("a"), Customer: "cus_1"}
	for _, state := range []string{muster.AppNeeds, muster.AppApproved} {
		app.State = state
		if err := db.InTx(ctx, func(tx *store.Tx) error { return tx.PutApplication(ctx, app) }); err != nil {
			t.Fatal(err)
		}
		if err := m.count(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]float64{}
	for _, family := range all {
		if family.GetName() != "muster_records" {
			continue
		}
		for _, x := range family.GetMetric() {
			said[x.GetLabel()[0].GetValue()+" "+x.GetLabel()[1].GetValue()] = x.GetGauge().GetValue()
		}
	}
	if n, there := said["application "+muster.AppNeeds]; !there || n != 0 || said["application "+muster.AppApproved] != 1 {
		t.Errorf("%v", said)
	}
}
