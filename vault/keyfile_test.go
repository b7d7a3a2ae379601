package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestKeyFileIsMadeForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	k, err := vault.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Fatalf("files left: %v", left)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = vault.CreateKeyFile(path)
	code(t, err, muster.CodeConflict)
	if now, _ := os.ReadFile(path); !bytes.Equal(now, was) {
		t.Fatal("a root key was replaced")
	}
	again, err := vault.OpenKeyFile(path)
	if err != nil || again.ID() != k.ID() || !again.Sheds() {
		t.Fatal(err)
	}
	secret := strings.Split(string(was), "key ")[2]
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if s != k.ID() || strings.Contains(s, secret) {
			t.Fatalf("prints %q", s)
		}
	}
	w, err := k.Wrap(t.Context(), []byte("plain"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := again.Unwrap(t.Context(), w, []byte("ad")); err != nil || string(p) != "plain" {
		t.Fatal(err)
	}
	if _, err := again.Unwrap(t.Context(), w, []byte("ae")); err == nil {
		t.Fatal("opened with other associated data")
	}
}

func TestKeyFileThatOthersCanReachIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	if _, err := vault.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o640: true,
		0o604: false, 0o644: false, 0o444: false, 0o660: false, 0o620: false, 0o602: false, 0o666: false, 0o601: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		k, err := vault.OpenKeyFile(path)
		if good != (err == nil) {
			t.Errorf("mode %04o: %v", mode, err)
			continue
		}
		var e *muster.Error
		if !good && (!errors.As(err, &e) || e.Code != muster.CodeForbidden || e.Hint == "" || !strings.Contains(e.Message, fmt.Sprintf("%04o", mode))) {
			t.Errorf("mode %04o: the error is not clear: %v", mode, err)
		}
		if good && k.Sheds() != (mode&0o040 == 0) {
			t.Errorf("mode %04o: sheds %v", mode, k.Sheds())
		}
	}
	if os.Geteuid() == 0 { // only root can give files away
		for _, c := range []struct {
			uid, gid int
			mode     fs.FileMode
			good     bool
		}{{0, 54321, 0o640, false}, {0, 54321, 0o600, true}, {54321, 0, 0o600, false}} {
			if err := errors.Join(os.Chown(path, c.uid, c.gid), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			if _, err := vault.OpenKeyFile(path); c.good != (err == nil) {
				t.Errorf("owner %d, group %d, mode %04o: %v", c.uid, c.gid, c.mode, err)
			}
		}
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link") // as mounted secrets are
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if k, err := vault.OpenKeyFile(link); err != nil || k.Sheds() {
		t.Errorf("link: %v", err)
	}
	_, err := vault.OpenKeyFile(dir)
	code(t, err, muster.CodeForbidden)
	_, err = vault.OpenKeyFile(filepath.Join(dir, "none"))
	code(t, err, muster.CodeNotFound)
}

func TestCredentialIsOpenedAndNeverWritten(t *testing.T) {
	dir := t.TempDir()
	if _, err := vault.CreateKeyFile(filepath.Join(dir, "muster.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "muster.key"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	k, err := vault.OpenCredential("muster.key")
	if err != nil || k.Sheds() {
		t.Fatal(err)
	}
	for _, name := range []string{"../muster.key", "..", "a/b"} {
		_, err = vault.OpenCredential(name)
		code(t, err, muster.CodeInvalid)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err = vault.OpenCredential("muster.key")
	code(t, err, muster.CodeNotFound)
}

func TestRotationGoesOnWithARootKeyThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	root, err := vault.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := vaulttest.NewStore()
	v := open(t, config(keys, again(t, root)))
	files := write(t, v, 2)
	for range 2 {
		if err := v.Rotate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	checkFiles(t, open(t, config(keys, again(t, root))), files)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Fatal("the file was written")
	}
}

func FuzzKeyFile(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "root.key")
	if _, err := vault.CreateKeyFile(path); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(bytes.Clone(good), '\n'))
	f.Add(good[:len(good)-3])
	f.Add([]byte("muster root key 1\nid 0123456789abcdef\ngeneration 4294967295\nkey x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := vault.OpenKeyFile(p)
		if err != nil {
			code(t, err, muster.CodeInvalid)
			return
		}
		if _, err := k.Wrap(t.Context(), []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	k, err := vault.CreateKeyFile(filepath.Join(f.TempDir(), "root.key"))
	if err != nil {
		f.Fatal(err)
	}
	w, err := k.Wrap(f.Context(), []byte("x"), []byte("ad"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w)
	f.Add([]byte{1, 0, 0, 0, 1})
	f.Add(append([]byte{1, 0xff, 0xff, 0xff, 0xff}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := k.Unwrap(t.Context(), b, []byte("ad")); (err == nil) != bytes.Equal(b, w) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}
