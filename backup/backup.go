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
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

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
