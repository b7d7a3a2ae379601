package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault/vaulttest"
)

// fresh is a deployment on SQLite in a directory of its own.
func fresh(t *testing.T) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	if _, _, err := initialise(t.Context(), dir, Config{Mode: muster.ModeProduction, Listen: "127.0.0.1:8420"}, "Ada", []string{"us-iaas-cip"}); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "muster.yaml")
}

// with is the configuration with other lines of its own, as another file beside it.
func with(t *testing.T, config, name, lines string) string {
	t.Helper()
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, l := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(l, "root_key:") {
			kept = append(kept, l)
		}
	}
	path := filepath.Join(filepath.Dir(config), name)
	if err := os.WriteFile(path, []byte(strings.Join(kept, "\n")+"\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysMoveToAKMSAndBack(t *testing.T) {
	t.Parallel()
	dir, config := fresh(t)
	server := vaulttest.NewTransit(t)
	if err := os.WriteFile(filepath.Join(dir, "kms.token"), []byte(server.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inKMS := with(t, config, "kms.yaml", fmt.Sprintf("root_key: kms:transit\nkms:\n  transit:\n    url: %s\n    mount: %s\n    key: %s\n    token_file: kms.token\n", server.URL, server.Mount, server.Key))
	root := "transit/" + server.Mount + "/" + server.Key
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := session(t.Context(), args...)
		if code != want {
			t.Fatalf("muster %s: code %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
		return out, errs
	}
	run(exitOK, "keys", "move", "--config", config, "--to", inKMS)
	if out, _ := run(exitOK, "keys", "verify", "--config", inKMS); !strings.Contains(out, "root key "+root) || !strings.Contains(out, "every key opens") {
		t.Errorf("%s", out)
	}
	if _, errs := run(exitError, "keys", "verify", "--config", config); !strings.Contains(errs, fmt.Sprintf("the key store belongs to the root key %q", root)) {
		t.Errorf("the old root key: %s", errs)
	}
	run(exitOK, "keys", "rotate", "--config", inKMS)
	if n := server.Versions(t); n != 1 {
		t.Errorf("%d versions of the key are left", n)
	}
	back := with(t, config, "back.yaml", "root_key: keys/second.key\n")
	run(exitOK, "keys", "move", "--config", inKMS, "--to", back)
	run(exitOK, "keys", "verify", "--config", back)
	// Each move is on the record.
	if out, _ := run(exitOK, "log", "audit", "--config", back, "--json"); !strings.Contains(out, `"key":4`) {
		t.Errorf("%s", out)
	}
	run(exitError, "keys", "move", "--config", back, "--to", back)
}

func TestRootKeyInAKMSNeedsItsConfiguration(t *testing.T) {
	t.Parallel()
	_, config := fresh(t)
	for lines, want := range map[string]string{
		"root_key: kms:transit\n":                          "kms.transit.url",
		"root_key: kms:aws\n":                              "kms.aws.key",
		"root_key: kms:other\n":                            "kms:transit or kms:aws",
		"root_key: kms:aws\nkms:\n  aws:\n    secret: x\n": "unknown field",
	} {
		if _, err := readConfig(with(t, config, "bad.yaml", lines)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", lines, err)
		}
	}
}
