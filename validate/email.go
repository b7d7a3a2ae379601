package validate

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Lengths in octets (RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3).
const (
	maxLocalOctets   = 64
	maxAddressOctets = 254
	maxDomainOctets  = 253
)

// domains is UTS #46 as a registration would see it: mapped, joiners and
// direction checked, lengths verified. Hyphens are left alone: names with two of
// them in third and fourth place exist.
func newDomains() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.CheckHyphens(false),
		idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))
}

// email reads an address without display name: dot-atom local part (RFC 5321,
// RFC 6531), domain name of at least two labels (RFC 5890). Quoted local parts
// and address literals are refused: nobody signs up from one.
func (c *Checker) email(s string) (addr, key string, ok bool) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 4*maxAddressOctets {
		return "", "", false
	}
	local, domain := s[:at], s[at+1:]
	if !isDotAtom(local) {
		return "", "", false
	}
	local = norm.NFC.String(local)
	if len(local) > maxLocalOctets {
		return "", "", false
	}
	if domain, ok = c.domain(domain); !ok {
		return "", "", false
	}
	addr = local + "@" + domain
	if len(addr) > maxAddressOctets {
		return "", "", false
	}
	return addr, foldLocal(local) + "@" + domain, true
}

func foldLocal(local string) string {
	for i := range len(local) {
		if local[i] >= utf8.RuneSelf {
			return norm.NFC.String(cases.Fold().String(local))
		}
	}
	return strings.ToLower(local)
}

func isDotAtom(local string) bool {
	before := '.'
	for _, r := range local {
		switch {
		case r == '.':
			if before == '.' {
				return false
			}
		case r < utf8.RuneSelf:
			if !isAtext(byte(r)) {
				return false
			}
		case badRune(r), invisible(r), unicode.IsSpace(r), r == utf8.RuneError:
			return false
		}
		before = r
	}
	return before != '.'
}

func isAtext(c byte) bool {
	return isWordByte(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func (c *Checker) domain(s string) (string, bool) {
	if len(s) == 0 || len(s) > 4*maxDomainOctets {
		return "", false
	}
	if plainDomain(s) {
		s = strings.ToLower(s)
	} else {
		for _, r := range s {
			if badRune(r) || unicode.IsSpace(r) {
				return "", false
			}
		}
		a, err := c.domains.ToASCII(s)
		if err != nil || !plainDomain(strings.ReplaceAll(a, "xn--", "xn-a")) {
			return "", false
		}
		s = a
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return s, len(last) < len(s) && strings.Trim(last, "0123456789") != ""
}

// plainDomain reports a name of letters, digits and hyphens that needs no IDNA.
func plainDomain(s string) bool {
	if len(s) > maxDomainOctets {
		return false
	}
	label := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > 63 || s[i-1] == '-' {
				return false
			}
			label = 0
			continue
		}
		c := s[i]
		if !isWordByte(c) && (c != '-' || label == 0) {
			return false
		}
		if label == 0 && len(s)-i >= 4 && strings.EqualFold(s[i:i+4], "xn--") {
			return false
		}
		label++
	}
	return true
}
