package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
)

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	if len(kinds) != len(muster.Codes) {
		t.Errorf("%d kinds for %d codes", len(kinds), len(muster.Codes))
	}
	for _, code := range muster.Codes {
		b := setup(t)
		b.err = &muster.Error{
			Code: code, Message: "told", Hint: "hinted", RetryAfter: 1500 * time.Millisecond, Cause: errors.New("hushed"),
			Faults: []muster.Fault{{Pointer: "/customer/name", Code: "absent", Detail: "a name is wanted"}},
		}
		for _, where := range []string{"/v1/applications/r-1", "/checkpoint"} { // through the library, and raw
			req, _ := http.NewRequest("GET", b.url+where, nil)
			req.Header.Set("Authorization", "Bearer "+all)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var p Problem
			if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
				t.Fatalf("%s: %v", code, err)
			}
			res.Body.Close()
			want := Problem{
				Type: "urn:muster:problem:" + string(code), Title: kinds[code].title, Status: res.StatusCode, Detail: "told", Code: code,
				RequestID: res.Header.Get("X-Request-Id"), Hint: "hinted", Errors: p.Errors,
			}
			if diff := cmp.Diff(want, p); diff != "" || res.StatusCode < 400 || len(p.Errors) != 1 {
				t.Errorf("%s at %s: %d %s", code, where, res.StatusCode, diff)
			}
			if got := res.Header.Get("Retry-After"); got != "2" {
				t.Errorf("%s: Retry-After %q, want 2", code, got)
			}
			if (res.StatusCode == http.StatusUnauthorized) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s: WWW-Authenticate %q", code, res.Header.Get("WWW-Authenticate"))
			}
		}
		if ours := code == muster.CodeInternal || code == muster.CodeUnavailable || code == muster.CodeNoSpace; ours != strings.Contains(b.logs.String(), "hushed") {
			t.Errorf("%s: the cause is in the log: %v, want %v", code, !ours, ours)
		}
	}
}

func TestAnErrorThatIsNotOursIsInternal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.err = errors.New("driver: something about a row")
	got := b.do("GET", "/v1/customers", "")
	if p := got.problem(t); p.Code != muster.CodeInternal || strings.Contains(got.body, "driver") {
		t.Errorf("%s", got.body)
	}
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Checks = []Check{{Name: "store"}} }) // a nil function
	got := b.do("GET", "/v1/status", "")
	if got.StatusCode != http.StatusInternalServerError || !strings.Contains(b.logs.String(), "nil pointer") {
		t.Errorf("%d, log %s", got.StatusCode, b.logs)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var broken error
	b := setup(t, func(c *Config) {
		c.Checks = []Check{{Name: "store", Run: func(context.Context) error { return broken }}}
	})
	if got := b.do("GET", "/readyz", ""); got.StatusCode != http.StatusOK {
		t.Errorf("ready: %d", got.StatusCode)
	}
	broken = errors.New("away")
	got := b.do("GET", "/readyz", "")
	if p := got.problem(t); p.Status != 503 || len(p.Errors) != 1 || p.Errors[0].Code != "store" || got.Header.Get("Retry-After") == "" {
		t.Errorf("with a part away: %s", got.body)
	}
	broken = fmt.Errorf("away: %w", context.DeadlineExceeded)
	if p := b.do("GET", "/readyz", "").problem(t); p.Status != 503 || !strings.HasSuffix(p.Errors[0].Detail, "in time") {
		t.Errorf("with a part that is late: %+v", p)
	}
	broken = nil
	b.api.Drain()
	if got := b.do("GET", "/readyz", ""); got.StatusCode != 503 {
		t.Errorf("draining: %d", got.StatusCode)
	}
	if got := b.do("GET", "/healthz", ""); got.StatusCode != http.StatusOK {
		t.Errorf("alive while draining: %d", got.StatusCode)
	}
}
