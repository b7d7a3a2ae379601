// Package programme is the written programme in effect: which pack editions
// decide at an instant, who activated them, and what a draft would have decided.
//
// Rules of this room:
//   - The edition that is active at the time of a decision decides.
//   - Activation takes two operators and an effective time; it has a leaf.
//   - Replay reads, decides again and writes nothing.
package programme

import (
	"context"
	"sort"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
)

// ActivationLead is how far ahead of its approval an activation takes effect at
// the earliest, so that every process has loaded it by then: the edition that is
// active at the time of a decision decides, whichever process decides.
const ActivationLead = 2 * time.Second

// Activations is where activations and packs are kept.
type Activations interface {
	Activations(ctx context.Context) ([]muster.ActivationRecord, error)
	Pack(ctx context.Context, digest string) (*muster.PackRecord, error)
}

// Programme is the set of packs in effect, at any instant. Load reads it from
// the store; every process loads at least once a second.
type Programme struct {
	from Activations
	now  atomic.Pointer[programme]
}

type programme struct {
	editions []edition // by effective time
	packs    map[string]*policy.Pack
}

type edition struct {
	muster.ActivationRecord
	pack *policy.Pack
}

// New makes an empty one; call Load.
func New(from Activations) *Programme {
	p := &Programme{from: from}
	p.now.Store(&programme{packs: map[string]*policy.Pack{}})
	return p
}

// Load reads approved activations and compiles packs that are new to it.
// A pack that does not compile leaves everything as it was.
func (p *Programme) Load(ctx context.Context) error {
	rows, err := p.from.Activations(ctx)
	if err != nil {
		return err
	}
	old, next := p.now.Load(), &programme{packs: map[string]*policy.Pack{}}
	for _, a := range rows {
		if a.Approved.IsZero() {
			continue
		}
		pack := next.packs[a.Digest]
		if pack == nil {
			pack = old.packs[a.Digest]
		}
		if pack == nil {
			row, err := p.from.Pack(ctx, a.Digest)
			if err != nil {
				return err
			}
			if pack, err = policy.Compile(row.Source); err != nil {
				return err
			}
		}
		next.packs[a.Digest] = pack
		next.editions = append(next.editions, edition{a, pack})
	}
	sort.SliceStable(next.editions, func(i, j int) bool {
		return next.editions[i].Effective.Before(next.editions[j].Effective)
	})
	p.now.Store(next)
	return nil
}

// At returns the packs in effect at t: those that enforce, and those that observe.
func (p *Programme) At(t time.Time) (enforce, observe []*policy.Pack) {
	latest := map[string]edition{}
	for _, e := range p.now.Load().editions {
		if !e.Effective.After(t) {
			latest[e.Pack] = e
		}
	}
	for _, id := range sortedKeys(latest) {
		switch e := latest[id]; {
		case e.Retire:
		case e.Observe:
			observe = append(observe, e.pack)
		default:
			enforce = append(enforce, e.pack)
		}
	}
	return enforce, observe
}

// Ever returns every edition that was activated, whether it still decides or not.
func (p *Programme) Ever() []*policy.Pack {
	known := p.now.Load().packs
	packs := make([]*policy.Pack, 0, len(known))
	for _, digest := range sortedKeys(known) {
		packs = append(packs, known[digest])
	}
	return packs
}

// Pack finds a pack by digest, in effect or not.
func (p *Programme) Pack(ctx context.Context, digest string) (*policy.Pack, error) {
	if pack := p.now.Load().packs[digest]; pack != nil {
		return pack, nil
	}
	row, err := p.from.Pack(ctx, digest)
	if err != nil {
		return nil, err
	}
	return policy.Compile(row.Source)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
