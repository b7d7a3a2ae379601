package muster

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a share in millionths of a per cent: 40 % is 40_000_000. It is
// exact where a float would not be, so that 40.00 reaches a threshold of 40 and
// 39.999999 does not.
type Percent int64

// WholePercent is 100 %.
const WholePercent Percent = 100_000_000

// ParsePercent reads a decimal number with at most six places, 0 to 999.
func ParsePercent(s string) (Percent, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" || len(whole) > 3 || len(frac) > 6 || strings.HasSuffix(s, ".") {
		return 0, fmt.Errorf("a share is a decimal number of at most three digits and six places")
	}
	n, err := strconv.ParseUint(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("a share is a decimal number of at most three digits and six places")
	}
	return Percent(n), nil
}

// Of is p of q: 50 % of 40 % is 20 %, rounded to the nearest millionth.
func (p Percent) Of(q Percent) Percent {
	return Percent((int64(p)*int64(q) + int64(WholePercent)/2) / int64(WholePercent))
}

// Float is the share in per cent, for rules.
func (p Percent) Float() float64 { return float64(p) / 1e6 }

func (p Percent) String() string {
	s := fmt.Sprintf("%d.%06d", int64(p)/1e6, int64(p)%1e6)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON writes a JSON number.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalJSON reads a JSON number without an exponent.
func (p *Percent) UnmarshalJSON(b []byte) error {
	v, err := ParsePercent(string(b))
	if err != nil {
		return err
	}
	*p = v
	return nil
}
