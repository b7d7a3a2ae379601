package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-cip/muster/internal/roomtest"
)

// expectation is one row of the table beside the shared applications.
type expectation struct {
	line     int
	outcomes []string // any of them
	field    string   // that must be among the fields at fault or wanted
}

var expectedRow = regexp.MustCompile(`^\| (\d+) \| [^|]* \| [^|]* \| ([^|]*) \|$`)

// expectations reads the column "expected" of the table.
func expectations(t *testing.T, path string) (all []expectation) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Split(string(b), "\n") {
		m := expectedRow.FindStringSubmatch(row)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		words := strings.TrimSpace(m[2])
		e := expectation{line: n}
		kind, rest, named := strings.Cut(words, ": ")
		switch {
		case strings.HasPrefix(words, "an error that names line"):
			e.outcomes = []string{"malformed"}
		case strings.HasPrefix(words, "conflict"):
			e.outcomes = []string{"conflict"}
		case strings.HasPrefix(words, "the same application"):
			e.outcomes = []string{"verify"} // that of line 1
		case strings.HasPrefix(words, "verify, or review"):
			e.outcomes = []string{"verify", "review"}
		case named && (kind == "invalid" || kind == "collect"):
			e.outcomes = []string{kind}
			e.field, _, _ = strings.Cut(rest, " ")
		default:
			e.outcomes = []string{regexp.MustCompile(`^[a-z]+`).FindString(words)}
		}
		all = append(all, e)
	}
	return all
}

// TestSharedApplications runs the shared applications through a really started
// server, and holds every line against the table beside them.
func TestSharedApplications(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "data", "applications")
	file := filepath.Join(dir, "applications.ndjson")
	if _, err := os.Stat(file); err != nil {
		t.Skip("the shared applications are not here; testdata/script/demo.txtar has some of its own")
	}
	code, out, errs := session(t.Context(), "demo", "--exit", "--applications", file, "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "d"))
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	got := map[int]line{}
	scan := bufio.NewScanner(strings.NewReader(out))
	for scan.Scan() {
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", scan.Text(), err)
		}
		got[l.Line] = l
	}
	want := expectations(t, filepath.Join(dir, "README.md"))
	if len(want) < 30 || len(got) != len(want) {
		t.Fatalf("%d lines came out, %d are in the table", len(got), len(want))
	}
	for _, e := range want {
		l, ok := got[e.line]
		switch {
		case !ok:
			t.Errorf("line %d is missing", e.line)
		case !slices.Contains(e.outcomes, l.Outcome):
			t.Errorf("line %d (%s): %s, want %s", e.line, l.Reference, l.Outcome, strings.Join(e.outcomes, " or "))
		case e.field != "" && !slices.Contains(l.Fields, e.field):
			t.Errorf("line %d (%s): fields %v, want %s among them", e.line, l.Reference, l.Fields, e.field)
		case (l.Outcome == "review") && !slices.ContainsFunc(l.Rules, func(r string) bool { return strings.HasPrefix(r, "us-iaas-cip/") }):
			t.Errorf("line %d: no rule is named", e.line)
		}
	}
	if l := got[25]; !slices.Contains(l.Rules, "us-iaas-cip/three_countries") {
		t.Errorf("line 25: rules %v", l.Rules)
	}
	for _, clear := range []string{"Hoffmann", "4930901820", "4242424242424242", "lena.h2"} {
		if strings.Contains(out, clear) || strings.Contains(errs, clear) {
			t.Errorf("a value is in what was printed")
		}
	}
}

// TestTheDemoWaitsForTheGate: what the demo shows of the gate is by the last decision.
func TestTheDemoWaitsForTheGate(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	k.open(k.config, func(h *house) {
		over, stop := context.WithCancel(t.Context())
		stop()
		for _, reference := range []string{"ada-2", "ada-3"} { // to begin with, and later
			if _, err := h.onboard.Apply(t.Context(), k.operator(h), roomtest.JSON(roomtest.Person(reference))); err != nil {
				t.Fatal(err)
			}
			if heard(over, h) == nil {
				t.Errorf("the gate is taken to have %s, which nobody told it of", reference)
			}
			if err := h.centre.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := heard(t.Context(), h); err != nil {
				t.Error(err)
			}
		}
	})
}
