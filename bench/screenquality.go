package main

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/muster-cip/muster"
)

// searcher is anything that can be measured: the best hits of a query, best first.
type searcher func(text string, kind muster.ListedKind) []hit

type hit struct {
	id    string
	score float64
}

// answered is what a searcher said to one question.
type answered struct {
	question
	right float64 // score of the right entry among the first ten; 0 where it is not there
	first bool    // the right entry is the first
	top   float64 // score of the first
}

func ask(s searcher, qs []question) []answered {
	out := make([]answered, len(qs))
	for i, q := range qs {
		a := answered{question: q}
		for k, h := range s(q.text, q.kind) {
			if k == 0 {
				a.top = h.score
			}
			if k < 10 && h.id == q.want && h.score > a.right {
				a.right, a.first = h.score, k == 0 || h.score == a.top
			}
		}
		out[i] = a
	}
	return out
}

// thresholdAt is the lowest score whose rate on clean names does not exceed rate.
func thresholdAt(clean []answered, rate float64) float64 {
	tops := make([]float64, len(clean))
	for i, a := range clean {
		tops[i] = a.top
	}
	slices.SortFunc(tops, func(a, b float64) int { return cmp.Compare(b, a) })
	allowed := int(rate * float64(len(tops)))
	if allowed >= len(tops) {
		return 0
	}
	// All that score as the first that is not allowed are out too.
	return math.Nextafter(tops[allowed], 2)
}

func recall(as []answered, threshold float64) float64 {
	if len(as) == 0 {
		return 0
	}
	n := 0
	for _, a := range as {
		if a.right >= threshold && a.right > 0 {
			n++
		}
	}
	return float64(n) / float64(len(as))
}

func rate(as []answered, threshold float64) float64 {
	if len(as) == 0 {
		return 0
	}
	n := 0
	for _, a := range as {
		if a.top >= threshold && a.top > 0 {
			n++
		}
	}
	return float64(n) / float64(len(as))
}

// auc is the chance that a right entry scores above the best of a clean name; half where they tie.
func auc(positive, clean []answered) float64 {
	tops := make([]float64, len(clean))
	for i, a := range clean {
		tops[i] = a.top
	}
	sort.Float64s(tops)
	sum := 0.0
	for _, a := range positive {
		below := sort.SearchFloat64s(tops, a.right)
		upTo := sort.SearchFloat64s(tops, math.Nextafter(a.right, 2))
		sum += float64(below) + float64(upTo-below)/2
	}
	return sum / float64(len(positive)) / float64(len(clean))
}

// by groups what was answered.
func by(as []answered, key func(*answered) string) map[string][]answered {
	m := map[string][]answered{}
	for i := range as {
		k := key(&as[i])
		m[k] = append(m[k], as[i])
	}
	return m
}
