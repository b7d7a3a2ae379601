package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"

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

// smallArchive is an archive with a line of each folder that is sent, and where its last
// byte that says something ends.
func smallArchive(t *testing.T) (data []byte, end int) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name, text string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	contents := export.Contents{Format: export.Format}
	for _, p := range [][2]string{{"manifest.json", `{"format":"` + export.Format + `"}`}, {"files/000001.ndjson", "{\"type\":\"file\"}\n"}, {"leases/000001.ndjson", "{}\n"}} {
		put(p[0], p[1])
		sum := sha256.Sum256([]byte(p[1]))
		contents.Members = append(contents.Members, export.Member{Name: p[0], Bytes: int64(len(p[1])), SHA256: hex.EncodeToString(sum[:])})
	}
	last, err := json.Marshal(contents)
	if err != nil {
		t.Fatal(err)
	}
	put("contents.json", string(last))
	end = b.Len()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), end
}

func TestNothingComesInOfAnArchiveThatIsCutAtAnyByte(t *testing.T) {
	t.Parallel()
	open, end := smallArchive(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(open); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		end  int
	}{"open": {open, end}, "sealed": {sealed.Bytes(), sealed.Len()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				_, _ = w.Write([]byte(`{}`))
			}))
			defer s.Close()
			dir := t.TempDir()
			file, identity, token := filepath.Join(dir, "all"), filepath.Join(dir, "id"), filepath.Join(dir, "token")
			for path, data := range map[string][]byte{file: c.data, identity: []byte(id.String() + "\n"), token: []byte("mst_token")} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := &remote{server: s.URL, tokenFile: token, terminal: terminal{out: &bytes.Buffer{}, err: &bytes.Buffer{}}}
			if err := importArchive(t.Context(), r, file, identity); err != nil || asked.Load() != 2 {
				t.Fatalf("whole: %v after %d requests", err, asked.Load())
			}
			for n := c.end - 1; n > 0; n-- {
				if err := os.Truncate(file, int64(n)); err != nil {
					t.Fatal(err)
				}
				err := importArchive(t.Context(), r, file, identity)
				if muster.ErrorCode(err) != muster.CodeMalformed || !strings.Contains(err.Error(), "the archive is not whole") || !isArchive(file) {
					t.Fatalf("cut after %d bytes of %d: %v", n, len(c.data), err)
				}
			}
			if asked.Load() != 2 {
				t.Errorf("%d requests were made for archives that were cut", asked.Load()-2)
			}
		})
	}
}

func TestWhatBrokeOffLeavesNoFile(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("sealed"), 10_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // as a server that is killed
	}))
	defer s.Close()
	dir, token := t.TempDir(), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("mst_token"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := session(t.Context(), "export", "take", "exp_1", filepath.Join(dir, "all.age"), "--server", s.URL, "--token-file", token)
	if code != exitError || out != "" || !strings.Contains(errs, "broke off") || !strings.Contains(errs, "take it again") {
		t.Errorf("code %d, %q, %q", code, out, errs)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}
