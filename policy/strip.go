package policy

import (
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// Strip takes out of a decision what the packs that it names can restore: words,
// citations, codes, and the needs that follow from one rule on one subject. What
// stays is what the decision said: outcome, rules, subjects, limits, packs by
// digest. d itself is left as it is.
func Strip(d muster.Decision) muster.Decision {
	mine := func(pack string) bool {
		return slices.ContainsFunc(d.Packs, func(r muster.PackRef) bool { return r.ID == pack })
	}
	strip := func(in []muster.Reason) []muster.Reason {
		if in == nil {
			return nil
		}
		out := make([]muster.Reason, len(in))
		for i, r := range in {
			if mine(r.Pack) && r.Measure == "" { // what a determination says stands in no pack
				r = muster.Reason{Pack: r.Pack, Rule: r.Rule, Subjects: r.Subjects}
				if len(d.Packs) == 1 {
					r.Pack = ""
				}
				if len(r.Subjects) == 1 && r.Subjects[0] == customerPointer {
					r.Subjects = nil
				}
			}
			out[i] = r
		}
		return out
	}
	alone, joined := theOnly(&d), joinedNeeds(&d)
	d.Reasons, d.Observed = strip(d.Reasons), strip(d.Observed)
	var needs []muster.Need
	for _, n := range d.Needs {
		pack, _, _ := strings.Cut(n.Rule, "/")
		switch {
		case !mine(pack):
			needs = append(needs, n)
		case n.Kind == muster.NeedVerify && n.Subject == alone && n.Pointer == customerPointer && !joined:
			// A requirement on the only subject, by one pack: its rule says it all.
		default:
			if n.Words = ""; !joined {
				n.Methods = nil
			}
			needs = append(needs, n)
		}
	}
	d.Needs = needs
	return d
}

const customerPointer = "/customer"

// theOnly is the id of the only subject of d, or a string that no subject has.
func theOnly(d *muster.Decision) string {
	if len(d.Foreign) == 1 {
		for id := range d.Foreign {
			return id
		}
	}
	return "\x00"
}

// joinedNeeds reports whether needs of several packs may have been joined.
func joinedNeeds(d *muster.Decision) bool { return len(d.Packs) > 1 }

// Fill restores what Strip took, from the packs that the decision names (others
// are passed over; a pack that is wanting leaves its part bare). Rules that the
// pack does not know are left as they are.
func Fill(d muster.Decision, packs []*Pack) muster.Decision {
	byID := map[string]*Pack{}
	for _, p := range packs {
		if slices.Contains(d.Packs, p.Ref()) {
			byID[p.ID()] = p
		}
	}
	b := builder{d: d}
	fill := func(in []muster.Reason, needs bool) []muster.Reason {
		out := slices.Clone(in)
		for i := range out {
			r := &out[i]
			if r.Pack == "" && len(d.Packs) == 1 {
				r.Pack = d.Packs[0].ID
			}
			p := byID[r.Pack]
			if p == nil || r.Citation != "" {
				continue
			}
			t := p.texts[r.Rule]
			if t == nil {
				continue
			}
			subjects := r.Subjects
			if subjects == nil && t.onParty() {
				subjects = []string{customerPointer}
			}
			*r = t.reason(p, r.Rule)
			r.Subjects = subjects
			if needs && t.req != nil && !joinedNeeds(&d) && slices.Equal(subjects, []string{customerPointer}) {
				if id := theOnly(&d); id != "\x00" {
					b.need(t.req.need(p, &muster.SubjectFacts{ID: id, Pointer: customerPointer}))
				}
			}
		}
		return out
	}
	b.d.Needs = nil
	for _, n := range d.Needs {
		pack, rule, _ := strings.Cut(n.Rule, "/")
		if p := byID[pack]; p != nil && n.Words == "" {
			p.texts[rule].restore(&n)
		}
		b.d.Needs = append(b.d.Needs, n)
	}
	b.d.Reasons = fill(d.Reasons, true)
	b.d.Observed = fill(d.Observed, false)
	sortNeeds(b.d.Needs)
	return b.d
}

// onParty reports whether the rule holds on subjects rather than the application.
func (t *text) onParty() bool {
	return t.req != nil || t.field != nil && !t.field.app || t.party
}

// restore puts words and methods back into a need.
func (t *text) restore(n *muster.Need) {
	switch {
	case t == nil:
	case t.req != nil:
		n.Words = t.words.Customer
		if n.Methods == nil {
			n.Methods = slices.Clone(t.req.Methods)
		}
	case t.field != nil:
		n.Words = t.words.Customer
	default:
		for _, x := range t.needs {
			if x.Kind == n.Kind && x.Attribute == n.Attribute && strings.HasSuffix(n.Pointer, x.Pointer) {
				n.Words = x.Words
				if n.Methods == nil {
					n.Methods = slices.Clone(x.Methods)
				}
				return
			}
		}
	}
}
