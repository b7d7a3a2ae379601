package ledger

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
)

// carry brings open leases into the index of a month that has begun, and into the
// chunks of its quarter.
func (s *Sealer) carry(ctx context.Context) error {
	now := monthOf(s.Clock())
	if s.state.Carried == 0 {
		next := s.state
		next.Carried = int64(now)
		return s.tx(ctx, "carried", next, func(Tx) error { return nil })
	}
	for m := month(s.state.Carried + 1); m <= now; m++ {
		from := (m - 1).quarter()
		for level := range 2 {
			if err := s.accountsIn(ctx, Leases, from, level, func(list []*owned) error {
				return s.rewrite(ctx, "carry", list, func(b *builder, o *owned) error { return b.carry(o, from, m) })
			}); err != nil {
				return err
			}
		}
		next := s.state
		next.Carried = int64(m)
		if err := s.tx(ctx, "carried", next, func(Tx) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) carry(o *owned, from quarter, m month) error {
	list, err := readLeases(b.ctx, b.tx, b.session, o.holder, from)
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(list, func(l muster.LeaseRecord) bool {
		return !l.Until.IsZero() && !l.Until.After(m.start()) || !l.From.Before(m.start())
	})
	if len(open) == 0 {
		return nil
	}
	for i := range open {
		if err := b.postLease(o, &open[i], m, m); err != nil {
			return err
		}
	}
	if m.quarter() == from {
		return nil
	}
	// What the new quarter has already of these leases is the later word.
	there, err := readLeases(b.ctx, b.tx, b.session, o.holder, m.quarter())
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(l muster.LeaseRecord) bool {
		return slices.ContainsFunc(there, func(x muster.LeaseRecord) bool { return compareLeases(&x, &l) == 0 })
	})
	if len(open) == 0 {
		return nil
	}
	return b.leasesOf(o, m.quarter(), open)
}
