package tlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Bundles that were handed out are verified for years. testdata/v1 was written
// once and is never written again: when this test fails, the format has changed.
func TestBundleOfVersion1StillVerifies(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	verifier, err := NewLogVerifier(strings.TrimSpace(string(read("log.key"))))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := NewPolicy(1, strings.TrimSpace(string(read("witness.key"))))
	if err != nil {
		t.Fatal(err)
	}
	r, err := VerifyBundle(read("bundle.json"), VerifyOptions{
		Checkpoint: read("checkpoint"), Verifier: verifier, Pinned: read("pinned"), Policy: policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Backing != BackingBoth || r.Size != 300 || r.Index != 5 {
		t.Fatalf("%+v", r)
	}
}
