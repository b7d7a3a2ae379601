//go:build linux

package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
)

// TestFullDisk fills a small disk: a batch that finds no room is refused as such, what
// was acknowledged before is there, and batches are taken again once there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EACCES) {
			t.Skip("a small disk can be mounted by root only")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	b := setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged, i := 0, 0
	batch := func() string {
		text := ""
		for range 200 {
			text += line("", "A-1", fmt.Sprintf("10.0.%d.%d", i/250, i%250))
			i++
		}
		return text
	}
	var refused *muster.Error
	var last string
	for refused == nil {
		last = batch()
		got, err := b.try("", last)
		if err == nil {
			acknowledged += got.Accepted
		} else if !errors.As(err, &refused) || acknowledged > 100_000 {
			t.Fatal(err)
		}
	}
	if refused.Code != muster.CodeNoSpace || refused.RetryAfter == 0 {
		t.Fatalf("a full disk is said to be %v", refused)
	}
	if acknowledged == 0 {
		t.Fatal("nothing was taken before the disk was full")
	}
	if _, err := b.try("", last); muster.ErrorCode(err) != muster.CodeNoSpace {
		t.Errorf("still full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b.post("", last, 200, 0, 0) // the same batch again: it is no duplicate, nothing of it was kept
	acknowledged += 200
	found := b.records(ledger.Want{})
	if len(found) != acknowledged {
		t.Errorf("%d records are there, %d were acknowledged", len(found), acknowledged)
	}
	seen := map[string]bool{}
	for _, r := range found {
		if seen[r] {
			t.Errorf("%s is there twice", r)
		}
		seen[r] = true
	}
}
