package store

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Records that retention takes one by one, each by its own age.

// heldDecision is whether a hold keeps a decision d: what Hold.Holds says, for a scan
// that reads no files.
const heldDecision = `EXISTS (SELECT 1 FROM holds h WHERE h.lifted = 0 AND h.customer IN ('', d.customer) AND h.class IN ('', '` + muster.ClassDecisions + `') AND (h.withheld = 1
	OR EXISTS (SELECT 1 FROM customers c WHERE c.id = d.customer AND c.made >= h.made_from AND (h.made_to = 0 OR c.made < h.made_to))))`

// oldDecisions are those made before a time that nothing refers to any more, of
// customers whose accounts, if that is asked, all ended before another time.
const oldDecisions = ` FROM decisions d JOIN leaves l ON l.ref = d.id AND l.ref <> '' WHERE d.at < ?
	AND NOT EXISTS (SELECT 1 FROM applications a JOIN accounts c ON c.id = a.account
		WHERE a.customer = d.customer AND a.decision = d.id AND c.state <> 'closed' AND a.state NOT IN ('refused', 'expired', 'withdrawn'))
	AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.customer = d.customer AND a.decision = d.id AND a.state <> 'closed')
	AND (? = 0 OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.customer = d.customer AND (a.closed = 0 OR a.closed >= ?)))`

// OldDecisions lists decisions that were made before a time and, unless ended is zero,
// whose customers' accounts all ended before that, and that no hold keeps; with the index
// of the leaf of each.
func (tx *Tx) OldDecisions(ctx context.Context, made, ended time.Time, limit int) (map[string]int64, error) {
	return tx.indexed(ctx, `SELECT d.id, l.idx`+oldDecisions+` AND NOT `+heldDecision+` ORDER BY d.at LIMIT ?`, made, ended, ended, limit)
}

// CountOldDecisions counts what OldDecisions would list, and what holds keep of it.
func (tx *Tx) CountOldDecisions(ctx context.Context, made, ended time.Time) (due, held int64, err error) {
	var all int64
	err = tx.query(ctx, func(r row) error { return r.scan(&all, &held) },
		`SELECT count(*), coalesce(sum(CASE WHEN `+heldDecision+` THEN 1 ELSE 0 END), 0)`+oldDecisions, made, ended, ended)
	return all - held, held, err
}

// OldEntries lists entries of one type made before t, with the index of the leaf of each.
func (tx *Tx) OldEntries(ctx context.Context, typ string, t time.Time, limit int) (map[string]int64, error) {
	return tx.indexed(ctx, `SELECT e.id, l.idx FROM entries e JOIN leaves l ON l.ref = e.id AND l.ref <> '' WHERE e.type = ? AND e.at < ?
		ORDER BY e.id LIMIT ?`, typ, t, limit)
}

// CountOldEntries counts entries of one type made before t.
func (tx *Tx) CountOldEntries(ctx context.Context, typ string, t time.Time) (int64, error) {
	return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM entries WHERE type = ? AND at < ?`, typ, t)
}

func (tx *Tx) indexed(ctx context.Context, q string, args ...any) (map[string]int64, error) {
	found := map[string]int64{}
	return found, tx.query(ctx, func(r row) error {
		var id string
		var index int64
		err := r.scan(&id, &index)
		found[id] = index
		return err
	}, q, args...)
}

// DropRecords removes decisions and entries; a tombstone covers their leaves. A case that
// a decision opened, and that is over, goes with it.
func (tx *Tx) DropRecords(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		table := "entries"
		if strings.HasPrefix(id, muster.PrefixDecision) {
			table = "decisions"
			if err := tx.exec(ctx, nil, `DELETE FROM reviews WHERE application = (SELECT application FROM decisions WHERE id = ?) AND decision = ? AND state IN ('resolved', 'moot')`,
				id, id); err != nil {
				return err
			}
		}
		if err := tx.exec(ctx, errStale, `DELETE FROM `+table+` WHERE id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// DropNotices removes attempts to deliver that were made before t, and what was to be
// delivered by then and was set aside; at most n of each. It says how many went.
func (tx *Tx) DropNotices(ctx context.Context, t time.Time, n int) (int64, error) {
	tried, err := tx.removed(ctx, `DELETE FROM deliveries WHERE (webhook, message, attempt) IN
		(SELECT webhook, message, attempt FROM deliveries WHERE at < ? ORDER BY at LIMIT ?) RETURNING 1`, t, n)
	if err != nil {
		return 0, err
	}
	dead, err := tx.removed(ctx, `DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE dead = 1 AND run_at < ? ORDER BY id LIMIT ?) AND dead = 1 RETURNING 1`, t, n)
	return tried + dead, err
}

// CountOldNotices counts what DropNotices would remove in the end.
func (tx *Tx) CountOldNotices(ctx context.Context, t time.Time) (int64, error) {
	return one(ctx, tx, "count", scanInt, `SELECT (SELECT count(*) FROM deliveries WHERE at < ?) + (SELECT count(*) FROM jobs WHERE dead = 1 AND run_at < ?)`, t, t)
}

// DropGateRecords removes records of what the gate answered that ended before t, at most
// n, and says how many went. With the last of them go counts of hours that ended by t, and what
// tells batches of then apart.
func (tx *Tx) DropGateRecords(ctx context.Context, t time.Time, n int) (int64, error) {
	gone, err := tx.removed(ctx, `DELETE FROM gate_records WHERE id IN (SELECT id FROM gate_records WHERE last < ? ORDER BY last LIMIT ?) RETURNING 1`, t, n)
	if err != nil || gone == int64(n) {
		return gone, err
	}
	if err := tx.exec(ctx, nil, `DELETE FROM gate_counts WHERE hour <= ?`, t.Add(-time.Hour)); err != nil {
		return gone, err
	}
	return gone, tx.exec(ctx, nil, `DELETE FROM gate_batches WHERE at < ?`, t)
}

// CountOldGateRecords counts records of what the gate answered that ended before t.
func (tx *Tx) CountOldGateRecords(ctx context.Context, t time.Time) (int64, error) {
	return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM gate_records WHERE last < ?`, t)
}

// removed counts the rows that a statement with RETURNING takes away.
func (tx *Tx) removed(ctx context.Context, q string, args ...any) (n int64, err error) {
	err = tx.change(ctx, func(row) error { n++; return nil }, q, args...)
	return n, err
}
