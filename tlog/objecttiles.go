package tlog

import (
	"bytes"
	"context"
	"sync"

	"github.com/muster-cip/muster"
)

// Objects keeps bytes under names, durably, in a bucket or a directory that processes
// share: objects.S3, objects.Dir. Put of other bytes under a taken name is a conflict.
type Objects interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	Clear(ctx context.Context, prefix string) error
	Swap(ctx context.Context, name string, old, next []byte) error
}

// ObjectTiles keeps tiles and the published checkpoint as objects under their C2SP
// paths, so that the bucket itself can be served as the log.
type ObjectTiles struct {
	objects Objects
	prefix  string

	mu   sync.Mutex
	full map[string][]byte // full tiles that were read: they never change
}

// NewObjectTiles keeps tiles below prefix, which is "" or ends in a slash.
func NewObjectTiles(o Objects, prefix string) *ObjectTiles {
	return &ObjectTiles{objects: o, prefix: prefix, full: map[string][]byte{}}
}

// keptTiles is how many full tiles are remembered: each is 8 KiB, of entries more.
const keptTiles = 256

// Tile reads a tile; not_found where there is none.
func (s *ObjectTiles) Tile(ctx context.Context, path string) ([]byte, error) {
	id, err := ParseTilePath(path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	data, ok := s.full[path]
	s.mu.Unlock()
	if ok {
		return data, nil
	}
	if data, err = s.objects.Get(ctx, s.prefix+path); err != nil {
		return nil, err
	}
	if id.Full() {
		s.mu.Lock()
		if len(s.full) >= keptTiles {
			for k := range s.full { // any: what is asked for often comes back
				delete(s.full, k)
				break
			}
		}
		s.full[path] = data
		s.mu.Unlock()
	}
	return data, nil
}

// PutTile keeps a tile. A full one takes its partial ones away, which it stands for
// (C2SP tlog-tiles, "Partial Tiles").
func (s *ObjectTiles) PutTile(ctx context.Context, path string, data []byte) error {
	id, err := ParseTilePath(path)
	if err != nil {
		return err
	}
	if err := s.objects.Put(ctx, s.prefix+path, data); err != nil {
		if muster.ErrorCode(err) == muster.CodeConflict {
			e := muster.Errorf(muster.CodeConflict, "tile %s is there with other bytes", path)
			e.Hint = "does another deployment, restored from this one, write to the same place? else audit the log; if the leaves are right, move the tiles away: they are made again"
			return e
		}
		return err
	}
	if !id.Full() {
		return nil
	}
	return s.objects.Clear(ctx, s.prefix+path+".p/")
}

// checkpointName is where C2SP tlog-tiles has the checkpoint.
const checkpointName = "checkpoint"

// Announce puts a head beside the tiles that it covers, which are there. A smaller
// one than is there is left unsaid: another process was faster.
func (s *ObjectTiles) Announce(ctx context.Context, signed []byte) error {
	size, err := UnverifiedSize(signed)
	if err != nil {
		return err
	}
	old, err := s.objects.Get(ctx, s.prefix+checkpointName)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		old, err = nil, nil
	}
	if err != nil || bytes.Equal(old, signed) {
		return err
	}
	if old != nil {
		have, err := UnverifiedSize(old)
		if err != nil {
			return muster.Errorf(muster.CodeConflict, "what is published as the checkpoint is none")
		}
		if have > size {
			return nil
		}
	}
	err = s.objects.Swap(ctx, s.prefix+checkpointName, old, signed)
	if muster.ErrorCode(err) == muster.CodeConflict {
		return nil // another process: the next turn looks again
	}
	return err
}
