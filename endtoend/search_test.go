package endtoend

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/unicode/norm"
)

// The search for canaries: one pass over any bytes for every form that every planted
// value could take.

// canary is a value that was planted, and where.
type canary struct {
	field string
	value string
}

// form is one spelling of one canary.
type form struct {
	canary int
	name   string
	bytes  []byte
	few    bool // bits: chance writes one, and not those of two canaries
}

// shortest is the length of the shortest form that is looked for everywhere: shorter
// ones are found by chance. A packed IPv4 address has four bytes and is looked for
// where there are not many millions of them (likely).
const shortest = 6

// likely reports whether a hit is one, and not chance.
func (f *form) likely(in place) bool {
	return len(f.bytes) >= shortest || len(in.data) < 4<<20 && !strings.HasPrefix(in.name, "cluster")
}

// enough are the bits of a form that chance does not write.
const enough = 40

// bits are what there is to hit in a form, where what is written by chance is of its kind:
// digits of an instant, of a digest, of an id, of base64, or bytes under a seal.
func (f *form) bits() float64 {
	for _, kind := range []struct {
		of   string
		each float64
	}{{"0-9", 3.32}, {"0-9a-f", 4}, {"0-9A-F", 4}, {"0-9a-z", 5}, {"0-9A-Za-z+/_-", 6}} {
		if regexp.MustCompile("^[" + kind.of + "]*$").Match(f.bytes) {
			return kind.each * float64(len(f.bytes))
		}
	}
	return 8 * float64(len(f.bytes))
}

// searcher finds all forms of all canaries.
type searcher struct {
	canaries []canary
	forms    []form
	at       map[uint32][]int // first four bytes -> forms
	maybe    [1 << 16]bool    // first two bytes of some form
}

func newSearcher(canaries []canary) *searcher {
	s := &searcher{canaries: canaries, at: map[uint32][]int{}}
	for i, c := range canaries {
		seen := map[string]bool{}
		for name, b := range formsOf(c.value) {
			if (len(b) >= shortest || name == "packed") && !seen[string(b)] {
				seen[string(b)] = true
				f := form{canary: i, name: name, bytes: b}
				f.few = f.bits() < enough
				s.forms = append(s.forms, f)
			}
		}
	}
	for i, f := range s.forms {
		head := binary.BigEndian.Uint32(f.bytes)
		s.at[head] = append(s.at[head], i)
		s.maybe[head>>16] = true
	}
	return s
}

// find calls hit for each form in data.
func (s *searcher) find(data []byte, hit func(f form, at int)) {
	for i := 0; i+4 <= len(data); i++ {
		if !s.maybe[uint16(data[i])<<8|uint16(data[i+1])] {
			continue
		}
		for _, n := range s.at[binary.BigEndian.Uint32(data[i:])] {
			if bytes.HasPrefix(data[i:], s.forms[n].bytes) {
				hit(s.forms[n], i)
			}
		}
	}
}

// formsOf are the spellings of a value, by name.
func formsOf(value string) map[string][]byte {
	all := map[string][]byte{}
	texts := map[string]string{
		"": value, "nfc ": norm.NFC.String(value), "nfd ": norm.NFD.String(value),
		"lower ": strings.ToLower(value), "upper ": strings.ToUpper(value),
		"unspaced ": strings.Map(func(r rune) rune {
			if strings.ContainsRune(" -.:/", r) {
				return -1
			}
			return r
		}, value),
	}
	if digits := strings.TrimPrefix(value, "+"); digits != value {
		texts["digits "] = digits
		for n := range 8 { // packed decimal, as telephone networks store it, both ways round
			if n < 2 {
				all["bcd "+strconv.Itoa(n)] = packed(digits, n == 1)
			}
		}
	}
	for name, text := range texts {
		for form, b := range encodings([]byte(text)) {
			all[name+form] = b
		}
		wide := utf16.Encode([]rune(text))
		for order, put := range map[string]binary.AppendByteOrder{"utf-16le": binary.LittleEndian, "utf-16be": binary.BigEndian} {
			var b []byte
			for _, u := range wide {
				b = put.AppendUint16(b, u)
			}
			all[name+order] = b
		}
		var json []byte
		for _, u := range wide {
			if u < 0x80 {
				json = append(json, byte(u))
			} else {
				json = fmt.Appendf(json, `\u%04x`, u)
			}
		}
		all[name+"json"], all[name+"json upper"] = json, bytes.ReplaceAll(bytes.ToUpper(json), []byte(`\U`), []byte(`\u`))
		all[name+"go"] = bytes.Trim([]byte(strconv.QuoteToASCII(text)), `"`)
		query, path := url.QueryEscape(text), url.PathEscape(text)
		all[name+"query"], all[name+"path"] = []byte(query), []byte(path)
		all[name+"query lower"], all[name+"path lower"] = []byte(lowerEscapes(query)), []byte(lowerEscapes(path))
		var octal []byte
		for _, c := range []byte(text) {
			if c < 0x80 {
				octal = append(octal, c)
			} else {
				octal = fmt.Appendf(octal, `\%03o`, c)
			}
		}
		all[name+"octal"] = octal
	}
	if a, err := netip.ParseAddr(value); err == nil {
		raw := a.AsSlice()
		six := a.As16()
		all["packed"], all["mapped"] = raw, six[:]
		all["packed hex"], all["packed HEX"] = []byte(hex.EncodeToString(raw)), []byte(strings.ToUpper(hex.EncodeToString(raw)))
		all["expanded"] = []byte(a.StringExpanded())
	}
	if raw, err := hex.DecodeString(strings.TrimPrefix(value, "0x")); err == nil && len(raw) > 8 {
		all["packed"] = raw
	}
	return all
}

// encodings are those of bytes: as they are, hexadecimal, and base64 at each of the
// three places where a longer text could have them.
func encodings(b []byte) map[string][]byte {
	all := map[string][]byte{
		"utf-8": b, "hex": []byte(hex.EncodeToString(b)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(b))),
	}
	for shift := range 3 {
		padded := append(make([]byte, shift), b...)
		// Characters that hold bits of what stands before or after are left out.
		from := []int{0, 2, 3}[shift]
		for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := e.EncodeToString(padded)
			to := len(padded) / 3 * 4
			if from < to {
				all[name+" "+strconv.Itoa(shift)] = []byte(text[from:to])
			}
		}
	}
	return all
}

// packed is digits as packed decimal, the second of a pair in the high half where
// swapped (ITU-T E.212).
func packed(digits string, swapped bool) []byte {
	if len(digits)%2 == 1 {
		digits += "?" // 0xF, as a filler
	}
	var b []byte
	for i := 0; i < len(digits); i += 2 {
		hi, lo := digits[i]&0xF, digits[i+1]&0xF
		if swapped {
			hi, lo = lo, hi
		}
		b = append(b, hi<<4|lo)
	}
	return b
}

func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

// place is something that the system wrote, by name.
type place struct {
	name string
	data []byte
}

// filesBelow reads every file below dir, but those that skip names.
func filesBelow(t testing.TB, name, dir string, skip ...string) (all []place) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil || !e.Type().IsRegular() || slices.Contains(skip, filepath.Base(path)) {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		all = append(all, place{name + ": " + rel, data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Errorf("%s: there is no file: nothing was searched", name)
	}
	return all
}

// TestSearchFindsEveryForm: each form, amid other bytes, is found.
func TestSearchFindsEveryForm(t *testing.T) {
	t.Parallel()
	canaries := canariesOf("search").list
	s := newSearcher(canaries)
	for _, f := range s.forms {
		found := false
		s.find(slices.Concat([]byte("xx\x00\x01"), f.bytes, []byte("\x00yy")), func(g form, _ int) { found = found || g.canary == f.canary })
		if !found {
			t.Errorf("%s: %s is not found", canaries[f.canary].field, f.name)
		}
	}
	// base64 of a whole document, at any place in it.
	for i, c := range canaries {
		for before := range 6 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("{", before) + c.value + `"}`))
			found := false
			s.find([]byte(text), func(g form, _ int) { found = found || g.canary == i })
			if !found && len(c.value) >= 9 {
				t.Errorf("%s is not found in base64 after %d bytes", c.field, before)
			}
		}
	}
	s.find([]byte(strings.Repeat("nothing of theirs 0123456789 ", 1000)), func(g form, _ int) { t.Errorf("%s found where nothing is", g.name) })
}

// TestFewBitsCountWhereTheyAreOfTwo: four bytes of an address are in what is random by
// chance, those of two are not; what is long is found alone.
func TestFewBitsCountWhereTheyAreOfTwo(t *testing.T) {
	t.Parallel()
	s := &stage{TB: t, canaries: canariesOf("few")}
	packed := func(field string) []byte {
		a := netip.MustParseAddr(s.canaries.of(field))
		return slices.Concat([]byte("xx\x00"), a.AsSlice(), []byte("\x00yy"))
	}
	born := func(field string) string { return strings.ReplaceAll(s.canaries.of(field), "-", "") }
	for name, c := range map[string]struct {
		places []place
		want   []string
	}{
		"one":                  {[]place{{"one", packed("access ip")}}, nil},
		"one, twice":           {[]place{{"one", packed("access ip")}, {"two", packed("access ip")}}, nil},
		"two":                  {[]place{{"one", packed("access ip")}, {"two", packed("entity's access ip")}}, []string{"access ip", "entity's access ip"}},
		"a day, alone":         {[]place{{"one", []byte("at " + born("date of birth"))}}, nil},
		"two days":             {[]place{{"one", []byte(born("date of birth") + born("owner's date of birth"))}}, []string{"date of birth", "owner's date of birth"}},
		"one that is long":     {[]place{{"one", packed("access ipv6")}}, []string{"access ipv6"}},
		"one as it is written": {[]place{{"one", []byte("from " + s.canaries.of("access ip"))}}, []string{"access ip"}},
	} {
		if got := slices.Sorted(maps.Keys(s.search(c.places))); !slices.Equal(got, c.want) {
			t.Errorf("%s: found %v, want %v", name, got, c.want)
		}
	}
}
