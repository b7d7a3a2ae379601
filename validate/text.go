package validate

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// badRune reports a character that has no place in a line of text: controls,
// which forge lines, and bidirectional embeddings, overrides and isolates, which
// make a text read otherwise than it is stored (UAX #9). Joiners (ZWJ, ZWNJ),
// word breaks and the plain direction marks stay: scripts need them, and
// keyboards put them there unasked.
func badRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r < 0xA0:
		return true
	case r < 0x2028:
		return false
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return true
	case r == 0x2028, r == 0x2029:
		return true
	case r >= 0xE000 && r <= 0xF8FF, r >= 0xF0000: // private use: nobody else can read it
		return true
	case r >= 0xFFF0 && r <= 0xFFFD, r&0xFFFE == 0xFFFE, r >= 0xFDD0 && r <= 0xFDEF: // specials, noncharacters
		return true
	case r >= 0xE0000 && r <= 0xE007F: // tags
		return true
	}
	return false
}

// invisible reports marks that change no meaning and are left out of normal forms.
func invisible(r rune) bool {
	switch r {
	case 0x00AD, 0x061C, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF:
		return true
	}
	return false
}

// normalText is NFC without invisible marks, trimmed, runs of space as one.
func normalText(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	space := false
	for _, r := range norm.NFC.String(s) {
		switch {
		case invisible(r):
		case unicode.IsSpace(r):
			space = b.Len() > 0
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plainASCII reports a text that is its own normal form: the usual case.
func plainASCII(s string) bool {
	before := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf || c < 0x20 || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return s == "" || before != ' '
}

// blank reports a text with nothing to see in it.
func blank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !invisible(r) {
			return false
		}
	}
	return true
}

// compact is upper case, letters and digits only: the one spelling of a number
// that people write with spaces, dashes, slashes and dots. Full-width digits and
// letters become plain.
func compact(s string) string {
	ascii := true
	clean := true
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			ascii = false
		}
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z') {
			clean = false
		}
	}
	if clean {
		return s
	}
	if !ascii {
		s = norm.NFKC.String(s)
	}
	return strings.Map(func(r rune) rune {
		if v, ok := digit(r); ok {
			return '0' + rune(v)
		}
		if unicode.IsLetter(r) || unicode.IsMark(r) {
			return unicode.ToUpper(r)
		}
		return -1
	}, s)
}
