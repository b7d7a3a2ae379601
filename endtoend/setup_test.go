package endtoend

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/previous"
)

func TestMain(m *testing.M) {
	flag.Parse()
	atOnce := flag.Lookup("test.parallel")
	if cores, _ := strconv.Atoi(atOnce.Value.String()); cores < 4 { // they wait for processes more than they work
		if err := atOnce.Value.Set("4"); err != nil {
			panic(err)
		}
	}
	os.Exit(pgtest.Run(binaries{m}))
}

// binaries removes the programs after the last test.
type binaries struct{ *testing.M }

func (b binaries) Run() int { return previous.Run(ours(b)) }

type ours struct{ *testing.M }

func (o ours) Run() int { return built.Run(o.M) }

// soak runs the long versions.
func soak() bool { return os.Getenv("MUSTER_SOAK") != "" }

// require skips where a program is not installed; with CI set it fails.
func require(t testing.TB, command, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(command); err != nil {
		missing(t, command+" is not installed (Debian: apt-get install "+pkg+")")
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// deployment is a deployment made with muster init.
type deployment struct {
	testing.TB
	binary string
	dir    string // muster.yaml, data, keys
	token  string // of the first operator: every scope
	dsn    string // of the data, on PostgreSQL; "" on SQLite
	keyDSN string
	files  map[string]*sql.DB // opened beside who uses them
}

// setup makes a deployment: on PostgreSQL or SQLite, of mode production or sandbox.
type setup struct {
	binary   string // "": the program of this tree
	postgres bool
	mode     string // "": production
	packs    []string
	solo     string         // solo_delay
	settings map[string]any // over what init wrote
	database func() string  // of PostgreSQL; nil: of the server that tests share
}

var tokenLine = regexp.MustCompile(`(?m)^\s+(muster_(?:production|sandbox)_\S+)$`)

func (s setup) make(t testing.TB) *deployment {
	t.Helper()
	if s.binary == "" {
		s.binary = built.Program(t)
	}
	d := &deployment{TB: t, binary: s.binary, dir: t.TempDir()}
	args := []string{"init", "--dir", filepath.Join(d.dir, "deployment"), "--listen", "127.0.0.1:0", "--mode", cmp.Or(s.mode, "production"), "--origin", "endtoend.example/log"}
	for _, p := range s.packs {
		args = append(args, "--pack", p)
	}
	if s.postgres {
		if s.database == nil {
			s.database = func() string { return pgtest.Database(t) }
		}
		d.dsn, d.keyDSN = s.database(), s.database()
		for flag, dsn := range map[string]string{"database": d.dsn, "key-database": d.keyDSN} {
			path := filepath.Join(d.dir, flag)
			if err := os.WriteFile(path, []byte(dsn+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--"+flag, path)
		}
	}
	d.dir = filepath.Join(d.dir, "deployment")
	out := d.muster(args...)
	m := tokenLine.FindSubmatch(out)
	if m == nil {
		t.Fatalf("init shows no token:\n%s", out)
	}
	d.token = string(m[1])
	if s.solo != "" || s.settings != nil {
		settings := map[string]any{"solo_delay": cmp.Or(s.solo, "24h")}
		maps.Copy(settings, s.settings)
		d.configure(settings)
	}
	return d
}

func (d *deployment) config() string { return filepath.Join(d.dir, "muster.yaml") }

// configure changes the configuration.
func (d *deployment) configure(settings map[string]any) {
	d.Helper()
	conf := map[string]any{}
	data, err := os.ReadFile(d.config())
	if err == nil {
		err = yaml.Unmarshal(data, &conf)
	}
	maps.Copy(conf, settings)
	if err == nil {
		data, err = yaml.Marshal(conf)
	}
	if err == nil {
		err = os.WriteFile(d.config(), data, 0o600)
	}
	if err != nil {
		d.Fatal(err)
	}
}

// muster runs a command to its end and returns its output.
func (d *deployment) muster(args ...string) []byte {
	d.Helper()
	out, errs, err := d.try(args...)
	if err != nil {
		d.Fatalf("muster %v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

// try runs a command that may fail.
func (d *deployment) try(args ...string) (out, errs []byte, err error) {
	ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, d.binary, args...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err = c.Run()
	return o.Bytes(), e.Bytes(), err
}

// audit is what muster log audit says.
type audit struct {
	Size      int64          `json:"size"`
	Published int64          `json:"published"`
	ByType    map[string]int `json:"by_type"`
	Findings  []string       `json:"findings"`
}

// audit fails unless the audit is clean and all is published. On SQLite nobody may serve.
func (d *deployment) audit() audit {
	d.Helper()
	a := d.auditLive()
	if a.Published != a.Size {
		d.Fatalf("not all is published: %+v", a)
	}
	return a
}

// auditLive is audit beside servers that append and publish.
func (d *deployment) auditLive() audit {
	d.Helper()
	out, errs, err := d.try("log", "audit", "--config", d.config(), "--json")
	if err != nil {
		d.Fatalf("log audit: %v\n%s%s", err, out, errs)
	}
	var a audit
	if err := json.Unmarshal(out, &a); err != nil {
		d.Fatalf("log audit says %q: %v", out, err)
	}
	if len(a.Findings) > 0 {
		d.Fatalf("the audit is not clean: %+v", a)
	}
	return a
}

// process is muster serve, running.
type process struct {
	*client
	d      *deployment
	cmd    *exec.Cmd
	log    *record
	exited chan struct{} // closed with the process
	err    error         // of it, after exited
}

// serving bounds how long a process takes until it listens, or ends: it only keeps a test
// from waiting for ever.
const serving = 3 * time.Minute

// start runs muster serve and waits until it listens. env is added to the
// environment; prefix is put before the command (strace).
func (d *deployment) start(prefix []string, env ...string) *process {
	d.Helper()
	return d.launch(append(slices.Clone(prefix), d.binary, "serve", "--config", d.config(), "--listen", "127.0.0.1:0"), env...)
}

// launch runs a command that serves, and waits until it listens.
func (d *deployment) launch(args []string, env ...string) *process {
	d.Helper()
	p := &process{d: d, cmd: exec.Command(args[0], args[1:]...), log: &record{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that a tracer goes with it
	p.cmd.Stdout = p.log
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		d.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		d.Fatal(err)
	}
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(io.TeeReader(errs, p.log))
		for {
			text, err := lines.ReadBytes('\n')
			var l struct{ Msg, Address string }
			if json.Unmarshal(text, &l) == nil && l.Msg == "serving" {
				address <- l.Address
			}
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	d.Cleanup(func() {
		p.kill()
		if d.Failed() {
			d.Logf("%s, process %d, said at last:\n%s", filepath.Base(args[0]), p.cmd.Process.Pid, p.log.tail())
		}
	})
	select {
	case a := <-address:
		p.client = newClient(d, "http://"+a, d.token)
	case <-p.exited:
		d.Fatalf("the server ended: %v\n%s", p.err, p.log.tail())
	case <-time.After(serving):
		d.Fatalf("the server does not listen\n%s", p.log.tail())
	}
	return p
}

// kill is SIGKILL, and returns when the process is gone.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// stop is SIGTERM: an orderly end.
func (p *process) stop() {
	p.d.Helper()
	p.end()
	if p.err != nil {
		p.d.Errorf("the server ended with %v\n%s", p.err, p.log.tail())
	}
}

// end is SIGTERM, for the server and what it was started with.
func (p *process) end() {
	p.d.Helper()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(serving):
		p.d.Fatalf("the server does not end\n%s", p.log.tail())
	}
}

// record keeps all that a process printed.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.text.Bytes())
}

// tail is the end of it: enough to see why, and few enough for one screen each.
func (r *record) tail() []byte {
	b := r.bytes()
	return b[max(0, len(b)-3000):]
}

// eventually polls until done reports true.
func eventually(t testing.TB, within time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}
