package ledger

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawPostings(t *rapid.T, width int) []posting {
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) posting {
		return posting{
			tag:    rapid.Uint64().Draw(t, "tag") >> (64 - width) >> rapid.SampledFrom([]int{0, 0, 8, 30}).Draw(t, "shift"),
			number: rapid.Uint32Range(0, 1<<31-1).Draw(t, "number") >> rapid.IntRange(0, 30).Draw(t, "small"),
			days:   1<<rapid.IntRange(0, 30).Draw(t, "day") | rapid.SampledFrom([]uint32{0, 0, 1<<31 - 1, 6}).Draw(t, "more"),
		}
	}), 1, 700).Draw(t, "postings")
	return sortPostings(list)
}

var samePosting = cmp.AllowUnexported(posting{})

func TestBlocksComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(16, 40).Draw(t, "width")
		list := drawPostings(t, width)
		var got []posting
		last, first := uint32(0), true
		type cut struct {
			key  uint32
			data []byte
		}
		var cuts []cut
		if err := cutBlocks(list, width, func(key uint32, block []posting) error {
			if !first && key <= last {
				t.Fatalf("the key %x comes after %x", key, last)
			}
			first, last = false, key
			data := encodeBlock(nil, block, width)
			cuts = append(cuts, cut{key, data})
			return decodeBlock(data, nil, func(p posting) { got = append(got, p) })
		}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(list, got, samePosting); d != "" {
			t.Fatal(d)
		}
		// A tag is found whole in the one block that is looked into.
		wanted := list[rapid.IntRange(0, len(list)-1).Draw(t, "wanted")].tag
		at, _ := slices.BinarySearchFunc(cuts, tagKey(wanted, width), func(c cut, key uint32) int {
			if c.key <= key {
				return -1
			}
			return 1
		})
		got = nil
		if err := decodeBlock(cuts[at-1].data, func(int) uint64 { return wanted }, func(p posting) { got = append(got, p) }); err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(slices.Clone(list), func(p posting) bool { return p.tag != wanted })
		if d := cmp.Diff(want, got, samePosting); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeBlock(nil, []posting{{tag: 5, number: 7, days: 1}, {tag: 5, number: 9, days: 3}, {tag: 1 << 33, number: 1, days: 1 << 30}}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		if err := decodeBlock(data, nil, func(posting) { n++ }); err == nil && n > 8*len(data) {
			t.Fatalf("%d postings in %d bytes", n, len(data))
		}
	})
}
