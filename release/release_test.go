package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// version of the releases that the tests make.
const version = "0.9.7-rc.1"

// releases are two directories of one release, made as anybody would make it, by the
// program, from two checkouts at different paths and in different surroundings.
// MUSTER_SOAK=1 gives each a build cache of its own that is empty; otherwise they share
// the user's, which still has linking, packing and all else done twice.
type releases struct {
	first, second string
	checkout      string // of the first
	commit        string
}

var twice = sync.OnceValues(makeTwice)

// scratch is removed by TestMain.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "muster-release-test"); err != nil {
		panic(err)
	}
	// The container's user has to get to what the tests unpack.
	if err := os.Chmod(scratch, 0o755); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

func setup(t *testing.T) *releases {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what is made is for Linux")
	}
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	r, err := twice()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// file is the one file of the first release that the pattern matches.
func (r *releases) file(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.first, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

func makeTwice() (*releases, error) {
	r := &releases{checkout: filepath.Join(scratch, "a")}
	program := filepath.Join(scratch, "release")
	if err := run1(".", nil, "go", "build", "-o", program, "."); err != nil {
		return nil, err
	}
	if err := commitTree(r.checkout); err != nil {
		return nil, err
	}
	other := filepath.Join(scratch, "elsewhere", "another name, longer")
	if err := run1(".", nil, "sh", "-c", "umask 077; exec git clone --quiet --no-hardlinks \"$0\" \"$1\"", r.checkout, other); err != nil {
		return nil, err
	}
	commit, err := exec.Command("git", "-C", r.checkout, "rev-parse", "HEAD").Output()
	if err != nil {
		return nil, err
	}
	r.commit = strings.TrimSpace(string(commit))
	for i, where := range []struct {
		checkout, umask string
		env             []string
		out             *string
	}{
		{r.checkout, "022", []string{"TZ=UTC", "LANG=C"}, &r.first},
		{other, "077", []string{"TZ=Pacific/Auckland", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "GOAMD64=v3", "GOFLAGS=-tags=other", "CGO_ENABLED=1", "GOARCH=386"}, &r.second},
	} {
		own := filepath.Join(scratch, fmt.Sprint("surroundings-", i))
		*where.out = filepath.Join(scratch, fmt.Sprint("out-", i))
		env := append(where.env, "HOME="+filepath.Join(own, "home"), "TMPDIR="+filepath.Join(own, "tmp"))
		for _, v := range []string{"GOCACHE", "GOMODCACHE", "GOENV"} { // what is found by HOME otherwise
			at, err := exec.Command("go", "env", v).Output()
			if err != nil {
				return nil, err
			}
			env = append(env, v+"="+strings.TrimSpace(string(at)))
		}
		if os.Getenv("MUSTER_SOAK") == "1" {
			env = append(env, "GOCACHE="+filepath.Join(own, "cache"))
		}
		for _, d := range []string{"home", "tmp"} {
			if err := os.MkdirAll(filepath.Join(own, d), 0o700); err != nil {
				return nil, err
			}
		}
		if err := run1(filepath.Join(where.checkout, "release"), env, "sh", "-c", "umask "+where.umask+"; exec \"$0\" \"$@\"", program, "-version", version, "-out", *where.out); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// commitTree makes a repository of the working tree, with what is not committed yet.
func commitTree(to string) error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", "..").Output()
	if err != nil {
		return err
	}
	for path := range strings.SplitSeq(strings.Trim(string(list), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join("..", path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not committed
		}
		if err != nil {
			return err
		}
		at := filepath.Join(to, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, b, 0o644)); err != nil {
			return err
		}
	}
	at := []string{
		"GIT_AUTHOR_DATE=2026-11-26T12:00:00+0100", "GIT_COMMITTER_DATE=2026-11-26T12:00:00+0100", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t",
	}
	return errors.Join(
		run1(to, at, "git", "init", "--quiet"),
		run1(to, at, "git", "add", "--all", "--force"),
		run1(to, at, "git", "commit", "--quiet", "--no-gpg-sign", "--message", "all"),
	)
}

// run1 runs one command in a directory; its output is in the error.
func run1(dir string, env []string, command string, args ...string) error {
	cmd := exec.Command(command, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", command, strings.Join(args, " "), err, out)
	}
	return nil
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unpack is a tar archive, by path without leading "./" and trailing "/".
func unpack(t *testing.T, r io.Reader) map[string]*unpacked {
	t.Helper()
	all := map[string]*unpacked{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.Trim(strings.TrimPrefix(h.Name, "."), "/")] = &unpacked{h, b}
	}
}

type unpacked struct {
	*tar.Header
	data []byte
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTwoReleasesOfOneCommitAreTheSame(t *testing.T) {
	t.Parallel()
	r := setup(t)
	first, err := os.ReadDir(r.first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadDir(r.second)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != len(second) || len(first) != 9 {
		t.Errorf("%d files, and %d", len(first), len(second))
	}
	for _, f := range first {
		a, b := read(t, filepath.Join(r.first, f.Name())), read(t, filepath.Join(r.second, f.Name()))
		if at := difference(a, b); at >= 0 {
			t.Errorf("%s: %d bytes and %d bytes, which differ from byte %d on", f.Name(), len(a), len(b), at)
		}
		for _, dir := range []string{r.first, r.second} {
			if info, err := os.Stat(filepath.Join(dir, f.Name())); err != nil || info.Mode() != 0o644 {
				t.Errorf("%s in %s: %v", f.Name(), dir, info.Mode())
			}
		}
	}
	// Nothing that is made says where.
	for _, place := range []string{scratch, "surroundings-", "another name"} {
		for _, f := range first {
			if bytes.Contains(read(t, filepath.Join(r.first, f.Name())), []byte(place)) {
				t.Errorf("%s names %s", f.Name(), place)
			}
		}
	}
}

// difference is the first byte in which two files differ, -1 for none.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func TestSumsCoverEveryFile(t *testing.T) {
	t.Parallel()
	r := setup(t)
	left := map[string]bool{}
	all, err := os.ReadDir(r.first)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		left[f.Name()] = true
	}
	delete(left, "SHA256SUMS")
	for line := range strings.Lines(string(read(t, filepath.Join(r.first, "SHA256SUMS")))) {
		sum, base, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if want := sha256.Sum256(read(t, filepath.Join(r.first, base))); sum != hex.EncodeToString(want[:]) {
			t.Errorf("%s has another sum", base)
		}
		delete(left, base)
	}
	if len(left) > 0 {
		t.Errorf("without a sum: %v", left)
	}
}

func TestWhatCannotBeReleased(t *testing.T) {
	t.Parallel()
	r := setup(t)
	say := func(string) {}
	for _, v := range []string{"", "v0.2.0", "0.2", "0.2.0+more", "0.2.0/..", "01.2.3"} {
		if err := Make(t.Context(), Config{Source: r.checkout, Out: t.TempDir(), Version: v, Say: say}); err == nil || !strings.Contains(err.Error(), "not a version") {
			t.Errorf("version %q: %v", v, err)
		}
	}
	if err := Make(t.Context(), Config{Source: r.checkout, Out: r.first, Version: version, Say: say}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a directory that is not empty: %v", err)
	}
	// A version is of what is committed.
	changed := filepath.Join(t.TempDir(), "c")
	if err := run1(".", nil, "git", "clone", "--quiet", r.checkout, changed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(changed, "new.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := Config{Source: changed, Version: version}
	if err := c.fromGit(t.Context()); err == nil || !strings.Contains(err.Error(), "not committed") {
		t.Errorf("of a tree with changes: %v", err)
	}
	c = Config{Source: changed}
	if err := c.fromGit(t.Context()); err != nil || c.Version != "0.0.0-g"+r.commit[:12]+".changed" {
		t.Errorf("of a tree with changes, without a version: %q %v", c.Version, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(changed, "new.txt")), run1(changed, nil, "git", "tag", "-a", "-m", "t", "v1.2.3")); err != nil {
		t.Skipf("tags cannot be made: %v", err)
	}
	c = Config{Source: changed}
	if err := c.fromGit(t.Context()); err != nil || c.Version != "1.2.3" || c.Commit != r.commit || c.Time.Unix() != 1795690800 {
		t.Errorf("of a tag: %+v %v", c, err)
	}
}
