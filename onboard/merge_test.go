package onboard

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

// The examples of RFC 7396, appendix A.
func TestMergePatchOfTheRFC(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		var v [3]any
		for i := range c {
			if err := json.Unmarshal([]byte(c[i]), &v[i]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(v[2], mergePatch(v[0], v[1])); diff != "" {
			t.Errorf("%s with %s: %s", c[0], c[1], diff)
		}
	}
}

// FuzzCorrection: a correction is taken or refused with a code of ours, whatever it is.
func FuzzCorrection(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"customer":{"phone":"+4930901820"}}`, `{"customer":null}`, `[]`, `null`, `{"beneficial_owners":[{"name":{"full":"A"},"ownership_percent":25.0}]}`,
		`{"reference":"other"}`, `{"customer":{"name":{"full":1e999}}}`, `{"a":`, `{"customer":{"address":{"lines":[null]}}}`,
	} {
		f.Add([]byte(seed))
	}
	app := &muster.Application{
		Reference: "app-1", Customer: muster.Party{Kind: muster.Individual, Name: muster.Name{Full: "Lena Hoffmann"}, Email: "lena@example.com"},
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		next, err := merged(app, patch)
		switch muster.ErrorCode(err) {
		case "":
			if next == nil {
				t.Fatal("neither a correction nor an error")
			}
		case muster.CodeMalformed, muster.CodeInvalid, muster.CodeTooLarge:
		default:
			t.Fatal(err)
		}
	})
}
