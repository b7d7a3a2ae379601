package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stopped is a context of a process that was stopped past its deadline and has just
// gone on: no timer has run out yet.
type stopped struct {
	context.Context
	at *atomic.Pointer[time.Time]
}

func (s stopped) Deadline() (time.Time, bool) { return *s.at.Load(), true }

func newStopped(ctx context.Context) (s stopped, sleep func(to time.Time)) {
	s = stopped{ctx, &atomic.Pointer[time.Time]{}}
	sleep = func(to time.Time) { s.at.Store(&to) }
	sleep(time.Now().Add(time.Hour))
	return s, sleep
}

func TestNothingIsSentLate(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil && len(b) > 0 {
			got.Add(1)
		}
	}))
	defer srv.Close()
	c, err := New(Config{Allow: []string{strings.TrimPrefix(srv.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader("once"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return err
	}
	ctx, sleep := newStopped(t.Context())
	if err := send(ctx); err != nil || got.Load() != 1 {
		t.Fatalf("in time: %v, %d arrived", err, got.Load())
	}
	// The connection is open: only the body is between the sender and the receiver.
	for what, deadline := range map[string]time.Time{
		"late by the running time": time.Now().Add(-time.Millisecond),
		"late by the wall":         time.Now().Round(0).Add(-time.Millisecond),
	} {
		sleep(deadline)
		if err := send(ctx); !errors.Is(err, ErrLate) || got.Load() != 1 {
			t.Errorf("%s: %v, %d arrived", what, err, got.Load())
		}
	}
}

func TestNothingIsWrittenLate(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	defer ours.Close()
	ctx, sleep := newStopped(t.Context())
	conn := Timely(ctx, ours)
	go io.WriteString(conn, "EHLO") //nolint:errcheck // what arrives shows
	if n, err := io.ReadFull(theirs, make([]byte, 4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	sleep(time.Now())
	if n, err := io.WriteString(conn, "DATA"); n != 0 || !errors.Is(err, ErrLate) {
		t.Error(n, err)
	}
}
