package ledger

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster"
)

func BenchmarkChunk(b *testing.B) {
	var list []muster.AccessRecord
	at := quarterStart
	x := uint32(1)
	for range 512 {
		x = x*1664525 + 1013904223
		at = at.Add(time.Duration(x>>8) * time.Millisecond)
		list = append(list, muster.AccessRecord{At: at, IP: netip.AddrFrom4([4]byte{198, 51, 100, byte(x >> 30)}), Action: "console", Surface: "web", Device: "0123456789abcdef", Country: "DE"})
	}
	data := EncodeAccess(nil, quarterStart, slices.Clone(list))
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			EncodeAccess(data[:0], quarterStart, list)
		}
		b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrec/s")
	})
	var out []muster.AccessRecord
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			out, _ = decodeAccess(out[:0], quarterStart, data, window{})
		}
	})
	b.Run("decode/not that minute", func(b *testing.B) {
		for b.Loop() {
			out, _ = decodeAccess(out[:0], quarterStart, data, window{from: list[100].At.Add(1), until: list[100].At.Add(2)})
		}
	})
}
