package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrLate says that the time in which something could be sent was over before it was.
var ErrLate = errors.New("the time in which this could be sent is over")

// Late reports whether the deadline of ctx is past, by either clock: that of the
// machine's running time, which goes on while a process is stopped, or that of the wall,
// which goes on while the machine sleeps. It does not wait for a timer to say so: of a
// process that was stopped, timers run out only after it has gone on for a while.
func Late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	now := time.Now()
	return !now.Before(deadline) || !now.Round(0).Before(deadline.Round(0))
}

// timely is a body of which nothing is read once it is late: so a process that was
// stopped between the decision to send and the sending, and goes on when its right to
// send has passed to another, does not send.
type timely struct {
	ctx context.Context //nolint:containedctx // of one request
	io.ReadCloser
}

func (t timely) Read(p []byte) (int, error) {
	if Late(t.ctx) {
		return 0, ErrLate
	}
	return t.ReadCloser.Read(p)
}

// inTime is req with such a body.
func inTime(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	ctx, timed := req.Context(), *req
	timed.Body = timely{ctx, req.Body}
	if again := req.GetBody; again != nil { // for a connection that was closed under it, or a redirect
		timed.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return timely{ctx, body}, err
		}
	}
	return &timed
}

// Timely is conn with nothing written to it once ctx is late.
func Timely(ctx context.Context, conn net.Conn) net.Conn { return timelyConn{conn, ctx} }

type timelyConn struct {
	net.Conn
	ctx context.Context //nolint:containedctx // of one session
}

func (t timelyConn) Write(p []byte) (int, error) {
	if Late(t.ctx) {
		return 0, ErrLate
	}
	return t.Conn.Write(p)
}
