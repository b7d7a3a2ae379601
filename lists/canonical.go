package lists

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// canonicalHead opens the canonical form; the number goes up when the form changes.
const canonicalHead = `{"muster_list":1}` + "\n"

// Canonical is the one form of a list's entries: a line that names the form, then one
// line of JSON for each entry, in the order of their ids. The same entries give the
// same bytes, in whatever order and of whatever file they came.
func Canonical(entries []muster.ListEntry) ([]byte, error) {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b muster.ListEntry) int { return strings.Compare(a.ID, b.ID) })
	var b bytes.Buffer
	b.WriteString(canonicalHead)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range sorted {
		if i > 0 && sorted[i].ID == sorted[i-1].ID {
			return nil, muster.Errorf(muster.CodeInternal, "two entries of %s have one id", sorted[i].List)
		}
		if err := e.Encode(&sorted[i]); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "an entry cannot be written: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Digest names a snapshot by its canonical form.
func Digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// ParseCanonical reads what Canonical made.
func ParseCanonical(data []byte) ([]muster.ListEntry, error) {
	body, ok := bytes.CutPrefix(data, []byte(canonicalHead))
	if !ok {
		return nil, muster.Errorf(muster.CodeMalformed, "this is not a list snapshot of a form that is known")
	}
	entries := make([]muster.ListEntry, 0, bytes.Count(body, []byte("\n")))
	s := bufio.NewScanner(bytes.NewReader(body))
	s.Buffer(make([]byte, 0, 64<<10), MaxFile)
	for s.Scan() {
		var e muster.ListEntry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, muster.Errorf(muster.CodeMalformed, "an entry of a list snapshot cannot be read")
		}
		entries = append(entries, e)
	}
	if s.Err() != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "a list snapshot cannot be read: %w", s.Err())
	}
	return entries, nil
}

// Change is one entry that is in both, and not the same.
type Change struct {
	Old, New muster.ListEntry
	Fields   []string // JSON names of the members that differ
}

// Difference is what became of a list, in the order of ids.
type Difference struct {
	Added   []muster.ListEntry
	Removed []muster.ListEntry
	Changed []Change
}

// Diff compares two snapshots of one list, entry by entry, field by field.
func Diff(old, next []muster.ListEntry) (d Difference) {
	was := make(map[string]*muster.ListEntry, len(old))
	for i := range old {
		was[old[i].ID] = &old[i]
	}
	is := make(map[string]bool, len(next))
	for i := range next {
		n := &next[i]
		is[n.ID] = true
		o, there := was[n.ID]
		if !there {
			d.Added = append(d.Added, *n)
		} else if fields := differing(o, n); len(fields) > 0 {
			d.Changed = append(d.Changed, Change{*o, *n, fields})
		}
	}
	for i := range old {
		if !is[old[i].ID] {
			d.Removed = append(d.Removed, old[i])
		}
	}
	byID := func(a, b muster.ListEntry) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(d.Added, byID)
	slices.SortFunc(d.Removed, byID)
	slices.SortFunc(d.Changed, func(a, b Change) int { return strings.Compare(a.New.ID, b.New.ID) })
	return d
}

// differing are the JSON names of the members in which two entries differ.
func differing(a, b *muster.ListEntry) (names []string) {
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		if fa, fb := va.Field(i), vb.Field(i); !same(fa, fb) {
			name, _, _ := strings.Cut(va.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true // nil and empty are the same in a file
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
