package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
)

func authorityAt(h *house, at *time.Time) *authority {
	return newAuthority(h, muster.ModeSandbox, func() time.Time { return *at })
}

func TestARevokedTokenIsRefusedSoon(t *testing.T) {
	t.Parallel()
	h, at := &house{scopes: map[string][]muster.Scope{all: {muster.ScopeRead}}}, now
	u := authorityAt(h, &at)
	for range 100 {
		if by, err := u.principal(context.Background(), "Bearer "+all); err != nil || !by.May(muster.ScopeRead) {
			t.Fatal(by, err)
		}
	}
	if h.calls != 1 {
		t.Errorf("%d look-ups for 100 requests at once", h.calls)
	}
	delete(h.scopes, all)
	at = at.Add(5 * time.Second)
	if _, err := u.principal(context.Background(), "Bearer "+all); muster.ErrorCode(err) != muster.CodeUnauthorized {
		t.Errorf("five seconds after it was revoked: %v", err)
	}
}

func TestABadTokenStopsBeingLookedUp(t *testing.T) {
	t.Parallel()
	h, at := &house{scopes: map[string][]muster.Scope{}}, now
	u := authorityAt(h, &at)
	bad := "Bearer muster_sandbox_" + strings.Repeat("z", 32)
	for range badTries {
		if _, err := u.principal(context.Background(), bad); muster.ErrorCode(err) != muster.CodeUnauthorized {
			t.Fatal(err)
		}
	}
	_, err := u.principal(context.Background(), bad)
	if p, after := problemOf(err, ""); p.Code != muster.CodeRateLimited || after <= 0 || after > badWindow || h.calls != badTries {
		t.Errorf("after %d tries: %+v, again after %s, %d look-ups", badTries, p, after, h.calls)
	}
	h.scopes[all] = muster.Scopes
	if _, err := u.principal(context.Background(), "Bearer "+all); err != nil {
		t.Errorf("another token suffers: %v", err)
	}
	at = at.Add(badWindow)
	if _, err := u.principal(context.Background(), bad); muster.ErrorCode(err) != muster.CodeUnauthorized {
		t.Errorf("a window later: %v", err)
	}
}

func TestMemoryOfTokensIsBounded(t *testing.T) {
	t.Parallel()
	h, at := &house{scopes: map[string][]muster.Scope{}}, now
	u := authorityAt(h, &at)
	for i := range cacheMost + 10 {
		secret := "muster_sandbox_" + strings.Repeat("q", 26) + strconv.Itoa(i)
		h.scopes[secret] = muster.Scopes
		if _, err := u.principal(context.Background(), "Bearer "+secret); err != nil {
			t.Fatal(err)
		}
	}
	if len(u.good) > cacheMost {
		t.Errorf("%d tokens remembered", len(u.good))
	}
}

func TestAStoreThatIsAwayIsNotABadToken(t *testing.T) {
	t.Parallel()
	at := now
	u := newAuthority(away{}, muster.ModeSandbox, func() time.Time { return at })
	for range badTries * 2 {
		if _, err := u.principal(context.Background(), "Bearer "+all); muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Fatal(err)
		}
	}
}

type away struct{}

func (away) Principal(context.Context, string) (muster.Principal, error) {
	return muster.Principal{}, muster.Errorf(muster.CodeUnavailable, "the store is away")
}

func TestHeadersThatAreNoToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.calls
	for _, h := range []string{
		"", "Bearer", "Bearer ", "Basic " + all, all, "Bearer muster_sandbox_short", "Bearer muster_production_" + strings.Repeat("a", 32),
		"Bearer muster_sandbox_" + strings.Repeat("a", 200), "Bearer muster_sandbox_" + strings.Repeat("ä", 30), "Bearer  " + all,
	} {
		if got := b.do("GET", "/v1/me", "", "Authorization", h); got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d", h, got.StatusCode)
		}
	}
	if b.calls != before {
		t.Error("what has not the form of a token was looked up")
	}
	if got := b.do("GET", "/v1/me", "", "Authorization", "bearer "+all); got.StatusCode != http.StatusOK {
		t.Errorf("the scheme is case-insensitive (RFC 9110): %d", got.StatusCode)
	}
}

func TestTokensFromManyAtOnce(t *testing.T) {
	t.Parallel()
	h, at := &house{scopes: map[string][]muster.Scope{all: muster.Scopes}}, now
	u := authorityAt(h, &at)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 200 {
				u.principal(context.Background(), "Bearer "+all)
				u.principal(context.Background(), "Bearer muster_sandbox_"+strings.Repeat("b", 26)+strconv.Itoa(i*j%7))
			}
		})
	}
	wg.Wait()
}

func TestMetricsFromTheMachineItself(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		b := setup(t, func(c *Config) { c.LoopbackMetrics = open })
		if got := b.do("GET", "/metrics", "", "Authorization", ""); (got.StatusCode == http.StatusOK) != open {
			t.Errorf("loopback %v: %d", open, got.StatusCode)
		}
	}
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "192.0.2.1:1": false, "@": false} {
		if isLoopback(addr) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
}
