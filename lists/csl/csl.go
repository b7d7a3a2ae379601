// Package csl reads the Consolidated Screening List of the International Trade
// Administration (US Commerce) as CSV. Its thirteen sources become thirteen lists.
//
// Source: the header of the file, and ITA's page on the list's fields. Two layouts are
// known: with a column _id (and "label, value, country" in ids), and the older one
// without (and "country, value, label").
package csl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Prefix of the ids of its lists: csl.sdn, csl.el, ...
const Prefix = "csl."

// Sources are the codes of all thirteen. A file without one of them is no whole list.
var Sources = []string{"cap", "cmic", "dpl", "dtc", "el", "fse", "isn", "mbs", "meu", "plc", "sdn", "ssi", "uvl"}

var inBrackets = regexp.MustCompile(`\((?:NS-)?([A-Za-z]{2,6})(?: List)?\)`)

// Detect reports whether text is this list.
func Detect(text []byte) bool {
	_, ok := lists.HeaderOf(lists.NewRows(text, ','), 2, "source", "entity_number", "name", "alt_names", "source_list_url")
	return ok
}

// Read reads the file into one edition for each source that is in it.
func Read(f lists.File, text []byte) ([]*lists.Edition, error) {
	rows := lists.NewRows(text, ',')
	col, ok := lists.HeaderOf(rows, 2, "source", "entity_number", "name", "alt_names", "source_list_url")
	if !ok {
		return nil, lists.Refused(f.Path, "the header of the Consolidated Screening List is not there")
	}
	r := &reader{file: f.Path, col: col, old: !col.Has("_id"), by: map[string]*source{}}
	var stray lists.Tally // rows that belong to no source that can be told
	cut := ""
	for rows.Next() {
		cut = ""
		switch {
		case rows.Fault != "":
			if rows.Open {
				cut = "a quoted field does not end"
			}
			if src := col.Get(rows.Fields, "source"); src != "" { // what was read of it says whose it is
				s := r.source(src)
				s.ed.Rows++
				s.ed.Broken.Add(f.Path, rows.Line, "%s", rows.Fault)
				continue
			}
			stray.Add(f.Path, rows.Line, "%s", rows.Fault)
		case col.Same(rows.Fields), lists.Blank(rows.Fields):
		case len(rows.Fields) != len(col):
			if len(rows.Fields) < len(col) {
				cut = "a row is short"
			}
			s := r.source(col.Get(rows.Fields, "source"))
			s.ed.Rows++
			s.ed.Broken.Add(f.Path, rows.Line, "%d fields where %d are expected", len(rows.Fields), len(col))
			rows.Retreat()
		case col.Get(rows.Fields, "source") == "":
			stray.Add(f.Path, rows.Line, "no source")
		default:
			r.row(rows.Line, rows.Fields)
		}
	}
	if len(r.by) == 0 {
		return nil, lists.Refused(f.Path, "no row has the shape that it should have")
	}
	var missing []string
	for _, s := range Sources {
		if r.by[s] == nil {
			missing = append(missing, s)
		}
	}
	var out []*lists.Edition
	for _, ed := range r.editions {
		if cut != "" {
			ed.Cut = fmt.Sprintf("%s was cut off in its last row (line %d: %s)", f.Path, rows.Line, cut)
		}
		out = append(out, ed)
	}
	if len(missing) > 0 {
		out[0].Note("%s has nothing of: %s", f.Path, strings.Join(missing, ", "))
	}
	out[len(out)-1].Broken.Join(stray) // none is known to be its own: the last is as good as any
	return out, nil
}

type source struct {
	ed  *lists.Edition
	ids lists.IDs
}

type reader struct {
	file     string
	col      lists.Columns
	old      bool
	by       map[string]*source
	editions []*lists.Edition
}

// maxSources bounds the lists that one file can make.
const maxSources = 64

// source finds the list of "Entity List (EL) - Bureau of Industry and Security".
func (r *reader) source(name string) *source {
	code := ""
	if m := inBrackets.FindStringSubmatch(name); m != nil {
		code = strings.ToLower(m[1])
	} else {
		code = slug(name)
	}
	s := r.by[code]
	if s == nil && len(r.by) >= maxSources {
		code = "other"
		s = r.by[code]
	}
	if s == nil {
		s = &source{ed: &lists.Edition{List: Prefix + code, Format: "csl-csv", Files: []string{r.file}}, ids: lists.IDs{}}
		if !slices.Contains(Sources, code) {
			s.ed.Note("a source that was not known: %s", Prefix+code)
		}
		r.by[code] = s
		r.editions = append(r.editions, s.ed)
	}
	return s
}

func slug(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 32 {
			break
		}
	}
	if s = strings.Trim(b.String(), "-"); s == "" {
		return "other"
	}
	return s
}

func (r *reader) row(line int, f []string) {
	get := func(name string) string { return r.col.Get(f, name) }
	s := r.source(get("source"))
	s.ed.Rows++
	e := muster.ListEntry{List: s.ed.List, ID: get("_id"), Kind: kind(get("type"))}
	if e.ID == "" {
		e.ID = get("entity_number")
	}
	name, others := lists.AlsoKnown(withoutTail(get("name")))
	if name == "" {
		s.ed.Broken.Add(r.file, line, "no name")
		return
	}
	lists.AddName(&e, lists.Name(e.Kind, name, muster.NamePrimary, muster.NameStrong))
	for _, n := range others {
		lists.AddName(&e, n)
	}
	for _, n := range r.col.Multi(f, "alt_names", "; ") {
		lists.AddName(&e, lists.Name(e.Kind, n, muster.NameAlias, muster.NameStrong))
	}
	for _, a := range r.col.Multi(f, "addresses", "; ") {
		lists.Add(&e.Addresses, address(a))
	}
	for _, d := range r.col.Multi(f, "dates_of_birth", "; ") {
		if d, ok := lists.ParseDate(d); ok {
			lists.Add(&e.Births, d)
		}
	}
	e.BirthPlaces = r.col.Multi(f, "places_of_birth", "; ")
	for _, c := range append(r.col.Multi(f, "nationalities", "; "), r.col.Multi(f, "citizenships", "; ")...) {
		lists.Add(&e.Nations, lists.Country(c))
	}
	e.Programmes = r.col.Multi(f, "programs", "; ")
	e.Titles = r.col.Multi(f, "title", "; ")
	r.vessel(&e, f)
	for _, id := range r.col.Multi(f, "ids", "; ") {
		r.number(&e, id)
	}
	e.Listed, _ = lists.ParseDate(get("start_date"))
	e.Ends, _ = lists.ParseDate(get("end_date"))
	remarks := []string{get("remarks")}
	for _, x := range []struct{ label, column string }{
		{"Federal Register", "federal_register_notice"}, {"License requirement", "license_requirement"}, {"License policy", "license_policy"}, {"Standard order", "standard_order"},
	} {
		if v := get(x.column); v != "" {
			remarks = append(remarks, x.label+": "+v)
		}
	}
	e.Remarks = strings.TrimPrefix(strings.Join(remarks, "; "), "; ")
	if e.ID == "" {
		e.ID = lists.MadeID(get("name"), get("start_date"), get("federal_register_notice"), get("addresses"))
	}
	if was := e.ID; s.ids.Take(&e) {
		s.ed.Note("%s:%d: an earlier row has the id %s; kept as %s", r.file, line, was, e.ID)
	}
	s.ed.Entries = append(s.ed.Entries, e)
}

func kind(s string) muster.ListedKind {
	switch strings.ToLower(s) {
	case "individual":
		return muster.ListedIndividual
	case "entity":
		return muster.ListedEntity
	case "vessel":
		return muster.ListedVessel
	case "aircraft":
		return muster.ListedAircraft
	}
	return ""
}

var tail = regexp.MustCompile(`(?i)[;,]?\s*(?:and\s+)?any successor,? sub-?unit,?.*$`)

// withoutTail takes off the formula with which State ends the names of some.
func withoutTail(name string) string {
	if at := tail.FindStringIndex(name); at != nil && at[0] > 0 {
		return strings.TrimRight(name[:at[0]], " ;,")
	}
	return name
}

// address reads "Ibex House, The Minories, London, EC3N 1DY, GB".
func address(s string) muster.ListedAddress {
	if i := strings.LastIndex(s, ","); i >= 0 || len(s) == 2 {
		if last := strings.TrimSpace(s[i+1:]); len(last) == 2 && last == strings.ToUpper(last) {
			if c := lists.Country(last); c != "" {
				return muster.ListedAddress{Text: strings.TrimRight(s[:max(i, 0)], ", "), Country: c}
			}
		}
	}
	return muster.ListedAddress{Text: s}
}

func (r *reader) vessel(e *muster.ListEntry, f []string) {
	get := func(name string) string { return r.col.Get(f, name) }
	lists.Identify(e, "Vessel Call Sign", get("call_sign"), "")
	lists.Add(&e.Nations, lists.Country(get("vessel_flag")))
	ship := muster.ListedShip{Type: get("vessel_type"), Tonnage: get("gross_tonnage"), GrossTonnage: get("gross_registered_tonnage"), Owner: get("vessel_owner")}
	if ship != (muster.ListedShip{}) {
		e.Vessel = &ship
	}
}

// number reads one of ids: "Passport, 836238033, KP", or "KP, 836238033, Passport" of
// the older layout.
func (r *reader) number(e *muster.ListEntry, s string) {
	parts := strings.Split(s, ", ")
	if r.old {
		slices.Reverse(parts)
	}
	if len(parts) < 2 {
		return
	}
	label, value := parts[0], parts[1:]
	var country muster.Country
	if last := value[len(value)-1]; len(value) > 1 && len(last) == 2 && last == strings.ToUpper(last) {
		country = lists.Country(last)
	}
	if country != "" {
		value = value[:len(value)-1]
	}
	if r.old {
		slices.Reverse(value)
	}
	v := strings.Join(value, ", ")
	if !lists.State(e, label, v) && lists.IdentifierKind(label) != "" {
		lists.Identify(e, label, v, country)
	}
}
