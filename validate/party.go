package validate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/muster-cip/muster"
)

// usPersonClaims are what a person can claim about being a US person.
var usPersonClaims = []string{"none", "citizen", "permanent_resident", "us_entity", "located_in_us"}

func (k *check) customer(app *muster.Application) {
	p := &app.Customer
	const pointer = "/customer"
	switch {
	case p.Kind == "":
		k.fault(pointer+"/kind", "required", "is needed: individual or entity")
	default:
		k.oneOf(string(p.Kind), pointer+"/kind", string(muster.Individual), string(muster.Entity))
	}
	if p.OwnershipPercent != nil {
		k.fault(pointer+"/ownership_percent", "misplaced", "is stated of owners only")
	}
	if p.Control {
		k.fault(pointer+"/control", "misplaced", "is stated of owners only")
	}
	if len(p.Owners) > 0 {
		k.fault(pointer+"/owners", "misplaced", "is stated of owners only; those of the customer are beneficial_owners")
	}
	s := Subject{Pointer: pointer, Role: muster.RoleCustomer, Kind: p.Kind}
	k.party(p, s)
	switch {
	case p.Kind != muster.Entity:
		if len(app.Owners) > 0 {
			k.fault("/beneficial_owners", "owners_of_individual", "are stated of an individual, whom nobody owns")
		}
	case len(app.Owners) == 0:
		k.absent("beneficial_owners")
		k.out.Ownership.Unknown = muster.WholePercent
	default:
		k.ownersOf(app.Owners, "/beneficial_owners", muster.WholePercent, 1)
		o := &k.out.Ownership
		o.Unknown = max(0, muster.WholePercent-o.Stated)
	}
}

// ownersOf checks one level of owners, of which share is what the level above
// has of the customer.
func (k *check) ownersOf(owners []muster.Party, pointer string, share muster.Percent, depth int) {
	if depth > muster.MaxOwnerDepth {
		k.fault(pointer, "too_deep", fmt.Sprintf("is below %d levels of owners", muster.MaxOwnerDepth))
		return
	}
	var sum muster.Percent
	for i := range owners {
		if k.owners++; k.owners > muster.MaxOwners {
			k.fault("/beneficial_owners", "too_many", fmt.Sprintf("has more than %d parties, all levels together", muster.MaxOwners))
			return
		}
		p := &owners[i]
		s := Subject{
			Pointer: pointer + "/" + strconv.Itoa(i), Role: muster.RoleOwner, Kind: p.Kind, Depth: depth, Control: p.Control,
		}
		if s.Kind == "" {
			s.Kind = muster.Individual
		} else {
			k.oneOf(string(p.Kind), s.Pointer+"/kind", string(muster.Individual), string(muster.Entity))
		}
		s.Terminal = s.Kind != muster.Entity
		if p.OwnershipPercent != nil {
			own := *p.OwnershipPercent
			sum += own
			s.Share = min(own, muster.WholePercent).Of(share)
		}
		if s.Terminal {
			k.out.Ownership.Stated += s.Share
		}
		k.party(p, s)
		switch {
		case s.Terminal && len(p.Owners) > 0:
			k.fault(s.Pointer+"/owners", "owners_of_individual", "are stated of an individual, whom nobody owns")
		case !s.Terminal && len(p.Owners) == 0:
			k.out.Ownership.Open = append(k.out.Ownership.Open, s.Pointer)
		case !s.Terminal:
			k.ownersOf(p.Owners, s.Pointer+"/owners", s.Share, depth+1)
		}
	}
	if sum > muster.WholePercent {
		k.fault(pointer, "shares_exceed_whole", "has shares that add up to more than 100 per cent")
	}
}

// party checks one person's claims and adds the subject.
func (k *check) party(p *muster.Party, s Subject) {
	var n NormalSubject
	entity := s.Kind == muster.Entity
	k.names(&p.Name, s.Pointer, entity, &s, &n)
	if p.Address == nil || emptyAddress(p.Address) {
		s.absent("address")
	} else {
		k.address(p.Address, s.Pointer, &s, &n)
	}
	k.contacts(p.Email, p.Phone, s.Country, &s, &n)
	k.nationalities(p.Nationalities, entity, &s)
	if s.USPersonClaim = p.USPersonClaim; p.USPersonClaim == "" {
		s.absent("us_person_claim")
	} else {
		k.oneOf(p.USPersonClaim, s.Pointer+"/us_person_claim", usPersonClaims...)
	}
	if p.DateOfBirth != "" {
		k.birth(p.DateOfBirth, s.Pointer+"/date_of_birth")
	} else if !entity {
		s.absent("date_of_birth")
	}
	if p.NationalID != nil {
		n.NationalID = k.nationalID(p.NationalID, s.Pointer+"/national_identifier")
	} else if !entity {
		s.absent("national_identifier")
	}
	if p.Formation != nil {
		k.formation(p.Formation, entity, &s, &n)
	} else if entity {
		s.absent("formation")
	}
	if s.Role == muster.RoleOwner && p.OwnershipPercent == nil {
		s.absent("ownership_percent")
	}
	k.out.Subjects = append(k.out.Subjects, s)
	k.out.Normal.Subjects = append(k.out.Normal.Subjects, n)
}

// Contacts reads e-mail address and telephone of claims that passed before. A
// telephone in national form is read with the country of the party's own address.
func (c *Checker) Contacts(p *muster.Party) *NormalSubject {
	k, s, n := &check{c: c}, Subject{}, &NormalSubject{}
	if p.Address != nil && c.countries[p.Address.Country] {
		s.Country = p.Address.Country
	}
	k.contacts(p.Email, p.Phone, s.Country, &s, n)
	return n
}

func emptyAddress(a *muster.Address) bool {
	return len(a.Lines) == 0 && a.DependentLocality == "" && a.Locality == "" && a.Region == "" && a.PostalCode == "" &&
		a.SortingCode == "" && a.Country == ""
}

func (k *check) signatories(app *muster.Application) {
	if len(app.Signatories) == 0 {
		k.absent("signatories")
		return
	}
	country := muster.Country("")
	if a := app.Customer.Address; a != nil && k.c.countries[a.Country] {
		country = a.Country
	}
	for i := range app.Signatories {
		if i == muster.MaxOwners {
			k.fault("/signatories", "too_many", fmt.Sprintf("has more than %d persons", muster.MaxOwners))
			return
		}
		p := &app.Signatories[i]
		s := Subject{Pointer: "/signatories/" + strconv.Itoa(i), Role: muster.RoleSignatory, Kind: muster.Individual}
		var n NormalSubject
		k.names(&p.Name, s.Pointer, false, &s, &n)
		k.contacts(p.Email, p.Phone, country, &s, &n)
		if blank(p.Role) {
			s.absent("role")
		} else {
			k.line(p.Role, muster.MaxLineRunes, s.Pointer, "/role", -1)
		}
		k.out.Subjects = append(k.out.Subjects, s)
		k.out.Normal.Subjects = append(k.out.Normal.Subjects, n)
	}
}

func (k *check) names(name *muster.Name, pointer string, entity bool, s *Subject, n *NormalSubject) {
	if blank(name.Full) {
		s.absent("name")
	}
	if len(name.Others) > muster.MaxTextRunes/10 {
		k.fault(pointer+"/name/others", "too_many", "has too many names")
		return
	}
	n.Names = make([]string, 0, 1+len(name.Others))
	k.name(name.Full, pointer, "/name/full", -1, entity, n)
	k.name(name.Native, pointer, "/name/native", -1, entity, n)
	for i, other := range name.Others {
		k.name(other, pointer, "/name/others", i, entity, n)
	}
}

// name checks one name. Any script, any number of words; at least one letter,
// for the name of an entity a letter or a digit.
func (k *check) name(full, base, field string, index int, entity bool, n *NormalSubject) {
	if blank(full) || !k.line(full, muster.MaxNameRunes, base, field, index) {
		return
	}
	if !strings.ContainsFunc(full, func(r rune) bool { return unicode.IsLetter(r) || entity && unicode.IsDigit(r) }) {
		k.fault(at(base, field, index), "no_letter", "has no letter")
		return
	}
	n.Names = append(n.Names, normalText(full))
}

func (k *check) contacts(mail, tel string, country muster.Country, s *Subject, n *NormalSubject) {
	if blank(mail) {
		s.absent("email")
	} else if addr, key, ok := k.c.email(mail); !ok {
		k.fault(s.Pointer+"/email", "email", "is not an e-mail address such as name@example.org")
	} else if n.Email, n.EmailKey = addr, key; hasCard(mail, true) {
		k.card(s.Pointer + "/email")
	}
	if blank(tel) {
		s.absent("phone")
		return
	}
	var ok bool
	if n.Phone, ok = phone(tel, country); !ok {
		k.fault(s.Pointer+"/phone", "phone_number", "is not a telephone number of its country; write it with + and the country's code")
	}
}

func (k *check) nationalities(list []muster.Country, entity bool, s *Subject) {
	if len(list) == 0 {
		if !entity {
			s.absent("nationalities")
		}
		return
	}
	if len(list) > muster.MaxNationalities {
		k.fault(s.Pointer+"/nationalities", "too_many", fmt.Sprintf("has more than %d codes", muster.MaxNationalities))
		return
	}
	for i, c := range list {
		if !k.c.countries.nationality(c) {
			k.fault(at(s.Pointer, "/nationalities", i), "unknown_country", "is not a country code (ISO 3166-1 alpha-2, upper case; XXA stateless, XXB refugee)")
		}
	}
	s.Nationalities = slices.Clone(list)
}

// birth accepts today anywhere on earth; age is no fault.
func (k *check) birth(s, pointer string) {
	if d, ok := k.date(s, pointer); ok && d.After(k.now.UTC().Add(14*time.Hour)) {
		k.fault(pointer, "in_future", "is in the future")
	}
}

// nationalID takes letters, digits and separators: countries' numbers pass
// card checks by design (ISO/IEC 7812's digit is popular), so none is applied.
func (k *check) nationalID(id *muster.NationalID, pointer string) string {
	if blank(id.Type) {
		k.fault(pointer+"/type", "required", "is needed to know what the number is")
	} else {
		k.line(id.Type, 64, pointer, "/type", -1)
	}
	if id.Country == "" {
		k.fault(pointer+"/country", "required", "is needed to know whose number it is")
	} else {
		k.country(id.Country, pointer+"/country")
	}
	if blank(id.Value) {
		k.fault(pointer+"/value", "required", "is needed")
		return ""
	}
	return k.number(id.Value, pointer+"/value", "document_number")
}

func (k *check) formation(f *muster.Formation, entity bool, s *Subject, n *NormalSubject) {
	p := s.Pointer + "/formation"
	missing := func(path string) {
		if entity {
			s.absent(path)
		}
	}
	if f.Country == "" {
		missing("formation.country")
	} else {
		k.country(f.Country, p+"/country")
		s.Formation = f.Country
	}
	k.line(f.Region, muster.MaxLineRunes, p, "/region", -1)
	if blank(f.RegistrationNumber) {
		missing("formation.registration_number")
	} else if hasCard(f.RegistrationNumber, true) {
		k.card(p + "/registration_number")
	} else {
		n.RegistrationNumber = k.number(f.RegistrationNumber, p+"/registration_number", "identifier")
	}
	if blank(f.LEI) {
		missing("formation.lei")
	} else if code, ok := lei(f.LEI); ok {
		n.LEI = code
	} else {
		k.fault(p+"/lei", "check_digits", "is not a Legal Entity Identifier: 20 characters with two check digits")
	}
	if blank(f.OwnershipPattern) {
		missing("formation.ownership_pattern")
	} else {
		k.paragraph(f.OwnershipPattern, muster.MaxTextRunes, p, "/ownership_pattern")
	}
}
