package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watched is a command of the program that was run beside its server.
type watched struct {
	out            string
	took           time.Duration
	cpu            time.Duration // of server and command, on all cores
	server, client float64       // resident at most, MiB; the server's since it was started
	anonymous      float64       // of the server's memory while the command ran, at most, MiB
	tenths         []tenth       // of what the command says it does, where it says so
}

// tenth is a tenth of the lines that a command goes through.
type tenth struct {
	line   int     // its last
	rate   float64 // lines a second
	server float64 // resident at its end, MiB
}

var saysLine = regexp.MustCompile(`: line (\d+), `)

// watch runs a command against the server and watches both. lines is how many the command
// goes through; 0: it says nothing of them.
func (d *deployment) watch(ctx context.Context, lines int, args ...string) (w watched, err error) {
	c := exec.CommandContext(ctx, d.bin, append(args, "--server", "http://"+d.addr)...)
	c.Env = append(os.Environ(), "MUSTER_TOKEN="+d.token)
	var out bytes.Buffer
	c.Stdout = &out
	says, err := c.StderrPipe()
	if err != nil {
		return w, err
	}
	idle, err := d.cpu()
	if err != nil {
		return w, err
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return w, err
	}
	most := mostOf(c.Process.Pid, nil, func(m memory) float64 { return m.most })
	over := make(chan struct{})
	anonymous := mostOf(d.cmd.Process.Pid, over, func(m memory) float64 { return m.anonymous })
	var last []string
	line, at := 0, began // where the tenth began
	for s := bufio.NewScanner(says); s.Scan(); {
		if last = append(last, s.Text()); len(last) > 20 {
			last = last[1:]
		}
		m := saysLine.FindStringSubmatch(s.Text())
		if m == nil || lines == 0 {
			continue
		}
		n, _ := strconv.Atoi(m[1]) // digits
		if n-line < lines/10 && n < lines {
			continue
		}
		held, err := d.memory()
		if err != nil {
			return w, err
		}
		w.tenths = append(w.tenths, tenth{n, float64(n-line) / time.Since(at).Seconds(), held.now})
		line, at = n, time.Now()
	}
	w.client = <-most
	close(over)
	w.anonymous = <-anonymous
	if err := c.Wait(); err != nil {
		return w, fmt.Errorf("muster %s: %w\n%s", args[0], err, strings.Join(last, "\n"))
	}
	w.took = time.Since(began)
	busy, err := d.cpu()
	if err != nil {
		return w, err
	}
	w.out = out.String()
	w.cpu = busy - idle + c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	m, err := d.memory()
	w.server = m.most
	return w, err
}

// mostOf gives what is asked of a process's memory at its highest, in MiB, once the process
// has ended or over is closed. It looks again and again: what the kernel says of a child
// that has ended counts the memory of who started it.
func mostOf(pid int, over <-chan struct{}, ask func(memory) float64) <-chan float64 {
	out := make(chan float64, 1)
	go func() {
		most := 0.0
		for {
			m, err := memoryOf(pid)
			if err != nil || m.now == 0 { // it has ended
				out <- most
				return
			}
			most = max(most, ask(m))
			select {
			case <-over:
				out <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return out
}

// say prints the tenths, so that one sees whether the rate falls or memory grows.
func (w *watched) say(r *run, what string) {
	for _, t := range w.tenths {
		r.say("%s: to line %d: %.0f lines/s, server %.0f MiB", what, t.line, t.rate, t.server)
	}
}

// falls is the rate of the last tenth against that of the second: the first warms up.
func (w *watched) falls() float64 {
	if len(w.tenths) < 3 {
		return 0
	}
	return w.tenths[len(w.tenths)-1].rate / w.tenths[1].rate
}

// cpu is what the server has computed so far, on all cores.
func (d *deployment) cpu() (time.Duration, error) {
	p, err := processOf(d.cmd.Process.Pid)
	return p.own, err
}

// computed is how long a process has computed.
type computed struct {
	parent     int
	own, ended time.Duration // computed by it; by those of its children that have ended
}

func processOf(pid int) (p computed, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return p, errors.New("/proc does not say what a process has computed")
	}
	var n [15]int
	for i := 1; i < len(n); i++ {
		n[i], _ = strconv.Atoi(fields[i]) // numbers (proc(5))
	}
	p.parent = n[1]
	p.own = time.Duration(n[11]+n[12]) * 10 * time.Millisecond // in hundredths of a second
	p.ended = time.Duration(n[13]+n[14]) * 10 * time.Millisecond
	return p, nil
}

// ownCPU is what this process has computed so far.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
