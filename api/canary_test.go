package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// The canaries look like what people type; none is a word of ours.
var canaries = []string{"Zyxwvut Qponm", "zyxwvut@qponm.test", "4929111122223333"}

// found says which canary is in text, in any encoding that we could write it in.
func found(text, canary string) bool {
	escaped, _ := json.Marshal(canary)
	for _, form := range []string{
		canary, string(escaped[1 : len(escaped)-1]), url.QueryEscape(canary), url.PathEscape(canary),
		base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

// TestNoRejectedValueComesBack posts canaries wherever a caller can put text.
func TestNoRejectedValueComesBack(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	b := setup(t, func(c *Config) { c.Tracer = provider })
	seen := 0
	for _, rt := range b.api.routes() {
		for _, canary := range canaries {
			quoted, _ := json.Marshal(canary)
			value := string(quoted)
			bodies := []string{
				value, "[" + value + "]", `{"` + canary + `":1}`, `{"a.` + canary + `[3]":1}`, canary, "{" + value, strings.Repeat("[", 40) + value,
				`{"method":` + value + `,"subject":{"x":` + value + `},"input":` + value + `}`,
				`{"finding":` + value + `,"reason":[` + value + `],"rules":` + value + `,"expires":` + value + `}`,
				`{"url":[` + value + `],"events":{"` + canary + `":` + value + `},"enabled":` + value + `}`,
				`{"source":1,"effective":` + value + `,"observe":` + value + `}`,
				`{"operator":{"` + canary + `":1},"scopes":[1,` + value + `,{"` + canary + `":2}],"days":` + value + `,"name":1}`,
				`{"to":` + value + `,"reason":{"` + canary + `":1},"purpose":[` + value + `],"code":[` + value + `],"message":` + value + `,"break_glass":` + value + `}`,
			}
			if rt.method == get {
				bodies = []string{""}
			}
			p, q := pathOf(rt), url.QueryEscape(canary)
			paths := []string{
				p, addQuery(p, q+"=1"), addQuery(p, "limit="+q), addQuery(p, "after="+q), addQuery(p, "state="+q), addQuery(p, "x="+q), addQuery(p, "audience="+q),
				strings.ReplaceAll(p, "x_1", url.PathEscape(canary)), p + "/" + url.PathEscape(canary), p + "//" + url.PathEscape(canary),
			}
			for i, body := range bodies {
				for j, path := range paths {
					if i > 0 && j > 0 {
						continue // body and path, not every pair
					}
					for _, headers := range [][]string{
						{"If-Match", `"7"`},
						{"If-Match", canary, "X-Request-Id", canary, "Idempotency-Key", canary, "Content-Type", "text/" + canary, "Accept", canary},
						{"Authorization", "Bearer " + canary, "Traceparent", canary, "Tracestate", canary, "Cookie", canary},
						{"Authorization", "Bearer muster_sandbox_" + q + "abcdefghijklmnopqrstuvwxyz", "Origin", canary, "User-Agent", canary, "Referer", canary},
					} {
						if j > 0 && len(headers) > 2 {
							continue
						}
						got := b.do(rt.method, path, body, headers...)
						if got.StatusCode < 400 {
							continue // it was taken, and nothing was rejected
						}
						seen++
						head, _ := json.Marshal(got.Header)
						if found(got.body+string(head), canary) {
							t.Errorf("%s %s with %s %v comes back: %s %s", rt.method, path, body, headers, head, got.body)
						}
					}
				}
			}
			if got := b.do(canary[:3]+"X", "/v1/me", ""); got.StatusCode < 400 {
				t.Errorf("a made-up method: %d", got.StatusCode)
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d refusals: the test does not test", seen)
	}
	metrics := b.do("GET", "/metrics", "").body
	names := ""
	for _, s := range spans.GetSpans() {
		names += s.Name
		for _, a := range s.Attributes {
			names += " " + a.Value.String()
		}
	}
	for _, canary := range canaries {
		for what, text := range map[string]string{"log": b.logs.String(), "metrics": metrics, "trace": names} {
			if found(text, canary) {
				t.Errorf("canary %q in the %s", canary, what)
			}
		}
	}
	if !strings.Contains(names, "/v1/applications/{application}") || !strings.Contains(metrics, `route="/v1/applications/{application}"`) {
		t.Error("positive control: neither spans nor metrics name routes")
	}
}

// TestTheSearchFinds is the positive control of the test above.
func TestTheSearchFinds(t *testing.T) {
	t.Parallel()
	for _, canary := range canaries {
		b64 := base64.StdEncoding.EncodeToString([]byte(canary))
		for _, text := range []string{"x" + strings.ToUpper(canary), url.QueryEscape(canary), b64} {
			if !found(text, canary) {
				t.Errorf("%q is not found in %q", canary, text)
			}
		}
	}
}

func addQuery(p, q string) string {
	if strings.Contains(p, "?") {
		return p + "&" + q
	}
	return p + "?" + q
}

func TestFaultsNameOurFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct{ method, path, body, pointer, code string }{
		{"POST", "/v1/tokens", `{"operator":"o","name":"n","scopes":["read"],"days":500}`, "/days", "invalid"},
		{"POST", "/v1/tokens", `{"operator":"o","name":"n","scopes":[3],"days":5}`, "/scopes/0", "invalid"},
		{"POST", "/v1/tokens", `{"operator":"o","name":"n","scopes":["read"],"days":5,"extra":1}`, "", "unknown_field"},
		{"GET", "/v1/customers?limit=500", "", "", "invalid"},
		{"GET", "/v1/customers?page=2", "", "", "unknown_parameter"},
		{"GET", "/checkpoint?size=2", "", "", "unknown_parameter"},
	} {
		p := b.do(c.method, c.path, c.body).problem(t)
		if p.Status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer || p.Errors[0].Code != c.code {
			t.Errorf("%s %s: %+v", c.path, c.body, p)
		}
	}
}
