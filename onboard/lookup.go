package onboard

import (
	"context"
	"sync"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/vault"
)

// lookupSession is how long one entry of the log covers the screenings of names that are
// not on file by one operator: a sync for each would cost a thousand times what a
// comparison does.
const lookupSession = time.Minute

// Lookups compares names that are not on file with the watch lists. What is asked
// is kept nowhere. That an operator asks is in the log before the first answer, and
// how often once their session ends.
type Lookups struct {
	s  *Service
	mu sync.Mutex
	by map[string]*lookups
}

// lookups is one operator's session.
type lookups struct {
	mu      sync.Mutex
	session *vault.Session
	opened  time.Time
	count   int
}

// NewLookups makes Lookups.
func NewLookups(s *Service) *Lookups { return &Lookups{s: s, by: map[string]*lookups{}} }

// NamesFound is what a batch of names met.
type NamesFound struct {
	Lists     []muster.ListRef
	Matcher   int
	Threshold float64 // of the packs in effect; 0: none asks for a screening
	Found     [][]muster.Candidate
}

// Screen compares a batch. floor 0: the packs' floor.
func (l *Lookups) Screen(ctx context.Context, by muster.Principal, qs []muster.ScreeningQuery, floor float64, limit int) (*NamesFound, error) {
	enforce, observe := l.s.Programme.At(l.s.Clock())
	wanted, asked := policy.ScreeningWanted(append(append([]*policy.Pack{}, enforce...), observe...))
	if !asked {
		wanted = policy.Wanted{Floor: screen.DefaultThreshold, Threshold: screen.DefaultThreshold}
	}
	var w *Watch
	if l.s.Lists != nil {
		w = l.s.Lists.Watch()
	}
	if w == nil {
		return nil, &muster.Error{
			Code: muster.CodeUnavailable, Message: "no watch list is loaded, so nothing can be compared",
			Hint: "muster lists import DIR, or muster lists update", RetryAfter: time.Minute,
		}
	}
	if err := l.record(ctx, by.Operator, len(qs)); err != nil {
		return nil, err
	}
	o := options(wanted)
	if floor > 0 {
		o.Floor = floor
	}
	if limit > 0 {
		o.Limit = limit
	}
	out := &NamesFound{Lists: w.Refs, Matcher: screen.Version, Threshold: wanted.Threshold, Found: make([][]muster.Candidate, len(qs))}
	for i := range qs {
		if err := ctx.Err(); err != nil {
			return nil, muster.Errorf(muster.CodeUnavailable, "the request ended before it was done: %w", err)
		}
		out.Found[i] = w.Index.Search(&qs[i], o)
	}
	return out, nil
}

// record counts n screenings in the operator's session, which begins, durably, with
// the first.
func (l *Lookups) record(ctx context.Context, operator string, n int) error {
	for {
		l.mu.Lock()
		x := l.by[operator]
		if x == nil {
			x = &lookups{}
			l.by[operator] = x
		}
		l.mu.Unlock()
		done, err := func() (bool, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if x.session == nil {
				if !x.opened.IsZero() {
					return false, nil // it has ended meanwhile: take a new one
				}
				session, err := l.s.Vault.Use(ctx, vault.Job{
					Name: "screening.lookup", Purpose: "screening", Scope: "names that are not on file", Starter: operator,
				}, l.s.Journal)
				if err != nil {
					return false, err
				}
				x.session, x.opened = session, l.s.Clock()
			}
			x.count += n
			return true, nil
		}()
		if done || err != nil {
			return err
		}
	}
}

// Sweep ends sessions that have lasted; all: every one. Who runs the service calls it
// from time to time, and with all at the end.
func (l *Lookups) Sweep(ctx context.Context, all bool) error {
	now := l.s.Clock()
	l.mu.Lock()
	var over []*lookups
	for operator, x := range l.by {
		x.mu.Lock()
		if x.session != nil && (all || now.Sub(x.opened) >= lookupSession || now.Before(x.opened)) {
			over = append(over, x)
			delete(l.by, operator)
		}
		x.mu.Unlock()
	}
	l.mu.Unlock()
	var failed error
	for _, x := range over {
		x.mu.Lock()
		if err := x.session.End(ctx, x.count); err != nil {
			failed = err
		}
		x.session = nil
		x.mu.Unlock()
	}
	return failed
}
