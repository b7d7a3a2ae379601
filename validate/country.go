package validate

import "github.com/muster-cip/muster"

// countrySet holds the codes of ISO 3166-1 alpha-2 and XK.
type countrySet map[muster.Country]bool

func newCountrySet(table string) countrySet {
	set := countrySet{"XK": true}
	for code := range rows(table) {
		set[muster.Country(code)] = true
	}
	return set
}

// nationality also accepts ICAO Doc 9303's codes (part 3, section 5) for a
// person without a nationality to state: XXA stateless, XXB refugee.
func (s countrySet) nationality(c muster.Country) bool {
	return s[c] || c == "XXA" || c == "XXB"
}
