package ledger

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// leases puts each lease into every quarter that it overlaps, so that each quarter
// can be asked, and can go, by itself.
func (b *builder) leases(o *owned) error {
	byQuarter := map[quarter][]muster.LeaseRecord{}
	now := quarterOf(b.now)
	for _, l := range o.leases {
		from, until := leaseBounds(&l, b.now)
		first, last := quarterOf(from), quarterOf(until)
		for q := first; q <= last; q++ {
			byQuarter[q] = append(byQuarter[q], l)
		}
		// What was taken to be open in later quarters is not.
		for q := last + 1; q <= now && !l.Until.IsZero(); q++ {
			there, err := readLeases(b.ctx, b.tx, b.session, o.holder, q)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(there, func(x muster.LeaseRecord) bool { return compareLeases(&x, &l) == 0 }) {
				byQuarter[q] = append(byQuarter[q], l)
			}
		}
		if err := b.postLease(o, &l, monthOf(from), monthOf(until)); err != nil {
			return err
		}
	}
	for _, q := range slices.Sorted(maps.Keys(byQuarter)) {
		if err := b.leasesOf(o, q, byQuarter[q]); err != nil {
			return err
		}
	}
	return nil
}

// leaseBounds are the first and the last instant at which a lease can hold as far as
// is known by now, its imprecision included.
func leaseBounds(l *muster.LeaseRecord, now time.Time) (from, until time.Time) {
	until = now
	if !l.Until.IsZero() && l.Until.Before(now) {
		until = l.Until
	}
	if until.Before(l.From) {
		until = l.From
	}
	slack, _ := time.ParseDuration(l.Precision)
	return l.From.Add(-slack), until.Add(slack)
}

// leasesOf writes leases of one quarter, joined with the young ones that are there.
func (b *builder) leasesOf(o *owned, q quarter, list []muster.LeaseRecord) error {
	there, err := b.rows(Leases, q, young, o.holder.Number)
	if err != nil {
		return err
	}
	var all []muster.LeaseRecord
	for _, row := range there {
		old, err := b.openLeases(o, row)
		if err != nil {
			return err
		}
		all = append(all, old...)
		b.p.drops = append(b.p.drops, row.id)
	}
	return b.cutLeases(o, q, young, joinLeases(append(all, list...)))
}

func (b *builder) openLeases(o *owned, row chunkRow) ([]muster.LeaseRecord, error) {
	plain, _, err := openChunk(b.ctx, b.session, o.holder, row)
	if err != nil {
		return nil, err
	}
	return decodeLeases(parseChunkID(row.id).base(), plain)
}

func (b *builder) cutLeases(o *owned, q quarter, level int, list []muster.LeaseRecord) error {
	if len(list) == 0 {
		return nil
	}
	span, err := b.span(o, Leases, q)
	if err != nil {
		return err
	}
	used := map[int64]bool{}
	for len(list) > 0 {
		n := min(maxChunk/4, len(list))
		id, err := freeID(Leases, q, level, o.holder.Number, list[0].From, used)
		if err != nil {
			return err
		}
		b.put(o, span, id, q.end(), n, encodeLeases(nil, parseChunkID(id).base(), list[:n]))
		list = list[n:]
	}
	return nil
}

// postLease makes the postings of a lease in the months from first to last.
func (b *builder) postLease(o *owned, l *muster.LeaseRecord, first, last month) error {
	if !l.Prefix.IsValid() {
		return nil
	}
	if l.Prefix.Addr().Is4() {
		b.p.next.Lengths4 |= 1 << l.Prefix.Bits()
	} else {
		b.p.next.Lengths6 |= 1 << (min(l.Prefix.Bits(), 64) - 1)
	}
	for m := first; m <= last; m++ {
		if err := b.post(o, indexed{Leases, m}, l.Prefix, leaseDays(l, m)); err != nil {
			return err
		}
	}
	return nil
}

// leaseDays are the days of a month on which a lease can hold, its imprecision included.
func leaseDays(l *muster.LeaseRecord, m month) uint32 {
	from, until := leaseBounds(l, m.end().Add(-1))
	return daysBetween(m, from, until)
}

// daysBetween are the days of a month that an interval touches, ends included.
func daysBetween(m month, from, until time.Time) uint32 {
	if from.Before(m.start()) {
		from = m.start()
	}
	if !until.Before(m.end()) {
		until = m.end().Add(-1)
	}
	if until.Before(from) {
		until = from
	}
	low, high := from.UTC().Day()-1, until.UTC().Day()-1
	return uint32(math.MaxUint32) >> (31 - (high - low)) << low
}

// readLeases are an account's leases of a quarter, the last word on each.
func readLeases(ctx context.Context, tx Tx, session *vault.Session, h Holder, q quarter) ([]muster.LeaseRecord, error) {
	type word struct {
		generation uint64
		list       []muster.LeaseRecord
	}
	var words []word
	for level := range 2 {
		from, through := chunkRange(Leases, q, level, h.Number)
		if err := chunks(ctx, tx, from, through, func(id int64, blob []byte) error {
			plain, head, err := openChunk(ctx, session, h, chunkRow{id, blob})
			if err != nil {
				return err
			}
			list, err := decodeLeases(parseChunkID(id).base(), plain)
			words = append(words, word{head.generation, list})
			return err
		}); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(words, func(a, b word) int { return cmp.Compare(a.generation, b.generation) })
	var all []muster.LeaseRecord
	for _, w := range words {
		all = append(all, w.list...)
	}
	return joinLeases(all), nil
}

// lengths are the prefixes under which a lease of an address can be indexed.
func (s State) lengths(a netip.Addr) (list []netip.Prefix) {
	a = a.Unmap()
	set := s.Lengths6 << 1
	most := 64
	if a.Is4() {
		set, most = uint64(s.Lengths4), 32
	} else if s.Lengths6>>63 == 1 {
		p, _ := a.Prefix(64)
		list = append(list, p)
	}
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		if n == 0 || n > most {
			continue
		}
		p, _ := a.Prefix(n)
		list = append(list, p)
	}
	return list
}
