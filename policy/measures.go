package policy

import (
	"slices"

	"github.com/muster-cip/muster"
)

// measureKinds are what a rule on special measures may be about.
var measureKinds = []string{"prohibit", "conditions", "verify", "doubtful", "coming"}

// measures are those of a kind that the account comes under now.
func (r *run) measures(kind string) (list []*muster.MeasureFact) {
	for i := range r.f.Measures {
		m := &r.f.Measures[i]
		in := m.Phase == muster.PhaseInForce
		var is bool
		switch kind {
		case "prohibit":
			is = in && m.Measure == muster.MeasureProhibit
		case "conditions":
			is = in && m.Measure == muster.MeasureConditions
		case "verify":
			is = in && m.Measure == muster.MeasureConditions && len(r.unshown(m)) > 0
		case "doubtful":
			is = m.Phase == muster.PhaseDoubtful
		case "coming":
			is = m.Phase == muster.PhaseComing
		}
		if is {
			list = append(list, m)
		}
	}
	return list
}

// unshown are the attributes that a measure wants shown of the customer and that
// are not.
func (r *run) unshown(m *muster.MeasureFact) (list []string) {
	customer := &r.parties[0]
	customer.weigh()
	for _, a := range m.Conditions.Verify {
		if customer.got[a] == 0 {
			list = append(list, a)
		}
	}
	return list
}

// measured applies a rule on special measures once for each that it is about: the
// reason cites the determination, not the pack.
func (b *builder) measured(r *run, x *rule) {
	list := r.measures(x.Measure)
	if len(list) == 0 || !r.holds(x.cond) || x.clear && r.cleared(x.ID, 0) {
		return
	}
	for _, m := range list {
		t := r.p.texts[x.ID]
		reason := t.reason(r.p, x.ID)
		reason.Measure, reason.Subjects = m.ID, slices.Clone(m.Subjects)
		// A doubtful match is a ground to ask, and nothing that a customer is told of.
		if x.Measure != "doubtful" {
			reason.Citation, reason.Status = m.Citation, m.Status
			reason.Customer = or(m.Customer, reason.Customer)
		}
		if m.Operator != "" {
			reason.Operator += " " + m.Operator
		}
		if x.observe {
			b.d.Observed = append(b.d.Observed, reason)
			continue
		}
		b.d.Reasons = append(b.d.Reasons, reason)
		if x.Outcome.Severity() > b.d.Outcome.Severity() {
			b.d.Outcome = x.Outcome
		}
		b.d.Limits = b.d.Limits.Tighten(x.Limits)
		for _, o := range x.Obligations {
			b.d.Obligations = add(b.d.Obligations, o)
		}
		for _, n := range x.Needs {
			b.need(muster.Need{Kind: n.Kind, Pointer: or(n.Pointer, customerPointer), Attribute: n.Attribute, Methods: slices.Clone(n.Methods), Rule: RuleOfMeasure + m.ID, Words: n.Words})
		}
		switch x.Measure {
		case "conditions":
			b.d.Limits = b.d.Limits.Tighten(m.Conditions.Limits)
			for _, o := range m.Conditions.Obligations {
				b.d.Obligations = add(b.d.Obligations, o)
			}
		case "verify":
			for _, a := range r.unshown(m) {
				b.need(muster.Need{Kind: muster.NeedVerify, Pointer: customerPointer, Attribute: a, Methods: r.p.giving(a), Rule: RuleOfMeasure + m.ID, Words: t.words.Customer})
			}
		}
		if !m.Until.IsZero() && (b.d.Until.IsZero() || m.Until.Before(b.d.Until)) {
			b.d.Until = m.Until
		}
	}
}

// RuleOfMeasure is what the id of a determination has before it where a rule is named.
const RuleOfMeasure = "measure/"

// giving are the pack's methods that show an attribute, in their order.
func (p *Pack) giving(attribute string) (list []string) {
	for i := range p.doc.Methods {
		if _, ok := p.doc.Methods[i].Gives[attribute]; ok {
			list = append(list, p.doc.Methods[i].ID)
		}
	}
	return list
}

// MeasureBounds are the tightest that packs set to special measures: the longest
// lead from publication, the shortest time that one may last without renewal.
func MeasureBounds(packs []*Pack) (lead, longest Period) {
	for _, p := range packs {
		m := &p.doc.Measures
		if x, err := ParsePeriod(m.Lead); err == nil && x.longer(lead) {
			lead = x
		}
		if x, err := ParsePeriod(m.Longest); err == nil && (longest.IsZero() || longest.longer(x)) {
			longest = x
		}
	}
	return lead, longest
}
