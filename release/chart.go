package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
)

// chart packs the Helm chart under the release's version.
func (m *made) chart() error {
	entries, err := tree(filepath.Join(m.Source, "release", "chart", "muster"), "muster")
	if err != nil {
		return err
	}
	kept, found := entries[:0], false
	for _, e := range entries {
		if e.mode.IsDir() {
			continue // Helm wants none
		}
		if e.path == "muster/Chart.yaml" {
			found = bytes.Contains(e.data, []byte(unversioned))
			e.data = bytes.ReplaceAll(e.data, []byte(unversioned), []byte(m.Version))
		}
		kept = append(kept, e)
	}
	if !found {
		return errors.New("the chart's Chart.yaml does not have the version " + unversioned)
	}
	return m.write(fmt.Sprintf("%s-%s.tgz", name, m.Version), func(w *output) error { return packGzip(w, m.Time, kept) })
}

// unversioned stands in the repository for the version of a release.
const unversioned = "0.0.0-unreleased"
