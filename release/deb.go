package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// debFiles are the files of the package that lie in the repository.
var debFiles = []struct {
	from, to string
	kind     string
}{
	{"release/deb/muster.service", "/usr/lib/systemd/system/muster.service", files.TypeFile},
	{"release/deb/muster.yaml", "/etc/muster/muster.yaml", files.TypeConfigNoReplace},
	{"release/deb/copyright", "/usr/share/doc/muster/copyright", files.TypeFile},
}

// deb makes the package for Debian. What it does when it is installed and removed:
// release/deb.
func (m *made) deb(arch string) error {
	var contents files.Contents
	add := func(from, to, kind string, mode fs.FileMode) {
		contents = append(contents, &files.Content{
			Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: m.Time},
		})
	}
	// made writes what is in memory where nfpm can read it.
	made := func(base, to string, b []byte) error {
		path := filepath.Join(m.work, base)
		add(path, to, files.TypeFile, 0o644)
		return os.WriteFile(path, b, 0o644)
	}
	add(m.binaries[arch].path, "/usr/bin/"+name, files.TypeFile, 0o755)
	for _, f := range debFiles {
		add(filepath.Join(m.Source, filepath.FromSlash(f.from)), f.to, f.kind, 0o644)
	}
	notices, err := zip(m.notices)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		base, to string
		data     []byte
	}{
		{"NOTICES.gz", "/usr/share/doc/muster/NOTICES.gz", notices},
		{"changelog.gz", "/usr/share/doc/muster/changelog.gz", m.docs.changelog},
		{"muster.1.gz", "/usr/share/man/man1/muster.1.gz", m.docs.manual},
		{"muster.bash", "/usr/share/bash-completion/completions/muster", m.docs.completions["bash"]},
		{"_muster", "/usr/share/zsh/vendor-completions/_muster", m.docs.completions["zsh"]},
		{"muster.fish", "/usr/share/fish/vendor_completions.d/muster.fish", m.docs.completions["fish"]},
	} {
		if err := made(f.base, f.to, f.data); err != nil {
			return err
		}
	}
	script := func(base string) string { return filepath.Join(m.Source, "release", "deb", base) }
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: name, Arch: arch, Platform: "linux", Version: m.Version, Section: "admin", Priority: "optional",
		Maintainer: "The Muster authors <muster@muster.invalid>", Homepage: home, License: licence, MTime: m.Time,
		Description: summary + "\n" +
			"Muster decides applications for accounts by a written programme, keeps the\n" +
			"record sealed, answers whether an account may do something now, and proves\n" +
			"later what was decided. One static binary, SQLite inside or PostgreSQL beside.",
		DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			// passwd: the account of the service. Authorities: mail, lists and webhooks by TLS.
			Depends: []string{"passwd"}, Recommends: []string{"ca-certificates"}, Suggests: []string{"postgresql-client"},
			Contents: contents,
			Scripts:  nfpm.Scripts{PostInstall: script("postinst"), PreRemove: script("prerm"), PostRemove: script("postrm")},
			Deb:      nfpm.Deb{Compression: "gzip"},
		},
	})
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return fmt.Errorf("package for %s: %w", arch, err)
	}
	return m.write(deb.Default.ConventionalFileName(info), func(w *output) error { return deb.Default.Package(info, w) })
}
