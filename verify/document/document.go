package document

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"github.com/muster-cip/muster"
)

// Lengths in characters.
const (
	maxNumber    = 64
	maxPlace     = muster.MaxLineRunes
	maxNote      = muster.MaxTextRunes
	maxCountries = muster.MaxNationalities
)

// Seen says about whom and by whom a paper was seen.
type Seen struct {
	Subject  string           // subject id
	Kind     muster.PartyKind // of the subject; "" is an individual
	Revision int              // of the claims that it was held against
	Operator string           // operator id
	Now      time.Time        // of the transaction
	Zone     *time.Location   // the provider's; nil: UTC. Days of expiry end here
}

// Finding is what came of it.
type Finding struct {
	Evidence muster.Evidence
	Details  []byte // canonical JSON (sorted members, no spaces) to be sealed: a personal value
	Identity string // "issuer|type|number", for the blind index: a personal value; "" where the paper has no number
}

// input is what staff wrote down, checked.
type input struct {
	kind, issuer, place, number, note string
	issued, expires                   string // YYYY-MM-DD or ""
	hasPhoto                          bool
	attributes                        map[string]muster.Finding
	shows                             map[string][]muster.Country
}

// Take reads the input of document.manual:
//
//	{"type": "passport", "issuer": "NG", "place_of_issue": "Lagos", "number": "A01234567",
//	 "issued_on": "2022-03-01", "expires_on": "2032-02-28", "has_photo": true,
//	 "attributes": {"name": "supports", "date_of_birth": "supports", "nationality": "supports"},
//	 "shows": {"nationality": ["NG"]}, "note": "seen by video call"}
//
// has_photo: it has a photograph or a similar safeguard, and that was looked at.
//
// Errors: too_large, malformed, and invalid with every fault, sorted by pointer.
// Codes of faults: required, wrong_type, unknown_member, unknown_value,
// unknown_country, too_long, too_many, bad_character, document_number, date,
// in_future, ends_before_start, expired, twice, not_of_individual, not_of_entity,
// cannot_show.
func Take(seen Seen, raw []byte) (*Finding, error) {
	o, err := read(raw)
	if err != nil {
		return nil, err
	}
	if seen.Kind == "" {
		seen.Kind = muster.Individual
	}
	if seen.Zone == nil {
		seen.Zone = time.UTC
	}
	var f faults
	in := f.input(o, seen)
	if len(f) > 0 {
		slices.SortStableFunc(f, func(a, b muster.Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
		return nil, muster.Invalid(f...)
	}
	e := muster.Evidence{
		ID: muster.NewID(muster.PrefixEvidence, seen.Now), Subject: seen.Subject, Method: Manual, Kind: muster.Documentary,
		Revision: seen.Revision, Attributes: in.attributes, Shows: in.shows,
		Assurance: papers[in.kind].assurance(in, seen.Kind), At: seen.Now, Producer: seen.Operator,
	}
	if in.expires != "" {
		day, _ := time.ParseInLocation(time.DateOnly, in.expires, seen.Zone) // read once already
		e.Expires = muster.Instant(day.AddDate(0, 0, 1))
	}
	details, err := in.details()
	if err != nil {
		return nil, err
	}
	return &Finding{Evidence: e, Details: details, Identity: in.identity()}, nil
}

func (f *faults) input(o object, seen Seen) *input {
	for name := range o {
		switch name {
		case "type", "issuer", "place_of_issue", "number", "issued_on", "expires_on", "has_photo", "attributes", "shows", "note":
		default:
			f.add(below("", name), "unknown_member", "is not a member of a document")
		}
	}
	in := &input{
		kind: f.text(o, "type"), issuer: f.text(o, "issuer"), hasPhoto: f.flag(o, "has_photo"),
		place: f.line(o, "place_of_issue", maxPlace), note: f.note(o),
	}
	p, known := papers[in.kind]
	switch {
	case in.kind == "" && f.absent(o, "type"):
		f.add("/type", "required", "says which kind of document was seen")
	case known && seen.Kind == muster.Entity && !p.entity:
		f.add("/type", "not_of_entity", "is a document of individuals, and the subject is an entity")
	case known && seen.Kind != muster.Entity && !p.individual:
		f.add("/type", "not_of_individual", "is a document of entities, and the subject is an individual")
	case !known && f.isText(o, "type"):
		f.add("/type", "unknown_value", "is none of the kinds of document")
	}
	switch {
	case f.absent(o, "issuer"):
		f.add("/issuer", "required", "is the country that issued the document")
	case f.isText(o, "issuer") && !isCountry(muster.Country(in.issuer)):
		f.add("/issuer", "unknown_country", "is not a country code of ISO 3166-1 alpha-2")
	}
	f.number(o, in, p)
	f.dates(o, in, seen)
	f.attributes(o, in, seen.Kind)
	f.shows(o, in, seen.Kind, p, known)
	return in
}

// absent reports a member that is not there, or null, or an empty text.
func (f *faults) absent(o object, name string) bool {
	v, ok := o[name]
	return !ok || v == nil || v == ""
}

func (f *faults) isText(o object, name string) bool {
	s, ok := o[name].(string)
	return ok && s != ""
}

func (f *faults) line(o object, name string, max int) string {
	s := strings.TrimSpace(f.text(o, name))
	if utf8.RuneCountInString(s) > max {
		f.add("/"+name, "too_long", "has more than "+strconv.Itoa(max)+" characters")
	}
	if strings.ContainsFunc(s, badRune) {
		f.add("/"+name, "bad_character", "has a control character or one that changes the direction of text")
	}
	return norm.NFC.String(s)
}

func (f *faults) note(o object) string {
	s := strings.TrimSpace(f.text(o, "note"))
	if utf8.RuneCountInString(s) > maxNote {
		f.add("/note", "too_long", "has more than "+strconv.Itoa(maxNote)+" characters")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\t' && badRune(r) }) {
		f.add("/note", "bad_character", "has a control character or one that changes the direction of text")
	}
	return norm.NFC.String(s)
}

// badRune reports controls and bidirectional embeddings, overrides and isolates
// (UAX #9), with which a text reads otherwise than it is stored.
func badRune(r rune) bool {
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

func (f *faults) number(o object, in *input, p paper) {
	in.number = f.line(o, "number", maxNumber)
	if f.absent(o, "number") {
		if p.numbered {
			f.add("/number", "required", "is missing: a document of this kind has one")
		}
		return
	}
	if f.isText(o, "number") && compact(in.number) == "" {
		f.add("/number", "document_number", "has no letter and no digit")
	}
}

func (f *faults) dates(o object, in *input, seen Seen) {
	today := seen.Now.In(seen.Zone).Format(time.DateOnly)
	in.issued, in.expires = f.date(o, "issued_on"), f.date(o, "expires_on")
	if in.issued > today {
		f.add("/issued_on", "in_future", "is after today")
	}
	if in.expires == "" {
		return
	}
	if in.expires < in.issued {
		f.add("/expires_on", "ends_before_start", "is before the day of issue")
	}
	if in.expires < today {
		f.add("/expires_on", "expired", "has passed: only an unexpired document is evidence")
	}
}

// date reads a calendar day. Days as texts compare as days.
func (f *faults) date(o object, name string) string {
	s := f.text(o, name)
	if s == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil || s < "1850" {
		f.add("/"+name, "date", "is not a day of the calendar such as 2026-01-31")
		return ""
	}
	return s
}

func (f *faults) attributes(o object, in *input, kind muster.PartyKind) {
	in.attributes = map[string]muster.Finding{}
	said := f.members(o, "attributes")
	for name, v := range said {
		at := below("/attributes", name)
		switch {
		case !slices.Contains(ManualMethod.Attributes, name):
			f.add(at, "unknown_member", "is no attribute that a document speaks of")
			continue
		case !speaksOf(kind, name) && kind == muster.Entity:
			f.add(at, "not_of_entity", "is no attribute of an entity")
		case !speaksOf(kind, name):
			f.add(at, "not_of_individual", "is no attribute of an individual")
		}
		s, ok := v.(string)
		switch finding := muster.Finding(s); {
		case !ok:
			f.add(at, "wrong_type", "is not a text")
		case finding == muster.Supports, finding == muster.Contradicts, finding == muster.Open:
			in.attributes[name] = finding
		default:
			f.add(at, "unknown_value", "is none of supports, contradicts, open")
		}
	}
	if f.absent(o, "attributes") || said != nil && len(said) == 0 {
		f.add("/attributes", "required", "says which claims the document agrees with, at least one")
	}
}

func (f *faults) shows(o object, in *input, kind muster.PartyKind, p paper, known bool) {
	for name, v := range f.members(o, "shows") {
		at := below("/shows", name)
		switch {
		case !slices.Contains(showable, name):
			f.add(at, "unknown_member", "is none of nationality, residence, formation, location")
			continue
		case !speaksOf(kind, name) && kind == muster.Entity:
			f.add(at, "not_of_entity", "is nothing that an entity has")
		case !speaksOf(kind, name):
			f.add(at, "not_of_individual", "is nothing that an individual has")
		case known && !slices.Contains(p.shows, name):
			f.add(at, "cannot_show", "is nothing that a document of this kind shows")
		case in.attributes[name] == muster.Open:
			f.add(at, "cannot_show", "is shown, while the attribute is said to be open")
		}
		list, ok := v.([]any)
		if !ok {
			f.add(at, "wrong_type", "is not a list")
			continue
		}
		if len(list) == 0 {
			f.add(at, "required", "has no country")
		}
		if len(list) > maxCountries {
			f.add(at, "too_many", "has more than "+strconv.Itoa(maxCountries)+" countries")
			list = list[:maxCountries]
		}
		for i, v := range list {
			f.country(in, name, at+"/"+strconv.Itoa(i), v)
		}
	}
}

func (f *faults) country(in *input, name, at string, v any) {
	s, ok := v.(string)
	c := muster.Country(s)
	switch {
	case !ok:
		f.add(at, "wrong_type", "is not a text")
	case !isCountry(c) && !(name == muster.AttrNationality && (c == "XXA" || c == "XXB")):
		f.add(at, "unknown_country", "is not a country code of ISO 3166-1 alpha-2")
	case slices.Contains(in.shows[name], c):
		f.add(at, "twice", "is a country that stands there already")
	default:
		if in.shows == nil {
			in.shows = map[string][]muster.Country{}
		}
		in.shows[name] = append(in.shows[name], c)
	}
}

// isCountry reports an assigned code of ISO 3166-1 alpha-2, or XK.
func isCountry(c muster.Country) bool {
	if len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
		return false
	}
	switch c {
	// Withdrawn, reserved or never assigned; CLDR knows them as regions.
	case "AC", "AN", "CP", "CQ", "CS", "DG", "EA", "EZ", "FQ", "IC", "NT", "PC", "SU", "TA", "UN", "YU":
		return false
	}
	r, err := language.ParseRegion(string(c))
	return err == nil && r.IsCountry() && r.String() == string(c) && r.Canonicalize() == r
}

// details are members in the order of their names, without those that are absent.
func (in *input) details() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Expires  string `json:"expires_on,omitempty"`
		HasPhoto bool   `json:"has_photo"`
		Issued   string `json:"issued_on,omitempty"`
		Issuer   string `json:"issuer"`
		Note     string `json:"note,omitempty"`
		Number   string `json:"number,omitempty"`
		Place    string `json:"place_of_issue,omitempty"`
		Type     string `json:"type"`
	}{in.expires, in.hasPhoto, in.issued, in.issuer, in.note, in.number, in.place, in.kind})
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the details of a document cannot be written: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (in *input) identity() string {
	if in.number == "" {
		return ""
	}
	return in.issuer + "|" + in.kind + "|" + compact(in.number)
}

// Identity reads from details that Take returned the number for the blind index, as
// Finding has it; "" where the paper has none.
func Identity(details []byte) (string, error) {
	var d struct {
		Issuer string `json:"issuer"`
		Number string `json:"number"`
		Type   string `json:"type"`
	}
	if err := json.Unmarshal(details, &d); err != nil {
		return "", muster.Errorf(muster.CodeInternal, "the details of a document are not what they should be: %w", err)
	}
	return (&input{kind: d.Type, issuer: d.Issuer, number: d.Number}).identity(), nil
}

// compact is the one spelling of a number: upper case, letters and digits only,
// full-width ones made plain.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			return unicode.ToUpper(r)
		}
		return -1
	}, norm.NFKC.String(s))
}
