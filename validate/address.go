package validate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/muster-cip/muster"
	"golang.org/x/text/unicode/norm"
)

// addressRule is what one country requires and uses.
type addressRule struct {
	require, uses string // letters of the table: A C D S X Z
	prefix        string // often written before the code: LT-, SE-
	code          *regexp.Regexp
}

func newAddressRules(table string) (map[muster.Country]*addressRule, error) {
	rules := map[muster.Country]*addressRule{}
	for row := range rows(table) {
		f := strings.Split(row, "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("addresses: a row has %d columns", len(f))
		}
		r := &addressRule{require: f[1], uses: f[2], prefix: f[3]}
		if f[4] != "" {
			var err error
			if r.code, err = regexp.Compile(`\A(?:` + f[4] + `)\z`); err != nil {
				return nil, fmt.Errorf("addresses: %s: %w", f[0], err)
			}
		}
		rules[muster.Country(f[0])] = r
	}
	if rules["ZZ"] == nil {
		return nil, fmt.Errorf("addresses: no default row")
	}
	return rules, nil
}

func (r *addressRule) requires(part byte) bool { return strings.IndexByte(r.require, part) >= 0 }

// postalCode is the code in its normal spelling, and whether it fits. A code
// where none is used fits: it is kept and ignored.
func (r *addressRule) postalCode(s string) (string, bool) {
	s = normalCode(s)
	if r.code == nil || strings.IndexByte(r.uses, 'Z') < 0 || r.code.MatchString(s) {
		return s, true
	}
	if r.prefix != "" && strings.HasPrefix(s, r.prefix) {
		if rest := strings.TrimLeft(s[len(r.prefix):], " -"); r.code.MatchString(rest) {
			return rest, true
		}
	}
	return s, false
}

// normalCode is upper case, digits plain, spaces and dashes one plain each.
func normalCode(s string) string {
	if plainASCII(s) {
		return strings.ToUpper(s)
	}
	s = norm.NFKC.String(normalText(s))
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if v, ok := digit(r); ok {
			return '0' + rune(v)
		}
		if r >= 0x80 && isSeparator(r) || r == 'ー' { // the long vowel mark that Japanese keyboards give
			return '-'
		}
		return r
	}, s))
}

// address checks one party's address and lists what its country requires and it
// lacks.
func (k *check) address(a *muster.Address, pointer string, s *Subject, n *NormalSubject) {
	p := pointer + "/address"
	rule := k.c.addresses["ZZ"]
	switch {
	case a.Country == "":
		k.fault(p+"/country", "required", "is needed to read the address")
	case !k.c.countries[a.Country]:
		k.fault(p+"/country", "unknown_country", "is not a country code (ISO 3166-1 alpha-2, upper case)")
	default:
		s.Country = a.Country
		if r := k.c.addresses[a.Country]; r != nil {
			rule = r
		}
	}
	if len(a.Lines) > muster.MaxLines {
		k.fault(p+"/lines", "too_many", fmt.Sprintf("has more than %d lines", muster.MaxLines))
	}
	stated := false
	for i, line := range a.Lines {
		if i >= muster.MaxLines {
			break
		}
		stated = stated || !blank(line)
		k.line(line, muster.MaxLineRunes, p, "/lines", i)
	}
	k.line(a.DependentLocality, muster.MaxLineRunes, p, "/dependent_locality", -1)
	k.line(a.Locality, muster.MaxLineRunes, p, "/locality", -1)
	k.line(a.Region, muster.MaxLineRunes, p, "/region", -1)
	k.line(a.SortingCode, muster.MaxLineRunes, p, "/sorting_code", -1)
	if !blank(a.PostalCode) && k.line(a.PostalCode, muster.MaxLineRunes, p, "/postal_code", -1) {
		code, ok := rule.postalCode(a.PostalCode)
		if !ok {
			k.fault(p+"/postal_code", "postal_code", "is not a postal code of the country")
		}
		n.PostalCode = code
	}
	s.Area = areaOf(a, n.PostalCode)
	if !stated && rule.requires('A') {
		s.absent("address.lines")
	}
	if blank(a.Locality) && rule.requires('C') {
		s.absent("address.locality")
	}
	if blank(a.DependentLocality) && rule.requires('D') {
		s.absent("address.dependent_locality")
	}
	if blank(a.PostalCode) && rule.requires('Z') {
		s.absent("address.postal_code")
	}
	if blank(a.Region) && rule.requires('S') {
		s.absent("address.region")
	}
	if blank(a.SortingCode) && rule.requires('X') {
		s.absent("address.sorting_code")
	}
}

// areaOf is the part of an address that facts hold: no finer than a town.
func areaOf(a *muster.Address, postal string) *muster.Area {
	if code := []rune(postal); len(code) > muster.AreaPostal {
		postal = string(code[:muster.AreaPostal])
	}
	area := muster.Area{Region: strings.TrimSpace(normalText(a.Region)), Town: strings.TrimSpace(normalText(a.Locality)), Postal: postal}
	if area == (muster.Area{}) {
		return nil
	}
	return &area
}
