package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/export"
)

func TestAnArchiveIsCheckedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	type part struct {
		name string
		data string
	}
	parts := []part{{"manifest.json", "{}"}, {"files/000001.ndjson", "{\"type\":\"file\"}\n"}, {"leases/000001.ndjson", "{}\n"}}
	var contents export.Contents
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p.data))
		contents.Members = append(contents.Members, export.Member{Name: p.name, Bytes: int64(len(p.data)), SHA256: hex.EncodeToString(sum[:])})
	}
	last, err := json.Marshal(contents)
	if err != nil {
		t.Fatal(err)
	}
	whole := append(parts[:len(parts):len(parts)], part{"contents.json", string(last)})
	altered := append([]part{}, whole...)
	altered[1].data = "{\"type\":\"life\"}\n"
	renamed := append([]part{}, whole...)
	renamed[2].name = "access/000001.ndjson"
	for name, c := range map[string]struct {
		parts []part
		cut   int
		bad   bool
	}{
		"whole":          {parts: whole},
		"altered":        {parts: altered, bad: true},
		"renamed":        {parts: renamed, bad: true},
		"without a part": {parts: append(append([]part{}, whole[:2]...), whole[3]), bad: true},
		"without end":    {parts: whole[:3], bad: true},
		"past its end":   {parts: append(append([]part{}, whole...), parts[1]), bad: true},
		"cut":            {parts: whole, cut: 2200, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, p := range c.parts {
				if err := w.WriteHeader(&tar.Header{Name: p.name, Mode: 0o600, Size: int64(len(p.data))}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write([]byte(p.data)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			data := b.Bytes()
			if c.cut > 0 {
				data = data[:c.cut]
			}
			file := filepath.Join(t.TempDir(), "all.tar")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			err := checkArchive(file, "")
			var said *muster.Error
			if bad := errors.As(err, &said) && said.Code == muster.CodeMalformed; bad != c.bad || !bad && err != nil {
				t.Error(err)
			}
		})
	}
}
