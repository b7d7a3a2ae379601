// Package s3test runs an S3-compatible server in the test's own process, and lets it
// fail in the ways that storage fails.
//
// With MUSTER_TEST_S3=http://KEY-ID:SECRET@host:port it stands in front of that service
// instead, with a bucket of its own there for each server, which is removed again:
// every test that needs a storage is then a test against the service.
package s3test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/outbound"
)

// Fault is what becomes of one request.
type Fault int

const (
	None     Fault = iota
	Busy           // 503 before anything is done
	After          // 503 after it was done
	Cut            // the answer's body ends in the middle
	Short          // the answer is whole, and shorter than what is there
	Wrong          // a byte of the answer's body is another
	Denied         // 403
	Unknown        // 501
	Hang           // no answer until the caller gives up
	Lost           // 200, and nothing was done
	Stranger       // 404, of the one who asks and not of the object
)

// Server is one server with one bucket.
type Server struct {
	*httptest.Server
	Bucket     string
	ID, Secret string // of the one who may use it
	Service    bool   // a service answers, which looks at keys and signatures

	mu    sync.Mutex
	fault func(r *http.Request) Fault
	asked map[string]int // requests, by method
}

// Start starts a server that is gone with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{Bucket: "muster", ID: "id", Secret: "secret", asked: map[string]int{}}
	var behind http.Handler
	if at := os.Getenv("MUSTER_TEST_S3"); at != "" {
		behind = s.service(t, at)
	} else {
		backend := s3mem.New()
		if err := backend.CreateBucket(s.Bucket); err != nil {
			t.Fatal(err)
		}
		behind = gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithoutVersioning()).Server()
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, behind) }))
	t.Cleanup(s.Close)
	return s
}

// service makes a bucket in the service at a URL and hands requests on to it, as they
// are signed.
func (s *Server) service(t testing.TB, at string) http.Handler {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil || u.User == nil {
		t.Fatal("MUSTER_TEST_S3 is a URL with key id and secret: http://KEY-ID:SECRET@host:port")
	}
	s.Service, s.ID = true, u.User.Username()
	s.Secret, _ = u.User.Password()
	u.User = nil
	s.Bucket = "muster-test-" + strings.ToLower(rand.Text())
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(s.ID, s.Secret, ""), Secure: u.Scheme == "https", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), s.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		for o := range client.ListObjectsIter(ctx, s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
			if err := cmp.Or(o.Err, client.RemoveObject(ctx, s.Bucket, o.Key, minio.RemoveObjectOptions{})); err != nil {
				t.Error(err)
				return
			}
		}
		if err := client.RemoveBucket(ctx, s.Bucket); err != nil {
			t.Error(err)
		}
	})
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{DisableCompression: true},
	}
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

func (s *Server) serve(w http.ResponseWriter, r *http.Request, behind http.Handler) {
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
	if f == Stranger {
		say(http.StatusNotFound, "NoSuchUser")
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
	if f == Lost {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // nobody wants it
		return
	}
	if f == None {
		behind.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	behind.ServeHTTP(rec, r)
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

// Keys is a file of its keys, as a configuration names one.
func (s *Server) Keys(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s3.keys")
	if err := os.WriteFile(path, []byte("[default]\naws_access_key_id = "+s.ID+"\naws_secret_access_key = "+s.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
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
		c.Bucket = s.Bucket
	}
	if c.Keys == nil {
		c.Keys = func() (objects.Keys, error) { return objects.Keys{ID: s.ID, Secret: s.Secret}, nil }
	}
	return objects.NewS3(c)
}
