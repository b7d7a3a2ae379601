package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile is how files are called that say on which terms a module may be
// passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([._-].*)?$`)

// gatherNotices puts together what has to go with every copy of the binary: terms of
// the data that is compiled in, of Go's own library, and of each module.
func (m *made) gatherNotices(ctx context.Context) ([]byte, error) {
	var text bytes.Buffer
	add := func(what, path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%[1]s\n%[2]s, %[3]s\n%[1]s\n\n%[4]s\n\n", strings.Repeat("=", 72), what, filepath.Base(path), strings.TrimSpace(string(b)))
		return nil
	}
	fmt.Fprintf(&text, "Muster %s is under the Apache License 2.0 (LICENSE). Compiled in are data and libraries with terms of their own.\n\n", m.Version)
	if err := add("Data", filepath.Join(m.Source, "validate", "tables", "LICENCES.md")); err != nil {
		return nil, err
	}
	root, err := m.golang(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	if err := add("The Go standard library", filepath.Join(strings.TrimSpace(root), "LICENSE")); err != nil {
		return nil, err
	}
	dirs, err := m.moduleDirs(ctx)
	if err != nil {
		return nil, err
	}
	for _, module := range m.modules() {
		dir := dirs[module.Path]
		if dir == "" {
			return nil, fmt.Errorf("%s is in the binary and not among the modules", module.Path)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		found := false
		for _, f := range files {
			if f.Type().IsRegular() && licenceFile.MatchString(f.Name()) {
				found = true
				if err := add(module.Path+" "+module.Version, filepath.Join(dir, f.Name())); err != nil {
					return nil, err
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("%s %s comes without a licence: it must not be passed on", module.Path, module.Version)
		}
	}
	return text.Bytes(), nil
}

type module struct{ Path, Version, Sum string }

// modules are those of all binaries, sorted; Muster's own is not among them.
func (m *made) modules() (all []module) {
	for _, b := range m.binaries {
		all = append(all, b.modules()...)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(all)
}

func (b *binary) modules() (all []module) {
	for _, d := range b.info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		all = append(all, module{d.Path, d.Version, d.Sum})
	}
	return all
}

// moduleDirs are where the module cache has each module.
func (m *made) moduleDirs(ctx context.Context) (map[string]string, error) {
	out, err := m.golang(ctx, nil, "list", "-m", "-json=Path,Dir", "all")
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var one struct{ Path, Dir string }
		if err := d.Decode(&one); err == io.EOF {
			return dirs, nil
		} else if err != nil {
			return nil, err
		}
		dirs[one.Path] = one.Dir
	}
}
