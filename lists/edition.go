package lists

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// File is a file that came, whole.
type File struct {
	Path string // for people: where it came from; its name can tell SDN from consolidated
	Data []byte
}

// Edition is one list as one set of files had it.
type Edition struct {
	List    string             `json:"list"`
	Format  string             `json:"format"`          // of the files: ofac-csv, un-xml, ...
	Files   []string           `json:"files"`           // paths
	AsOf    time.Time          `json:"as_of,omitzero"`  // the publisher's date, where the files state one
	Rows    int                `json:"rows"`            // rows, or elements, that stand for an entry: Entries and those rejected
	Entries []muster.ListEntry `json:"-"`               // in the files' order
	Broken  Tally              `json:"broken,omitzero"` // rows that could not be read
	Orphans Tally              `json:"orphans,omitzero"`
	Cut     string             `json:"cut,omitempty"`   // why the file is not whole: what is here can be read, and must not pass for the list
	Notes   []string           `json:"notes,omitempty"` // what a person should know and no row is lost by
}

// Flaw is one row that did not become what it should have.
type Flaw struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // 1 is the first; 0: of the file as a whole
	Reason string `json:"reason"`
}

func (f Flaw) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Reason
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Reason)
}

// maxShown bounds the flaws that are kept; all are counted.
const maxShown = 50

// Tally counts flaws and keeps the first.
type Tally struct {
	Count int    `json:"count"`
	Shown []Flaw `json:"shown,omitempty"`
}

// IsZero reports whether there was none.
func (t Tally) IsZero() bool { return t.Count == 0 }

// Add counts a flaw.
func (t *Tally) Add(file string, line int, format string, args ...any) {
	t.Count++
	if len(t.Shown) < maxShown {
		t.Shown = append(t.Shown, Flaw{file, line, fmt.Sprintf(format, args...)})
	}
}

// Join counts another tally's flaws too.
func (t *Tally) Join(o Tally) {
	t.Count += o.Count
	t.Shown = append(t.Shown, o.Shown[:min(len(o.Shown), maxShown-len(t.Shown))]...)
}

// Refused says why a file is not a list, or not a whole one.
func Refused(file, format string, args ...any) *muster.Error {
	return &muster.Error{Code: muster.CodeMalformed, Message: file + ": " + fmt.Sprintf(format, args...)}
}

// Note keeps what a person should know; past a bound, no more.
func (e *Edition) Note(format string, args ...any) {
	if len(e.Notes) < maxShown {
		e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
	}
}

// Again is the id of a second thing under an id that is taken: 2677#2.
func Again(id string, taken func(string) bool) string {
	for n := 2; ; n++ {
		if next := fmt.Sprintf("%s#%d", id, n); !taken(next) {
			return next
		}
	}
}

// add appends v where it is new and not empty.
func add[T comparable](to []T, v T) []T {
	var none T
	if v == none || slices.Contains(to, v) {
		return to
	}
	return append(to, v)
}

// Add appends v where it is new and not empty: lists repeat themselves.
func Add[T comparable](to *[]T, v T) { *to = add(*to, v) }
