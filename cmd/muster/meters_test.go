package main

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// metered is a store whose records two processes count.
type metered struct {
	*testing.T
	db  *store.DB
	now atomic.Int64
	app *muster.ApplicationRecord
}

func setupMetered(t *testing.T) *metered {
	b := &metered{T: t, app: &muster.ApplicationRecord{ID: "app_1", Reference: "a", MAC: []byte("a"), Customer: "cus_1"}}
	db, err := store.Open(t.Context(), store.Config{
		Path: filepath.Join(t.TempDir(), "muster.db"), Clock: func() time.Time { return time.Unix(1_800_000_000+b.now.Load(), 0).UTC() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b.db = db
	return b
}

// move gives the only application a state.
func (b *metered) move(state string) {
	b.Helper()
	b.app.State = state
	if err := b.db.InTx(b.Context(), func(tx *store.Tx) error { return tx.PutApplication(b.Context(), b.app) }); err != nil {
		b.Fatal(err)
	}
}

// process is one that counts, with its metrics.
type process struct {
	name     string
	meters   *meters
	registry *prometheus.Registry
}

func newProcess(name string) *process {
	r := prometheus.NewRegistry()
	return &process{name, newMeters(r), r}
}

// says is muster_records after a count, by kind and state.
func (b *metered) says(p *process) map[string]float64 {
	b.Helper()
	if err := p.meters.count(b.Context(), b.db, p.name); err != nil {
		b.Fatal(err)
	}
	all, err := p.registry.Gather()
	if err != nil {
		b.Fatal(err)
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
	return said
}

// TestAStateThatEmptiesIsCountedAsNone moves the only application on.
func TestAStateThatEmptiesIsCountedAsNone(t *testing.T) {
	t.Parallel()
	b, one := setupMetered(t), newProcess("one")
	b.move(muster.AppNeeds)
	b.says(one)
	b.move(muster.AppApproved)
	b.now.Add(60)
	said := b.says(one)
	if n, there := said["application "+muster.AppNeeds]; !there || n != 0 || said["application "+muster.AppApproved] != 1 {
		t.Errorf("%v", said)
	}
}

// TestOneProcessCountsForAll: what one has counted the others say, also one that has
// just started, until it is due; a count that took long is due later.
func TestOneProcessCountsForAll(t *testing.T) {
	t.Parallel()
	b, one, two := setupMetered(t), newProcess("one"), newProcess("two")
	says := func(p *process, state string) {
		t.Helper()
		said := b.says(p)
		if said["application "+state] != 1 {
			t.Errorf("%s at %d s: %v", p.name, b.now.Load(), said)
		}
	}
	b.move(muster.AppNeeds)
	says(one, muster.AppNeeds)
	b.move(muster.AppReview)
	says(two, muster.AppNeeds)
	says(newProcess("three"), muster.AppNeeds)
	b.now.Add(60)
	says(two, muster.AppReview) // due: whoever comes counts
	says(one, muster.AppReview)

	b.move(muster.AppApproved)
	if err := b.db.InTx(t.Context(), func(tx *store.Tx) error {
		c, err := tx.Counted(t.Context())
		if err != nil {
			return err
		}
		c.At, c.Took = tx.Now().Add(time.Microsecond), 2*time.Second
		return tx.KeepCounts(t.Context(), c)
	}); err != nil {
		t.Fatal(err)
	}
	b.now.Add(180)
	says(one, muster.AppReview)
	b.now.Add(21)
	if err := b.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Acquire(t.Context(), "count", "two", time.Minute)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	says(one, muster.AppReview) // two is at it
	says(two, muster.AppApproved)
	says(one, muster.AppApproved)
}
