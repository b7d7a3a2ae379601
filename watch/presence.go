package watch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
)

// Presence says to processes that share a store that this one is there, and takes from
// those that are not what they had: so nobody waits for the end of a dead one's leases. A
// process that was stopped, or cut off from the store, counts as dead too. What it writes
// is refused by its fence; what it sends has to be sent by Until.
type Presence struct {
	DB     PresenceDB
	Holder string        // this process
	Lasts  time.Duration // how long others believe it
	Log    *slog.Logger  // gets names of processes and counts

	until atomic.Pointer[time.Time]
}

// Presences are what Presence needs of a transaction.
type Presences interface {
	Present(ctx context.Context, process string, ttl time.Duration) error
	Leave(ctx context.Context, process string) error
	Inherit(ctx context.Context) ([]muster.Inheritance, error) // of whoever is gone
}

// PresenceDB opens such transactions.
type PresenceDB interface {
	InTx(ctx context.Context, fn func(Presences) error) error
}

// Look says that this process is there, and looks who is not. It is called several times
// in Lasts.
func (p *Presence) Look(ctx context.Context) error {
	// Read before the store's clock, and a twelfth kept for clocks that differ: our own
	// idea ends first.
	until := time.Now().Add(p.Lasts - p.Lasts/12)
	var gone []muster.Inheritance
	err := p.DB.InTx(ctx, func(tx Presences) (err error) {
		if err := tx.Present(ctx, p.Holder, p.Lasts); err != nil {
			return err
		}
		gone, err = tx.Inherit(ctx)
		return err
	})
	if err != nil {
		return err
	}
	p.until.Store(&until)
	for _, g := range gone {
		p.Log.Warn("a process is gone; what it had is taken up", "process", g.Process, "jobs", g.Jobs, "leases", g.Leases)
	}
	return nil
}

// Until is the instant up to which nobody takes from this process what it has taken by now.
func (p *Presence) Until() time.Time {
	if until := p.until.Load(); until != nil {
		return *until
	}
	return time.Time{}
}

// Leave says that this process ends. What it could not bring to an end is the others' at once.
func (p *Presence) Leave(ctx context.Context) error {
	return p.DB.InTx(ctx, func(tx Presences) error { return tx.Leave(ctx, p.Holder) })
}
