package ledger

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

var quarterStart = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// drawRecords draws records of one account, in order, that look like use: devices
// and addresses come back, steps are even or not.
func drawRecords(t *rapid.T) []muster.AccessRecord {
	n := rapid.IntRange(0, 120).Draw(t, "n")
	even := rapid.Bool().Draw(t, "even")
	at := quarterStart.Add(time.Duration(rapid.Int64Range(0, 1<<31).Draw(t, "start")) * time.Millisecond)
	var list []muster.AccessRecord
	for range n {
		if even {
			at = at.Add(5*time.Minute + time.Duration(rapid.IntRange(0, 400).Draw(t, "late"))*time.Millisecond)
		} else {
			at = at.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 70, 4_000, 90_000, 50_000_000}).Draw(t, "gap")) * time.Millisecond)
		}
		r := muster.AccessRecord{
			At: at, Action: rapid.SampledFrom(muster.AccessActions).Draw(t, "action"),
			Actor: rapid.SampledFrom([]string{"", "", "root", "weiß"}).Draw(t, "actor"), Surface: rapid.SampledFrom([]string{"web", "cli", ""}).Draw(t, "surface"),
			Device:  rapid.SampledFrom([]string{"", "0123456789abcdef", "00000000000000ff"}).Draw(t, "device"),
			Country: rapid.SampledFrom([]muster.Country{"", "DE", "US"}).Draw(t, "country"),
			Network: muster.Network(rapid.SampledFrom([]int{0, 0, 0, 1, 7}).Draw(t, "network")),
			Port:    uint16(rapid.SampledFrom([]int{0, 0, 443, 65535}).Draw(t, "port")),
			IP: netip.MustParseAddr(rapid.SampledFrom([]string{
				"198.51.100.1", "198.51.100.2", "198.51.7.1", "203.0.113.9", "2001:db8::1", "2001:db8::a1b2:c3d4:e5f6:1", "2001:db8:0:1::1", "2a00:1::f",
			}).Draw(t, "ip")),
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b muster.AccessRecord) int { return compareAccess(&a, &b) })
	return list
}

var same = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

func TestChunkComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawRecords(t)
		data := EncodeAccess([]byte("x"), quarterStart, slices.Clone(list))[1:]
		got, err := decodeAccess(nil, quarterStart, data, window{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(list, got, same...); d != "" {
			t.Fatal(d)
		}
		if again := EncodeAccess(nil, quarterStart, slices.Clone(list)); string(again) != string(data) {
			t.Fatal("the same records have another chunk")
		}
		// A window gives what a filter over all gives.
		if len(list) == 0 {
			return
		}
		w := window{from: list[rapid.IntRange(0, len(list)-1).Draw(t, "from")].At, until: list[rapid.IntRange(0, len(list)-1).Draw(t, "until")].At}
		ip := list[rapid.IntRange(0, len(list)-1).Draw(t, "ip")].IP
		w.addr = func(a netip.Addr) bool { return a == ip }
		got, err = decodeAccess(nil, quarterStart, data, w)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(slices.Clone(list), func(r muster.AccessRecord) bool {
			return r.At.Before(w.from) || !r.At.Before(w.until) || r.IP != ip
		})
		if len(got)+len(want) > 0 {
			if d := cmp.Diff(want, got, same...); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func FuzzDecodeAccess(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte{4}, int64(0))
	rapid.Check(f, func(t *rapid.T) {
		if rapid.IntRange(0, 20).Draw(t, "some") == 0 {
			f.Add(EncodeAccess(nil, quarterStart, drawRecords(t)), int64(0))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, until int64) {
		got, err := decodeAccess(nil, quarterStart, data, window{until: time.UnixMilli(until)})
		if err != nil && len(got) != 0 {
			t.Fatal("records of a damaged chunk")
		}
		if got, err = decodeAccess(nil, quarterStart, data, window{}); err != nil {
			return
		}
		// What it accepts comes back: the order of equal times is the chunk's own.
		again, err := decodeAccess(nil, quarterStart, EncodeAccess(nil, quarterStart, slices.Clone(got)), window{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, same...); d != "" {
			t.Fatal(d)
		}
	})
}
