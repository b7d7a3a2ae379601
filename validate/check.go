package validate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/muster-cip/muster"
	"github.com/nyaruka/phonenumbers"
	"golang.org/x/net/idna"
)

// ahead is how far a stated time may lie before ours: clocks differ.
const ahead = 5 * time.Minute

// maxTokenBytes bounds identifiers that somebody else made up.
const maxTokenBytes = 256

// Checker holds the tables. It is safe for concurrent use.
type Checker struct {
	countries countrySet
	addresses map[muster.Country]*addressRule
	ibans     map[muster.Country]string
	domains   *idna.Profile
	locator   *Locator
	editions  map[string]string
}

// New loads the embedded tables. An error means a damaged build.
func New() (*Checker, error) {
	c := &Checker{countries: newCountrySet(countriesTable), domains: newDomains()}
	var err error
	if c.addresses, err = newAddressRules(addressesTable); err != nil {
		return nil, err
	}
	if c.ibans, err = newIBANForms(ibanTable); err != nil {
		return nil, err
	}
	if c.locator, err = NewLocator(); err != nil {
		return nil, err
	}
	c.editions = map[string]string{"phones": phonesEdition, "ip_country": c.locator.Edition()}
	for name, table := range map[string]string{"countries": countriesTable, "addresses": addressesTable, "iban": ibanTable} {
		if c.editions[name], err = edition(table); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// The first number of a region compiles its patterns; most regions wait for
	// their first customer, the metadata itself is read here.
	phonenumbers.GetSupportedRegions()
	phone("+16502530000", "")
	return c, nil
}

// Locator is the table of address ranges that c uses.
func (c *Checker) Locator() *Locator { return c.locator }

// Read decodes and checks, and reports the faults of both at once. Errors are
// those of Decode and Application.
func (c *Checker) Read(body []byte, now time.Time) (*Checked, error) {
	app, faults, err := decode(body)
	if err != nil {
		return nil, err
	}
	k := c.check(app, now)
	if len(faults) == 0 {
		return k.result()
	}
	// What could not be read is not also missing.
	for _, f := range k.faults {
		if !slices.ContainsFunc(faults, func(d muster.Fault) bool { return d.Pointer == f.Pointer }) {
			faults = append(faults, f)
		}
	}
	return nil, invalid(faults)
}

// Application holds app against the published formats. The error is invalid,
// with all faults, sorted by pointer; an absent part is no fault. now is the time
// of the transaction.
//
// Codes of faults: required, unknown_value, unknown_country, too_long, too_many,
// too_deep, misplaced, bad_character, no_letter, card_number, reference, email,
// phone_number, postal_code, date, in_future, ends_before_start, document_number,
// check_digits, wallet_address, identifier, digits, address_range, port,
// shares_exceed_whole, owners_of_individual.
func (c *Checker) Application(app *muster.Application, now time.Time) (*Checked, error) {
	return c.check(app, now).result()
}

// Normal is what an application says, in the forms in which values are looked up. It is
// for claims that passed before, or a part of them: what is wrong with them now is not
// told.
func (c *Checker) Normal(app *muster.Application, now time.Time) *Checked {
	return &c.check(app, now).out
}

// check is one application on its way through.
type check struct {
	c      *Checker
	now    time.Time
	faults []muster.Fault
	out    Checked
	owners int // parties below the customer so far
}

func (c *Checker) check(app *muster.Application, now time.Time) *check {
	k := &check{c: c, now: now}
	k.out.Application, k.out.Editions = app, c.editions
	k.reference(app.Reference, "/reference")
	if app.Account != "" {
		k.reference(app.Account, "/account")
	}
	if app.Reference == "" {
		k.fault("/reference", "required", "is needed: the provider's own name for this application")
	}
	k.parent(app.Parent)
	k.customer(app)
	k.signatories(app)
	k.payment(app.Payment)
	k.access(app.Access)
	k.request(app.Request)
	k.notice(app.Notice)
	if blank(app.Device) {
		k.absent("device")
	} else {
		k.out.Normal.Device = k.token(app.Device, "/device")
	}
	k.tag(app.Tag)
	return k
}

func (k *check) result() (*Checked, error) {
	if len(k.faults) > 0 {
		return nil, invalid(k.faults)
	}
	slices.Sort(k.out.Absent)
	for i := range k.out.Subjects {
		slices.Sort(k.out.Subjects[i].Absent)
	}
	return &k.out, nil
}

func (k *check) fault(pointer, code, detail string) {
	if len(k.faults) <= 4*maxFaults {
		k.faults = append(k.faults, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
	}
}

func (k *check) absent(path string)   { k.out.Absent = append(k.out.Absent, path) }
func (s *Subject) absent(path string) { s.Absent = append(s.Absent, path) }

func (k *check) card(pointer string) {
	k.fault(pointer, "card_number", "contains a whole card number; state the processor's token or fingerprint instead")
}

// at joins a pointer only when a fault needs it: index -1 is no element.
func at(base, field string, index int) string {
	if index < 0 {
		return base + field
	}
	return base + field + "/" + strconv.Itoa(index)
}

// line checks one line of free text: length, characters, no card number.
func (k *check) line(s string, max int, base, field string, index int) bool {
	if s == "" {
		return true
	}
	return k.text(s, max, base, field, index, badRune)
}

// paragraph is a line that may have line breaks and tabs.
func (k *check) paragraph(s string, max int, base, field string) bool {
	return k.text(s, max, base, field, -1, func(r rune) bool {
		return r != '\n' && r != '\r' && r != '\t' && badRune(r)
	})
}

func (k *check) text(s string, max int, base, field string, index int, bad func(rune) bool) bool {
	if len(s) > max && utf8.RuneCountInString(s) > max {
		k.fault(at(base, field, index), "too_long", fmt.Sprintf("is longer than %d characters", max))
		return false
	}
	ok := true
	if strings.IndexFunc(s, bad) >= 0 {
		k.fault(at(base, field, index), "bad_character", "has a control character, or one that turns the direction of text")
		ok = false
	}
	if hasCard(s, false) {
		k.card(at(base, field, index))
		ok = false
	}
	return ok
}

// token checks an identifier that somebody else made up, and trims it.
func (k *check) token(s, pointer string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxTokenBytes {
		k.fault(pointer, "too_long", fmt.Sprintf("is longer than %d bytes", maxTokenBytes))
		return ""
	}
	if strings.ContainsFunc(s, func(r rune) bool { return badRune(r) || invisible(r) || unicode.IsSpace(r) && r != ' ' }) {
		k.fault(pointer, "bad_character", "has a character that cannot be seen")
		return ""
	}
	if hasCard(s, true) {
		k.card(pointer)
		return ""
	}
	return s
}

// number checks an identifier that people write with separators and returns its
// one spelling.
func (k *check) number(s, pointer, code string) string {
	if len(s) > maxTokenBytes || strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !isSeparator(r) && !strings.ContainsRune("/()&,:#+'\\№º°*", r)
	}) || strings.ContainsAny(s, "\t\r\n") {
		k.fault(pointer, code, "is no such number: letters, digits and the separators between them")
		return ""
	}
	n := compact(s)
	if n == "" || len(n) > 64 {
		k.fault(pointer, code, "is no such number: too long, or without letters and digits")
		return ""
	}
	return n
}

// Reference checks a reference that stands alone, as those of an application are.
func (c *Checker) Reference(s, pointer string) (muster.Fault, bool) {
	k := &check{c: c}
	k.reference(s, pointer)
	if len(k.faults) == 0 {
		return muster.Fault{}, false
	}
	return k.faults[0], true
}

func (k *check) reference(s, pointer string) {
	switch {
	case s == "":
	case !muster.IsReference(s):
		k.fault(pointer, "reference", "is not a reference: 1 to 64 letters, digits, dots, underscores and dashes")
	case hasCard(s, true):
		k.card(pointer)
	}
}

// tag checks the provider's word for grouping. It stands in clear in the store, so
// nothing that could be a number of a person's fits into it unnoticed.
func (k *check) tag(s string) {
	if s != "" && (!muster.IsTag(s) || hasCard(s, true)) {
		k.fault("/tag", "tag", "is no tag: 1 to 32 lower-case letters, digits, dots, underscores and dashes")
	}
}

func (k *check) oneOf(s, pointer string, words ...string) {
	if !slices.Contains(words, s) {
		k.fault(pointer, "unknown_value", "is none of "+strings.Join(words, ", "))
	}
}

func (k *check) country(c muster.Country, pointer string) {
	if !k.c.countries[c] {
		k.fault(pointer, "unknown_country", "is not a country code (ISO 3166-1 alpha-2, upper case)")
	}
}

func (k *check) parent(p *muster.Parent) {
	if p == nil {
		return
	}
	if p.Account == "" {
		k.fault("/parent/account", "required", "is needed to know whose customer this is")
	}
	k.reference(p.Account, "/parent/account")
	k.oneOf(string(p.Relation), "/parent/relation",
		string(muster.RelationResellerCustomer), string(muster.RelationSubLessee), string(muster.RelationDelegate))
}

// date reads YYYY-MM-DD of a day that exists, from 1900 on.
func (k *check) date(s, pointer string) (time.Time, bool) {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil || d.Year() < 1900 {
		k.fault(pointer, "date", "is not a date from 1900 on, written YYYY-MM-DD")
		return time.Time{}, false
	}
	return d, true
}
