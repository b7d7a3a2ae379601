package store

import (
	"bytes"
	"context"

	"github.com/muster-cip/muster"
)

// Append adds a leaf. Its index is given at the commit. ref is the id of the record
// that the leaf commits to, "" for none; a record has one leaf.
func (tx *Tx) Append(ctx context.Context, leaf []byte, ref string) error {
	if err := tx.check(ctx, true); err != nil {
		return err
	}
	tx.tail.leaves = append(tx.tail.leaves, leafRow{bytes.Clone(leaf), ref})
	return nil
}

const entryColumns = `e.id, e.type, e.at, e.operator, e.about_kind, e.about_id, e.body, e.salt, coalesce(l.idx, -1)
	FROM entries e LEFT JOIN leaves l ON l.ref = e.id AND l.ref <> ''`

func scanEntry(r row) (*muster.EntryRecord, error) {
	x := &muster.EntryRecord{}
	return x, r.scan(&x.ID, &x.Type, &x.At, &x.Operator, &x.About.Kind, &x.About.ID, &x.Body, &x.Salt, &x.Leaf)
}

// AddEntry inserts the record of a leaf that is no decision.
func (tx *Tx) AddEntry(ctx context.Context, r *muster.EntryRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO entries (id, type, at, operator, about_kind, about_id, body, salt) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Type, r.At, r.Operator, r.About.Kind, r.About.ID, r.Body, r.Salt)
}

// Entry finds an entry. Leaf is -1 in the transaction that made it.
func (tx *Tx) Entry(ctx context.Context, id string) (*muster.EntryRecord, error) {
	return one(ctx, tx, "entry", scanEntry, `SELECT `+entryColumns+` WHERE e.id = ?`, id)
}

// Entries lists entries in the order of their ids.
func (tx *Tx) Entries(ctx context.Context, p muster.Page) ([]*muster.EntryRecord, error) {
	return all(ctx, tx, scanEntry, `SELECT `+entryColumns+` WHERE e.id > ? ORDER BY e.id LIMIT ?`, p.After, p.Limit)
}

// LogSize is the number of committed leaves.
func (tx *Tx) LogSize(ctx context.Context) (int64, error) {
	return one(ctx, tx, "log", scanInt, `SELECT coalesce(max(idx) + 1, 0) FROM leaves`)
}

// Leaves reads leaves from..to-1 in their order, fewer where the log ends before to.
func (tx *Tx) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	return all(ctx, tx, func(r row) (leaf []byte, err error) { return leaf, r.scan(&leaf) },
		`SELECT leaf FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx`, from, to)
}

// LeafOf is the index of the leaf of a record.
func (tx *Tx) LeafOf(ctx context.Context, ref string) (int64, error) {
	return one(ctx, tx, "leaf", scanInt, `SELECT idx FROM leaves WHERE ref = ? AND ref <> ''`, ref)
}

// AuditRow is a leaf with the record that it names.
type AuditRow struct {
	Index    int64
	Leaf     []byte
	Ref      string
	Decision *muster.DecisionRecord // nil: the record is not a decision, or is missing
	Entry    *muster.EntryRecord    // nil: the record is not an entry, or is missing
}

// AuditRows reads leaves from..to-1, each with its record. A leaf whose Decision and
// Entry are both nil though its Ref is not "" has lost its record.
func (tx *Tx) AuditRows(ctx context.Context, from, to int64) ([]AuditRow, error) {
	rows, err := all(ctx, tx, func(r row) (x AuditRow, err error) { return x, r.scan(&x.Index, &x.Leaf, &x.Ref) },
		`SELECT idx, leaf, ref FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx`, from, to)
	if err != nil {
		return nil, err
	}
	decisions, err := all(ctx, tx, scanDecision, `SELECT `+decisionColumns+` WHERE l.idx >= ? AND l.idx < ?`, from, to)
	if err != nil {
		return nil, err
	}
	entries, err := all(ctx, tx, scanEntry, `SELECT `+entryColumns+` WHERE l.idx >= ? AND l.idx < ?`, from, to)
	if err != nil {
		return nil, err
	}
	at := make(map[int64]*AuditRow, len(rows))
	for i := range rows {
		at[rows[i].Index] = &rows[i]
	}
	for _, d := range decisions {
		at[d.Leaf].Decision = d
	}
	for _, e := range entries {
		at[e.Leaf].Entry = e
	}
	return rows, nil
}

// Leafless lists the ids of decisions and entries that no leaf names, at most limit.
// There should be none.
func (tx *Tx) Leafless(ctx context.Context, limit int) ([]string, error) {
	return all(ctx, tx, func(r row) (id string, err error) { return id, r.scan(&id) },
		`SELECT id FROM (
			SELECT id FROM decisions WHERE NOT EXISTS (SELECT 1 FROM leaves WHERE ref = decisions.id AND ref <> '')
			UNION ALL
			SELECT id FROM entries WHERE NOT EXISTS (SELECT 1 FROM leaves WHERE ref = entries.id AND ref <> '')) missing
		ORDER BY id LIMIT ?`, limit)
}

// Head is the signed head of the log, nil where there is none yet.
func (tx *Tx) Head(ctx context.Context) ([]byte, error) {
	return one(ctx, tx, "head", func(r row) (b []byte, err error) { return b, r.scan(&b) }, `SELECT signed FROM log_head WHERE one = 1`)
}

// SetHead replaces old by next, only if the head is still old, byte for byte;
// CodeConflict otherwise.
func (tx *Tx) SetHead(ctx context.Context, old, next []byte) error {
	moved := muster.Errorf(muster.CodeConflict, "the head of the log is another")
	if len(old) == 0 {
		return tx.exec(ctx, moved, `UPDATE log_head SET signed = ? WHERE one = 1 AND signed IS NULL`, next)
	}
	return tx.exec(ctx, moved, `UPDATE log_head SET signed = ? WHERE one = 1 AND signed = ?`, next, old)
}

func scanCheckpoint(r row) (x muster.CheckpointRecord, err error) {
	return x, r.scan(&x.Size, &x.Signed, &x.Made)
}

// PutCheckpoint keeps a signed checkpoint; one of the same size is replaced, for
// cosignatures come later.
func (tx *Tx) PutCheckpoint(ctx context.Context, r *muster.CheckpointRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO checkpoints (size, signed, made) VALUES (?, ?, ?)
		ON CONFLICT (size) DO UPDATE SET signed = excluded.signed`, r.Size, r.Signed, r.Made)
}

// Checkpoint finds the smallest checkpoint of at least size leaves.
func (tx *Tx) Checkpoint(ctx context.Context, size int64) (*muster.CheckpointRecord, error) {
	x, err := one(ctx, tx, "checkpoint", scanCheckpoint, `SELECT size, signed, made FROM checkpoints WHERE size >= ? ORDER BY size LIMIT 1`, size)
	if err != nil {
		return nil, err
	}
	return &x, nil
}

// Checkpoints lists checkpoints with size > after, smallest first.
func (tx *Tx) Checkpoints(ctx context.Context, after int64, limit int) ([]muster.CheckpointRecord, error) {
	return all(ctx, tx, scanCheckpoint, `SELECT size, signed, made FROM checkpoints WHERE size > ? ORDER BY size LIMIT ?`, after, limit)
}

// Log is the log as package tlog reads and heads it, each call in a transaction of its own.
type Log struct{ db *DB }

// Log returns the log's own view of db.
func (db *DB) Log() Log { return Log{db} }

// Leaves is Tx.Leaves.
func (l Log) Leaves(ctx context.Context, from, to int64) (leaves [][]byte, err error) {
	err = l.db.View(ctx, func(tx *Tx) error { leaves, err = tx.Leaves(ctx, from, to); return err })
	return leaves, err
}

// Size is Tx.LogSize.
func (l Log) Size(ctx context.Context) (n int64, err error) {
	err = l.db.View(ctx, func(tx *Tx) error { n, err = tx.LogSize(ctx); return err })
	return n, err
}

// Head is Tx.Head.
func (l Log) Head(ctx context.Context) (signed []byte, err error) {
	err = l.db.View(ctx, func(tx *Tx) error { signed, err = tx.Head(ctx); return err })
	return signed, err
}

// SetHead is Tx.SetHead.
func (l Log) SetHead(ctx context.Context, old, next []byte) error {
	return l.db.InTx(ctx, func(tx *Tx) error { return tx.SetHead(ctx, old, next) })
}
