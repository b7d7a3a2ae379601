// Package built builds the program of this tree for the tests that run it as its users do.
//
// Rules of this room:
//   - Once for a test binary, without cgo and the race detector: what runs is what is
//     released, and one build cache serves every test that asks. Run removes it.
//   - Where MUSTER_BINARY names a program, that is the one: test.sh builds it first.
package built

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Program returns the path of the program.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Run runs the tests of a package and removes what Program made:
//
//	func TestMain(m *testing.M) { os.Exit(built.Run(m)) }
func Run(m interface{ Run() int }) int {
	defer func() {
		if dir := made.Load(); dir != nil {
			os.RemoveAll(*dir)
		}
	}()
	return m.Run()
}

// made is the folder of the one build of the test binary: a test has no other place to share it.
var made atomic.Pointer[string]

var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("MUSTER_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "muster-built")
	if err != nil {
		return "", err
	}
	made.Store(&dir)
	return Build(dir)
})

// Build builds the program into dir; flags go to go build.
func Build(dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, "muster")
	c := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", path}, flags...), "github.com/muster-cip/muster/cmd/muster")...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
