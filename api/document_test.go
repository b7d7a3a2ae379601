package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

func TestDocumentIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := append(bytes.Clone(b.api.Document()), '\n')
	if *update {
		if err := os.WriteFile("testdata/openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the API changed: look at the difference after go test ./api -run Golden -update, and say it in the changelog")
	}
	res := b.do("GET", "/openapi.json", "", "Authorization", "")
	if res.body != string(b.api.Document()) || res.Header.Get("Content-Type") != "application/openapi+json" {
		t.Error("/openapi.json is another one")
	}
}

func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.doc["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", b.doc["openapi"])
	}
	text := string(b.api.Document())
	for _, foreign := range []string{"$schema", "example.com", "ErrorModel", "ErrorDetail", "localhost"} {
		if strings.Contains(text, foreign) {
			t.Errorf("the document has %q", foreign)
		}
	}
	paths := b.doc["paths"].(map[string]any)
	n := 0
	for _, rt := range b.api.routes() {
		item, _ := paths[strings.ReplaceAll(rt.path, "...}", "}")].(map[string]any)
		o, _ := item[strings.ToLower(rt.method)].(map[string]any)
		if o == nil || o["operationId"] != rt.id {
			t.Errorf("%s %s is not in the document", rt.method, rt.path)
			continue
		}
		n++
		wholeOperation(t, rt, o)
	}
	total := 0
	for _, item := range paths {
		total += len(item.(map[string]any))
	}
	if total != n {
		t.Errorf("%d operations in the document, %d routes in the table", total, n)
	}
	refs(t, b.doc, b.doc)
}

func wholeOperation(t *testing.T, rt *route, o map[string]any) {
	t.Helper()
	responses := o["responses"].(map[string]any)
	if responses[strconv.Itoa(rt.status)] == nil {
		t.Errorf("%s: %d is not declared", rt.id, rt.status)
	}
	if responses["default"] != nil {
		t.Errorf("%s has a response for whatever", rt.id)
	}
	for _, code := range muster.Codes {
		if !rt.mayAnswer(code) {
			continue
		}
		r, _ := responses[strconv.Itoa(kinds[code].status)].(map[string]any)
		content, _ := r["content"].(map[string]any)
		if content["application/problem+json"] == nil {
			t.Errorf("%s: the problem of %s is not declared", rt.id, code)
		}
	}
	if (rt.scope == Public) != (o["security"] == nil) {
		t.Errorf("%s: security %v", rt.id, o["security"])
	}
	declared := map[string]bool{}
	params, _ := o["parameters"].([]any)
	for _, p := range params {
		p := p.(map[string]any)
		declared[p["in"].(string)+" "+p["name"].(string)] = true
	}
	for _, name := range names.FindAllString(rt.path, -1) {
		if name = strings.Trim(name, "{.}"); !declared["path "+name] {
			t.Errorf("%s: path parameter %s is not declared", rt.id, name)
		}
	}
	if rt.traits&once != 0 && !declared["header Idempotency-Key"] || rt.traits&match != 0 && !declared["header If-Match"] {
		t.Errorf("%s: a header is not declared", rt.id)
	}
	if _, body := examples[rt.id]; body && o["requestBody"] == nil {
		t.Errorf("%s: no body is declared", rt.id)
	}
}

// refs fails where a reference leads nowhere.
func refs(t *testing.T, doc map[string]any, v any) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			var at any = doc
			for seg := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				m, _ := at.(map[string]any)
				at = m[seg]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		for _, x := range v {
			refs(t, doc, x)
		}
	case []any:
		for _, x := range v {
			refs(t, doc, x)
		}
	}
}

func TestDocumentShowsTheApplication(t *testing.T) {
	t.Parallel()
	b := setup(t)
	schemas := b.doc["components"].(map[string]any)["schemas"].(map[string]any)
	application, _ := schemas["Application"].(map[string]any)
	b2, _ := json.Marshal(application)
	for _, want := range []string{"reference", "beneficial_owners", "signatories", "payment", "#/components/schemas/Party"} {
		if !strings.Contains(string(b2), want) {
			t.Errorf("the Application lacks %s", want)
		}
	}
	party, _ := json.Marshal(schemas["Party"])
	if !strings.Contains(string(party), `"ownership_percent":{"format":"double","type":"number"}`) {
		t.Errorf("a share is no number: %s", party)
	}
	o := b.doc["paths"].(map[string]any)["/v1/applications"].(map[string]any)["post"].(map[string]any)
	text, _ := json.Marshal(o)
	for _, want := range []string{`"$ref":"#/components/schemas/Application"`, `"$ref":"#/components/schemas/Answer"`, `"201"`, `"200"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("posting lacks %s", want)
		}
	}
}

func TestAnswersHaveNoSchemaLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, rt := range b.api.routes() {
		if got := b.call(rt); rt.id != "getOpenAPI" && (strings.Contains(got.body, "$schema") || strings.Contains(got.Header.Get("Link"), "schema")) {
			t.Errorf("%s: %s %v", rt.id, got.body, got.Header)
		} else if got.StatusCode == http.StatusOK && got.body == "" {
			t.Errorf("%s: an empty answer", rt.id)
		}
	}
}

func TestRecordsLoseTheirSecretsOnTheWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, rt := range b.api.routes() {
		if got := b.call(rt); strings.Contains(got.body, "bWFj") || strings.Contains(got.body, `"mac"`) || strings.Contains(got.body, "c2VhbGVk") {
			t.Errorf("%s: %s", rt.id, got.body)
		}
	}
}
