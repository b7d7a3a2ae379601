// Package listtest holds what every reader of watch lists keeps, for tests.
package listtest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

var listID = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+$`)

// Check fails where an edition breaks a rule of the model.
func Check(t testing.TB, ed *lists.Edition) {
	t.Helper()
	if !listID.MatchString(ed.List) || ed.Format == "" || len(ed.Files) == 0 {
		t.Errorf("list %q, format %q, files %q", ed.List, ed.Format, ed.Files)
	}
	if len(ed.Entries) > ed.Rows {
		t.Errorf("%s: %d entries of %d rows", ed.List, len(ed.Entries), ed.Rows)
	}
	if lost := ed.Rows - len(ed.Entries); lost > ed.Broken.Count {
		t.Errorf("%s: %d rows are neither entries nor among the %d broken", ed.List, lost, ed.Broken.Count)
	}
	for i := range ed.Entries {
		entry(t, ed, &ed.Entries[i])
	}
	canonical, err := lists.Canonical(ed.Entries)
	if err != nil {
		t.Fatal(err)
	}
	back, err := lists.ParseCanonical(canonical)
	if err != nil {
		t.Fatal(err)
	}
	again, err := lists.Canonical(back)
	if err != nil || !bytes.Equal(canonical, again) {
		t.Errorf("%s: the canonical form does not come back, %v", ed.List, err)
	}
	if d := lists.Diff(ed.Entries, back); len(d.Added)+len(d.Removed)+len(d.Changed) > 0 {
		t.Errorf("%s: an edition differs from itself: %+v", ed.List, d)
	}
}

func entry(t testing.TB, ed *lists.Edition, e *muster.ListEntry) {
	t.Helper()
	if e.List != ed.List || e.ID == "" {
		t.Errorf("entry %q of %q in %s", e.ID, e.List, ed.List)
	}
	if len(e.Names) == 0 && len(e.Identifiers) == 0 {
		t.Errorf("%s %s: nothing to find it by", ed.List, e.ID)
	}
	for _, n := range e.Names {
		if strings.TrimSpace(n.Full) == "" || !utf8.ValidString(n.Full) || strings.ContainsAny(n.Full, "\n\r\t\x00") || n.Quality == "" || n.Role == "" {
			t.Errorf("%s %s: name %+v", ed.List, e.ID, n)
		}
	}
	for _, id := range e.Identifiers {
		if id.Kind == "" || id.Value == "" {
			t.Errorf("%s %s: identifier %+v", ed.List, e.ID, id)
		}
	}
	for _, d := range e.Births {
		if d.Year < 1000 || d.Month > 12 || d.Day > 31 || d.Until != 0 && d.Until <= d.Year {
			t.Errorf("%s %s: date %+v", ed.List, e.ID, d)
		}
	}
	for _, c := range e.Nations {
		if len(c) != 2 {
			t.Errorf("%s %s: country %q", ed.List, e.ID, c)
		}
	}
}

// Seeds adds the golden files of a format to a fuzz target's seeds.
func Seeds(f *testing.F, folder string) {
	f.Helper()
	paths, err := filepath.Glob("../../watchlist/testdata/golden/" + folder + "/*")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in %s, %v", folder, err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		if filepath.Base(p) != "want.json" {
			f.Add(data)
		}
	}
}
