// Package uk reads the UK Sanctions List of the Foreign, Commonwealth and Development
// Office, as CSV and as XML.
//
// Source: gov.uk, "UK Sanctions List: change to the list's format" (17 February 2022)
// and the column names of the publication. No real file was at hand:
// docs/formats/lists.md says, field by field, what this was built to.
package uk

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Sanctions is the id of the list.
const Sanctions = "uk.sanctions"

// Root is the root element of the XML.
const Root = "Designations"

// record is one designation, or one row of it: in CSV each name, address or date of
// birth may have a row of its own, under one Unique ID.
type record struct {
	id, kind, regime, title, listed, reasons, info, gender string
	natives, births, nations, places, positions            []string
	address                                                []address
	passports, nationalIDs, registrations                  []string
	phones, websites, emails                               []string
	imo, flags, owners                                     []string
	shipType, tonnage                                      string
	names                                                  []named
}

type named struct{ given, family, kind, strength string }

type address struct{ text, postal, country string }

// DetectCSV reports whether text is the CSV.
func DetectCSV(text []byte) bool {
	_, ok := lists.HeaderOf(lists.NewRows(text, ','), 3, "unique id", "name 6", "name type", "regime name")
	return ok
}

var reportDate = regexp.MustCompile(`(?i)report date:?\s*"?,?\s*"?([0-9A-Za-z/ -]{6,20})`)

// ReadCSV reads the CSV.
func ReadCSV(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: Sanctions, Format: "uk-csv", Files: []string{f.Path}}
	if m := reportDate.FindSubmatch(text[:min(len(text), 512)]); m != nil {
		ed.AsOf = day(strings.TrimSpace(string(m[1])))
	}
	rows := lists.NewRows(text, ',')
	col, ok := lists.HeaderOf(rows, 3, "unique id", "name 6", "name type", "regime name")
	if !ok {
		return nil, lists.Refused(f.Path, "the header of the UK Sanctions List is not there")
	}
	b := &builder{ed: ed, at: map[string]int{}}
	width, cut := len(rows.Fields), ""
	for rows.Next() {
		cut = ""
		row := rows.Fields
		switch {
		case rows.Fault == "" && (lists.Blank(row) || col.Same(row)):
			continue
		case rows.Fault != "":
			if rows.Open {
				cut = "a quoted field does not end"
			}
			ed.Broken.Add(f.Path, rows.Line, "%s", rows.Fault)
			continue
		case len(row) != width:
			if len(row) < width {
				cut = "a row is short"
			}
			ed.Broken.Add(f.Path, rows.Line, "%d fields where %d are expected", len(row), width)
			rows.Retreat()
			continue
		}
		b.take(f.Path, rows.Line, csvRecord(col, row))
	}
	if cut != "" {
		ed.Cut = fmt.Sprintf("%s was cut off in its last row (line %d: %s)", f.Path, rows.Line, cut)
	}
	return b.done(f)
}

func csvRecord(col lists.Columns, row []string) record {
	get := func(name string) string {
		if v := col.Get(row, name); !strings.EqualFold(v, "N/A") && !strings.EqualFold(v, "unknown") {
			return v
		}
		return ""
	}
	one := func(name string) []string { return numbered(get(name)) }
	r := record{
		id: get("unique id"), kind: get("designation type"), regime: get("regime name"), title: get("title"), listed: get("date designated"),
		reasons: get("uk statement of reasons"), info: get("other information"), gender: get("gender"),
		natives: one("name non-latin script"), births: one("d.o.b"), nations: one("nationality(/ies)"), positions: one("position"),
		places:    []string{lists.Commas(get("town of birth"), get("country of birth"))},
		passports: one("passport number"), nationalIDs: one("national identifier number"), registrations: one("business registration number (s)"),
		phones: one("phone number"), websites: one("website"), emails: one("email address"),
		imo: one("imo number"), flags: one("current believed flag of ship"), owners: one("current owner/operator (s)"), shipType: get("type of ship"), tonnage: get("tonnage of ship"),
	}
	var given, lines []string
	for i := 1; i <= 5; i++ {
		given = append(given, get(fmt.Sprintf("name %d", i)))
	}
	for i := 1; i <= 6; i++ {
		lines = append(lines, get(fmt.Sprintf("address line %d", i)))
	}
	r.names = []named{{given: lists.Words(given...), family: get("name 6"), kind: get("name type"), strength: get("alias strength")}}
	r.address = []address{{lists.Commas(lines...), get("address postal code"), get("address country")}}
	return r
}

// ReadXML reads the XML.
func ReadXML(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: Sanctions, Format: "uk-xml", Files: []string{f.Path}}
	b := &builder{ed: ed, at: map[string]int{}}
	err := lists.Elements(f, text, Root, []string{"DateGenerated", "Designation"}, func(n *lists.Node) {
		switch n.Name {
		case "DateGenerated":
			ed.AsOf = day(n.Text)
		case "Designation":
			b.take(f.Path, n.Line, xmlRecord(n))
		}
	})
	if err != nil {
		return nil, err
	}
	return b.done(f)
}

func xmlRecord(n *lists.Node) record {
	person := func(path ...string) []string {
		return n.Values(append([]string{"IndividualDetails", "Individual"}, path...)...)
	}
	ship := func(path ...string) []string { return n.Values(append([]string{"ShipDetails", "Ship"}, path...)...) }
	r := record{
		id: n.Value("UniqueID"), kind: n.Value("IndividualEntityShip"), regime: n.Value("RegimeName"), listed: n.Value("DateDesignated"),
		reasons: n.Value("UKStatementofReasons"), info: n.Value("OtherInformation"),
		title:   strings.Join(n.Values("Titles", "Title"), "; "),
		natives: n.Values("NonLatinNames", "NonLatinName", "NameNonLatinScript"),
		births:  person("DOBs", "DOB"), nations: person("Nationalities", "Nationality"), positions: person("Positions", "Position"),
		passports: person("PassportDetails", "*", "PassportNumber"), nationalIDs: person("NationalIdentifierDetails", "*", "NationalIdentifierNumber"),
		registrations: n.Values("EntityDetails", "Entity", "BusinessRegistrationNumbers", "BusinessRegistrationNumber"),
		phones:        n.Values("PhoneNumbers", "PhoneNumber"), websites: n.Values("Websites", "Website"), emails: n.Values("EmailAddresses", "EmailAddress"),
		imo: ship("IMONumbers", "IMONumber"), flags: ship("CurrentBelievedFlagOfShips", "CurrentBelievedFlagOfShip"), owners: ship("CurrentOwnerOperators", "CurrentOwnerOperator"),
	}
	if v := person("GenderDetails", "*"); len(v) > 0 {
		r.gender = v[0]
	}
	if v := append(ship("TypeOfShipDetails", "*"), ship("TypesOfShip", "*")...); len(v) > 0 {
		r.shipType = v[0]
	}
	if v := append(ship("TonnageOfShipDetails", "*"), ship("TonnagesOfShip", "*")...); len(v) > 0 {
		r.tonnage = v[0]
	}
	for _, l := range n.All("IndividualDetails", "Individual", "BirthDetails", "Location") {
		r.places = append(r.places, lists.Commas(l.Value("TownOfBirth"), l.Value("CountryOfBirth")))
	}
	for _, x := range n.All("Names", "Name") {
		given := lists.Words(x.Value("Name1"), x.Value("Name2"), x.Value("Name3"), x.Value("Name4"), x.Value("Name5"))
		r.names = append(r.names, named{given: given, family: x.Value("Name6"), kind: x.Value("NameType"), strength: x.Value("AliasStrength")})
	}
	for _, a := range n.All("Addresses", "Address") {
		var lines []string
		for i := 1; i <= 6; i++ {
			lines = append(lines, a.Value(fmt.Sprintf("AddressLine%d", i)))
		}
		r.address = append(r.address, address{lists.Commas(lines...), a.Value("AddressPostalCode"), a.Value("AddressCountry")})
	}
	return r
}

// builder gathers the rows of each designation.
type builder struct {
	ed *lists.Edition
	at map[string]int
}

func (b *builder) done(f lists.File) (*lists.Edition, error) {
	if b.ed.Rows == 0 {
		return nil, lists.Refused(f.Path, "no entry is in it")
	}
	whole := b.ed.Entries[:0]
	for _, e := range b.ed.Entries {
		if len(e.Names) == 0 {
			b.ed.Broken.Add(f.Path, 0, "the designation %s has no name", e.ID)
			continue
		}
		// The primary name first, wherever its row was.
		for i, n := range e.Names {
			if n.Role == muster.NamePrimary {
				copy(e.Names[1:i+1], e.Names[:i])
				e.Names[0] = n
				break
			}
		}
		whole = append(whole, e)
	}
	b.ed.Entries = whole
	return b.ed, nil
}

func (b *builder) take(file string, line int, r record) {
	if r.id == "" {
		b.ed.Rows++
		b.ed.Broken.Add(file, line, "no unique id")
		return
	}
	i, there := b.at[r.id]
	if !there {
		b.ed.Rows++
		i = len(b.ed.Entries)
		b.at[r.id] = i
		b.ed.Entries = append(b.ed.Entries, muster.ListEntry{List: Sanctions, ID: r.id, Kind: kind(r.kind)})
	}
	fill(&b.ed.Entries[i], r)
}

func kind(s string) muster.ListedKind {
	switch strings.ToLower(s) {
	case "individual":
		return muster.ListedIndividual
	case "entity":
		return muster.ListedEntity
	case "ship":
		return muster.ListedVessel
	}
	return ""
}

func fill(e *muster.ListEntry, r record) {
	for _, n := range r.names {
		role, q := muster.NameAlias, muster.NameStrong
		if strings.EqualFold(n.kind, "primary name") {
			role = muster.NamePrimary
		}
		if strings.Contains(strings.ToLower(n.strength), "low") || strings.Contains(strings.ToLower(n.strength), "weak") {
			q = muster.NameWeak
		}
		lists.AddName(e, lists.Parts(n.given, n.family, role, q))
	}
	for _, s := range r.natives {
		lists.AddName(e, muster.ListedName{Full: s, Role: muster.NameNative, Quality: muster.NameStrong, Script: lists.Script(s)})
	}
	for _, a := range r.address {
		if a.text+a.postal+a.country != "" {
			lists.Add(&e.Addresses, muster.ListedAddress{Text: lists.Commas(a.text, a.postal), Postal: a.postal, Country: lists.Country(a.country)})
		}
	}
	for _, s := range r.births {
		if d, ok := date(s); ok {
			lists.Add(&e.Births, d)
		}
	}
	for _, s := range r.places {
		lists.Add(&e.BirthPlaces, s)
	}
	for _, s := range append(r.nations, r.flags...) {
		lists.Add(&e.Nations, lists.Country(s))
	}
	for _, s := range append([]string{r.title}, r.positions...) {
		lists.Add(&e.Titles, s)
	}
	lists.Add(&e.Programmes, r.regime)
	for _, x := range []struct {
		label  string
		values []string
	}{
		{"Passport", r.passports},
		{"National ID", r.nationalIDs},
		{"Business Registration Number", r.registrations},
		{"Phone", r.phones},
		{"Website", r.websites},
		{"Email", r.emails},
	} {
		for _, v := range x.values {
			lists.Identify(e, x.label, v, "")
		}
	}
	for _, v := range r.imo {
		lists.Identify(e, "IMO", strings.TrimPrefix(v, "IMO "), "")
	}
	if ship := (muster.ListedShip{Type: r.shipType, Tonnage: r.tonnage, Owner: strings.Join(r.owners, "; ")}); ship != (muster.ListedShip{}) {
		e.Vessel = &ship
	}
	if e.Gender == "" {
		e.Gender = lists.Gender(r.gender)
	}
	if e.Listed.IsZero() {
		e.Listed, _ = date(r.listed)
	}
	if e.Remarks == "" {
		e.Remarks = strings.TrimPrefix(strings.Join([]string{r.info, r.reasons}, "; "), "; ")
		e.Remarks = strings.TrimSuffix(e.Remarks, "; ")
	}
}

// date reads dd/mm/yyyy, of which day and month may stand for themselves, and dates of
// the other forms.
func date(s string) (muster.PartialDate, bool) {
	if d, ok := lists.ParseSlashes(strings.ToLower(s), false); ok {
		return d, true
	}
	return lists.ParseDate(s)
}

func day(s string) time.Time {
	d, ok := date(s)
	if !ok || d.Day == 0 {
		return time.Time{}
	}
	return time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC)
}

var mark = regexp.MustCompile(`\s*\(\d{1,2}\)\s*`)

// numbered splits "(1) Russia (2) Cyprus"; what is not numbered is one value.
func numbered(s string) (out []string) {
	if !strings.HasPrefix(s, "(1)") {
		lists.Add(&out, s)
		return out
	}
	for _, v := range mark.Split(s, -1) {
		lists.Add(&out, strings.TrimSpace(v))
	}
	return out
}
