package watchlist_test

import (
	"encoding/csv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster/watchlist"
)

// published is the folder of real lists, which is beside the repository where it is
// there at all.
func published(t testing.TB) fs.FS {
	t.Helper()
	for _, dir := range []string{"../../shared/data/watchlists", "../../../shared/data/watchlists"} {
		if _, err := os.Stat(dir); err == nil {
			return os.DirFS(dir)
		}
	}
	t.Skip("the published lists are not here")
	return nil
}

func sub(t testing.TB, fsys fs.FS, dir string) fs.FS {
	t.Helper()
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCountsOfOFAC counts rows with encoding/csv, which the reader does not use.
func TestCountsOfOFAC(t *testing.T) {
	t.Parallel()
	all := published(t)
	files, err := fs.Glob(all, "ofac/*/*.csv")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	primary := map[string]int{} // folder + list -> rows
	for _, f := range files {
		base := filepath.Base(f)
		list := map[bool]string{true: "ofac.sdn", false: "ofac.cons"}[strings.HasPrefix(base, "sdn")]
		if (!strings.HasPrefix(base, "sdn") && base != "cons_prim.csv") || strings.Contains(base, "comments") || strings.Contains(base, "address") {
			continue
		}
		primary[filepath.Dir(f)+" "+list] += countCSV(t, all, f)
	}
	for key, want := range primary {
		dir, list, _ := strings.Cut(key, " ")
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			entries, rep, err := watchlist.ReadDir(sub(t, all, dir))
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, e := range entries {
				if e.List == list {
					got++
				}
			}
			if got != want {
				t.Errorf("%d entries of %d rows: %+v", got, want, rep)
			}
		})
	}
	if len(primary) != 5 {
		t.Errorf("counted %v", primary)
	}
}

// countCSV counts the rows whose first field is a number.
func countCSV(t *testing.T, fsys fs.FS, name string) (n int) {
	t.Helper()
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(strings.NewReader(string(data)))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row[0] != "" && strings.Trim(row[0], "0123456789") == "" {
			n++
		}
	}
	return n
}
