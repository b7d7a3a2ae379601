package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

var errDisk = errors.New("disk failure")

// broken fails at one step: before it is done, or after it was done.
type broken struct {
	system
	step  string
	after bool
}

func (b broken) at(step string, do func() error) error {
	if b.step != step {
		return do()
	}
	if b.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDisk
}

type brokenFile struct {
	file
	b broken
}

func (f brokenFile) Write(p []byte) (int, error) {
	var n int
	err := f.b.at("write", func() (err error) { n, err = f.file.Write(p); return err })
	return n, err
}
func (f brokenFile) Sync() error { return f.b.at("sync", f.file.Sync) }
func (f brokenFile) Close() error {
	err := f.b.at("close", f.file.Close)
	f.file.Close()
	return err
}

func (b broken) create(dir string, perm fs.FileMode) (f file, err error) {
	err = b.at("create", func() error { f, err = b.system.create(dir, perm); return err })
	if f != nil {
		f = brokenFile{f, b}
	}
	return f, err
}

func (b broken) rename(from, to string) error {
	return b.at("rename", func() error { return b.system.rename(from, to) })
}

func (b broken) syncDir(dir string) error {
	return b.at("syncdir", func() error { return b.system.syncDir(dir) })
}

func TestWriteFileReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for _, want := range []string{"one", "", "a longer text"} {
		if err := WriteFile(path, []byte(want), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v", fi.Mode(), err)
	}
}

func TestFailedWriteLeavesOldOrNewWhole(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		for _, after := range []bool{false, true} {
			name := step + " before"
			if after {
				name = step + " after"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "f")
				if err := WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := writeFile(broken{step: step, after: after}, path, []byte("new"), 0o600)
				if !errors.Is(err, errDisk) {
					t.Fatalf("failure at %s was not told: %v", step, err)
				}
				want := "old"
				if step == "rename" && after || step == "syncdir" {
					want = "new"
				}
				got, err := os.ReadFile(path)
				if err != nil || string(got) != want {
					t.Fatalf("reopened: %q, %v; want %q", got, err, want)
				}
				if err := WriteFile(path, []byte("again"), 0o600); err != nil {
					t.Fatalf("the next write fails: %v", err)
				}
				names, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range names {
					if n.Name() != "f" && !strings.HasPrefix(n.Name(), ".tmp-") {
						t.Errorf("left behind: %s", n.Name())
					}
				}
			})
		}
	}
}

func TestUnsettledWritesAreWholeAndTheirBytesSynced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	content := func(w io.Writer) error {
		_, err := w.Write([]byte("new"))
		return err
	}
	for _, step := range []string{"create", "write", "sync", "close", "rename"} {
		if err := place(broken{step: step}, path, 0o600, content, unchecked); !errors.Is(err, errDisk) {
			t.Fatalf("failure at %s was not told: %v", step, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("a part is there after a failure at %s", step)
		}
	}
	if err := WriteUnsettled(path, []byte("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Fatalf("%q, %v", got, err)
	}
}

// What is checked is there whole, under another name, and gets its own only then.
func TestACheckedFileGetsItsNameAfterTheCheck(t *testing.T) {
	t.Parallel()
	odd := errors.New("it does not hold together")
	for _, c := range []struct {
		name, step string
		writes     error
		finds      error
		want       error
	}{
		{"all is well", "", nil, nil, nil},
		{"the check refuses", "", nil, odd, odd},
		{"the sync fails", "sync", nil, nil, errDisk},
		{"the writer fails", "", io.ErrNoProgress, nil, io.ErrNoProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			checked := false
			err := write(broken{step: c.step}, path, 0o600, func(w io.Writer) error {
				_, err := w.Write([]byte("new"))
				return errors.Join(err, c.writes)
			}, func(at string) error {
				checked = true
				for name, want := range map[string]string{at: "new", path: "old"} {
					if got, err := os.ReadFile(name); err != nil || string(got) != want {
						t.Errorf("%s: %q, %v", filepath.Base(name), got, err)
					}
				}
				return c.finds
			})
			if !errors.Is(err, c.want) || checked != (c.writes == nil) {
				t.Fatalf("%v, checked %v", err, checked)
			}
			want := "new"
			if c.want != nil {
				want = "old"
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
}

func TestWriteFileNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	err := WriteFile(filepath.Join(t.TempDir(), "no", "f"), nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

func TestMkdirAllSyncsEveryNewName(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b", "c")
	if err := mkdirAll(broken{step: "syncdir"}, dir, 0o700); !errors.Is(err, errDisk) {
		t.Fatalf("an unsynced name was not told: %v", err)
	}
	for range 2 {
		if err := MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(root, "file", "below"), 0o700); err == nil {
		t.Fatal("made a directory below a file")
	}
}

// slowFile is a file whose first sync goes on until it is told to end, as it then does.
type slowFile struct {
	file
	syncs *atomic.Int32
	going chan struct{}
	ends  chan error
	t     *testing.T
	open  *atomic.Bool
}

func (f slowFile) Sync() error {
	if f.syncs.Add(1) == 1 {
		close(f.going)
		err := <-f.ends
		if !f.open.Load() {
			f.t.Error("the file was closed while it was synced")
		}
		return err
	}
	return f.file.Sync()
}

func (f slowFile) Close() error {
	f.open.Store(false)
	return f.file.Close()
}

type slowDisk struct {
	system
	f slowFile
}

func (d slowDisk) create(dir string, perm fs.FileMode) (file, error) {
	f, err := d.system.create(dir, perm)
	d.f.file = f
	return d.f, err
}

// What is large is synced while it is written. A failure of that sync is told, though
// the disk may have forgotten it at the next.
func TestALargeFileIsSyncedAsItIsWritten(t *testing.T) {
	t.Parallel()
	broke := errors.New("whoever writes has no more")
	for _, c := range []struct {
		name         string
		sync, writes error
		want         error
		text         string
	}{
		{"all is well", nil, nil, nil, "new"},
		{"the sync fails", errDisk, nil, errDisk, "old"},
		{"the writer fails", nil, broke, broke, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			f := slowFile{syncs: &atomic.Int32{}, going: make(chan struct{}), ends: make(chan error, 1), t: t, open: &atomic.Bool{}}
			f.open.Store(true)
			err := write(slowDisk{f: f}, path, 0o600, func(w io.Writer) error {
				block := make([]byte, aheadBytes/4)
				copy(block, "new")
				for range 4 {
					if _, err := w.Write(block); err != nil {
						return err
					}
				}
				<-f.going
				for range 8 { // goes on meanwhile
					if _, err := w.Write(block); err != nil {
						return err
					}
				}
				if n := f.syncs.Load(); n != 1 {
					return fmt.Errorf("%d syncs at once", n)
				}
				f.ends <- c.sync
				return c.writes
			}, unchecked)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
			if n := f.syncs.Load(); err == nil && n != 2 {
				t.Fatalf("%d syncs: the last is of the whole", n)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got[:3]) != c.text {
				t.Fatalf("%q, %v", got[:3], err)
			}
		})
	}
}

func TestBarredStaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, none := os.Open(filepath.Join(dir, "none"))
	_, below := os.Open(filepath.Join(file, "below"))
	_, folder := os.ReadFile(dir)
	for _, err := range []error{none, below, folder, &fs.PathError{Err: syscall.EACCES}, &fs.PathError{Err: syscall.EROFS}} {
		if !Barred(fmt.Errorf("round it: %w", err)) {
			t.Errorf("%v passes by itself", err)
		}
	}
	for _, err := range []error{nil, &fs.PathError{Err: syscall.EIO}, &fs.PathError{Err: syscall.EMFILE}, &fs.PathError{Err: syscall.ENOSPC}} {
		if Barred(err) {
			t.Errorf("%v stays", err)
		}
	}
}
