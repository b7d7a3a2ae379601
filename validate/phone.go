package validate

import (
	"strings"
	"unicode"

	"github.com/muster-cip/muster"
	"github.com/nyaruka/phonenumbers"
)

// maxPhoneRunes is room for E.164's fifteen digits and how people space them.
const maxPhoneRunes = 40

// phone reads a telephone number by libphonenumber's metadata: with +, or as
// dialled within country. The answer is E.164.
func phone(s string, country muster.Country) (e164 string, ok bool) {
	plus := false
	runes := 0
	for i, r := range s {
		if runes++; runes > maxPhoneRunes {
			return "", false
		}
		switch {
		case r == '+' || r == 0xFF0B:
			if plus || strings.TrimSpace(s[:i]) != "" {
				return "", false
			}
			plus = true
		case r == ' ', r == '-', r == '(', r == ')', r == '.', r == '/', r == 0x2212:
		case r >= 0x80 && (unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r) || invisible(r)):
		default:
			// A letter would be an extension or a word: neither can take a code.
			if _, isDigit := digit(r); !isDigit {
				return "", false
			}
		}
	}
	if !plus && country == "" {
		return "", false
	}
	var n phonenumbers.PhoneNumber
	if err := phonenumbers.ParseToNumber(s, string(country), &n); err != nil {
		return "", false
	}
	if !phonenumbers.IsValidNumber(&n) { // what is valid is possible
		return "", false
	}
	return phonenumbers.Format(&n, phonenumbers.E164), true
}
