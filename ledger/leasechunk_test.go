package ledger

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

func drawLeases(t *rapid.T) []muster.LeaseRecord {
	return joinLeases(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) muster.LeaseRecord {
		l := muster.LeaseRecord{
			Resource: rapid.SampledFrom(muster.LeaseResources).Draw(t, "resource"),
			From:     quarterStart.Add(time.Duration(rapid.Int64Range(-1<<40, 1<<33).Draw(t, "from")) * time.Millisecond),
			Source:   rapid.SampledFrom([]string{"dhcp", "ipam"}).Draw(t, "source"), Precision: rapid.SampledFrom([]string{"0s", "1m30s"}).Draw(t, "precision"),
		}
		switch l.Resource {
		case "address":
			l.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, rapid.Byte().Draw(t, "d")}), 32)
			if rapid.Bool().Draw(t, "nat") {
				l.PortFrom = uint16(rapid.IntRange(1, 60000).Draw(t, "port"))
				l.PortTo = l.PortFrom + 1023
			}
		case "prefix":
			l.Prefix = netip.MustParsePrefix(rapid.SampledFrom([]string{"2001:db8:1::/48", "203.0.113.16/28", "2001:db8::77/128"}).Draw(t, "prefix"))
		default:
			l.Name = rapid.SampledFrom([]string{"host-17", "größe"}).Draw(t, "name")
		}
		if rapid.Bool().Draw(t, "ended") {
			l.Until = l.From.Add(time.Duration(rapid.Int64Range(0, 1<<33).Draw(t, "for")) * time.Millisecond)
		}
		return l
	}), 0, 60).Draw(t, "leases"))
}

func TestLeasesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawLeases(t)
		got, err := decodeLeases(quarterStart, encodeLeases(nil, quarterStart, list))
		if err != nil {
			t.Fatal(err)
		}
		if len(list)+len(got) > 0 {
			if d := cmp.Diff(list, got, same...); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func FuzzDecodeLeases(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeLeases(nil, quarterStart, []muster.LeaseRecord{
		{Resource: "prefix", Prefix: netip.MustParsePrefix("2001:db8::/48"), From: quarterStart, Source: "ipam", Precision: "0s"},
		{Resource: "host", Name: "h", From: quarterStart, Until: quarterStart.Add(time.Hour), Source: "ipam", Precision: "0s"},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeLeases(quarterStart, data)
		if err != nil {
			return
		}
		again, err := decodeLeases(quarterStart, encodeLeases(nil, quarterStart, got))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, same...); d != "" {
			t.Fatal(d)
		}
	})
}
