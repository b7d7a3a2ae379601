package ask

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

// read is what a body says, for tests: its strings are its own.
func read(data string) (*body, error) {
	b := &body{}
	err := b.read(&reader{data: []byte(data)})
	return b, err
}

func TestABodyIsReadAsItStands(t *testing.T) {
	t.Parallel()
	b, err := read(`{"foo": [1, {"a": null}], "subject": {"type": "account", "id": "r-\u00e9\ud83d\ude00\n", "properties": {"x": 1}},
		"action": {"name": "create", "properties": {"soft": true}},
		"resource": {"id": "i-1", "type": "instance", "properties": {"product": "vm", "region": "fra", "gpu": "single", "instances": 3, "outbound_mail": true, "spend": {"amount": 900, "currency": "EUR"}, "more": {}}},
		"context": {"time": "2025-06-27T18:03-07:00"}, "options": {"evaluations_semantic": "execute_all", "x": 1}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &body{
		question: question{
			subject: thing{there: true, kind: "account", hasKind: true, id: "r-é😀\n", hasID: true},
			action:  thing{there: true, id: "create", hasID: true},
			resource: thing{
				there: true, kind: "instance", hasKind: true, id: "i-1", hasID: true,
				product: "vm", region: "fra", gpu: "single", instances: 3, mail: true, spend: muster.Money{Amount: 900, Currency: "EUR"},
			},
		},
		semantic: "execute_all",
	}
	if d := cmp.Diff(want, b, cmp.AllowUnexported(body{}, question{}, thing{})); d != "" {
		t.Error(d)
	}
	if err := b.fault(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoQuestionIsRefused(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]error{
		"":                                      errNotJSON,
		"  ":                                    errNotJSON,
		"{":                                     errNotJSON,
		"[]":                                    errNotObject,
		`"x"`:                                   errNotObject,
		`{"a": 01}`:                             errNotJSON,
		`{"a": 1.}`:                             errNotJSON,
		`{"a": tru}`:                            errNotJSON,
		`{"a": "\x"}`:                           errNotJSON,
		`{"a": 1,}`:                             errNotJSON,
		`{} {}`:                                 errNotJSON,
		"{}\x00":                                errNotJSON,
		"{\"a\": \"\xff\"}":                     errNotJSON,
		"{\"a\": \"\n\"}":                       errNotJSON,
		`{"subject": "alice"}`:                  errWrongType,
		`{"subject": {"type": 1}}`:              errWrongType,
		`{"action": {"name": 123}}`:             errWrongType,
		`{"context": []}`:                       errWrongType,
		`{"evaluations": {}}`:                   errWrongType,
		`{"action": {}, "action":{}}`:           errTwice,
		`{"subject":{"id":"a","id":"b"}}`:       errTwice,
		`{"a":` + strings.Repeat("[", 40) + "1": errTooDeep,
		`{"options": {"evaluations_semantic": null}}`: errWrongType,
	} {
		if _, err := read(data); err != want { //nolint:errorlint // they are values
			t.Errorf("%.40q: %v, want %v", data, err, want)
		}
	}
}

func TestItemsStandOverDefaults(t *testing.T) {
	t.Parallel()
	b, err := read(`{"evaluations": [
		{"resource": {"id": "1"}}, {}, {"action": {"name": "delete"}, "resource": {"type": "disk", "id": "2"}}, {"subject": 7}, null,
		{"resource": {"id": "3", "properties": {"gpu": "multi"}}}],
		"subject": {"type": "account", "id": "r\u002d1"}, "resource": {"type": "instance", "properties": {"product": "vm"}}, "action": {"name": "create"}}`)
	if err != nil || b.count != 6 {
		t.Fatal(b.count, err)
	}
	var got []string
	if err := b.items(&reader{}, func(q *question, fault error) bool {
		if fault == nil {
			fault = q.fault()
		}
		if fault != nil {
			got = append(got, fault.Error())
		} else {
			got = append(got, strings.Join([]string{q.subject.id, q.action.id, q.resource.kind, q.resource.id, q.resource.product, q.resource.gpu}, "|"))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"r-1|create|instance|1||", "resource.id is required", "r-1|delete|disk|2||", errWrongType.Error(), errWrongType.Error(), "r-1|create|instance|3||multi",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// FuzzBody holds the reader against encoding/json: it takes nothing that is not
// JSON, and what it takes it reads the same.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"subject":{"type":"account","id":"r-1"},"action":{"name":"use"},"resource":{"type":"instance","id":"1","properties":{"instances":2}},"context":{"a":[1.5e+3,-0]}}`,
		`{"subject":{"type":"user","id":"\u00e9\ud800\udc00\ud800x\"\\\/\b\f\n\r\t"},"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[{},{"action":{"name":"a"}},[]]}`,
		`{"evaluations":[]}`, `{"subject":null}`, `[]`, `{"a":`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &reader{data: data}
		b := &body{}
		err := b.read(r)
		valid := json.Valid(data) && utf8.Valid(data)
		switch {
		case err == errNotJSON && valid: //nolint:errorlint // they are values
			t.Fatal("this is JSON")
		case err != nil:
			return
		case !json.Valid(data):
			t.Fatal("this is no JSON")
		}
		var want struct {
			Subject, Resource *struct{ Type, ID *string }
			Action            *struct{ Name *string }
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		for name, at := range map[string]any{"subject": &want.Subject, "resource": &want.Resource, "action": &want.Action} {
			if raw, ok := members[name]; ok {
				var m map[string]json.RawMessage
				if err := json.Unmarshal(raw, &m); err != nil {
					t.Fatal(err)
				}
				for k := range m { // encoding/json folds case, AuthZEN does not
					if k != "type" && k != "id" && k != "name" {
						delete(m, k)
					}
				}
				clean, _ := json.Marshal(m)
				if m == nil {
					clean = []byte("null")
				}
				if err := json.Unmarshal(clean, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		same := func(s *string, has bool, got string) {
			if (s != nil) != has || s != nil && *s != got {
				t.Fatalf("read %q, %v", got, has)
			}
		}
		if want.Subject != nil {
			same(want.Subject.Type, b.subject.hasKind, b.subject.kind)
			same(want.Subject.ID, b.subject.hasID, b.subject.id)
		}
		if want.Resource != nil {
			same(want.Resource.Type, b.resource.hasKind, b.resource.kind)
			same(want.Resource.ID, b.resource.hasID, b.resource.id)
		}
		if want.Action != nil {
			same(want.Action.Name, b.action.hasID, b.action.id)
		}
		n := 0
		if b.evaluations != nil {
			if err := b.items(r, func(*question, error) bool { n++; return true }); err != nil || n != b.count {
				t.Fatal(n, b.count, err)
			}
		}
	})
}
