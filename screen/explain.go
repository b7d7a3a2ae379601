package screen

import (
	"github.com/muster-cip/muster"
)

// Explanation says word by word how a query and one entry were compared. It holds
// words of the query: make it only for somebody who may see them.
//
// The effects are log-odds: they add up, and 1/(1+exp(-sum/2)) is the score of the name.
// A name whose words are all the same scores 1, whatever they add up to.
type Explanation struct {
	Candidate muster.Candidate `json:"candidate"`
	Version   int              `json:"version"` // of the matcher
	Query     string           `json:"query"`   // the spelling that came closest
	Name      string           `json:"name"`    // the entry's name that it came closest to
	Quality   string           `json:"quality"`
	Base      float64          `json:"base"` // what is counted once: how much matched in all
	Pairs     []Pair           `json:"pairs,omitempty"`
	QueryOnly []Alone          `json:"query_only,omitempty"` // words that met nothing
	NameOnly  []Alone          `json:"name_only,omitempty"`
}

// Pair is words that met.
type Pair struct {
	Query  string  `json:"query"`
	Name   string  `json:"name"`
	How    string  `json:"how"`    // same | alike | joined | initial
	Alike  float64 `json:"alike"`  // 0..1
	Share  float64 `json:"share"`  // of the query's weight that these words are
	Effect float64 `json:"effect"` // log-odds
}

// Alone is a word that met nothing.
type Alone struct {
	Word   string  `json:"word"`
	Class  string  `json:"class,omitempty"` // initial | particle | title | legal | generic | number
	Share  float64 `json:"share"`           // of its side's weight
	Effect float64 `json:"effect"`          // log-odds
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
			if v := x.score(s, n, nil); v > 0 && (spelling < 0 || x.better(n, v, best.name, best.score)) {
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
	ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
	x.score(s, best.name, func(p piece) {
		effect, share := round(p.odds), round(p.share)
		switch p.what {
		case "base":
			e.Base = effect
		case "query":
			m := s.words[p.at].Word
			e.QueryOnly = append(e.QueryOnly, Alone{surface(m), classNames[classIn(m, n.org)], share, effect})
		case "name":
			e.NameOnly = append(e.NameOnly, Alone{x.words.text[ts[p.at].word], classNames[ts[p.at].class], share, effect})
		case "pair":
			a := s.align.pairs[p.at]
			row := Pair{How: a.how, Alike: round(float64(a.sim)), Share: share, Effect: effect}
			for i := a.q; i < a.q+a.qn; i++ {
				row.Query = spaced(row.Query, surface(s.words[i].Word))
			}
			for j := a.t; j < a.t+a.tn; j++ {
				row.Name = spaced(row.Name, x.words.text[ts[j].word])
			}
			e.Pairs = append(e.Pairs, row)
		}
	})
	return e, true
}

func spaced(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}
