package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build compiles the program under measurement, without C.
func build(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "muster")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "github.com/muster-cip/muster/cmd/muster")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("muster does not build: %w\n%s", err, out)
	}
	return bin, nil
}

// deployment is a Muster on this machine: made by init, run by serve.
type deployment struct {
	bin, dir, token string
	addr            string // host:port
	cmd             *exec.Cmd
	errors          *bytes.Buffer
}

var secret = regexp.MustCompile(`(?m)^\s+(\S{20,})\s*$`)

// newDeployment runs muster init. dsn and keys are PostgreSQL's, both "" for SQLite.
func newDeployment(ctx context.Context, bin, dir, dsn, keys string) (*deployment, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	d := &deployment{bin: bin, dir: dir, addr: addr}
	args := []string{"init", "--dir", dir, "--listen", addr, "--origin", "bench.muster.example/log"}
	if dsn != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		for name, v := range map[string]string{"database": dsn, "key-database": keys} {
			path := filepath.Join(dir, name+".dsn")
			if err := os.WriteFile(path, []byte(v+"\n"), 0o600); err != nil {
				return nil, err
			}
			args = append(args, "--"+name, path)
		}
	}
	out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("muster init: %w\n%s", err, out)
	}
	m := secret.FindSubmatch(out)
	if m == nil {
		return nil, errors.New("muster init shows no token")
	}
	d.token = string(m[1])
	return d, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs muster serve and returns how long it took until it was ready and a
// route that reads the store had answered.
func (d *deployment) start(ctx context.Context) (time.Duration, error) {
	d.errors = &bytes.Buffer{}
	d.cmd = exec.Command(d.bin, "serve", "--config", filepath.Join(d.dir, "muster.yaml"), "--listen", d.addr)
	d.cmd.Stderr = d.errors
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, path := range []string{"/readyz", "/v1/customers?limit=1"} {
		for {
			if _, err := d.get(ctx, path); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				d.stop()
				return 0, fmt.Errorf("muster serve was not ready: %s", d.errors)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	return time.Since(began), nil
}

func (d *deployment) get(ctx context.Context, path string) ([]byte, error) {
	return d.call(ctx, http.MethodGet, path, nil)
}

// call sends one request and returns what a 200 says.
func (d *deployment) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+d.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 5 * time.Minute}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d", path, res.StatusCode)
	}
	return answer, err
}

// metric sums the samples of one name of the server's metrics.
func (d *deployment) metric(ctx context.Context, name string) (float64, error) {
	body, err := d.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		label, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		base, _, _ := strings.Cut(label, "{")
		if !ok || base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}

// memory is resident memory, in MiB.
type memory struct {
	now, most float64
	anonymous float64 // of now, what is of no file: heaps and caches
}

func (d *deployment) memory() (memory, error) { return memoryOf(d.cmd.Process.Pid) }

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	field := func(name string) float64 {
		m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB`).FindSubmatch(text)
		if m == nil {
			return 0
		}
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		return v / 1024
	}
	return memory{field("VmRSS"), field("VmHWM"), field("RssAnon")}, nil
}

// stop ends the server as an operator would.
func (d *deployment) stop() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_ = d.cmd.Wait() // its exit code says how it was stopped, by us
		close(done)
	}()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill()
		<-done
	}
	d.cmd = nil
}
