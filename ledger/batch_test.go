package ledger_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

var (
	sameAddr   = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
)

// drawAccess draws one record at a time after from, in the form that the ledger keeps.
func drawAccess(t *rapid.T, from time.Time, span time.Duration) muster.AccessRecord {
	r := muster.AccessRecord{
		Account: rapid.SampledFrom([]string{"acc_1", "acc_2", "acc_3"}).Draw(t, "account"),
		Actor:   rapid.SampledFrom([]string{"", "root", "weiß", "ops@example"}).Draw(t, "actor"),
		Port:    uint16(rapid.IntRange(0, 65535).Draw(t, "port")),
		At:      from.Add(time.Duration(rapid.Int64Range(0, span.Milliseconds()-1).Draw(t, "at")) * time.Millisecond).UTC(),
		Action:  rapid.SampledFrom(muster.AccessActions).Draw(t, "action"),
		Surface: rapid.SampledFrom([]string{"", "web", "cli"}).Draw(t, "surface"),
		Device:  rapid.SampledFrom([]string{"", "0123456789abcdef", "ffffffffffffffff"}).Draw(t, "device"),
		Country: rapid.SampledFrom([]muster.Country{"", "DE", "US"}).Draw(t, "country"),
		Network: muster.Network(rapid.IntRange(0, 7).Draw(t, "network")),
	}
	if rapid.Bool().Draw(t, "six") {
		var b [16]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip6"))
		b[0] = 0x20
		if rapid.Bool().Draw(t, "server") {
			clear(b[8:14])
		}
		r.IP = netip.AddrFrom16(b)
	} else {
		r.IP = netip.AddrFrom4([4]byte{rapid.SampledFrom([]byte{10, 198}).Draw(t, "a"), 51, 100, rapid.Byte().Draw(t, "d")})
	}
	return r
}

func drawLease(t *rapid.T, from time.Time) muster.LeaseRecord {
	l := muster.LeaseRecord{
		Account:   rapid.SampledFrom([]string{"acc_1", "acc_2", "acc_3"}).Draw(t, "account"),
		Resource:  rapid.SampledFrom(muster.LeaseResources).Draw(t, "resource"),
		From:      from.Add(time.Duration(rapid.Int64Range(0, 1<<31).Draw(t, "from")) * time.Millisecond).UTC(),
		Source:    rapid.SampledFrom([]string{"dhcp", "ipam"}).Draw(t, "source"),
		Precision: rapid.SampledFrom([]string{"0s", "1m30s"}).Draw(t, "precision"),
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
}

func TestBatchComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
		var b ledger.Batch
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			b.Access = append(b.Access, drawAccess(t, from, 90*24*time.Hour))
		}
		for range rapid.IntRange(0, 10).Draw(t, "leases") {
			b.Leases = append(b.Leases, drawLease(t, from))
		}
		got, err := ledger.DecodeBatch(ledger.EncodeBatch(nil, &b))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&b, got, sameAddr, samePrefix); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(ledger.EncodeBatch(nil, &ledger.Batch{}))
	f.Add(ledger.EncodeBatch(nil, &ledger.Batch{
		Access: []muster.AccessRecord{{Account: "acc_1", IP: netip.MustParseAddr("2001:db8::1"), At: time.Unix(1e9, 0), Action: "ssh"}},
		Leases: []muster.LeaseRecord{{Account: "acc_1", Resource: "host", Name: "n", From: time.Unix(1e9, 0), Source: "ipam", Precision: "0s"}},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ledger.DecodeBatch(data)
		if err != nil {
			return
		}
		again, err := ledger.DecodeBatch(ledger.EncodeBatch(nil, b))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b, again, sameAddr, samePrefix); d != "" {
			t.Fatal(d)
		}
	})
}

func benchBatch(n int) *ledger.Batch {
	b := &ledger.Batch{}
	for i := range n {
		b.Access = append(b.Access, muster.AccessRecord{
			Account: fmt.Sprintf("acc_%026d", i%300), IP: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Action: "api", Surface: "v2",
			At: time.UnixMilli(1.7e12 + int64(i)*17), Device: fmt.Sprintf("%016x", i%300), Country: "DE",
		})
	}
	return b
}

func BenchmarkBatch(b *testing.B) {
	batch := benchBatch(1000)
	enc := ledger.EncodeBatch(nil, batch)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			enc = ledger.EncodeBatch(enc[:0], batch)
		}
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds()/1e6, "Mrec/s")
		b.ReportMetric(float64(len(enc))/1000, "B/rec")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ledger.DecodeBatch(enc); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds()/1e6, "Mrec/s")
	})
}
