package ledger

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/muster-cip/muster"
)

// toFront moves the entry of a rank to the front.
func toFront(order []int32, rank int) int32 {
	e := order[rank]
	copy(order[1:rank+1], order[:rank])
	order[0] = e
	return e
}

// codeAddresses codes which address each record has; a new one where it first comes.
func (a *accessCoder) codeAddresses(records []muster.AccessRecord) {
	history := 0
	for i := range a.which {
		var want int32
		var key addrKey
		known := false
		if !a.read {
			key = addrKey{records[i].IP, records[i].Country, records[i].Network}
			want, known = a.byAddr[key]
		}
		other := 1
		if len(a.order) > 0 {
			if !a.read && known && a.order[0] == want {
				other = 0
			}
			other = a.bit(ctxAddrSame+history*gapClasses+int(a.gaps[i]), other)
			history = history<<1&3 | other
		}
		if other == 0 {
			a.which[i] = a.order[0]
			continue
		}
		fresh := 1
		if len(a.order) > 1 {
			if known {
				fresh = 0
			}
			fresh = a.bit(ctxAddrNew+min(bits.Len(uint(len(a.order)))-1, 7), fresh)
		}
		if fresh == 0 {
			rank := 0
			if !a.read {
				rank = slices.Index(a.order, want) - 1
			}
			rank = int(a.number(ctxAddrRank, ctxAddrRank+lengthContexts, uint64(rank)))
			if rank+1 >= len(a.order) || rank < 0 {
				a.bad = true
				return
			}
			a.which[i] = toFront(a.order, rank+1)
			continue
		}
		e := a.codeNewAddress(key)
		if a.bad || a.read && a.spent() {
			a.bad = true
			return
		}
		n := int32(len(a.addrs))
		a.addrs = append(a.addrs, e)
		if !a.read {
			a.byAddr[key] = n
		}
		a.order = append(a.order, 0)
		copy(a.order[1:], a.order)
		a.order[0] = n
		a.which[i] = n
	}
}

// codeNewAddress codes an address by the longest beginning that it shares with one
// of those used last, and the rest. Of IPv6 that is the network part; the host part
// follows.
func (a *accessCoder) codeNewAddress(key addrKey) addrEntry {
	e := addrEntry{addrKey: key}
	six, last := 0, 2
	if !a.read {
		if key.addr.Is6() {
			six = 1
			e.raw = key.addr.As16()
		} else {
			b := key.addr.As4()
			copy(e.raw[:], b[:])
		}
	}
	if len(a.order) > 0 {
		last = 0
		if a.addrs[a.order[0]].addr.Is6() {
			last = 1
		}
	}
	six = a.bit(ctxFamily+last, six)
	size := 4 + 4*six
	shared, rank := 0, 0
	if !a.read {
		for r, n := range a.order[:min(len(a.order), 256)] {
			o := &a.addrs[n]
			if o.addr.Is6() != key.addr.Is6() {
				continue
			}
			l := 0
			for l < size && o.raw[l] == e.raw[l] {
				l++
			}
			if l > shared {
				shared, rank = l, r
			}
		}
		if shared == 1 {
			shared = 0 // a byte saved would cost as much to point at
		}
	}
	shared = a.tree(ctxShared+six*16, 4, shared)
	if shared > size {
		a.bad = true
		return e
	}
	near := -1 // the entry it is near to
	if shared > 0 {
		rank = int(a.number(ctxSharedRank, ctxSharedRank+lengthContexts, uint64(rank)))
		if rank >= len(a.order) || rank < 0 {
			a.bad = true
			return e
		}
		near = int(a.order[rank])
		if a.read {
			copy(e.raw[:shared], a.addrs[near].raw[:shared])
		}
	} else if len(a.order) > 0 {
		near = int(a.order[0])
	}
	for i := shared; i < size; i++ {
		e.raw[i] = byte(a.direct(8, uint64(e.raw[i])))
	}
	if six == 1 {
		small := 0
		if !a.read && [6]byte(e.raw[8:14]) != [6]byte{} {
			small = 1
		}
		small = a.bit(ctxHost, small)
		for i := 14 - 6*small; i < 16; i++ {
			e.raw[i] = byte(a.direct(8, uint64(e.raw[i])))
		}
		e.addr = netip.AddrFrom16(e.raw)
		if e.addr.Is4In6() { // no record has one
			a.bad = a.bad || a.read
		}
	} else {
		e.addr = netip.AddrFrom4([4]byte(e.raw[:4]))
	}
	var o addrKey
	if near >= 0 {
		o = a.addrs[near].addrKey
	}
	differs := 1
	if o.country == e.country && o.network == e.network {
		differs = 0
	}
	ctx := ctxPlaceSame
	if shared > 0 {
		ctx++
	}
	if a.bit(ctx, differs) == 0 {
		e.country, e.network = o.country, o.network
	} else {
		e.country = muster.Country(codeText(&a.coder, ctxText, string(e.country), a.buf[:], &a.bad))
		e.network = muster.Network(a.tree(ctxNetwork, 3, int(e.network)&7))
	}
	e.device = -1
	return e
}
