package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/screen"
)

func smallIndex(t testing.TB) *screen.Index {
	t.Helper()
	x, err := screen.Build([]muster.ListEntry{
		{List: "ofac.sdn", ID: "36", Kind: muster.ListedEntity, Names: []muster.ListedName{{Full: "AEROCARIBBEAN AIRLINES", Quality: muster.NameStrong}}},
		{List: "ofac.sdn", ID: "2677#2", Kind: muster.ListedIndividual, Names: []muster.ListedName{{Full: "Anton NAGIBIN", Given: "Anton", Family: "NAGIBIN", Quality: muster.NameStrong}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestBatchLines: what evaluation programs read.
func TestBatchLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*longestLine)
	for in, want := range map[string]string{
		"":                                   "",
		"\n\r\n":                             "",
		"Aerocaribbean Airlines\tentity":     "Aerocaribbean Airlines\t36\t1\n",
		"\ufeffAerocaribbean Airlines\t\r\n": "Aerocaribbean Airlines\t36\t1\n",
		"Anton Nagibin\tindividual\tmore\n":  "Anton Nagibin\t2677\t1\n",
		"Jane Doe\tnobody\n":                 "Jane Doe\t\t0\n",
		"\tindividual\n":                     "\t\t0\n",
		long + "\nAnton Nagibin\n":           long[:longestLine] + "\t\t0\nAnton Nagibin\t2677\t1\n",
	} {
		var out strings.Builder
		if err := screenBatch(smallIndex(t), strings.NewReader(in), &out, screen.DefaultThreshold); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%.60q: %.80q, want %.80q", in, out.String(), want)
		}
	}
}

// FuzzBatch: every query is answered, in its place, with scores within bounds.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{"", "Anton Nagibin\tindividual\n", "a\tb\tc\td\n\n\n", "\xff\xfe\t\x00", "\ufeff\t", "\n\ufeff", strings.Repeat("Anton\n", 600)} {
		f.Add(s)
	}
	x := smallIndex(f)
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > longestLine {
			return
		}
		var out strings.Builder
		if err := screenBatch(x, strings.NewReader(in), &out, 0); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for i, line := range strings.Split(in, "\n") {
			if i == 0 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if line = strings.TrimRight(line, "\r"); line != "" {
				q, _, _ := strings.Cut(line, "\t")
				asked = append(asked, q)
			}
		}
		k := -1
		last := ""
		for line := range strings.Lines(out.String()) {
			cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(cells) != 3 {
				t.Fatalf("%q", line)
			}
			score, err := strconv.ParseFloat(cells[2], 64)
			if err != nil || score < 0 || score > 1 || (cells[1] == "") != (score == 0) {
				t.Fatalf("%q", line)
			}
			if k < 0 || cells[0] != last || cells[1] == "" {
				k++
			}
			last = cells[0]
		}
		if len(asked) > 0 && k < 0 || k+1 > len(asked) {
			t.Fatalf("%d asked, %d answered", len(asked), k+1)
		}
	})
}
