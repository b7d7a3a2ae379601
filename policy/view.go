package policy

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/muster-cip/muster"
)

// run is one pack looking at one set of facts. It is the activation of
// conditions on the whole application; a party is that of conditions on a
// subject. Everything dear is computed when it is first asked for.
type run struct {
	p       *Pack
	f       *muster.Facts
	parties []party
	memo    []int8 // of conditions that read no subject
	warn    []string

	owners           owners
	resolved         resolved
	absent, products ref.Val
	screening        *screened
}

// owners are the beneficial owners, counted.
type owners struct {
	done                                       bool
	beneficial, control, foreign, us, presumed int64
}

// resolved is what persons found.
type resolved struct {
	done    bool
	refused bool
	expires time.Time // of the first finding that does; zero: none
	cleared []clearing
	list    ref.Val
}

// clearing is a rule that a person's resolution cleared, on one subject.
type clearing struct {
	rule    string // of this pack, bare
	subject int    // index; 0 clears for all
}

// party is one subject as the pack sees it.
type party struct {
	r          *run
	s          *muster.SubjectFacts
	beneficial bool
	memo       []int8
	status     string
	screening  *screened

	read bool // the lists below are made
	// got is the assurance that accepted evidence gives, by attribute.
	got                             map[string]int
	shown, contradicted, open, ways ref.Val
	nationality, residence          ref.Val
	formation, location             ref.Val
	nationalities, absent           ref.Val
	expires                         time.Time // earliest among evidence that counts
}

const (
	unknown int8 = iota
	yes
	no
)

func newRun(p *Pack, f *muster.Facts) *run {
	r := &run{p: p, f: f, memo: make([]int8, len(p.conds))}
	r.parties = make([]party, max(1, len(f.Subjects)))
	all := make([]int8, len(p.conds)*len(r.parties))
	for i := range r.parties {
		pt := &r.parties[i]
		pt.r, pt.memo = r, all[i*len(p.conds):(i+1)*len(p.conds)]
		if len(f.Subjects) == 0 {
			pt.s = &muster.SubjectFacts{Role: muster.RoleCustomer, Kind: muster.Individual, Pointer: "/customer"}
			continue
		}
		pt.s = &f.Subjects[i]
		pt.beneficial = p.isBeneficial(pt.s)
	}
	return r
}

// isBeneficial reports whether an owner is a beneficial owner under this pack.
func (p *Pack) isBeneficial(s *muster.SubjectFacts) bool {
	if s.Role != muster.RoleOwner || !s.Terminal || s.Kind == muster.Entity {
		return false
	}
	if s.Control {
		return true
	}
	if p.threshold < 0 {
		return false
	}
	return s.Share > p.threshold || p.doc.Ownership.Inclusive && s.Share == p.threshold
}

// holds evaluates a condition on the application.
func (r *run) holds(i int) bool {
	if i == always {
		return true
	}
	if r.memo[i] == unknown {
		r.memo[i] = r.eval(i, r)
	}
	return r.memo[i] == yes
}

// holds evaluates a condition on this party.
func (pt *party) holds(i int) bool {
	if i == always || !pt.r.p.conds[i].subject {
		return pt.r.holds(i)
	}
	if pt.memo[i] == unknown {
		pt.memo[i] = pt.r.eval(i, pt)
	}
	return pt.memo[i] == yes
}

// eval never lets a rule fall away because it could not be computed: what
// cannot be computed holds, and the decision says so in a warning.
func (r *run) eval(i int, act cel.Activation) int8 {
	out, _, err := r.p.conds[i].program.Eval(act)
	if err != nil {
		w := r.p.doc.ID + ": the condition at " + r.p.conds[i].where + " could not be computed and counts as true"
		if !contains(r.warn, w) {
			r.warn = append(r.warn, w)
		}
		return yes
	}
	if out == types.True {
		return yes
	}
	return no
}

func (r *run) box(s string) ref.Val {
	if v, ok := r.p.known[s]; ok {
		return v
	}
	return types.String(s)
}

func (r *run) list(in []string) ref.Val {
	if len(in) == 0 {
		return r.p.empty
	}
	out := make([]ref.Val, len(in))
	for i, s := range in {
		out[i] = r.box(s)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

// countries boxes countries, territories folded, each once.
func (r *run) countries(in []muster.Country) ref.Val {
	if len(in) == 0 {
		return r.p.empty
	}
	out := make([]ref.Val, 0, len(in))
	for i, c := range in {
		j := c.Jurisdiction()
		if slices.IndexFunc(in[:i], func(x muster.Country) bool { return x.Jurisdiction() == j }) < 0 {
			out = append(out, r.box(string(j)))
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

// Parent is part of cel.Activation.
func (r *run) Parent() cel.Activation { return nil }

// Parent is part of cel.Activation.
func (pt *party) Parent() cel.Activation { return nil }

// ResolveName answers for subject.*, then for the application.
func (pt *party) ResolveName(name string) (any, bool) {
	if rest, ok := strings.CutPrefix(name, "subject."); ok {
		return pt.attribute(rest)
	}
	return pt.r.ResolveName(name)
}

// ResolveName answers for every variable of the application's environment.
func (r *run) ResolveName(name string) (any, bool) {
	if rest, ok := strings.CutPrefix(name, "customer."); ok {
		return r.parties[0].attribute(rest)
	}
	if rest, ok := strings.CutPrefix(name, "screening."); ok {
		return r.screened().attribute(r, rest)
	}
	f := r.f
	switch name {
	case "owners.beneficial":
		return types.Int(r.ownership().beneficial), true
	case "owners.control":
		return types.Int(r.ownership().control), true
	case "owners.foreign":
		return types.Int(r.ownership().foreign), true
	case "owners.us":
		return types.Int(r.ownership().us), true
	case "owners.presumed":
		return types.Int(r.ownership().presumed), true
	case "owners.open":
		return types.Int(len(f.Ownership.Open)), true
	case "owners.stated":
		return types.Double(f.Ownership.Stated.Float()), true
	case "owners.unknown":
		return types.Double(f.Ownership.Unknown.Float()), true
	case "signatories.named":
		n := 0
		for i := range f.Subjects {
			if f.Subjects[i].Role == muster.RoleSignatory {
				n++
			}
		}
		return types.Int(n), true
	case "payment.means":
		return r.box(f.Payment.Means), true
	case "payment.country":
		return r.box(string(f.Payment.Country.Jurisdiction())), true
	case "payment.network":
		return r.box(f.Payment.Network), true
	case "access.country":
		return r.box(string(f.Access.Country.Jurisdiction())), true
	case "notice.shown":
		return types.Bool(f.Notice.Shown), true
	case "notice.version":
		return r.box(f.Notice.Version), true
	case "request.products":
		if r.products == nil {
			r.products = r.list(f.Request.Products)
		}
		return r.products, true
	case "application.state":
		return r.box(f.Application.State), true
	case "application.relation":
		return r.box(string(f.Application.Relation)), true
	case "application.parent":
		return r.box(f.Application.Parent), true
	case "account.state":
		return r.box(f.Account.State), true
	case "account.days_interim":
		return types.Int(daysInterim(f)), true
	case "review.cleared":
		return r.resolutions().list, true
	case "review.refused":
		return types.Bool(r.resolutions().refused), true
	case "measures.prohibit", "measures.conditions", "measures.verify", "measures.doubtful", "measures.coming":
		var ids []string
		for _, m := range r.measures(strings.TrimPrefix(name, "measures.")) {
			ids = append(ids, m.ID)
		}
		return r.list(ids), true
	case "absent":
		if r.absent == nil {
			r.absent = r.list(f.Absent)
		}
		return r.absent, true
	case "event":
		return r.box(f.Event), true
	case "mode":
		return r.box(f.Mode), true
	case "magic":
		return r.box(f.Magic), true
	case "now":
		return types.Timestamp{Time: f.At}, true
	}
	if key, ok := r.p.countKeys[name]; ok {
		// A count under the pack's own name wins: two packs may define one name differently.
		if n, ok := f.Counts[r.p.doc.ID+"/"+key]; ok {
			return types.Int(n), true
		}
		return types.Int(f.Counts[key]), true
	}
	return nil, false
}

// daysInterim is whole days of interim service so far.
func daysInterim(f *muster.Facts) int64 {
	if f.Account.InterimSince.IsZero() || f.At.Before(f.Account.InterimSince) {
		return 0
	}
	return int64(f.At.Sub(f.Account.InterimSince) / (24 * time.Hour))
}

func (r *run) ownership() *owners {
	o := &r.owners
	if o.done {
		return o
	}
	o.done = true
	for i := range r.parties {
		pt := &r.parties[i]
		if !pt.beneficial {
			continue
		}
		o.beneficial++
		if pt.s.Control {
			o.control++
		}
	}
	for i := range r.parties {
		if !r.parties[i].beneficial {
			continue
		}
		switch r.parties[i].foreignness() {
		case muster.StatusUS:
			o.us++
		case muster.StatusForeign:
			o.foreign++
		default:
			o.presumed++
		}
	}
	return o
}

// foreignness is the pack's finding on the party: us stands before foreign, and
// neither is presumed.
func (pt *party) foreignness() string {
	if pt.status != "" {
		return pt.status
	}
	pt.status = muster.StatusPresumed // what a condition would see that asks for itself
	p := pt.r.p
	switch {
	case p.doc.Status.US.Source != "" && pt.holds(p.us):
		pt.status = muster.StatusUS
	case p.doc.Status.Foreign.Source != "" && pt.holds(p.foreign):
		pt.status = muster.StatusForeign
	}
	return pt.status
}

func (pt *party) attribute(name string) (any, bool) {
	s, r := pt.s, pt.r
	if rest, ok := strings.CutPrefix(name, "screening."); ok {
		return pt.screened().attribute(r, rest)
	}
	switch name {
	case "kind":
		return r.box(string(s.Kind)), true
	case "role":
		return r.box(string(s.Role)), true
	case "country":
		return r.box(string(s.Country.Jurisdiction())), true
	case "country_claimed":
		return r.box(string(s.Country)), true
	case "nationalities":
		if pt.nationalities == nil {
			pt.nationalities = r.countries(s.Nationalities)
		}
		return pt.nationalities, true
	case "formation":
		return r.box(string(s.Formation.Jurisdiction())), true
	case "us_person_claim":
		return r.box(s.USPersonClaim), true
	case "foreign":
		return r.box(pt.foreignness()), true
	case "beneficial":
		return types.Bool(pt.beneficial), true
	case "share":
		return types.Double(s.Share.Float()), true
	case "control":
		return types.Bool(s.Control), true
	case "absent":
		if pt.absent == nil {
			pt.absent = r.list(s.Absent)
		}
		return pt.absent, true
	}
	pt.weigh()
	switch name {
	case "shown":
		return pt.shown, true
	case "contradicted":
		return pt.contradicted, true
	case "open":
		return pt.open, true
	case "methods":
		return pt.ways, true
	case "shows_nationality":
		return pt.nationality, true
	case "shows_residence":
		return pt.residence, true
	case "shows_formation":
		return pt.formation, true
	case "shows_location":
		return pt.location, true
	}
	return nil, false
}
