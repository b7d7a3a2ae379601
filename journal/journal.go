// Package journal turns what happened into a row and a leaf of the log, written
// in the transaction that it is part of.
//
// Rules of this room:
//   - Every leaf has one record: a decision or an entry. Both are written here,
//     and nowhere else is a leaf appended.
//   - A body holds ids, times and words of closed vocabularies; no personal value.
//   - The salt of a record is sealed under the compliance key: the proof that
//     something happened outlives the keys of the persons whom it concerned.
package journal

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Tx is what the journal needs of a transaction.
type Tx interface {
	Now() time.Time
	Append(ctx context.Context, leaf []byte, ref string) error
	AddEntry(ctx context.Context, r *muster.EntryRecord) error
	AddDecision(ctx context.Context, r *muster.DecisionRecord) error
}

// DB opens a transaction of its own, for entries that stand alone.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
}

// Journal writes records and their leaves.
type Journal struct {
	vault *vault.Vault
	db    DB
}

// New makes a journal. db may be nil where Record is not called.
func New(v *vault.Vault, db DB) *Journal { return &Journal{vault: v, db: db} }

// Enter writes an entry and its leaf. body is marshalled to JSON.
func (j *Journal) Enter(ctx context.Context, tx Tx, t tlog.LeafType, by string, about muster.Ref, body any) (*muster.EntryRecord, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an entry cannot be written: %w", err)
	}
	r := &muster.EntryRecord{
		ID: muster.NewID(muster.PrefixEntry, tx.Now()), Type: t.String(), At: tx.Now(), Operator: by, About: about, Body: data,
	}
	salt := tlog.NewSalt()
	r.Salt = j.vault.SealSalt(r.ID, salt)
	leaf := tlog.Leaf{Type: t, Hour: tlog.HourOf(r.At), C1: tlog.CommitRecord(t, salt, Committed(r))}
	if err := tx.AddEntry(ctx, r); err != nil {
		return nil, err
	}
	return r, tx.Append(ctx, leaf.Marshal(), r.ID)
}

// Committed is what the leaf of an entry commits to: the row without its salt.
func Committed(r *muster.EntryRecord) []byte {
	data, err := json.Marshal(struct {
		ID       string          `json:"id"`
		Type     string          `json:"type"`
		At       time.Time       `json:"at"`
		Operator string          `json:"operator"`
		About    muster.Ref      `json:"about"`
		Body     json.RawMessage `json:"body"`
	}{r.ID, r.Type, r.At, r.Operator, r.About, r.Body})
	if err != nil {
		panic("journal: the body of an entry is not JSON: " + r.ID) // it was marshalled by Enter
	}
	return data
}

// Decision is a decision about to be written.
type Decision struct {
	Record *muster.DecisionRecord // Body filled; Facts, Salt and Leaf are not yet
	Parts  *Parts                 // of the facts, in the order of the commitment
}

// Sealed is a decision that is ready to be written.
type Sealed struct {
	record *muster.DecisionRecord
	leaf   []byte
}

// Record is the decision that will be written.
func (s *Sealed) Record() *muster.DecisionRecord { return s.record }

// Seal seals a decision's facts and commits to it. Nothing is written: it may be
// done before the transaction that Write is called in.
func (j *Journal) Seal(d Decision) (*Sealed, error) {
	sealed, err := j.vault.SealFacts(d.Record.ID, d.Parts.sealed, d.Parts.commit)
	if err != nil {
		return nil, err
	}
	salt := tlog.NewSalt()
	d.Record.Facts = sealed.Blob
	d.Record.Salt = j.vault.SealSalt(d.Record.ID, salt)
	commitments := make([][32]byte, len(sealed.Commitments))
	for i, c := range sealed.Commitments {
		commitments[i] = c.Value
	}
	leaf := tlog.Leaf{
		Type: tlog.Decision, Hour: tlog.HourOf(d.Record.At),
		C1: tlog.CommitFacts(commitments), C2: tlog.CommitDecision(salt, d.Record.Body),
	}
	return &Sealed{d.Record, leaf.Marshal()}, nil
}

// Write writes a sealed decision and its leaf.
func (j *Journal) Write(ctx context.Context, tx Tx, s *Sealed) error {
	if err := tx.AddDecision(ctx, s.record); err != nil {
		return err
	}
	return tx.Append(ctx, s.leaf, s.record.ID)
}

// Bury appends the tombstones of records that are dropped in this transaction: ground
// is a code, operators who did it ("" of none: time did). indexes are of their leaves.
func (j *Journal) Bury(ctx context.Context, tx Tx, ground string, operators []string, indexes []int64) error {
	slices.Sort(indexes)
	var covers [][2]int64
	for _, i := range slices.Compact(indexes) {
		if n := len(covers); n > 0 && covers[n-1][1] == i {
			covers[n-1][1]++
		} else {
			covers = append(covers, [2]int64{i, i + 1})
		}
	}
	for some := range slices.Chunk(covers, tlog.MaxCovers) {
		leaf := tlog.Leaf{Type: tlog.Tombstone, Hour: tlog.HourOf(tx.Now()), Covers: some, Ground: ground, Operators: operators}
		if err := tx.Append(ctx, leaf.Marshal(), ""); err != nil {
			return err
		}
	}
	return nil
}

// Mend appends the leaf of a repair: ground is a code for what was put right.
func (j *Journal) Mend(ctx context.Context, tx Tx, ground string) error {
	leaf := tlog.Leaf{Type: tlog.Repair, Hour: tlog.HourOf(tx.Now()), Ground: ground}
	return tx.Append(ctx, leaf.Marshal(), "")
}

// Salt opens the salt of a record, for proofs and audits.
func (j *Journal) Salt(id string, sealed []byte) ([]byte, error) {
	return j.vault.OpenSalt(id, sealed)
}

// Record writes an entry of the vault's doors in a transaction of its own and
// returns when it is durable: no value is opened before. An end says what was opened
// already, and is written though the job is another's by now.
func (j *Journal) Record(ctx context.Context, e vault.Entry) error {
	t := tlog.Reveal // a look-up by value is one too, whatever it finds
	switch e.Type {
	case vault.EntryUseStart:
		t = tlog.UseStart
	case vault.EntryUseEnd:
		t, ctx = tlog.UseEnd, muster.WithoutFence(ctx)
	}
	return j.db.InTx(ctx, func(tx Tx) error {
		_, err := j.Enter(ctx, tx, t, e.Operator, muster.Ref{}, e)
		return err
	})
}
