package ledger

import (
	"bufio"
	"cmp"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// Networks says of an address which of the provider's lists hold it. It does not
// change: a list that is read again makes another. Safe for concurrent use.
type Networks struct {
	lists []networkList
}

type networkList struct {
	bit    muster.Network
	ranges []addrRange // sorted, apart from one another
}

type addrRange struct{ first, last netip.Addr }

const (
	maxNetworkLines = 2_000_000
	maxNetworkLine  = 256
)

// Add reads a list: an address or a prefix a line, IPv4 or IPv6; what follows white
// space, a comma, a semicolon or # is left out, and so are lines that are blank or begin
// with one of these. Errors name the line.
func (n *Networks) Add(bit muster.Network, list io.Reader) error {
	var ranges []addrRange
	lines := bufio.NewScanner(list)
	lines.Buffer(make([]byte, 0, 4096), maxNetworkLine)
	number := 0
	for lines.Scan() {
		if number++; number > maxNetworkLines {
			return muster.Errorf(muster.CodeTooLarge, "a list of networks has at most %d lines", maxNetworkLines)
		}
		text := strings.TrimSpace(lines.Text())
		if end := strings.IndexAny(text, " \t,;#"); end >= 0 {
			text = text[:end]
		}
		if text == "" {
			continue
		}
		p, wrong := prefix(text)
		if wrong != nil || p.Bits() == 0 {
			return muster.Errorf(muster.CodeInvalid, "line %d of a list of networks is neither an address nor a prefix", number)
		}
		p = p.Masked()
		ranges = append(ranges, addrRange{p.Addr(), lastOf(p)})
	}
	if err := lines.Err(); err != nil {
		return muster.Errorf(muster.CodeInvalid, "line %d of a list of networks cannot be read", number+1)
	}
	slices.SortFunc(ranges, func(a, b addrRange) int { return a.first.Compare(b.first) })
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && joined[n-1].first.BitLen() == r.first.BitLen() && r.first.Compare(joined[n-1].last) <= 0 {
			if joined[n-1].last.Less(r.last) {
				joined[n-1].last = r.last
			}
			continue
		}
		joined = append(joined, r)
	}
	n.lists = append(n.lists, networkList{bit, slices.Clip(joined)})
	return nil
}

// Of is what the lists say of an address.
func (n *Networks) Of(a netip.Addr) (found muster.Network) {
	for i := range n.lists {
		l := &n.lists[i]
		at, exact := slices.BinarySearchFunc(l.ranges, a, func(r addrRange, a netip.Addr) int { return cmp.Compare(r.first.Compare(a), 0) })
		if exact || at > 0 && l.ranges[at-1].last.BitLen() == a.BitLen() && a.Compare(l.ranges[at-1].last) <= 0 {
			found |= l.bit
		}
	}
	return found
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
