package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

type bundle struct {
	*testing.T
	dir string
	id  *age.X25519Identity
	at  time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{t, filepath.Join(t.TempDir(), "b"), id, time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)}
}

func (b *bundle) open() *Store {
	b.Helper()
	s, err := Open(b.dir, Data, "dep_1")
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// make makes a copy of one file.
func (b *bundle) make(s *Store, content []byte) (*Copy, *Writer) {
	b.Helper()
	b.at = b.at.Add(time.Second)
	w, err := s.Begin(b.at, "v1", []age.Recipient{b.id.Recipient()})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Add(b.Context(), "x.db", func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	c, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	return c, w
}

// makeAt makes a copy of one file that is read in parts.
func (b *bundle) makeAt(s *Store, size int64, r io.ReaderAt) (*Copy, error) {
	b.Helper()
	b.at = b.at.Add(time.Second)
	w, err := s.Begin(b.at, "v1", []age.Recipient{b.id.Recipient()})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.AddAt(b.Context(), "x.db", size, r); err != nil {
		return nil, err
	}
	return w.Finish()
}

func (b *bundle) read(s *Store, c *Copy) ([]byte, error) {
	var out bytes.Buffer
	err := s.Read(b.Context(), &c.Files[0], []age.Identity{b.id}, &out)
	return out.Bytes(), err
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestWhatGoesInComesOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	rapid.Check(t, func(t *rapid.T) {
		content := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{0, 1, partBytes - 1, partBytes, partBytes + 1, 2*partBytes + 7}).Draw(t, "size"))
		// Written, and read in parts.
		written, w := b.make(s, content)
		read, err := b.makeAt(s, int64(len(content)), bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*Copy{written, read} {
			if c, err := b.open().Copy(c.Name); err != nil {
				t.Fatal(err)
			} else if got, err := b.read(s, c); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%d bytes of %d, %v", len(got), len(content), err)
			}
		}
		if w.Parts != (len(content)+partBytes-1)/partBytes || len(read.Files[0].Parts) != w.Parts {
			t.Fatalf("%d and %d parts of %d bytes", w.Parts, len(read.Files[0].Parts), len(content))
		}
	})
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	content := random(5*partBytes + 10)
	if _, w := b.make(s, content); w.New != 6 {
		t.Fatalf("%d new", w.New)
	}
	content[3*partBytes] ^= 1
	second, w := b.make(b.open(), content)
	if w.New != 1 || w.Written != partBytes {
		t.Fatalf("%d new, %d bytes", w.New, w.Written)
	}
	if got, err := b.read(s, second); err != nil || !bytes.Equal(got, content) {
		t.Fatal(err)
	}
	// The clear content stands nowhere.
	if err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && bytes.Contains(raw, content[partBytes:partBytes+32]) {
			t.Errorf("%s holds clear content", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEqualPartsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := bytes.Repeat(random(partBytes), 20)
	c, w := b.make(b.open(), content)
	if w.New != 1 || w.Parts != 20 {
		t.Fatalf("%d parts, %d new", w.Parts, w.New)
	}
	if got, err := b.read(b.open(), c); err != nil || !bytes.Equal(got, content) {
		t.Fatal(err)
	}
}

// What was, was not, and is again: sealed anew it would not be what the first copy names.
func TestAPartThatComesBackIsTheOneOfAnOlderCopy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	was := random(3 * partBytes)
	is := append(random(partBytes), was[partBytes:2*partBytes]...)
	first, _ := b.make(s, was)
	b.make(s, is)
	third, w := b.make(b.open(), was)
	if w.New != 0 {
		t.Fatalf("%d new", w.New)
	}
	for _, c := range []*Copy{first, third} {
		if _, err := s.Check(t.Context(), c); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	// One that rotted is written anew, and is then what the next copy goes by.
	if err := os.Truncate(s.partPath(first.Files[0].Parts[0].ID), 100); err != nil {
		t.Fatal(err)
	}
	b.make(s, is)
	fifth, w := b.make(s, was)
	if w.New != 1 {
		t.Fatalf("%d new", w.New)
	}
	if _, w := b.make(s, was); w.New != 0 {
		t.Fatalf("%d new after that", w.New)
	}
	if _, err := s.Check(t.Context(), fifth); err != nil {
		t.Error(err)
	}
}

func TestAPartThatRottedIsWrittenAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	content := random(4 * partBytes)
	first, _ := b.make(s, content)
	altered, lost := s.partPath(first.Files[0].Parts[1].ID), s.partPath(first.Files[0].Parts[2].ID)
	raw, err := os.ReadFile(altered)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := errors.Join(os.WriteFile(altered, raw, 0o600), os.Remove(lost)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(t.Context(), first); err == nil {
		t.Fatal("the damage is not seen")
	}
	second, w := b.make(b.open(), content)
	if w.New != 2 {
		t.Fatalf("%d new", w.New)
	}
	if _, err := s.Check(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if got, err := b.read(s, second); err != nil || !bytes.Equal(got, content) {
		t.Fatal(err)
	}
}

func TestAPartThatCannotBeWrittenEndsTheCopy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	w, err := s.Begin(b.at, "v1", []age.Recipient{b.id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	content := random(64 * partBytes)
	// A file stands where the parts of that name have their folder.
	if err := os.WriteFile(filepath.Dir(s.partPath(s.name(content[5*partBytes:6*partBytes]))), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(t.Context(), "x.db", func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}); err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if names, err := s.Copies(); err != nil || len(names) != 0 {
		t.Fatalf("%v, %v", names, err)
	}
}

func TestAFileThatEndsEarlyEndsTheCopy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	content := random(20*partBytes + 5)
	if _, err := b.makeAt(s, int64(len(content))+1, bytes.NewReader(content)); !errors.Is(err, io.EOF) {
		t.Fatalf("%v", err)
	}
	if names, err := s.Copies(); err != nil || len(names) != 0 {
		t.Fatalf("%v, %v", names, err)
	}
}

func TestNamesAreDurableBeforeACopyNamesThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	w, err := s.Begin(b.at, "v1", []age.Recipient{b.id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	content := random(partBytes)
	if err := w.Add(t.Context(), "x.db", func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// Where a folder cannot be synced there is no copy.
	if err := os.RemoveAll(filepath.Dir(s.partPath(s.name(content)))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err == nil {
		t.Fatal("a copy names what is not there")
	}
	if names, err := s.Copies(); err != nil || len(names) != 0 {
		t.Fatalf("%v, %v", names, err)
	}
}

func TestPruneLeavesWhatCopiesName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open()
	b.make(s, random(3*partBytes))
	keep := random(2 * partBytes)
	last, _ := b.make(s, keep)
	// One that was broken off left parts behind.
	w, err := s.Begin(b.at.Add(time.Minute), "v1", []age.Recipient{b.id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is gone")
	if err := w.Add(t.Context(), "x.db", func(w io.Writer) error {
		if _, err := w.Write(random(partBytes)); err != nil {
			return err
		}
		return broken
	}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if names, err := s.Copies(); err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	copies, parts, err := s.Prune(1)
	if err != nil || copies != 1 || parts != 4 {
		t.Fatalf("%d copies, %d parts, %v", copies, parts, err)
	}
	if got, err := b.read(s, last); err != nil || !bytes.Equal(got, keep) {
		t.Fatal(err)
	}
}

func TestOneKindAndOneDeploymentAPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open()
	for name, try := range map[string]func() error{
		"keys among data":     func() error { _, err := Open(b.dir, Keys, "dep_1"); return err },
		"another deployment":  func() error { _, err := Open(b.dir, Data, "dep_2"); return err },
		"below it":            func() error { _, err := Open(filepath.Join(b.dir, "keys"), Keys, "dep_1"); return err },
		"a directory of else": func() error { _, err := Open(filepath.Dir(b.dir), Keys, "dep_1"); return err },
	} {
		if err := try(); muster.ErrorCode(err) != muster.CodeConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(b.dir, "none"), Data, ""); muster.ErrorCode(err) != muster.CodeNotFound {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := b.open().Begin(b.at, "v1", nil); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Errorf("sealed for nobody: %v", err)
	}
}

func FuzzCopy(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(filepath.Join(dir, "b"), Data, "dep_1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"files":[{"name":"x.db","size":1,"parts":[{"id":"00","sum":"00"}]}]}`))
	f.Add([]byte(`{"files":[{"name":"../x","size":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, "b", setsDir, "20260301T020000.000Z.json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := s.Copy("")
		if err != nil {
			return
		}
		for i := range c.Files {
			if filepath.Base(c.Files[i].Name) != c.Files[i].Name {
				t.Fatalf("a file outside: %q", c.Files[i].Name)
			}
			if err := s.Read(context.Background(), &c.Files[i], nil, io.Discard); err == nil && c.Files[i].Size > 0 {
				t.Fatal("read without an identity")
			}
		}
	})
}
