package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/quickest"
)

func TestDecodeRefusesWhatIsNotOneJSONObject(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		body string
		code muster.Code
	}{
		"empty":             {"", muster.CodeMalformed},
		"truncated":         {`{"reference":"a","customer":{"kind":`, muster.CodeMalformed},
		"trailing data":     {`{"reference":"a"} {}`, muster.CodeMalformed},
		"byte order mark":   {"\ufeff{}", muster.CodeMalformed},
		"array":             {`[]`, muster.CodeMalformed},
		"null":              {`null`, muster.CodeMalformed},
		"invalid UTF-8":     {"{\"reference\":\"\xff\"}", muster.CodeMalformed},
		"lone surrogate":    {`{"reference":"\ud800"}`, muster.CodeMalformed},
		"reversed pair":     {`{"reference":"\udc00\ud800"}`, muster.CodeMalformed},
		"duplicate":         {`{"reference":"a","reference":"a"}`, muster.CodeMalformed},
		"escaped duplicate": {`{"reference":"a","\u0072eference":"a"}`, muster.CodeMalformed},
		"deep duplicate":    {`{"customer":{"name":{"full":"A","full":"B"}}}`, muster.CodeMalformed},
		"unknown duplicate": {`{"x":{"y":1,"y":2}}`, muster.CodeMalformed},
		"late duplicate":    {`{` + members(40) + `,"aa":1}`, muster.CodeMalformed},
		"too deep":          {strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), muster.CodeMalformed},
		"much too deep":     {strings.Repeat("[", 200_000), muster.CodeMalformed},
		"too large":         {`{"device":"` + strings.Repeat("a", muster.MaxApplicationBytes) + `"}`, muster.CodeTooLarge},
		"too many elements": {`{"beneficial_owners":[` + strings.Repeat("{},", maxElements) + `{}]}`, muster.CodeTooLarge},
	} {
		if _, err := Decode([]byte(x.body)); muster.ErrorCode(err) != x.code {
			t.Errorf("%s: %v, want %s", name, err, x.code)
		}
	}
}

func members(n int) string {
	var b []string
	for i := range n {
		b = append(b, `"`+string(rune('a'+i/26))+string(rune('a'+i%26))+`":1`)
	}
	return strings.Join(b, ",")
}

func TestDecodeNamesEveryFaultAndNoValue(t *testing.T) {
	t.Parallel()
	body := `{"reference":7,"customer":{"kind":["SECRET"],"name":"SECRET","SECRET":1,"surname":"SECRET","address":{"lines":"SECRET","country":{}},
		"nationalities":["DE",null,3],"ownership_percent":1e2,"control":"SECRET"},"beneficial_owners":[{"ownership_percent":"60"},{"ownership_percent":-1}],
		"access":{"ip":"5.9.120.33","port":1.5,"time":"SECRET"},"payment":[],"device":true}`
	_, err := Decode([]byte(body))
	var e *muster.Error
	if !errors.As(err, &e) || e.Code != muster.CodeInvalid {
		t.Fatal(err)
	}
	var got []string
	for _, f := range e.Faults {
		got = append(got, f.Pointer+" "+f.Code)
		if strings.Contains(f.Detail+f.Pointer, "SECRET") {
			t.Errorf("%s repeats a value", f.Pointer)
		}
	}
	want := []string{
		"/access/port wrong_type", "/access/time time", "/beneficial_owners/0/ownership_percent wrong_type", "/beneficial_owners/1/ownership_percent share",
		"/customer unknown_member", "/customer/address/country wrong_type", "/customer/address/lines wrong_type", "/customer/control wrong_type",
		"/customer/kind wrong_type", "/customer/name wrong_type", "/customer/nationalities/1 wrong_type", "/customer/nationalities/2 wrong_type",
		"/customer/ownership_percent share", "/customer/surname unknown_member", "/device wrong_type", "/payment wrong_type", "/reference wrong_type",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// Shape and values together, without "required" for what could not be read.
	c := newChecker(t)
	_, err = c.Read([]byte(`{"reference":7,"customer":{"kind":"individual","phone":"1"},"x_y":1}`), testNow)
	errors.As(err, &e)
	got = nil
	for _, f := range e.Faults {
		got = append(got, f.Pointer+" "+f.Code)
	}
	if d := cmp.Diff([]string{"/customer/phone phone_number", "/reference wrong_type", "/x_y unknown_member"}, got); d != "" {
		t.Error(d)
	}
}

// TestDecodeReadsWhatTheLibraryReads holds the walk against encoding/json.
func TestDecodeReadsWhatTheLibraryReads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden cases", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, body)
	}
	sameAsLibrary(t, []byte(`{"reference":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t","customer":{"ownership_percent":0.000001,"owners":[{}, {"control":true,"name":{"others":[]}}]},"payment":null,"access":{"port":443,"ip":"","time":"2026-01-31T09:15:00.5+02:00"}}`))
}

func sameAsLibrary(t *testing.T, body []byte) {
	t.Helper()
	got, err := Decode(body)
	if err != nil {
		return // stricter than the library on purpose
	}
	var want muster.Application
	lib := json.NewDecoder(bytes.NewReader(body))
	lib.DisallowUnknownFields()
	if err := lib.Decode(&want); err != nil {
		t.Errorf("taken here, refused by the library: %v", err)
		return
	}
	if d := cmp.Diff(&want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/golden/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"reference":"\ud83d\ude00","x":[{"a":null}],"customer":{"owners":[{"owners":[{}]}]}}`))
	f.Add([]byte(`{"access":{"time":"2026-01-31T09:15:00Z","port":-0}}`))
	c, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sameAsLibrary(t, body)
		var checked *Checked
		var err error
		const most = 2 * time.Second
		if took := quickest.Of(most, func() { checked, err = c.Read(body, testNow) }); took > most {
			t.Fatalf("took %v", took)
		}
		if err != nil {
			var e *muster.Error
			if !errors.As(err, &e) {
				t.Fatalf("not an error of the house: %T", err)
			}
			if e.Code == muster.CodeInvalid && (len(e.Faults) == 0 || len(e.Faults) > maxFaults) {
				t.Fatalf("%d faults", len(e.Faults))
			}
		} else if len(checked.Subjects) == 0 || len(checked.Subjects) != len(checked.Normal.Subjects) {
			t.Fatal("subjects and their values do not run parallel")
		}
	})
}

// TestShapesKnowEveryMember fails when a member of the noun has no name.
func TestShapesKnowEveryMember(t *testing.T) {
	t.Parallel()
	for typ, members := range shapes() {
		if _, unnamed := members[""]; unnamed || len(members) != typ.NumField() {
			t.Errorf("%s has a member without a name on the wire", typ)
		}
	}
	if len(shapes()) < 10 || shapes()[reflect.TypeFor[muster.Wallet]()] == nil {
		t.Errorf("only %d shapes", len(shapes()))
	}
}
