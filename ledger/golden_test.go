package ledger

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

// TestFormat1IsRead reads chunks that were made once and never are again: what a ledger
// of this format holds is read the same by every later version. A test that makes its
// chunks itself would not see an encoder and a decoder that change together. A chunk
// that is to be another is another format, and another folder.
func TestFormat1IsRead(t *testing.T) {
	t.Parallel()
	start, err := os.ReadFile("access.v1")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/format1/*.hex")
	if err != nil {
		t.Fatal(err)
	}
	modes, leases := map[byte]bool{}, 0
	for _, path := range files {
		name := strings.TrimSuffix(path, ".hex")
		chunk := frozen(t, path)
		if strings.HasPrefix(filepath.Base(path), "leases") {
			leases++
			want := expected[muster.LeaseRecord](t, name+".ndjson")
			got, err := decodeLeases(quarterStart, chunk)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			sameRecords(t, path, want, got)
			sameRecords(t, path+", by the page", want, specLeases(chunk, quarterStart.UnixMilli()))
			continue
		}
		modes[chunk[0]&3] = true
		want := expected[muster.AccessRecord](t, name+".ndjson")
		got, err := decodeAccess(nil, quarterStart, chunk, window{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		sameRecords(t, path, want, got)
		sameRecords(t, path+", by the page", want, specAccess(chunk, start, quarterStart.UnixMilli()))
	}
	if len(modes) != timeModes || leases == 0 {
		t.Errorf("modes %v of times and %d chunks of leases are among the files: all four modes, and leases, are to be", modes, leases)
	}
}

func sameRecords[T any](t *testing.T, what string, want, got []T) {
	t.Helper()
	if d := cmp.Diff(want, got, same...); d != "" || len(want) == 0 {
		t.Errorf("%s, of %d records: %s", what, len(want), d)
	}
}

func frozen(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil || len(chunk) == 0 {
		t.Fatalf("%s is not hexadecimal: %v", path, err)
	}
	return chunk
}

func expected[T any](t *testing.T, path string) (list []T) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r T
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, r)
	}
	return list
}
