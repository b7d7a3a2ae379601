package previous

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestTheReleaseBefore(t *testing.T) {
	path := Build(t)
	out, err := exec.Command(path, "init", "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--origin") {
		t.Errorf("%v\n%s", err, out)
	}
	if again := Build(t); again != path {
		t.Errorf("built twice: %s and %s", path, again)
	}
}
