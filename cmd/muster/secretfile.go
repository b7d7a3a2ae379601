package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// secretOut is a new file for a secret that can be had only once. It is made
// before the secret is, so that none is lost for want of a place.
type secretOut struct {
	path string
	kept bool
}

// newSecretFile makes path, of mode 0600; it replaces nothing but the empty file that
// an end in between has left. "" is no file.
func newSecretFile(path string) (*secretOut, error) {
	if path == "" {
		return &secretOut{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if was, err := os.Lstat(path); err == nil && was.Mode() == 0o600 && was.Size() == 0 {
			return &secretOut{path: path}, nil
		}
		return nil, &muster.Error{Code: muster.CodeConflict, Message: path + " is there already", Hint: "name another file"}
	}
	if err != nil {
		return nil, err
	}
	return &secretOut{path: path}, f.Close()
}

// keep writes the secret, synced.
func (s *secretOut) keep(secret string) error {
	if err := durable.WriteFile(s.path, []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	s.kept = true
	return nil
}

// discard takes the file away again where nothing was kept in it.
func (s *secretOut) discard() {
	if s.path != "" && !s.kept {
		os.Remove(s.path)
	}
}
