// Package s3test runs an S3-compatible server in the test's own process, and lets it
// fail in the ways that storage fails.
package s3test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/outbound"
)

// Bucket is there from the start.
const Bucket = "muster"

// Fault is what becomes of one request.
type Fault int

const (
	None    Fault = iota
	Busy          // 503 before anything is done
	After         // 503 after it was done
	Cut           // the answer's body ends in the middle
	Short         // the answer is whole, and shorter than what is there
	Wrong         // a byte of the answer's body is another
	Denied        // 403
	Unknown       // 501
	Hang          // no answer until the caller gives up
)

// Server is one server with one bucket.
type Server struct {
	*httptest.Server
	Backend *s3mem.Backend

	mu    sync.Mutex
	fault func(r *http.Request) Fault
	asked map[string]int // requests, by method
}

// Start starts a server that is gone with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{Backend: s3mem.New(), asked: map[string]int{}}
	if err := s.Backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(s.Backend, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithoutVersioning()).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, fake) }))
	t.Cleanup(s.Close)
	return s
}

// Fail has fn say what becomes of each request; nil: nothing fails.
func (s *Server) Fail(fn func(r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fn
}

// Once fails the first request of a method, and no other.
func (s *Server) Once(method string, f Fault) { s.Next(method, 1, f) }

// Next fails the next n requests of a method.
func (s *Server) Next(method string, n int, f Fault) {
	var mu sync.Mutex
	s.Fail(func(r *http.Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if n <= 0 || r.Method != method {
			return None
		}
		n--
		return f
	})
}

// Asked is how many requests of a method came.
func (s *Server) Asked(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[method]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, fake http.Handler) {
	s.mu.Lock()
	f := None
	if s.fault != nil {
		f = s.fault(r)
	}
	s.asked[r.Method]++
	s.mu.Unlock()
	say := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		w.Write([]byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>as the test wants</Message></Error>`))
	}
	if f == Busy {
		say(http.StatusServiceUnavailable, "SlowDown")
		return
	}
	if f == Denied {
		say(http.StatusForbidden, "AccessDenied")
		return
	}
	if f == Unknown {
		say(http.StatusNotImplemented, "NotImplemented")
		return
	}
	if f == Hang {
		<-r.Context().Done()
		return
	}
	if f == None {
		fake.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	fake.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	switch f {
	case After:
		clear(w.Header())
		say(http.StatusServiceUnavailable, "InternalError")
	case Cut:
		w.WriteHeader(rec.Code)
		w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case Short:
		w.Header().Del("Content-Length")
		w.WriteHeader(rec.Code)
		w.Write(body[:len(body)/2])
	case Wrong:
		w.WriteHeader(rec.Code)
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		w.Write(body)
	}
}

// Host is host:port, for the exceptions of an outbound client.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Objects is a client of the server's bucket, below a prefix.
func (s *Server) Objects(t testing.TB, c objects.S3Config) *objects.S3 {
	t.Helper()
	o, err := s.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Open is Objects without a test around it. What c leaves empty is filled in.
func (s *Server) Open(c objects.S3Config) (*objects.S3, error) {
	client, err := outbound.New(outbound.Config{Allow: []string{s.Host()}, MaxBytes: objects.MaxBytes + 1})
	if err != nil {
		return nil, err
	}
	if c.Clock == nil {
		return nil, errors.New("s3test: a clock is needed")
	}
	c.Endpoint, c.PathStyle, c.Transport = s.URL, true, client
	if c.Bucket == "" {
		c.Bucket = Bucket
	}
	c.Keys = func() (objects.Keys, error) { return objects.Keys{ID: "id", Secret: "secret"}, nil }
	return objects.NewS3(c)
}
