package screen_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/screen"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCases runs every pair in testdata/cases: entries and questions in, what is found
// and why out. A new case is a new file.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cases/*.in")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := answerCase(t, string(raw))
			golden := strings.TrimSuffix(file, ".in") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s: with -update it would be\n%s", golden, got)
			}
		})
	}
}

func answerCase(t *testing.T, text string) string {
	t.Helper()
	var entries []muster.ListEntry
	var questions []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if q, ok := strings.CutPrefix(line, "? "); ok {
			questions = append(questions, q)
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		c := strings.Split(line, " | ")
		switch len(c) {
		case 3:
			e := firm(c[0], c[2])
			e.Kind = muster.ListedKind(c[1])
			entries = append(entries, e)
		case 4:
			entries = append(entries, person(c[0], c[2], c[3]))
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	x, err := screen.Build(entries)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, text := range questions {
		q := &muster.ScreeningQuery{Names: []string{text}}
		fmt.Fprintf(&b, "%s\n", text)
		cs := x.Search(q, screen.Options{Floor: 0.1, Limit: 3})
		if len(cs) == 0 {
			b.WriteString("\tnothing\n")
		}
		for _, c := range cs {
			hit := ""
			if c.Score >= screen.DefaultThreshold {
				hit = " hit"
			}
			e, _ := x.Explain(q, c.List, c.Entry, screen.Options{})
			fmt.Fprintf(&b, "\t%s %.2f%s (%.1f)", c.Entry, c.Score, hit, e.Base)
			for _, p := range e.Pairs {
				fmt.Fprintf(&b, "; %s %s %s %+.1f", p.Query, p.How, p.Name, p.Effect)
			}
			for _, a := range e.QueryOnly {
				fmt.Fprintf(&b, "; asked %s %+.1f", a.Word, a.Effect)
			}
			for _, a := range e.NameOnly {
				fmt.Fprintf(&b, "; listed %s %+.1f", a.Word, a.Effect)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}
