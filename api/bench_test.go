package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
)

// BenchmarkPost is what the room costs a posted application: routing, token,
// bounds, headers, metrics, access log, but no network and no service.
func BenchmarkPost(b *testing.B) { bench(b, "POST", "/v1/applications", strings.Repeat("x", 1500)) }

// BenchmarkGet is the same through the library.
func BenchmarkGet(b *testing.B) { bench(b, "GET", "/v1/accounts/r-1", "") }

func bench(b *testing.B, method, path, body string) {
	s := setup(b, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	s.scopes[all] = muster.Scopes
	w := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
		r.Header["Authorization"] = []string{"Bearer " + all}
		clear(w.h)
		s.api.ServeHTTP(w, r)
		if w.status >= 400 {
			b.Fatal(w.status)
		}
	}
}

type nowhere struct {
	h      http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.h }
func (w *nowhere) WriteHeader(s int)           { w.status = s }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
