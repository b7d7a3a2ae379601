package validate

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A card number is what ISO/IEC 7812-1 calls a primary account number: a
// network's prefix, a length that the network issues, and a Luhn check digit.
// Only all three together count, in digits of any script, with separators
// between groups.

// issuer is a range of prefixes with the lengths issued under it. Ranges as the
// networks publish them for acquirers (Visa Core Rules; Mastercard, Amex,
// Discover/Diners, JCB, UnionPay, Mir, RuPay, Verve and Troy BIN guides).
type issuer struct {
	low, high int // first digits, as many as low has
	digits    int // how many
	lengths   uint32
}

func lengths(from, to int) (set uint32) {
	for n := from; n <= to; n++ {
		set |= 1 << n
	}
	return set
}

var issuers = [...]issuer{
	{4, 4, 1, 1<<13 | 1<<16 | 1<<18 | 1<<19}, // Visa
	{51, 55, 2, 1 << 16},
	{2221, 2720, 4, 1 << 16}, // Mastercard
	{34, 34, 2, 1 << 15},
	{37, 37, 2, 1 << 15},             // American Express
	{6011, 6011, 4, lengths(16, 19)}, // Discover
	{644, 649, 3, lengths(16, 19)},
	{65, 65, 2, lengths(16, 19)},
	{36, 36, 2, lengths(14, 19)},
	{300, 305, 3, lengths(14, 19)}, // Diners
	{3095, 3095, 4, lengths(14, 19)},
	{38, 39, 2, lengths(14, 19)},
	{3528, 3589, 4, lengths(16, 19)}, // JCB
	{62, 62, 2, lengths(16, 19)},     // UnionPay
	{5018, 5018, 4, lengths(13, 19)},
	{5020, 5020, 4, lengths(13, 19)}, // Maestro
	{5038, 5038, 4, lengths(13, 19)},
	{5893, 5893, 4, lengths(13, 19)},
	{6304, 6304, 4, lengths(13, 19)},
	{6759, 6759, 4, lengths(13, 19)},
	{6761, 6763, 4, lengths(13, 19)},
	{2200, 2204, 4, lengths(16, 19)}, // Mir
	{60, 60, 2, 1 << 16},
	{81, 82, 2, 1 << 16},
	{508, 508, 3, 1 << 16}, // RuPay
	{353, 353, 3, 1 << 16},
	{356, 356, 3, 1 << 16},
	{506099, 506198, 6, 1<<16 | 1<<18 | 1<<19},
	{507865, 507964, 6, 1<<16 | 1<<18 | 1<<19}, // Verve
	{9792, 9792, 4, 1 << 16},                   // Troy
}

const (
	cardMin = 13
	cardMax = 19
	// maxGap is how many separators may stand between two digits of one number.
	maxGap = 3
)

// hasCard reports whether s contains a card number. An opaque value (a token, an
// identifier) is a random word: there digits in the midst of letters are no
// number, or one hexadecimal token in ten thousand would be refused; free text is
// read as people hide numbers in it.
func hasCard(s string, opaque bool) bool {
	// The usual text has too few digits, and is left here.
	n, ascii := 0, true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
		if s[i]-'0' <= 9 {
			n++
		}
	}
	if ascii && n < cardMin {
		return false
	}
	if !ascii {
		if s = norm.NFKC.String(s); countDigits(s) < cardMin {
			return false
		}
	}
	var scan cardScan
	gap := 0
	for i, r := range s {
		v, isDigit := digit(r)
		switch {
		case isDigit && opaque && mixedWord(s, i):
			scan.reset()
		case isDigit:
			if scan.push(byte(v), gap > 0) {
				return true
			}
			gap = 0
		case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Mn, r):
		case isSeparator(r) && gap < maxGap:
			if gap == 0 && scan.endGroup() {
				return true
			}
			gap++
		default:
			if gap == 0 && scan.endGroup() {
				return true
			}
			scan.reset()
			gap = 0
		}
	}
	return scan.endGroup()
}

func countDigits(s string) (n int) {
	for _, r := range s {
		if _, ok := digit(r); ok {
			n++
		}
	}
	return n
}

// digit is the value of a decimal digit of any script. Decimal digits of a
// script follow one another in Unicode, tens aligned to their range's start.
func digit(r rune) (int, bool) {
	if r < utf8.RuneSelf {
		return int(r - '0'), r >= '0' && r <= '9'
	}
	if !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	if r <= 0xFFFF {
		for _, x := range unicode.Nd.R16 {
			if uint16(r) <= x.Hi {
				return int(uint16(r)-x.Lo) % 10, true
			}
		}
	}
	for _, x := range unicode.Nd.R32 {
		if uint32(r) <= x.Hi {
			return int(uint32(r)-x.Lo) % 10, true
		}
	}
	return 0, false
}

func isSeparator(r rune) bool {
	switch r {
	case ' ', '-', '.', '_', '\t', '\n', '\r', 0x2212, 0x00B7, 0x2022:
		return true
	}
	return r >= utf8.RuneSelf && (unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r))
}

// cardScan holds the last digits read and where their groups began. A number
// begins with a group and ends with one: "12 4111 1111 1111 1111" is seen, a
// window in the midst of one long run of digits is not.
type cardScan struct {
	last  [64]byte // digits
	begin [64]bool // a group begins here
	n     int
}

func (c *cardScan) reset() { c.n = 0 }

// push adds a digit; apart says that a separator stood before it.
func (c *cardScan) push(v byte, apart bool) bool {
	if c.n == len(c.last) {
		// Only what could still be part of a number is kept.
		copy(c.last[:], c.last[c.n-cardMax:])
		copy(c.begin[:], c.begin[c.n-cardMax:])
		c.n = cardMax
	}
	c.last[c.n], c.begin[c.n] = v, c.n == 0 || apart
	c.n++
	return false
}

// endGroup reports whether a card number ends with the last digit read.
func (c *cardScan) endGroup() bool {
	for n := cardMin; n <= cardMax && n <= c.n; n++ {
		if c.begin[c.n-n] && isCard(c.last[c.n-n:c.n]) {
			return true
		}
	}
	return false
}

func isCard(d []byte) bool {
	if d[0] == 0 || !luhn(d) {
		return false
	}
	six := 0
	for _, v := range d[:6] {
		six = six*10 + int(v)
	}
	for i := range issuers {
		x := &issuers[i]
		if x.lengths&(1<<len(d)) == 0 {
			continue
		}
		prefix := six
		for n := 6; n > x.digits; n-- {
			prefix /= 10
		}
		if prefix >= x.low && prefix <= x.high {
			return true
		}
	}
	return false
}

func luhn(d []byte) bool {
	sum := 0
	for i, v := range d {
		n := int(v)
		if (len(d)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// mixedWord reports whether the digit at i stands in a word whose letters and
// digits alternate more than once, as random identifiers do: at most one run of
// digits, with letters before it, after it, or both, is a number with a label.
func mixedWord(s string, i int) bool {
	start, end := i, i
	for start > 0 && isWordByte(s[start-1]) {
		start--
	}
	for end < len(s) && isWordByte(s[end]) {
		end++
	}
	runs, in := 0, false
	for _, c := range []byte(s[start:end]) {
		d := c >= '0' && c <= '9'
		if d && !in {
			runs++
		}
		in = d
	}
	return runs > 1
}

func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
