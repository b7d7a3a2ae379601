package validate

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/muster-cip/muster"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden runs every testdata/golden/*.json and holds what comes out against
// the .want beside it: faults, or subjects and what is absent.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d golden cases: %v", len(files), err)
	}
	c := newChecker(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			checked, err := c.Read(body, testNow)
			got := outcome(checked, err)
			want := strings.TrimSuffix(file, ".json") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			old, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(old), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func outcome(c *Checked, err error) string {
	var b strings.Builder
	var e *muster.Error
	if errors.As(err, &e) {
		fmt.Fprintf(&b, "%s: %s\n", e.Code, e.Message)
		for _, f := range e.Faults {
			fmt.Fprintf(&b, "%s %s: %s\n", f.Pointer, f.Code, f.Detail)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "absent: %s\naccess: %s %s\n", strings.Join(c.Absent, " "), c.Normal.IP, c.AccessCountry)
	fmt.Fprintf(&b, "payment: %+v\n", c.Normal.Payment)
	fmt.Fprintf(&b, "ownership: stated %s, unknown %s, open %s\n", c.Ownership.Stated, c.Ownership.Unknown, c.Ownership.Open)
	for i, s := range c.Subjects {
		fmt.Fprintf(&b, "\n%s %s %s depth %d share %s control %v terminal %v\n", s.Pointer, s.Role, s.Kind, s.Depth, s.Share, s.Control, s.Terminal)
		fmt.Fprintf(&b, "  country %q nationalities %q formation %q claim %q\n", s.Country, s.Nationalities, s.Formation, s.USPersonClaim)
		fmt.Fprintf(&b, "  absent: %s\n  normal: %+q\n", strings.Join(s.Absent, " "), c.Normal.Subjects[i])
	}
	return b.String()
}
