package vaulttest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Conformance holds a KeyStore against its contract. fresh makes an empty one.
// Durability is not tested here.
func Conformance(t *testing.T, fresh func(t *testing.T) vault.KeyStore) {
	ctx := context.Background()
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, err error, code muster.Code) {
		t.Helper()
		if muster.ErrorCode(err) != code {
			t.Fatalf("error %v, want code %s", err, code)
		}
	}
	set := func(version int, epochs ...int) vault.Set {
		s := vault.Set{Version: version, Epoch: epochs[len(epochs)-1], Root: "file:0011223344556677", Check: bytes.Repeat([]byte{7}, 32)}
		for _, e := range epochs {
			s.Rows = append(s.Rows, vault.NamedRow{Name: "epoch", Version: e, Wrapped: []byte{1, byte(e), 0}})
		}
		s.Rows = append(s.Rows, vault.NamedRow{Name: "prf/email", Version: 1, Wrapped: bytes.Repeat([]byte{0xff}, 300)})
		return s
	}
	row := func(n, epoch int) vault.KeyRow {
		return vault.KeyRow{ID: fmt.Sprintf("key_%03d", n), Handle: [16]byte{byte(n), byte(epoch)}, Epoch: epoch, Wrapped: bytes.Repeat([]byte{byte(n)}, 60)}
	}
	ids := func(rows []vault.KeyRow) (list []string) {
		for _, r := range rows {
			list = append(list, r.ID)
		}
		return list
	}

	t.Run("the set is swapped whole and from its own version only", func(t *testing.T) {
		t.Parallel()
		s := fresh(t)
		got, err := s.LoadSet(ctx)
		must(t, err)
		if got.Version != 0 || got.Rows != nil {
			t.Fatalf("an empty store has %+v", got)
		}
		must(t, s.SwapSet(ctx, 0, set(1, 1)))
		want(t, s.SwapSet(ctx, 0, set(1, 1)), muster.CodeStale)
		want(t, s.SwapSet(ctx, 2, set(3, 1)), muster.CodeStale)
		must(t, s.SwapSet(ctx, 1, set(2, 1, 2)))
		next := set(3, 2)
		must(t, s.SwapSet(ctx, 2, next))
		got, err = s.LoadSet(ctx)
		must(t, err)
		if d := cmp.Diff(next, got); d != "" {
			t.Fatal(d)
		}
	})
	t.Run("an epoch stays while a key needs it", func(t *testing.T) {
		t.Parallel()
		s := fresh(t)
		must(t, s.SwapSet(ctx, 0, set(1, 1)))
		must(t, s.AddKeys(ctx, []vault.KeyRow{row(1, 1), row(2, 1)}))
		must(t, s.SwapSet(ctx, 1, set(2, 1, 2)))
		want(t, s.SwapSet(ctx, 2, set(3, 2)), muster.CodeConflict)
		must(t, s.Rewrap(ctx, []vault.KeyRow{row(1, 2)}))
		want(t, s.SwapSet(ctx, 2, set(3, 2)), muster.CodeConflict)
		must(t, s.Delete(ctx, []string{"key_002"}))
		if got, err := s.LoadSet(ctx); err != nil || got.Version != 2 {
			t.Fatalf("a refused swap was written: %+v, %v", got, err)
		}
		must(t, s.SwapSet(ctx, 2, set(3, 2)))
	})
	t.Run("keys are added under the present epoch, all or none", func(t *testing.T) {
		t.Parallel()
		s := fresh(t)
		want(t, s.AddKeys(ctx, []vault.KeyRow{row(1, 1)}), muster.CodeStale)
		must(t, s.SwapSet(ctx, 0, set(1, 1)))
		must(t, s.SwapSet(ctx, 1, set(2, 1, 2)))
		want(t, s.AddKeys(ctx, []vault.KeyRow{row(1, 2), row(2, 1)}), muster.CodeStale)
		want(t, s.AddKeys(ctx, []vault.KeyRow{row(1, 3)}), muster.CodeStale)
		if rows, err := s.Scan(ctx, 0, "", 10); err != nil || len(rows) != 0 {
			t.Fatalf("%v, %v", rows, err)
		}
		must(t, s.AddKeys(ctx, []vault.KeyRow{row(1, 2), row(2, 2)}))
	})
	t.Run("keys are found, walked, re-wrapped and destroyed", func(t *testing.T) {
		t.Parallel()
		s := fresh(t)
		must(t, s.SwapSet(ctx, 0, set(1, 1)))
		must(t, s.AddKeys(ctx, []vault.KeyRow{row(3, 1), row(1, 1), row(4, 1), row(2, 1)}))
		rows, err := s.Keys(ctx, []string{"key_003", "key_009"})
		must(t, err)
		if d := cmp.Diff([]vault.KeyRow{row(3, 1)}, rows); d != "" {
			t.Fatal(d)
		}
		rows, err = s.ByHandle(ctx, [][16]byte{{2, 1}, {9}})
		must(t, err)
		if d := cmp.Diff([]vault.KeyRow{row(2, 1)}, rows); d != "" {
			t.Fatal(d)
		}
		rows, err = s.Keys(ctx, nil)
		must(t, err)
		if len(rows) != 0 {
			t.Fatalf("%v", rows)
		}
		must(t, s.SwapSet(ctx, 1, set(2, 1, 2)))
		must(t, s.Rewrap(ctx, []vault.KeyRow{row(1, 2), row(3, 2), row(9, 2)}))
		must(t, s.Rewrap(ctx, []vault.KeyRow{{ID: "key_003", Epoch: 2, Wrapped: []byte{0}}, {ID: "key_001", Epoch: 1}}))
		rows, err = s.Scan(ctx, 2, "", 10)
		must(t, err)
		if d := cmp.Diff([]vault.KeyRow{row(1, 2), row(3, 2)}, rows); d != "" {
			t.Fatal(d)
		}
		rows, err = s.Scan(ctx, 0, "key_001", 2)
		must(t, err)
		if d := cmp.Diff([]string{"key_002", "key_003"}, ids(rows)); d != "" {
			t.Fatal(d)
		}
		rows, err = s.ByHandle(ctx, [][16]byte{{3, 1}, {3, 2}})
		must(t, err)
		if d := cmp.Diff([]vault.KeyRow{row(3, 2)}, rows); d != "" {
			t.Fatal(d)
		}
		must(t, s.Delete(ctx, []string{"key_001", "key_002", "key_008"}))
		must(t, s.Rewrap(ctx, []vault.KeyRow{row(2, 2)}))
		rows, err = s.Scan(ctx, 0, "", 10)
		must(t, err)
		if d := cmp.Diff([]string{"key_003", "key_004"}, ids(rows)); d != "" {
			t.Fatal(d)
		}
	})
}
