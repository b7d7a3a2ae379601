package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/edge"
)

type follower struct{ status edge.Status }

func (f *follower) Status() edge.Status { return f.status }

const edgeToken = "muster_edge_abcdefghijklmnopqrstuvwxyz"

func setupEdge(t *testing.T, token string, f *follower) string {
	t.Helper()
	a, err := NewEdge(EdgeConfig{
		Version: "v0", Clock: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry(),
		Gate: &house{}, Follower: f, Token: token, PublicURL: "https://gate.example.net",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return s.URL
}

func edgeCall(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestAnEdgeServesTheGateAndNothingElse(t *testing.T) {
	t.Parallel()
	question := examples["evaluate"]
	for _, token := range []string{"", edgeToken} {
		url := setupEdge(t, token, &follower{edge.Status{Source: "stream", Sequence: 7}})
		with := []string{"Authorization", "Bearer " + token, "X-Muster-Account", "r-1"}
		for path, want := range map[string]int{
			"POST /access/v1/evaluation": 200, "GET /.well-known/authzen-configuration": 200, "GET /v1/gate/auth-request": 204, "GET /v1/gate/status": 200,
			"GET /metrics": 200, "GET /healthz": 200, "GET /readyz": 200, "GET /openapi.json": 200,
			"GET /v1/customers": 404, "POST /v1/applications": 404, "GET /v1/gate/snapshot": 404, "GET /v1/gate/records": 404, "GET /access/v1/evaluation": 405,
		} {
			method, path, _ := strings.Cut(path, " ")
			res, body := edgeCall(t, method, url+path, question, with...)
			if res.StatusCode != want {
				t.Errorf("%s %s with %q: %s %s", method, path, token, res.Status, body)
			}
			if token == "" || want > 204 || path == "/healthz" || path == "/readyz" || path == "/openapi.json" || strings.HasPrefix(path, "/.well-known") {
				continue
			}
			for _, bad := range []string{"", "Bearer muster_edge_zzzzzzzzzzzzzzzzzzzzzzzzzz", "Bearer muster_sandbox_zzzzzzzzzzzzzzzzzzzzzzzzzz", "Basic x"} {
				if res, _ := edgeCall(t, method, url+path, question, "Authorization", bad, "X-Muster-Account", "r-1"); res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s %s with %q: %s", method, path, bad, res.Status)
				}
			}
		}
	}
}

// TestNginxHearsOnlyWhatItUnderstands: 2xx, 401 and 403, whatever goes wrong.
func TestNginxHearsOnlyWhatItUnderstands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for err, want := range map[error]int{
		muster.Errorf(muster.CodeUnavailable, "the store is away"): http.StatusForbidden,
		errors.New("something else"):                               http.StatusForbidden,
	} {
		b.api.auth.tokens = failing{err}
		res, _ := edgeCall(t, "GET", b.url+"/v1/gate/auth-request", "", "Authorization", "Bearer muster_sandbox_zzzzzzzzzzzzzzzzzzzzzzzzzz", "X-Muster-Account", "r-1")
		if res.StatusCode != want {
			t.Errorf("%v: %s", err, res.Status)
		}
	}
	b = setup(t)
	for i := range badTries + 3 { // past the tries it would be 429
		res, _ := edgeCall(t, "GET", b.url+"/v1/gate/auth-request", "", "Authorization", "Bearer muster_sandbox_zzzzzzzzzzzzzzzzzzzzzzzzzz", "X-Muster-Account", "r-1")
		if want := http.StatusUnauthorized; i < badTries && res.StatusCode != want || i >= badTries && res.StatusCode != http.StatusForbidden {
			t.Errorf("try %d: %s", i, res.Status)
		}
	}
}

type failing struct{ err error }

func (f failing) Principal(context.Context, string) (muster.Principal, error) {
	return muster.Principal{}, f.err
}

func TestAnEdgeThatIsStaleIsNotReady(t *testing.T) {
	t.Parallel()
	f := &follower{}
	url := setupEdge(t, "", f)
	for _, s := range []edge.Status{{Source: "none", Stale: true}, {Source: "cache", Stale: true}} {
		f.status = s
		if res, _ := edgeCall(t, "GET", url+"/readyz", ""); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%+v: %s", s, res.Status)
		}
	}
	f.status = edge.Status{Source: "nats", Epoch: 7, Refused: map[edge.Refusal]uint64{edge.Forged: 2}, Last: edge.Forged}
	if res, _ := edgeCall(t, "GET", url+"/readyz", ""); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	_, body := edgeCall(t, "GET", url+"/v1/gate/status", "")
	var s edge.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Refused[edge.Forged] != 2 || s.Last != edge.Forged {
		t.Errorf("%s %v", body, err)
	}
}

func TestTheTokenOfAnEdgesCallersHasItsForm(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"x", "muster_sandbox_abcdefghijklmnopqrstuvwxyz", "muster_edge_short"} {
		_, err := NewEdge(EdgeConfig{Clock: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Gate: &house{}, Follower: &follower{}, Token: token})
		if muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", token, err)
		}
	}
}
