// Package eu reads the consolidated list of persons, groups and entities subject to EU
// financial sanctions: the Financial Sanctions File, XML 1.1.
//
// Source: European Commission, "FSF XML export" schema 1.1 (namespace
// http://eu.europa.ec/fpi/fsd/export). No real file was at hand: docs/formats/lists.md
// says, field by field, what this was built to.
package eu

import (
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// FSF is the id of the list.
const FSF = "eu.fsf"

// Root is the root element of the file.
const Root = "export"

// Read reads the file.
func Read(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: FSF, Format: "eu-xml", Files: []string{f.Path}}
	return lists.Whole(f, text, ed, Root, "generationDate", []string{"sanctionEntity"}, entry)
}

func entry(n *lists.Node) muster.ListEntry {
	e := muster.ListEntry{List: FSF, ID: n.Attr("euReferenceNumber")}
	if e.ID == "" {
		e.ID = n.Attr("logicalId")
	}
	for _, s := range n.All("subjectType") {
		switch {
		case s.Attr("classificationCode") == "P", s.Attr("code") == "person":
			e.Kind = muster.ListedIndividual
		case s.Attr("code") != "":
			e.Kind = muster.ListedEntity
		}
	}
	for _, a := range n.All("nameAlias") {
		role, q := muster.NamePrimary, muster.NameStrong
		if len(e.Names) > 0 {
			role = muster.NameAlias
		}
		if a.Attr("strong") == "false" {
			q = muster.NameWeak
		}
		name := muster.ListedName{Full: a.Attr("wholeName"), Given: lists.Words(a.Attr("firstName"), a.Attr("middleName")), Family: a.Attr("lastName"), Role: role, Quality: q}
		if name.Full == "" {
			name.Full = lists.Words(name.Given, name.Family)
		}
		if name.Given == "" || name.Family == "" {
			name.Given, name.Family = "", ""
		}
		if name.Script = lists.Script(name.Full); name.Script != "" && role == muster.NameAlias {
			name.Role = muster.NameNative
		}
		lists.AddName(&e, name)
		if e.Gender == "" {
			e.Gender = lists.Gender(a.Attr("gender"))
		}
		lists.Add(&e.Titles, a.Attr("title"))
		lists.Add(&e.Titles, a.Attr("function"))
	}
	for _, b := range n.All("birthdate") {
		birth(&e, b)
	}
	for _, c := range n.All("citizenship") {
		lists.Add(&e.Nations, country(c))
	}
	for _, a := range n.All("address") {
		lists.Add(&e.Addresses, muster.ListedAddress{
			Text: lists.Commas(a.Attr("street"), a.Attr("poBox"), a.Attr("place"), a.Attr("city"), a.Attr("zipCode"), a.Attr("region")),
			City: a.Attr("city"), Region: a.Attr("region"), Postal: a.Attr("zipCode"), Country: country(a),
		})
		for _, c := range a.All("contactInfo") {
			contact(&e, c.Attr("key"), c.Attr("value"))
		}
	}
	for _, d := range n.All("identification") {
		number := d.Attr("number")
		if number == "" {
			number = d.Attr("latinNumber")
		}
		label := d.Attr("identificationTypeDescription")
		if k, ok := documents[d.Attr("identificationTypeCode")]; ok {
			label = k
		}
		lists.Identify(&e, label, number, country(d))
	}
	var remarks []string
	for _, r := range n.All("remark") {
		lists.Add(&remarks, r.Text)
	}
	for _, r := range n.All("regulation") {
		lists.Add(&e.Programmes, r.Attr("programme"))
		if e.Listed.IsZero() {
			e.Listed, _ = lists.ParseDate(r.Attr("publicationDate"))
		}
	}
	if d, ok := lists.ParseDate(n.Attr("designationDate")); ok {
		e.Listed = d
	}
	if v := n.Attr("designationDetails"); v != "" {
		lists.Add(&remarks, v)
	}
	if v := n.Attr("unitedNationId"); v != "" {
		lists.Add(&remarks, "United Nations: "+v)
	}
	e.Remarks = strings.Join(remarks, "; ")
	return e
}

// documents are the codes of identificationTypeCode, in the words that lists.Identify
// knows.
var documents = map[string]string{
	"passport": "Passport", "diplomaticpassport": "Diplomatic Passport", "id": "National ID", "ssn": "Social Security Number", "fiscalcode": "Fiscal Code",
	"regnumber": "Registration Number", "tradelicense": "Trade License", "swiftbic": "SWIFT/BIC", "imo": "IMO", "driver": "Driver's License", "residentpermit": "Residence permit",
	"traveldocument": "Travel Document", "birthcert": "Birth Certificate", "lei": "LEI", "iban": "IBAN",
}

// country reads countryIso2Code; "00" is the file's mark for unknown.
func country(n *lists.Node) muster.Country {
	if c := lists.Country(n.Attr("countryIso2Code")); c != "" {
		return c
	}
	return lists.Country(n.Attr("countryDescription"))
}

func birth(e *muster.ListEntry, b *lists.Node) {
	d, ok := lists.ParseDate(b.Attr("birthdate"))
	if !ok {
		d, ok = lists.ParseDate(b.Attr("year"))
	}
	if from, is := lists.ParseDate(b.Attr("yearRangeFrom")); !ok && is {
		d, ok = from, true
		if to, is := lists.ParseDate(b.Attr("yearRangeTo")); is && to.Year > from.Year {
			d.Until = to.Year
		}
	}
	// Dates of another calendar are given as they were stated: their numbers say nothing
	// of ours.
	if c := b.Attr("calendarType"); ok && (c == "" || c == "GREGORIAN") {
		d.About = d.About || b.Attr("circa") == "true"
		lists.Add(&e.Births, d)
	}
	name := b.Attr("countryDescription")
	if strings.EqualFold(name, "unknown") {
		name = ""
	}
	lists.Add(&e.BirthPlaces, lists.Commas(b.Attr("place"), b.Attr("city"), b.Attr("region"), name))
}

func contact(e *muster.ListEntry, key, value string) {
	switch k := strings.ToLower(key); {
	case strings.Contains(k, "mail"):
		lists.Identify(e, "Email", value, "")
	case strings.Contains(k, "web"):
		lists.Identify(e, "Website", value, "")
	case strings.Contains(k, "phone"), strings.Contains(k, "fax"):
		lists.Identify(e, "Phone", value, "")
	}
}
