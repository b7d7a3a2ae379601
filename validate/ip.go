package validate

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/muster-cip/muster"
)

// notPublic are the ranges from which nobody comes over the public internet:
// IANA's special-purpose registries (RFC 6890 and what updates it), multicast
// and reserved space. IPv6 outside 2000::/3 is refused as a whole.
var notPublic = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier NAT, RFC 6598
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays, RFC 7526
	netip.MustParsePrefix("192.168.0.0/16"),  //
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarking
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments; Teredo is judged before
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("3fff::/20"),       // documentation, RFC 9637
}

var (
	globalUnicast6 = netip.MustParsePrefix("2000::/3")
	teredo         = netip.MustParsePrefix("2001::/32")
	sixToFour      = netip.MustParsePrefix("2002::/16")
	nat64          = netip.MustParsePrefix("64:ff9b::/96")
)

// publicIP reads an address and unmaps IPv4 in IPv6. An address that wraps an
// IPv4 address (6to4, Teredo, NAT64) is as public as that one.
func publicIP(s string) (netip.Addr, bool) {
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	a = a.Unmap()
	return a, isPublic(a)
}

func isPublic(a netip.Addr) bool {
	if in, ok := wrapped(a); ok {
		return isPublic(in)
	}
	if a.Is6() && !globalUnicast6.Contains(a) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// wrapped is the IPv4 address of whoever is behind a transition address.
func wrapped(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a): // the client's address, all bits turned (RFC 4380, section 4)
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

// Locator answers which country an address is in, from a table compiled in. It
// reads the embedded table in place: no start-up work, no memory of its own.
type Locator struct {
	edition         string
	codes           [256]muster.Country
	starts4, codes4 string
	starts6, codes6 string
}

// NewLocator opens the embedded table (IPFire location database, CC BY-SA 4.0).
func NewLocator() (*Locator, error) {
	ed, err := edition(ipCountryTable)
	if err != nil {
		return nil, err
	}
	l := &Locator{edition: "IPFire location database, " + ed}
	_, rest, ok := strings.Cut(ipCountryTable, "\n\n")
	take := func(n int) (s string) {
		if !ok || n < 0 || n > len(rest) {
			ok = false
			return ""
		}
		s, rest = rest[:n], rest[n:]
		return s
	}
	count := func() int {
		if s := take(4); ok {
			return int(u32(s))
		}
		return 0
	}
	codes := take(2 * min(count(), len(l.codes)))
	for i := range len(codes) / 2 {
		l.codes[i] = muster.Country(strings.TrimSpace(codes[2*i : 2*i+2]))
	}
	n := count()
	l.starts4, l.codes4 = take(4*n), take(n)
	n = count()
	l.starts6, l.codes6 = take(8*n), take(n)
	if !ok || rest != "" || len(l.codes4) == 0 || len(l.codes6) == 0 {
		return nil, fmt.Errorf("the table of address ranges is damaged")
	}
	return l, nil
}

// Edition names the table and its date.
func (l *Locator) Edition() string { return l.edition }

// Country is where a is, "" where the table does not know. A transition address
// is where the IPv4 address in it is.
func (l *Locator) Country(a netip.Addr) muster.Country {
	a = a.Unmap()
	if in, ok := wrapped(a); ok {
		a = in
	}
	switch {
	case a.Is4():
		b := a.As4()
		want := binary.BigEndian.Uint32(b[:])
		low, high := 0, len(l.codes4) // the range before high holds it; ranges begin at 0
		for low+1 < high {
			if mid := int(uint(low+high) / 2); u32(l.starts4[4*mid:]) <= want {
				low = mid
			} else {
				high = mid
			}
		}
		return l.codes[l.codes4[low]]
	case a.Is6():
		b := a.As16()
		want := binary.BigEndian.Uint64(b[:8])
		low, high := 0, len(l.codes6)
		for low+1 < high {
			if mid := int(uint(low+high) / 2); u64(l.starts6[8*mid:]) <= want {
				low = mid
			} else {
				high = mid
			}
		}
		return l.codes[l.codes6[low]]
	}
	return ""
}

func u32(s string) uint32 {
	_ = s[3]
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

func u64(s string) uint64 { return uint64(u32(s))<<32 | uint64(u32(s[4:])) }
