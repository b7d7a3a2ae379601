package lists

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/muster-cip/muster"
)

// MadeID is an id for a row of a public list that has none: a digest of what does not
// change while the entry stays the same.
func MadeID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strings.ToLower(Clean(p))))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// IDs keeps the ids of a list apart.
type IDs map[string]bool

// Take gives e its id, or another where that is taken already, and says so.
func (ids IDs) Take(e *muster.ListEntry) (again bool) {
	if ids[e.ID] {
		e.ID, again = Again(e.ID, func(id string) bool { return ids[id] }), true
	}
	ids[e.ID] = true
	return again
}
