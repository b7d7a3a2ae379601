package store_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func gateRecord(n byte, profile string) *muster.ProfileRecord {
	return &muster.ProfileRecord{Hash: [16]byte{n}, Account: fmt.Sprint("acc_", n), Profile: []byte(profile)}
}

// gateChanges reads what changed, as text.
func gateChanges(b *bundle, after uint64) (seq uint64, got []string) {
	b.Helper()
	b.view(func(tx *store.Tx) (err error) {
		if _, seq, err = tx.GateState(b.Context()); err != nil {
			return err
		}
		return tx.GateChanges(b.Context(), after, func(hash, body []byte, decision string) error {
			got = append(got, fmt.Sprintf("%d %s %s", hash[0], body, decision))
			return nil
		})
	})
	return seq, got
}

func gateRows(b *bundle) {
	ctx := b.Context()
	put := func(rs ...*muster.ProfileRecord) {
		b.Helper()
		b.tx(func(tx *store.Tx) error {
			for _, r := range rs {
				if err := tx.PutGate(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	fresh := func(r *muster.ProfileRecord) *muster.ProfileRecord { r.Fresh = true; return r }
	want := func(after uint64, want ...string) uint64 {
		b.Helper()
		seq, got := gateChanges(b, after)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			b.Errorf("after %d: %q, want %q", after, got, want)
		}
		return seq
	}
	put(fresh(gateRecord(2, "p")), fresh(gateRecord(1, "p")))
	first := want(0, "2 p ", "1 p ")
	put(gateRecord(1, "p"))
	same := want(first)
	changed := gateRecord(2, "q")
	changed.Decision = "dec_1"
	put(gateRecord(2, "between"), changed)
	last := want(same, "2 q dec_1")
	want(0, "1 p ", "2 q dec_1")

	other := gateRecord(1, "theirs")
	other.Account = "acc_other"
	put(other)
	want(last)
	other.Fresh = true
	var wg sync.WaitGroup
	wg.Go(func() {
		b.fails(muster.CodeConflict, func(tx *store.Tx) error {
			if err := tx.AddEntry(ctx, &muster.EntryRecord{ID: "ent_lost", Body: []byte("{}"), Salt: []byte{1}}); err != nil {
				return err
			}
			return tx.PutGate(ctx, other)
		})
	})
	for n := byte(10); n < 20; n++ { // others share its commit, and are none the worse
		wg.Go(func() { put(fresh(gateRecord(n, "p"))) })
	}
	wg.Wait()
	if _, got := gateChanges(b, last); len(got) != 10 {
		b.Errorf("%q", got)
	}
	b.view(func(tx *store.Tx) error {
		if _, err := tx.Entry(ctx, "ent_lost"); muster.ErrorCode(err) != muster.CodeNotFound {
			b.Errorf("what was written beside a hash that is taken was kept: %v", err)
		}
		return nil
	})
	b.view(func(tx *store.Tx) error {
		var all, before []byte
		profiles := 0
		if err := tx.GateProfiles(ctx, func([]byte) error { profiles++; return nil }); err != nil {
			return err
		}
		err := tx.GateAccounts(ctx, func(hash, profile []byte, _ string) error {
			if len(profile) != 16 || before != nil && before[0] >= hash[0] {
				b.Errorf("%x after %x, profile %x", hash, before, profile)
			}
			before = append(before[:0], hash...)
			all = append(all, hash[0])
			return nil
		})
		if len(all) != 12 || profiles < 2 {
			b.Errorf("%d accounts, %d profiles", len(all), profiles)
		}
		return err
	})
}

// gateOrder: who follows by sequence number while many write misses nothing.
func gateOrder(b *bundle) {
	const writers, each = 8, 25
	seen := map[string]string{}
	at := uint64(0)
	follow := func() {
		next, got := gateChanges(b, at)
		for _, line := range got {
			var account int
			var profile string
			if _, err := fmt.Sscan(line, &account, &profile); err != nil {
				b.Fatal(err)
			}
			seen[fmt.Sprint(account)] = profile
		}
		at = next
	}
	var wg sync.WaitGroup
	final := map[string]string{}
	for w := range writers {
		final[fmt.Sprint(w)] = fmt.Sprint("p", each-1)
		wg.Go(func() {
			for i := range each {
				b.tx(func(tx *store.Tx) error { return tx.PutGate(b.Context(), gateRecord(byte(w), fmt.Sprint("p", i))) })
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		follow()
	}
	if !maps.Equal(seen, final) {
		b.Errorf("a follower has %v, want %v", seen, final)
	}
}

// gateSweep: a profile goes once nobody has it, and not while somebody takes it up.
func gateSweep(b *bundle) {
	ctx := b.Context()
	put := func(n byte, profile string) {
		b.Helper()
		b.tx(func(tx *store.Tx) error { return tx.PutGate(ctx, gateRecord(n, profile)) })
	}
	sweep := func(seq uint64, want int, profiles ...string) {
		b.Helper()
		var ids [][]byte
		for _, p := range profiles {
			sum := sha256.Sum256([]byte(p))
			ids = append(ids, sum[:16])
		}
		b.tx(func(tx *store.Tx) error {
			n, err := tx.SweepGateProfiles(ctx, ids, seq)
			if n != want {
				b.Errorf("%d were removed, want %d", n, want)
			}
			return err
		})
	}
	put(1, "old")
	put(1, "new")
	seq, _ := gateChanges(b, 0)
	put(2, "old") // taken up again after the state was looked at
	sweep(seq, 0, "old")
	put(2, "new")
	seq, _ = gateChanges(b, 0)
	sweep(seq, 1, "old", "never")
	if _, got := gateChanges(b, 0); len(got) != 2 {
		b.Errorf("%q", got)
	}
	put(3, "old")
	if _, got := gateChanges(b, seq); len(got) != 1 {
		b.Errorf("a profile that was removed does not come back: %q", got)
	}
}

func gateEpoch(b *bundle) {
	next := func() (epoch uint64) {
		b.Helper()
		b.tx(func(tx *store.Tx) (err error) { epoch, err = tx.NextGateEpoch(b.Context()); return err })
		return epoch
	}
	first := next()
	if second := next(); second != first+1 {
		b.Errorf("epochs %d, %d", first, second)
	}
	b.clock.move(time.Hour)
	if third := next(); third < first+3600 {
		b.Errorf("the same backup restored an hour later would have an epoch that was: %d after %d", third, first)
	}
	b.tx(func(tx *store.Tx) error { return tx.SetGateFilled(b.Context(), "acc_x") })
	b.view(func(tx *store.Tx) error {
		at, err := tx.GateFilled(b.Context())
		if at != "acc_x" {
			b.Errorf("filled to %q", at)
		}
		return err
	})
}
