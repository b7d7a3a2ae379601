package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/internal/previous"
)

const operatePage = "../../docs/operate.md"

func operate(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(operatePage)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// section is the text below a heading, up to the next of its level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", operatePage, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	text, _, _ = strings.Cut(text, "\n"+level+" ")
	return text
}

// firstCells are the code words that open the rows of tables.
func firstCells(text string) (cells []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		cells = append(cells, m[1])
	}
	return cells
}

func sameNames(t *testing.T, what string, page, program []string) {
	t.Helper()
	for _, name := range program {
		if !slices.Contains(page, name) {
			t.Errorf("%s %s is not in docs/operate.md", what, name)
		}
	}
	for _, name := range page {
		if !slices.Contains(program, name) {
			t.Errorf("docs/operate.md has the %s %s, which is not there", what, name)
		}
	}
}

func TestOperatePageHasEveryKeyOfTheConfiguration(t *testing.T) {
	t.Parallel()
	text, _, _ := strings.Cut(section(t, operate(t), "## Configuration"), "\n### ")
	sameNames(t, "key", firstCells(text), keysOf(reflect.TypeFor[Config](), ""))
}

// keysOf are the YAML keys of a struct, dotted.
func keysOf(s reflect.Type, above string) (keys []string) {
	for i := range s.NumField() {
		f := s.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			keys = append(keys, keysOf(inner, above+name+".")...)
			continue
		}
		keys = append(keys, above+name)
	}
	return keys
}

func TestOperatePageHasEveryVariable(t *testing.T) {
	t.Parallel()
	program := []string{"MUSTER_CONFIG", "MUSTER_SERVER", "MUSTER_TOKEN"}
	for name := range new(Config).environment() {
		program = append(program, name)
	}
	text, _, _ := strings.Cut(section(t, operate(t), "### Environment"), "\n## ")
	sameNames(t, "variable", firstCells(text), program)
}

func TestOperatePageHasEveryScope(t *testing.T) {
	t.Parallel()
	var program []string
	for _, s := range muster.Scopes {
		program = append(program, string(s))
	}
	_, text, _ := strings.Cut(section(t, operate(t), "## Operators and tokens"), "| scope |")
	sameNames(t, "scope", firstCells(text), program)
}

// TestOperatePageNamesCommandsThatExist holds every `muster ...` on the page,
// in blocks and in the text, against the command line.
func TestOperatePageNamesCommandsThatExist(t *testing.T) {
	t.Parallel()
	page := strings.ReplaceAll(operate(t), "\\\n", " ")
	found := 0
	for _, m := range regexp.MustCompile("(?m)(?:^|[`(])(?:/usr/local/bin/)?muster ([a-z][^`\n)]*)").FindAllStringSubmatch(page, -1) {
		words := strings.Fields(m[1])
		cmd, rest, err := newRoot(terminal{nil, io.Discard, io.Discard}).Find(words)
		if words[0] == "completion" {
			continue // made by the library when it runs
		}
		if err != nil || !cmd.HasParent() {
			t.Errorf("docs/operate.md says %q: no such command", "muster "+m[1])
			continue
		}
		found++
		if cmd.HasSubCommands() && !strings.Contains(cmd.Use, " ") && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") { // import takes both
			t.Errorf("docs/operate.md says %q: no such command", "muster "+m[1])
		}
		for _, w := range rest {
			if !strings.HasPrefix(w, "--") {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
			if !hasFlag(cmd, name) {
				t.Errorf("docs/operate.md says %q: no flag --%s", "muster "+m[1], name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands found on the page: it is not read as it should be", found)
	}
}

func hasFlag(c *cobra.Command, name string) bool {
	return name == "help" || c.Flags().Lookup(name) != nil || c.InheritedFlags().Lookup(name) != nil
}

// TestOperatePageRuns runs the page: its sh blocks, in order, in an empty
// directory, with the port replaced by a free one.
func TestOperatePageRuns(t *testing.T) {
	t.Parallel()
	page, upgrade := operate(t), section(t, operate(t), "## Upgrade")
	d := newDrill(t)
	d.run(blocks(t, strings.Replace(page, upgrade, "", 1), 8), "",
		"every key opens", "epoch 2 began", "epoch 3 began", "clean: every leaf has its record", "in-cert-in observes", "self-signed", "reads back and opens",
		"restored: what was acknowledged", "does not open the key")
}

// TestOperatePageUpgrades runs its section about upgrades on a deployment that the
// previous release made, and which serves.
func TestOperatePageUpgrades(t *testing.T) {
	t.Parallel()
	old := previous.Build(t)
	page := operate(t)
	d := newDrill(t)
	if err := os.Symlink(old, filepath.Join(d.bin, "muster-0.1.0")); err != nil {
		t.Fatal(err)
	}
	apply, _, ok := strings.Cut(blocks(t, section(t, page, "## Try an application"), 1), "muster apply")
	if !ok {
		t.Fatal("the page does not apply any more")
	}
	begin := `muster-0.1.0 init --dir prod --listen 127.0.0.1:8420 --origin muster.example.net/log --operator "Ada Obi" --token-file ada.token
muster-0.1.0 serve --config prod/muster.yaml 2>prod-server.log &
server=$!
export MUSTER_CONFIG="$PWD/prod/muster.yaml"
until muster-0.1.0 operator list --token-file ada.token >/dev/null 2>&1; do sleep 0.2; done
` + apply + `muster-0.1.0 apply one.ndjson --token-file ada.token
`
	out := d.run(blocks(t, section(t, page, "## Upgrade"), 3), begin,
		"reads back and opens", "clean: every leaf has its record", "newer than this program", "restored: what was acknowledged",
		"no good token carries", "in keys.token", "no key turns")
	if n := strings.Count(out, "clean: every leaf has its record"); n != 2 {
		t.Errorf("%d audits were clean, of two", n)
	}
	if strings.Contains(out, "fail ") {
		t.Errorf("the doctor finds a fault:\n%s", out)
	}
}

// blocks are the sh blocks of a text, at least so many.
func blocks(t *testing.T, text string, least int) string {
	t.Helper()
	var script strings.Builder
	all := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(all) < least {
		t.Fatalf("only %d blocks to run on the page", len(all))
	}
	for _, b := range all {
		script.WriteString(b[1])
	}
	return script.String()
}

// drill is a machine to run the page's commands on.
type drill struct {
	*testing.T
	bash, dir, bin string
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("bash is missing")
		}
		t.Skip("bash is missing")
	}
	d := &drill{T: t, bash: bash, dir: t.TempDir(), bin: t.TempDir()}
	if err := os.Symlink(built.Program(t), filepath.Join(d.bin, "muster")); err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs a script after another that makes what it needs, and holds what they say.
func (d *drill) run(script, begin string, wants ...string) string {
	d.Helper()
	script = "set -euo pipefail\ntrap 'test -z \"$(jobs -p)\" || kill $(jobs -p)' EXIT\n" + begin + script
	c := exec.CommandContext(d.Context(), d.bash, "-c", strings.ReplaceAll(script, "127.0.0.1:8420", loopback.Address(d)))
	c.Dir = d.dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MUSTER_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "PATH="+d.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	if err != nil {
		logs, _ := os.ReadFile(filepath.Join(d.dir, "prod-server.log"))
		d.Fatalf("%v\n%s\n%s", err, out, logs[max(0, len(logs)-4000):])
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			d.Errorf("the page's commands never said %q:\n%s", want, out)
		}
	}
	return string(out)
}
