package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Tokens knows whose a token is. The secret is looked up by its keyed hash and
// compared in constant time; CodeUnauthorized where it is unknown, expired,
// revoked or its operator disabled, and nothing says which.
type Tokens interface {
	Principal(ctx context.Context, secret string) (muster.Principal, error)
}

const (
	// cacheFor is how long a good token is good without a look-up, and so how long
	// a revoked one may still be taken: below the five seconds that are promised.
	cacheFor  = 3 * time.Second
	cacheMost = 4096

	// A bad token may be tried that often in a window; then it is refused unseen.
	// This spares the store a client that hammers with a revoked token. It cannot
	// be turned against others: it counts one token, not an address.
	badTries  = 10
	badWindow = time.Minute
	badCells  = 1024
)

// authority finds the principal of a request.
type authority struct {
	tokens Tokens
	prefix string // "muster_<mode>_"
	clock  muster.Clock

	mu   sync.RWMutex
	good map[[32]byte]cached // by digest, so that no secret stays in memory
	bad  [badCells]badCell
}

type cached struct {
	by    muster.Principal
	until time.Time
}

type badCell struct {
	token [32]byte
	since time.Time
	tries int
}

func newAuthority(tokens Tokens, mode string, clock muster.Clock) *authority {
	return &authority{tokens: tokens, prefix: "muster_" + mode + "_", clock: clock, good: map[[32]byte]cached{}}
}

var errNoToken = &muster.Error{
	Code: muster.CodeUnauthorized, Message: "there is no token that is good here",
	Hint: "send Authorization: Bearer and a token that is neither expired nor revoked (muster token create)",
}

// principal is who sent the header.
func (u *authority) principal(ctx context.Context, header string) (muster.Principal, error) {
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || !isToken(secret) {
		return muster.Principal{}, errNoToken
	}
	if !strings.HasPrefix(secret, u.prefix) {
		return muster.Principal{}, &muster.Error{
			Code: muster.CodeUnauthorized, Message: "this is a token of another kind of deployment",
			Hint: "production and sandbox have tokens of their own",
		}
	}
	digest, now := sha256.Sum256([]byte(secret)), u.clock()
	u.mu.RLock()
	hit := u.good[digest]
	cell := u.bad[cellOf(digest)]
	u.mu.RUnlock()
	if now.Before(hit.until) {
		return hit.by, nil
	}
	if wait := cell.since.Add(badWindow).Sub(now); cell.token == digest && cell.tries >= badTries && wait > 0 {
		return muster.Principal{}, &muster.Error{
			Code: muster.CodeRateLimited, Message: "this token was refused too often", RetryAfter: wait,
			Hint: "it will not become good by trying: make a new one",
		}
	}
	by, err := u.tokens.Principal(ctx, secret)
	switch muster.ErrorCode(err) {
	case "":
		u.keep(digest, cached{by, now.Add(cacheFor)}, now)
	case muster.CodeUnauthorized, muster.CodeNotFound, muster.CodeGone:
		u.count(digest, now)
		return muster.Principal{}, errNoToken
	}
	return by, err
}

func cellOf(digest [32]byte) int { return (int(digest[0])<<8 | int(digest[1])) % badCells }

// keep remembers a good token; where too many are remembered, all are forgotten,
// which costs each one look-up.
func (u *authority) keep(digest [32]byte, c cached, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.good) >= cacheMost {
		clear(u.good)
	}
	u.good[digest] = c
}

// count counts a refusal. A cell belongs to the token that fell into it last.
func (u *authority) count(digest [32]byte, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.good, digest)
	cell := &u.bad[cellOf(digest)]
	if cell.token != digest || now.Sub(cell.since) >= badWindow {
		*cell = badCell{token: digest, since: now}
	}
	cell.tries++
}

// isToken reports whether s has a token's form: muster_<mode>_<at least 26 characters>.
func isToken(s string) bool {
	rest, ok := strings.CutPrefix(s, "muster_")
	if !ok || len(s) > 128 {
		return false
	}
	_, random, ok := strings.Cut(rest, "_")
	if !ok || len(random) < 26 {
		return false
	}
	for _, b := range []byte(random) {
		if !('0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z') {
			return false
		}
	}
	return true
}

// admit lets the call in where its token carries the route's scope.
func (a *API) admit(c *call, r *http.Request) (err error) {
	c.by, err = a.permit(r, c.route)
	return err
}

// permit says whose request it is, and whether its token carries the route's scope.
func (a *API) permit(r *http.Request, rt *route) (by muster.Principal, err error) {
	switch {
	case rt.scope == Public:
		return by, nil
	case rt.id == "metrics" && a.LoopbackMetrics && isLoopback(r.RemoteAddr):
		return by, nil
	}
	by, err = a.auth.principal(r.Context(), r.Header.Get("Authorization"))
	if err == nil && rt.scope != Anyone && !by.May(rt.scope) {
		err = forbidden(rt.scope)
	}
	return by, err
}

func forbidden(need muster.Scope) error {
	return &muster.Error{
		Code: muster.CodeForbidden, Message: "this token does not carry the scope " + string(need),
		Hint: "make a token with it, or use another one",
	}
}

func isLoopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}
