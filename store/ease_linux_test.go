package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster/vault"
)

// TestLargeCommitIsSentToTheDiskInPieces: the log and the file, whole, while the commit
// goes on, and nothing after it.
func TestLargeCommitIsSentToTheDiskInPieces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.db")
	for _, name := range []string{path, path + "-wal"} {
		if err := os.WriteFile(name, make([]byte, 3*easePiece+1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := newEaser(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	var mu sync.Mutex
	over, late, sent := false, 0, map[string]bool{}
	all := make(chan struct{})
	e.send = func(f *os.File, at, n int64) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			late++
		}
		if n > easePiece {
			t.Errorf("%d bytes at once", n)
		}
		if sent[fmt.Sprint(filepath.Base(f.Name()), " ", at)] = true; len(sent) == 8 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
	}
	failed := errors.New("the commit's own")
	if err := e.during(func() error {
		select {
		case <-all:
			return failed
		case <-time.After(time.Minute):
			return nil
		}
	}); err != failed {
		t.Fatalf("sent: %v", sent)
	}
	mu.Lock()
	over = true
	mu.Unlock()
	if err := e.during(func() error { return failed }); err != failed || late > 0 {
		t.Fatalf("%v, and %d pieces sent after it", err, late)
	}
}

// TestLocksOutliveALargeWrite: whoever closes a file that SQLite has open loses its locks
// on it, and another program takes itself for the only one.
func TestLocksOutliveALargeWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.db")
	keys, err := OpenKeys(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	locked := func() bool {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		of := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino) // 4: POSIX  ADVISORY  READ 13831 fe:00:10521002 1073741826 1073742335
		return strings.Contains(string(text), of)
	}
	if !locked() {
		t.Fatal("not locked from the start")
	}
	if err := keys.SwapSet(t.Context(), 0, vault.Set{Version: 1, Epoch: 1, Root: "r"}); err != nil {
		t.Fatal(err)
	}
	rows := make([]vault.KeyRow, 20_000)
	for i := range rows {
		rows[i] = vault.KeyRow{ID: fmt.Sprintf("key_%06d", i), Epoch: 1, Wrapped: make([]byte, 60)}
		rows[i].Handle = [16]byte{byte(i * 167), byte(i * 59), byte(i >> 8), byte(i)}
	}
	if err := keys.AddKeys(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if err := keys.db.driver.scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !locked() {
		t.Fatal("a large write took the locks away")
	}
}
