package endtoend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongOrLostKeysEndTheStart: what cannot be opened is said at start, in words
// that help, and nothing serves.
func TestWrongOrLostKeysEndTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(d *deployment) error
		says  []string // any one of them
	}{
		"lost root key": {
			func(d *deployment) error { return os.Remove(filepath.Join(d.dir, "keys", "root.key")) },
			[]string{"root key"},
		},
		"root key of another deployment": {
			func(d *deployment) error {
				other := setup{}.make(d)
				key, err := os.ReadFile(filepath.Join(other.dir, "keys", "root.key"))
				if err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(d.dir, "keys", "root.key"), key, 0o600)
			},
			[]string{"root key"},
		},
		"damaged root key": {
			func(d *deployment) error {
				path := filepath.Join(d.dir, "keys", "root.key")
				key, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, key[:len(key)/2], 0o600)
			},
			[]string{"root key", "key file"},
		},
		"root key that others may read": {
			func(d *deployment) error { return os.Chmod(filepath.Join(d.dir, "keys", "root.key"), 0o644) },
			[]string{"root key", "key file"},
		},
		"lost key store": {
			func(d *deployment) error {
				for _, suffix := range []string{"", "-wal", "-shm"} {
					if err := os.Remove(filepath.Join(d.dir, "keys", "keys.db"+suffix)); err != nil && !os.IsNotExist(err) {
						return err
					}
				}
				return nil
			},
			[]string{"key store", "keys"},
		},
		"key store of another deployment": {
			func(d *deployment) error {
				other := setup{}.make(d)
				for _, name := range []string{"keys.db", "root.key"} {
					data, err := os.ReadFile(filepath.Join(other.dir, "keys", name))
					if err != nil {
						return err
					}
					if err := os.WriteFile(filepath.Join(d.dir, "keys", name), data, 0o600); err != nil {
						return err
					}
				}
				return nil
			},
			[]string{"deployment", "key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := setup{}.make(t)
			if err := c.spoil(d); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"serve", "log audit"} {
				args := append(strings.Fields(command), "--config", d.config())
				out, errs, err := d.try(args...)
				text := string(errs)
				helps := false
				for _, word := range c.says {
					helps = helps || strings.Contains(text, word)
				}
				if err == nil || !strings.Contains(text, "muster: ") || !helps || strings.Contains(text, "goroutine ") {
					t.Errorf("%s: %v\n%s%s", command, err, out, errs)
				} else {
					t.Logf("%s: %s", command, text)
				}
			}
			// It is not repaired in silence either: a new key would lock out all that is there.
			if name == "lost root key" {
				if _, err := os.Stat(filepath.Join(d.dir, "keys", "root.key")); err == nil {
					t.Error("a new root key was made")
				}
			}
		})
	}
}
