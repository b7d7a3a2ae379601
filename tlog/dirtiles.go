package tlog

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// DirTiles keeps tiles as files below a directory, under their C2SP paths, so
// that any web server can serve them.
type DirTiles struct {
	dir  string
	made sync.Map // directories whose names are known to be synced
}

// NewDirTiles keeps tiles below dir, which is made when the first is put.
func NewDirTiles(dir string) *DirTiles { return &DirTiles{dir: dir} }

// maxTileBytes is the largest entry bundle.
const maxTileBytes = tileWidth * (2 + MaxLeafBytes)

// Tile reads a tile; not_found where there is none.
func (d *DirTiles) Tile(_ context.Context, path string) ([]byte, error) {
	if _, err := ParseTilePath(path); err != nil {
		return nil, err // also keeps the path below dir
	}
	data, err := os.ReadFile(filepath.Join(d.dir, filepath.FromSlash(path)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, muster.Errorf(muster.CodeNotFound, "no such tile")
	case err != nil:
		return nil, muster.Errorf(muster.CodeUnavailable, "a tile cannot be read: %w", err)
	}
	return data, nil
}

// PutTile writes a tile, synced with its name. Other bytes under a path that is
// taken are a conflict: a tile that changes is a log that was rewritten. A full
// tile takes its partial ones away, which it stands for (C2SP tlog-tiles, "Partial
// Tiles"): a log that grows slowly would keep up to 255 copies of each.
func (d *DirTiles) PutTile(ctx context.Context, path string, data []byte) error {
	id, err := ParseTilePath(path)
	if err != nil {
		return err
	}
	if err := d.put(ctx, path, data); err != nil || !id.Full() {
		return err
	}
	if err := os.RemoveAll(filepath.Join(d.dir, filepath.FromSlash(path)) + ".p"); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "partial tiles cannot be removed: %w", err)
	}
	return nil
}

func (d *DirTiles) put(ctx context.Context, path string, data []byte) error {
	if len(data) > maxTileBytes {
		return muster.Errorf(muster.CodeTooLarge, "a tile past its bound")
	}
	old, err := d.Tile(ctx, path)
	switch {
	case err == nil && bytes.Equal(old, data):
		return nil
	case err == nil:
		e := muster.Errorf(muster.CodeConflict, "tile %s is there with other bytes", path)
		e.Hint = "audit the log; if the leaves are right, move the tiles away and rebuild them"
		return e
	case muster.ErrorCode(err) != muster.CodeNotFound:
		return err
	}
	file := filepath.Join(d.dir, filepath.FromSlash(path))
	parent := filepath.Dir(file)
	if _, ok := d.made.Load(parent); !ok {
		if err := durable.MkdirAll(parent, 0o755); err != nil {
			return muster.Errorf(muster.CodeUnavailable, "a directory of tiles cannot be made: %w", err)
		}
		d.made.Store(parent, true)
	}
	if err := durable.WriteFile(file, data, 0o644); err != nil {
		d.made.Delete(parent) // it may have been moved away: the next try makes it again
		return muster.Errorf(muster.CodeUnavailable, "a tile cannot be written: %w", err)
	}
	return nil
}
