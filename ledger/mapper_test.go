package ledger

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMappersGolden maps the sample of each mapper: testdata/mappers/NAME.log to NAME.ndjson.
func TestMappersGolden(t *testing.T) {
	t.Parallel()
	for _, name := range MapperNames() {
		m, err := EmbeddedMapper(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Name != name {
			t.Errorf("%s calls itself %s", name, m.Name)
		}
		sample, err := os.ReadFile(filepath.Join("testdata", "mappers", name+".log"))
		if err != nil {
			t.Errorf("a mapper has a sample: %v", err)
			continue
		}
		var got bytes.Buffer
		var b Batch
		for line := range bytes.Lines(sample) {
			if err := m.Map(&b, line, testNow); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
		}
		e := json.NewEncoder(&got)
		for i := range b.Access {
			if err := e.Encode(&b.Access[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range b.Leases {
			if err := e.Encode(&b.Leases[i]); err != nil {
				t.Fatal(err)
			}
		}
		golden := filepath.Join("testdata", "mappers", name+".ndjson")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, got.Bytes()) {
			t.Errorf("%s: %v: go test ./ledger -run Mappers -update, and look at the difference:\n%s", name, err, got.Bytes())
		}
		// What a mapper makes is what the API takes.
		text := strings.ReplaceAll(got.String(), `"network":[],`, "")
		if m.Leases {
			_, err = ParseLeases(text, testNow)
		} else {
			_, err = ParseAccess(text, testNow)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMapperIsStrict(t *testing.T) {
	t.Parallel()
	good := "format: 1\nname: x\nrecord: access\ninput: text\npatterns: ['(?P<user>a)']\nrecords:\n- set: {account: '{user}', ip: 192.0.2.1, at: '2026-11-26T07:00:00Z', action: api}\n"
	if _, err := ParseMapper([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"another format":       {"format: 1", "format: 2"},
		"an unknown key":       {"name: x", "name: x\nshape: y"},
		"no name":              {"name: x", "name: ''"},
		"no kind of record":    {"access", "order"},
		"no kind of input":     {"text", "xml"},
		"json with patterns":   {"text", "json"},
		"text without":         {"patterns: ['(?P<user>a)']\n", ""},
		"a broken pattern":     {"(?P<user>a)", "("},
		"a name of no pattern": {"{user}", "{nobody}"},
		"an open brace":        {"{user}", "{user"},
		"an unknown field":     {"action: api", "action: api, colour: red"},
		"a field of Muster's":  {"action: api", "action: api, country: DE"},
		"when of no pattern":   {"- set", "- when: {nobody: [x]}\n  set"},
		"when of nothing":      {"- set", "- when: {user: []}\n  set"},
		"a tag for a list":     {good, "times: ! "},
		"no records":           {good[strings.Index(good, "records:"):], "records: []\n"},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Fatalf("%s: nothing was edited", name)
		}
		if _, err := ParseMapper([]byte(text)); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := EmbeddedMapper("../mapper"); muster.ErrorCode(err) != muster.CodeNotFound {
		t.Error(err)
	}
}

func TestMapperFaultsHoldNoValue(t *testing.T) {
	t.Parallel()
	m, err := EmbeddedMapper("netbox")
	if err != nil {
		t.Fatal(err)
	}
	doc := `{"event":"created","timestamp":"x","request_id":"r","data":{"id":1},"snapshots":{"postchange":{"last_updated":"QQ-secret","address":"QQ-secret","tenant":"QQ secret"}}}`
	err = m.Map(&Batch{}, []byte(doc), testNow)
	e, ok := err.(*muster.Error)
	if !ok || len(e.Faults) != 3 {
		t.Fatalf("%v", err)
	}
	for _, f := range e.Faults {
		if strings.Contains(f.Pointer+f.Detail, "QQ") {
			t.Error(f)
		}
	}
	for name, doc := range map[string]string{"deep": strings.Repeat("[", 5000), "no JSON": "{", "two": "{} {}"} {
		if err := m.Map(&Batch{}, []byte(doc), testNow); muster.ErrorCode(err) != muster.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzMapper(f *testing.F) {
	for _, name := range MapperNames() {
		m, err := EmbeddedMapper(name)
		if err != nil {
			f.Fatal(err)
		}
		sample, err := os.ReadFile(filepath.Join("testdata", "mappers", name+".log"))
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(sample) {
			f.Add(m.Name, line)
		}
	}
	f.Fuzz(func(t *testing.T, name string, line []byte) {
		m, err := EmbeddedMapper(name)
		if err != nil {
			return
		}
		var b Batch
		if m.Map(&b, line, testNow) != nil {
			return
		}
		for i := range b.Access {
			if f := b.Access[i].Faults(testNow); f != nil {
				t.Fatalf("taken, and at fault: %v", f)
			}
		}
		for i := range b.Leases {
			if f := b.Leases[i].Faults(testNow); f != nil {
				t.Fatalf("taken, and at fault: %v", f)
			}
		}
	})
}
