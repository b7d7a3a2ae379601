package ledger

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

func TestNetworks(t *testing.T) {
	t.Parallel()
	n := &Networks{}
	for bit, list := range map[muster.Network]string{
		muster.NetworkHosting: "# hosts\n192.0.2.0/24\n\n192.0.2.128/25 # inside\n2001:db8::/32;x\n198.51.100.7,somebody\n",
		muster.NetworkTor:     "192.0.2.9\n::ffff:203.0.113.9\n",
	} {
		if err := n.Add(bit, strings.NewReader(list)); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[string]muster.Network{
		"192.0.2.0": 1, "192.0.2.255": 1, "192.0.2.9": 1 | 4, "192.0.3.0": 0, "192.0.1.255": 0, "198.51.100.7": 1, "198.51.100.8": 0,
		"2001:db8:ffff::1": 1, "2001:db9::": 0, "203.0.113.9": 4, "::1": 0, "255.255.255.255": 0,
	} {
		if got := n.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got.Words(), want.Words())
		}
	}
	for _, list := range []string{"somewhere.example", "0.0.0.0/0", "192.0.2.0/33", strings.Repeat("1", 300)} {
		if err := (&Networks{}).Add(1, strings.NewReader("192.0.2.1\n"+list+"\n")); err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), list) {
			t.Errorf("%.20s: %v", list, err)
		}
	}
}

func TestNetworksAgreeWithASearchOfAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.Custom(func(t *rapid.T) netip.Addr {
			b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 255}), 4, 4).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "IPv6") {
				return netip.AddrFrom16([16]byte{0x20, 1, 14: b[2], 15: b[3]})
			}
			return netip.AddrFrom4([4]byte(b))
		})
		var prefixes []netip.Prefix
		var list strings.Builder
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			a := addr.Draw(t, "network")
			p := netip.PrefixFrom(a, rapid.IntRange(1, a.BitLen()).Draw(t, "bits"))
			prefixes = append(prefixes, p)
			list.WriteString(p.String() + "\n")
		}
		n := &Networks{}
		if err := n.Add(1, strings.NewReader(list.String())); err != nil {
			t.Fatal(err)
		}
		a := addr.Draw(t, "address")
		want := muster.Network(0)
		for _, p := range prefixes {
			if p.Contains(a) {
				want = 1
			}
		}
		if got := n.Of(a); got != want {
			t.Fatalf("%v in\n%s: %v, want %v", a, list.String(), got, want)
		}
	})
}
