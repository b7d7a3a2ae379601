package ask

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// gateFunc is a gate of a test. Whatever it decides, accounts have a hash.
type gateFunc func(r *gate.Request) gate.Answer

func (f gateFunc) Decide(r *gate.Request, _ time.Time) gate.Answer {
	a := f(r)
	copy(a.Hash[:], r.Account)
	return a
}

func ptr[T any](v T) *T { return &v }

// provider is a gate that knows a few accounts, and the subjects of the
// specification's certification scenario: bob may not write.
func provider(r *gate.Request) gate.Answer {
	a := gate.Answer{Allow: true, Known: true, Status: muster.GateAllow, Until: now.Add(time.Hour)}
	deny := func(code string) gate.Answer {
		a.Allow, a.Status, a.Code = false, muster.GateDeny, code
		return a
	}
	switch r.Account {
	case "r-open", "alice", "alice@acmecorp.com", "alice@example.com":
		if r.Action == "read" && r.Product == "forbidden" {
			return deny("product")
		}
	case "bob":
		if r.Action == "write" {
			return deny("suspended")
		}
	case "r-limited":
		a.Status, a.Code = muster.GateLimited, "interim"
		a.Verdict = &muster.Verdict{Limits: muster.Limits{Products: []string{"vm"}, GPU: "none", Instances: ptr(2), Spend: &muster.Money{Amount: 5000, Currency: "EUR"}}}
		if r.Instances > 2 || r.GPU != "" {
			return deny("past_limits")
		}
	case "r-observed":
		a.WouldDeny, a.Code, a.Customer = true, "identity_open", "We still need a document."
	case "r-denied":
		a := deny("identity_unknown")
		a.Customer = "Wir konnten Ihre Identität nicht prüfen: schreiben Sie uns."
		a.Operator, a.Unblock, a.Rule = `no "document" yet`, "review queue", "us-iaas-cip/interim_over"
		a.Decision = gate.DecisionID{1, 2, 3}
		return a
	default:
		a.Known = false
		return deny("unknown_account")
	}
	return a
}

// serve mounts handlers that return errors, as the API does.
func serve(t testing.TB, routes map[string]func(http.ResponseWriter, *http.Request) error) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, fn := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			switch err := fn(w, r); muster.ErrorCode(err) {
			case "":
			case muster.CodeMalformed:
				http.Error(w, err.Error(), http.StatusBadRequest)
			case muster.CodeUnauthorized:
				http.Error(w, err.Error(), http.StatusUnauthorized)
			case muster.CodeTooLarge:
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			default:
				t.Errorf("a handler failed: %v", err)
			}
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// sink keeps batches, or refuses them.
type sink struct {
	mu      sync.Mutex
	err     error
	batches []*muster.GateBatch
}

func (s *sink) PutGateBatch(_ context.Context, b *muster.GateBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.batches = append(s.batches, b)
	return b.Validate()
}

func recorder(t testing.TB, change func(*RecorderConfig)) (*Recorder, *sink) {
	t.Helper()
	s := &sink{}
	c := RecorderConfig{Sink: s, Clock: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&c)
	}
	return NewRecorder(c), s
}
