package watchlist

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/own"
)

// inEffect is what every process keeps in memory. It is never changed, only replaced.
type inEffect struct {
	lists   map[string]*listInEffect
	states  []*muster.ListState
	refs    []muster.ListRef
	entries []muster.ListEntry
}

type listInEffect struct {
	ref     muster.ListRef
	dated   time.Time // the publisher's date, zero where none is stated
	entries []muster.ListEntry
}

// stated is the ref with the publisher's own date alone.
func (l *listInEffect) stated() muster.ListRef {
	return muster.ListRef{List: l.ref.List, Digest: l.ref.Digest, AsOf: l.dated}
}

// Load brings what is kept in memory up to the store. Where nothing changed it is one
// small read; every process does so every second.
func (s *Service) Load(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	old := s.now.Load()
	next := &inEffect{lists: map[string]*listInEffect{}}
	err := s.DB.View(ctx, func(tx Tx) (err error) {
		if next.states, err = tx.ListStates(ctx); err != nil {
			return err
		}
		for _, st := range next.states {
			if st.Digest == "" {
				continue
			}
			if l := old.lists[st.List]; l != nil && l.ref.Digest == st.Digest {
				next.lists[st.List] = l
				continue
			}
			snap, err := tx.ListSnapshot(ctx, st.List, st.Digest)
			if err != nil {
				return err
			}
			entries, err := s.entries(ctx, tx, st.List, st.Digest)
			if err != nil {
				return err
			}
			next.lists[st.List] = &listInEffect{muster.ListRef{List: st.List, Digest: st.Digest}, snap.AsOf, entries}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, st := range next.states {
		if l := next.lists[st.List]; l != nil {
			ref := l.ref
			ref.AsOf = st.Fresh // a list may stay the same for months, and be checked every day
			next.refs = append(next.refs, ref)
		}
	}
	if Same(next.refs, old.refs) {
		next.entries = old.entries
	} else {
		for _, r := range next.refs {
			next.entries = append(next.entries, next.lists[r.List].entries...)
		}
	}
	if slices.Equal(next.refs, old.refs) {
		next.refs = old.refs
	}
	s.now.Store(next)
	return nil
}

// Current is what is in effect as of the last Load: which snapshots, and all their
// entries. AsOf of a ref is when the list was last known to be what its publisher has:
// it moves with every fetch that finds nothing new. Nobody changes either slice. Where
// nothing changed, both are the same slices as before; Same tells whether the snapshots
// are.
func (s *Service) Current(context.Context) ([]muster.ListRef, []muster.ListEntry, error) {
	now := s.now.Load()
	return now.refs, now.entries, nil
}

// Same reports whether two answers of Current name the same snapshots.
func Same(a, b []muster.ListRef) bool {
	return slices.EqualFunc(a, b, func(x, y muster.ListRef) bool { return x.List == y.List && x.Digest == y.Digest })
}

// Entries are the entries of one snapshot, in effect or not; of "", none.
func (s *Service) Entries(ctx context.Context, list, digest string) (entries []muster.ListEntry, err error) {
	if digest == "" {
		return nil, nil
	}
	err = s.DB.View(ctx, func(tx Tx) error {
		entries, err = s.entries(ctx, tx, list, digest)
		return err
	})
	return entries, err
}

// Entry is one entry of a snapshot; digest "" is the one in effect.
func (s *Service) Entry(ctx context.Context, list, digest, id string) (*muster.ListEntry, error) {
	var entries []muster.ListEntry
	if l := s.now.Load().lists[list]; digest == "" && l != nil {
		entries = l.entries
	} else {
		var err error
		if entries, err = s.Entries(ctx, list, digest); err != nil {
			return nil, err
		}
	}
	for i := range entries {
		if entries[i].ID == id {
			return &entries[i], nil
		}
	}
	return nil, muster.Errorf(muster.CodeNotFound, "that list has no such entry")
}

// Diff compares two snapshots of a list. Each is a digest, or its beginning of at least
// eight digits;
// "" as the second is the one in effect; as the first the one before that, or the one in
// effect where the second is another.
func (s *Service) Diff(ctx context.Context, list, a, b string) (d lists.Difference, from, to string, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		state, err := tx.ListState(ctx, list)
		if err != nil {
			return err
		}
		if to = state.Digest; b != "" {
			if to, err = whole(ctx, tx, list, b); err != nil {
				return err
			}
		}
		switch {
		case a == "" && to == state.Digest:
			from, err = before(ctx, tx, state)
		case a == "":
			from = state.Digest // "" where nothing is in effect: all of it is new
		default:
			from, err = whole(ctx, tx, list, a)
		}
		if err != nil {
			return err
		}
		var old []muster.ListEntry
		if from != "" {
			if old, err = s.entries(ctx, tx, list, from); err != nil {
				return err
			}
		}
		next, err := s.entries(ctx, tx, list, to)
		if err != nil {
			return err
		}
		d = lists.Diff(old, next)
		return nil
	})
	return d, from, to, err
}

// whole finds the digest that begins with a part of one.
func whole(ctx context.Context, tx Tx, list, part string) (string, error) {
	snaps, err := tx.ListSnapshots(ctx, list)
	if err != nil {
		return "", err
	}
	found := ""
	for _, s := range snaps {
		if len(part) >= 8 && strings.HasPrefix(s.Digest, part) {
			if found != "" {
				return "", muster.Errorf(muster.CodeConflict, "more than one snapshot begins with that")
			}
			found = s.Digest
		}
	}
	if found == "" {
		return "", muster.Errorf(muster.CodeNotFound, "this list has no such snapshot")
	}
	return found, nil
}

// Whole finds the digest of a list's snapshot by its beginning.
func (s *Service) Whole(ctx context.Context, list, part string) (digest string, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		digest, err = whole(ctx, tx, list, part)
		return err
	})
	return digest, err
}

// Standing is where one list stands.
type Standing struct {
	List    string    `json:"list"`
	Digest  string    `json:"digest,omitempty" doc:"of the snapshot in effect"`
	AsOf    time.Time `json:"as_of,omitzero" doc:"the publisher's date"`
	Since   time.Time `json:"since,omitzero" doc:"in effect from then on"`
	Fresh   time.Time `json:"fresh,omitzero" doc:"when it was last known to be what the publisher has"`
	Age     int64     `json:"age_seconds" doc:"since then"`
	Bound   int64     `json:"bound_seconds,omitempty" doc:"how old it may be; absent: as old as it likes"`
	Stale   bool      `json:"stale"`
	Entries int       `json:"entries"`
	Rows    int       `json:"rows"`
	Broken  int       `json:"broken"`
	Orphans int       `json:"orphans"`
	Source  string    `json:"source,omitempty"`
	Held    string    `json:"held,omitempty" doc:"digest of a snapshot that waits for a person"`
	HeldAt  time.Time `json:"held_at,omitzero"`
	HeldWhy string    `json:"held_why,omitempty"`
}

// SourceStanding is where one configured source stands.
type SourceStanding struct {
	Source   string    `json:"source"`
	Lists    []string  `json:"lists" nullable:"false"`
	Tried    time.Time `json:"tried,omitzero"`
	Checked  time.Time `json:"checked,omitzero" doc:"when it last went well"`
	Wanted   time.Time `json:"wanted,omitzero" doc:"an operator asked for it, and it was not tried since"`
	Failures int       `json:"failures"`
	Reason   string    `json:"reason,omitempty" doc:"of the last failure"`
}

// bound is how old a list may be; 0: as old as it likes.
func (s *Service) bound(st *muster.ListState) time.Duration {
	for _, src := range s.Rules.Sources {
		if src.Name == st.Source && src.MaxAge > 0 {
			return src.MaxAge
		}
	}
	if strings.HasPrefix(st.List, own.Prefix) && st.Source == "" {
		return 0 // the provider itself is its publisher
	}
	return s.Rules.MaxAge
}

// Status is where all lists and all sources stand.
func (s *Service) Status(ctx context.Context) (all []Standing, sources []SourceStanding, err error) {
	now := s.Clock()
	err = s.DB.View(ctx, func(tx Tx) error {
		states, err := tx.ListStates(ctx)
		if err != nil {
			return err
		}
		for _, st := range states {
			x := Standing{List: st.List, Digest: st.Digest, Since: st.Since, Fresh: st.Fresh, Source: st.Source, Held: st.Held, HeldWhy: st.HeldWhy}
			if st.Held != "" {
				x.HeldAt = st.HeldAt
			}
			if st.Digest != "" {
				snap, err := tx.ListSnapshot(ctx, st.List, st.Digest)
				if err != nil {
					return err
				}
				x.AsOf, x.Entries, x.Rows, x.Broken, x.Orphans = snap.AsOf, snap.Entries, snap.Rows, snap.Broken, snap.Orphans
				bound := s.bound(st)
				x.Age, x.Bound = int64(now.Sub(st.Fresh).Seconds()), int64(bound.Seconds())
				x.Stale = bound > 0 && now.Sub(st.Fresh) > bound
			}
			all = append(all, x)
		}
		rows, err := tx.ListSources(ctx)
		for _, src := range s.Rules.Sources {
			x := SourceStanding{Source: src.Name, Lists: []string{}}
			for _, r := range rows {
				if r.Source == src.Name {
					x.Lists = append(x.Lists, r.Lists...)
					x.Tried, x.Checked, x.Wanted, x.Failures, x.Reason = r.Tried, r.Checked, r.Wanted, r.Failures, r.Reason
				}
			}
			sources = append(sources, x)
		}
		return err
	})
	return all, sources, err
}

// Stale are the lists in effect that are older than their bound, as of the last Load.
func (s *Service) Stale(now time.Time) (stale []string) {
	for _, st := range s.now.Load().states {
		if b := s.bound(st); st.Digest != "" && b > 0 && now.Sub(st.Fresh) > b {
			stale = append(stale, st.List)
		}
	}
	return stale
}

// Fresh is when each list in effect was last known to be what its publisher has.
func (s *Service) Fresh() map[string]time.Time {
	out := map[string]time.Time{}
	for _, st := range s.now.Load().states {
		if st.Digest != "" {
			out[st.List] = st.Fresh
		}
	}
	return out
}

// Snapshots are a list's snapshots, newest first, and what became of it.
func (s *Service) Snapshots(ctx context.Context, list string) (snaps []*muster.ListSnapshot, events []*muster.ListEvent, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		if _, err := tx.ListState(ctx, list); err != nil {
			return err
		}
		if snaps, err = tx.ListSnapshots(ctx, list); err != nil {
			return err
		}
		if events, err = tx.ListEvents(ctx, list, 200); err != nil {
			return err
		}
		for _, e := range events {
			if len(e.Sealed) == 0 {
				continue
			}
			reason, err := s.Seals.OpenConfig("list event/"+e.ID, e.Sealed)
			if err != nil {
				return err
			}
			e.Reason = string(reason)
		}
		return nil
	})
	return snaps, events, err
}
