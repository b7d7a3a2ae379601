package validate

import (
	"fmt"
	"strings"

	"github.com/muster-cip/muster"
)

// IBANs are at most 34 characters (ISO 13616-1, section 5).
const (
	ibanMin = 15
	ibanMax = 34
)

// newIBANForms reads the table into one class byte per position of the BBAN.
func newIBANForms(table string) (map[muster.Country]string, error) {
	forms := map[muster.Country]string{}
	for row := range rows(table) {
		country, spec, _ := strings.Cut(row, "\t")
		var form strings.Builder
		for spec != "" {
			var n int
			var class byte
			if _, err := fmt.Sscanf(spec, "%d!%c", &n, &class); err != nil || strings.IndexByte("nac", class) < 0 {
				return nil, fmt.Errorf("iban: %s: cannot read the structure", country)
			}
			form.WriteString(strings.Repeat(string(class), n))
			spec = spec[strings.IndexByte(spec, class)+1:]
		}
		forms[muster.Country(country)] = form.String()
	}
	return forms, nil
}

// iban reads an IBAN in electronic or paper form. A country that has not
// registered a structure is held to length and check digits only: such numbers
// are in daily use in North and West Africa.
func (c *Checker) iban(s string) (string, bool) {
	if len(s) > 3*ibanMax {
		return "", false
	}
	s = strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == 0xA0 || r == 0x202F {
			return -1
		}
		return r
	}, s))
	if len(s) < ibanMin || len(s) > ibanMax || !mod97(s[4:], s[:4]) {
		return "", false
	}
	if s[2] < '0' || s[2] > '9' || s[3] < '0' || s[3] > '9' || s[2:4] < "02" || s[2:4] > "98" {
		return "", false
	}
	country := muster.Country(s[:2])
	form, registered := c.ibans[country]
	if !registered {
		return s, c.countries[country]
	}
	if len(s)-4 != len(form) {
		return "", false
	}
	for i := range len(form) {
		b := s[4+i]
		isDigit := b <= '9'
		if form[i] == 'n' && !isDigit || form[i] == 'a' && isDigit {
			return "", false
		}
	}
	return s, true
}

// lei reads a Legal Entity Identifier (ISO 17442-1): 18 letters and digits, two
// check digits of ISO/IEC 7064 MOD 97-10.
func lei(s string) (string, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 20 || s[18] > '9' || s[19] > '9' {
		return "", false
	}
	return s, mod97(s, "")
}

// mod97 reports whether a followed by b leaves 1, letters read as 10 to 35
// (ISO/IEC 7064). It is false where another character stands.
func mod97(a, b string) bool {
	rest := 0
	for _, s := range [2]string{a, b} {
		for i := range len(s) {
			switch c := s[i]; {
			case c >= '0' && c <= '9':
				rest = (rest*10 + int(c-'0')) % 97
			case c >= 'A' && c <= 'Z':
				rest = (rest*100 + int(c-'A') + 10) % 97
			default:
				return false
			}
		}
	}
	return rest == 1
}
