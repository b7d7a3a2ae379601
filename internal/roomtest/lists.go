package roomtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/screen"
)

// Lists are watch lists that a test puts into effect.
type Lists struct {
	mu      sync.Mutex
	n       int
	w       *onboard.Watch
	entries []muster.ListEntry
	before  map[string][]muster.ListEntry // by digest
}

// Watch is onboard.Lists.
func (l *Lists) Watch() *onboard.Watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w
}

// Put puts a snapshot of one list into effect, in the place of the one before.
func (l *Lists) Put(list string, entries ...muster.ListEntry) (digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	digest = fmt.Sprintf("%064x", l.n)
	var refs []muster.ListRef
	if l.w != nil {
		refs = slices.DeleteFunc(slices.Clone(l.w.Refs), func(r muster.ListRef) bool { return r.List == list })
	}
	refs = append(refs, muster.ListRef{List: list, Digest: digest, AsOf: Start})
	slices.SortFunc(refs, func(a, b muster.ListRef) int { return cmp.Compare(a.List, b.List) })
	l.entries = slices.DeleteFunc(slices.Clone(l.entries), func(e muster.ListEntry) bool { return e.List == list })
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].List = list
	}
	l.entries = append(l.entries, entries...)
	if l.before == nil {
		l.before = map[string][]muster.ListEntry{}
	}
	l.before[digest] = entries
	index, err := screen.Build(l.entries)
	if err != nil {
		panic(err) // far from its bounds
	}
	l.w = &onboard.Watch{Index: index, Refs: refs}
	return digest
}

// Touched is part of onboard.Lists.
func (l *Lists) Touched(_ context.Context, o muster.SweepOrder) (touched, removed []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	touched, removed = onboard.Touched(l.before[o.From], l.before[o.To])
	return touched, removed, nil
}

// Listed is an entry of one name.
func Listed(id, name string) muster.ListEntry {
	return muster.ListEntry{
		ID: id, Kind: muster.ListedIndividual,
		Names: []muster.ListedName{{Full: name, Role: muster.NamePrimary, Quality: muster.NameStrong}},
	}
}
