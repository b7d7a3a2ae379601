package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user of the container, one that no machine gives to anybody.
const nobody = 65532

// image writes an OCI image layout, as one archive, with an index over the
// architectures (https://github.com/opencontainers/image-spec).
func (m *made) image() error {
	base, err := m.layer(m.baseFiles())
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		program, err := os.ReadFile(m.binaries[arch].path)
		if err != nil {
			return err
		}
		top, err := m.layer([]entry{
			{path: "usr", mode: fs.ModeDir | 0o755},
			{path: "usr/bin", mode: fs.ModeDir | 0o755},
			{path: "usr/bin/" + name, mode: 0o755, data: program},
		})
		if err != nil {
			return err
		}
		image, err := m.imageFor(arch, base, top)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	index = mutate.Annotations(index, m.labels()).(v1.ImageIndex)
	dir := filepath.Join(m.work, "layout")
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	names := map[string]string{
		"org.opencontainers.image.ref.name": m.Version,
		"io.containerd.image.name":          "localhost/" + name + ":" + m.Version, // what engines call it that load the archive
	}
	if err := at.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return err
	}
	entries, err := tree(dir, "")
	if err != nil {
		return err
	}
	return m.write(fmt.Sprintf("%s-%s-image.tar", name, m.Version), func(w *output) error { return pack(w, m.Time, entries) })
}

// labels are the annotations of the image specification.
func (m *made) labels() map[string]string {
	const p = "org.opencontainers.image."
	return map[string]string{
		p + "title": name, p + "description": summary, p + "version": m.Version, p + "revision": m.Commit, p + "licenses": licence,
		p + "source": home, p + "created": m.Time.Format(time.RFC3339),
	}
}

func (m *made) imageFor(arch string, layers ...v1.Layer) (v1.Image, error) {
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: m.Time}
	for i := range file.History {
		file.History[i] = v1.History{Created: v1.Time{Time: m.Time}, CreatedBy: "release"}
	}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%[1]d", nobody), WorkingDir: "/", StopSignal: "SIGTERM", Labels: m.labels(),
		Entrypoint: []string{"/usr/bin/" + name}, Cmd: []string{"serve"},
		Env:          []string{"PATH=/usr/bin", "MUSTER_CONFIG=/etc/muster/muster.yaml"},
		ExposedPorts: map[string]struct{}{"8420/tcp": {}},
		Volumes:      map[string]struct{}{"/var/lib/muster": {}, "/var/lib/muster-keys": {}},
	}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, m.labels()).(v1.Image), nil
}

// layer compresses entries once, and keeps the result.
func (m *made) layer(entries []entry) (v1.Layer, error) {
	var b bytes.Buffer
	if err := pack(&b, m.Time, entries); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
}

// baseFiles are what a static program still needs of a system: who it is, whom to
// trust, places to write. Zones of time are in the program.
func (m *made) baseFiles() []entry {
	dir := func(path string, mode fs.FileMode, owner int) entry {
		return entry{path: path, mode: fs.ModeDir | mode, uid: owner, gid: owner}
	}
	file := func(path, text string) entry { return entry{path: path, mode: 0o644, data: []byte(text)} }
	return []entry{
		dir("etc", 0o755, 0),
		file("etc/group", fmt.Sprintf("root:x:0:\n%s:x:%d:\n", username, nobody)),
		dir("etc/muster", 0o755, 0),
		file("etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\n%s:x:%d:%[2]d:Muster:/nonexistent:/sbin/nologin\n", username, nobody)),
		dir("etc/ssl", 0o755, 0),
		dir("etc/ssl/certs", 0o755, 0),
		file("etc/ssl/certs/ca-certificates.crt", authorities()),
		dir("tmp", fs.ModeSticky|0o777, 0),
		dir("usr", 0o755, 0),
		dir("usr/share", 0o755, 0),
		dir("usr/share/doc", 0o755, 0),
		dir("usr/share/doc/muster", 0o755, 0),
		file("usr/share/doc/muster/NOTICES", string(m.notices)),
		dir("var", 0o755, 0),
		dir("var/lib", 0o755, 0),
		dir("var/lib/muster", 0o700, nobody),
		dir("var/lib/muster-keys", 0o700, nobody),
	}
}

// authorities are Mozilla's, as the module has them that go.sum pins. Those that
// Mozilla trusts under conditions are left out: a file of certificates cannot say them.
func authorities() string {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// To a buffer, of a block without headers: it cannot fail.
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.String()
}

// tree is a directory as entries, in the order of their names, below the folder at.
// Modes are those of a release, not those of the disk.
func tree(dir, at string) (entries []entry, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e := entry{path: filepath.ToSlash(filepath.Join(at, below)), mode: 0o644}
		switch {
		case d.IsDir():
			e.mode = fs.ModeDir | 0o755
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", path)
		default:
			if e.data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
