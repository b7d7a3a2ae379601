package objects

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// Dir keeps objects as files below a directory, under their names. Any number of
// processes may share it where the file system is shared.
type Dir struct {
	dir  string
	made sync.Map // directories whose names are known to be synced
}

// NewDir keeps objects below dir, which is made when the first is put.
func NewDir(dir string) *Dir { return &Dir{dir: dir} }

func (d *Dir) path(name string) (string, error) {
	return filepath.Join(d.dir, filepath.FromSlash(name)), checkName(name)
}

func diskError(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNotThere()
	}
	return muster.Errorf(muster.CodeUnavailable, "an object cannot be %s: %w", what, err)
}

// Put writes an object, synced with its name.
func (d *Dir) Put(ctx context.Context, name string, data []byte) error {
	if err := checkSize(data); err != nil {
		return err
	}
	old, err := d.Get(ctx, name)
	switch {
	case err == nil && bytes.Equal(old, data):
		return nil
	case err == nil:
		return errOther(name)
	case muster.ErrorCode(err) != muster.CodeNotFound:
		return err
	}
	return d.write(name, data)
}

func (d *Dir) write(name string, data []byte) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if _, ok := d.made.Load(parent); !ok {
		if err := durable.MkdirAll(parent, 0o700); err != nil {
			return diskError(err, "given a directory")
		}
		d.made.Store(parent, true)
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		d.made.Delete(parent) // it may have been moved away: the next try makes it again
		return muster.Errorf(muster.CodeUnavailable, "an object cannot be written: %w", err)
	}
	return nil
}

// Get reads a whole object; not_found where there is none.
func (d *Dir) Get(_ context.Context, name string) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, diskError(err, "read")
	}
	if info.IsDir() {
		return nil, errNotThere()
	}
	if info.Size() > MaxBytes {
		return nil, errSize()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, diskError(err, "read")
	}
	return data, nil
}

// Part reads size bytes from an offset on.
func (d *Dir) Part(_ context.Context, name string, from, size int64) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	if size > MaxBytes {
		return nil, errSize()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, diskError(err, "read")
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err := f.ReadAt(data, from); errors.Is(err, io.EOF) {
		return nil, errCut(name)
	} else if err != nil {
		return nil, diskError(err, "read")
	}
	return data, nil
}

// Delete takes an object away; one that is not there is gone already.
func (d *Dir) Delete(_ context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(err, "removed")
	}
	return nil
}

// Clear takes away every object whose name begins with prefix, which ends in a slash.
func (d *Dir) Clear(_ context.Context, prefix string) error {
	path, err := d.path(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return diskError(err, "removed")
	}
	d.made.Clear()
	return nil
}

// List calls each for every object whose name begins with prefix, which ends in a slash.
func (d *Dir) List(ctx context.Context, prefix string, each func(Info) error) error {
	root := filepath.Join(d.dir, filepath.FromSlash(prefix))
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // went meanwhile, or nothing was ever put
		}
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".tmp-") {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		return each(Info{Name: filepath.ToSlash(rel), Size: info.Size(), Made: info.ModTime()})
	})
	var e *muster.Error
	if err != nil && !errors.As(err, &e) {
		err = diskError(err, "listed")
	}
	return err
}

// Swap replaces the object, whose bytes were old, by next; nil: there was none.
// Two processes that swap at once on a shared directory may both succeed.
func (d *Dir) Swap(ctx context.Context, name string, old, next []byte) error {
	have, err := d.Get(ctx, name)
	if err != nil && muster.ErrorCode(err) != muster.CodeNotFound {
		return err
	}
	if !bytes.Equal(have, old) {
		return errOther(name)
	}
	return d.write(name, next)
}

// Check says whether the directory can be written, read and cleared.
func (d *Dir) Check(ctx context.Context, name string, data []byte) error {
	return check(ctx, d, name, data)
}
