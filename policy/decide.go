package policy

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Decide decides f by all packs that apply. It is deterministic and never
// fails: a condition that cannot be computed counts as true, with a warning.
// The decision has no ID; About, At and Mode are those of the facts.
//
// Rules of outcome verify wait until nothing is left to collect: nobody is asked
// to prove what they have yet to state. All other rules are always looked at.
func Decide(packs []*Pack, f *muster.Facts) muster.Decision {
	b := builder{d: muster.Decision{About: f.About, At: f.At, Mode: f.Mode, Outcome: muster.OutcomeOpen, Foreign: make(map[string]string, len(f.Subjects))}}
	runs := make([]*run, 0, len(packs))
	for _, p := range packs {
		r := newRun(p, f)
		if r.holds(p.applies) {
			runs = append(runs, r)
			b.d.Packs = append(b.d.Packs, p.Ref())
		}
	}
	for _, r := range runs {
		b.collect(r)
		b.judge(r, false)
	}
	if !b.collecting {
		for _, r := range runs {
			b.judge(r, true)
			b.require(r)
		}
	}
	for _, r := range runs {
		if r.p.doc.Interim.Enabled && f.Account.State == muster.AccLimited && !f.Account.InterimSince.IsZero() {
			b.begun = append(b.begun, r)
		}
		b.finish(r)
	}
	return b.decision()
}

// builder gathers what held.
type builder struct {
	d          muster.Decision
	collecting bool   // something is to be supplied
	interim    []*run // packs that grant interim service for what they ask
	noInterim  bool   // one asks and grants none
	begun      []*run // packs under which interim service has begun
}

// held records that rule id of r held on a party (index; -1 for the whole application).
func (b *builder) held(r *run, id string, party int) *muster.Reason {
	t := r.p.texts[id]
	list := &b.d.Reasons
	if t.observe {
		list = &b.d.Observed
	} else if t.outcome.Severity() > b.d.Outcome.Severity() {
		b.d.Outcome = t.outcome
	}
	pointer := ""
	if party >= 0 {
		pointer = r.parties[party].s.Pointer
	}
	for i := range *list {
		x := &(*list)[i]
		if x.Rule == id && x.Pack == r.p.doc.ID {
			if pointer != "" {
				x.Subjects = append(x.Subjects, pointer)
			}
			return x
		}
	}
	*list = append(*list, t.reason(r.p, id))
	x := &(*list)[len(*list)-1]
	if pointer != "" {
		x.Subjects = []string{pointer}
	}
	return x
}

func (t *text) reason(p *Pack, id string) muster.Reason {
	return muster.Reason{
		Pack: p.doc.ID, Rule: id, Outcome: t.outcome, Code: t.code, Citation: t.citation, Status: t.status,
		Customer: t.words.Customer, Operator: t.words.Operator, Hidden: t.hidden,
	}
}

// collect asks for what is absent. A path belongs to its most specific field.
func (b *builder) collect(r *run) {
	for _, path := range r.f.Absent {
		if f := r.p.fieldOf(path, func(f *field) bool { return f.app }); f != nil && !f.Optional && r.holds(f.cond) {
			b.supply(r, f, -1, "/"+strings.ReplaceAll(path, ".", "/"))
		}
	}
	for i := range r.parties {
		pt := &r.parties[i]
		for _, path := range pt.s.Absent {
			f := r.p.fieldOf(path, func(f *field) bool { return !f.app && pt.isFor(f.For) && pt.isKind(f.Kinds) })
			if f != nil && !f.Optional && pt.holds(f.cond) {
				b.supply(r, f, i, pt.s.Pointer+"/"+strings.ReplaceAll(path, ".", "/"))
			}
		}
	}
}

func (p *Pack) fieldOf(path string, fits func(*field) bool) *field {
	for i := range p.fields { // longest first
		f := &p.fields[i]
		if (path == f.Field.Field || f.Parts && strings.HasPrefix(path, f.prefx)) && fits(f) {
			return f
		}
	}
	return nil
}

func (b *builder) supply(r *run, f *field, party int, pointer string) {
	b.held(r, f.id, party)
	b.collecting = true
	n := muster.Need{Kind: muster.NeedSupply, Pointer: pointer, Rule: r.p.doc.ID + "/" + f.id, Words: f.Words.Customer}
	if party >= 0 {
		n.Subject = r.parties[party].s.ID
	}
	b.need(n)
}

// isFor reports whether the party is one of those that a field or requirement is for.
func (pt *party) isFor(list []string) bool {
	switch pt.s.Role {
	case muster.RoleCustomer:
		return contains(list, forCustomer)
	case muster.RoleOwner:
		return pt.beneficial && contains(list, forBeneficial)
	case muster.RoleSignatory:
		return contains(list, forSignatory)
	}
	return false
}

func (pt *party) isKind(list []string) bool {
	return len(list) == 0 || contains(list, string(pt.s.Kind)) || pt.s.Kind == "" && contains(list, string(muster.Individual))
}

func (pt *party) inScope(s scope) bool {
	switch s {
	case scopeCustomer:
		return pt.s.Role == muster.RoleCustomer
	case scopeBeneficial:
		return pt.beneficial
	case scopeOwner:
		return pt.s.Role == muster.RoleOwner
	}
	return s == scopeSubject
}

// judge looks at the rules, cheap before dear.
func (b *builder) judge(r *run, deferred bool) {
	for i := range r.p.rules {
		x := &r.p.rules[i]
		if x.defers != deferred {
			continue
		}
		if x.Measure != "" {
			b.measured(r, x)
			continue
		}
		if x.scope == scopeApplication {
			if r.holds(x.cond) && !(x.clear && r.cleared(x.ID, 0)) {
				b.apply(r, x, -1)
			}
			continue
		}
		for k := range r.parties {
			pt := &r.parties[k]
			if pt.inScope(x.scope) && pt.holds(x.cond) && !(x.clear && r.cleared(x.ID, k)) {
				b.apply(r, x, k)
			}
		}
	}
}

// apply records a rule that held, with its needs, limits and obligations.
func (b *builder) apply(r *run, x *rule, party int) {
	b.held(r, x.ID, party)
	if x.observe {
		return
	}
	if x.Outcome == muster.OutcomeCollect {
		b.collecting = true
	}
	b.d.Limits = b.d.Limits.Tighten(x.Limits)
	for _, o := range x.Obligations {
		b.d.Obligations = add(b.d.Obligations, o)
	}
	for _, n := range x.Needs {
		need := muster.Need{Kind: n.Kind, Pointer: n.Pointer, Attribute: n.Attribute, Methods: slices.Clone(n.Methods), Words: n.Words}
		if !x.Hidden { // a need travels to the customer; a hidden ground does not
			need.Rule = r.p.doc.ID + "/" + x.ID
		}
		if party >= 0 {
			need.Subject = r.parties[party].s.ID
			if n.Pointer == "" && n.Kind != muster.NeedWait {
				need.Pointer = r.parties[party].s.Pointer
			}
		}
		if n.At == "open_owners" {
			for _, at := range r.f.Ownership.Open {
				need.Pointer = at + n.Pointer
				b.need(need)
			}
			continue
		}
		b.need(need)
	}
}

// require asks for evidence of what is not shown.
func (b *builder) require(r *run) {
	for i := range r.p.reqs {
		q := &r.p.reqs[i]
		for k := range r.parties {
			pt := &r.parties[k]
			if !pt.isFor(q.For) || !pt.isKind(q.Kinds) || pt.meets(q) || !pt.holds(q.cond) {
				continue
			}
			if q.Clearable && r.cleared(q.ID, k) {
				continue
			}
			b.held(r, q.ID, k)
			b.need(q.need(r.p, pt.s))
			if q.Outcome == muster.OutcomeVerify {
				if r.p.doc.Interim.Enabled {
					if !slices.Contains(b.interim, r) {
						b.interim = append(b.interim, r)
					}
				} else {
					b.noInterim = true
				}
			}
		}
	}
}

func (q *requirement) need(p *Pack, s *muster.SubjectFacts) muster.Need {
	return muster.Need{
		Kind: muster.NeedVerify, Subject: s.ID, Pointer: s.Pointer, Attribute: q.Attribute,
		Methods: slices.Clone(q.Methods), Rule: p.doc.ID + "/" + q.ID, Words: q.Words.Customer,
	}
}

// meets reports whether accepted evidence shows the attribute or one that will do instead.
func (pt *party) meets(q *requirement) bool {
	pt.weigh()
	for _, a := range q.any {
		if level := pt.got[a]; level > 0 && level >= q.least {
			return true
		}
	}
	return false
}

// need adds n, or joins it with one for the same thing: methods that serve all
// who ask, or, where there is none, any of them.
func (b *builder) need(n muster.Need) {
	for i := range b.d.Needs {
		x := &b.d.Needs[i]
		if x.Kind != n.Kind || x.Pointer != n.Pointer || x.Attribute != n.Attribute {
			continue
		}
		var both, any []string
		for _, m := range x.Methods {
			if contains(n.Methods, m) {
				both = append(both, m)
			}
		}
		if any = both; len(both) == 0 {
			for _, m := range append(slices.Clone(x.Methods), n.Methods...) {
				any = add(any, m)
			}
		}
		x.Methods = any
		return
	}
	b.d.Needs = append(b.d.Needs, n)
}

// finish adds what rests on the outcome so far: the reason for opening, duties, status.
func (b *builder) finish(r *run) {
	if b.d.Outcome == muster.OutcomeOpen {
		for i := range r.p.opening {
			if x := &r.p.opening[i]; r.holds(x.cond) {
				b.apply(r, x, -1)
				break
			}
		}
	}
	for i := range r.p.obligations {
		if o := &r.p.obligations[i]; r.holds(o.cond) {
			b.d.Obligations = add(b.d.Obligations, o.ID)
		}
	}
	if len(r.f.Subjects) > 0 {
		for i := range r.parties {
			pt := &r.parties[i]
			b.d.Foreign[pt.s.ID] = graver(b.d.Foreign[pt.s.ID], pt.foreignness())
			if !pt.expires.IsZero() && (b.d.Until.IsZero() || pt.expires.Before(b.d.Until)) {
				b.d.Until = pt.expires
			}
		}
		if end := r.resolutions().expires; !end.IsZero() && (b.d.Until.IsZero() || end.Before(b.d.Until)) {
			b.d.Until = end
		}
	}
	b.d.Warnings = append(b.d.Warnings, r.warn...)
}

// graver joins what two packs found of one subject: foreign under one is foreign.
func graver(a, b string) string {
	for _, s := range []string{muster.StatusForeign, muster.StatusPresumed, muster.StatusUS} {
		if a == s || b == s {
			return s
		}
	}
	return muster.StatusPresumed
}

// decision puts everything in its fixed order.
func (b *builder) decision() muster.Decision {
	d := &b.d
	b.meanwhile()
	order := func(list []muster.Reason) {
		sort.SliceStable(list, func(i, j int) bool {
			a, b := &list[i], &list[j]
			if x, y := a.Outcome.Severity(), b.Outcome.Severity(); x != y {
				return x > y
			}
			if a.Pack != b.Pack {
				return a.Pack < b.Pack
			}
			return a.Rule < b.Rule
		})
	}
	order(d.Reasons)
	order(d.Observed)
	sortNeeds(d.Needs)
	sort.Strings(d.Obligations)
	if d.Reasons == nil {
		d.Reasons = []muster.Reason{}
	}
	return *d
}

// meanwhile grants interim service where something is still to be shown, and lets
// it go on while more is asked or a person looks; until its term is over.
func (b *builder) meanwhile() {
	d, packs := &b.d, b.interim
	switch {
	case d.Outcome == muster.OutcomeVerify && !b.noInterim:
	case d.Outcome == muster.OutcomeCollect, d.Outcome == muster.OutcomeReview:
		packs = b.begun
	default:
		return
	}
	var until time.Time
	for _, r := range packs {
		since := r.f.Account.InterimSince
		if since.IsZero() {
			since = d.At // it begins with this decision
		}
		if r.p.interimDays == 0 {
			continue
		}
		end := since.Add(time.Duration(r.p.interimDays) * 24 * time.Hour)
		if !end.After(d.At) {
			return
		}
		if until.IsZero() || end.Before(until) {
			until = end
		}
	}
	if len(packs) == 0 {
		return
	}
	d.Interim = true
	for _, r := range packs {
		d.Limits = d.Limits.Tighten(r.p.doc.Interim.Limits)
	}
	if !until.IsZero() && (d.Until.IsZero() || until.Before(d.Until)) {
		d.Until = until
	}
}

func sortNeeds(needs []muster.Need) {
	sort.SliceStable(needs, func(i, j int) bool {
		a, b := &needs[i], &needs[j]
		if a.Kind != b.Kind {
			return kindRank(a.Kind) < kindRank(b.Kind)
		}
		if a.Pointer != b.Pointer {
			return a.Pointer < b.Pointer
		}
		return a.Attribute < b.Attribute
	})
}

func kindRank(k muster.NeedKind) int {
	return slices.Index([]muster.NeedKind{muster.NeedSupply, muster.NeedVerify, muster.NeedWait}, k)
}
