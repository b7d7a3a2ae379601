// Package ofac reads the lists of the Office of Foreign Assets Control (US Treasury):
// the CSV sets of the SDN and the consolidated list, and the basic XML of both.
//
// Source: OFAC, "SDN data format specifications" (dat_spec.txt) and sdnList.xsd. Real
// files differ from them: no header or an added one, "-0-" and "-0- " for nothing, a
// 0x1A at the end or none, ids quoted or bare, remarks that go on in a file of their
// own, rows whose entry is not there.
package ofac

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Ids of the lists.
const (
	SDN          = "ofac.sdn"
	Consolidated = "ofac.cons"
)

// Part is one file of a CSV set.
type Part string

const (
	Primary   Part = "primary"   // sdn.csv, cons_prim.csv: ent_num, name, type, program, title, call sign, vessel type, tonnage, GRT, flag, owner, remarks
	Names     Part = "names"     // alt.csv, cons_alt.csv: ent_num, alt_num, type, name, remarks
	Addresses Part = "addresses" // add.csv, cons_add.csv: ent_num, add_num, address, city and region, country, remarks
	Comments  Part = "comments"  // sdn_comments.csv, cons_comments.csv: ent_num, the remark's continuation
)

var width = map[Part]int{Primary: 12, Names: 5, Addresses: 6, Comments: 2}

var (
	idNumber   = regexp.MustCompile(`^\d{1,9}$`)
	knownAs    = regexp.MustCompile(`^[afn]\.?k\.?a\.?$`)
	listedType = regexp.MustCompile(`^(?i:individual|vessel|aircraft|entity|-0-|)$`)
)

// DetectCSV says which part of which set a file is, by its first rows; the list by its
// name, because nothing in the rows tells it.
func DetectCSV(f lists.File, text []byte) (list string, part Part, ok bool) {
	list = SDN
	if base := strings.ToLower(path.Base(f.Path)); strings.Contains(base, "cons") {
		list = Consolidated
	}
	rows := lists.NewRows(text, ',')
	for range 3 { // the first may be a header
		if !rows.Next() {
			break
		}
		r := rows.Fields
		if len(r) == 0 || !idNumber.MatchString(lists.Clean(r[0])) {
			continue
		}
		switch {
		case len(r) == width[Primary] && listedType.MatchString(null(r[2])):
			return list, Primary, true
		case len(r) == width[Names] && knownAs.MatchString(strings.ToLower(null(r[2]))):
			return list, Names, true
		case len(r) == width[Addresses] && idNumber.MatchString(lists.Clean(r[1])):
			return list, Addresses, true
		case len(r) == width[Comments] && null(r[1]) != "" && !idNumber.MatchString(lists.Clean(r[1])):
			return list, Comments, true
		}
	}
	return "", "", false
}

// null is a field without the marks that stand for nothing.
func null(s string) string {
	if s = lists.Clean(s); s == "-0-" {
		return ""
	}
	return s
}

// Set is the files of one CSV set, by part; none but Primary must be there.
type Set map[Part]lists.File

// ReadCSV reads one set. Rows of names, addresses and comments whose entry is not in
// the primary file are orphans: counted and shown, and no entry is made of them.
func ReadCSV(list string, set Set) (*lists.Edition, error) {
	ed := &lists.Edition{List: list, Format: "ofac-csv"}
	if _, ok := set[Primary]; !ok {
		return nil, lists.Refused(set.Path(), "the file of entries (sdn.csv or cons_prim.csv) that this belongs to is not here")
	}
	r := &csvReader{ed: ed, at: map[string]int{}, remarks: map[string]string{}}
	for _, step := range []struct {
		part Part
		row  func(file string, line int, f []string)
	}{{Primary, r.entry}, {Names, r.name}, {Addresses, r.address}, {Comments, r.comment}} {
		f, ok := set[step.part]
		if !ok {
			if step.part != Comments {
				ed.Note("no file of %s came with it", step.part)
			}
			continue
		}
		ed.Files = append(ed.Files, f.Path)
		if err := r.each(f, width[step.part], step.row); err != nil {
			return nil, err
		}
	}
	r.readRemarks() // last: a name that is strong elsewhere stays so
	return ed, nil
}

// Path is of the first of its files.
func (set Set) Path() string {
	for _, p := range []Part{Primary, Names, Addresses, Comments} {
		if f, ok := set[p]; ok {
			return f.Path
		}
	}
	return "no file"
}

type csvReader struct {
	ed      *lists.Edition
	at      map[string]int    // index into the entries, by id
	remarks map[string]string // whole, by id
}

// each calls row for every record of a file that has the right shape.
func (r *csvReader) each(f lists.File, fields int, row func(string, int, []string)) error {
	text, err := lists.Text(f)
	if err != nil {
		return err
	}
	rows := lists.NewRows(text, ',')
	rows.OneLine = true
	broken := func(format string, args ...any) {
		if fields == width[Primary] {
			r.ed.Rows++ // it stood for an entry
		}
		r.ed.Broken.Add(f.Path, rows.Line, format, args...)
	}
	n, cut := 0, ""
	for first := true; rows.Next(); first = false {
		cut = ""
		got := rows.Fields
		switch {
		case rows.Open:
			cut = "a quoted field does not end"
			broken("%s", rows.Fault)
		case rows.Fault != "":
			broken("%s", rows.Fault)
		case header(got):
			if !first {
				r.ed.Note("%s:%d: the header again", f.Path, rows.Line)
			}
		case len(got) != fields:
			if len(got) < fields {
				cut = "a row is short"
			}
			broken("%d fields where %d are expected", len(got), fields)
		case !idNumber.MatchString(lists.Clean(got[0])):
			broken("the id is not a number")
		default:
			row(f.Path, rows.Line, got)
			n++
		}
	}
	if cut != "" {
		r.ed.Cut = fmt.Sprintf("%s was cut off in its last row (line %d: %s)", f.Path, rows.Line, cut)
	}
	if n == 0 {
		return lists.Refused(f.Path, "no row has the shape that it should have")
	}
	return nil
}

// header is a row of column names: what is in the place of the id begins with a letter,
// and no row of OFAC's own does.
func header(f []string) bool {
	first := strings.ToLower(lists.Clean(f[0]))
	return first == "id" || first == "ent_num" || first == "uid" || first == "entity_number"
}

func (r *csvReader) entry(file string, line int, f []string) {
	id := lists.Clean(f[0])
	r.ed.Rows++
	if _, there := r.at[id]; there {
		// Another entry under a number that is taken. It is listed, so that it is kept; what
		// other files say of that number is about the first.
		id = lists.Again(id, func(id string) bool { _, there := r.at[id]; return there })
		r.ed.Note("%s:%d: an earlier row has the same id; kept as %s", file, line, id)
	}
	e := muster.ListEntry{List: r.ed.List, ID: id, Kind: kind(null(f[2]))}
	lists.AddName(&e, lists.Name(e.Kind, null(f[1]), muster.NamePrimary, muster.NameStrong))
	if len(e.Names) == 0 {
		r.ed.Broken.Add(file, line, "no name")
		return
	}
	e.Programmes = programmes(null(f[3]))
	lists.Add(&e.Titles, null(f[4]))
	switch e.Kind {
	case muster.ListedAircraft:
		lists.Identify(&e, "Aircraft Tail Number", e.Names[0].Full, "") // OFAC names an aircraft by it
	case muster.ListedVessel:
		lists.Identify(&e, "Vessel Call Sign", null(f[5]), "")
		v := muster.ListedShip{Type: null(f[6]), Tonnage: null(f[7]), GrossTonnage: null(f[8]), Owner: null(f[10])}
		if v != (muster.ListedShip{}) {
			e.Vessel = &v
		}
		lists.Add(&e.Nations, lists.Country(null(f[9])))
	}
	r.at[id] = len(r.ed.Entries)
	r.remarks[id] = null(f[11])
	r.ed.Entries = append(r.ed.Entries, e)
}

// kind reads OFAC's type; it has no word for an entity.
func kind(s string) muster.ListedKind {
	switch strings.ToLower(s) {
	case "individual":
		return muster.ListedIndividual
	case "vessel":
		return muster.ListedVessel
	case "aircraft":
		return muster.ListedAircraft
	}
	return muster.ListedEntity
}

// programmes reads "SDGT] [IRGC] [IFSR".
func programmes(s string) (out []string) {
	for p := range strings.SplitSeq(strings.Trim(s, "[] "), "] [") {
		lists.Add(&out, strings.TrimSpace(p))
	}
	return out
}

// comment continues a remark that was too long for its column: the cut is anywhere,
// also within a word, so that nothing goes between.
func (r *csvReader) comment(file string, line int, f []string) {
	id := lists.Clean(f[0])
	if _, ok := r.at[id]; !ok {
		r.ed.Orphans.Add(file, line, "a remark of an entry that is not here")
		return
	}
	r.remarks[id] += f[1]
}

func (r *csvReader) readRemarks() {
	for i := range r.ed.Entries {
		e := &r.ed.Entries[i]
		e.Remarks = lists.Clean(r.remarks[e.ID])
		remarks(e, e.Remarks)
	}
}

func (r *csvReader) name(file string, line int, f []string) {
	i, ok := r.at[lists.Clean(f[0])]
	if !ok {
		r.ed.Orphans.Add(file, line, "a name of an entry that is not here")
		return
	}
	e := &r.ed.Entries[i]
	n := null(f[3])
	if n == "" {
		r.ed.Broken.Add(file, line, "no name")
		return
	}
	q := muster.NameStrong
	if strings.Contains(strings.ToLower(f[4]), "weak") {
		q = muster.NameWeak
	}
	lists.AddName(e, lists.Name(e.Kind, n, role(null(f[2])), q))
}

func (r *csvReader) address(file string, line int, f []string) {
	i, ok := r.at[lists.Clean(f[0])]
	if !ok {
		r.ed.Orphans.Add(file, line, "an address of an entry that is not here")
		return
	}
	street, city, country := null(f[2]), null(f[3]), null(f[4])
	a := muster.ListedAddress{Text: lists.Commas(street, city), City: city, Country: lists.Country(country)}
	if region, ok := strings.CutPrefix(country, "Region: "); ok {
		a.Region = region // Crimea, Gaza, ...
	}
	if a.Country == "" || a.Region != "" {
		a.Text = lists.Commas(a.Text, cmp.Or(a.Region, country))
	}
	lists.Add(&r.ed.Entries[i].Addresses, a)
}
