package policy

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/muster-cip/muster"
)

// Screening is what a pack asks of the comparison with watch lists. Absent: the
// pack asks for none, and its conditions cannot read any.
type Screening struct {
	Threshold float64            `yaml:"threshold"`         // a candidate of this score or above is a hit; 0..1
	Floor     float64            `yaml:"floor"`             // facts keep candidates down to it, so that another threshold can be tried on them
	Weights   map[string]float64 `yaml:"weights,omitempty"` // of the matcher, by its own names; absent: its own
	Lists     []ScreeningList    `yaml:"lists"`             // which lists count; any other is not looked at
	Resolve   string             `yaml:"resolve,omitempty"` // role that resolves hits
	Text      string             `yaml:"text,omitempty"`
	Cite      Cite               `yaml:"cite"`
}

// ScreeningList is one list, or those whose ids a pattern covers.
type ScreeningList struct {
	List      string    `yaml:"list"`                // id, or a pattern: own.*
	Threshold float64   `yaml:"threshold,omitempty"` // of this list; absent: the section's
	Required  bool      `yaml:"required,omitempty"`  // not loaded: screening.missing names it
	MaxAge    string    `yaml:"max_age,omitempty"`   // a period; an older one: screening.stale names it
	Confirm   int       `yaml:"confirm,omitempty"`   // operators that it takes to find a hit true; absent: 1
	Clear     int       `yaml:"clear,omitempty"`     // and false
	Report    Reporting `yaml:"report,omitempty"`    // of a hit that is true
	Keep      string    `yaml:"keep,omitempty"`      // records of a hit that is true: a period from its resolution
	Cite      Cite      `yaml:"cite,omitempty"`
}

// Reporting is the duty to tell an authority of a hit that is true.
type Reporting struct {
	Within string `yaml:"within,omitempty"` // a period from the resolution; absent: no clock runs
	To     string `yaml:"to,omitempty"`
	Text   string `yaml:"text,omitempty"`
	Cite   Cite   `yaml:"cite,omitempty"`
}

// Clock is when a hit on the list that is found true at that time has to
// be reported; zero: this pack sets no time.
func (l *ScreeningList) Clock(at time.Time) time.Time { return periodEnd(l.Report.Within, at) }

// KeepUntil is the first instant at which records of a hit found true at that time
// may go; zero: the pack's class of hits says when.
func (l *ScreeningList) KeepUntil(at time.Time) time.Time { return periodEnd(l.Keep, at) }

func periodEnd(period string, at time.Time) time.Time {
	p, err := ParsePeriod(period)
	if err != nil || p.IsZero() {
		return time.Time{}
	}
	return p.End(at, time.UTC)
}

// covers reports whether the row speaks of a list.
func (l *ScreeningList) covers(list string) bool {
	ok, err := path.Match(l.List, list)
	return err == nil && ok
}

// List is the pack's first row on a list; nil: the pack does not look at it.
func (s *Screening) List(list string) *ScreeningList {
	if s == nil {
		return nil
	}
	for i := range s.Lists {
		if s.Lists[i].covers(list) {
			return &s.Lists[i]
		}
	}
	return nil
}

// IsHit reports whether a candidate is a hit under this pack: at or above its
// list's threshold, or the same identifier.
func (s *Screening) IsHit(c *muster.Candidate) bool {
	row := s.List(c.List)
	switch {
	case row == nil:
		return false
	case c.Exact != "":
		return true
	case row.Threshold > 0:
		return c.Score >= row.Threshold
	}
	return c.Score >= s.Threshold
}

// lowest is the least threshold of any list.
func (s *Screening) lowest() float64 {
	low := s.Threshold
	for _, l := range s.Lists {
		if l.Threshold > 0 {
			low = min(low, l.Threshold)
		}
	}
	return low
}

// Wanted is what packs ask of a screening together.
type Wanted struct {
	Floor     float64            // the lowest
	Threshold float64            // the lowest: nothing below it is a hit of any pack
	Weights   map[string]float64 // of the first pack, by id, that states any
}

// ScreeningWanted is what the packs ask together; false where none asks.
func ScreeningWanted(packs []*Pack) (w Wanted, any bool) {
	sorted := slices.SortedFunc(slices.Values(packs), func(a, b *Pack) int { return strings.Compare(a.doc.ID, b.doc.ID) })
	for _, p := range sorted {
		s := p.doc.Screening
		if s == nil {
			continue
		}
		if !any {
			w = Wanted{Floor: s.Floor, Threshold: s.lowest()}
		}
		any = true
		w.Floor, w.Threshold = min(w.Floor, s.Floor), min(w.Threshold, s.lowest())
		if len(w.Weights) == 0 {
			w.Weights = s.Weights
		}
	}
	return w, any
}

// Reaches reports whether what was kept of a screening answers what packs want now:
// the same weights, and candidates down to every threshold. Facts without one were
// decided when no list was in effect, and say so whatever is wanted.
func (w Wanted) Reaches(f *muster.Facts) bool {
	weights := muster.WeightsText(w.Weights)
	ok := func(s *muster.Screening) bool { return s == nil || s.Weights == weights && s.Floor <= w.Threshold }
	for i := range f.Subjects {
		if !ok(f.Subjects[i].Screening) {
			return false
		}
	}
	return ok(f.Payment.Screening)
}

// Found is a hit under some pack: of whom, and on what.
type Found struct {
	Subject   int // index into the facts
	Of        string
	Candidate muster.Candidate
}

// Hits lists what is a hit under any of the packs, in the order of the facts.
func Hits(packs []*Pack, f *muster.Facts) (found []Found) {
	each := func(subject int, of string, s *muster.Screening) {
		if s == nil {
			return
		}
		for i := range s.Candidates {
			c := &s.Candidates[i]
			if slices.ContainsFunc(packs, func(p *Pack) bool { return p.doc.Screening.IsHit(c) }) {
				found = append(found, Found{subject, of, *c})
			}
		}
	}
	for i := range f.Subjects {
		each(i, muster.HitOfSubject, f.Subjects[i].Screening)
	}
	each(0, muster.HitOfPayer, f.Payment.Screening)
	return found
}

// HitDuties is what packs want done with a hit on a list, together: the most
// operators, the earliest clock, the longest keeping.
type HitDuties struct {
	Confirm, Clear int       // operators that it takes
	Report         time.Time // by when a true hit is to be reported; zero: no clock
	Keep           time.Time // until when records of a true hit are kept; zero: as the class says
	Pack           string    // whose clock it is
}

// Duties of a hit that is resolved at that time.
func Duties(packs []*Pack, list string, at time.Time) HitDuties {
	d := HitDuties{Confirm: 1, Clear: 1}
	for _, p := range packs {
		row := p.doc.Screening.List(list)
		if row == nil {
			continue
		}
		d.Confirm, d.Clear = max(d.Confirm, row.Confirm), max(d.Clear, row.Clear)
		if end := row.Clock(at); !end.IsZero() && (d.Report.IsZero() || end.Before(d.Report)) {
			d.Report, d.Pack = end, p.doc.ID
		}
		if end := row.KeepUntil(at); end.After(d.Keep) {
			d.Keep = end
		}
	}
	return d
}

// screening checks the section.
func (c *compiler) screening() {
	s := c.p.doc.Screening
	if s == nil {
		return
	}
	share := func(what string, x float64) {
		if x <= 0 || x > 1 {
			c.fault("screening", "1:1: screening: %s is above 0 and at most 1", what)
		}
	}
	share("threshold", s.Threshold)
	share("floor", s.Floor)
	if s.Floor > s.lowest() {
		c.fault("screening", "1:1: screening: the floor is above a threshold")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Weights)) {
		if w := s.Weights[name]; !nameOfWeight.MatchString(name) || w < -1 || w > 1 {
			c.fault("screening", "1:1: screening: a weight has a name ([a-z_]) and is -1 to 1")
		}
	}
	if s.Resolve != "" && !slices.ContainsFunc(c.p.doc.Roles, func(r Role) bool { return r.ID == s.Resolve }) {
		c.fault("screening", "1:1: screening: %q is no role of the pack", s.Resolve)
	}
	c.cite("screening", s.Cite)
	if len(s.Lists) == 0 || len(s.Lists) > maxMembers {
		c.fault("screening", "1:1: screening: lists names at least one list, or * for all, and at most %d", maxMembers)
	}
	for i := range s.Lists {
		l := &s.Lists[i]
		what := "list " + l.List
		if _, err := path.Match(l.List, ""); err != nil || !listPattern.MatchString(l.List) {
			c.fault("screening", "1:1: screening: a list is an id or a pattern such as own.*")
		}
		if l.Required && strings.ContainsAny(l.List, "*?[") {
			c.fault("screening", "1:1: screening: %s: only a list that is named can be required", what)
		}
		if l.Threshold != 0 {
			share(what+": threshold", l.Threshold)
		}
		for _, n := range []int{l.Confirm, l.Clear} {
			if n < 0 || n > 2 {
				c.fault("screening", "1:1: screening: %s: one operator or two", what)
			}
		}
		for of, period := range map[string]string{"max_age": l.MaxAge, "report": l.Report.Within, "keep": l.Keep} {
			if period != "" {
				c.period(what+": "+of, period)
			}
		}
		if l.Report.Within != "" {
			c.cite(what+": report", l.Report.Cite)
		}
		if l.Cite.Source != "" {
			c.cite(what, l.Cite)
		}
	}
}

// screened is what a pack sees of a screening: of a subject, of the payer, or of
// all together.
type screened struct {
	done                     bool // there was one, against some list that counts
	open, confirmed, cleared int64
	best                     float64 // of what is not resolved
	exact, lists             []string
	missing, stale           []string
	age                      int64 // days, of the oldest list
}

// look reads one screening.
func (p *Pack) look(s *muster.Screening, hits []muster.HitFacts, at time.Time) (out screened) {
	conf := p.doc.Screening
	if conf == nil {
		return out
	}
	for _, h := range hits {
		switch {
		case conf.List(h.List) == nil:
		case h.State == muster.HitTrue:
			out.confirmed++
		case h.State == muster.HitFalse:
			out.cleared++
		}
	}
	if s == nil {
		return out
	}
	for _, l := range s.Lists {
		row := conf.List(l.List)
		if row == nil {
			continue
		}
		out.done = true
		out.lists = add(out.lists, l.List)
		if l.AsOf.IsZero() {
			continue
		}
		out.age = max(out.age, int64(at.Sub(l.AsOf)/(24*time.Hour)))
		if end := periodEnd(row.MaxAge, l.AsOf); !end.IsZero() && !at.Before(end) {
			out.stale = add(out.stale, l.List)
		}
	}
	for i := range s.Candidates {
		c := &s.Candidates[i]
		resolved := slices.ContainsFunc(hits, func(h muster.HitFacts) bool { return h.List == c.List && h.Entry == c.Entry })
		if resolved || conf.List(c.List) == nil {
			continue
		}
		out.best = max(out.best, c.Score)
		if conf.IsHit(c) {
			out.open++
			if c.Exact != "" {
				out.exact = add(out.exact, c.Exact)
			}
		}
	}
	return out
}

// join sums two up.
func (a *screened) join(b *screened) {
	a.done = a.done || b.done
	a.open, a.confirmed, a.cleared = a.open+b.open, a.confirmed+b.confirmed, a.cleared+b.cleared
	a.best, a.age = max(a.best, b.best), max(a.age, b.age)
	for _, m := range []struct{ to, from *[]string }{{&a.exact, &b.exact}, {&a.lists, &b.lists}, {&a.stale, &b.stale}} {
		for _, x := range *m.from {
			*m.to = add(*m.to, x)
		}
	}
}

// want finishes a sum: which required lists are wanting.
func (p *Pack) want(s *screened) {
	if p.doc.Screening == nil {
		return
	}
	for _, l := range p.doc.Screening.Lists {
		if l.Required && !contains(s.lists, l.List) {
			s.missing = append(s.missing, l.List)
		}
	}
}

// screened is the whole application's.
func (r *run) screened() *screened {
	if r.screening == nil {
		all := r.p.look(r.f.Payment.Screening, r.f.Payment.Hits, r.f.At)
		for i := range r.parties {
			all.join(r.parties[i].screened())
		}
		all.missing = nil
		r.p.want(&all)
		r.screening = &all
	}
	return r.screening
}

func (pt *party) screened() *screened {
	if pt.screening == nil {
		own := pt.r.p.look(pt.s.Screening, pt.s.Hits, pt.r.f.At)
		pt.r.p.want(&own)
		pt.screening = &own
	}
	return pt.screening
}

// attribute answers for a variable below "screening.".
func (s *screened) attribute(r *run, name string) (ref.Val, bool) {
	switch name {
	case "done":
		return types.Bool(s.done), true
	case "open":
		return types.Int(s.open), true
	case "confirmed":
		return types.Int(s.confirmed), true
	case "cleared":
		return types.Int(s.cleared), true
	case "best":
		return types.Double(s.best), true
	case "age_days":
		return types.Int(s.age), true
	case "exact":
		return r.list(s.exact), true
	case "lists":
		return r.list(s.lists), true
	case "missing":
		return r.list(s.missing), true
	case "stale":
		return r.list(s.stale), true
	}
	return nil, false
}
