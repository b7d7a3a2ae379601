package store_test

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func gateBatches(b *bundle) {
	ctx, at := b.Context(), b.clock.read()
	account := strings.Repeat("0a", 16)
	record := func(id string) muster.GateRecord {
		return muster.GateRecord{
			ID: id, Account: account, Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse, Answer: muster.AnswerDeny,
			Code: "suspended", Rule: "p/r", Decision: "dec_1", First: at, Last: at.Add(time.Second), Count: 3,
		}
	}
	counted := func(n int64) []muster.GateCount {
		return []muster.GateCount{{Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse, Answer: muster.AnswerDeny, Count: n}}
	}
	first := &muster.GateBatch{Run: "gtn_1", N: 1, At: at, Records: []muster.GateRecord{record("gtr_1")}, Counts: counted(5), Lost: 2}
	second := &muster.GateBatch{Run: "gtn_1", N: 2, At: at, Records: []muster.GateRecord{record("gtr_2")}, Counts: counted(1)}
	for _, x := range []*muster.GateBatch{first, first, second, first, second} { // an answer that was lost is asked for again
		b.tx(func(tx *store.Tx) error { return tx.PutGateBatch(ctx, "tok_1", x) })
	}
	// Another source with the same run and ids takes nothing away and overwrites nothing.
	stranger := record("gtr_1")
	stranger.Code = "forged"
	b.tx(func(tx *store.Tx) error {
		return tx.PutGateBatch(ctx, "tok_2", &muster.GateBatch{Run: "gtn_1", N: 1, At: at, Records: []muster.GateRecord{stranger}, Counts: counted(7)})
	})
	want := []*muster.GateRecord{}
	for _, id := range []string{"gtr_1", "gtr_2"} {
		r := record(id)
		r.Source = "tok_1"
		want = append(want, &r)
	}
	hash := []byte(strings.Repeat("\x0a", 16))
	same(b, want, func(ctx context.Context, tx *store.Tx) ([]*muster.GateRecord, error) {
		return tx.GateRecords(ctx, hash, muster.Page{Limit: 10})
	})
	same(b, want[1:], func(ctx context.Context, tx *store.Tx) ([]*muster.GateRecord, error) {
		return tx.GateRecords(ctx, nil, muster.Page{After: "gtr_1", Limit: 10})
	})
	same(b, nil, func(ctx context.Context, tx *store.Tx) ([]*muster.GateRecord, error) {
		return tx.GateRecords(ctx, []byte("another account."), muster.Page{Limit: 10})
	})
	same(b, counted(13), func(ctx context.Context, tx *store.Tx) ([]muster.GateCount, error) {
		return tx.GateCounts(ctx, at.Truncate(time.Hour))
	})
	same(b, nil, func(ctx context.Context, tx *store.Tx) ([]muster.GateCount, error) {
		return tx.GateCounts(ctx, at.Add(time.Hour))
	})
}
