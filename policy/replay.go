package policy

import (
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/muster-cip/muster"
)

// Recorded is one decision on file with the facts it was made of.
type Recorded struct {
	Facts    *muster.Facts // nil, or without the customer, where they were erased
	Decision muster.Decision
}

// maxChanged is how many changed decisions a report names; all are counted.
const maxChanged = 10_000

// ReplayReport says what would have come out differently.
type ReplayReport struct {
	Decided    int                         `json:"decided"`
	OutOfReach int                         `json:"out_of_reach"` // erased
	Same       int                         `json:"same"`
	Different  int                         `json:"different"`
	Moves      map[string]int              `json:"moves"`      // "open -> review" -> decisions
	RulesNew   map[string]int              `json:"rules_new"`  // "pack/rule" that would hold and did not
	RulesGone  map[string]int              `json:"rules_gone"` // that held and would not
	ByCountry  map[string]map[string]Rates `json:"by_country"` // country of document ("" none seen) -> outcome
	Changed    []Changed                   `json:"changed"`    // by decision id, at most 10,000
}

// Rates counts decisions of one outcome, then and now.
type Rates struct {
	Was int `json:"was"`
	Is  int `json:"is"`
}

// Changed is one decision that would come out differently.
type Changed struct {
	Decision string         `json:"decision"`
	About    muster.Ref     `json:"about"`
	Was      muster.Outcome `json:"was"`
	Is       muster.Outcome `json:"is"`
	New      []string       `json:"new,omitempty"`  // rules
	Gone     []string       `json:"gone,omitempty"` // rules
}

// Replay decides recorded facts again under drafts: the packs that would be in
// effect. It writes nothing. Workers share the sequence; the report does not
// depend on their order.
func Replay(drafts []*Pack, recorded iter.Seq[Recorded]) ReplayReport {
	workers := runtime.GOMAXPROCS(0)
	batches := make(chan []Recorded, workers)
	parts := make([]ReplayReport, workers)
	var wg sync.WaitGroup
	for i := range parts {
		parts[i] = newReport()
		wg.Go(func() {
			for batch := range batches {
				for j := range batch {
					parts[i].replay(drafts, &batch[j])
				}
			}
		})
	}
	var batch []Recorded
	for r := range recorded {
		if batch = append(batch, r); len(batch) == 256 {
			batches <- batch
			batch = nil
		}
	}
	batches <- batch
	close(batches)
	wg.Wait()
	out := parts[0]
	for _, p := range parts[1:] {
		out.join(p)
	}
	slices.SortFunc(out.Changed, func(a, b Changed) int { return strings.Compare(a.Decision, b.Decision) })
	out.Changed = out.Changed[:min(len(out.Changed), maxChanged)]
	return out
}

func newReport() ReplayReport {
	return ReplayReport{
		Moves: map[string]int{}, RulesNew: map[string]int{}, RulesGone: map[string]int{},
		ByCountry: map[string]map[string]Rates{}, Changed: []Changed{},
	}
}

func (r *ReplayReport) replay(drafts []*Pack, x *Recorded) {
	if x.Facts == nil || len(x.Facts.Subjects) == 0 || x.Facts.Subjects[0].Role != muster.RoleCustomer {
		r.OutOfReach++
		return
	}
	r.Decided++
	d := Decide(drafts, x.Facts)
	was, is := ruleSet(&x.Decision), ruleSet(&d)
	c := Changed{Decision: x.Decision.ID, About: x.Decision.About, Was: x.Decision.Outcome, Is: d.Outcome, New: minus(is, was), Gone: minus(was, is)}
	country := documentCountry(&x.Facts.Subjects[0])
	rates := r.ByCountry[country]
	if rates == nil {
		rates = map[string]Rates{}
		r.ByCountry[country] = rates
	}
	bump := func(o muster.Outcome, was, is int) {
		n := rates[string(o)]
		rates[string(o)] = Rates{n.Was + was, n.Is + is}
	}
	bump(c.Was, 1, 0)
	bump(c.Is, 0, 1)
	for _, rule := range c.New {
		r.RulesNew[rule]++
	}
	for _, rule := range c.Gone {
		r.RulesGone[rule]++
	}
	if c.Was == c.Is && len(c.New)+len(c.Gone) == 0 {
		r.Same++
		return
	}
	r.Different++
	if c.Was != c.Is {
		r.Moves[string(c.Was)+" -> "+string(c.Is)]++
	}
	r.Changed = append(r.Changed, c)
}

func (r *ReplayReport) join(o ReplayReport) {
	r.Decided += o.Decided
	r.OutOfReach += o.OutOfReach
	r.Same += o.Same
	r.Different += o.Different
	for _, m := range []struct{ to, from map[string]int }{{r.Moves, o.Moves}, {r.RulesNew, o.RulesNew}, {r.RulesGone, o.RulesGone}} {
		for k, n := range m.from {
			m.to[k] += n
		}
	}
	for country, rates := range o.ByCountry {
		if r.ByCountry[country] == nil {
			r.ByCountry[country] = rates
			continue
		}
		for outcome, n := range rates {
			have := r.ByCountry[country][outcome]
			r.ByCountry[country][outcome] = Rates{have.Was + n.Was, have.Is + n.Is}
		}
	}
	r.Changed = append(r.Changed, o.Changed...)
}

// ruleSet names the rules that held, "pack/rule", sorted. A stripped decision of
// one pack leaves the pack's name out.
func ruleSet(d *muster.Decision) []string {
	out := make([]string, 0, len(d.Reasons))
	for _, r := range d.Reasons {
		pack := r.Pack
		if pack == "" && len(d.Packs) == 1 {
			pack = d.Packs[0].ID
		}
		out = append(out, pack+"/"+r.Rule)
	}
	slices.Sort(out)
	return out
}

func minus(a, b []string) []string {
	var out []string
	for _, x := range a {
		if !contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// documentCountry is the country that the customer's evidence showed: of
// nationality, else of formation, else of residence; "" where none was shown.
func documentCountry(s *muster.SubjectFacts) string {
	for _, attr := range []string{muster.AttrNationality, muster.AttrFormation, muster.AttrResidence} {
		for i := range s.Evidence {
			if c := s.Evidence[i].Shows[attr]; len(c) > 0 {
				return string(c[0])
			}
		}
	}
	return ""
}
