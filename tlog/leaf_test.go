package tlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

func drawLeaf(t *rapid.T) Leaf {
	l := Leaf{
		Type: LeafType(rapid.IntRange(1, 14).Draw(t, "type")),
		Hour: rapid.Int64Range(0, math.MaxUint32).Draw(t, "hour"),
		C1:   [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "c1")),
		C2:   [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "c2")),
	}
	if !l.Type.covering() {
		return l
	}
	at := int64(0)
	for range rapid.IntRange(1, 5).Draw(t, "ranges") {
		from := at + rapid.Int64Range(0, 1000).Draw(t, "gap")
		at = from + rapid.Int64Range(1, 1<<40).Draw(t, "len")
		l.Covers = append(l.Covers, [2]int64{from, at})
		at++
	}
	l.Ground = rapid.StringMatching(`[a-z0-9_./:-]{1,64}`).Draw(t, "ground")
	for range rapid.IntRange(0, 4).Draw(t, "operators") {
		l.Operators = append(l.Operators, rapid.StringMatching(`opr_[a-z0-9]{1,26}`).Draw(t, "operator"))
	}
	return l
}

func TestLeafRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLeaf(t)
		b := l.Marshal()
		back, err := ParseLeaf(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(l, back); d != "" {
			t.Fatal(d)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := ParseLeaf(b[:cut]); muster.ErrorCode(err) != muster.CodeMalformed {
			t.Fatalf("a leaf cut to %d bytes: %v", cut, err)
		}
		if _, err := ParseLeaf(append(b, 0)); muster.ErrorCode(err) != muster.CodeMalformed {
			t.Fatalf("a leaf with a byte behind it: %v", err)
		}
	})
}

// The bytes are the format: this test fails when they change.
func TestLeafBytes(t *testing.T) {
	t.Parallel()
	l := Leaf{Type: Tombstone, Hour: 0x01020304, Covers: [][2]int64{{5, 7}, {9, 10}}, Ground: "expired", Operators: []string{"opr_a", "opr_b"}}
	l.C1[0], l.C2[31] = 0xaa, 0xbb
	want := "010a" + "01020304" + "aa" + strings.Repeat("00", 31) + strings.Repeat("00", 31) + "bb" +
		"0002" + "0000000000000005" + "0000000000000007" + "0000000000000009" + "000000000000000a" +
		"07" + hex.EncodeToString([]byte("expired")) + "02" + "05" + hex.EncodeToString([]byte("opr_a")) + "05" + hex.EncodeToString([]byte("opr_b"))
	if got := hex.EncodeToString(l.Marshal()); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if n := len(Leaf{Type: Decision}.Marshal()); n != plainLeafBytes {
		t.Fatalf("a plain leaf has %d bytes", n)
	}
}

func TestLargestLeafFitsAnEntryBundle(t *testing.T) {
	t.Parallel()
	word := strings.Repeat("a", MaxWordBytes)
	l := Leaf{Type: Repair, Ground: word, Operators: []string{word, word, word, word}}
	for i := range int64(MaxCovers) {
		l.Covers = append(l.Covers, [2]int64{2 * i, 2*i + 1})
	}
	if n := len(l.Marshal()); n > MaxLeafBytes {
		t.Fatalf("%d bytes", n)
	}
}

func TestLeafRefusals(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]Leaf{
		"no type":                  {},
		"a type set aside":         {Type: 15},
		"an hour before 1970":      {Type: Key, Hour: -1},
		"an hour past the format":  {Type: Key, Hour: math.MaxUint32 + 1},
		"covers on a decision":     {Type: Decision, Covers: [][2]int64{{1, 2}}},
		"a ground on a decision":   {Type: Decision, Ground: "x"},
		"a tombstone of nothing":   {Type: Tombstone, Ground: "x"},
		"no ground":                {Type: Tombstone, Covers: [][2]int64{{1, 2}}},
		"a sentence as ground":     {Type: Tombstone, Covers: [][2]int64{{1, 2}}, Ground: "for Ada"},
		"an empty range":           {Type: Repair, Covers: [][2]int64{{2, 2}}, Ground: "x"},
		"ranges that touch":        {Type: Repair, Covers: [][2]int64{{1, 2}, {2, 3}}, Ground: "x"},
		"ranges out of order":      {Type: Repair, Covers: [][2]int64{{5, 6}, {1, 2}}, Ground: "x"},
		"a range before the log":   {Type: Repair, Covers: [][2]int64{{-1, 2}}, Ground: "x"},
		"a range past the format":  {Type: Repair, Covers: [][2]int64{{1, MaxSize + 1}}, Ground: "x"},
		"too many operators":       {Type: Repair, Ground: "x", Operators: []string{"a", "b", "c", "d", "e"}},
		"an e-mail as an operator": {Type: Repair, Ground: "x", Operators: []string{"ada@example.org"}},
	} {
		if err := l.Validate(); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeafTypeNames(t *testing.T) {
	t.Parallel()
	for i := range 256 {
		name := LeafType(i).String()
		if (name != "") != (i >= 1 && i <= 14 || i >= 16 && i <= 20) {
			t.Errorf("%d is %q", i, name)
		}
		if back, err := ParseLeafType(name); name != "" && (err != nil || back != LeafType(i)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ParseLeafType("")
	wantCode(t, err, muster.CodeInvalid)
}

func TestHourOf(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 23, 59, 59, 999, time.FixedZone("", 3600))
	l := Leaf{Hour: HourOf(at)}
	if !l.Time().Equal(time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)) {
		t.Fatal(l.Time())
	}
}

// The commitments against the formulas of docs/formats/log.md, spelled out.
func TestCommitments(t *testing.T) {
	t.Parallel()
	salt := bytes.Repeat([]byte{7}, SaltBytes)
	sum := func(s string) [32]byte { return sha256.Sum256([]byte(s)) }
	part := CommitPart("customer", salt, []byte("{}"))
	if part != sum("muster/part/v1\x00\x00\x08customer"+string(salt)+"{}") {
		t.Error("part")
	}
	if CommitFacts([][32]byte{part, {1}}) != sum("muster/facts/v1\x00\x00\x00\x00\x02"+string(part[:])+"\x01"+strings.Repeat("\x00", 31)) {
		t.Error("facts")
	}
	if CommitDecision(salt, []byte("d")) != sum("muster/decision/v1\x00"+string(salt)+"d") {
		t.Error("decision")
	}
	if CommitRecord(Hold, salt, []byte("d")) != sum("muster/record/v1\x00\x00\x04hold"+string(salt)+"d") {
		t.Error("record")
	}
	defer func() {
		if recover() == nil {
			t.Error("a short salt was taken")
		}
	}()
	CommitDecision(salt[:31], nil)
}

func TestTilePaths(t *testing.T) {
	t.Parallel()
	// The examples of C2SP tlog-tiles.
	for path, id := range map[string]TileID{
		"tile/0/x001/x234/067":        {0, 1234067, 256},
		"tile/0/x001/x234/067.p/1":    {0, 1234067, 1},
		"tile/entries/x001/x234/067":  {EntriesLevel, 1234067, 256},
		"tile/63/000.p/255":           {63, 0, 255},
		"tile/entries/000.p/112":      {EntriesLevel, 0, 112},
		"tile/2/x999/x999/x999/999":   {2, 999_999_999_999, 256},
		"tile/1/x001/000.p/17":        {1, 1000, 17},
		"tile/entries/x001/000.p/255": {EntriesLevel, 1000, 255},
	} {
		if got := id.Path(); got != path {
			t.Errorf("got %s, want %s", got, path)
		}
		if got, err := ParseTilePath(path); err != nil || got != id {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/0", "tile/0/x000/001", "tile/0/1000", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/data/000",
		"tile/0/000.p/256", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000/", "/tile/0/000", "tile/0/000.p", "tile/entries/entries/000", "tile/0/..",
		"tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		_, err := ParseTilePath(path)
		wantCode(t, err, muster.CodeMalformed)
	}
	// "a tree of size 70,000 ..." (C2SP tlog-tiles, Partial Tiles)
	count := map[int]int{}
	for _, id := range TilesOf(70_000) {
		count[id.Level]++
		if id.Width < 256 && id.Level >= 0 && id.Width != []int{112, 17, 1}[id.Level] {
			t.Errorf("partial tile %s", id.Path())
		}
	}
	if d := cmp.Diff(map[int]int{EntriesLevel: 274, 0: 274, 1: 2, 2: 1}, count); d != "" {
		t.Error(d)
	}
}

func TestParseEntries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 20).Draw(t, "entries")
		var data []byte
		for _, e := range want {
			data = appendEntry(data, e)
		}
		got, err := ParseEntries(data, len(want))
		if err != nil || len(got) != len(want) {
			t.Fatal(err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("entry %d", i)
			}
		}
		if _, err := ParseEntries(data, len(want)+1); err == nil {
			t.Fatal("wrong width taken")
		}
		if _, err := ParseEntries(data[:len(data)-1], len(want)); err == nil {
			t.Fatal("cut bundle taken")
		}
	})
}
