package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Row is a leaf with the record that it names: one of Decision and Entry, both
// nil where the record is missing.
type Row struct {
	Index    int64
	Leaf     []byte
	Ref      string
	Decision *muster.DecisionRecord
	Entry    *muster.EntryRecord
}

// Books is what an audit reads.
type Books interface {
	tlog.Leaves
	LogSize(ctx context.Context) (int64, error)
	Rows(ctx context.Context, from, to int64) ([]Row, error)
	Leafless(ctx context.Context, limit int) ([]string, error) // records that no leaf names
	Head(ctx context.Context) ([]byte, error)
	Handovers(ctx context.Context) ([]muster.Handover, error) // of the log's key, oldest first
}

// Audit is what was looked at and what was found.
type Audit struct {
	Size       int64          `json:"size"`       // leaves
	Published  int64          `json:"published"`  // of them under the signed head
	ByType     map[string]int `json:"by_type"`    // leaves
	Tombstoned int            `json:"tombstoned"` // leaves whose record was erased, and a tombstone says so
	Findings   []string       `json:"findings"`   // what is wrong; ids only

	handed map[string]int64 // digests of hand-overs that leaves commit to, and the leaf
}

// Clean reports whether nothing was found.
func (a *Audit) Clean() bool { return len(a.Findings) == 0 }

const (
	auditPage    = 500
	maxFindings  = 100 // kept; a log with more is broken as a whole
	leaflessKept = 20
)

// Audit checks the whole log against the store, and the tiles against the leaves:
// every leaf has its record and commits to it, every record has its leaf, the signed
// head is the head of these leaves, and hand-overs of the log's key have their leaves and
// lead to a key that signs now.
func (j *Journal) Audit(ctx context.Context, books Books, tiles tlog.TileStore, keys ...note.Verifier) (*Audit, error) {
	a := &Audit{ByType: map[string]int{}, Findings: []string{}, handed: map[string]int64{}}
	// Hand-overs before the size: the leaf of one that is made meanwhile may not be seen.
	handovers, err := books.Handovers(ctx)
	if err != nil {
		return nil, err
	}
	// The head before the size: while others append and publish, a head read later
	// would cover leaves that the audit did not see.
	signed, err := books.Head(ctx)
	if err != nil {
		return nil, err
	}
	if a.Size, err = books.LogSize(ctx); err != nil {
		return nil, err
	}
	covered := map[int64]bool{}
	missing := map[int64]string{}
	for from := int64(0); from < a.Size; from += auditPage {
		rows, err := books.Rows(ctx, from, min(from+auditPage, a.Size))
		if err != nil {
			return nil, err
		}
		for i := range rows {
			j.auditRow(a, &rows[i], from+int64(i), covered, missing)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(missing)) {
		if covered[index] {
			a.Tombstoned++
		} else {
			a.find("leaf %d: %s", index, missing[index])
		}
	}
	leafless, err := books.Leafless(ctx, leaflessKept)
	if err != nil {
		return nil, err
	}
	for _, id := range leafless {
		a.find("%s: no leaf names it", id)
	}
	if err := a.auditHead(ctx, signed, books, tiles, keys); err != nil {
		return nil, err
	}
	return a, a.auditHandovers(ctx, handovers, signed, books, tiles, keys)
}

func (a *Audit) find(format string, args ...any) {
	if len(a.Findings) < maxFindings {
		a.Findings = append(a.Findings, fmt.Sprintf(format, args...))
	}
}

// auditRow checks one leaf. A record that is gone is put aside until all
// tombstones are known.
func (j *Journal) auditRow(a *Audit, r *Row, want int64, covered map[int64]bool, missing map[int64]string) {
	leaf, err := tlog.ParseLeaf(r.Leaf)
	if err != nil || r.Index != want {
		a.find("leaf %d: is not a leaf in its place", want)
		return
	}
	a.ByType[leaf.Type.String()]++
	for _, c := range leaf.Covers {
		for i := c[0]; i < c[1]; i++ {
			covered[i] = true
		}
	}
	switch {
	case r.Decision != nil:
		err = j.checkDecision(leaf, r.Decision)
	case r.Entry != nil:
		if err = j.checkEntry(leaf, r.Entry); err == nil && leaf.Type == tlog.Key {
			a.turned(r)
		}
	case r.Ref == "" && (leaf.Type == tlog.Tombstone || leaf.Type == tlog.Repair): // says all there is to say
	default:
		missing[r.Index] = "its record is missing and no tombstone says why"
		return
	}
	if err != nil {
		a.find("leaf %d, %s: %v", r.Index, r.Ref, err)
	}
}

func (j *Journal) checkDecision(leaf tlog.Leaf, d *muster.DecisionRecord) error {
	commitments, err := vault.FactsCommitments(d.Facts)
	if err != nil {
		return err
	}
	values := make([][32]byte, len(commitments))
	for i, c := range commitments {
		values[i] = c.Value
	}
	salt, err := j.Salt(d.ID, d.Salt)
	if err != nil {
		return err
	}
	body, err := Decided(d)
	if err != nil {
		return fmt.Errorf("its body is not a decision")
	}
	switch {
	case body.ID != d.ID || body.About != d.About || body.Outcome != d.Outcome || !body.At.Equal(d.At):
		return fmt.Errorf("its row says otherwise than its body")
	case leaf.Type != tlog.Decision || leaf.Hour != tlog.HourOf(d.At):
		return fmt.Errorf("its leaf is of another type or hour")
	case leaf.C1 != tlog.CommitFacts(values):
		return fmt.Errorf("its facts are not those that the leaf commits to")
	case leaf.C2 != tlog.CommitDecision(salt, d.Body):
		return fmt.Errorf("it is not the decision that the leaf commits to")
	}
	return nil
}

func (j *Journal) checkEntry(leaf tlog.Leaf, e *muster.EntryRecord) error {
	salt, err := j.Salt(e.ID, e.Salt)
	if err != nil {
		return err
	}
	if !json.Valid(e.Body) {
		return fmt.Errorf("its body is not JSON")
	}
	if leaf.Type.String() != e.Type || leaf.Hour != tlog.HourOf(e.At) || leaf.C1 != tlog.CommitRecord(leaf.Type, salt, Committed(e)) {
		return fmt.Errorf("it is not the record that the leaf commits to")
	}
	return nil
}

// auditHead checks tiles and head against the leaves.
func (a *Audit) auditHead(ctx context.Context, signed []byte, books Books, tiles tlog.TileStore, keys []note.Verifier) error {
	if len(signed) == 0 {
		return nil
	}
	head, err := tlog.OpenCheckpoint(signed, keys...)
	if err != nil {
		a.find("the signed head: %s", muster.ErrorCode(err))
		return nil
	}
	if a.Published = head.Size; head.Size > a.Size {
		a.find("the signed head covers %d leaves and the store has %d", head.Size, a.Size)
		return nil
	}
	root, err := tlog.AuditTiles(ctx, books, tiles, head.Size)
	switch {
	case muster.ErrorCode(err) == muster.CodeUnavailable:
		return err
	case err != nil:
		a.find("tiles: %v", err)
	case root != head.Root:
		a.find("the signed head is not the head of these leaves")
	}
	return nil
}
