package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Period is a length of calendar time. One unit is set.
type Period struct {
	Years, Months, Days int
	Hours               int // elapsed, not calendar
}

// ParsePeriod reads "2 years", "6 months", "180 days", "72 hours".
func ParsePeriod(s string) (Period, error) {
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > 10_000 {
		return Period{}, fmt.Errorf("a period is a number and hours, days, months or years")
	}
	switch strings.TrimSuffix(unit, "s") {
	case "year":
		return Period{Years: n}, nil
	case "month":
		return Period{Months: n}, nil
	case "day":
		return Period{Days: n}, nil
	case "hour":
		return Period{Hours: n}, nil
	}
	return Period{}, fmt.Errorf("a period is a number and hours, days, months or years")
}

// IsZero reports whether the period is empty.
func (p Period) IsZero() bool { return p == Period{} }

func (p Period) String() string {
	for _, x := range []struct {
		n    int
		unit string
	}{{p.Years, "year"}, {p.Months, "month"}, {p.Days, "day"}, {p.Hours, "hour"}} {
		if x.n == 1 {
			return "1 " + x.unit
		}
		if x.n > 1 {
			return fmt.Sprintf("%d %ss", x.n, x.unit)
		}
	}
	return "0 days"
}

// LastDay is the last calendar day of a period that t triggers, as midnight at
// its start in zone. The trigger's day is not counted. A day that the last month
// does not have rolls into the next one: the later of the two readings, so that
// nothing is deleted early (29 February + 2 years is 1 March).
func (p Period) LastDay(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.Add(time.Duration(p.Hours) * time.Hour).In(zone).Date()
	return time.Date(y+p.Years, m+time.Month(p.Months), d+p.Days, 0, 0, 0, 0, zone)
}

// End is the first instant after the period: the start of the day after LastDay
// for calendar periods, the exact instant for hours.
func (p Period) End(t time.Time, zone *time.Location) time.Time {
	if p.Hours > 0 {
		return t.Add(time.Duration(p.Hours) * time.Hour)
	}
	y, m, d := p.LastDay(t, zone).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, zone)
}

// After is the instant a period after t, at the same time of day in UTC: how long
// something lasts, where LastDay says until when it is kept.
func (p Period) After(t time.Time) time.Time {
	return t.UTC().AddDate(p.Years, p.Months, p.Days).Add(time.Duration(p.Hours) * time.Hour)
}

// longer compares two periods from one common day.
func (p Period) longer(q Period) bool {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return p.After(day).After(q.After(day))
}

// Keeping says until when records of a class are kept, and which pack says so.
type Keeping struct {
	Class   string
	LastDay time.Time // start of it, in the zone
	Until   time.Time // first instant at which they may go
	Pack    muster.PackRef
	Period  Period
	Place   string   // where they are kept, "" for anywhere
	Waits   []string // anchors that have not happened: nothing may go yet
}

// Keep computes until when records of a class are kept under the packs that
// applied: the longest wins and is named. anchors are the times of what has
// happened (closed, last_accessed, made, ...); of the anchors that a pack names
// the latest counts, and closed has to have happened where it is named. ok is
// false where no pack speaks of the class.
func Keep(packs []*Pack, class string, anchors map[string]time.Time, zone *time.Location) (k Keeping, ok bool) {
	for _, p := range packs {
		for _, r := range p.doc.Retention {
			if r.Class != class {
				continue
			}
			period, err := ParsePeriod(r.Period)
			if err != nil {
				continue // Compile refuses it
			}
			one := Keeping{Class: class, Pack: p.Ref(), Period: period, Place: r.Place}
			var latest time.Time
			for _, a := range r.From {
				at, happened := anchors[a]
				if !happened || at.IsZero() {
					one.Waits = append(one.Waits, a)
					continue
				}
				if at.After(latest) {
					latest = at
				}
			}
			// An anchor that may never come (a customer who never logged in) does not
			// hold records for ever once another has; the end of the relationship does.
			if !latest.IsZero() && !contains(one.Waits, "closed") {
				one.Waits = nil
				one.LastDay, one.Until = period.LastDay(latest, zone), period.End(latest, zone)
			}
			if !ok || later(one, k) {
				k, ok = one, true
			}
		}
	}
	return k, ok
}

// later reports whether a keeps longer than b; waiting is longest.
func later(a, b Keeping) bool {
	if (len(a.Waits) > 0) != (len(b.Waits) > 0) {
		return len(a.Waits) > 0
	}
	return a.Until.After(b.Until)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
