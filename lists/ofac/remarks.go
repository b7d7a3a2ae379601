package ofac

import (
	"regexp"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

var (
	quotedName = regexp.MustCompile(`^(a\.k\.a\.|f\.k\.a\.|n\.k\.a\.)\s*'(.*)'$`)
	numbered   = regexp.MustCompile(`^(.{2,60}?(?: No\.?| Number| #| Code)(?: \([^)]{1,40}\))?):? (\S.*)$`)
	identified = regexp.MustCompile(`^(.{2,60}?(?: ID| Identification| Address)):? (\S.*)$`)
	currency   = regexp.MustCompile(`^Digital Currency Address - (\S+) (\S+)`)
	dated      = regexp.MustCompile(` (?:issued|expires|expired|exp\.|issue date)\b.*$`)
	ofCountry  = regexp.MustCompile(`^(.*?)\s*\(([^()]*(?:\([^()]*\))?)\)\s*$`)
)

// statements are labels of what is not a number.
var statements = []string{"Gender", "Linked To:", "Organization Established Date", "Nationality of Registration", "Vessel Flag", "Vessel Type"}

// labels are the beginnings of remarks that are a number without the word: the rest
// is the number.
var labels = []string{
	"Diplomatic Passport", "Passport Booklet:", "Passport", "Cedula No.", "National ID No.", "SSN", "NIT #", "RUC #", "RIF #", "D.N.I.", "C.U.I.", "C.U.I.T.", "C.U.R.P.", "R.F.C.", "I.F.E.",
	"N.I.E.", "US FEIN", "Personal ID Card", "Credencial electoral", "Numero de Identidad", "Italian Fiscal Code", "License", "RTN", "Registration ID", "V.A.T. Number",
	"SWIFT/BIC", "MMSI", "Email Address", "Website", "Telephone No.", "Telephone:", "Telephone", "Phone Number", "PHONE", "Fax:", "Fax No.", "Fax", "BIK (RU)",
	"Matricula Mercantil No", "Tarjeta de Identidad", "Cartilla de Servicio Militar Nacional", "Birth Certificate Number", "Chinese Commercial Code",
	"Residency Number", "LE Number", "Stateless Person Passport", "Travel Document Number", "ISIN", "Equity Ticker",
}

// remarks reads what OFAC writes in the last column: statements separated by "; ",
// most of them a label and a value.
// Source: OFAC, "SDN data format specifications" (dat_spec.txt), field Remarks, and
// the remarks themselves.
func remarks(e *muster.ListEntry, text string) {
	text = strings.TrimSuffix(lists.Clean(text), ".")
	for part := range strings.SplitSeq(text, "; ") {
		remark(e, strings.TrimPrefix(strings.Trim(part, " ;"), "alt. "))
	}
}

func remark(e *muster.ListEntry, s string) {
	if s == "" {
		return
	}
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "DOB":
		if d, ok := lists.ParseDate(rest); ok {
			lists.Add(&e.Births, d)
			return
		}
	case "POB":
		lists.Add(&e.BirthPlaces, rest)
		return
	case "nationality", "citizen":
		lists.Add(&e.Nations, lists.Country(rest))
		return
	case "a.k.a.", "f.k.a.", "n.k.a.":
		// The names that OFAC puts in quotes here are those that it calls weak.
		if m := quotedName.FindStringSubmatch(s); m != nil {
			lists.AddName(e, lists.Name(e.Kind, m[2], role(m[1]), muster.NameWeak))
			return
		}
	}
	for _, label := range statements {
		if v, ok := strings.CutPrefix(s, label+" "); ok && lists.State(e, label, v) {
			return
		}
	}
	if m := currency.FindStringSubmatch(s); m != nil {
		lists.Identify(e, "Digital Currency Address - "+m[1], m[2], "")
		return
	}
	for _, l := range labels {
		if v, ok := strings.CutPrefix(s, l+" "); ok && hasDigitOrSign(v) {
			number(e, l, v)
			return
		}
	}
	for _, form := range []*regexp.Regexp{numbered, identified} {
		if m := form.FindStringSubmatch(s); m != nil && hasDigitOrSign(m[2]) && lists.IdentifierKind(m[1]) != "" {
			number(e, m[1], m[2])
			return
		}
	}
}

// hasDigitOrSign tells a number from a word that follows its label by chance.
func hasDigitOrSign(s string) bool { return strings.ContainsAny(s, "0123456789@.") || len(s) >= 8 }

// number reads "A0002302 (Iran) issued 14 Mar 2006 expires 14 Mar 2011".
func number(e *muster.ListEntry, label, v string) {
	var country muster.Country
	if at := dated.FindStringIndex(v); at != nil {
		v = v[:at[0]]
	}
	if m := ofCountry.FindStringSubmatch(v); m != nil && m[1] != "" {
		country = lists.Country(m[2])
		if country != "" || lists.IdentifierKind(label) != muster.IdentPhone {
			v = m[1]
		}
	}
	lists.Identify(e, label, v, country)
}

// role reads a.k.a., f.k.a., n.k.a., with or without the points.
func role(s string) muster.NameRole {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(s)), "f") {
		return muster.NameFormer
	}
	return muster.NameAlias
}
