package lists

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

var (
	dateRange = regexp.MustCompile(`^(.*\d)\s*(?:\bto\b|\bor\b|-|–)\s*(\d{4}|.*\d{4})$`)
	dayFirst  = regexp.MustCompile(`^(\d{1,2})[ .-]([A-Za-z]{3,9})\.?,?[ .-](\d{4})$`) // 02 Jan 1960
	monYear   = regexp.MustCompile(`^([A-Za-z]{3,9})\.?,? (\d{4})$`)                   // Jan 1960; October, 1974
	monDay    = regexp.MustCompile(`^([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})$`)         // January 2, 1960
	isoDate   = regexp.MustCompile(`^(\d{4})-(\d{2})(?:-(\d{2}))?(?:[T ].*)?$`)        // 1960-01-02
	euDate    = regexp.MustCompile(`^(\d{1,2}|dd)/(\d{1,2}|mm)/(\d{4})$`)              // dd/mm/1960
	years     = regexp.MustCompile(`^(\d{4})$`)
	months    = "janfebmaraprmayjunjulaugsepoctnovdec"
)

// ParseDate reads the forms of dates that lists have: 02 Jan 1960, Jan 1960, 1960,
// 1960-01-02, January 2, 1960; "circa" before any, and a range of any two. A date with
// slashes is read by ParseSlashes, because publishers disagree on their order.
func ParseDate(s string) (muster.PartialDate, bool) {
	s = strings.TrimSuffix(Clean(s), ".")
	about := false
	for _, word := range []string{"circa ", "c. ", "ca. ", "approximately ", "about ", "approx. "} {
		if len(s) > len(word) && strings.EqualFold(s[:len(word)], word) {
			about, s = true, strings.TrimSpace(s[len(word):])
		}
	}
	if d, ok := plainDate(s); ok {
		d.About = about
		return d, true
	}
	if m := dateRange.FindStringSubmatch(s); m != nil {
		from, ok1 := plainDate(strings.TrimSpace(m[1]))
		to, ok2 := plainDate(strings.TrimSpace(m[2]))
		if ok1 && ok2 && to.Year >= from.Year {
			if from.Year == to.Year {
				return muster.PartialDate{Year: from.Year, About: about}, true
			}
			return muster.PartialDate{Year: from.Year, Until: to.Year, About: about}, true
		}
	}
	return muster.PartialDate{}, false
}

func plainDate(s string) (muster.PartialDate, bool) {
	if m := dayFirst.FindStringSubmatch(s); m != nil {
		return checkedDate(m[3], month(m[2]), m[1])
	}
	if m := monYear.FindStringSubmatch(s); m != nil {
		return checkedDate(m[2], month(m[1]), "")
	}
	if m := monDay.FindStringSubmatch(s); m != nil {
		return checkedDate(m[3], month(m[1]), m[2])
	}
	if m := isoDate.FindStringSubmatch(s); m != nil {
		return checkedDate(m[1], m[2], m[3])
	}
	if m := years.FindStringSubmatch(s); m != nil {
		return checkedDate(m[1], "", "")
	}
	return muster.PartialDate{}, false
}

// ParseSlashes reads 12/31/1960 (American) or 31/12/1960 and dd/mm/1960.
func ParseSlashes(s string, american bool) (muster.PartialDate, bool) {
	m := euDate.FindStringSubmatch(Clean(s))
	if m == nil {
		return muster.PartialDate{}, false
	}
	day, mon := m[1], m[2]
	if american {
		day, mon = mon, day
	}
	return checkedDate(m[3], strings.TrimPrefix(mon, "mm"), strings.TrimPrefix(day, "dd"))
}

// month is the number of a month's English name, "x" where it is none.
func month(name string) string {
	if i := strings.Index(months, strings.ToLower(name[:min(3, len(name))])); i >= 0 && i%3 == 0 {
		return strconv.Itoa(i/3 + 1)
	}
	return "x"
}

// checkedDate makes a date of digits; "" and 0 are not known.
func checkedDate(year, month, day string) (d muster.PartialDate, ok bool) {
	for _, p := range []struct {
		to *int
		s  string
	}{{&d.Year, year}, {&d.Month, month}, {&d.Day, day}} {
		if p.s == "" {
			continue
		}
		n, err := strconv.Atoi(p.s)
		if err != nil {
			return muster.PartialDate{}, false
		}
		*p.to = n
	}
	if d.Month == 0 {
		d.Day = 0
	}
	t := time.Date(d.Year, time.Month(max(d.Month, 1)), max(d.Day, 1), 0, 0, 0, 0, time.UTC)
	if d.Year < 1000 || d.Year > 2999 || d.Month > 0 && int(t.Month()) != d.Month || d.Day > 0 && t.Day() != d.Day {
		return muster.PartialDate{}, false
	}
	return d, true
}
