package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// atOnce is how many parts are worked on at the same time: more than there are cores,
// because each waits for the disk, and syncs that wait together cost one.
const atOnce = 8

// Writer makes one copy. Its numbers are whole after Finish.
type Writer struct {
	s          *Store
	recipients []age.Recipient
	known      map[string]string    // id -> sum, of parts that the last copy names
	older      func() map[Part]bool // what any copy names; read once, when it is asked for
	copy       Copy
	free       chan *room // as many as parts are made at once, and one that is filled

	mu         sync.Mutex // of what follows
	made       map[string]*made
	folders    map[string]bool // in which a part's name is not durable yet
	Written    int64           // bytes of content that were not there yet
	Parts, New int
}

// room is memory in which a part is made. It is used again: clearing as much for
// each part costs as much as reading it.
type room struct {
	content []byte // partBytes of room
	sealed  bytes.Buffer
}

// made is a part of this copy; equal ones are made once.
type made struct {
	once sync.Once
	sum  string
	err  error
}

// Begin begins a copy.
func (s *Store) Begin(now time.Time, program string, recipients []age.Recipient) (*Writer, error) {
	if len(recipients) == 0 {
		return nil, muster.Errorf(muster.CodeInvalid, "a backup is sealed: name at least one recipient")
	}
	w := &Writer{s: s, recipients: recipients, known: map[string]string{}, made: map[string]*made{}, folders: map[string]bool{}}
	w.free = make(chan *room, atOnce+1)
	for range cap(w.free) {
		w.free <- &room{}
	}
	w.copy = Copy{Name: now.UTC().Format(setLayout), Made: now.UTC(), Program: program}
	last, err := s.Copy("")
	if err != nil && muster.ErrorCode(err) != muster.CodeNotFound {
		return nil, err
	}
	if last != nil {
		for _, f := range last.Files {
			for _, p := range f.Parts {
				w.known[p.ID] = p.Sum
			}
		}
	}
	w.older = sync.OnceValue(s.named)
	return w, nil
}

// named are the parts that any copy names whose list can be read.
func (s *Store) named() map[Part]bool {
	all := map[Part]bool{}
	names, err := s.Copies()
	if err != nil {
		return all
	}
	for _, name := range names {
		c, err := s.Copy(name)
		if err != nil {
			continue // it cannot be restored either way
		}
		for _, f := range c.Files {
			for _, p := range f.Parts {
				all[p] = true
			}
		}
	}
	return all
}

// there is the sum of a part that is there as some copy names it, mostly the last one;
// "" is none. Sealed anew, it would not be any more what an older copy names.
func (w *Writer) there(id string) string {
	sum, _, err := w.s.sum(id)
	if err == nil && (w.known[id] == sum || w.older()[Part{id, sum}]) {
		return sum
	}
	return ""
}

// Add adds a file: write writes its content.
func (w *Writer) Add(ctx context.Context, name string, write func(io.Writer) error) error {
	return w.add(ctx, name, func(p *parter) error {
		err := write(p)
		if err == nil {
			err = p.cut()
		}
		return err
	})
}

// AddAt adds a file of that many bytes. Its parts are read by who makes them, several
// at once: r is asked for whole parts, and for the last one.
func (w *Writer) AddAt(ctx context.Context, name string, size int64, r io.ReaderAt) error {
	return w.add(ctx, name, func(p *parter) error {
		for ; p.size < size; p.size += partBytes {
			off, n := p.size, min(partBytes, size-p.size)
			if err := p.begin(w.room(n), func(content []byte) error {
				if got, err := r.ReadAt(content, off); got < len(content) {
					return cmp.Or(err, io.ErrUnexpectedEOF)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		p.size = size
		return nil
	})
}

func (w *Writer) add(ctx context.Context, name string, fill func(*parter) error) error {
	p := &parter{w: w}
	p.work, p.ctx = errgroup.WithContext(ctx)
	p.work.SetLimit(atOnce)
	err := fill(p)
	if failed := p.work.Wait(); failed != nil { // of which fill has heard at most that it should stop
		err = failed
	}
	if p.room != nil {
		w.free <- p.room
	}
	if err != nil {
		return err
	}
	f := File{Name: name, Size: p.size}
	for _, part := range p.parts {
		f.Parts = append(f.Parts, *part)
	}
	w.Parts += len(f.Parts)
	w.copy.Files = append(w.copy.Files, f)
	return nil
}

// room waits for room for n bytes.
func (w *Writer) room(n int64) *room {
	r := <-w.free
	if cap(r.content) == 0 {
		r.content = make([]byte, partBytes)
	}
	r.content = r.content[:n]
	return r
}

// parter cuts what is written into parts, which others make.
type parter struct {
	ctx   context.Context
	w     *Writer
	work  *errgroup.Group
	room  *room // that is being filled
	size  int64
	parts []*Part
}

func (p *parter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if p.room == nil {
			p.room = p.w.room(0)
		}
		at := len(p.room.content)
		k := min(len(b), partBytes-at)
		p.room.content, b = append(p.room.content, b[:k]...), b[k:]
		if at+k == partBytes {
			if err := p.cut(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// cut has what was written until here made into a part.
func (p *parter) cut() error {
	r := p.room
	if r == nil {
		return p.ctx.Err()
	}
	p.room = nil
	p.size += int64(len(r.content))
	return p.begin(r, func([]byte) error { return nil })
}

// begin has a part made of what read reads.
func (p *parter) begin(r *room, read func(content []byte) error) error {
	if err := p.ctx.Err(); err != nil {
		p.w.free <- r
		return err
	}
	part := &Part{}
	p.parts = append(p.parts, part)
	p.work.Go(func() (err error) {
		defer func() { p.w.free <- r }()
		if err := read(r.content); err != nil {
			return err
		}
		*part, err = p.w.part(r)
		return err
	})
	return nil
}

// part makes a part, or finds that it is there.
func (w *Writer) part(r *room) (Part, error) {
	id := w.s.name(r.content)
	w.mu.Lock()
	m := w.made[id]
	if m == nil {
		m = &made{}
		w.made[id] = m
	}
	w.mu.Unlock()
	m.once.Do(func() {
		// One that is there is read too. Where it is not what was written, it is made anew.
		if m.sum = w.there(id); m.sum != "" {
			return
		}
		m.sum, m.err = w.seal(id, r.content, &r.sealed)
	})
	return Part{id, m.sum}, m.err
}

// seal writes a part, synced but for its name, and reads it back.
func (w *Writer) seal(id string, content []byte, sealed *bytes.Buffer) (string, error) {
	sealed.Reset()
	sealed.Grow(partBytes + 64<<10) // what sealing adds: a header for each recipient, tags
	a, err := age.Encrypt(sealed, w.recipients...)
	if err != nil {
		return "", err
	}
	if _, err := a.Write(content); err != nil {
		return "", err
	}
	if err := a.Close(); err != nil {
		return "", err
	}
	path := w.s.partPath(id)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if err := durable.WriteUnsettled(path, sealed.Bytes(), 0o600); err != nil {
		return "", err
	}
	if err := same(path, sealed.Bytes()); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.folders[filepath.Dir(path)] = true
	w.New++
	w.Written += int64(len(content))
	sum := sha256.Sum256(sealed.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

// same reads a file back and compares it with what was written.
func same(path string, want []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var some [32 << 10]byte
	for {
		n, err := f.Read(some[:])
		if n > len(want) || !bytes.Equal(some[:n], want[:n]) || err == io.EOF && len(want) > 0 {
			return muster.Errorf(muster.CodeUnavailable, "a part reads back as something else than was written: the target does not keep what it is given")
		}
		want = want[n:]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// settle makes the names of the new parts durable.
func (w *Writer) settle() error {
	if len(w.folders) == 0 {
		return nil
	}
	var work errgroup.Group
	work.SetLimit(atOnce)
	w.folders[filepath.Join(w.s.dir, partsDir)] = true
	for dir := range w.folders {
		work.Go(func() error { return durable.SyncDir(dir) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	clear(w.folders)
	return nil
}

// Finish writes the copy's list: from here on there is a copy. Every part of it was
// read, and outlives a power cut.
func (w *Writer) Finish() (*Copy, error) {
	if err := w.settle(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(w.copy)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.s.dir, setsDir, w.copy.Name+".json")
	if _, err := os.Stat(path); err == nil {
		return nil, muster.Errorf(muster.CodeConflict, "there is a copy of this very moment")
	}
	return &w.copy, durable.WriteFile(path, raw, 0o600)
}
