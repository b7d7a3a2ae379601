package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/screen"
)

// snapshots are the watch lists that are kept (watchlist.Service).
type snapshots interface {
	// Current is every list in effect; the entries belong to the caller.
	Current(ctx context.Context) ([]muster.ListRef, []muster.ListEntry, error)
	// Entries are those of one snapshot, in effect or not.
	Entries(ctx context.Context, list, digest string) ([]muster.ListEntry, error)
}

// watching holds the watch lists in effect, compiled, and swaps them as a whole:
// who searches meanwhile goes on with the ones of before.
type watching struct {
	from  snapshots // nil: there are no lists
	clock muster.Clock
	now   atomic.Pointer[onboard.Watch]
	until time.Time // when a row of the provider's own lists runs out next; zero: none does
}

// Watch is part of onboard.Lists.
func (w *watching) Watch() *onboard.Watch { return w.now.Load() }

// load compiles what is in effect, where that has changed. One goroutine calls it.
func (w *watching) load(ctx context.Context) error {
	if w.from == nil {
		return nil
	}
	refs, entries, err := w.from.Current(ctx)
	if err != nil {
		return err
	}
	now := w.clock()
	same := func(a, b muster.ListRef) bool { return a.List == b.List && a.Digest == b.Digest }
	if have := w.now.Load(); have != nil && slices.EqualFunc(have.Refs, refs, same) && (w.until.IsZero() || now.Before(w.until)) {
		if !slices.Equal(have.Refs, refs) { // the same lists, found to be their publishers' anew
			next := *have
			next.Refs = refs
			w.now.Store(&next)
		}
		return nil
	}
	if len(refs) == 0 {
		w.now.Store(nil)
		return nil
	}
	counts, until := counting(entries, now)
	index, err := screen.Build(counts)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "the watch lists cannot be compiled: %w", err)
	}
	w.until = until
	w.now.Store(&onboard.Watch{Index: index, Refs: refs})
	return nil
}

// counting are the entries that a hit may be on: a row that allows is none, nor is
// one that has run out. until is when the next one does.
func counting(entries []muster.ListEntry, now time.Time) (out []muster.ListEntry, until time.Time) {
	out = make([]muster.ListEntry, 0, len(entries))
	for i := range entries {
		if own := entries[i].Own; own != nil {
			if own.Action == "allow" || !own.Expires.IsZero() && !now.Before(own.Expires) {
				continue
			}
			if !own.Expires.IsZero() && (until.IsZero() || own.Expires.Before(until)) {
				until = own.Expires
			}
		}
		out = append(out, entries[i])
	}
	return out, until
}

// Touched is part of onboard.Lists.
func (w *watching) Touched(ctx context.Context, o muster.SweepOrder) (touched, removed []string, err error) {
	read := func(digest string) ([]muster.ListEntry, error) {
		if digest == "" {
			return nil, nil
		}
		return w.from.Entries(ctx, o.List, digest)
	}
	was, err := read(o.From)
	if err != nil {
		return nil, nil, err
	}
	is, err := read(o.To)
	if err != nil {
		return nil, nil, err
	}
	touched, removed = onboard.Touched(was, is)
	return touched, removed, nil
}
