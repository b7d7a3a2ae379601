package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// AboutTurn is the kind of what the entry of a key's turn is about.
const AboutTurn = "rotation"

// HandedOver is what the entry of a hand-over of the log's key says.
const HandedOver = "handover"

// Turned is the body of an entry of a key's turn (package rotate).
type Turned struct {
	What     string         `json:"what"` // begun | handover | finish | done
	Targets  map[string]int `json:"targets,omitempty"`
	Rows     int64          `json:"rows,omitempty"`     // brought up to the new version
	Went     int64          `json:"went,omitempty"`     // that nothing could bring up to it
	Handover string         `json:"handover,omitempty"` // HandoverDigest, of a hand-over
}

// HandoverDigest is what an entry says of a hand-over: SHA-256 of the note, in hexadecimal.
func HandoverDigest(note []byte) string {
	sum := sha256.Sum256(note)
	return hex.EncodeToString(sum[:])
}

// turned notes what an entry of a key's turn says of hand-overs.
func (a *Audit) turned(r *Row) {
	var body Turned
	if r.Entry.About.Kind != AboutTurn || json.Unmarshal(r.Entry.Body, &body) != nil || body.What != HandedOver {
		return
	}
	a.handed[body.Handover] = r.Index
}

// auditHandovers holds the hand-overs of the log's key against the leaves that commit to
// them, against one another and against the keys in use: who follows them from the oldest
// comes to a key that signs now. Each was signed over a head of this log.
func (a *Audit) auditHandovers(ctx context.Context, all []muster.Handover, signed []byte, books Books, tiles tlog.TileStore, keys []note.Verifier) error {
	head, headErr := tlog.OpenCheckpoint(signed, keys...)
	for i, h := range all {
		if _, ok := a.handed[HandoverDigest(h.Note)]; !ok {
			a.find("the hand-over of version %d of the log's key: no leaf commits to it", h.KeyVersion)
		}
		old, err := tlog.NewLogVerifier(h.Public)
		if err != nil {
			a.find("the hand-over of version %d of the log's key: its key cannot be read", h.KeyVersion)
			continue
		}
		next, over, err := tlog.OpenHandover(h.Note, old)
		if err != nil {
			a.find("the hand-over of version %d of the log's key: %v", h.KeyVersion, err)
			continue
		}
		after := keys
		if i+1 < len(all) {
			v, err := tlog.NewLogVerifier(all[i+1].Public)
			if err != nil {
				continue // found below
			}
			after = []note.Verifier{v}
		}
		if !leads(next, after) {
			a.find("the hand-over of version %d of the log's key leads to a key that is not the next", h.KeyVersion)
		}
		if headErr != nil || over.Origin != head.Origin || over.Size == 0 {
			continue // without a head there is nothing to compare with, and a log under another name is another
		}
		if over.Size > head.Size {
			a.find("the hand-over of version %d of the log's key covers %d leaves and the signed head %d", h.KeyVersion, over.Size, head.Size)
			continue
		}
		proof, err := tlog.NewProver(tiles).Consistency(ctx, over.Size, head.Size)
		if muster.ErrorCode(err) == muster.CodeUnavailable {
			return err
		}
		if err == nil {
			err = tlog.CheckConsistency(proof, over.Size, over.Root, head.Size, head.Root)
		}
		if err != nil {
			a.find("the hand-over of version %d of the log's key is not over a head of this log", h.KeyVersion)
		}
	}
	now, err := books.Handovers(ctx) // with those that were made meanwhile
	if err != nil {
		return err
	}
	for _, h := range now {
		delete(a.handed, HandoverDigest(h.Note))
	}
	for _, index := range slices.Sorted(maps.Values(a.handed)) {
		a.find("leaf %d: the hand-over that it commits to is missing", index)
	}
	return nil
}

// leads reports whether next is among keys, or none of them is of a log of that name: a
// log that goes on under another name after a restore has keys of that name.
func leads(next note.Verifier, keys []note.Verifier) bool {
	named := false
	for _, k := range keys {
		if k.Name() != next.Name() {
			continue
		}
		if named = true; k.KeyHash() == next.KeyHash() {
			return true
		}
	}
	return !named
}
