package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster/packs"
)

// The date vectors of the requirements, section 6.
func TestLastDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ trigger, period, last string }{
		{"2026-12-24", "10 days", "2027-01-03"},
		{"2028-02-20", "10 days", "2028-03-01"},
		{"2028-02-01", "30 days", "2028-03-02"},
		{"2027-01-01", "180 days", "2027-06-30"},
		{"2027-03-01", "365 days", "2028-02-29"},
		{"2028-02-20", "15 days", "2028-03-06"},
		{"2026-12-31", "30 days", "2027-01-30"},
		{"2028-01-01", "180 days", "2028-06-29"},
		{"2024-02-29", "2 years", "2026-03-01"}, // rolling, never the earlier
		{"2026-08-31", "6 months", "2027-03-03"},
		{"2026-01-15", "1 month", "2026-02-15"},
	} {
		at, err := time.Parse(time.DateOnly, c.trigger)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.LastDay(at.Add(13*time.Hour), time.UTC).Format(time.DateOnly); got != c.last {
			t.Errorf("%s + %s: last day %s, want %s", c.trigger, c.period, got, c.last)
		}
		if p.String() != c.period {
			t.Errorf("%q prints as %q", c.period, p)
		}
	}
}

func TestPeriodsAreCountedInTheZone(t *testing.T) {
	t.Parallel()
	kolkata := time.FixedZone("IST", 5*3600+1800)
	at := time.Date(2027, 1, 1, 20, 0, 0, 0, time.UTC) // 2 January in Kolkata
	p := Period{Days: 1}
	if got := p.LastDay(at, kolkata).Format(time.DateOnly); got != "2027-01-03" {
		t.Errorf("last day %s", got)
	}
	if got, want := p.End(at, kolkata), time.Date(2027, 1, 3, 18, 30, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("end %s", got.UTC())
	}
}

// Nothing is deleted early: the end is later than any reading of the period, and
// a later trigger never ends earlier.
func TestEndProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0)
		p := Period{Years: rapid.IntRange(0, 12).Draw(t, "years")}
		if p.Years == 0 {
			p.Days = rapid.IntRange(0, 400).Draw(t, "days")
		}
		zone := time.FixedZone("", rapid.IntRange(-12*3600, 14*3600).Draw(t, "zone"))
		end := p.End(at, zone)
		if end.Before(at.In(zone).AddDate(p.Years, 0, p.Days)) {
			t.Errorf("%s + %s ends %s", at.In(zone), p, end)
		}
		if p.End(at.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "later"))), zone).Before(end) {
			t.Error("a later trigger ends earlier")
		}
	})
}

func TestParsePeriodRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "2", "years", "-1 days", "2 fortnights", "2years", "1.5 years", "99999 days"} {
		if p, err := ParsePeriod(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}

func TestKeepNamesTheLongest(t *testing.T) {
	t.Parallel()
	us, in := load(t, packs.Default), load(t, "in-cert-in")
	closed := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	k, ok := Keep([]*Pack{us}, "identity", map[string]time.Time{"closed": closed, "last_accessed": closed.AddDate(0, 0, -40)}, time.UTC)
	if !ok || k.LastDay.Format(time.DateOnly) != "2026-03-01" || k.Pack.ID != us.ID() {
		t.Errorf("one pack: %+v", k)
	}
	k, _ = Keep([]*Pack{us, in}, "identity", map[string]time.Time{"closed": closed}, time.UTC)
	if k.LastDay.Format(time.DateOnly) != "2029-03-01" || k.Pack.ID != in.ID() {
		t.Errorf("two packs: %+v", k)
	}
	// The account is open: nothing may go, whatever was accessed when.
	k, _ = Keep([]*Pack{us, in}, "identity", map[string]time.Time{"last_accessed": closed}, time.UTC)
	if len(k.Waits) == 0 || !k.Until.IsZero() {
		t.Errorf("open account: %+v", k)
	}
	if _, ok := Keep([]*Pack{us}, "no_such_class", nil, time.UTC); ok {
		t.Error("a class of no pack is kept")
	}
}
