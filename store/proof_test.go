package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

// A page of files reads what is of its own customers. By the state of an application or a
// hit SQLite would read every one of that state for each page, and the time of the daily
// run would grow with the square of the book.
func TestAPageOfFilesReadsByCustomer(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "muster.db"), Clock: muster.SystemClock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for index, query := range map[string]string{
		"applications_customer": standing + "(?, ?, ?)",
		"hits_customer":         hitsOf + "(?, ?, ?) GROUP BY customer, state",
	} {
		var plan []string
		if err := db.View(t.Context(), func(tx *Tx) error {
			return tx.query(t.Context(), func(r row) error {
				var id, parent, unused int64
				var detail string
				err := r.scan(&id, &parent, &unused, &detail)
				plan = append(plan, detail)
				return err
			}, "EXPLAIN QUERY PLAN "+query, "a", "b", "c")
		}); err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(plan, "; "); !strings.Contains(all, index) || strings.Contains(all, "SCAN") {
			t.Errorf("the plan is %s, want %s", all, index)
		}
	}
}
