package store

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

// The hot end of the ledger. Its one row, hot_head, is the turn of whoever writes: it is
// locked to the end of the transaction, so that numbers are dense and rise in the order
// of commits, in one process or in many.

// HotHead reads how far the hot end is.
func (tx *LedgerTx) HotHead(ctx context.Context) (ledger.HotHead, error) {
	return one(ctx, tx.tx, "head of the ledger", scanHotHead, `SELECT seq, sealed, batches, records FROM hot_head WHERE one = 1`)
}

func scanHotHead(r row) (h ledger.HotHead, err error) {
	return h, r.scan(&h.Seq, &h.Sealed, &h.Batches, &h.Records)
}

// TakeTurn raises the number and returns it. Other processes wait until this
// transaction ends.
func (tx *LedgerTx) TakeTurn(ctx context.Context) (seq int64, err error) {
	err = tx.tx.change(ctx, func(r row) error { return r.scan(&seq) }, `UPDATE hot_head SET seq = seq + 1 WHERE one = 1 RETURNING seq`)
	return seq, err
}

// AddHot writes a sealed batch under the number of this turn.
func (tx *LedgerTx) AddHot(ctx context.Context, h *ledger.HotRow) error {
	if err := tx.tx.exec(ctx, nil, `INSERT INTO hot (seq, name, hour, made, records, blob) VALUES (?, ?, ?, ?, ?, ?)`,
		h.Seq, h.Name, h.Hour, h.Made, h.Records, h.Sealed); err != nil {
		return err
	}
	return tx.tx.exec(ctx, nil, `UPDATE hot_head SET batches = batches + 1, records = records + ? WHERE one = 1`, h.Records)
}

func scanHot(r row) (h ledger.HotRow, err error) {
	return h, r.scan(&h.Seq, &h.Name, &h.Hour, &h.Made, &h.Records, &h.Sealed)
}

// HotRows are the batches after a number, in rising order, at most limit.
func (tx *LedgerTx) HotRows(ctx context.Context, after int64, limit int) ([]ledger.HotRow, error) {
	return all(ctx, tx.tx, scanHot, `SELECT seq, name, hour, made, records, blob FROM hot WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
}

// DropHot drops the batches up to through, in the transaction that writes what they
// became. CodeStale unless those up to from, and no more, were dropped before.
func (tx *LedgerTx) DropHot(ctx context.Context, from, through int64) error {
	if err := tx.tx.exec(ctx, errStale, `UPDATE hot_head SET sealed = ?,
		batches = batches - (SELECT count(*) FROM hot WHERE seq <= ?),
		records = records - (SELECT coalesce(sum(records), 0) FROM hot WHERE seq <= ?)
		WHERE one = 1 AND sealed = ? AND seq >= ?`, through, through, through, from, through); err != nil {
		return err
	}
	return tx.tx.exec(ctx, nil, `DELETE FROM hot WHERE seq <= ?`, through)
}

// AddSeen keeps the digests of a turn.
func (tx *LedgerTx) AddSeen(ctx context.Context, seq int64, digests []byte) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO hot_seen (seq, made, digests) VALUES (?, ?, ?)`, seq, tx.tx.now, digests)
}

// SeenSince are the digests of turns after a number, in rising order, at most limit.
func (tx *LedgerTx) SeenSince(ctx context.Context, after int64, limit int) ([]ledger.SeenRow, error) {
	return all(ctx, tx.tx, func(r row) (s ledger.SeenRow, err error) { return s, r.scan(&s.Seq, &s.Made, &s.Digests) },
		`SELECT seq, made, digests FROM hot_seen WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
}

// ForgetSeen drops digests of turns made before t.
func (tx *LedgerTx) ForgetSeen(ctx context.Context, before time.Time) error {
	return tx.tx.exec(ctx, nil, `DELETE FROM hot_seen WHERE made < ?`, before)
}

// AddQuarantine writes a sealed batch of records whose accounts nobody knows, and the
// digests of their references.
func (tx *LedgerTx) AddQuarantine(ctx context.Context, q *ledger.QuarantineRow) error {
	if err := tx.tx.exec(ctx, nil, `INSERT INTO quarantine (seq, name, made, records, blob) VALUES (?, ?, ?, ?, ?)`,
		q.Seq, q.Name, q.Made, q.Records, q.Sealed); err != nil {
		return err
	}
	for i := range q.Accounts {
		if err := tx.tx.exec(ctx, nil, `INSERT INTO waiting (digest, seq) VALUES (?, ?) ON CONFLICT DO NOTHING`, q.Accounts[i][:], q.Seq); err != nil {
			return err
		}
	}
	return nil
}

// Waiting are the batches of quarantine in which one of these accounts waits, oldest
// first, at most limit.
func (tx *LedgerTx) Waiting(ctx context.Context, accounts [][16]byte, limit int) ([]ledger.QuarantineRow, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	args := make([]any, 0, len(accounts)+1)
	for i := range accounts {
		args = append(args, accounts[i][:])
	}
	return all(ctx, tx.tx, scanQuarantine, `SELECT seq, name, made, records, blob FROM quarantine
		WHERE seq IN (SELECT seq FROM waiting WHERE digest IN (?`+strings.Repeat(", ?", len(accounts)-1)+`)) ORDER BY seq LIMIT ?`, append(args, limit)...)
}

func scanQuarantine(r row) (q ledger.QuarantineRow, err error) {
	return q, r.scan(&q.Seq, &q.Name, &q.Made, &q.Records, &q.Sealed)
}

// DropQuarantine drops one batch; CodeStale where another process was first.
func (tx *LedgerTx) DropQuarantine(ctx context.Context, seq int64) error {
	if err := tx.tx.exec(ctx, errStale, `DELETE FROM quarantine WHERE seq = ?`, seq); err != nil {
		return err
	}
	return tx.tx.exec(ctx, nil, `DELETE FROM waiting WHERE seq = ?`, seq)
}

// ExpireQuarantine drops what has waited since before t.
func (tx *LedgerTx) ExpireQuarantine(ctx context.Context, before time.Time) (records int64, err error) {
	records, err = one(ctx, tx.tx, "count", scanInt, `SELECT coalesce(sum(records), 0) FROM quarantine WHERE made < ?`, before)
	if err != nil || records == 0 {
		return records, err
	}
	if err := tx.tx.exec(ctx, nil, `DELETE FROM waiting WHERE seq IN (SELECT seq FROM quarantine WHERE made < ?)`, before); err != nil {
		return 0, err
	}
	return records, tx.tx.exec(ctx, nil, `DELETE FROM quarantine WHERE made < ?`, before)
}

// QuarantineCount counts what waits.
func (tx *LedgerTx) QuarantineCount(ctx context.Context) (c ledger.QuarantineCount, err error) {
	c, err = one(ctx, tx.tx, "count", func(r row) (c ledger.QuarantineCount, err error) { return c, r.scan(&c.Records, &c.Oldest) },
		`SELECT coalesce(sum(records), 0), coalesce(min(made), 0) FROM quarantine`)
	if err == nil {
		c.Accounts, err = one(ctx, tx.tx, "count", scanInt, `SELECT count(DISTINCT digest) FROM waiting`)
	}
	return c, err
}

// LedgerAccounts tells the ledger which accounts are on file.
type LedgerAccounts struct{ db *DB }

var _ ledger.Accounts = LedgerAccounts{}

// LedgerAccounts returns the accounts of db.
func (db *DB) LedgerAccounts() LedgerAccounts { return LedgerAccounts{db} }

// NewAccounts are the references of accounts with ids past after, in the order of ids.
func (a LedgerAccounts) NewAccounts(ctx context.Context, after string, limit int) (references []string, last string, err error) {
	err = a.db.View(ctx, func(tx *Tx) error {
		rows, err := tx.Accounts(ctx, muster.Page{After: after, Limit: limit})
		for _, r := range rows {
			references, last = append(references, r.Reference), r.ID
		}
		return err
	})
	return references, last, err
}
