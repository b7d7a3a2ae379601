package screen

import (
	"github.com/muster-cip/muster"
)

// Explanation says word by word how a query and one entry were compared. It holds
// words of the query: make it only for somebody who may see them.
type Explanation struct {
	Candidate muster.Candidate `json:"candidate"`
	Version   int              `json:"version"` // of the matcher
	Query     string           `json:"query"`   // the spelling that came closest
	Name      string           `json:"name"`    // the entry's name that it came closest to
	Quality   string           `json:"quality"`
	Pairs     []Pair           `json:"pairs,omitempty"`
	QueryOnly []Alone          `json:"query_only,omitempty"` // words that met nothing
	NameOnly  []Alone          `json:"name_only,omitempty"`
	Thin      float64          `json:"thin"` // by how much more the losses counted, because little matched
}

// Pair is words that met.
type Pair struct {
	Query string  `json:"query"`
	Name  string  `json:"name"`
	How   string  `json:"how"`   // same | alike | joined | initial
	Alike float64 `json:"alike"` // 0..1
	Share float64 `json:"share"` // of the query's weight that these words are
	Lost  float64 `json:"lost"`  // what their difference took off the score
}

// Alone is a word that met nothing.
type Alone struct {
	Word  string  `json:"word"`
	Class string  `json:"class,omitempty"` // initial | particle | title | legal | generic | number
	Share float64 `json:"share"`           // of its side's weight
	Lost  float64 `json:"lost"`
}

type tracing struct {
	pairs             []aligned
	queryAll, nameAll float32
	thin              float32
}

var classNames = [...]string{"", "initial", "particle", "title", "legal", "generic", "number"}

// Explain compares the query with one entry; false where the index does not hold it.
func (x *Index) Explain(q *muster.ScreeningQuery, list, id string, o Options) (Explanation, bool) {
	i, ok := x.at[Key{list, id}]
	if !ok {
		return Explanation{}, false
	}
	w := DefaultWeights()
	if o.Weights != nil {
		w = *o.Weights
	}
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	best, spelling := scored{entry: i}, -1
	for k, text := range q.Names {
		if k >= maxSpellings || !x.prepare(s, text) {
			continue
		}
		x.gather(s, 0)
		for _, n := range s.touched {
			if x.names[n].entry != i {
				continue
			}
			if v := x.score(s, n, nil); v > best.score {
				best.name, best.score, spelling = n, v, k
			}
		}
	}
	e := Explanation{Version: Version, Candidate: x.candidate(q, &w, best, x.lookUp(q))}
	if spelling < 0 {
		return e, true
	}
	n := &x.names[best.name]
	listed := x.entries[i].Names[n.index]
	e.Query, e.Name, e.Quality = q.Names[spelling], listed.Full, string(listed.Quality)
	x.prepare(s, q.Names[spelling])
	x.gather(s, 0)
	var t tracing
	x.score(s, best.name, &t)
	x.explain(s, n, &t, &e)
	return e, true
}

func (x *Index) explain(s *scratch, n *name, t *tracing, e *Explanation) {
	ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
	factor := 1 + P.Thin*t.thin
	e.Thin = round(float64(factor))
	weigh := func(w *word) float32 {
		if n.org {
			return w.org
		}
		return w.per
	}
	a := &s.align
	for _, p := range t.pairs {
		var row Pair
		row.How, row.Alike = p.how, round(float64(p.sim))
		var lost, share float32
		for i := p.q; i < p.q+p.qn; i++ {
			row.Query = spaced(row.Query, surface(s.words[i].Word))
			w := weigh(&s.words[i]) / t.queryAll
			share += w
			lost += P.LostQuery * w * (1 - a.query[i])
		}
		for j := p.t; j < p.t+p.tn; j++ {
			row.Name = spaced(row.Name, x.words.text[ts[j].word])
			lost += P.LostName * ts[j].weight / t.nameAll * (1 - a.name[j])
		}
		row.Share, row.Lost = round(float64(share)), round(float64(lost*factor))
		e.Pairs = append(e.Pairs, row)
	}
	for i := range s.words {
		if !a.taken[i] {
			w := weigh(&s.words[i]) / t.queryAll
			e.QueryOnly = append(e.QueryOnly, Alone{surface(s.words[i].Word), classNames[classIn(s.words[i].Word, n.org)], round(float64(w)), round(float64(P.LostQuery * w * factor))})
		}
	}
	for j := range ts {
		if !a.have[j] {
			w := ts[j].weight / t.nameAll
			e.NameOnly = append(e.NameOnly, Alone{x.words.text[ts[j].word], classNames[ts[j].class], round(float64(w)), round(float64(P.LostName * w * ts[j].missed * factor))})
		}
	}
}

func spaced(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}
