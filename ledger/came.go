package ledger

import (
	"context"
	"net/netip"
	"time"

	"github.com/muster-cip/muster"
)

// CameFrom asks who came from an address in [From, Until). Of IPv6, Prefix can be a
// network of 64 bits or more; of IPv4 it is one address.
type CameFrom struct {
	Prefix      netip.Prefix
	From, Until time.Time
	After       string
	Limit       int
}

// CameFrom answers with access records of any account.
func (q *Questions) CameFrom(ctx context.Context, ask Ask, c CameFrom) (page AccessPage, err error) {
	if err := checkInterval(c.From, c.Until, MaxCameFrom); err != nil {
		return page, err
	}
	p := c.Prefix.Masked()
	if !p.IsValid() || p.Addr().Is4() && p.Bits() != 32 || p.Addr().Is6() && p.Bits() < 64 {
		return page, muster.Invalid(muster.Fault{Pointer: "/ip", Code: "address", Detail: "an IPv4 address, or an IPv6 address or network of at least 64 bits"})
	}
	s, err := q.session(ctx, ask, "came_from", scopeOf(c.From, c.Until))
	if err != nil {
		return page, err
	}
	w := window{from: c.From, until: c.Until, addr: p.Contains}
	var found []muster.AccessRecord
	if err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		found = nil
		spots, err := q.spots(ctx, tx, s, Access, []netip.Prefix{hostPrefix(p.Addr())}, c.From, c.Until)
		if err != nil {
			return err
		}
		holders, err := q.numbered(ctx, tx, s, spots)
		if err != nil {
			return err
		}
		for _, spot := range spots {
			h, ok := holders[spot.number]
			if !ok {
				continue
			}
			if found, err = q.records(ctx, tx, s, h, spot.quarter, w, found); err != nil {
				return err
			}
		}
		found, err = q.tail(ctx, tx, s, Want{IP: p.Addr()}, w, "", found)
		return err
	}); err != nil {
		return page, err
	}
	return cutPage(found, c.After, c.Limit)
}
