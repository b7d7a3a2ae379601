package validate

import (
	"net/netip"
	"testing"

	"github.com/muster-cip/muster"
	"pgregory.net/rapid"
)

func TestPublicIP(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"5.9.120.33": "5.9.120.33", "::ffff:51.158.1.20": "51.158.1.20", "2001:41d0:8:5c9a::1": "2001:41d0:8:5c9a::1",
		"2002:0509:7821::1": "2002:509:7821::1", "2001:0:4136:e378:8000:63bf:f6f6:87de": "2001:0:4136:e378:8000:63bf:f6f6:87de",
		"64:ff9b::5.9.120.33": "64:ff9b::509:7821", "2001:200::1": "2001:200::1", "172.32.0.1": "172.32.0.1", "100.128.0.1": "100.128.0.1",
	} {
		if a, ok := publicIP(s); !ok || a.String() != want {
			t.Errorf("%s: %s %v, want %s", s, a, ok, want)
		}
	}
	for _, s := range []string{
		"", "5.9.120", "5.9.120.256", "05.9.120.33", "example.org", "5.9.120.33:443", "5.9.120.33/32", "0.0.0.0", "10.0.0.12", "100.64.0.1", "127.0.0.1",
		"169.254.1.1", "172.16.0.1", "192.0.2.1", "192.0.0.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::5.9.120.33", "::ffff:10.0.0.1", "::ffff:203.0.113.9", "fe80::1", "fe80::1%eth0", "2001:41d0::1%1", "fc00::1", "ff02::1", "2001:db8::1",
		"3fff::1", "2002:0a00:0001::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "64:ff9b::10.0.0.1", "2001:10::1", "100::1", "4000::1",
	} {
		if _, ok := publicIP(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestLocator(t *testing.T) {
	t.Parallel()
	l, err := NewLocator()
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]muster.Country{
		"5.9.120.33": "DE", "95.165.33.10": "RU", "102.89.23.10": "NG", "72.50.0.12": "PR", "23.20.14.9": "US", "114.114.114.114": "CN",
		"::ffff:5.9.120.33": "DE", "2001:41d0:8:5c9a::1": "FR", "2002:0509:7821::1": "DE", "0.0.0.0": "", "255.255.255.255": "", "::1": "",
	} {
		if got := l.Country(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
	if got := l.Country(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
	// The table is in order, begins at 0, joins neighbours and holds known codes only.
	iso := newCountrySet(countriesTable)
	for i := range len(l.codes4) {
		if i == 0 && u32(l.starts4) != 0 || i > 0 && (u32(l.starts4[4*i:]) <= u32(l.starts4[4*i-4:]) || l.codes4[i] == l.codes4[i-1]) {
			t.Fatalf("IPv4 range %d is out of order", i)
		}
	}
	for i := range len(l.codes6) {
		if i == 0 && u64(l.starts6) != 0 || i > 0 && (u64(l.starts6[8*i:]) <= u64(l.starts6[8*i-8:]) || l.codes6[i] == l.codes6[i-1]) {
			t.Fatalf("IPv6 range %d is out of order", i)
		}
	}
	for _, c := range l.codes {
		if c != "" && !iso[c] {
			t.Errorf("%q is no country", c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(1, len(l.codes4)-1).Draw(t, "range")
		s := u32(l.starts4[4*i:])
		first := netip.AddrFrom4([4]byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)})
		if got := l.Country(first); got != l.codes[l.codes4[i]] {
			t.Fatalf("%s: %q", first, got)
		}
		if got := l.Country(first.Prev()); got != l.codes[l.codes4[i-1]] {
			t.Fatalf("%s: %q", first.Prev(), got)
		}
	})
}
