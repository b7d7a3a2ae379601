package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const unitFile = "deb/muster.service"

// unit is a systemd unit as far as the tests read one: section.key, its values.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	all, section := map[string][]string{}, ""
	for line := range strings.Lines(string(read(t, unitFile))) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		} else if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			all[section+"."+key] = append(all[section+"."+key], value)
		}
	}
	return all
}

// tool is the path of a program that Debian has in the named package.
func tool(t *testing.T, command, debian string) string {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing (Debian: %s)", command, debian)
		}
		t.Skipf("%s is missing (Debian: %s)", command, debian)
	}
	return path
}

// exposureBound is what `systemd-analyze security` may count: 0.0 is a unit that can
// do nothing, 10.0 one without any fence. It counted 1.2 when this was written.
const exposureBound = "15" // tenths

func TestUnitIsValidAndFenced(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze", "systemd")
	check := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		return string(out), err
	}
	// A program that is there stands for the one that is not installed here.
	text := strings.Replace(string(read(t, unitFile)), "/usr/bin/muster ", "/bin/sh ", 1)
	at := filepath.Join(t.TempDir(), "muster.service")
	verify := func(text string) (string, error) {
		t.Helper()
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return check("verify", "--man=no", at)
	}
	if out, err := verify(text); err != nil || strings.Contains(out, "muster") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, _ := verify(strings.Replace(text, "NoNewPrivileges=yes", "NoNewPrivilege=yes", 1)); !strings.Contains(out, "NoNewPrivilege") {
		t.Errorf("verify says nothing of a misspelt key:\n%s", out)
	}
	if out, err := check("security", "--help"); err != nil || !strings.Contains(out, "--offline") {
		t.Skip("this systemd does not look at units that are not loaded")
	}
	if out, err := check("security", "--offline=true", "--threshold="+exposureBound, "--no-pager", unitFile); err != nil {
		t.Errorf("more exposed than %s tenths:\n%s", exposureBound, out)
	}
}

// TestUnitAllowsWhatTheProgramCalls traces the program through a life and holds every
// system call against the filter of the unit: what systemd would refuse in production
// is seen here.
func TestUnitAllowsWhatTheProgramCalls(t *testing.T) {
	t.Parallel()
	r := setup(t)
	strace, analyze := tool(t, "strace", "strace"), tool(t, "systemd-analyze", "systemd")
	place, err := os.MkdirTemp(scratch, "traced")
	if err != nil {
		t.Fatal(err)
	}
	program, trace, dir := filepath.Join(place, "muster"), filepath.Join(place, "trace"), filepath.Join(place, "d")
	at := freeAddress(t)
	if err := run1(".", nil, "cp", r.programs(t)[hostArchitecture], program); err != nil {
		t.Fatal(err)
	}
	if err := run1(".", nil, program, "init", "--dir", dir, "--listen", at, "--token-file", filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	ended, log := make(chan error, 1), &said{}
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", trace, program, "serve", "--config", filepath.Join(dir, "muster.yaml"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 { // the service is nobody's, and what root may do it does not try
		if err := run1(".", nil, "chown", "-R", fmt.Sprintf("%d:%[1]d", nobody), place); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	awaitOK(t, "http://"+at+"/readyz", ended, log)
	if err := run1(".", []string{"MUSTER_TOKEN="}, program, "operator", "add", "Grace", "--config", filepath.Join(dir, "muster.yaml"), "--token-file", filepath.Join(dir, "token")); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve ended with %v\n%s", err, log)
	}
	allowed := filtered(t, analyze, unit(t)["Service.SystemCallFilter"])
	seen := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(string(read(t, trace))))
	lines.Buffer(nil, 1<<20)
	for call := regexp.MustCompile(`^\d+ +([a-z0-9_]+)\(`); lines.Scan(); {
		if m := call.FindStringSubmatch(lines.Text()); m != nil {
			seen[m[1]] = true
		}
	}
	if len(seen) < 20 || !seen["fsync"] && !seen["fdatasync"] {
		t.Fatalf("the trace is not read as it should be: %v", seen)
	}
	// Where it is told no, the program goes on: each has its reason.
	refused := map[string]string{
		"prlimit64": "Go raises its limit of open files at its start, and takes no for an answer; the unit sets the limit",
		"execve":    "of strace",
	}
	for call := range seen {
		if !allowed[call] && refused[call] == "" {
			t.Errorf("the program calls %s, which the unit refuses", call)
		}
	}
}

// filtered are the calls that lines of SystemCallFilter= let, in order: sets are added,
// those after ~ are taken away.
func filtered(t *testing.T, analyze string, lines []string) map[string]bool {
	t.Helper()
	allowed := map[string]bool{}
	var members func(set string) []string
	members = func(set string) (calls []string) {
		if !strings.HasPrefix(set, "@") {
			return []string{set}
		}
		out, err := exec.CommandContext(t.Context(), analyze, "syscall-filter", set).Output()
		if err != nil {
			t.Fatalf("%s: %v", set, err)
		}
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			if line != "" && line != set && !strings.HasPrefix(line, "#") {
				calls = append(calls, members(line)...)
			}
		}
		return calls
	}
	for _, line := range lines {
		line, away := strings.CutPrefix(line, "~")
		for set := range strings.FieldsSeq(line) {
			for _, call := range members(set) {
				allowed[call] = !away
			}
		}
	}
	if !allowed["openat"] || allowed["reboot"] || allowed["mount"] {
		t.Fatal("the filter is not read as it should be")
	}
	return allowed
}

// freeAddress is one on which nobody listens, nor will by chance: a port of 127.0.0.1 that
// was free may be another test's by the time a server is told of it.
func freeAddress(t *testing.T) string {
	t.Helper()
	var b [3]byte
	rand.Read(b[:])
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", b[0], b[1], 1+b[2]%254))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// said is what a program wrote that may be running.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// String is the end of it, for the message of a test that fails.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.text.Bytes()
	return string(b[max(0, len(b)-4000):])
}

// awaitOK asks until the answer is 200, or the server has ended. Who is asked says log.
func awaitOK(t *testing.T, url string, ended <-chan error, log fmt.Stringer) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as probes of a cluster
	for deadline := time.Now().Add(3 * time.Minute); ; {
		response, err := client.Get(url)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(response.Status)
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended before %s was asked: %v\n%s", url, err, log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", url, err, log)
		}
	}
}
