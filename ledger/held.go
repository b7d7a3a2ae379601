package ledger

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Held asks who held one of the provider's own addresses at an instant, give or take
// Within. Port 0: any.
type Held struct {
	IP     netip.Addr
	Port   uint16
	At     time.Time
	Within time.Duration
}

// Holding is one answer: an account's lease.
type Holding struct {
	Lease muster.LeaseRecord
	Exact bool // not only give or take
}

// HeldAnswer is what is known. Where nobody held the address, Before and After say how
// near what is known comes: a gap is stated, not guessed.
type HeldAnswer struct {
	Holdings []Holding
	Before   time.Time // the latest known end of a lease before At; zero: none is known
	After    time.Time // the earliest known beginning after At; zero: none is known
}

// Held answers from leases.
func (q *Questions) Held(ctx context.Context, ask Ask, h Held) (answer HeldAnswer, err error) {
	if h.Within < 0 || h.Within > MaxWithin {
		return answer, muster.Invalid(muster.Fault{Pointer: "/within", Code: "too_long", Detail: "at most a day"})
	}
	from, until := h.At.Add(-h.Within), h.At.Add(h.Within+time.Millisecond)
	if err := checkInterval(from, until, 3*MaxWithin); err != nil {
		return answer, err
	}
	ip := h.IP.Unmap()
	if !ip.IsValid() {
		return answer, muster.Invalid(muster.Fault{Pointer: "/ip", Code: "address", Detail: "is needed"})
	}
	s, err := q.session(ctx, ask, "held", scopeOf(from, until))
	if err != nil {
		return answer, err
	}
	var by map[string][]muster.LeaseRecord
	if err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		by = map[string][]muster.LeaseRecord{}
		if err := q.sealedLeases(ctx, tx, s, ip, from, until, by); err != nil {
			return err
		}
		return q.unsealedLeases(ctx, tx, s, ip, by)
	}); err != nil {
		return answer, err
	}
	return h.answer(ip, by), nil
}

// answer finds among leases by account those that held the address.
func (h *Held) answer(ip netip.Addr, by map[string][]muster.LeaseRecord) (answer HeldAnswer) {
	for _, account := range slices.Sorted(maps.Keys(by)) {
		for _, l := range joinLeases(by[account]) {
			if !l.Prefix.IsValid() || !l.Prefix.Contains(ip) || h.Port != 0 && l.PortTo != 0 && (h.Port < l.PortFrom || h.Port > l.PortTo) {
				continue
			}
			l.Account = account
			holds, exact := l.Holds(ip, h.Port, h.At, h.Within)
			switch {
			case holds:
				answer.Holdings = append(answer.Holdings, Holding{l, exact})
			case !l.Until.IsZero() && !l.Until.After(h.At) && l.Until.After(answer.Before):
				answer.Before = l.Until
			case l.From.After(h.At) && (answer.After.IsZero() || l.From.Before(answer.After)):
				answer.After = l.From
			}
		}
	}
	slices.SortStableFunc(answer.Holdings, func(a, b Holding) int {
		if a.Exact != b.Exact {
			if a.Exact {
				return -1
			}
			return 1
		}
		return b.Lease.From.Compare(a.Lease.From)
	})
	if len(answer.Holdings) > 0 {
		answer.Before, answer.After = time.Time{}, time.Time{}
	}
	return answer
}

// sealedLeases adds, by account, what can have held an address in an interval.
func (q *Questions) sealedLeases(ctx context.Context, tx Tx, s *vault.Session, ip netip.Addr, from, until time.Time, by map[string][]muster.LeaseRecord) error {
	st, err := tx.State(ctx)
	if err != nil {
		return err
	}
	months := []month{monthOf(from)}
	if m := monthOf(until); m != months[0] {
		months = append(months, m)
	}
	if c := month(st.Carried); c < months[0] && st.Carried > 0 {
		months = append(months, c) // open leases are not in the index of a later month yet
	}
	set := map[spot]bool{}
	for _, m := range months {
		if err := find(ctx, tx, s, Leases, m, st.lengths(ip), func(_ int, p posting) { set[spot{m.quarter(), int64(p.number)}] = true }); err != nil {
			return err
		}
	}
	spots := sortSpots(set)
	holders, err := q.numbered(ctx, tx, s, spots)
	if err != nil {
		return err
	}
	for _, x := range spots {
		h, ok := holders[x.number]
		if !ok {
			continue
		}
		list, err := readLeases(ctx, tx, s, h, x.quarter)
		if muster.ErrorCode(err) == muster.CodeGone {
			continue
		}
		if err != nil {
			return err
		}
		by[h.Account] = append(by[h.Account], list...)
	}
	return nil
}

// unsealedLeases adds what the tail says of an address: the later word.
func (q *Questions) unsealedLeases(ctx context.Context, tx Tx, s *vault.Session, ip netip.Addr, by map[string][]muster.LeaseRecord) error {
	unsealed := map[string][]muster.LeaseRecord{}
	if err := q.Tail.Tail(ctx, s, tx, Want{IP: ip}, func(b *Batch) error {
		for _, l := range b.Leases {
			if l.Prefix.IsValid() && l.Prefix.Contains(ip) {
				unsealed[l.Account] = append(unsealed[l.Account], l)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
	if err != nil {
		return err
	}
	for account, list := range unsealed {
		if here[account] {
			by[account] = append(by[account], list...)
		}
	}
	return nil
}
