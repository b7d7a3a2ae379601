package lists

import (
	"regexp"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// identKinds says what the labels of numbers mean, whoever publishes them: the label
// begins with the key, in lower case. The longest key wins.
var identKinds = map[string]string{
	"passport": muster.IdentPassport, "diplomatic passport": muster.IdentPassport, "stateless person passport": muster.IdentPassport,
	"travel document": muster.IdentPassport, "refugee travel document": muster.IdentPassport, "seafarer's identification": muster.IdentNationalID,
	"british national overseas passport": muster.IdentPassport, "service passport": muster.IdentPassport, "laissez-passer": muster.IdentPassport,

	"national id": muster.IdentNationalID, "national identification": muster.IdentNationalID, "national foreign id": muster.IdentNationalID,
	"cedula": muster.IdentNationalID, "ssn": muster.IdentNationalID, "social security": muster.IdentNationalID, "d.n.i.": muster.IdentNationalID, "dni": muster.IdentNationalID,
	"personal id": muster.IdentNationalID, "citizen's card": muster.IdentNationalID, "c.u.i.": muster.IdentNationalID, "c.u.i.p.": muster.IdentNationalID,
	"c.u.r.p.": muster.IdentNationalID, "c.u.i.t.": muster.IdentNationalID, "numero de identidad": muster.IdentNationalID, "identification number": muster.IdentNationalID,
	"turkish identification": muster.IdentNationalID, "electoral registry": muster.IdentNationalID, "credencial electoral": muster.IdentNationalID,
	"i.f.e.": muster.IdentNationalID, "le number": muster.IdentNationalID, "driver's license": muster.IdentNationalID, "driving licence": muster.IdentNationalID,
	"birth certificate": muster.IdentNationalID, "residency": muster.IdentNationalID, "id card": muster.IdentNationalID, "identity card": muster.IdentNationalID,
	"stateless person id": muster.IdentNationalID, "voter identification": muster.IdentNationalID, "kenyan id": muster.IdentNationalID, "tarjeta de identidad": muster.IdentNationalID,
	"tazkira": muster.IdentNationalID, "military": muster.IdentNationalID, "cartilla de servicio militar": muster.IdentNationalID, "moroccan personal id": muster.IdentNationalID,
	"bosnian personal id": muster.IdentNationalID, "n.i.e.": muster.IdentNationalID, "malaysian": muster.IdentNationalID, "folio": muster.IdentRegistration,
	"residence permit": muster.IdentNationalID, "permanent resident": muster.IdentNationalID, "visa number": muster.IdentNationalID,
	"italian fiscal code": muster.IdentNationalID, "fiscal code": muster.IdentRegistration, "pasaporte": muster.IdentPassport,
	"numero unico de identidad": muster.IdentNationalID, "unique identification": muster.IdentNationalID,

	"registration": muster.IdentRegistration, "tax id": muster.IdentRegistration, "nit": muster.IdentRegistration, "ruc": muster.IdentRegistration,
	"rif": muster.IdentRegistration, "r.f.c.": muster.IdentRegistration, "v.a.t.": muster.IdentRegistration, "vat": muster.IdentRegistration, "rtn": muster.IdentRegistration,
	"company": muster.IdentRegistration, "business": muster.IdentRegistration, "commercial regist": muster.IdentRegistration, "trade license": muster.IdentRegistration,
	"government gazette": muster.IdentRegistration, "matricula": muster.IdentRegistration, "c.r.": muster.IdentRegistration, "us fein": muster.IdentRegistration,
	"fein": muster.IdentRegistration, "uk company": muster.IdentRegistration, "d-u-n-s": muster.IdentRegistration, "unified social credit": muster.IdentRegistration,
	"united social credit": muster.IdentRegistration, "chamber of commerce": muster.IdentRegistration, "registered charity": muster.IdentRegistration,
	"license": muster.IdentRegistration, "public registration": muster.IdentRegistration, "certificate of incorporation": muster.IdentRegistration,
	"central registration": muster.IdentRegistration, "istanbul chamber": muster.IdentRegistration, "dubai chamber": muster.IdentRegistration,
	"branch unit": muster.IdentRegistration, "economic register": muster.IdentRegistration, "romanian c.r.": muster.IdentRegistration, "romanian tax": muster.IdentRegistration,
	"enterprise number": muster.IdentRegistration, "public security": muster.IdentRegistration, "okpo": muster.IdentRegistration, "ogrn": muster.IdentRegistration,
	"inn": muster.IdentRegistration, "imports": muster.IdentRegistration, "pan": muster.IdentRegistration, "cnpj": muster.IdentRegistration, "organization code": muster.IdentRegistration,
	"legal entity number": muster.IdentRegistration, "bik": muster.IdentRegistration, "stock": muster.IdentOther, "equity ticker": muster.IdentOther, "isin": muster.IdentOther,
	"tax number": muster.IdentRegistration, "taxpayer": muster.IdentRegistration, "tax identification": muster.IdentRegistration, "trade register": muster.IdentRegistration,
	"lei": muster.IdentLEI, "legal entity identifier": muster.IdentLEI,

	"iban": muster.IdentIBAN, "swift": muster.IdentSWIFT, "swift/bic": muster.IdentSWIFT, "bic": muster.IdentSWIFT,
	"digital currency address": muster.IdentWallet, "crypto": muster.IdentWallet, "wallet": muster.IdentWallet,
	"vessel registration identification": muster.IdentIMO, "imo": muster.IdentIMO, "mmsi": muster.IdentMMSI, "call sign": muster.IdentCallSign,
	"vessel call sign": muster.IdentCallSign, "aircraft tail": muster.IdentTail, "previous aircraft tail": muster.IdentTail,
	"email": muster.IdentEmail, "e-mail": muster.IdentEmail, "phone": muster.IdentPhone, "telephone": muster.IdentPhone, "fax": muster.IdentPhone, "tel": muster.IdentPhone,
	"website": muster.IdentWebsite, "url": muster.IdentWebsite, "web": muster.IdentWebsite,
	"aircraft construction number": muster.IdentOther, "aircraft manufacturer's serial number": muster.IdentOther, "chinese commercial code": muster.IdentOther,
}

var (
	imoNumber = regexp.MustCompile(`^(?i:IMO\s*)(\d{7})$`)
	leiNumber = regexp.MustCompile(`^[0-9A-Z]{18}[0-9]{2}$`)
)

// kindOf finds the kind of a label; "" where it is not known.
func kindOf(label string) string {
	label = strings.ToLower(label)
	best, kind := 0, ""
	for key, k := range identKinds {
		if len(key) <= best || !strings.HasPrefix(label, key) {
			continue
		}
		if r := label[len(key):]; r != "" && r[0] >= 'a' && r[0] <= 'z' && len(key) < 5 {
			continue // "panama" is no PAN
		}
		best, kind = len(key), k
	}
	return kind
}

// IdentifierKind says what a publisher's label of a number means; "" where the label
// is not one of a number.
func IdentifierKind(label string) string { return kindOf(Clean(label)) }

// Identify adds a number to an entry under the kind that its label and its own form
// say; a label that is not known makes it IdentOther.
func Identify(e *muster.ListEntry, label, value string, country muster.Country) {
	label, value = strings.TrimRight(Clean(label), ":# "), strings.Trim(Clean(value), ",; ")
	if value == "" || len(value) > 512 {
		return
	}
	kind := kindOf(label)
	if m := imoNumber.FindStringSubmatch(value); m != nil {
		value = m[1]
		// "Company Number IMO 5055293" names the ship's company, not the ship.
		if kind = muster.IdentIMO; e.Kind != muster.ListedVessel && !strings.HasPrefix(label, "Vessel") {
			kind, value = muster.IdentRegistration, "IMO "+value
		}
	}
	switch kind {
	case "":
		kind = muster.IdentOther
	case muster.IdentRegistration:
		if leiNumber.MatchString(value) && strings.HasPrefix(strings.ToLower(label), "legal entity") {
			kind = muster.IdentLEI
		}
	}
	id := muster.ListedIdentifier{Kind: kind, Value: value, Country: country, Label: label}
	if !slices.Contains(e.Identifiers, id) {
		e.Identifiers = append(e.Identifiers, id)
	}
}

// State adds what a publisher's label says of an entry where it is not a number: its
// gender, date of formation, flag. False: the label says nothing of the kind.
func State(e *muster.ListEntry, label, value string) bool {
	value = Clean(value)
	switch strings.ToLower(strings.TrimSuffix(Clean(label), ":")) {
	case "gender":
		e.Gender = Gender(value)
	case "linked to":
		Add(&e.Linked, value)
	case "organization established date":
		if d, ok := ParseDate(value); ok {
			Add(&e.Births, d)
		}
	case "nationality of registration", "vessel flag":
		Add(&e.Nations, Country(value))
	case "vessel type", "other vessel type":
		if e.Vessel == nil {
			e.Vessel = &muster.ListedShip{}
		}
		if e.Vessel.Type == "" {
			e.Vessel.Type = value
		}
	default:
		return false
	}
	return true
}

// Gender reads male, female and their first letters; "" is anything else.
func Gender(s string) string {
	switch strings.ToLower(Clean(s)) {
	case "male", "m":
		return "male"
	case "female", "f":
		return "female"
	}
	return ""
}
