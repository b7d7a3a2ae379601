// Package previous builds the release before this one, for the tests that upgrade
// from it.
//
// Rules of this room:
//   - The source comes from git, at the tag; where the tag did not come along (a
//     shallow clone), at the commit that it names. Nothing is fetched.
//   - It is built once for a test binary, with this tree's cache, and removed by Run.
//   - A tree without git's history (an unpacked archive, a shallow clone) skips the test.
package previous

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Version is the release that the tests upgrade from, as it says of itself.
const Version = "v0.1.0"

// commit is what the tag names.
const commit = "3666832"

// Build returns the program of the previous release.
func Build(t testing.TB) string {
	t.Helper()
	path, err := program()
	var gone errNoSource
	switch {
	case errors.As(err, &gone):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return path
}

// Run runs the tests of a package and removes what Build made:
//
//	func TestMain(m *testing.M) { os.Exit(previous.Run(m)) }
func Run(m interface{ Run() int }) int {
	defer func() {
		if dir := made.Load(); dir != nil {
			os.RemoveAll(*dir)
		}
	}()
	return m.Run()
}

// errNoSource says why the source of the release cannot be had.
type errNoSource string

func (e errNoSource) Error() string {
	return "the source of " + Version + " cannot be had: " + string(e)
}

// made is the folder of the one build of the test binary: a test has no other place to share it.
var made atomic.Pointer[string]

var program = sync.OnceValues(func() (string, error) {
	root, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return "", errNoSource(err.Error())
	}
	at := ""
	for _, name := range []string{"refs/tags/" + Version, commit} {
		if at, err = git("rev-parse", "--verify", "--quiet", name+"^{commit}"); err == nil {
			break
		}
	}
	if err != nil {
		return "", errNoSource("neither its tag nor its commit is in this clone")
	}
	dir, err := os.MkdirTemp("", "muster-previous")
	if err != nil {
		return "", err
	}
	made.Store(&dir)
	archive := filepath.Join(dir, "source.tar")
	if _, err := git("-C", root, "archive", "-o", archive, at); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		return "", err
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w: %s", err, out)
	}
	path := filepath.Join(dir, "muster")
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "./cmd/muster")
	c.Dir = source
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build of %s: %w\n%s", Version, err, out)
	}
	return path, os.RemoveAll(source)
})

// git runs git where the test runs, which is inside the repository.
func git(args ...string) (string, error) {
	c := exec.Command("git", args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
