package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/muster-cip/muster"
)

// call is one request on its way. It is the ResponseWriter that everything below
// writes to: once the call has failed, what is written is dropped, so that the
// one function that writes errors writes this one too.
type call struct {
	http.ResponseWriter
	id     string
	route  *route
	by     muster.Principal
	err    error
	status int           // sent, 0 while nothing was
	torn   bool          // failed after the answer had begun
	held   *bytes.Buffer // not nil: the answer is held back here until it may go
}

type callKey struct{}

// callOf is the call that ctx belongs to.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// fail ends the call with err. The first error stays.
func (c *call) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.torn = c.status != 0 && c.held == nil
}

// WriteHeader sends the status, unless the call has failed.
func (c *call) WriteHeader(status int) {
	if c.err != nil || c.status != 0 {
		return
	}
	c.status = status
	if c.held == nil {
		c.ResponseWriter.WriteHeader(status)
	}
}

// Write sends a part of the answer, unless the call has failed.
func (c *call) Write(p []byte) (int, error) {
	if c.err != nil {
		return len(p), nil
	}
	if c.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	if c.held != nil {
		return c.held.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// requestID is the caller's own id where it is a UUID, a trace id or one of
// ours, else a new one. Anything freer could carry a name or a number into the logs.
func requestID(given string, now time.Time) string {
	if isUUID(given) || isID(given, muster.PrefixRequest) {
		return given
	}
	return muster.NewID(muster.PrefixRequest, now)
}

// isUUID reports whether s is 32 hexadecimal digits, with dashes in a UUID's places or none.
func isUUID(s string) bool {
	if len(s) != 32 && len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if len(s) == 36 && (i == 8 || i == 13 || i == 18 || i == 23) {
			if s[i] != '-' {
				return false
			}
		} else if !('0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f' || 'A' <= s[i] && s[i] <= 'F') {
			return false
		}
	}
	return true
}

// isID reports whether s has the form of an id with that prefix.
func isID(s, prefix string) bool {
	if len(s) != len(prefix)+26 || s[:len(prefix)] != prefix {
		return false
	}
	for _, b := range []byte(s[len(prefix):]) {
		if !('0' <= b && b <= '9' || 'a' <= b && b <= 'z') {
			return false
		}
	}
	return true
}
