package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

// A page of proofs reads the applications of its own customers. By the state of an
// application SQLite would read every approved one for each page, and the time of the daily
// run would grow with the square of the book.
func TestStandingReadsByCustomer(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "muster.db"), Clock: muster.SystemClock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var plan []string
	if err := db.View(t.Context(), func(tx *Tx) error {
		return tx.query(t.Context(), func(r row) error {
			var id, parent, unused int64
			var detail string
			err := r.scan(&id, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		}, "EXPLAIN QUERY PLAN "+standing+"(?, ?, ?)", "a", "b", "c")
	}); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(plan, "; "); !strings.Contains(all, "applications_customer") || strings.Contains(all, "SCAN") {
		t.Errorf("the plan is %s", all)
	}
}
