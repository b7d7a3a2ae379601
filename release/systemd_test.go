package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// boot starts systemd in a machine, as its first process, and no more services than a
// shell needs. From then on commands run beside it. Where a systemd cannot be started
// the test is skipped, with what it said.
func (m *machine) boot() {
	m.t.Helper()
	tool(m.t, "systemd-nspawn", "systemd-container")
	group := fmt.Sprintf("muster-test-systemd-%d", os.Getpid())
	// A place of its own among the control groups: two that share one are in each other's way.
	const script = `set -e
for at in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
	if [ -e $at/cgroup.procs ]; then
		mkdir $at/$1
		echo $$ >$at/$1/cgroup.procs
	fi
done
umount -R "$0/dev" "$0/proc" "$0/tmp" # it has its own
exec systemd-nspawn --quiet --directory="$0" --register=no --keep-unit --settings=no --link-journal=no \
	--resolv-conf=off --timezone=off --console=pipe --boot systemd.unit=basic.target systemd.log_target=console`
	ctx, cancel := context.WithCancel(context.Background()) // it is shut down after the test
	cmd := exec.CommandContext(ctx, "nsenter", "--target", fmt.Sprint(m.pid), "--mount", "sh", "-c", script, m.root, group)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	console := &said{}
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		close(ended)
	}()
	m.t.Cleanup(func() {
		cancel()
		<-ended
		for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
			removeGroups(filepath.Join(at, group))
		}
	})
	plain := m.enter
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if first := childOf(cmd.Process.Pid); first != 0 {
			m.enter = []string{"nsenter", "--target", fmt.Sprint(first), "--all"}
			if out, _ := m.try("systemctl", "is-system-running", "--wait"); out == "running\n" || out == "degraded\n" {
				return
			}
		}
		select {
		case err := <-ended:
			m.enter = plain
			m.t.Skipf("no systemd can be started here: %v\n%s", err, console)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			cancel()
			<-ended
			m.t.Fatalf("systemd does not come up:\n%s", console)
		}
	}
}

// childOf is a process that another has started; 0 for none yet.
func childOf(parent int) (child int) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var state string
		var of int
		pid, rest, _ := strings.Cut(string(b), " (")
		if _, err := fmt.Sscan(rest[strings.LastIndex(rest, ")")+1:], &state, &of); err == nil && of == parent {
			fmt.Sscan(pid, &child) //nolint:errcheck // of the kernel
		}
	}
	return child
}

// removeGroups takes away a control group and those below it, which nobody is in.
func removeGroups(top string) {
	var all []string
	filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error { //nolint:errcheck // what is not there need not go
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for _, path := range slices.Backward(all) {
		os.Remove(path)
	}
}

// property is what systemd says of the service.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "muster", "--value", "-p", name))
}

// journal is the end of what the service has written. What it wrote last may be on its way
// to the journal when it has ended.
func (m *machine) journal() string {
	m.t.Helper()
	m.run("journalctl", "--sync")
	return m.run("journalctl", "-u", "muster", "-n", "40", "-o", "cat", "--no-pager")
}

// journalOf is journal for who asks later.
type journalOf struct{ *machine }

func (j journalOf) String() string { return j.journal() }

// TestServiceUnderSystemd is the package's unit under the program that it is for: what
// is active answers, a crash is mended, an upgrade restarts it, a stop is clean, its
// fences stand, the root key may be a credential, and without one it is not tried again.
func TestServiceUnderSystemd(t *testing.T) {
	t.Parallel()
	r := setup(t)
	m := setupMachine(t)
	m.take(r.file(t, "*_"+hostArchitecture+".deb"), "muster.deb")
	m.boot()
	at := freeAddress(t)
	answers := func(when string) {
		t.Helper()
		for {
			response, err := http.Get("http://" + at + "/readyz")
			if err != nil {
				t.Fatalf("%s: active, and does not answer: %v\n%s", when, err, m.journal())
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			switch {
			case response.StatusCode == http.StatusOK:
				return
			case !strings.Contains(string(text), "not answer in time"): // which is the machine's fault
				t.Errorf("%s: active, and not ready: %s %s %v\n%s", when, response.Status, text, err, m.journal())
				return
			}
		}
	}

	m.run("dpkg", "-i", "/srv/muster.deb")
	if out, _ := m.try("systemctl", "is-enabled", "muster"); out != "disabled\n" || m.property("ActiveState") != "inactive" {
		t.Errorf("after the installation it is %s", out)
	}
	m.run("sed", "-i", "-e", `s#^origin:.*#origin: muster.example.net/log#`, "-e", "s#^listen:.*#listen: "+at+"#", "/etc/muster/muster.yaml")
	m.run("runuser", "-u", "muster", "--", "muster", "init", "--config", "/etc/muster/muster.yaml", "--operator", "Ada Obi", "--token-file", "/var/lib/muster/first.token")
	m.run("systemctl", "enable", "--now", "muster")
	answers("first start")

	first := m.property("MainPID")
	status := m.run("cat", "/proc/"+first+"/status")
	for _, fence := range []string{"CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n", "Umask:\t0077\n"} {
		if !strings.Contains(status, fence) {
			t.Errorf("a fence is not there: %q of\n%s", fence, status)
		}
	}
	if got := m.run("stat", "-c", "%U:%G", "/proc/"+first); got != "muster:muster\n" {
		t.Errorf("it runs as %s", got)
	}
	inside := func(args ...string) error {
		_, err := m.try(append([]string{"nsenter", "--target", first, "--mount"}, args...)...)
		return err
	}
	for _, path := range []string{"/usr/bin/x", "/etc/muster/x", "/var/x"} {
		if inside("touch", path) == nil {
			t.Errorf("%s can be written where the service lives", path)
		}
	}
	if err := inside("touch", "/var/lib/muster/x"); err != nil {
		t.Errorf("its own directory cannot be written: %v", err)
	}

	m.run("systemctl", "start", "muster")
	if got := m.property("MainPID"); got != first {
		t.Error("what runs is started again")
	}
	m.run("kill", "-KILL", first)
	awaitOK(t, "http://"+at+"/readyz", nil, journalOf{m})
	if got := m.property("NRestarts"); got != "1" || m.property("MainPID") == first {
		t.Errorf("after a crash: %s restarts", got)
	}
	before := m.property("MainPID")
	m.run("dpkg", "-i", "/srv/muster.deb")
	answers("upgrade")
	if m.property("MainPID") == before {
		t.Error("an upgrade leaves the old program running")
	}
	m.run("systemctl", "stop", "muster")
	if got := m.property("Result"); got != "success" || !strings.Contains(m.journal(), `"msg":"stopped","error":null`) {
		t.Errorf("a stop ends in %s\n%s", got, m.journal())
	}

	// The root key as a credential: nobody but systemd and the service has it.
	m.run("sh", "-c", `install -D -m 600 /var/lib/muster-keys/root.key /etc/credstore/muster-root
		rm /var/lib/muster-keys/root.key
		echo 'root_key: credential:muster-root' >>/etc/muster/muster.yaml`)
	m.run("systemctl", "start", "muster")
	answers("with a credential")
	m.run("systemctl", "stop", "muster")
	m.run("rm", "/etc/credstore/muster-root")
	if out, err := m.try("systemctl", "start", "muster"); err == nil || !strings.Contains(m.journal(), "put the root key back") {
		t.Errorf("without its key it starts, or does not say why not: %s\n%s", out, m.journal())
	}
	if state, status := m.property("ActiveState"), m.property("ExecMainStatus"); state != "failed" || status != "4" {
		t.Errorf("what nothing but a person mends is %s after status %s: it is tried again", state, status)
	}

	m.run("dpkg", "-r", "muster")
	if out, err := m.try("systemctl", "cat", "muster"); err == nil {
		t.Errorf("the unit is left: %s", out)
	}
	if got := m.run("find", "/etc/systemd/system", "-name", "muster*"); got != "" {
		t.Errorf("removed, and still enabled: %s", got)
	}
	if got := m.run("dpkg", "-P", "muster"); !strings.Contains(got, "these are left") {
		t.Errorf("purge says:\n%s", got)
	}
}
