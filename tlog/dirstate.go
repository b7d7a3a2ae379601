package tlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// DirState is a WitnessState of one file a log. One process at a time may use a
// directory; whoever opens it holds a lock for that.
type DirState struct {
	dir string
	mu  sync.Mutex // held from reading the old value until the new one is synced
}

// NewDirState keeps its files in dir, which it makes.
func NewDirState(dir string) (*DirState, error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the directory of checkpoints cannot be made: %w", err)
	}
	return &DirState{dir: dir}, nil
}

// Seen is the last checkpoint of the origin, nil where there is none.
func (s *DirState) Seen(_ context.Context, origin string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(origin)
}

func (s *DirState) read(origin string) ([]byte, error) {
	b, err := os.ReadFile(s.path(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the last checkpoint cannot be read: %w", err)
	}
	return b, nil
}

// SetSeen replaces old by new, synced.
func (s *DirState) SetSeen(_ context.Context, origin string, old, new []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.read(origin)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) || (now == nil) != (old == nil) {
		return muster.Errorf(muster.CodeConflict, "the last checkpoint is another one by now")
	}
	if err := durable.WriteFile(s.path(origin), new, 0o600); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the checkpoint cannot be written: %w", err)
	}
	return nil
}

// path is named by a hash: an origin may hold slashes.
func (s *DirState) path(origin string) string {
	h := sha256.Sum256([]byte(origin))
	return filepath.Join(s.dir, hex.EncodeToString(h[:])+".checkpoint")
}
