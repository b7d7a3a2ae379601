package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is one run.
type Config struct {
	Source  string    // absolute path of the repository's root
	Out     string    // absolute path of the directory for what is made; empty before
	Version string    // semantic version, without "v" and without build metadata
	Commit  string    // hash of the commit
	Time    time.Time // of the commit
	Say     func(string)
}

// architectures that a release is for, as Go and Debian call them.
var architectures = []string{"amd64", "arm64"}

// product is what is known of the program in every package.
const (
	name     = "muster"
	home     = "https://github.com/muster-cip/muster"
	licence  = "Apache-2.0"
	summary  = "Knows who opens an account at a hosting provider, and proves what was decided"
	username = "muster"
)

// made is what the packages are made of.
type made struct {
	Config
	work     string             // directory for what is only needed meanwhile
	binaries map[string]*binary // by architecture
	notices  []byte             // licences of everything that is in a binary
	docs     docs
}

// Make makes everything, and writes SHA256SUMS last: a directory that has it is whole.
func Make(ctx context.Context, c Config) error {
	if !semver.MatchString(c.Version) {
		return fmt.Errorf("%q is not a version such as 0.2.0 or 0.2.0-rc.1", c.Version)
	}
	if rest, err := os.ReadDir(c.Out); err == nil && len(rest) > 0 {
		return fmt.Errorf("%s is not empty", c.Out)
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "muster-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	m := &made{Config: c, work: work, binaries: map[string]*binary{}}
	for _, arch := range architectures {
		c.Say("binary for linux/" + arch)
		if m.binaries[arch], err = m.build(ctx, arch); err != nil {
			return err
		}
	}
	if m.notices, err = m.gatherNotices(ctx); err != nil {
		return err
	}
	if m.docs, err = m.writeDocs(ctx); err != nil {
		return err
	}
	for _, arch := range architectures {
		c.Say("archive, package and list of parts for " + arch)
		if err := errors.Join(m.archive(arch), m.deb(arch), m.bom(arch)); err != nil {
			return err
		}
	}
	c.Say("image")
	if err := m.image(); err != nil {
		return err
	}
	c.Say("chart")
	if err := m.chart(); err != nil {
		return err
	}
	return m.sums()
}

// archive is the binary with what has to go with it, for a machine without packages.
func (m *made) archive(arch string) error {
	base := fmt.Sprintf("%s_%s_linux_%s", name, m.Version, arch)
	program, err := os.ReadFile(m.binaries[arch].path)
	if err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(m.Source, "LICENSE"))
	if err != nil {
		return err
	}
	return m.write(base+".tar.gz", func(w *output) error {
		return packGzip(w, m.Time, []entry{
			{path: base, mode: fs.ModeDir | 0o755},
			{path: base + "/LICENSE", mode: 0o644, data: own},
			{path: base + "/NOTICES", mode: 0o644, data: m.notices},
			{path: base + "/" + name, mode: 0o755, data: program},
		})
	})
}

type output = os.File

// write makes one file of the release; its mode does not come from the umask.
func (m *made) write(base string, fill func(*output) error) error {
	f, err := os.Create(filepath.Join(m.Out, base))
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Chmod(0o644), f.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	return nil
}

// sums writes SHA256SUMS, as sha256sum(1) checks it. A signature of the release would
// be one of this file: it covers every byte.
func (m *made) sums() error {
	all, err := os.ReadDir(m.Out)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range all {
		b, err := os.ReadFile(filepath.Join(m.Out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(b), e.Name())
	}
	return m.write("SHA256SUMS", func(w *output) error {
		_, err := w.WriteString(lines.String())
		return err
	})
}
