// Package un reads the consolidated list of the United Nations Security Council (XML).
//
// Source: the Security Council's page on the list's formats, and sc-sanctions.xsd.
package un

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Consolidated is the id of the list.
const Consolidated = "un.consolidated"

// Root is the root element of the file.
const Root = "CONSOLIDATED_LIST"

// Read reads the file.
func Read(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: Consolidated, Format: "un-xml", Files: []string{f.Path}}
	return lists.Whole(f, text, ed, Root, "dateGenerated", []string{"INDIVIDUAL", "ENTITY"}, entry)
}

func entry(n *lists.Node) muster.ListEntry {
	// The reference number is the permanent one that the Council's own papers name.
	e := muster.ListEntry{List: Consolidated, ID: n.Value("REFERENCE_NUMBER"), Kind: muster.ListedEntity}
	if e.ID == "" {
		e.ID = n.Value("DATAID")
	}
	if n.Name == "INDIVIDUAL" {
		e.Kind = muster.ListedIndividual
	}
	p := n.Name + "_"
	// Four names in reading order; which of them is a family's, the list does not say.
	addName(&e, lists.Words(n.Value("FIRST_NAME"), n.Value("SECOND_NAME"), n.Value("THIRD_NAME"), n.Value("FOURTH_NAME")), muster.NamePrimary, muster.NameStrong)
	for _, o := range n.Values("NAME_ORIGINAL_SCRIPT") {
		for part := range strings.SplitSeq(o, ";") {
			lists.AddName(&e, native(part))
		}
	}
	for _, a := range n.All(p + "ALIAS") {
		role, q := muster.NameAlias, muster.NameStrong
		switch strings.ToLower(a.Value("QUALITY")) {
		case "low":
			q = muster.NameWeak
		case "f.k.a.":
			role = muster.NameFormer
		}
		addName(&e, a.Value("ALIAS_NAME"), role, q)
		born(&e, a.Value("DATE_OF_BIRTH"), false)
		lists.Add(&e.BirthPlaces, lists.Commas(a.Value("CITY_OF_BIRTH"), a.Value("COUNTRY_OF_BIRTH")))
	}
	for _, a := range n.All(p + "ADDRESS") {
		ad := muster.ListedAddress{
			Text: lists.Commas(a.Value("STREET"), a.Value("CITY"), a.Value("STATE_PROVINCE"), a.Value("ZIP_CODE"), a.Value("NOTE")),
			City: a.Value("CITY"), Region: a.Value("STATE_PROVINCE"), Postal: a.Value("ZIP_CODE"), Country: lists.Country(a.Value("COUNTRY")),
		}
		lists.Add(&e.Addresses, ad)
	}
	births(&e, n)
	for _, v := range n.Values("NATIONALITY", "VALUE") {
		lists.Add(&e.Nations, lists.Country(v))
	}
	for _, d := range n.All(p + "DOCUMENT") {
		document(&e, d)
	}
	e.Gender = lists.Gender(n.Value("GENDER"))
	for _, v := range append(n.Values("TITLE", "VALUE"), n.Values("DESIGNATION", "VALUE")...) {
		lists.Add(&e.Titles, v)
	}
	lists.Add(&e.Programmes, n.Value("UN_LIST_TYPE"))
	e.Listed, _ = lists.ParseDate(n.Value("LISTED_ON"))
	e.Remarks = n.Value("COMMENTS1")
	return e
}

func births(e *muster.ListEntry, n *lists.Node) {
	for _, b := range n.All("INDIVIDUAL_DATE_OF_BIRTH") {
		about := strings.EqualFold(b.Value("TYPE_OF_DATE"), "APPROXIMATELY") || strings.Contains(strings.ToLower(b.Value("NOTE")), "approximately")
		if from, ok := lists.ParseDate(b.Value("FROM_YEAR")); ok {
			if to, ok := lists.ParseDate(b.Value("TO_YEAR")); ok && to.Year > from.Year {
				from.Until = to.Year
			}
			from.About = about
			lists.Add(&e.Births, from)
			continue
		}
		if !born(e, b.Value("DATE"), about) {
			born(e, b.Value("YEAR"), about)
		}
	}
	for _, b := range n.All("INDIVIDUAL_PLACE_OF_BIRTH") {
		lists.Add(&e.BirthPlaces, lists.Commas(b.Value("CITY"), b.Value("STATE_PROVINCE"), b.Value("COUNTRY")))
	}
}

func born(e *muster.ListEntry, s string, about bool) bool {
	d, ok := lists.ParseDate(s)
	if ok {
		d.About = d.About || about
		lists.Add(&e.Births, d)
	}
	return ok
}

// document reads a passport or another paper. What a number is not, the list writes
// into the same field ("issued in Kabul"): it is kept, and does no harm to look-ups.
func document(e *muster.ListEntry, d *lists.Node) {
	kind, other := strings.ToLower(d.Value("TYPE_OF_DOCUMENT")), d.Value("TYPE_OF_DOCUMENT2")
	label := lists.Words(d.Value("TYPE_OF_DOCUMENT"), other)
	for _, word := range []string{"passport", "passeport", "pasaporte"} {
		if strings.Contains(kind, word) {
			label = "Passport"
		}
	}
	country := lists.Country(d.Value("ISSUING_COUNTRY"))
	if country == "" {
		country = lists.Country(d.Value("COUNTRY_OF_ISSUE"))
	}
	lists.Identify(e, label, d.Value("NUMBER"), country)
}

var originalScript = regexp.MustCompile(`(?i)\(?\s*original script\s*:?\)?`)

// addName adds a name, and apart from it what is written in another script within it:
// some aliases are "A (native (original script); B; C)".
func addName(e *muster.ListEntry, s string, role muster.NameRole, q muster.NameQuality) {
	s = originalScript.ReplaceAllString(lists.Clean(s), " ")
	for part := range strings.SplitSeq(s, ";") {
		latin, foreign := apart(part)
		if latin == "" && foreign != "" {
			lists.AddName(e, native(foreign))
			continue
		}
		lists.AddName(e, muster.ListedName{Full: latin, Role: role, Quality: q, Script: lists.Script(latin)})
		if foreign != "" {
			lists.AddName(e, native(foreign))
		}
	}
}

func native(s string) muster.ListedName {
	s = strings.Trim(lists.Clean(s), " ,;:()")
	return muster.ListedName{Full: s, Role: muster.NameNative, Quality: muster.NameStrong, Script: lists.Script(s)}
}

// apart parts a string by script, and drops brackets that are left open or empty.
func apart(s string) (latin, foreign string) {
	var l, f strings.Builder
	in := &l
	for _, r := range s {
		if unicode.IsLetter(r) {
			if in = &l; lists.Script(string(r)) != "" {
				in = &f
			}
		}
		in.WriteRune(r)
	}
	latin, foreign = lists.Clean(l.String()), strings.Trim(lists.Clean(f.String()), " ,;:()")
	if strings.Count(latin, "(") != strings.Count(latin, ")") || strings.Contains(latin, "()") {
		if strings.HasSuffix(latin, "(") || strings.Contains(latin, "()") {
			latin = strings.TrimSuffix(strings.ReplaceAll(latin, "()", " "), "(")
		}
		if strings.Count(latin, "(") < strings.Count(latin, ")") {
			latin = strings.TrimRight(latin, " )")
		}
	}
	return strings.Trim(lists.Clean(latin), " ,:"), foreign
}
