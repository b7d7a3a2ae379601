package lists_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// TestRowsReadWhatIsWritten holds Rows against encoding/csv: whatever that writes
// comes back.
func TestRowsReadWhatIsWritten(t *testing.T) {
	t.Parallel()
	field := rapid.StringOf(rapid.RuneFrom([]rune("ab,\"'\n; éش")))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.SliceOfN(field, 2, 5), 1, 6).Draw(t, "rows")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		if err := w.WriteAll(want); err != nil {
			t.Fatal(err)
		}
		text := bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")) // encoding/csv changes those within fields too
		r := lists.NewRows(text, ',')
		for i := 0; r.Next(); i++ {
			if r.Fault != "" || i >= len(want) || !slices.Equal(r.Fields, want[i]) {
				t.Fatalf("%q is read as %q (%s)", text, r.Fields, r.Fault)
			}
			want[i] = nil
		}
		for _, row := range want {
			if row != nil {
				t.Fatalf("%q was not read from %q", row, text)
			}
		}
	})
}

// TestAStrayQuoteCostsOneLine: what stands in the lines after it is read.
func TestAStrayQuoteCostsOneLine(t *testing.T) {
	t.Parallel()
	for _, oneLine := range []bool{true, false} {
		r := lists.NewRows([]byte("a,b\n1,\"stray\n2,\"fine\"\n3,d\n"), ',')
		r.OneLine = oneLine
		var got []string
		for r.Next() {
			if r.Fault != "" || len(r.Fields) != 2 {
				got = append(got, "broken")
				r.Retreat()
				continue
			}
			got = append(got, strings.Join(r.Fields, "|"))
		}
		want := []string{"a|b", "broken", "2|fine", "3|d"}
		if oneLine && !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		if !oneLine && !slices.Contains(got, "3|d") {
			t.Errorf("%q", got)
		}
	}
}

func FuzzRows(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\"\"b\",c\r\n", "\"open\nmore\n", ",,,\n\n\r\r", "\"\n\"", "a\tb"} {
		f.Add([]byte(s), byte(','))
	}
	f.Fuzz(func(t *testing.T, text []byte, sep byte) {
		if sep == '\n' || sep == '\r' || sep == '"' {
			return
		}
		lines := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + 1
		r := lists.NewRows(text, sep)
		last, n := 0, 0
		for r.Next() {
			if r.Line <= last {
				t.Fatalf("line %d comes after line %d", r.Line, last)
			}
			if last = r.Line; r.Line > lines {
				t.Fatalf("line %d of %d", r.Line, lines)
			}
			if n++; n > lines {
				t.Fatal("more records than lines")
			}
			if n%3 == 0 {
				r.Retreat()
			}
		}
	})
}

func TestDates(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]muster.PartialDate{
		"02 Jan 1960":                {Year: 1960, Month: 1, Day: 2},
		"2 January 1960":             {Year: 1960, Month: 1, Day: 2},
		"January 2, 1960":            {Year: 1960, Month: 1, Day: 2},
		"Jan 1960":                   {Year: 1960, Month: 1},
		"October, 1974":              {Year: 1974, Month: 10},
		"1960":                       {Year: 1960},
		"1960-01-02":                 {Year: 1960, Month: 1, Day: 2},
		"1960-01-02T00:00:00Z":       {Year: 1960, Month: 1, Day: 2},
		"circa 1960":                 {Year: 1960, About: true},
		"circa 02 Jan 1960":          {Year: 1960, Month: 1, Day: 2, About: true},
		"1960 to 1962":               {Year: 1960, Until: 1962},
		"circa 1960-1962":            {Year: 1960, Until: 1962, About: true},
		"20 Jan 1960 to 25 Feb 1961": {Year: 1960, Until: 1961},
		"Jan 1960 to Feb 1960":       {Year: 1960},
	} {
		if got, ok := lists.ParseDate(in); !ok || got != want {
			t.Errorf("%s: %+v %v, want %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "unknown", "31 Feb 1960", "1962 to 1960", "13/01/1960", "0000", "1960-13-01", "x 1960"} {
		if got, ok := lists.ParseDate(in); ok {
			t.Errorf("%q is read as %+v", in, got)
		}
	}
	if d, ok := lists.ParseSlashes("12/31/1960", true); !ok || d.Month != 12 || d.Day != 31 {
		t.Errorf("%+v", d)
	}
	if d, ok := lists.ParseSlashes("dd/mm/1960", false); !ok || d != (muster.PartialDate{Year: 1960}) {
		t.Errorf("%+v", d)
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"02 Jan 1960", "circa 1960-1962", "1960-01-02", "1 to 2", "c. c. 1960"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := lists.ParseDate(s); ok && (d.Year < 1000 || d.Month < 0 || d.Month > 12 || d.Day < 0 || d.Day > 31 || d.Until != 0 && d.Until <= d.Year) {
			t.Errorf("%q is read as %+v", s, d)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"DOE, John Albert":                  "John Albert DOE",
		"DELOS REYES, Feliciano, Jr.":       "Feliciano DELOS REYES Jr.",
		"MNANGAGWA, JR., Emmerson Dambudzo": "Emmerson Dambudzo MNANGAGWA JR.",
		"EL INDIO":                          "EL INDIO",
	} {
		if got := lists.Name(muster.ListedIndividual, in, muster.NamePrimary, muster.NameStrong).Full; got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	if got := lists.Name(muster.ListedEntity, "ACME CO., LTD.", muster.NamePrimary, muster.NameStrong).Full; got != "ACME CO., LTD." {
		t.Errorf("an entity's name is turned round: %s", got)
	}
	for in, want := range map[string]string{
		"FUYI SUN A/K/A FRANK SUN":                  "FUYI SUN|FRANK SUN",
		"PEARL (A.K.A. NEI-CHIEN CHU) LI":           "PEARL LI|NEI-CHIEN CHU",
		"Hukic, Bajro (a.k.a. Bob Hukic; Bab Huci)": "Hukic, Bajro|Bob Hukic|Bab Huci",
		"Acme (f.k.a. Old Acme)":                    "Acme|Old Acme",
		"Osaka Trading":                             "Osaka Trading",
		"A.K.A. Trading":                            "A.K.A. Trading",
	} {
		name, others := lists.AlsoKnown(in)
		for _, o := range others {
			name += "|" + o.Full
		}
		if name != want {
			t.Errorf("%s is %s, want %s", in, name, want)
		}
	}
}

func FuzzAlsoKnown(f *testing.F) {
	for _, s := range []string{"A (a.k.a. B; C)", "a/k/a a/k/a b", "x (aka (aka y", "f.k.a. ; ; ", strings.Repeat("a.k.a. ", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 {
			return
		}
		_, others := lists.AlsoKnown(s)
		if len(others) > len(s) {
			t.Errorf("%d names out of %d bytes", len(others), len(s))
		}
	})
}

func TestCountries(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]muster.Country{
		"Korea, North": "KP", "Democratic People's Republic of Korea": "KP", "Burma": "MM", "Virgin Islands, British": "VG", "Iran (Islamic Republic of)": "IR",
		"Bahamas, The": "BS", "The Gambia": "GM", "ru": "RU", "Türkiye": "TR", "possibly Palestinian": "", "None Identified": "", "": "",
	} {
		if got := lists.Country(in); got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

// TestDiffIsWhatLeadsFromOneToTheOther: removing, adding and changing what it names
// turns the old list into the new one.
func TestDiffIsWhatLeadsFromOneToTheOther(t *testing.T) {
	t.Parallel()
	entries := rapid.Custom(func(t *rapid.T) []muster.ListEntry {
		ids := rapid.SliceOfDistinct(rapid.StringMatching(`[a-d]{1,2}`), rapid.ID[string]).Draw(t, "ids")
		var out []muster.ListEntry
		for _, id := range ids {
			out = append(out, muster.ListEntry{
				List: "x.y", ID: id, Names: []muster.ListedName{{Full: rapid.StringMatching(`[AB]`).Draw(t, "name")}},
				Programmes: rapid.SliceOf(rapid.StringMatching(`[P-R]`)).Draw(t, "programmes"),
			})
		}
		return out
	})
	rapid.Check(t, func(t *rapid.T) {
		old, next := entries.Draw(t, "old"), entries.Draw(t, "next")
		d := lists.Diff(old, next)
		at := map[string]muster.ListEntry{}
		for _, e := range old {
			at[e.ID] = e
		}
		for _, e := range d.Removed {
			delete(at, e.ID)
		}
		for _, e := range d.Added {
			if _, there := at[e.ID]; there {
				t.Fatalf("%s is added and was there", e.ID)
			}
			at[e.ID] = e
		}
		for _, c := range d.Changed {
			if len(c.Fields) == 0 {
				t.Fatalf("%s changed in nothing", c.New.ID)
			}
			at[c.New.ID] = c.New
		}
		var got []muster.ListEntry
		for _, e := range at {
			got = append(got, e)
		}
		a, err1 := lists.Canonical(got)
		b, err2 := lists.Canonical(next)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
		if (lists.Digest(a) == lists.Digest(b)) != (len(d.Added)+len(d.Removed)+len(d.Changed) == 0 || bytes.Equal(a, b)) {
			t.Fatal("digest and difference disagree")
		}
	})
}

func FuzzCanonical(f *testing.F) {
	good, err := lists.Canonical([]muster.ListEntry{{List: "x.y", ID: "1", Names: []muster.ListedName{{Full: "A & B <C>"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{\"muster_list\":1}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := lists.ParseCanonical(data)
		if err != nil {
			return
		}
		if again, err := lists.Canonical(entries); err == nil {
			if _, err := lists.ParseCanonical(again); err != nil {
				t.Fatal(err)
			}
		}
	})
}
