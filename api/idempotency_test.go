package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

const evidence = `{"method":"document.manual","input":{}}`

func TestTheSameKeyGivesTheFirstAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", "k-1")
	done := b.calls
	again := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", "k-1")
	if first.StatusCode != http.StatusCreated || again.StatusCode != first.StatusCode || again.body != first.body {
		t.Errorf("%d %s, then %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	if again.Header.Get("Idempotency-Replayed") != "true" || b.calls != done {
		t.Errorf("it was done again: %d calls, %d before", b.calls, done)
	}
	if got := b.rows["opr_1"+b.api.kept("k-1")[0]].Expires.Sub(now); got != keepAnswer {
		t.Errorf("kept for %s", got)
	}
	for _, other := range [][2]string{{"/v1/applications/r-1/evidence", `{"method":"x","input":{}}`}, {"/v1/applications/r-2/evidence", evidence}} {
		if p := b.do("POST", other[0], other[1], "Idempotency-Key", "k-1").problem(t); p.Code != muster.CodeInvalid {
			t.Errorf("another request under the same key: %+v", p)
		}
	}
}

func TestAKeyInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := &muster.IdempotencyRecord{Operator: "opr_1", Key: b.api.kept("k-1")[0], MAC: b.RequestMACs([]byte("POST /v1/applications/r-1/evidence\n" + evidence))[0]}
	if _, err := b.Claim(context.Background(), row); err != nil {
		t.Fatal(err)
	}
	got := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", "k-1")
	if p := got.problem(t); p.Code != muster.CodeConflict || got.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", p)
	}
}

func TestAFailureIsNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, code := range []muster.Code{muster.CodeInternal, muster.CodeUnavailable, muster.CodeInvalid} {
		b.err = muster.Errorf(code, "no")
		if got := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", "k-1"); got.problem(t).Code != code {
			t.Errorf("%s: %s", code, got.body)
		}
		if len(b.rows) != 0 {
			t.Errorf("%s: the key is still taken", code)
		}
	}
	b.err = nil
	if got := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", "k-1"); got.StatusCode != http.StatusCreated {
		t.Errorf("after failures: %d", got.StatusCode)
	}
}

func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, body := range map[string]string{"/v1/tokens": examples["createToken"], "/v1/webhooks": examples["addWebhook"]} {
		first := b.do("POST", path, body, "Idempotency-Key", "k-"+path[4:])
		again := b.do("POST", path, body, "Idempotency-Key", "k-"+path[4:])
		if !strings.Contains(first.body, "shownonce") || strings.Contains(again.body, "shownonce") || again.StatusCode != http.StatusCreated {
			t.Errorf("%s: %s, then %d %s", path, first.body, again.StatusCode, again.body)
		}
	}
	for _, row := range b.rows {
		if strings.Contains(string(row.Body), "shownonce") {
			t.Error("a secret was kept")
		}
	}
}

func TestNoContentIsKeptToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		if got := b.do("POST", "/v1/tokens/tok_1/revocation", "", "Idempotency-Key", "k"); got.StatusCode != http.StatusNoContent || got.body != "" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
}

func TestKeysAndBoundsOfIdempotency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, key := range []string{"with space", strings.Repeat("k", 65), "a@b.test"} {
		if p := b.do("POST", "/v1/applications/r-1/evidence", evidence, "Idempotency-Key", key).problem(t); p.Code != muster.CodeInvalid {
			t.Errorf("%q: %+v", key, p)
		}
	}
	large := `{"method":"document.manual","input":"` + strings.Repeat("a", 64<<10) + `"}`
	if p := b.do("POST", "/v1/applications/r-1/evidence", large, "Idempotency-Key", "k").problem(t); p.Code != muster.CodeTooLarge || len(b.rows) != 0 {
		t.Errorf("%+v", p)
	}
}
