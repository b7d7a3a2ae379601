package compact_test

import (
	"bytes"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster/compact"
)

// decision is a stored decision of the usual size.
const decision = `{"id":"dec_01m85bbvvky7q101cbqmd0mfma","about":{"kind":"application","id":"app_01m85bbvvkxaye3cvzyrd0y828"},"at":"2026-11-23T23:20:25.203074Z","mode":"production","outcome":"verify","limits":{"deny":["bare_metal"],"gpu":"none","instances":1,"outbound_mail":"closed","days":14},"interim":true,"obligations":["record_access"],"reasons":[{"rule":"verify_email"},{"rule":"verify_name"},{"rule":"verify_nationality"},{"rule":"verify_phone"}],"foreign":{"sub_01m85bbvtsmsf5t8aresmhj1k0":"presumed"},"packs":[{"id":"us-iaas-cip","edition":"2026-11","digest":"cfefff07b7eb7d15730bbc54826a0e53131d45d6882ab1f1dc8093945b7abe6b"}]}`

func TestUnpackGivesBackTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if rapid.Bool().Draw(t, "json") {
			text = append([]byte(decision), text...)
		}
		packed := compact.Pack(rapid.SampledFrom([]compact.Kind{compact.Decision, compact.Facts, compact.Subject}).Draw(t, "kind"), text)
		if len(packed) > len(text)+1 {
			t.Fatalf("%d bytes became %d", len(text), len(packed))
		}
		got, err := compact.Unpack(packed)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%q %v", got, err)
		}
	})
}

// The dictionary is part of the format: what was packed once has to be readable for ever.
func TestTextOfTheFirstDictionaries(t *testing.T) {
	t.Parallel()
	const golden = "testdata/decision.packed"
	packed, err := os.ReadFile(golden)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		packed, err = compact.Pack(compact.Decision, []byte(decision)), nil
		if err := os.WriteFile(golden, packed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := compact.Unpack(packed)
	if err != nil || string(got) != decision {
		t.Fatalf("%q %v", got, err)
	}
	if 3*len(packed) > len(decision) {
		t.Errorf("%d bytes are packed in %d: the dictionary does not know its own words", len(decision), len(packed))
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 'a'})
	f.Add([]byte{9})
	f.Add(compact.Pack(compact.Decision, []byte(decision)))
	f.Fuzz(func(t *testing.T, packed []byte) {
		text, err := compact.Unpack(packed)
		if err == nil && len(text) > compact.MaxText {
			t.Fatal("past the bound")
		}
	})
}

func BenchmarkPack(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		compact.Pack(compact.Decision, []byte(decision))
	}
}

func BenchmarkUnpack(b *testing.B) {
	packed := compact.Pack(compact.Decision, []byte(decision))
	b.ReportAllocs()
	b.ReportMetric(float64(len(packed)), "bytes")
	for b.Loop() {
		if _, err := compact.Unpack(packed); err != nil {
			b.Fatal(err)
		}
	}
}
