package screen

import (
	"math"

	"github.com/muster-cip/muster/match"
)

// How a name is scored. Each word weighs what it tells. What the query says and the
// name lacks is lost, and so is, at a lower price, what the name has and the query
// does not say. A loss counts more where little has matched: "Ali Hassan" in a longer
// name is less than two rare words in one.
type Params struct {
	LostQuery, LostName, Fuzzy, Steep, Thin, ThinBelow, Base, BaseBelow, Misorder, InitialQ, InitialN, SlipCost, Letter, Short float32
}

var P = Params{LostQuery: 0.9, LostName: 0.5, Fuzzy: 1, Steep: 2.5, Thin: 1.5, ThinBelow: 7, Base: 0.1, BaseBelow: 5, Misorder: 0.01, InitialQ: 0.9, InitialN: 0.75, SlipCost: 5, Letter: 2.3, Short: 1.1}

// maxScore bounds the score of a name that has matched some weight of the query.
func maxScore(total, matched float32) float32 {
	if total <= 0 || matched >= total {
		return 1
	}
	return 1 - P.LostQuery*(1-matched/total)
}

// aligner is the memory of one alignment.
type aligner struct {
	pairs []aligned
	query [match.MaxWords]float32 // share of each word that matched
	name  [match.MaxWords]float32
	taken [match.MaxWords]bool
	have  [match.MaxWords]bool
}

// aligned says which words of the query met which of the name.
type aligned struct {
	q, qn int
	t, tn int
	sim   float32 // of the spellings
	share float32 // of their weight that counts as matched
	how   string  // same | alike | joined | initial | short
}

// score aligns the query with one name and says how well they agree, 0 to 1.
// With trace, the alignment is kept for it.
func (x *Index) score(s *scratch, nameID uint32, trace *tracing) float32 {
	n := &x.names[nameID]
	ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
	a := &s.align
	a.pairs = a.pairs[:0]
	for i := range s.words {
		a.query[i], a.taken[i] = 0, false
	}
	for j := range ts {
		a.name[j], a.have[j] = 0, false
	}
	weigh := func(w *word) float32 {
		if n.org {
			return w.org
		}
		return w.per
	}
	// The most telling pair first, as long as there is one.
	for {
		best, bestValue := int32(-1), float32(0)
		for r := s.boards[nameID].head; r >= 0; r = s.records[r].next {
			rec := &s.records[r]
			u := &s.units[rec.unit]
			if overlaps(a.taken[u.at:u.at+u.n]) || overlaps(a.have[rec.at:rec.at+rec.n]) {
				continue
			}
			var w float32
			for i := u.at; i < u.at+u.n; i++ {
				w += weigh(&s.words[i])
			}
			for j := rec.at; j < rec.at+rec.n; j++ {
				w += ts[j].weight
			}
			v := gain(rec.sim) * w
			if u.n == 1 && rec.n == 1 && rec.sim >= 0.97 {
				v += 100 // what is the same is not joined with a neighbour
			}
			if v > bestValue {
				best, bestValue = r, v
			}
		}
		if best < 0 {
			break
		}
		rec := &s.records[best]
		u := &s.units[rec.unit]
		how := "alike"
		switch {
		case u.n > 1 || rec.n > 1:
			how = "joined"
		case rec.sim >= 0.999:
			how = "same"
		}
		a.pair(aligned{int(u.at), int(u.n), int(rec.at), int(rec.n), rec.sim, gain(rec.sim), how})
	}
	x.initials(s, ts, n.org)

	var queryAll, queryLost, nameAll, nameLost, matched float32
	for i := range s.words {
		w := weigh(&s.words[i])
		queryAll += w
		queryLost += w * (1 - a.query[i])
	}
	exact := len(s.words) == len(ts)
	for j := range ts {
		t := &ts[j]
		nameAll += t.weight
		if a.have[j] {
			nameLost += t.weight * (1 - a.name[j])
		} else {
			nameLost += t.weight * t.missed
			exact = false
		}
	}
	if queryAll <= 0 || nameAll <= 0 {
		return 0
	}
	for _, p := range a.pairs {
		var w float32
		for j := p.t; j < p.t+p.tn; j++ {
			if ts[j].class != match.Legal {
				w += ts[j].weight
			}
		}
		if p.how == "initial" {
			matched += 1.2
			exact = false
			continue
		}
		if p.sim < 0.999 {
			exact = false
			n := float32(len(x.words.text[ts[p.t].word]))
			slips := (1 - p.sim) * n / 0.85
			w = min(w, max(0, n*P.Letter-P.SlipCost*slips))
		}
		matched += w
	}
	thin := float32(math.Exp(-float64(matched / P.ThinBelow)))
	loss := P.LostQuery*queryLost/queryAll + P.LostName*nameLost/nameAll
	loss *= 1 + P.Thin*thin
	if !exact {
		loss += P.Base * float32(math.Exp(-float64(matched/P.BaseBelow)))
	}
	if a.disorder(n.org) {
		loss += P.Misorder
	}
	score := min(1, max(0, 1-loss))
	if trace != nil {
		trace.pairs = append(trace.pairs[:0], a.pairs...)
		trace.queryAll, trace.nameAll = queryAll, nameAll
		trace.thin = thin
	}
	return score
}

func overlaps(taken []bool) bool {
	for _, t := range taken {
		if t {
			return true
		}
	}
	return false
}

func (a *aligner) pair(p aligned) {
	for i := p.q; i < p.q+p.qn; i++ {
		a.taken[i], a.query[i] = true, p.share
	}
	for j := p.t; j < p.t+p.tn; j++ {
		a.have[j], a.name[j] = true, p.share
	}
	a.pairs = append(a.pairs, p)
}

// disorder reports words that stand in another order than in the name. A family name
// that comes first is none: then all that follows it comes before it in the name.
func (a *aligner) disorder(org bool) bool {
	if len(a.pairs) < 2 || !org && a.turned() {
		return false
	}
	for i, p := range a.pairs {
		for _, o := range a.pairs[i+1:] {
			if (p.q < o.q) != (p.t < o.t) {
				return true
			}
		}
	}
	return false
}

// turned reports that the name was cut once and its parts exchanged.
func (a *aligner) turned() bool {
	falls := 0
	for i, p := range a.pairs {
		next := -1
		for k, o := range a.pairs { // the pair that follows p in the query
			if o.q > p.q && (next < 0 || o.q < a.pairs[next].q) {
				next = k
			}
		}
		if next >= 0 && a.pairs[next].t < a.pairs[i].t {
			falls++
		}
	}
	return falls <= 1
}

// initials pairs what is left: a letter with a word that begins with it.
func (x *Index) initials(s *scratch, ts []token, org bool) {
	a := &s.align
	for i := range s.words {
		if a.taken[i] {
			continue
		}
		w := &s.words[i]
		for j := range ts {
			if a.have[j] || ts[j].first != w.Text[0] {
				continue
			}
			t := &ts[j]
			class := classIn(w.Word, org)
			if class == match.Initial && (t.class == match.Plain || t.class == match.Initial) || t.class == match.Initial && class == match.Plain && !org {
				a.taken[i], a.have[j] = true, true
				a.query[i], a.name[j] = P.InitialQ, P.InitialN
				if t.class == match.Initial {
					a.query[i], a.name[j] = P.InitialN, P.InitialQ
				}
				a.pairs = append(a.pairs, aligned{i, 1, j, 1, 0, 0.75, "initial"})
				break
			}
		}
	}
}
