package watchlist_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/listtest"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/watchlist"
)

var update = flag.Bool("update", false, "write testdata/golden/*/want.json anew")

// TestGolden reads each folder of testdata/golden and compares with its want.json. A
// new case is a new folder.
func TestGolden(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(dirs) < 12 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			rep := watchlist.Read(filesOf(t, dir))
			type edition struct {
				*lists.Edition
				Entries []muster.ListEntry `json:"entries"`
			}
			var got struct {
				Editions []edition           `json:"editions"`
				Refused  []watchlist.Refusal `json:"refused"`
				Skipped  []string            `json:"skipped"`
			}
			for _, ed := range rep.Editions {
				listtest.Check(t, ed)
				got.Editions = append(got.Editions, edition{ed, ed.Entries})
			}
			got.Refused, got.Skipped = rep.Refused, rep.Skipped
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", " ")
			if err := e.Encode(got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "want.json")
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, b.Bytes()) {
				t.Errorf("it is read differently; look at the difference after go test ./watchlist -run Golden -update")
			}
		})
	}
}

func filesOf(t testing.TB, dir string) (files []lists.File) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "want.json" {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files = append(files, lists.File{Path: filepath.ToSlash(rel), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// FuzzRead: whatever a file is called and holds, it is read, refused or skipped, in
// bounded time, and what is read keeps the rules of the model.
func FuzzRead(f *testing.F) {
	dirs, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, dir := range dirs {
		for _, x := range filesOf(f, dir) {
			f.Add(x.Path, x.Data)
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		rep := watchlist.Read([]lists.File{{Path: name, Data: data}})
		for _, ed := range rep.Editions {
			listtest.Check(t, ed)
		}
		if len(rep.Editions) == 0 && len(rep.Refused) == 0 && len(rep.Skipped) == 0 {
			t.Error("a file went without a word")
		}
	})
}
