package measure

import (
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// RulePrefix is what the id of a determination has before it where a rule is
// named: in a transition, a case, a resolution.
const RulePrefix = "measure/"

// Code is the reason code of whatever a measure does.
const Code = "special_measure"

// firm are the grounds that carry a match by themselves.
var firm = []string{muster.ByAddress, muster.ByRegion, muster.ByNationality, muster.ByResidence, muster.ByFormation, muster.ByOwnership, muster.ByPerson}

// Match compares one measure with the facts of an account at an instant. ok is
// false where nothing that the determination names matches, or it is over.
func Match(m *muster.Measure, f *muster.Facts, a *muster.AccountRecord, at time.Time) (x muster.MeasureFact, ok bool) {
	if m.High.After(at) {
		at = m.High // the clock went back: what began has begun, what ended has ended
	}
	g := grounds{m: m, f: f}
	g.look(a)
	if len(g.by) == 0 || !at.Before(m.Ends) {
		return x, false
	}
	x = said(m)
	x.By, x.Subjects = g.by, g.subjects
	if existing(m, f, at) && m.GraceUntil.After(x.From) {
		x.From = m.GraceUntil
	}
	if !x.From.Before(x.Until) {
		return x, false
	}
	finding, until := settled(m.ID, f, at)
	switch {
	case finding == muster.Supports:
		x.Phase = muster.PhaseCleared
		if !until.IsZero() && until.Before(x.Until) {
			x.Until = until // and then looked at again
		}
	case !slices.ContainsFunc(g.by, isFirm) && finding != muster.Contradicts:
		x.Phase = muster.PhaseDoubtful
	case at.Before(x.From):
		x.Phase = muster.PhaseComing
	default:
		x.Phase = muster.PhaseInForce
		if products, all, held := licensed(m, a, at); all {
			x.Phase = muster.PhaseLicensed
		} else if held {
			x.Measure, x.Conditions = muster.MeasureConditions, muster.MeasureTerms{Limits: muster.Limits{Products: products}}
		}
	}
	return x, true
}

// said is what a measure says to everybody who matches.
func said(m *muster.Measure) muster.MeasureFact {
	x := muster.MeasureFact{
		ID: m.ID, Digest: m.Digest, Measure: m.Measure, From: m.Starts, Until: m.Ends, Citation: m.Citation, Status: m.Status,
		Customer: m.Words.Customer + "\n" + m.Words.Appeal, Operator: m.Words.Operator, Conditions: m.Conditions,
	}
	if x.Operator == "" {
		x.Operator = m.Title
	}
	return x
}

// Kept is a match as its row kept it: without the facts on which it matched.
func Kept(m *muster.Measure, row *muster.MatchRecord) muster.MeasureFact {
	x := said(m)
	x.Phase, x.From, x.Until = row.Phase, row.From, row.Until
	return x
}

func isFirm(by string) bool { return slices.Contains(firm, by) }

// existing reports whether the account was there before the measure began to bind.
func existing(m *muster.Measure, f *muster.Facts, at time.Time) bool {
	since := m.Enacted
	if since.IsZero() {
		since = at // a preview: as if it were enacted now
	}
	return f.Application.Received.Before(since)
}

// grounds are the facts on which an account matches.
type grounds struct {
	m        *muster.Measure
	f        *muster.Facts
	by       []string
	subjects []string
}

func (g *grounds) add(by, pointer string) {
	if !slices.Contains(g.by, by) {
		g.by = append(g.by, by)
	}
	if pointer != "" && !slices.Contains(g.subjects, pointer) {
		g.subjects = append(g.subjects, pointer)
	}
}

func (g *grounds) names(by string) bool { return slices.Contains(g.m.By, by) }

func (g *grounds) look(a *muster.AccountRecord) {
	for i := range g.m.Targets {
		if t := &g.m.Targets[i]; t.Customer != "" && t.Customer == a.Customer {
			g.add(muster.ByPerson, "/customer")
		}
	}
	var owners []owner
	for i := range g.f.Subjects {
		s := &g.f.Subjects[i]
		by := g.of(s)
		if len(by) == 0 {
			continue
		}
		switch s.Role {
		case muster.RoleCustomer:
			for _, b := range by {
				g.add(b, s.Pointer)
			}
		case muster.RoleOwner:
			owners = append(owners, owner{s.Pointer, s.Share, s.Control})
		}
	}
	if g.names(muster.ByOwnership) && g.owned(owners) {
		for _, o := range owners {
			g.add(muster.ByOwnership, o.pointer)
		}
	}
	for i := range g.m.Targets {
		t := &g.m.Targets[i]
		if g.names(muster.ByIP) && isTarget(t, g.f.Access.Country) {
			g.add(muster.ByIP, "")
		}
		if g.names(muster.ByPayment) && isTarget(t, g.f.Payment.Country) {
			g.add(muster.ByPayment, "")
		}
	}
}

type owner struct {
	pointer string
	share   muster.Percent
	control bool
}

// owned reports whether owners that match bring their entity under the measure.
// Shares add up; one who stands behind a matching entity counts with it.
func (g *grounds) owned(owners []owner) bool {
	if len(owners) == 0 {
		return false
	}
	want, err := muster.ParsePercent(g.m.Ownership.Share)
	if err != nil { // none stated; a stated one was checked
		return true
	}
	var sum muster.Percent
	for _, o := range owners {
		if o.control && g.m.Ownership.Control {
			return true
		}
		if !slices.ContainsFunc(owners, func(above owner) bool { return strings.HasPrefix(o.pointer, above.pointer+"/") }) {
			sum += o.share
		}
	}
	return sum >= want
}

// of are the grounds on which one subject matches.
func (g *grounds) of(s *muster.SubjectFacts) (by []string) {
	for i := range g.m.Targets {
		t := target{&g.m.Targets[i]}
		if t.List != "" && found(s, t.List, t.Entry) {
			by = append(by, muster.ByPerson)
		}
		if t.Country == "" {
			continue
		}
		if g.names(muster.ByAddress) {
			switch {
			case t.is(s.Country):
				by = append(by, muster.ByAddress)
			case t.Region != "" && t.Country.Jurisdiction() == s.Country.Jurisdiction() && t.holds(s.Area):
				by = append(by, muster.ByRegion)
			}
		}
		if g.names(muster.ByNationality) && (t.any(s.Nationalities) || t.any(g.shown(s, muster.AttrNationality))) {
			by = append(by, muster.ByNationality)
		}
		if g.names(muster.ByResidence) && (t.any(g.shown(s, muster.AttrResidence)) || t.any(g.shown(s, muster.AttrLocation))) {
			by = append(by, muster.ByResidence)
		}
		if g.names(muster.ByFormation) && (t.is(s.Formation) || t.any(g.shown(s, muster.AttrFormation))) {
			by = append(by, muster.ByFormation)
		}
	}
	return by
}

// shown are the countries that evidence in force shows for an attribute.
func (g *grounds) shown(s *muster.SubjectFacts, attribute string) (list []muster.Country) {
	for i := range s.Evidence {
		if e := &s.Evidence[i]; len(e.Shows) > 0 && e.InForce(g.f.At) {
			list = append(list, e.Shows[attribute]...)
		}
	}
	return list
}

type target struct{ *muster.MeasureTarget }

// is reports whether a country is the target, as a whole.
func (t target) is(c muster.Country) bool { return isTarget(t.MeasureTarget, c) }

func (t target) any(list []muster.Country) bool { return slices.ContainsFunc(list, t.is) }

func isTarget(t *muster.MeasureTarget, c muster.Country) bool {
	return t.Country != "" && t.Region == "" && t.Country.Jurisdiction() == c.Jurisdiction()
}

// holds reports whether an area lies in the target's region.
func (t target) holds(a *muster.Area) bool {
	if a == nil {
		return false
	}
	region, town, postal := fold(a.Region), fold(a.Town), fold(a.Postal)
	for _, n := range t.Names {
		if n = fold(n); names(region, n) || names(town, n) {
			return true
		}
	}
	for _, n := range t.Towns {
		if names(town, fold(n)) {
			return true
		}
	}
	return slices.ContainsFunc(t.Postal, func(p string) bool { return strings.HasPrefix(postal, fold(p)) })
}

// settled is what a person found last of a measure on this customer, in force at
// an instant, and until when: supports clears, contradicts confirms.
func settled(id string, f *muster.Facts, at time.Time) (finding muster.Finding, until time.Time) {
	if len(f.Subjects) == 0 {
		return "", until
	}
	var last time.Time
	for i := range f.Subjects[0].Evidence {
		e := &f.Subjects[0].Evidence[i]
		if e.Kind != muster.Resolution || !slices.Contains(e.Rules, RulePrefix+id) || e.At.Before(last) || !e.Expires.IsZero() && !at.Before(e.Expires) {
			continue
		}
		last, finding, until = e.At, e.Attributes[muster.AttrIdentity], e.Expires
	}
	return finding, until
}

// licensed says what licences let this account do at an instant.
func licensed(m *muster.Measure, a *muster.AccountRecord, at time.Time) (products []string, all, held bool) {
	for i := range m.Licences {
		l := &m.Licences[i]
		if !concerns(l, a) || at.Before(l.From) || !l.Until.IsZero() && !at.Before(l.Until) {
			continue
		}
		if len(l.Products) == 0 {
			return nil, true, true
		}
		held = true
		for _, p := range l.Products {
			if !slices.Contains(products, p) {
				products = append(products, p)
			}
		}
	}
	slices.Sort(products)
	return products, false, held
}

func concerns(l *muster.Licence, a *muster.AccountRecord) bool {
	switch {
	case l.Customer != "":
		return l.Customer == a.Customer
	case l.Account != "":
		return l.Account == a.Reference
	}
	return true
}

// Transitions is what a match does at the gate, in rising order: nothing where it
// is doubtful or cleared, with holes where licences are.
func Transitions(m *muster.Measure, x *muster.MeasureFact, a *muster.AccountRecord) (out []muster.Transition) {
	from := x.From
	switch x.Phase {
	case muster.PhaseDoubtful:
		return nil
	case muster.PhaseCleared:
		from = x.Until // a finding that expires
	}
	cuts := []time.Time{from, m.Ends}
	for i := range m.Licences {
		if l := &m.Licences[i]; concerns(l, a) {
			for _, t := range []time.Time{l.From, l.Until} {
				if t.After(from) && t.Before(m.Ends) {
					cuts = append(cuts, t)
				}
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	for i := 0; i+1 < len(cuts); i++ {
		t := muster.Transition{
			Account: a.ID, Determination: m.ID, From: cuts[i], Until: cuts[i+1], Status: muster.GateDeny, Code: Code, Rule: RulePrefix + m.ID,
			Customer: x.Customer, Operator: x.Operator, Facts: x.By,
		}
		if m.Measure == muster.MeasureConditions {
			t.Status, t.Limits = muster.GateLimited, m.Conditions.Limits
		}
		if products, all, held := licensed(m, a, cuts[i]); all {
			continue
		} else if held {
			t.Status, t.Limits = muster.GateLimited, muster.Limits{Products: products}
		}
		if n := len(out); n > 0 && out[n-1].Until.Equal(t.From) && out[n-1].Status == t.Status && slices.Equal(out[n-1].Limits.Products, t.Limits.Products) {
			out[n-1].Until = t.Until
			continue
		}
		out = append(out, t)
	}
	return out
}

// Instants are when something begins or ends for accounts under a measure: when
// they are decided anew. In rising order.
func Instants(m *muster.Measure) []time.Time {
	list := []time.Time{m.Starts, m.Ends}
	if m.GraceUntil.After(m.Starts) {
		list = append(list, m.GraceUntil)
	}
	for _, l := range m.Licences {
		list = append(list, l.From, l.Until)
	}
	list = slices.DeleteFunc(list, func(t time.Time) bool { return t.IsZero() || t.Before(m.Starts) || t.After(m.Ends) })
	slices.SortFunc(list, time.Time.Compare)
	return slices.CompactFunc(list, time.Time.Equal)
}

// Fold is a determination as it stands after acts: those that are approved, in the
// order in which they were.
func Fold(d *muster.Determination, digest string, high time.Time, acts []muster.MeasureAct) *muster.Measure {
	m := &muster.Measure{Determination: *d, Digest: digest, High: high, Starts: d.Effective, Ends: d.Until}
	m.Licences = slices.Clone(d.Exceptions)
	acts = slices.DeleteFunc(slices.Clone(acts), func(a muster.MeasureAct) bool { return a.Determination != d.ID || a.Approved.IsZero() })
	slices.SortStableFunc(acts, func(a, b muster.MeasureAct) int { return a.Approved.Compare(b.Approved) })
	for _, a := range acts {
		switch a.Kind {
		case muster.ActEnact:
			m.Enacted, m.Starts, m.Ends = a.Binds, a.From, a.Until
		case muster.ActRenew:
			m.Ends = a.Until
		case muster.ActLift:
			m.Lifted = a.At
		case muster.ActLicense:
			m.Licences = append(m.Licences, *a.Licence)
		}
		if !m.Lifted.IsZero() && m.Lifted.Before(m.Ends) {
			m.Ends = m.Lifted
		}
	}
	return m
}
