package ledger

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Used asks where an account was used in [From, Until): from anywhere, or from a
// network, or from a country.
type Used struct {
	Account     string
	From, Until time.Time
	Network     netip.Prefix   // the zero prefix: any
	Country     muster.Country // "": any
	After       string
	Limit       int
}

func (u *Used) window() window {
	w := window{from: u.From, until: u.Until}
	if u.Network.IsValid() {
		w.addr = u.Network.Masked().Contains
	}
	return w
}

// Used answers with the account's access records.
func (q *Questions) Used(ctx context.Context, ask Ask, u Used) (page AccessPage, err error) {
	found, err := q.used(ctx, ask, "used", u, true)
	if err != nil {
		return page, err
	}
	return cutPage(found, u.After, u.Limit)
}

// Place is one network that an account was used from.
type Place struct {
	Network netip.Prefix // an IPv4 address, or a /64 of IPv6
	Country muster.Country
	Hints   muster.Network
	Records int
	First   time.Time
	Last    time.Time
}

// Places answers with the networks and countries that an account was used from, those
// with most records first.
func (q *Questions) Places(ctx context.Context, ask Ask, u Used) ([]Place, error) {
	found, err := q.used(ctx, ask, "places", u, false)
	if err != nil {
		return nil, err
	}
	type key struct {
		p netip.Prefix
		c muster.Country
		n muster.Network
	}
	by := map[key]*Place{}
	for i := range found {
		r := &found[i]
		k := key{hostPrefix(r.IP), r.Country, r.Network}
		p := by[k]
		if p == nil {
			p = &Place{Network: k.p, Country: k.c, Hints: k.n, First: r.At, Last: r.At}
			by[k] = p
		}
		p.Records++
		if r.At.Before(p.First) {
			p.First = r.At
		}
		if r.At.After(p.Last) {
			p.Last = r.At
		}
	}
	list := make([]Place, 0, len(by))
	for _, p := range by {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), a.First.Compare(b.First), a.Network.Addr().Compare(b.Network.Addr()), cmp.Compare(a.Country, b.Country))
	})
	return list[:min(len(list), MaxPage)], nil
}

// used reads an account's records; with paged, no more than a page past the cursor needs.
func (q *Questions) used(ctx context.Context, ask Ask, name string, u Used, paged bool) (found []muster.AccessRecord, err error) {
	if err := checkInterval(u.From, u.Until, MaxUsed); err != nil {
		return nil, err
	}
	w := u.window()
	if paged && u.After != "" {
		ms, _, err := parseCursor(u.After)
		if err != nil {
			return nil, err
		}
		if t := time.UnixMilli(ms); t.After(w.from) {
			w.from = t
		}
	}
	limit := maxFound
	if paged {
		limit = MaxPage + 1
	}
	s, err := q.session(ctx, ask, name, u.Account+" "+scopeOf(u.From, u.Until))
	if err != nil {
		return nil, err
	}
	err = q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		found = nil
		holders, err := tx.HoldersOf(ctx, []string{u.Account})
		if err != nil {
			return err
		}
		if found, err = q.tail(ctx, tx, s, Want{Account: u.Account}, w, u.Account, found); err != nil {
			return err
		}
		if len(holders) > 0 {
			if found, err = q.walk(ctx, tx, s, holders[0], w, u.Country, limit, found); err != nil {
				return err
			}
		}
		if u.Country != "" {
			found = slices.DeleteFunc(found, func(r muster.AccessRecord) bool { return r.Country != u.Country })
		}
		return nil
	})
	return found, err
}

// walk appends an account's records from w.from on, in steps of a week, until it has
// at least limit of them or is through: so a page of a busy account does not open a year.
func (q *Questions) walk(ctx context.Context, tx Tx, s *vault.Session, h Holder, w window, country muster.Country, limit int, dst []muster.AccessRecord) ([]muster.AccessRecord, error) {
	have := 0
	step := 24 * time.Hour
	for from := w.from; from.Before(w.until) && have <= limit; {
		part := w
		part.from, part.until = from, from.Add(step)
		if end := quarterOf(from).end(); end.Before(part.until) {
			part.until = end
		}
		if w.until.Before(part.until) {
			part.until = w.until
		}
		n := len(dst)
		var err error
		if dst, err = q.records(ctx, tx, s, h, quarterOf(from), part, dst); err != nil {
			return dst, err
		}
		if country != "" {
			kept := slices.DeleteFunc(dst[n:], func(r muster.AccessRecord) bool { return r.Country != country })
			dst = dst[:n+len(kept)]
		}
		if have += len(dst) - n; len(dst) == n {
			step *= 4
		}
		from = part.until
	}
	return dst, nil
}
