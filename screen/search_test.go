package screen_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/quickest"
	"github.com/muster-cip/muster/screen"
)

// book is a made-up list, large enough that words differ in how common they are.
func book(n int) []muster.ListEntry {
	r := rand.New(rand.NewPCG(1, 2))
	given := strings.Fields("Ali Muhammad Hassan Ivan Sergey Maria Juan Carlos Wei Ming Chol Yong Ahmad Fatima Oleg Viktor")
	var entries []muster.ListEntry
	for i := range n {
		family := ""
		for range 2 + r.IntN(3) {
			family += string("bdgklmnprstvz"[r.IntN(13)]) + string("aeiou"[r.IntN(5)])
		}
		e := person(fmt.Sprint(i), given[r.IntN(len(given))]+" "+given[r.IntN(len(given))], family)
		if i%5 == 0 {
			e = firm(fmt.Sprint(i), family+" Trading Co. Ltd")
		}
		e.Identifiers = []muster.ListedIdentifier{{Kind: muster.IdentPassport, Value: fmt.Sprintf("P-%06d", i)}}
		entries = append(entries, e)
	}
	return entries
}

func build(t testing.TB, entries []muster.ListEntry) *screen.Index {
	t.Helper()
	x, err := screen.Build(entries)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestSubsetScoresAsTheWhole: a sweep of what changed finds what a search of all would.
func TestSubsetScoresAsTheWhole(t *testing.T) {
	t.Parallel()
	entries := book(600)
	x := build(t, entries)
	s := x.Subset(func(e *muster.ListEntry) bool { return len(e.ID) == 2 })
	if s.Len() == 0 || s.Len() >= x.Len() {
		t.Fatal(s.Len())
	}
	for i := range entries {
		e := &entries[i]
		q := &muster.ScreeningQuery{Names: []string{e.Names[0].Full}, Kind: e.Kind}
		all := map[string]muster.Candidate{}
		for _, c := range x.Search(q, screen.Options{Floor: 0.6, Limit: 100}) {
			all[c.Entry] = c
		}
		for _, c := range s.Search(q, screen.Options{Floor: 0.6, Limit: 100}) {
			if !reflect.DeepEqual(all[c.Entry], c) {
				t.Fatalf("%s: %+v in the subset, %+v in the whole", e.Names[0].Full, c, all[c.Entry])
			}
			delete(all, c.Entry)
		}
		for id := range all {
			if len(id) == 2 {
				t.Fatalf("%s: the subset does not find %s", e.Names[0].Full, id)
			}
		}
	}
}

// TestEveryNameFindsItself, whatever its case and order, with the highest score.
func TestEveryNameFindsItself(t *testing.T) {
	t.Parallel()
	entries := book(400)
	x := build(t, entries)
	rapid.Check(t, func(t *rapid.T) {
		e := &entries[rapid.IntRange(0, len(entries)-1).Draw(t, "entry")]
		name := e.Names[0].Full
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			name = strings.ToUpper(name)
		case 1:
			name = e.Names[0].Family + ", " + e.Names[0].Given
			if e.Names[0].Family == "" {
				name = e.Names[0].Full
			}
		case 2:
			name = strings.ReplaceAll(name, "a", "á")
		}
		for _, c := range x.Search(&muster.ScreeningQuery{Names: []string{name}}, screen.Options{Limit: 50}) {
			if c.Score < 0.99 {
				break
			}
			if c.Entry == e.ID {
				return
			}
		}
		t.Fatalf("%q does not find %s", name, e.ID)
	})
}

// TestIdentifiers: the same number is a hit by itself, and another kind of the same
// digits is not.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	e := person("1", "Anton", "NAGIBIN")
	e.Identifiers = []muster.ListedIdentifier{
		{Kind: muster.IdentPassport, Value: "71 2413714", Country: "RU"},
		{Kind: muster.IdentWallet, Value: "0x8576acC5c05d6ce88f4e49bf65bdf0c62f91353c"},
		{Kind: muster.IdentWallet, Value: "12sjrrhoFEsedNRhtgwvvRqjFTh8fZTDX9"},
		{Kind: muster.IdentLEI, Value: "5493001KJTIIGC8Y1R12"},
		{Kind: muster.IdentIBAN, Value: "DE89 3704 0044 0532 0130 00"},
	}
	own := muster.ListEntry{List: "own.blocked", ID: "a", Identifiers: []muster.ListedIdentifier{
		{Kind: muster.IdentMailDomain, Value: "mail.example"}, {Kind: muster.IdentIPRange, Value: "192.0.2.0/24"}, {Kind: muster.IdentIPRange, Value: "2001:db8::/32"}, {Kind: muster.IdentNetwork, Value: "AS64496"}, {Kind: muster.IdentCardBIN, Value: "424242"}, {Kind: muster.IdentDocument, Value: "abcdef0123456789"},
	}}
	x := build(t, []muster.ListEntry{e, own})
	for _, c := range []struct {
		id    muster.ListedIdentifier
		entry string
	}{
		{muster.ListedIdentifier{Kind: muster.IdentPassport, Value: "712413714"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentPassport, Value: "712413714", Country: "RU"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentPassport, Value: "712413714", Country: "FR"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentNationalID, Value: "712413714"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentPhone, Value: "712413714"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentWallet, Value: "0X8576ACC5C05D6CE88F4E49BF65BDF0C62F91353C"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentWallet, Value: "12sjrrhoFEsedNRhtgwvvRqjFTh8fZTDX9"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentWallet, Value: "12SJRRHOfesedNRhtgwvvRqjFTh8fZTDX9"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentLEI, Value: "5493001kjtiigc8y1r12"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentIBAN, Value: "de89370400440532013000"}, "1"},
		{muster.ListedIdentifier{Kind: muster.IdentEmail, Value: "Someone@A.Mail.Example"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentEmail, Value: "someone@email.example"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentIPRange, Value: "192.0.2.77"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentIPRange, Value: "::ffff:192.0.2.77"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentIPRange, Value: "2001:db8:1::1"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentIPRange, Value: "192.0.3.1"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentIPRange, Value: "192.0.0.0/16"}, ""},
		{muster.ListedIdentifier{Kind: muster.IdentNetwork, Value: "as64496"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentCardBIN, Value: "424242"}, "a"},
		{muster.ListedIdentifier{Kind: muster.IdentDocument, Value: "abcdef0123456789"}, "a"},
	} {
		q := &muster.ScreeningQuery{Names: []string{"Somebody Quite Different"}, Identifiers: []muster.ListedIdentifier{c.id}}
		got := x.Search(q, screen.Options{Floor: 0.7})
		switch {
		case c.entry == "" && len(got) > 0:
			t.Errorf("%+v finds %+v", c.id, got)
		case c.entry != "" && (len(got) != 1 || got[0].Entry != c.entry || got[0].Exact == "" || got[0].Score != 1):
			t.Errorf("%+v finds %+v", c.id, got)
		}
	}
}

// TestGrounds: what else is known moves the score, both ways, and says so.
func TestGrounds(t *testing.T) {
	t.Parallel()
	e := person("1", "Anton Aleksandrovich", "NAGIBIN")
	e.Births = []muster.PartialDate{{Year: 1985, Month: 5, Day: 20}}
	e.Nations = []muster.Country{"RU"}
	x := build(t, []muster.ListEntry{e})
	score := func(q muster.ScreeningQuery) (float64, []muster.Ground) {
		q.Names = []string{"Anton Nagibin"}
		got := x.Search(&q, screen.Options{})
		if len(got) != 1 {
			t.Fatal(got)
		}
		if got[0].Name != x.Search(&muster.ScreeningQuery{Names: q.Names}, screen.Options{})[0].Name {
			t.Fatal("another field moved the score of the name")
		}
		return got[0].Score, got[0].Grounds
	}
	plain, grounds := score(muster.ScreeningQuery{})
	if len(grounds) != 0 {
		t.Fatal(grounds)
	}
	for _, c := range []struct {
		q      muster.ScreeningQuery
		better bool
		field  string
	}{
		{muster.ScreeningQuery{Births: []muster.PartialDate{{Year: 1985, Month: 5, Day: 20}}}, true, "birth"},
		{muster.ScreeningQuery{Births: []muster.PartialDate{{Year: 1985}}}, true, "birth"},
		{muster.ScreeningQuery{Births: []muster.PartialDate{{Year: 1960, Month: 5, Day: 20}}}, false, "birth"},
		{muster.ScreeningQuery{Nations: []muster.Country{"RU"}}, true, "nation"},
		{muster.ScreeningQuery{Nations: []muster.Country{"BR"}}, false, "nation"},
		{muster.ScreeningQuery{Kind: muster.ListedVessel}, false, "kind"},
	} {
		got, grounds := score(c.q)
		if (got > plain) != c.better || len(grounds) != 1 || grounds[0].Field != c.field || grounds[0].Agrees != c.better {
			t.Errorf("%+v: %.3f (plain %.3f) %+v", c.q, got, plain, grounds)
		}
	}
}

// TestWeakNamesAloneAreMarkedDown: an alias scores as the primary name does.
func TestWeakNamesAloneAreMarkedDown(t *testing.T) {
	t.Parallel()
	e := person("1", "Said Jan", "ABD AL-SALAM")
	e.Names = append(e.Names, muster.ListedName{Full: "Qasim Khan Daoud", Role: muster.NameAlias, Quality: muster.NameStrong}, muster.ListedName{Full: "Farhad Shikari", Role: muster.NameAlias, Quality: muster.NameWeak})
	x := build(t, []muster.ListEntry{e})
	score := func(name string) muster.Candidate {
		return x.Search(&muster.ScreeningQuery{Names: []string{name}}, screen.Options{})[0]
	}
	// The same words as a weak name: what the publisher does not call weak counts.
	e.Names = append(e.Names, muster.ListedName{Full: "Jan Said Abd al-Salam", Role: muster.NameAlias, Quality: muster.NameWeak})
	both := build(t, []muster.ListEntry{e}).Search(&muster.ScreeningQuery{Names: []string{"Jan Said Abd al-Salam"}}, screen.Options{})[0]
	if both.Weak {
		t.Error("a weak name stands before a strong one that says the same", both)
	}
	primary, alias, weak := score("Said Jan Abd al-Salam"), score("Qasim Khan Daoud"), score("Farhad Shikari")
	if primary.Score != alias.Score || weak.Score >= alias.Score || !weak.Weak || weak.Name != alias.Name || alias.Matched != 1 {
		t.Error(primary, alias, weak)
	}
}

// TestHostileNamesTakeBoundedTime: names of 1,000 words, one word of 10 kB.
func TestHostileNamesTakeBoundedTime(t *testing.T) {
	t.Parallel()
	entries := book(3000)
	long := firm("long", strings.Repeat("Muhammad Ali Trading ", 300))
	entries = append(entries, long, firm("word", strings.Repeat("ab", 5000)))
	x := build(t, entries)
	for what, name := range map[string]string{
		"1,000 words": strings.Repeat("Muhammad Ali ", 500), "other words": strings.Repeat("bada goko ", 500), "10 kB": strings.Repeat("a", 10_000), "letters": strings.Repeat("a b ", 500), "Arabic": strings.Repeat("محمد علي ", 500), "Han": strings.Repeat("李方伟", 500),
	} {
		q := &muster.ScreeningQuery{Names: []string{name, name, name}}
		x.Search(q, screen.Options{})
		const most = 2 * time.Second
		if took := quickest.Of(most, func() { x.Search(q, screen.Options{Floor: 0}) }); took > most {
			t.Errorf("%s: %v", what, took)
		}
	}
}

// TestSearchesShareAnIndex, and answer as one alone does.
func TestSearchesShareAnIndex(t *testing.T) {
	t.Parallel()
	entries := book(300)
	x := build(t, entries)
	want := make([][]muster.Candidate, len(entries))
	for i := range entries {
		want[i] = x.Search(&muster.ScreeningQuery{Names: []string{entries[i].Names[0].Full}}, screen.Options{})
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range entries {
				k := (i + g*71) % len(entries)
				if got := x.Search(&muster.ScreeningQuery{Names: []string{entries[k].Names[0].Full}}, screen.Options{}); !reflect.DeepEqual(got, want[k]) {
					t.Errorf("%d differs", k)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestExplanationAddsUp: what is shown is what was counted.
func TestExplanationAddsUp(t *testing.T) {
	t.Parallel()
	x := build(t, []muster.ListEntry{person("1", "Anton Aleksandrovich", "NAGIBIN")})
	for _, name := range []string{"Anton Nagibin", "Antno Nagibin", "Dr Nagibin Anton", "A. Nagibin", "Anton Aleksandrovich Petrov"} {
		e, ok := x.Explain(&muster.ScreeningQuery{Names: []string{name}}, "t", "1", screen.Options{})
		if !ok || e.Version != screen.Version || len(e.Pairs) == 0 {
			t.Fatalf("%s: %+v", name, e)
		}
		sum := e.Base
		for _, p := range e.Pairs {
			sum += p.Effect
		}
		for _, a := range append(e.QueryOnly, e.NameOnly...) {
			sum += a.Effect
		}
		if got := screen.ScoreOf(sum); got < e.Candidate.Name-0.02 || got > e.Candidate.Name+0.02 {
			t.Errorf("%s: adds up to %.3f, is %.3f", name, got, e.Candidate.Name)
		}
	}
	if _, ok := x.Explain(&muster.ScreeningQuery{}, "t", "2", screen.Options{}); ok {
		t.Error("an entry that is not there is explained")
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	w, err := screen.WeightsOf(map[string]float64{"birth_disagrees": -0.5})
	if err != nil || w.BirthDisagrees != -0.5 || w.WeakName != screen.DefaultWeights().WeakName {
		t.Error(w, err)
	}
	for _, bad := range []map[string]float64{{"colour": 1}, {"birth_agrees": 3}, {"weak_name": -0.1}} {
		if _, err := screen.WeightsOf(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// FuzzSearch: whatever is asked, scores are within bounds, ordered, and the same again.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{"", "Ali Muhammad", "محمد علي", "Путин", "李方伟", "김정은", "\xff\xfe", "S.A. de C.V.", "a b c d e f", strings.Repeat("x", 5000), "Co. Ltd", "Nur al-Din", "1 2 3", "\u202e"} {
		f.Add(s, "passport", "P-000001")
	}
	x := build(f, book(200))
	f.Fuzz(func(t *testing.T, name, kind, value string) {
		q := &muster.ScreeningQuery{Names: []string{name}, Identifiers: []muster.ListedIdentifier{{Kind: kind, Value: value}}}
		got := x.Search(q, screen.Options{})
		if again := x.Search(q, screen.Options{}); !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v, then %+v", got, again)
		}
		for i, c := range got {
			if c.Score < 0 || c.Score > 1 || c.Name < 0 || c.Name > 1 || i > 0 && c.Score > got[i-1].Score || i >= 10 {
				t.Fatalf("%d: %+v", i, c)
			}
			if _, ok := x.Explain(q, c.List, c.Entry, screen.Options{}); !ok {
				t.Fatal("not explained")
			}
		}
	})
}

// TestClearly: what is a listed name, less a part or with a slip, scores clearly above what
// is a part of it and somebody else's.
func TestClearly(t *testing.T) {
	t.Parallel()
	entries := append(book(600),
		person("a", "Christodoulos", "XIROS"), person("b", "Umair Naeem", "SHEIKH"), person("c", "Issam Ahmad", "KADDOURA"),
		person("d", "S. M.", "TUFAIL"), firm("e", "ARAB PROJECTS COMPANY"), firm("f", "TANCHON COMMERCIAL BANK"))
	x := build(t, entries)
	scoreOf := func(name, id string) float64 {
		for _, c := range x.Search(&muster.ScreeningQuery{Names: []string{name}}, screen.Options{Limit: 100}) {
			if c.Entry == id {
				return c.Score
			}
		}
		return 0
	}
	for _, row := range []struct{ id, near, far string }{
		{"a", "Christodoulos Xoos", "Christodoulos Petrou"}, // two slips in a short word
		{"a", "Christodolos Xiros", "Nikos Xiros"},
		{"b", "Umair Sheikh", "Umair Baig"},
		{"c", "Issam Kaddoura", "Rashid Kaddoura"}, // the middle name is not said
		{"f", "Tanchon Comm ercial Bank", "Comm ercial Bank"},
		{"e", "Arab Projects Compnay", "A.T.E. Projects Company"},
		{"e", "Arab Projects Lta", "Arab Estates Lta"},
	} {
		near, far := scoreOf(row.near, row.id), scoreOf(row.far, row.id)
		if near < screen.DefaultThreshold || far >= screen.DefaultThreshold || near-far < 0.2 {
			t.Errorf("%q %.3f, %q %.3f", row.near, near, row.far, far)
		}
	}
}

// TestFloorHidesOnly: a higher floor finds the same, less what is below it.
func TestFloorHidesOnly(t *testing.T) {
	t.Parallel()
	entries := book(600)
	x := build(t, entries)
	rapid.Check(t, func(rt *rapid.T) {
		name := []byte(entries[rapid.IntRange(0, len(entries)-1).Draw(rt, "entry")].Names[0].Full)
		for range rapid.IntRange(0, 3).Draw(rt, "slips") {
			name[rapid.IntRange(0, len(name)-1).Draw(rt, "at")] = rapid.SampledFrom([]byte("aeioubdgklmn ")).Draw(rt, "letter")
		}
		q := &muster.ScreeningQuery{Names: []string{string(name)}}
		at := func(floor float64) (out []string) {
			for _, c := range x.Search(q, screen.Options{Floor: floor, Limit: 100}) {
				if c.Score >= 0.8 {
					out = append(out, fmt.Sprintf("%s %.4f", c.Entry, c.Score))
				}
			}
			return out
		}
		if all, some := at(0), at(0.8); len(all) < 100 && !reflect.DeepEqual(all, some) {
			rt.Fatalf("%q: %v without a floor, %v with it", name, all, some)
		}
	})
}
