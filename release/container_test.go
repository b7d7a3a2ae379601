package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// copied has skopeo copy the image of a machine out of the archive, as a layout of its
// own: this is how an image comes to whoever runs it.
func (r *releases) copied(t *testing.T, arch string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "layout")
	if err := run1(".", nil, tool(t, "skopeo", "skopeo"), "copy", "--quiet", "--insecure-policy", "--override-arch", arch,
		"oci-archive:"+r.file(t, "*-image.tar")+":"+version, "oci:"+dir+":"+version); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestContainerToolsReadTheImage: programs that did not make the image, and that people
// have, find in it what was made.
func TestContainerToolsReadTheImage(t *testing.T) {
	t.Parallel()
	r := setup(t)
	skopeo, archive := tool(t, "skopeo", "skopeo"), "oci-archive:"+r.file(t, "*-image.tar")+":"+version
	_, images := r.images(t)
	for arch, image := range images {
		out, err := exec.CommandContext(t.Context(), skopeo, "inspect", "--config", "--override-arch", arch, archive).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Architecture string
			Config       v1.Config
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.Architecture != arch || got.Config.User != fmt.Sprintf("%d:%[1]d", nobody) || len(got.Config.Volumes) != 2 {
			t.Errorf("%s: %s", arch, out)
		}
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		if out, err = exec.CommandContext(t.Context(), skopeo, "inspect", "--override-arch", arch, archive).Output(); err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			if digest, err := l.Digest(); err != nil || !bytes.Contains(out, []byte(digest.String())) {
				t.Errorf("%s: no layer %s in\n%s", arch, digest, out)
			}
		}
	}
	// Both machines at once, as a registry gets them, and Docker's own form.
	dir := t.TempDir()
	for _, to := range [][]string{{"--all", "dir:" + filepath.Join(dir, "all")}, {"docker-archive:" + filepath.Join(dir, "docker.tar") + ":muster:" + version}} {
		args := slices.Concat([]string{"copy", "--quiet", "--insecure-policy"}, to[:len(to)-1], []string{archive}, to[len(to)-1:])
		if err := run1(".", nil, skopeo, args...); err != nil {
			t.Error(err)
		}
	}
}

// TestContainerRuns is the image in a container, unpacked by umoci and started by runc:
// its own user, a root that cannot be written, volumes as an engine makes them, SIGTERM.
func TestContainerRuns(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("containers are started as root")
	}
	r := setup(t)
	umoci, runc := tool(t, "umoci", "umoci"), tool(t, "runc", "runc")
	bundle, err := os.MkdirTemp(scratch, "bundle")
	if err != nil {
		t.Fatal(err)
	}
	if err := run1(".", nil, umoci, "unpack", "--image", r.copied(t, hostArchitecture)+":"+version, filepath.Join(bundle, "b")); err != nil {
		t.Fatal(err)
	}
	b := runtimeBundle{t: t, dir: filepath.Join(bundle, "b"), runc: runc, state: filepath.Join(bundle, "state")}
	at := freeAddress(t)
	config := filepath.Join(bundle, "muster.yaml")
	if err := os.WriteFile(config, []byte("origin: muster.example.net/log\nlisten: "+at+"\ndata: /var/lib/muster\nkeys: /var/lib/muster-keys\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	mounts := []map[string]any{
		{"destination": "/etc/muster/muster.yaml", "type": "bind", "source": config, "options": []string{"bind", "ro"}},
		{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=1777"}},
	}
	for _, path := range []string{"/var/lib/muster", "/var/lib/muster-keys"} {
		// A new volume of an engine has the owner and mode that the image has there.
		volume := filepath.Join(bundle, filepath.Base(path))
		if err := run1(".", nil, "cp", "-a", filepath.Join(b.dir, "rootfs", path), volume); err != nil {
			t.Fatal(err)
		}
		mounts = append(mounts, map[string]any{"destination": path, "type": "bind", "source": volume, "options": []string{"bind"}})
	}
	b.configure(nil, "version")
	if out, err := b.command("try").CombinedOutput(); err != nil {
		if strings.Contains(string(out), "cgroup") || strings.Contains(string(out), "operation not permitted") {
			t.Skipf("no container can be started here: %v\n%s", err, out)
		}
		t.Fatalf("%v\n%s", err, out)
	} else if !strings.HasPrefix(string(out), "muster "+version+" ") {
		t.Errorf("it says %s", out)
	}
	b.configure(mounts, "init", "--config", "/etc/muster/muster.yaml", "--token-file", "/var/lib/muster/first.token")
	if out, err := b.command("init").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for range 2 { // and again on the volumes of the first
		b.configure(mounts)
		cmd := b.command("serve")
		log := &said{}
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		awaitOK(t, "http://"+at+"/healthz", ended, log)
		awaitOK(t, "http://"+at+"/readyz", ended, log)
		if err := run1(".", nil, runc, "--root", b.state, "kill", "serve", "TERM"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil || !strings.Contains(log.String(), `"msg":"stopped","error":null`) {
			t.Errorf("stopped with %v\n%s", err, log)
		}
	}
}

// runtimeBundle is a container that runc starts: a root file system and its config.json
// (https://github.com/opencontainers/runtime-spec).
type runtimeBundle struct {
	t                *testing.T
	dir, runc, state string
}

// configure writes config.json: what umoci made of the image, on this machine's
// network, with a root that is read only, more mounts, and other arguments if any are
// given.
func (b *runtimeBundle) configure(mounts []map[string]any, args ...string) {
	b.t.Helper()
	kept := filepath.Join(b.dir, "umoci.config.json")
	if err := os.Link(filepath.Join(b.dir, "config.json"), kept); err != nil && !errors.Is(err, os.ErrExist) {
		b.t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(read(b.t, kept), &c); err != nil {
		b.t.Fatal(err)
	}
	process, linux := c["process"].(map[string]any), c["linux"].(map[string]any)
	process["terminal"] = false
	if args != nil {
		process["args"] = append([]string{"/usr/bin/muster"}, args...)
	}
	c["root"].(map[string]any)["readonly"] = true
	for _, m := range mounts {
		c["mounts"] = append(c["mounts"].([]any), m)
	}
	linux["cgroupsPath"] = fmt.Sprintf("/muster-test-runc-%d", os.Getpid())
	linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(n any) bool { return n.(map[string]any)["type"] == "network" })
	text, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	next := filepath.Join(b.dir, "next.json")
	if err := errors.Join(os.WriteFile(next, text, 0o644), os.Rename(next, filepath.Join(b.dir, "config.json"))); err != nil {
		b.t.Fatal(err)
	}
}

// command runs the container under a name, and ends with it.
func (b *runtimeBundle) command(id string) *exec.Cmd {
	return exec.CommandContext(b.t.Context(), b.runc, "--root", b.state, "run", "--bundle", b.dir, id)
}
