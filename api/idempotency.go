package api

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// Idempotency keeps the answers to writes that have no reference of their own.
type Idempotency interface {
	// Claim inserts r, with Status 0, and returns nil; where a row of that operator
	// and key is there that has not expired, it returns that row and changes nothing.
	// others are keys under which the same row may be there too.
	Claim(ctx context.Context, r *muster.IdempotencyRecord, others ...string) (*muster.IdempotencyRecord, error)
	// Settle gives the claimed row its status, body and expiry.
	Settle(ctx context.Context, r *muster.IdempotencyRecord) error
	// Release deletes a row that is still claimed.
	Release(ctx context.Context, operator, key string) error
}

// Seals keeps stored answers from whoever reads the store.
type Seals interface {
	// RequestMACs are keyed digests of a request: first the one to keep, then those under
	// which it may have been kept, while the key turns.
	RequestMACs(request []byte) [][]byte
	// SealAnswer seals an answer for its place in the store.
	SealAnswer(ctx context.Context, operator, key string, body []byte) ([]byte, error)
	OpenAnswer(ctx context.Context, operator, key string, sealed []byte) ([]byte, error)
}

const (
	maxIdempotencyKey = 64
	keepAnswer        = 24 * time.Hour
	// claimFor is how long a key is held by a request whose process died: past it,
	// nobody is at it any more, and the key may be used again.
	claimFor = 2 * time.Minute
	// claimSpare of that is for saying what came of it.
	claimSpare = 15 * time.Second
)

// once serves a write under its Idempotency-Key. Only an answer that went well is
// kept, so never one that was not committed: after any other the key is free.
func (a *API) once(c *call, r *http.Request, h http.HandlerFunc) {
	if err := a.tryOnce(c, r, h); err != nil {
		c.held = nil
		c.status = 0
		c.fail(err)
	}
}

func (a *API) tryOnce(c *call, r *http.Request, h http.HandlerFunc) error {
	key := r.Header.Get("Idempotency-Key")
	ctx, cancel := context.WithTimeout(r.Context(), claimFor-claimSpare)
	defer cancel()
	r = r.WithContext(ctx)
	if !isKey(key) {
		return muster.Invalid(muster.Fault{Code: "idempotency_key", Detail: "Idempotency-Key is 1 to 64 letters, digits, dots, dashes and underscores"})
	}
	// A caller may have put a telephone number there: the store gets a keyed digest of it.
	keys := a.kept(key)
	key = keys[0]
	data, err := io.ReadAll(r.Body)
	if err != nil || int64(len(data)) > c.route.bound() {
		return errTooLarge
	}
	macs := a.Seals.RequestMACs(append([]byte(r.Method+" "+r.URL.Path+"\n"), data...))
	row := &muster.IdempotencyRecord{Operator: c.by.Operator, Key: key, Expires: a.Clock().Add(claimFor), MAC: macs[0]}
	was, err := a.Idempotency.Claim(ctx, row, keys[1:]...)
	if err != nil {
		return err
	}
	if was != nil {
		return a.again(ctx, c, was, macs)
	}
	settled := false
	defer func() {
		if !settled { // also when the handler panics
			if err := a.Idempotency.Release(context.WithoutCancel(ctx), row.Operator, key); err != nil {
				a.Log.Error("an idempotency key was not released", "request_id", c.id, "cause", err)
			}
		}
	}()
	r.Body = io.NopCloser(bytes.NewReader(data))
	c.held = new(bytes.Buffer)
	h(c, r)
	body, status := c.held.Bytes(), c.status
	c.held, c.status = nil, 0
	if c.err != nil || status < 200 || status > 299 {
		return nil
	}
	// The write is committed: from here on the answer goes out whatever happens.
	settled = true
	row.Status, row.Expires = status, a.Clock().Add(keepAnswer)
	row.Body, err = a.Seals.SealAnswer(ctx, row.Operator, key, withoutSecret(body))
	if err == nil {
		err = a.Idempotency.Settle(context.WithoutCancel(ctx), row)
	}
	if err != nil {
		a.Log.Error("an answer was not kept under its idempotency key", "request_id", c.id, "cause", err)
	}
	c.WriteHeader(status)
	_, _ = c.Write(body)
	return nil
}

// kept is an Idempotency-Key as the store has it, or may have it.
func (a *API) kept(key string) (all []string) {
	for _, mac := range a.Seals.RequestMACs([]byte("Idempotency-Key\n" + key)) {
		all = append(all, hex.EncodeToString(mac))
	}
	return all
}

// again answers a request whose key is taken.
func (a *API) again(ctx context.Context, c *call, was *muster.IdempotencyRecord, macs [][]byte) error {
	switch {
	case !slices.ContainsFunc(macs, func(mac []byte) bool { return subtle.ConstantTimeCompare(was.MAC, mac) == 1 }):
		return muster.Invalid(muster.Fault{Code: "idempotency_key", Detail: "this Idempotency-Key was used with another request"})
	case was.Status == 0:
		return &muster.Error{
			Code: muster.CodeConflict, Message: "the first request with this Idempotency-Key is still under way",
			Hint: "try again shortly", RetryAfter: time.Second,
		}
	}
	body, err := a.Seals.OpenAnswer(ctx, was.Operator, was.Key, was.Body)
	if err != nil {
		return err
	}
	c.Header().Set("Idempotency-Replayed", "true")
	if len(body) == 0 {
		c.WriteHeader(was.Status)
		return nil
	}
	return c.bytes(was.Status, "application/json", body)
}

// withoutSecret drops an answer's secret: it is shown once, also to who asks twice.
func withoutSecret(body []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil || m["secret"] == nil {
		return body
	}
	delete(m, "secret")
	b, err := json.Marshal(m)
	if err != nil {
		return nil // cannot be: they were read a line above
	}
	return b
}

func isKey(s string) bool { return muster.IsReference(s) }
