// Package backup keeps sealed copies of files in a directory: each copy whole by
// itself, what did not change since the last one written once.
//
// Rules of this room:
//   - A directory is for one kind of copy: data, or keys. Both in one place would be
//     everything that a thief needs but the root key.
//   - Parts are sealed for recipients (age): whoever makes copies cannot read them.
//   - A part is named by a keyed digest of its content, so that an equal part is there
//     already. It is synced and read back before a copy names it, and a copy is one
//     file that appears whole or not at all.
//   - A copy that is broken off leaves parts that the next one uses or Prune removes.
package backup

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// Kinds of copies.
const (
	Data = "data"
	Keys = "keys"
)

const (
	format    = 1
	partBytes = 1 << 20 // of content in one part
	maxJSON   = 256 << 20
	headName  = "muster-backup.json"
	setsDir   = "copies"
	partsDir  = "parts"
	setLayout = "20060102T150405.000Z"
)

// head is the directory's own record.
type head struct {
	Format     int    `json:"format"`
	Kind       string `json:"kind"`
	Deployment string `json:"deployment"` // whose
	Salt       []byte `json:"salt"`       // of the names of parts
}

// Copy is one copy: files as they were at one instant each.
type Copy struct {
	Name    string    `json:"-"`
	Made    time.Time `json:"made"`
	Program string    `json:"program"` // version that made it
	Files   []File    `json:"files"`
}

// File is one file of a copy.
type File struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	Parts []Part `json:"parts"`
}

// Part is a piece of a file.
type Part struct {
	ID  string `json:"id"`  // keyed digest of the content, hex
	Sum string `json:"sum"` // SHA-256 of the sealed file, hex
}

// Store is a directory of copies.
type Store struct {
	dir  string
	head head
}

// Open opens a directory of copies of that kind, or makes one. deployment is whose
// copies they are; "" takes what is there.
func Open(dir, kind, deployment string) (*Store, error) {
	path := filepath.Join(dir, headName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && deployment != "" {
		return create(dir, kind, deployment)
	}
	if err != nil {
		return nil, muster.Errorf(muster.CodeNotFound, "%s holds no backups: %w", dir, err)
	}
	s := &Store{dir: dir}
	if err := json.Unmarshal(raw, &s.head); err != nil || s.head.Format != format || len(s.head.Salt) != sha256.Size {
		return nil, muster.Errorf(muster.CodeInvalid, "%s is not what this program writes", path)
	}
	switch {
	case s.head.Kind != kind:
		return nil, &muster.Error{
			Code: muster.CodeConflict, Message: fmt.Sprintf("%s holds backups of %s, and these are of %s", dir, s.head.Kind, kind),
			Hint: "data and keys go to different places: with both, and the root key, a thief has everything",
		}
	case deployment != "" && s.head.Deployment != deployment:
		return nil, muster.Errorf(muster.CodeConflict, "%s holds backups of another deployment", dir)
	}
	return s, nil
}

func create(dir, kind, deployment string) (*Store, error) {
	// Neither in a directory of the other kind, nor around one.
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, headName)); err == nil {
			return nil, muster.Errorf(muster.CodeConflict, "%s lies in a directory of other backups", dir)
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, muster.Errorf(muster.CodeConflict, "%s is not empty and holds no backups", dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, setsDir), filepath.Join(dir, partsDir)} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	s := &Store{dir: dir, head: head{Format: format, Kind: kind, Deployment: deployment, Salt: make([]byte, sha256.Size)}}
	rand.Read(s.head.Salt)
	raw, err := json.Marshal(s.head)
	if err != nil {
		return nil, err
	}
	return s, durable.WriteFile(filepath.Join(dir, headName), raw, 0o600)
}

// Deployment is whose copies these are.
func (s *Store) Deployment() string { return s.head.Deployment }

var setName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z$`)

// Copies lists the names of the copies, oldest first.
func (s *Store) Copies() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, setsDir))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && setName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Copy reads one copy's list; "" is the newest.
func (s *Store) Copy(name string) (*Copy, error) {
	if name == "" {
		all, err := s.Copies()
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, muster.Errorf(muster.CodeNotFound, "%s holds no copy yet", s.dir)
		}
		name = all[len(all)-1]
	}
	if !setName.MatchString(name) {
		return nil, muster.Errorf(muster.CodeInvalid, "a copy is named by its time: %s", setLayout)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, setsDir, name+".json"))
	if err != nil {
		return nil, muster.Errorf(muster.CodeNotFound, "there is no copy %s: %w", name, err)
	}
	c := &Copy{Name: name}
	if len(raw) > maxJSON || json.Unmarshal(raw, c) != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "the list of copy %s is not what this program writes", name)
	}
	for _, f := range c.Files {
		if f.Name != filepath.Base(f.Name) || strings.HasPrefix(f.Name, ".") {
			return nil, muster.Errorf(muster.CodeInvalid, "the list of copy %s names a file outside its directory", name)
		}
		for _, p := range f.Parts {
			if !digest.MatchString(p.ID) || !digest.MatchString(p.Sum) {
				return nil, muster.Errorf(muster.CodeInvalid, "the list of copy %s names a part that is none", name)
			}
		}
	}
	return c, nil
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *Store) partPath(id string) string {
	return filepath.Join(s.dir, partsDir, id[:2], id+".age")
}

// Writer makes one copy.
type Writer struct {
	s          *Store
	recipients []age.Recipient
	known      map[string]string // id -> sum, of parts that an earlier copy names
	copy       Copy
	Written    int64 // bytes of content that were not there yet
	Parts, New int
}

// Begin begins a copy.
func (s *Store) Begin(now time.Time, program string, recipients []age.Recipient) (*Writer, error) {
	if len(recipients) == 0 {
		return nil, muster.Errorf(muster.CodeInvalid, "a backup is sealed: name at least one recipient")
	}
	w := &Writer{s: s, recipients: recipients, known: map[string]string{}}
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
	return w, nil
}

// Add adds a file: write writes its content.
func (w *Writer) Add(ctx context.Context, name string, write func(io.Writer) error) error {
	f := &File{Name: name}
	p := &parter{ctx: ctx, w: w, f: f, buf: make([]byte, 0, partBytes)}
	if err := write(p); err != nil {
		return err
	}
	if len(p.buf) > 0 {
		if err := p.cut(); err != nil {
			return err
		}
	}
	w.copy.Files = append(w.copy.Files, *f)
	return nil
}

// parter cuts what is written into parts.
type parter struct {
	ctx context.Context
	w   *Writer
	f   *File
	buf []byte
}

func (p *parter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		k := min(len(b), partBytes-len(p.buf))
		p.buf, b = append(p.buf, b[:k]...), b[k:]
		if len(p.buf) == partBytes {
			if err := p.cut(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *parter) cut() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	id := p.w.s.name(p.buf)
	sum, there := p.w.known[id]
	if !there {
		var err error
		if sum, err = p.w.seal(id, p.buf); err != nil {
			return err
		}
		p.w.known[id] = sum
		p.w.New++
		p.w.Written += int64(len(p.buf))
	}
	p.w.Parts++
	p.f.Size += int64(len(p.buf))
	p.f.Parts = append(p.f.Parts, Part{id, sum})
	p.buf = p.buf[:0]
	return nil
}

// name is the keyed digest of a part's content.
func (s *Store) name(content []byte) string {
	h := hmac.New(sha256.New, s.head.Salt)
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// seal writes a part, synced, and reads it back.
func (w *Writer) seal(id string, content []byte) (string, error) {
	var sealed bytes.Buffer
	sealed.Grow(len(content) + 4096)
	a, err := age.Encrypt(&sealed, w.recipients...)
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
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := durable.WriteFile(path, sealed.Bytes(), 0o600); err != nil {
		return "", err
	}
	back, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(back, sealed.Bytes()) {
		return "", muster.Errorf(muster.CodeUnavailable, "a part reads back as something else than was written: the target does not keep what it is given")
	}
	sum := sha256.Sum256(back)
	return hex.EncodeToString(sum[:]), nil
}

// Finish writes the copy's list: from here on there is a copy.
func (w *Writer) Finish() (*Copy, error) {
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

// Check reads every sealed part of a copy and compares it with its sum; it needs no
// identity. It returns how many bytes it read.
func (s *Store) Check(ctx context.Context, c *Copy) (read int64, err error) {
	for _, f := range c.Files {
		for i, p := range f.Parts {
			if err := ctx.Err(); err != nil {
				return read, err
			}
			sealed, err := s.sealed(p)
			if err != nil {
				return read, fmt.Errorf("%s, part %d: %w", f.Name, i, err)
			}
			read += int64(len(sealed))
		}
	}
	return read, nil
}

func (s *Store) sealed(p Part) ([]byte, error) {
	sealed, err := os.ReadFile(s.partPath(p.ID))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(sealed); hex.EncodeToString(sum[:]) != p.Sum {
		return nil, muster.Errorf(muster.CodeInvalid, "it is not what was written")
	}
	return sealed, nil
}

// Read writes the content of a file of a copy to w.
func (s *Store) Read(ctx context.Context, f *File, identities []age.Identity, w io.Writer) error {
	size := int64(0)
	for i, p := range f.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		sealed, err := s.sealed(p)
		if err != nil {
			return fmt.Errorf("%s, part %d: %w", f.Name, i, err)
		}
		r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
		if err != nil {
			return muster.Errorf(muster.CodeInvalid, "%s, part %d does not open with this identity: %w", f.Name, i, err)
		}
		content, err := io.ReadAll(io.LimitReader(r, partBytes+1))
		if err != nil || s.name(content) != p.ID {
			return muster.Errorf(muster.CodeInvalid, "%s, part %d is not what it was", f.Name, i)
		}
		size += int64(len(content))
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if size != f.Size {
		return muster.Errorf(muster.CodeInvalid, "%s has %d bytes and should have %d", f.Name, size, f.Size)
	}
	return nil
}

// Prune keeps the newest copies and removes the others, and parts that no copy names.
func (s *Store) Prune(keep int) (copies, parts int, err error) {
	names, err := s.Copies()
	if err != nil {
		return 0, 0, err
	}
	for len(names) > max(keep, 1) {
		if err := os.Remove(filepath.Join(s.dir, setsDir, names[0]+".json")); err != nil {
			return copies, 0, err
		}
		names = names[1:]
		copies++
	}
	used := map[string]bool{}
	for _, name := range names {
		c, err := s.Copy(name)
		if err != nil {
			return copies, 0, err // a list that cannot be read might name any part
		}
		for _, f := range c.Files {
			for _, p := range f.Parts {
				used[p.ID] = true
			}
		}
	}
	err = filepath.WalkDir(filepath.Join(s.dir, partsDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if id, ok := strings.CutSuffix(d.Name(), ".age"); ok && !used[id] {
			parts++
			return os.Remove(path)
		}
		return nil
	})
	return copies, parts, err
}
