package policy

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// current reports whether evidence speaks of the claims as they are now. What
// was made on an older revision and still holds, attribute by attribute, the
// maker of the facts has carried forward.
func current(s *muster.SubjectFacts, e *muster.Evidence) bool { return e.Revision >= s.Revision }

// until is when e stops counting under this pack; zero for never.
func (p *Pack) until(m *method, e *muster.Evidence) time.Time {
	end := e.Expires
	if !m.valid.IsZero() {
		if own := m.valid.End(e.At, time.UTC); end.IsZero() || own.Before(end) {
			end = own
		}
	}
	return end
}

// counts reports whether e is by a method that the pack accepts, states the
// assurance that the pack asks of it, and is in force.
func (p *Pack) counts(e *muster.Evidence, at time.Time) (*method, bool) {
	m := p.methods[e.Method]
	if m == nil || e.Kind == muster.Resolution || assurance(e.Assurance) < m.least || e.At.After(at) {
		return nil, false
	}
	end := p.until(m, e)
	return m, end.IsZero() || at.Before(end)
}

// weigh reads the party's evidence once.
func (pt *party) weigh() {
	if pt.read {
		return
	}
	pt.read = true
	r, s := pt.r, pt.s
	empty := r.p.empty
	pt.shown, pt.contradicted, pt.open, pt.ways = empty, empty, empty, empty
	pt.nationality, pt.residence, pt.formation, pt.location = empty, empty, empty, empty
	if len(s.Evidence) == 0 {
		return
	}
	demanded := assurance(muster.Assurance(r.p.doc.Assurance))
	pt.got = make(map[string]int, 8)
	var shown, against, open, ways []string
	var nat, res, form, loc []muster.Country
	for i := range s.Evidence {
		e := &s.Evidence[i]
		m, ok := r.p.counts(e, r.f.At)
		if !ok || !current(s, e) {
			continue
		}
		counted := false
		for _, attr := range muster.Attributes { // in the dictionary's order: maps have none
			finding, named := e.Attributes[attr]
			if !named {
				continue
			}
			switch finding {
			case muster.Contradicts:
				against = add(against, attr)
			case muster.Open:
				open = add(open, attr)
			case muster.Supports:
				level := m.gives[attr]
				if level == 0 {
					continue
				}
				counted = true
				pt.got[attr] = max(pt.got[attr], level)
				if level < demanded {
					continue
				}
				shown = add(shown, attr)
				switch attr {
				case muster.AttrNationality:
					nat = append(nat, e.Shows[attr]...)
				case muster.AttrResidence:
					res = append(res, e.Shows[attr]...)
				case muster.AttrFormation:
					form = append(form, e.Shows[attr]...)
				case muster.AttrLocation:
					loc = append(loc, e.Shows[attr]...)
				}
			}
		}
		if !counted {
			continue
		}
		ways = add(ways, e.Method)
		if end := r.p.until(m, e); !end.IsZero() && (pt.expires.IsZero() || end.Before(pt.expires)) {
			pt.expires = end
		}
	}
	// What was shown is no longer open.
	open = slices.DeleteFunc(open, func(a string) bool { return contains(shown, a) })
	for _, l := range []([]string){shown, against, open, ways} {
		sort.Strings(l)
	}
	pt.shown, pt.contradicted, pt.open, pt.ways = r.list(shown), r.list(against), r.list(open), r.list(ways)
	pt.nationality, pt.residence = r.countries(nat), r.countries(res)
	pt.formation, pt.location = r.countries(form), r.countries(loc)
}

func add(list []string, s string) []string {
	if contains(list, s) {
		return list
	}
	return append(list, s)
}

// finding is one person's finding on one rule of one subject.
type finding struct {
	subject int
	rule    string
	says    muster.Finding
	at      time.Time
	expires time.Time
}

// findings reads what persons found: of each rule and subject the latest
// resolution in force counts. A contradiction found after a resolution voids
// it, since the person had not seen it.
func (r *run) findings() []finding {
	var out []finding
	var contradicted time.Time
	own := r.p.doc.ID + "/"
	for i := range r.parties {
		s := r.parties[i].s
		for j := range s.Evidence {
			e := &s.Evidence[j]
			if e.Kind != muster.Resolution {
				if _, ok := r.p.counts(e, r.f.At); !ok || !current(s, e) {
					continue
				}
				for _, f := range e.Attributes {
					if f == muster.Contradicts && e.At.After(contradicted) {
						contradicted = e.At
					}
				}
				continue
			}
			if !e.InForce(r.f.At) || !current(s, e) {
				continue
			}
			says := e.Attributes[muster.AttrIdentity]
			rules := e.Rules
			if len(rules) == 0 {
				rules = []string{own}
			}
			for _, rule := range rules {
				if strings.Contains(rule, "/") && !strings.HasPrefix(rule, own) {
					continue // another pack's
				}
				out = latest(out, finding{i, strings.TrimPrefix(rule, own), says, e.At, e.Expires})
			}
		}
	}
	return slices.DeleteFunc(out, func(f finding) bool {
		return f.says == muster.Supports && f.at.Before(contradicted)
	})
}

// latest puts f in the place of an earlier finding on the same.
func latest(list []finding, f finding) []finding {
	for i := range list {
		if list[i].subject == f.subject && list[i].rule == f.rule {
			if !f.at.Before(list[i].at) {
				list[i] = f
			}
			return list
		}
	}
	return append(list, f)
}

// resolutions sums the findings up: which rules are cleared, and whether a
// person refused. An appeal is a later resolution that clears a rule that refuses.
func (r *run) resolutions() *resolved {
	if r.resolved.done {
		return &r.resolved
	}
	r.resolved.done = true
	var appeal time.Time
	var names []string
	all := r.findings()
	for _, f := range all {
		if !f.expires.IsZero() && (r.resolved.expires.IsZero() || f.expires.Before(r.resolved.expires)) {
			r.resolved.expires = f.expires
		}
		if f.says != muster.Supports || f.rule == "" {
			continue
		}
		r.resolved.cleared = append(r.resolved.cleared, clearing{f.rule, f.subject})
		names = add(add(names, f.rule), r.p.doc.ID+"/"+f.rule)
		t := r.p.texts[f.rule]
		if t != nil && t.outcome.Severity() >= muster.OutcomeSuspend.Severity() && f.at.After(appeal) {
			appeal = f.at
		}
	}
	for _, f := range all {
		if f.says == muster.Contradicts && !f.at.Before(appeal) {
			r.resolved.refused = true
		}
	}
	sort.Strings(names)
	r.resolved.list = r.list(names)
	return &r.resolved
}

// cleared reports whether a person cleared the rule for the party.
func (r *run) cleared(rule string, party int) bool {
	for _, c := range r.resolutions().cleared {
		if c.rule == rule && (c.subject == 0 || c.subject == party) {
			return true
		}
	}
	return false
}
