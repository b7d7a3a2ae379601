package store

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/muster-cip/muster"
)

// What the gate answered (package ask): records, counts by the hour, and which
// batches were taken.

// PutGateBatch takes a batch of a source: a token, or "" for this process's own. A
// batch that was taken is taken again without effect. It validates nothing.
func (tx *Tx) PutGateBatch(ctx context.Context, source string, b *muster.GateBatch) error {
	taken := false
	if err := tx.change(ctx, func(r row) error {
		taken = true
		var n int64
		return r.scan(&n)
	}, `INSERT INTO gate_batches (source, run, n, at, lost) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (source, run) DO UPDATE SET n = excluded.n, at = excluded.at, lost = gate_batches.lost + excluded.lost
		WHERE gate_batches.n < excluded.n RETURNING n`, source, b.Run, b.N, tx.now, b.Lost); err != nil || !taken {
		return err
	}
	for i := range b.Records {
		x := &b.Records[i]
		account, err := hex.DecodeString(x.Account)
		if err != nil {
			return muster.Errorf(muster.CodeInvalid, "a gate record names no account: %w", err)
		}
		// An id is a stranger's word: one that is there already is not written over.
		if err := tx.exec(ctx, nil, `INSERT INTO gate_records (`+gateRecordColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			x.ID, account, source, x.Protocol, x.Action, string(x.Answer), x.Code, x.Rule, x.Decision, x.First, x.Last, x.Count); err != nil {
			return err
		}
	}
	hour := b.At.Truncate(time.Hour)
	for _, c := range b.Counts {
		if err := tx.exec(ctx, nil, `INSERT INTO gate_counts (source, hour, protocol, action, answer, count) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (source, hour, protocol, action, answer) DO UPDATE SET count = gate_counts.count + excluded.count`,
			source, hour, c.Protocol, c.Action, string(c.Answer), c.Count); err != nil {
			return err
		}
	}
	return nil
}

const gateRecordColumns = `id, account, source, protocol, action, answer, code, rule, decision, first, last, count`

func scanGateRecord(r row) (*muster.GateRecord, error) {
	x := &muster.GateRecord{}
	var account []byte
	var answer string
	err := r.scan(&x.ID, &account, &x.Source, &x.Protocol, &x.Action, &answer, &x.Code, &x.Rule, &x.Decision, &x.First, &x.Last, &x.Count)
	x.Account, x.Answer = hex.EncodeToString(account), muster.GateAnswer(answer)
	return x, err
}

// GateRecords lists what was recorded of one account, or of all where hash is nil,
// in the order of its ids.
func (tx *Tx) GateRecords(ctx context.Context, hash []byte, p muster.Page) ([]*muster.GateRecord, error) {
	if hash == nil {
		return all(ctx, tx, scanGateRecord, `SELECT `+gateRecordColumns+` FROM gate_records WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
	}
	return all(ctx, tx, scanGateRecord, `SELECT `+gateRecordColumns+` FROM gate_records WHERE account = ? AND id > ? ORDER BY id LIMIT ?`, hash, p.After, p.Limit)
}

// GateCounts sums the answers since an hour, by protocol, action and answer.
func (tx *Tx) GateCounts(ctx context.Context, since time.Time) ([]muster.GateCount, error) {
	return all(ctx, tx, func(r row) (c muster.GateCount, err error) {
		var answer string
		err = r.scan(&c.Protocol, &c.Action, &answer, &c.Count)
		c.Answer = muster.GateAnswer(answer)
		return c, err
	}, `SELECT protocol, action, answer, cast(sum(count) AS BIGINT) FROM gate_counts WHERE hour >= ? GROUP BY protocol, action, answer ORDER BY 1, 2, 3`, since)
}
