package contact

import (
	"context"
	"encoding/json"
	"os"
	"sync"

	"github.com/muster-cip/muster"
)

// File appends messages to a file, a JSON object {"method","to","code","reference"} a line,
// for sandboxes. Nothing of it exists in production.
type File struct {
	mu sync.Mutex
	f  *os.File
}

// NewFile opens path, mode 0600. Errors: forbidden where mode is not that of a
// sandbox, or where others may read the file.
func NewFile(path, mode string) (*File, error) {
	if mode != muster.ModeSandbox {
		return nil, muster.Errorf(muster.CodeForbidden, "codes are written to a file in a sandbox only")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the file for codes cannot be opened: %w", err)
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0) {
		f.Close()
		return nil, muster.Errorf(muster.CodeForbidden, "the file for codes is not a plain file of mode 0600")
	}
	return &File{f: f}, nil
}

// Send appends m.
func (s *File) Send(_ context.Context, m Message) error {
	line, err := json.Marshal(struct {
		Method    string `json:"method"`
		To        string `json:"to"`
		Code      string `json:"code"`
		Reference string `json:"reference"`
	}{m.Method, m.To, m.Code, m.Reference})
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a message cannot be written: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.f.Write(append(line, '\n')); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the file for codes cannot be written")
	}
	return nil
}

// Close closes the file.
func (s *File) Close() error { return s.f.Close() }
