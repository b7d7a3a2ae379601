package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// images unpacks the layout and returns its index and the image of each architecture.
func (r *releases) images(t *testing.T) (v1.ImageIndex, map[string]v1.Image) {
	t.Helper()
	dir := t.TempDir()
	for path, f := range unpack(t, bytes.NewReader(read(t, r.file(t, "*-image.tar")))) {
		at := filepath.Join(dir, filepath.FromSlash(path))
		var err error
		if f.FileInfo().IsDir() {
			err = os.MkdirAll(at, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(at), 0o755); err == nil {
			err = os.WriteFile(at, f.data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	top, err := outer.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%+v %v", top, err)
	}
	if names := top.Manifests[0].Annotations; names["org.opencontainers.image.ref.name"] != version || names["io.containerd.image.name"] != "localhost/muster:"+version {
		t.Errorf("who loads it finds it under %v", names)
	}
	index, err := outer.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, d := range inner.Manifests {
		if images[d.Platform.Architecture], err = index.Image(d.Digest); err != nil || d.Platform.OS != "linux" {
			t.Fatalf("%+v %v", d, err)
		}
	}
	return index, images
}

// rootfs is the file system that a container of the image starts with.
func rootfs(t *testing.T, image v1.Image) map[string]*unpacked {
	t.Helper()
	flat := mutate.Extract(image)
	defer flat.Close()
	return unpack(t, flat)
}

func TestImageIsValid(t *testing.T) {
	t.Parallel()
	r := setup(t)
	index, images := r.images(t)
	if err := validate.Index(index); err != nil { // every digest and size, layers against the configuration
		t.Error(err)
	}
	if kind, err := index.MediaType(); err != nil || kind != types.OCIImageIndex || len(images) != 2 {
		t.Errorf("%v %v, %d images", kind, err, len(images))
	}
	for arch, image := range images {
		file, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := file.Config
		if file.Architecture != arch || file.OS != "linux" || c.User != "65532:65532" || file.Created.Unix() != 1795690800 ||
			!slices.Equal(append(c.Entrypoint, c.Cmd...), []string{"/usr/bin/muster", "serve"}) {
			t.Errorf("%s: %+v", arch, file)
		}
		manifest, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, labels := range []map[string]string{c.Labels, manifest.Annotations} {
			if labels["org.opencontainers.image.version"] != version || labels["org.opencontainers.image.revision"] != r.commit || labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
				t.Errorf("%s: %v", arch, labels)
			}
		}
		files := rootfs(t, image)
		path := filepath.Join(t.TempDir(), "muster")
		if err := os.WriteFile(path, files["usr/bin/muster"].data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkStatic(path, arch); err != nil {
			t.Error(err)
		}
		for path, mode := range map[string]int64{"tmp": 0o1777, "var/lib/muster": 0o700, "var/lib/muster-keys": 0o700, "usr/bin/muster": 0o755, "etc/passwd": 0o644} {
			owner := 0
			if strings.HasPrefix(path, "var/lib/") {
				owner = nobody
			}
			if f := files[path]; f == nil || f.Mode != mode || f.Uid != owner || f.Gid != owner {
				t.Errorf("%s: %s is %+v", arch, path, f)
			}
		}
		for path, f := range files {
			if f.Mode&0o6000 != 0 || f.Mode&0o002 != 0 && path != "tmp" {
				t.Errorf("%s: %s has mode %o", arch, path, f.Mode)
			}
		}
		roots := 0
		for rest := files["etc/ssl/certs/ca-certificates.crt"].data; ; roots++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				t.Error(err)
			}
		}
		if roots < 80 {
			t.Errorf("%s: only %d authorities", arch, roots)
		}
	}
}

// container is a root file system that is unpacked, for a process that runs in it as
// the image says.
type container struct {
	t      *testing.T
	root   string
	config v1.Config
}

func setupContainer(t *testing.T, r *releases) *container {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("chroot is for root")
	}
	_, images := r.images(t)
	file, err := images[hostArchitecture].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(scratch, "container")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &container{t, root, file.Config}
	files := rootfs(t, images[hostArchitecture])
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if f := files[path]; f.FileInfo().IsDir() {
			c.dir(path, os.FileMode(f.Mode&0o777), f.Uid)
		} else {
			c.file(path, f.data, os.FileMode(f.Mode&0o777), f.Uid)
		}
	}
	return c
}

func (c *container) dir(path string, mode os.FileMode, owner int) {
	c.t.Helper()
	at := filepath.Join(c.root, path)
	if err := os.MkdirAll(at, 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.own(at, mode, owner)
}

func (c *container) file(path string, data []byte, mode os.FileMode, owner int) {
	c.t.Helper()
	at := filepath.Join(c.root, path)
	if err := os.WriteFile(at, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.own(at, mode, owner)
}

func (c *container) own(at string, mode os.FileMode, owner int) {
	c.t.Helper()
	if err := os.Chown(at, owner, owner); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(at, mode); err != nil {
		c.t.Fatal(err)
	}
}

// command is what a container engine would start: the entry point with these arguments,
// as the image's user, in the image's environment and more.
func (c *container) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.config.Entrypoint[0], args...)
	cmd.Env, cmd.Dir = append(slices.Clone(c.config.Env), env...), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // as the image's StopSignal
	return cmd
}

// group gives a path to the group of the container's process.
func (c *container) group(path string) {
	c.t.Helper()
	at := filepath.Join(c.root, path)
	info, err := os.Stat(at)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := errors.Join(os.Chown(at, 0, nobody), os.Chmod(at, info.Mode())); err != nil {
		c.t.Fatal(err)
	}
}

func ownerOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func (c *container) run(env []string, args ...string) string {
	c.t.Helper()
	out, err := c.command(c.t.Context(), env, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("muster %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serve starts the entry point and waits for the path to answer.
func (c *container) serve(at, scheme string, paths []string, env []string, args ...string) (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	cmd := c.command(ctx, env, args...)
	log := &said{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for _, path := range paths {
		awaitOK(c.t, scheme+"://"+at+path, ended, log)
	}
	return func() {
		cancel()
		<-ended
		if !strings.Contains(log.String(), `"msg":"stopped"`) {
			c.t.Errorf("it did not end by itself:\n%s", log)
		}
	}
}

// TestImageHoldsAllThatTheProgramNeeds lives in nothing but the image: a zone that is
// not UTC, authorities that can be read, places to write.
func TestImageHoldsAllThatTheProgramNeeds(t *testing.T) {
	t.Parallel()
	c := setupContainer(t, setup(t))
	at := freeAddress(t)
	c.file("etc/muster/muster.yaml", []byte("origin: muster.example.net/log\nlisten: "+at+"\ndata: /var/lib/muster\nkeys: /var/lib/muster-keys\nkeeping:\n  zone: Asia/Kolkata\n"), 0o644, 0)
	if got := c.run(nil, "version"); !strings.HasPrefix(got, "muster "+version+" ") {
		t.Errorf("it says %q", got)
	}
	c.run(nil, "init", "--config", "/etc/muster/muster.yaml", "--token-file", "/var/lib/muster/token")
	stop := c.serve(at, "http", []string{"/healthz", "/readyz"}, nil, c.config.Cmd...)
	if got := c.run(nil, "doctor", "--token-file", "/var/lib/muster/token"); strings.Contains(got, "fail") {
		t.Errorf("%s", got)
	}
	stop()
	if got := c.run(nil, "log", "audit"); !strings.Contains(got, "clean") {
		t.Errorf("%s", got)
	}
}
