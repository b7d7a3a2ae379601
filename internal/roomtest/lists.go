package roomtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// Lists are watch lists that a test puts into effect. The matcher is a plain one:
// the share of words that two names have in common, less where births disagree. What a
// real one finds is tested in package screen.
type Lists struct {
	mu sync.Mutex
	w  *listed
}

// Watch is onboard.Lists.
func (l *Lists) Watch() onboard.Watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return nil
	}
	return l.w
}

// Put puts a snapshot of one list into effect, in the place of the one before.
func (l *Lists) Put(list string, entries ...muster.ListEntry) (digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &listed{}
	n := 1
	if l.w != nil {
		n = l.w.n + 1
		for _, r := range l.w.refs {
			if r.List != list {
				next.refs = append(next.refs, r)
			}
		}
		for _, e := range l.w.entries {
			if e.List != list {
				next.entries = append(next.entries, e)
			}
		}
	}
	next.n, digest = n, fmt.Sprintf("%064x", n)
	next.refs = append(next.refs, muster.ListRef{List: list, Digest: digest, AsOf: Start})
	slices.SortFunc(next.refs, func(a, b muster.ListRef) int { return cmp.Compare(a.List, b.List) })
	for _, e := range entries {
		e.List = list
		next.entries = append(next.entries, e)
	}
	l.w = next
	return digest
}

// Listed is an entry of one name.
func Listed(id, name string) muster.ListEntry {
	return muster.ListEntry{
		ID: id, Kind: muster.ListedIndividual,
		Names: []muster.ListedName{{Full: name, Role: muster.NamePrimary, Quality: muster.NameStrong}},
	}
}

// listed is one state of the lists.
type listed struct {
	n       int
	refs    []muster.ListRef
	entries []muster.ListEntry
}

func (w *listed) Refs() []muster.ListRef { return w.refs }
func (w *listed) Matcher() int           { return 1 }

func (w *listed) Entry(list, id string) *muster.ListEntry {
	for i := range w.entries {
		if e := &w.entries[i]; e.List == list && e.ID == id {
			return e
		}
	}
	return nil
}

func (w *listed) Search(q *muster.ScreeningQuery, c onboard.Compare) (found []muster.Candidate) {
	for i := range w.entries {
		e := &w.entries[i]
		x := muster.Candidate{List: e.List, Entry: e.ID, Kind: e.Kind}
		for at, listed := range e.Names {
			for _, name := range q.Names {
				if s := common(name, listed.Full); s > x.Name {
					x.Name, x.Matched = s, at
				}
			}
		}
		x.Score = x.Name
		for _, id := range e.Identifiers {
			if slices.ContainsFunc(q.Identifiers, func(own muster.ListedIdentifier) bool { return own.Kind == id.Kind && own.Value == id.Value }) {
				x.Exact, x.Score = id.Kind, 1
			}
		}
		if len(e.Births) > 0 && len(q.Births) > 0 && e.Births[0].Year != q.Births[0].Year {
			x.Grounds = append(x.Grounds, muster.Ground{Field: "birth", Effect: -0.3})
			x.Score = max(0, x.Score-0.3)
		}
		if x.Score >= c.Floor && x.Score > 0 {
			found = append(found, x)
		}
	}
	slices.SortStableFunc(found, func(a, b muster.Candidate) int { return cmp.Compare(b.Score, a.Score) })
	return found[:min(len(found), c.Limit)]
}

// Explain is the words that both names have.
func (w *listed) Explain(q *muster.ScreeningQuery, list, id string, _ onboard.Compare) (any, bool) {
	e := w.Entry(list, id)
	if e == nil || len(q.Names) == 0 {
		return nil, false
	}
	return map[string]any{"name": e.Names[0].Full, "query": q.Names[0], "common": common(e.Names[0].Full, q.Names[0])}, true
}

func common(a, b string) float64 {
	x, y := strings.Fields(strings.ToLower(a)), strings.Fields(strings.ToLower(b))
	n := 0
	for _, w := range x {
		if slices.Contains(y, w) {
			n++
		}
	}
	return float64(n) / float64(max(len(x), len(y), 1))
}
