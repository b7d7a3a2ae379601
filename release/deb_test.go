package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const hostArchitecture = runtime.GOARCH

// TestPackageHoldsWhatItSays reads both packages with Debian's own tool.
func TestPackageHoldsWhatItSays(t *testing.T) {
	t.Parallel()
	r := setup(t)
	dpkg := tool(t, "dpkg-deb", "dpkg")
	for _, arch := range architectures {
		// 0.9.7~rc.1 sorts before 0.9.7.
		path := r.file(t, "muster_0.9.7~rc.1_"+arch+".deb")
		out, err := exec.CommandContext(t.Context(), dpkg, "--field", path, "Package", "Version", "Architecture", "Depends", "Recommends").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := "Package: muster\nVersion: 0.9.7~rc.1\nArchitecture: " + arch + "\nDepends: passwd\nRecommends: ca-certificates\n"; string(out) != want {
			t.Errorf("%s", out)
		}
		if out, err = exec.CommandContext(t.Context(), dpkg, "--fsys-tarfile", path).Output(); err != nil {
			t.Fatal(err)
		}
		files := unpack(t, bytes.NewReader(out))
		for path, must := range map[string]string{
			"usr/bin/muster":                                  "\x7fELF",
			"usr/lib/systemd/system/muster.service":           "[Service]",
			"etc/muster/muster.yaml":                          "origin:",
			"usr/share/doc/muster/copyright":                  "NOTICES.gz",
			"usr/share/doc/muster/NOTICES.gz":                 "Redistributions in binary form must reproduce",
			"usr/share/doc/muster/changelog.gz":               "# Changelog",
			"usr/share/man/man1/muster.1.gz":                  ".It Cm serve\nRun a deployment.",
			"usr/share/bash-completion/completions/muster":    "__complete",
			"usr/share/zsh/vendor-completions/_muster":        "#compdef muster",
			"usr/share/fish/vendor_completions.d/muster.fish": "__complete",
		} {
			f := files[path]
			if f == nil {
				t.Errorf("%s is not in the package for %s", path, arch)
				continue
			}
			data := f.data
			if strings.HasSuffix(path, ".gz") {
				data = gunzip(t, data)
			}
			if !bytes.Contains(data, []byte(must)) {
				t.Errorf("%s does not say %q", path, must)
			}
		}
		for path, f := range files {
			want := int64(0o644)
			if f.FileInfo().IsDir() || path == "usr/bin/muster" {
				want = 0o755
			}
			if f.Mode&0o7777 != want || f.Uname != "root" || f.Gname != "root" || f.ModTime.Unix() != 1795690800 {
				t.Errorf("%s: mode %o, %s:%s, %v", path, f.Mode, f.Uname, f.Gname, f.ModTime.UTC())
			}
		}
	}
}

func TestManualReads(t *testing.T) {
	t.Parallel()
	r := setup(t)
	man := tool(t, "man", "man-db")
	out, err := exec.CommandContext(t.Context(), tool(t, "dpkg-deb", "dpkg"), "--fsys-tarfile", r.file(t, "*_amd64.deb")).Output()
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "muster.1.gz")
	if err := os.WriteFile(page, unpack(t, bytes.NewReader(out))["usr/share/man/man1/muster.1.gz"].data, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), man, "--warnings", "-l", page)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANPAGER=cat")
	var text, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 || !strings.Contains(text.String(), "EXIT STATUS") || !strings.Contains(text.String(), "November 26, 2026") {
		t.Errorf("%v\n%s\n%s", err, errs.String(), text.String())
	}
}

// machine is this one with a layer over its disk, in name spaces of its own: what is
// installed in it, and whom it adds, is gone with it.
type machine struct {
	t     *testing.T
	root  string
	pid   int
	enter []string // before a command that runs in it
}

// setupMachine needs root, and a kernel that lets it mount: otherwise the test is
// skipped, with the reason.
func setupMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("packages are installed as root")
	}
	tool(t, "dpkg", "dpkg")
	m := &machine{t: t, root: t.TempDir()}
	// The shell keeps the name spaces alive until its input ends.
	script := `set -e
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
mount --rbind /dev "$0/root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$0/root/tmp"
echo mounted
read -r end || true`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, m.root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Skipf("no name space of its own: %v", err)
	}
	t.Cleanup(func() {
		input.Close()
		cmd.Wait() //nolint:errcheck // it ends with its input
	})
	said := make([]byte, len("mounted\n"))
	if n, _ := output.Read(said); string(said[:n]) != "mounted\n" {
		input.Close()
		cmd.Wait() //nolint:errcheck // what it wrote says more
		t.Skipf("no layer over this machine's disk: %s", errs.String())
	}
	m.pid, m.root = cmd.Process.Pid, m.root+"/root"
	m.enter = []string{"nsenter", "--target", fmt.Sprint(m.pid), "--mount", "chroot", m.root}
	return m
}

// take puts a file of this machine into its /srv.
func (m *machine) take(path, base string) {
	m.t.Helper()
	if err := run1(".", nil, "nsenter", "--target", fmt.Sprint(m.pid), "--mount", "cp", path, m.root+"/srv/"+base); err != nil {
		m.t.Fatal(err)
	}
}

// command runs in the machine; the network is shared with this one.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	args = slices.Concat(m.enter, []string{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, args)
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

func (m *machine) try(args ...string) (string, error) {
	out, err := m.command(m.t.Context(), args...).CombinedOutput()
	return string(out), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TestPackageIsInstalledUsedAndRemoved is an administrator's way: install, fill in the
// configuration, make the deployment, start it as the unit says, upgrade, remove, purge.
func TestPackageIsInstalledUsedAndRemoved(t *testing.T) {
	t.Parallel()
	r := setup(t)
	m := setupMachine(t)
	m.take(r.file(t, "*_"+hostArchitecture+".deb"), "muster.deb")
	m.run("dpkg", "-i", "/srv/muster.deb")
	if got := m.run("stat", "-c", "%n %U:%G %a", "/var/lib/muster", "/var/lib/muster-keys", "/etc/muster/muster.yaml", "/usr/bin/muster"); got != "/var/lib/muster muster:muster 700\n/var/lib/muster-keys muster:muster 700\n/etc/muster/muster.yaml root:root 644\n/usr/bin/muster root:root 755\n" {
		t.Errorf("installed:\n%s", got)
	}
	if got := m.run("getent", "passwd", "muster"); !strings.Contains(got, ":/nonexistent:/usr/sbin/nologin") {
		t.Errorf("the account is %s", got)
	}

	// As it comes it does not serve, and says what is missing.
	service := unit(t)
	start := strings.Fields(service["Service.ExecStart"][0])
	as := append([]string{"runuser", "-u", service["Service.User"][0], "-g", service["Service.Group"][0], "--"}, start...)
	if out, err := m.try(as...); err == nil || !strings.Contains(out, "origin names the log") {
		t.Errorf("without an origin: %v\n%s", err, out)
	}
	at := freeAddress(t)
	m.run("sed", "-i", "-e", `s#^origin:.*#origin: muster.example.net/log#`, "-e", "s#^listen:.*#listen: "+at+"#", "/etc/muster/muster.yaml")
	m.run("runuser", "-u", "muster", "--", "muster", "init", "--config", "/etc/muster/muster.yaml", "--operator", "Ada Obi", "--token-file", "/var/lib/muster/first.token")

	// What systemd would do is done by hand: user, umask, limits, word of readiness.
	serve := func() (stop func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cmd := m.command(ctx, append([]string{"sh", "-c", "umask " + service["Service.UMask"][0] + `; exec "$0" "$@"`}, as...)...)
		log := &said{}
		cmd.Stderr = log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		awaitOK(t, "http://"+at+"/readyz", ended, log)
		return func() {
			cancel()
			<-ended
			if !strings.Contains(log.String(), `"msg":"stopped"`) {
				t.Errorf("it did not end by itself:\n%s", log)
			}
		}
	}
	stop := serve()
	m.run("runuser", "-u", "muster", "--", "muster", "operator", "add", "Grace Lim", "--config", "/etc/muster/muster.yaml", "--token-file", "/var/lib/muster/first.token")
	stop()
	// Tiles of the log are for everybody whom the directory lets in.
	if got := m.run("find", "/var/lib/muster", "/var/lib/muster-keys", "-path", "/var/lib/muster/log", "-prune", "-o", "-perm", "/077", "-print"); got != "" {
		t.Errorf("others may read:\n%s", got)
	}
	if got := m.run("find", "/etc/muster", "/usr/bin/muster", "-user", "muster"); got != "" {
		t.Errorf("the service may change what it runs:\n%s", got)
	}

	// Installed over itself, as an upgrade is: configuration and records stay.
	m.run("dpkg", "-i", "/srv/muster.deb")
	if got := m.run("grep", "^origin", "/etc/muster/muster.yaml"); got != "origin: muster.example.net/log\n" {
		t.Errorf("the configuration was replaced: %s", got)
	}
	serve()()

	// Removed and purged, records and keys stay, and it says so.
	m.run("dpkg", "-r", "muster")
	for _, gone := range []string{"/usr/bin/muster", "/usr/lib/systemd/system/muster.service", "/usr/share/doc/muster"} {
		if out, err := m.try("test", "!", "-e", gone); err != nil {
			t.Errorf("%s is left %s", gone, out)
		}
	}
	m.run("test", "-e", "/etc/muster/muster.yaml")
	got := m.run("dpkg", "-P", "muster")
	if !strings.Contains(got, "these are left, and the account muster that owns them: /var/lib/muster /var/lib/muster-keys") {
		t.Errorf("purge says:\n%s", got)
	}
	m.run("test", "!", "-e", "/etc/muster")
	m.run("test", "-s", "/var/lib/muster-keys/root.key")
	m.run("sh", "-c", "rm -r /var/lib/muster /var/lib/muster-keys && userdel muster")
	if out, err := m.try("getent", "passwd", "muster"); err == nil {
		t.Errorf("what purge says to do leaves the account: %s", out)
	}
}

// TestScriptsAreShell: what runs as root at an installation is read by the shell first.
func TestScriptsAreShell(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"postinst", "prerm", "postrm"} {
		if err := run1(".", nil, "sh", "-n", "deb/"+base); err != nil {
			t.Error(err)
		}
	}
}
