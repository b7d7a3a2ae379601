package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
)

func snapshotOf(t *testing.T, path string) *Snapshot {
	t.Helper()
	s, err := OpenSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *Snapshot) all(t *testing.T) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(atLeast{s}, 0, s.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// atLeast reads whole pages for whoever asks for less.
type atLeast struct{ s *Snapshot }

func (a atLeast) ReadAt(p []byte, off int64) (int, error) {
	const most = 64 << 10
	var some [2 * most]byte
	n, err := a.s.ReadAt(some[:], off/most*most)
	if n -= int(off % most); n < len(p) {
		return copy(p, some[off%most:][:max(n, 0)]), err
	}
	return copy(p, some[off%most:]), nil
}

func setupSnapshot(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "muster.db")
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, path
}

func putCustomers(ctx context.Context, db *DB, n int) error {
	return db.InTx(ctx, func(tx *Tx) error {
		for range n {
			id := muster.NewID(muster.PrefixCustomer, tx.Now())
			if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: id, Kind: muster.Individual, Made: tx.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Whatever the writer does meanwhile, and wherever the log's pages lie, a snapshot is
// what SQLite itself reads in that transaction.
func TestASnapshotIsOneInstantOfAFileThatIsWritten(t *testing.T) {
	t.Parallel()
	db, path := setupSnapshot(t)
	if err := putCustomers(t.Context(), db, 300); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c, err := newSQLiteConn(path, false)
		if err != nil {
			ended <- err
			return
		}
		defer c.close()
		modes := []string{"PASSIVE", "RESTART", "FULL", "TRUNCATE"}
		for i := 0; ctx.Err() == nil; i++ {
			err := errors.Join(
				putCustomers(context.Background(), db, 20),
				c.exec(ctx, nil, `UPDATE customers SET made = made + 1 WHERE abs(random()) % 50 = 0`, nil),
				c.exec(ctx, nil, `DELETE FROM customers WHERE abs(random()) % 100 = 0`, nil))
			if err == nil && i%3 == 0 { // a reader that is there may be waited for in vain: it only shows in a number
				err = c.plain("PRAGMA busy_timeout = 1")
				if err == nil {
					err = c.query(ctx, `PRAGMA wal_checkpoint(`+modes[i/3%len(modes)]+`)`, nil, func(row) error { return nil })
				}
				err = errors.Join(err, c.plain("PRAGMA busy_timeout = 10000"))
			}
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	logged, moved := 0, 0
	for i := 0; i < 1000 && (i < 40 || logged == 0 || moved == 0); i++ {
		s, err := OpenSnapshot(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.logged) > 0 {
			logged++
		}
		// Read in part, so that there is time for others between.
		got := make([]byte, s.Size())
		for off := int64(0); off < s.Size(); off += 64 << 10 {
			if _, err := s.ReadAt(got[off:min(off+64<<10, s.Size())], off); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(raw, got) {
			moved++ // the file alone would not have been it
		}
		page := make([]byte, s.page)
		for n := int64(1); n <= s.pages; n++ {
			if err := s.readPage(n, page); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(page, got[(n-1)*s.page:n*s.page]) {
				t.Fatalf("page %d of %d is not what SQLite reads (in the log: %v)", n, s.pages, s.logged[n])
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if logged == 0 || moved == 0 {
		t.Fatalf("%d snapshots met a log, %d another file", logged, moved)
	}
}

func TestASnapshotOfALinkHasTheLogOfItsFile(t *testing.T) {
	t.Parallel()
	db, path := setupSnapshot(t)
	if err := putCustomers(t.Context(), db, 500); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "elsewhere.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	through, straight := snapshotOf(t, link), snapshotOf(t, path)
	if len(straight.logged) == 0 || len(through.logged) != len(straight.logged) {
		t.Fatalf("%d and %d pages are in the log", len(straight.logged), len(through.logged))
	}
	if !bytes.Equal(through.all(t), straight.all(t)) {
		t.Fatal("a link leads to something else")
	}
}

func TestASnapshotOfAFileThatIsCutShortIsAnError(t *testing.T) {
	t.Parallel()
	db, path := setupSnapshot(t)
	if err := errors.Join(putCustomers(t.Context(), db, 1000), db.Close()); err != nil {
		t.Fatal(err)
	}
	s := snapshotOf(t, path)
	whole := s.Size()
	if err := os.Truncate(path, whole-s.page); err != nil {
		t.Fatal(err)
	}
	last := (whole - 1) / (64 << 10) * (64 << 10)
	if n, err := s.ReadAt(make([]byte, 64<<10), last); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if _, err := OpenSnapshot(t.Context(), filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Fatal("a file that is not there")
	}
}

// The page of SQLite's locks is nobody's. It lies at 1 GiB: the file is a hole up to there.
func TestASnapshotHasNothingOnThePageOfTheLocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, 128<<10), lockByte); err != nil {
		t.Fatal(err)
	}
	s := &Snapshot{file: f, page: 4096, pages: (lockByte + 128<<10) / 4096}
	got := make([]byte, 64<<10)
	if _, err := s.ReadAt(got, lockByte); err != nil {
		t.Fatal(err)
	}
	if want := append(make([]byte, 4096), bytes.Repeat([]byte{1}, 60<<10)...); !bytes.Equal(got, want) {
		t.Fatal("the page of the locks is copied, or another is not")
	}
}
