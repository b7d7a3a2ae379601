package main

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/xrash/smetrics"
	"golang.org/x/text/unicode/norm"

	"github.com/muster-cip/muster"
)

// The first baseline is the core of what Watchman does: every name of every entry is
// compared with the query, by the best pairing of their words by Jaro-Winkler. It
// prunes nothing.
type pairing struct {
	names []pairName
}

type pairName struct {
	entry   int
	id      string
	words   []string
	letters int
}

// plainWords folds case and diacritics and splits: Jaro-Winkler counts bytes.
func plainWords(s string) []string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '.':
			return -1
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return ' '
	}, norm.NFD.String(s))
	return strings.Fields(s)
}

func newPairing(entries []muster.ListEntry) *pairing {
	p := &pairing{}
	for i := range entries {
		for _, n := range entries[i].Names {
			w := plainWords(n.Full)
			if len(w) == 0 {
				continue
			}
			p.names = append(p.names, pairName{i, entries[i].ID, w, lettersOf(w)})
		}
	}
	return p
}

func lettersOf(words []string) int {
	n := 0
	for _, w := range words {
		n += len(w)
	}
	return n
}

// mostPaired bounds a name: with more words, the tail is not compared.
const mostPaired = 16

// score pairs the words of query and name, best pair first, and weighs each by its letters.
// Words of the name without a pair cost a little, those of the query all.
func (p *pairing) score(query []string, letters int, n *pairName) float64 {
	type pair struct {
		q, t int
		v    float64
	}
	var buf [mostPaired * mostPaired]pair
	pairs := buf[:0]
	q, t := query[:min(len(query), mostPaired)], n.words[:min(len(n.words), mostPaired)]
	for i := range q {
		for j := range t {
			pairs = append(pairs, pair{i, j, smetrics.JaroWinkler(q[i], t[j], 0.7, 4)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(b.v, a.v) })
	var usedQ, usedT [mostPaired]bool
	sum, met := 0.0, 0
	for _, x := range pairs {
		if usedQ[x.q] || usedT[x.t] {
			continue
		}
		usedQ[x.q], usedT[x.t] = true, true
		sum += x.v * float64(len(q[x.q]))
		met += len(t[x.t])
	}
	return sum / (float64(letters) + 0.15*float64(n.letters-met))
}

// best is the ten best entries of those names that filter lets, of all where it is nil.
func (p *pairing) best(text string, filter []int) []hit {
	q := plainWords(text)
	letters := lettersOf(q)
	if letters == 0 {
		return nil
	}
	var top []hit
	consider := func(n *pairName) {
		v := p.score(q, letters, n)
		if len(top) == 10 && v <= top[9].score {
			return
		}
		for i := range top {
			if top[i].id == n.id {
				top[i].score = max(top[i].score, v)
				return
			}
		}
		top = append(top, hit{n.id, v})
		slices.SortStableFunc(top, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
		if len(top) > 10 {
			top = top[:10]
		}
	}
	if filter == nil {
		for i := range p.names {
			consider(&p.names[i])
		}
	}
	for _, i := range filter {
		consider(&p.names[i])
	}
	slices.SortStableFunc(top, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	return top
}
