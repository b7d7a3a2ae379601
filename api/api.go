package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/ledger"
)

// Metrics is where the room registers its metrics and reads all of them for
// /metrics; *prometheus.Registry is one.
type Metrics interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Config of an API. All are required but those that say what absence means.
type Config struct {
	Deployment Deployment
	Clock      muster.Clock
	Log        *slog.Logger
	Metrics    Metrics
	Tracer     trace.TracerProvider // nil: no traces

	Tokens       Tokens
	Applications Applications
	Verification Verification
	Decisions    Decisions
	DecisionList DecisionList
	Reveals      Reveals
	Moves        AccountMoves
	Files        Files
	Reviews      Reviews
	ReviewList   ReviewList
	Hits         Hits
	HitReveals   HitReveals
	HitList      HitList
	Lookups      Lookups
	Tunings      Tunings
	Programme    Programme
	Packs        PackList
	Measures     Measures
	Appeals      Appeals
	Staff        Staff
	StaffList    StaffList
	Webhooks     Webhooks
	WebhookList  WebhookList
	Deliveries   Deliveries
	TheLog       Log
	Lists        Lists
	ListStands   ListStands
	Idempotency  Idempotency
	Seals        Seals
	Gate         ask.Gate
	Asked        *ask.Recorder // nil: the gate's answers are neither counted nor recorded
	GateRecords  GateRecords
	GateCentre   GateCentre
	Intake       Intake
	Questions    Questions
	Traces       Traces

	// Fresh, where not nil, is asked before a request that may decide something: whether
	// this process knows what decides. Its error is the answer.
	Fresh func(context.Context) error

	Mappers map[string]*ledger.Mapper // of logs and webhooks, by name; none: records come as they are

	Retention     Retention
	Holds         HoldVerbs
	RetentionList RetentionList

	Copies     Copies
	Exports    Exports
	ExportList ExportList
	Keys       Keys
	Handovers  Handovers
	PublicKeys PublicKeys

	Imports    Imports
	ImportList ImportList

	Methods []muster.Method // the table of verification methods
	Checks  []Check         // that /readyz runs; none: ready as soon as it listens

	PublicURL       string // https URL that callers reach this under, for AuthZEN's discovery; "": what a request was sent to
	PublicLog       bool   // checkpoint, tiles and the log's public keys, with their hand-overs, need no token: they hold no personal data
	LoopbackMetrics bool   // /metrics needs no token from the machine itself; not behind a proxy on that machine
}

// Deployment says which deployment answers.
type Deployment struct {
	Mode    string `json:"mode" enum:"production,sandbox"`
	Version string `json:"version" doc:"of the program"`
	Origin  string `json:"origin" doc:"of the transparency log"`
}

// API is the handler of every route. It is safe for concurrent use.
type API struct {
	Config
	mux      *http.ServeMux
	huma     huma.API
	document []byte // openapi.json
	auth     *authority
	meters   *meters
	tracer   trace.Tracer
	quick    map[string]*quick // by path
	ids      *counter          // of their answers
	draining atomic.Bool
}

// New makes an API. It fails where c lacks something, and names it.
func New(c Config) (*API, error) {
	if missing := c.missing(); missing != nil {
		return nil, fmt.Errorf("api: configuration lacks %s", strings.Join(missing, ", "))
	}
	a := &API{Config: c, mux: http.NewServeMux(), quick: map[string]*quick{}, ids: newCounter(), auth: newAuthority(c.Tokens, c.Deployment.Mode, c.Clock)}
	a.tracer = newTracer(c.Tracer)
	var err error
	if a.meters, err = newMeters(c.Metrics); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return a, a.build(a.routes())
}

func (c *Config) missing() (names []string) {
	for _, f := range []struct {
		name  string
		there bool
	}{
		{"Deployment.Mode", c.Deployment.Mode != ""},
		{"Clock", c.Clock != nil},
		{"Log", c.Log != nil},
		{"Metrics", c.Metrics != nil},
		{"Tokens", c.Tokens != nil},
		{"Applications", c.Applications != nil},
		{"Verification", c.Verification != nil},
		{"Decisions", c.Decisions != nil},
		{"DecisionList", c.DecisionList != nil},
		{"Reveals", c.Reveals != nil},
		{"Moves", c.Moves != nil},
		{"Files", c.Files != nil},
		{"Reviews", c.Reviews != nil},
		{"ReviewList", c.ReviewList != nil},
		{"Hits", c.Hits != nil},
		{"HitReveals", c.HitReveals != nil},
		{"HitList", c.HitList != nil},
		{"Lookups", c.Lookups != nil},
		{"Tunings", c.Tunings != nil},
		{"Programme", c.Programme != nil},
		{"Packs", c.Packs != nil},
		{"Measures", c.Measures != nil},
		{"Appeals", c.Appeals != nil},
		{"Staff", c.Staff != nil},
		{"StaffList", c.StaffList != nil},
		{"Webhooks", c.Webhooks != nil},
		{"WebhookList", c.WebhookList != nil},
		{"Deliveries", c.Deliveries != nil},
		{"Retention", c.Retention != nil},
		{"Holds", c.Holds != nil},
		{"RetentionList", c.RetentionList != nil},
		{"Copies", c.Copies != nil},
		{"Exports", c.Exports != nil},
		{"ExportList", c.ExportList != nil},
		{"TheLog", c.TheLog != nil},
		{"Lists", c.Lists != nil},
		{"ListStands", c.ListStands != nil},
		{"Idempotency", c.Idempotency != nil},
		{"Seals", c.Seals != nil},
		{"Gate", c.Gate != nil},
		{"GateRecords", c.GateRecords != nil},
		{"GateCentre", c.GateCentre != nil},
		{"Intake", c.Intake != nil},
		{"Questions", c.Questions != nil},
		{"Traces", c.Traces != nil},
		{"Imports", c.Imports != nil},
		{"ImportList", c.ImportList != nil},
		{"Keys", c.Keys != nil},
		{"Handovers", c.Handovers != nil},
		{"PublicKeys", c.PublicKeys != nil},
	} {
		if !f.there {
			names = append(names, f.name)
		}
	}
	return names
}

// Drain makes /readyz say no, so that a balancer sends nothing new; what comes
// is still served.
func (a *API) Drain() { a.draining.Store(true) }

// Document is openapi.json.
func (a *API) Document() []byte { return a.document }

// ServeHTTP serves one request: it makes the call, lets the mux find the route,
// and writes whatever error any of them left.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if q := a.quick[r.URL.Path]; q != nil && q.method == r.Method {
		a.serveQuick(w, r, q)
		return
	}
	start := time.Now()
	c := &call{ResponseWriter: w, id: requestID(r.Header.Get("X-Request-Id"), start), route: unmatched}
	ctx, span := a.startSpan(context.WithValue(r.Context(), callKey{}, c), r)
	r = r.WithContext(ctx)
	setHeaders(w.Header(), r, c.id)

	a.serve(c, r)
	if c.err != nil {
		a.writeProblem(c)
	}

	took := time.Since(start)
	a.meters.observe(c, r.Method, took)
	endSpan(span, c, r.Method)
	a.logAccess(ctx, c, r.Method, took)
	if c.torn {
		panic(http.ErrAbortHandler) // the answer broke off midway: so must the connection, or it would look whole
	}
}

// serve routes, and turns a panic into an error.
func (a *API) serve(c *call, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			a.logPanic(c, v)
			c.fail(muster.Errorf(muster.CodeInternal, "something went wrong"))
		}
	}()
	// The mux would redirect an unclean path and repeat it in doing so.
	if p := r.URL.Path; p == "" || p[0] != '/' || path.Clean(p) != strings.TrimSuffix(p, "/") && p != "/" {
		c.fail(errNoRoute)
		return
	}
	a.mux.ServeHTTP(c, r)
}

var errNoRoute = &muster.Error{Code: muster.CodeNotFound, Message: "there is no such route", Hint: "GET /openapi.json lists the routes"}

// notFound is what the mux calls where no route matches: 404, or 405 where the
// path is one of ours and the method is not.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	var allow []string
	probe := *r
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe.Method = m
		if _, pattern := a.mux.Handler(&probe); pattern != "/" && pattern != "" {
			allow = append(allow, m)
		}
	}
	c := callOf(r.Context())
	if allow == nil {
		c.fail(errNoRoute)
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	c.fail(&muster.Error{
		Code: muster.CodeNoMethod, Message: "this route does not take that method",
		Hint: "it takes " + strings.Join(allow, ", "),
	})
}

// mount puts one route into the mux, behind its permission and its bounds.
// Nothing else may register there.
func (a *API) mount(rt *route, h http.HandlerFunc) {
	a.mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		c.route = rt
		if err := a.admit(c, r); err != nil {
			c.fail(err)
			return
		}
		if rt.decides() {
			ctx, cancel := context.WithTimeout(r.Context(), decideFor)
			defer cancel()
			if r = r.WithContext(ctx); a.Fresh != nil {
				if err := a.Fresh(ctx); err != nil {
					c.fail(err)
					return
				}
			}
		}
		// The library has a bound of its own, which it reports better; this one holds whoever reads.
		r.Body = http.MaxBytesReader(c.ResponseWriter, r.Body, rt.bound()+1)
		if rt.traits&once != 0 && r.Header.Get("Idempotency-Key") != "" {
			a.once(c, r, h)
			return
		}
		h(w, r)
	})
}

// setHeaders sets what every answer carries. No CORS headers: browsers of other
// origins have no business here.
func setHeaders(h http.Header, r *http.Request, id string) {
	h["X-Request-Id"] = []string{id}
	h["Cache-Control"] = headerNoStore
	h["Content-Security-Policy"] = headerCSP
	h["X-Content-Type-Options"] = headerNoSniff
	h["Referrer-Policy"] = headerNoReferrer
	if r.TLS != nil {
		h["Strict-Transport-Security"] = headerHSTS
	}
}

// Shared, so that a request allocates none of them. Nothing may write into them.
var (
	headerNoStore    = []string{"no-store"}
	headerCSP        = []string{"default-src 'none'; frame-ancestors 'none'"}
	headerNoSniff    = []string{"nosniff"}
	headerNoReferrer = []string{"no-referrer"}
	headerHSTS       = []string{"max-age=31536000"}
)

// logAccess writes one line a request: pattern and ids, no path, no address.
func (a *API) logAccess(ctx context.Context, c *call, method string, took time.Duration) {
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("request_id", c.id),
		slog.String("method", knownMethod(method)),
		slog.String("route", c.route.path),
		slog.Int("status", c.status),
		slog.Float64("ms", float64(took.Microseconds())/1e3))
	if c.by.Operator != "" {
		attrs = append(attrs, slog.String("operator", c.by.Operator))
	}
	level := slog.LevelInfo
	var e *muster.Error
	if c.err != nil {
		attrs = append(attrs, slog.String("code", string(muster.ErrorCode(c.err))))
		// Causes are ours to see where the fault is ours; elsewhere they may quote the caller.
		if !errors.As(c.err, &e) || e.Code == muster.CodeInternal || e.Code == muster.CodeUnavailable || e.Code == muster.CodeNoSpace {
			level = slog.LevelError
			attrs = append(attrs, slog.String("cause", cut(c.err.Error(), 500)))
		}
	}
	a.Log.LogAttrs(ctx, level, "request", attrs...)
}

// logPanic says what broke and where. The value of a panic may be anything, so
// that only the runtime's own are written out.
func (a *API) logPanic(c *call, v any) {
	what := fmt.Sprintf("%T", v)
	if re, ok := v.(runtime.Error); ok {
		what = re.Error()
	}
	a.Log.Error("panic", "request_id", c.id, "route", c.route.path, "what", what, "stack", string(debug.Stack()))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// knownMethod folds made-up methods, which are a caller's text, into one word.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}
