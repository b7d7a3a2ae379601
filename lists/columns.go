package lists

import (
	"slices"
	"strings"
)

// Columns finds the fields of a row by the names in its header.
type Columns map[string]int

// Header reads a row of column names, in lower case.
func Header(fields []string) Columns {
	c := Columns{}
	for i, f := range fields {
		f = strings.ToLower(Clean(f))
		if _, there := c[f]; !there && f != "" {
			c[f] = i
		}
	}
	return c
}

// Has reports whether all names are columns.
func (c Columns) Has(names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { _, ok := c[n]; return !ok })
}

// Get is a field, cleaned; "" where the row has none.
func (c Columns) Get(row []string, name string) string {
	i, ok := c[name]
	if !ok || i >= len(row) {
		return ""
	}
	return Clean(row[i])
}

// Multi splits a field of several values.
func (c Columns) Multi(row []string, name, sep string) (out []string) {
	for v := range strings.SplitSeq(c.Get(row, name), sep) {
		Add(&out, strings.TrimSpace(v))
	}
	return out
}

// Same reports whether a row is the header again.
func (c Columns) Same(row []string) bool {
	again := Header(row)
	if len(again) != len(c) {
		return false
	}
	for name, i := range c {
		if j, ok := again[name]; !ok || i != j {
			return false
		}
	}
	return true
}

// Blank reports whether a row has nothing in any field.
func Blank(row []string) bool {
	return !slices.ContainsFunc(row, func(f string) bool { return Clean(f) != "" })
}

// HeaderOf finds the header of a text: the first of its first lines that has all
// names. Rows goes on after it.
func HeaderOf(r *Rows, lines int, names ...string) (Columns, bool) {
	for range lines {
		if !r.Next() {
			break
		}
		if c := Header(r.Fields); r.Fault == "" && c.Has(names...) {
			return c, true
		}
	}
	return nil, false
}
