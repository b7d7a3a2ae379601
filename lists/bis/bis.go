// Package bis reads the Denied Persons List of the Bureau of Industry and Security (US
// Commerce): text, tab-separated, one row for each name and address.
//
// Source: the header of the file. Rows have no id: one is made of name and address,
// which a renewal of the order, that changes dates and citations, leaves alone.
package bis

import (
	"fmt"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// DPL is the id of the list.
const DPL = "bis.dpl"

var columns = []string{"name", "street_address", "city", "state", "country", "postal_code", "effective_date"}

// Detect reports whether text is this list.
func Detect(text []byte) bool {
	_, ok := lists.HeaderOf(lists.NewRows(text, '\t'), 2, columns...)
	return ok
}

// required is how many fields a row has at least: the last two are left out where they
// are empty.
const required = 10

// Read reads the file.
func Read(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: DPL, Format: "bis-dpl", Files: []string{f.Path}}
	rows := lists.NewRows(text, '\t')
	rows.OneLine = true
	col, ok := lists.HeaderOf(rows, 2, columns...)
	if !ok {
		return nil, lists.Refused(f.Path, "the header of the Denied Persons List is not there")
	}
	ids, cut := lists.IDs{}, ""
	for rows.Next() {
		cut = ""
		row := rows.Fields
		switch {
		case rows.Fault != "":
			if rows.Open {
				cut = "a quoted field does not end"
			}
			ed.Rows++
			ed.Broken.Add(f.Path, rows.Line, "%s", rows.Fault)
			continue
		case lists.Blank(row), col.Same(row):
			continue
		}
		ed.Rows++
		if len(row) < required || len(row) > len(col) {
			if len(row) < required {
				cut = "a row is short"
			}
			ed.Broken.Add(f.Path, rows.Line, "%d fields where %d are expected", len(row), len(col))
			continue
		}
		e := entry(col, row)
		if len(e.Names) == 0 {
			ed.Broken.Add(f.Path, rows.Line, "no name")
			continue
		}
		if ids.Take(&e) {
			ed.Note("%s:%d: an earlier row has the same name and address; kept as %s", f.Path, rows.Line, e.ID)
		}
		ed.Entries = append(ed.Entries, e)
	}
	if ed.Rows == 0 {
		return nil, lists.Refused(f.Path, "no entry is in it")
	}
	if cut != "" {
		ed.Cut = fmt.Sprintf("%s was cut off in its last row (line %d: %s)", f.Path, rows.Line, cut)
	}
	return ed, nil
}

func entry(col lists.Columns, row []string) muster.ListEntry {
	get := func(name string) string { return col.Get(row, name) }
	e := muster.ListEntry{List: DPL, ID: lists.MadeID(get("name"), get("street_address"), get("city"), get("country"))}
	name, others := lists.AlsoKnown(get("name"))
	// The list does not say what an entry is. A comma is kept: it may be "DOE, JOHN" or
	// "ACME, INC.".
	lists.AddName(&e, lists.Name("", name, muster.NamePrimary, muster.NameStrong))
	for _, n := range others {
		lists.AddName(&e, n)
	}
	a := muster.ListedAddress{
		Text: lists.Commas(get("street_address"), get("city"), get("state"), get("postal_code")),
		City: get("city"), Region: get("state"), Postal: get("postal_code"), Country: lists.Country(get("country")),
	}
	lists.Add(&e.Addresses, a)
	e.Listed, _ = lists.ParseSlashes(get("effective_date"), true)
	e.Ends, _ = lists.ParseSlashes(get("expiration_date"), true)
	var remarks []string
	for _, x := range []struct{ label, column string }{{"", "action"}, {"Federal Register: ", "fr_citation"}, {"Standard order: ", "standard_order"}} {
		if v := get(x.column); v != "" {
			remarks = append(remarks, x.label+v)
		}
	}
	e.Remarks = strings.Join(remarks, "; ")
	return e
}
