// Package durable puts bytes on disk so that they are whole or absent.
//
// Rules of this room:
//   - It imports nothing of Muster's own.
//   - When a call returns nil, the bytes and their name outlive a power cut.
//   - When a call returns an error, the old file is either untouched or already
//     replaced by the whole new one; a reader never sees a part. After an error
//     past the rename the caller must treat the outcome as unknown and look.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// file is what a write needs of an open file.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Close() error
	Name() string
}

// disk is the seam through which tests make each step fail before or after it landed.
type disk interface {
	create(dir string, perm fs.FileMode) (file, error)
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error
	mkdir(path string, perm fs.FileMode) error
}

// WriteFile replaces path with data: a temporary file beside it is written and
// synced, renamed over path, and the directory is synced. The directory must
// exist. A crash leaves at most a file named ".tmp-*" behind, which no reader opens.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return writeFile(system{}, path, data, perm)
}

// Write is WriteFile of what fn writes, for what is too large to hold twice. An
// error of fn leaves the old file untouched.
func Write(path string, perm fs.FileMode, fn func(io.Writer) error) error {
	return write(system{}, path, perm, fn, unchecked)
}

// WriteChecked is Write of what check is to see whole before it has its name: it reads
// the bytes at another path, while the disk takes them in. An error of it leaves the old
// file untouched.
func WriteChecked(path string, perm fs.FileMode, fn func(io.Writer) error, check func(at string) error) error {
	return write(system{}, path, perm, fn, check)
}

// WriteUnsettled is WriteFile but for its last step: the bytes are durable, their name
// is so once SyncDir of the folder has returned. For many files of one folder.
func WriteUnsettled(path string, data []byte, perm fs.FileMode) error {
	return place(system{}, path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, unchecked)
}

func writeFile(d disk, path string, data []byte, perm fs.FileMode) error {
	return write(d, path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, unchecked)
}

// unchecked is the check of what is not checked.
func unchecked(string) error { return nil }

func write(d disk, path string, perm fs.FileMode, fn func(io.Writer) error, check func(at string) error) error {
	if err := place(d, path, perm, fn, check); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

func place(d disk, path string, perm fs.FileMode, fn func(io.Writer) error, check func(at string) error) error {
	f, err := d.create(filepath.Dir(path), perm)
	if err != nil {
		return err
	}
	ahead := &aheadWriter{file: f}
	err = fn(ahead)
	checked := make(chan error, 1)
	if err == nil {
		go func() { checked <- check(f.Name()) }()
	} else {
		checked <- err
	}
	if serr := ahead.wait(); err == nil {
		err = serr
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := <-checked; err == nil {
		err = cerr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.rename(f.Name(), path)
	}
	if err != nil {
		d.remove(f.Name()) // a leftover is harmless; the first error is the one to tell
	}
	return err
}

// aheadBytes are written before a first part of them is sent to the disk.
const aheadBytes = 32 << 20

// aheadWriter has a file synced while more is written to it, so that the sync at the
// end, which it does not replace, has little left to do.
type aheadWriter struct {
	file  file
	since int        // bytes written since the last sync began
	going chan error // the sync that goes on; nil: none
}

func (w *aheadWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if w.since += n; err != nil || w.since < aheadBytes {
		return n, err
	}
	if w.going != nil {
		select {
		case err := <-w.going:
			w.going = nil
			if err != nil { // told once: the next sync may know nothing of it
				return n, err
			}
		default: // the disk is slower than who writes
			return n, nil
		}
	}
	going := make(chan error, 1)
	go func() { going <- w.file.Sync() }()
	w.going, w.since = going, 0
	return n, nil
}

// wait waits for the sync that goes on.
func (w *aheadWriter) wait() error {
	if w.going == nil {
		return nil
	}
	err := <-w.going
	w.going = nil
	return err
}

// Barred reports whether err is of a file or folder that is not there, is of the other
// kind, or is not this process's to open: so it stays until somebody changes something,
// which is not so of a disk that does not answer.
func Barred(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS}, func(of error) bool { return errors.Is(err, of) })
}

// SyncDir makes the names in dir outlive a power cut.
func SyncDir(dir string) error { return system{}.syncDir(dir) }

// MkdirAll makes dir and its missing parents; each new name is synced in its parent.
func MkdirAll(dir string, perm fs.FileMode) error { return mkdirAll(system{}, dir, perm) }

func mkdirAll(d disk, dir string, perm fs.FileMode) error {
	err := d.mkdir(dir, perm)
	switch {
	case errors.Is(err, fs.ErrExist):
		// The name may be another process's of a moment ago, not yet synced:
		// what is put below it is durable only if the name is.
		return d.syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := mkdirAll(d, filepath.Dir(dir), perm); err != nil {
			return err
		}
		if err := d.mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case err != nil:
		return err
	}
	return d.syncDir(filepath.Dir(dir))
}

// system is the machine's own disk.
type system struct{}

func (system) create(dir string, perm fs.FileMode) (file, error) {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(perm); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

func (system) rename(from, to string) error              { return os.Rename(from, to) }
func (system) remove(path string) error                  { return os.Remove(path) }
func (system) mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

func (system) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
