package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// applyState is how far a file is posted: every line up to Line is answered. It
// holds counts, numbers of lines and codes, no value and no digest of one.
type applyState struct {
	Format   int          `json:"format"` // 1
	Server   string       `json:"server"`
	Size     int64        `json:"size"`     // of the file
	Modified time.Time    `json:"modified"` // of the file
	Line     int          `json:"line"`     // lines answered
	Offset   int64        `json:"offset"`   // where the next begins
	Summary  applySummary `json:"summary"`

	path string // "" where nothing is remembered
}

const maxState = 64 << 20

// open opens the file where the last run stopped, and counts its lines (0: unknown).
// A state of another file, server or time is passed over: posting again is safe.
func (a *apply) open(server string) (_ io.ReadCloser, st *applyState, total int, err error) {
	st = &applyState{Format: 1, Server: server, Summary: applySummary{Outcomes: map[string]int{}, NotTaken: []*notTaken{}}}
	if a.file == "-" {
		return io.NopCloser(a.in), st, 0, nil
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f, st, 0, err // a pipe: it cannot be read twice
	}
	st.Size, st.Modified = info.Size(), info.ModTime().UTC()
	if st.path = a.state; st.path == "" {
		st.path = a.file + ".progress"
	}
	if total, err = countLines(f); err != nil {
		return f, st, 0, err
	}
	was, err := readState(st.path)
	if err != nil {
		return f, st, 0, err
	}
	switch {
	case was == nil:
	case was.Server != st.Server || was.Size != st.Size || !was.Modified.Equal(st.Modified):
		fmt.Fprintf(a.err, "%s is of another run: beginning at the first line, what was taken before stays as it is\n", st.path)
	default:
		was.path = st.path
		st = was
	}
	_, err = f.Seek(st.Offset, io.SeekStart)
	return f, st, total, err
}

func readState(path string) (*applyState, error) {
	b, err := readFile(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st := &applyState{}
	if err := json.Unmarshal(b, st); err != nil || st.Format != 1 || st.Line < 0 || st.Offset < 0 || st.Summary.Outcomes == nil {
		return nil, &muster.Error{
			Code: muster.CodeInvalid, Message: path + " is not what an earlier run wrote", Hint: "remove it to begin at the first line, or name another with --state",
		}
	}
	return st, nil
}

// book takes the next line into account.
func (s *applyState) book(r applied) {
	s.Line, s.Offset = r.number, r.end
	switch {
	case r.blank:
	case r.fault != nil:
		s.Summary.Lines++
		s.Summary.NotTaken = append(s.Summary.NotTaken, r.fault)
	default:
		s.Summary.Lines++
		s.Summary.Taken++
		s.Summary.Outcomes[string(r.outcome)]++
	}
}

func (s *applyState) save() error {
	if s.path == "" || s.Line == 0 {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path, b, 0o600)
}

// done forgets: the next run of the file begins at its first line.
func (s *applyState) done() error {
	if s.path == "" {
		return nil
	}
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
