package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

// A rotation that stopped half-way is seen by the doctor, still opens every key, and
// is gone on with by the same command: no second epoch begins before it is done.
func TestRotationThatStoppedIsGoneOnWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, _, err := initialise(t.Context(), dir, Config{Mode: muster.ModeProduction, Listen: "127.0.0.1:8420"}, "Ada", []string{"us-iaas-cip"})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "muster.yaml")
	h, err := openHouse(t.Context(), made.Config, options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.vault.TakeKeys(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	pulled := errors.New("the plug was pulled")
	if err := h.vault.Rotate(t.Context(), func(int) error { return pulled }); !errors.Is(err, pulled) {
		t.Fatalf("the rotation did not stop: %v", err)
	}
	h.close(t.Context())

	if code, out, _ := session(t.Context(), "doctor", "--config", config); code != exitOK || !strings.Contains(out, "the rotation to epoch 2 is not finished") {
		t.Errorf("doctor: code %d\n%s", code, out)
	}
	if code, out, errs := session(t.Context(), "keys", "verify", "--config", config); code != exitOK || !strings.Contains(out, "muster keys rotate goes on with it") {
		t.Errorf("verify: code %d\n%s%s", code, out, errs)
	}
	code, out, errs := session(t.Context(), "keys", "rotate", "--config", config)
	if code != exitOK || !strings.Contains(out, "done") || !strings.Contains(out, "epoch 1 ended, epoch 2 began") {
		t.Errorf("rotate: code %d\n%s%s", code, out, errs)
	}
	if code, out, _ := session(t.Context(), "keys", "verify", "--config", config, "--json"); code != exitOK || !strings.Contains(out, `"epochs":[{"epoch":2,`) || !strings.Contains(out, `"pending":false`) {
		t.Errorf("verify: code %d\n%s", code, out)
	}
	if code, out, errs := session(t.Context(), "log", "audit", "--config", config, "--json"); code != exitOK || !strings.Contains(out, `"key":2`) {
		t.Errorf("audit: code %d\n%s%s", code, out, errs)
	}
}
