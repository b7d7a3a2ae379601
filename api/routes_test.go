package api

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

var names = regexp.MustCompile(`\{[a-z]+(\.\.\.)?\}`)

// examples are bodies that each route takes, so that a permitted call gets through.
var examples = map[string]string{
	"apply":             `{"reference":"r-1"}`,
	"correctClaims":     `{"customer":{"email":"a@b.test"}}`,
	"challenge":         `{"method":"contact.email"}`,
	"respond":           `{"code":"123456"}`,
	"recordEvidence":    `{"method":"document.manual","input":{"type":"passport"}}`,
	"reveal":            `{"purpose":"support","case":"c-1"}`,
	"moveAccount":       `{"to":"closing","reason":"left"}`,
	"resolveReview":     `{"finding":"clear","reason":"seen"}`,
	"resolveHit":        `{"finding":"false","reason":"seen"}`,
	"reportHit":         `{"case":"c-1"}`,
	"revealHit":         `{"purpose":"review","case":"c-1"}`,
	"screenNames":       `{"queries":[{"names":["Ada Example"],"births":["1980-02"]}]}`,
	"scoreLabels":       `{"labels":[{"application":"r-1","list":"ofac.sdn","entry":"1","same":true}]}`,
	"proposeActivation": `{"source":"id: p"}`,
	"replayDecisions":   `{"source":"id: p"}`,
	"previewMeasure":    `{"source":"format: 1"}`,
	"appealMeasure":     `{"measure":"m-1"}`,
	"proposeMeasure":    `{"kind":"lift","measure":"m-1"}`,
	"addWebhook":        `{"url":"https://hooks.test/"}`,
	"changeWebhook":     `{"enabled":false}`,
	"replayDelivery":    `{"message":"msg_1"}`,
	"addOperator":       `{"name":"Ada"}`,
	"evaluate":          `{"subject":{"type":"account","id":"r-1"},"action":{"name":"use"},"resource":{"type":"instance","id":"i-1"}}`,
	"evaluateAll":       `{"subject":{"type":"account","id":"r-1"},"action":{"name":"use"},"evaluations":[{"resource":{"type":"instance","id":"i-1"}}]}`,
	"putGateRecords":    `{"run":"gtn_01jz0000000000000000000000","n":1,"at":"2026-07-01T12:00:00Z","records":[],"counts":[],"lost":0}`,
	"rotateKey":         `{"key":"handle"}`,
	"placeHold":         `{"ground":"own","case":"c-1","review":"2027-01-01T00:00:00Z"}`,
	"reviewHold":        `{"review":"2027-01-01T00:00:00Z"}`,
	"askExport":         `{"case":"c-1","recipients":["age1x"]}`,
	"regainPart":        `{"type":"hold","id":"hld_1"}`,
	"askErasure":        `{"customer":"cus_1","ground":"request"}`,
	"importLists":       anArchive(),
	"updateLists":       `{"sources":["ofac"]}`,
	"approveList":       `{"digest":"` + strings.Repeat("a", 64) + `","reason":"seen"}`,
	"rollbackList":      `{"reason":"wrong file"}`,
	"addAccessRecords":  `{"account":"A-1","ip":"192.0.2.1","at":"2026-07-01T11:00:00Z","action":"login"}`,
	"addLeases":         `{"account":"A-1","resource":"address","prefix":"198.51.100.1","from":"2026-07-01T11:00:00Z","source":"dhcp","precision":"1s"}`,
	"addLogs":           `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1782900000000000000","attributes":[{"key":"muster.account","value":{"stringValue":"A-1"}},{"key":"client.address","value":{"stringValue":"192.0.2.1"}},{"key":"muster.action","value":{"stringValue":"login"}}]}]}]}]}`,
	"whoHeld":           `{"purpose":"abuse","case":"c-1","ip":"198.51.100.1","at":"2026-06-01T00:00:00Z","identify":true}`,
	"whoCameFrom":       `{"purpose":"abuse","case":"c-1","ip":"192.0.2.1","from":"2026-06-01T00:00:00Z","until":"2026-06-02T00:00:00Z"}`,
	"whereUsed":         `{"purpose":"abuse","case":"c-1","account":"A-1","from":"2026-06-01T00:00:00Z","until":"2026-06-02T00:00:00Z","country":"DE","network":"192.0.2.1"}`,
	"placesUsed":        `{"purpose":"abuse","case":"c-1","account":"A-1","from":"2026-06-01T00:00:00Z","until":"2026-06-02T00:00:00Z"}`,
	"sharedAddresses":   `{"purpose":"abuse","case":"c-1","account":"A-1","from":"2026-06-01T00:00:00Z","until":"2026-06-02T00:00:00Z"}`,
	"lastAccess":        `{"purpose":"abuse","case":"c-1","account":"A-1"}`,
	"openImport":        `{"cohort":"all","due":"2027-01-01T00:00:00Z","source":"` + strings.Repeat("a", 64) + `"}`,
	"changeCohort":      `{"due":"2027-01-01T00:00:00Z","share":5,"case":"c-1"}`,
	"importLines":       `{"type":"customer","customer":{"application":{"reference":"c-1"}}}`,
	"createToken":       `{"operator":"opr_1","name":"ci","scopes":["read"],"days":30}`,
}

func pathOf(rt *route) string {
	p := strings.Replace(rt.path, "{path...}", "0/000", 1)
	p = strings.Replace(p, "{digest}", strings.Repeat("a", 64), 1)
	p = strings.Replace(p, "{list}", "ofac.sdn", 1)
	p = names.ReplaceAllString(p, "x_1")
	if rt.id == "followGate" {
		p += "?epoch=1&after=5"
	}
	if rt.id == "getCopy" {
		p += "?case=request-1"
	}
	if rt.id == "getBundle" {
		p += "?audience=examiner&pinned=3"
	}
	return p
}

func (b *bundle) call(rt *route, headers ...string) *reply {
	b.t.Helper()
	if rt.traits&match != 0 {
		headers = append(headers, "If-Match", `"7"`)
	}
	if rt.id == "askNginx" {
		headers = append(headers, "X-Muster-Account", "r-1")
	}
	return b.do(rt.method, pathOf(rt), examples[rt.id], headers...)
}

func TestOnlyTheNamedScopePasses(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		b := setup(t, func(c *Config) { c.PublicLog = public })
		tokens := map[muster.Scope]string{}
		for i, s := range muster.Scopes {
			tokens[s] = "muster_sandbox_" + strings.Repeat(string(rune('a'+i)), 30)
			b.scopes[tokens[s]] = []muster.Scope{s}
		}
		for _, rt := range b.api.routes() {
			want := http.StatusUnauthorized
			if rt.scope == Public {
				want = rt.status
			}
			if got := b.call(rt, "Authorization", ""); got.StatusCode != want {
				t.Errorf("%s %s without a token: %d, want %d: %s", rt.method, rt.path, got.StatusCode, want, got.body)
			}
			for _, s := range muster.Scopes {
				got := b.call(rt, "Authorization", "Bearer "+tokens[s])
				switch may := rt.scope == Public || rt.scope == Anyone || rt.scope == s; {
				case may && got.StatusCode != rt.status:
					t.Errorf("%s %s with %s: %d, want %d: %s", rt.method, rt.path, s, got.StatusCode, rt.status, got.body)
				case !may && got.StatusCode != http.StatusForbidden:
					t.Errorf("%s %s with %s: %d, want 403", rt.method, rt.path, s, got.StatusCode)
				}
			}
		}
	}
}

func TestEveryRouteHasARealPermission(t *testing.T) {
	t.Parallel()
	open := []string{"getOpenAPI", "getLive", "getReady", "authZENConfiguration"}
	for _, rt := range (&API{}).routes() {
		switch {
		case rt.scope == Public:
			if !slices.Contains(open, rt.id) {
				t.Errorf("%s is public", rt.id)
			}
		case rt.scope != Anyone && !slices.Contains(muster.Scopes, rt.scope):
			t.Errorf("%s names %q, which is no scope", rt.id, rt.scope)
		}
		if rt.method != get && rt.traits&(once|match|file|batch|archive|records|lines|part) == 0 && !slices.Contains([]string{"takeExport", "whoHeld", "whoCameFrom", "whereUsed", "placesUsed", "sharedAddresses", "lastAccess", "reveal", "replayDecisions", "previewMeasure", "evaluate", "evaluateAll", "revealHit", "screenNames", "scoreLabels"}, rt.id) { // they change nothing but the log
			t.Errorf("%s writes, and has neither reference, version nor idempotency key", rt.id)
		}
	}
}

func TestUnlistedPaths(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range []string{"/", "/v1", "/v1/", "/v1/nothing", "/docs", "/schemas/Problem", "/openapi.yaml", "/openapi-3.0.json", "/v1//applications", "/v1/../etc", "/v1/applications/"} {
		if got := b.do("GET", p, ""); got.StatusCode != http.StatusNotFound || got.problem(t).Code != muster.CodeNotFound {
			t.Errorf("%s: %d", p, got.StatusCode)
		}
	}
	got := b.do("DELETE", "/v1/applications", "")
	if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, POST" {
		t.Errorf("DELETE on a route that has none: %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
	if got := b.do("HEAD", "/healthz", ""); got.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %d", got.StatusCode)
	}
}
