package api

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
)

// GateRecords keeps what the gate answered. An account is an id or a reference, "" is all.
type GateRecords interface {
	PutGateBatch(ctx context.Context, source string, b *muster.GateBatch) error
	ListGateRecords(ctx context.Context, account string, p muster.Page) ([]*muster.GateRecord, error)
}

// quick is a route that is asked millions of times a day. It has its permission,
// its counters and its errors like any other; it has no span, no line in the access log
// and none of the library's machinery. What it answered is in the gate's own
// counts and records.
type quick struct {
	*route
	serve func(w http.ResponseWriter, r *http.Request) error
	done  prometheus.Counter
	took  prometheus.Observer
}

// quickly is an endpoint without machinery. doc states its shapes.
func quickly(fn func(w http.ResponseWriter, r *http.Request) error, doc func(r huma.Registry, o *huma.Operation)) endpoint {
	return func(a *API, rt *route, o huma.Operation) {
		doc(a.huma.OpenAPI().Components.Schemas, &o)
		a.huma.OpenAPI().AddOperation(&o)
		q := &quick{
			route: rt, serve: fn,
			done: a.meters.requests.WithLabelValues(rt.path, rt.method, strconv.Itoa(rt.status)),
			took: a.meters.duration.WithLabelValues(rt.path, rt.method),
		}
		a.quick[rt.path] = q
		a.mount(rt, func(w http.ResponseWriter, r *http.Request) { // of another method: HEAD
			if err := fn(w, r); err != nil {
				callOf(r.Context()).fail(err)
			}
		})
	}
}

// serveQuick serves a quick route.
func (a *API) serveQuick(w http.ResponseWriter, r *http.Request, q *quick) {
	start := time.Now()
	h := w.Header()
	h["X-Content-Type-Options"] = headerNoSniff // ask sets the others; what is for pages is left out
	if ask.Echo(h, r); h["X-Request-Id"] == nil {
		h["X-Request-Id"] = []string{a.ids.next(start)}
	}
	by, err := a.answerQuick(w, r, q)
	took := time.Since(start)
	if err == nil {
		q.done.Inc()
		q.took.Observe(took.Seconds())
		return
	}
	c := &call{ResponseWriter: w, id: requestID(r.Header.Get("X-Request-Id"), start), route: q.route, by: by, err: err}
	setHeaders(h, r, c.id)
	a.writeProblem(c)
	a.meters.observe(c, r.Method, took)
	a.logAccess(r.Context(), c, r.Method, took)
}

func (a *API) answerQuick(w http.ResponseWriter, r *http.Request, q *quick) (by muster.Principal, err error) {
	defer func() {
		if v := recover(); v != nil {
			a.logPanic(&call{route: q.route}, v)
			err = muster.Errorf(muster.CodeInternal, "something went wrong")
		}
	}()
	if by, err = a.permit(r, q.route); err != nil {
		return by, err
	}
	return by, q.serve(w, r)
}

// counter makes ids of requests without asking for random bits each time: a process
// draws its own once and counts on.
type counter struct {
	process [4]byte
	n       atomic.Uint64
}

func newCounter() *counter {
	c := &counter{}
	rand.Read(c.process[:])
	return c
}

func (c *counter) next(now time.Time) string {
	var b, n [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	binary.BigEndian.PutUint64(n[:], c.n.Add(1)<<16)
	copy(b[6:], c.process[:])
	copy(b[10:], n[:6])
	return muster.FormatID(muster.PrefixRequest, b)
}

// authZEN, nginx: the gate in HTTP.
func (a *API) authZEN() *ask.AuthZEN {
	return &ask.AuthZEN{Gate: a.Gate, Clock: a.Clock, Record: a.Asked}
}

func (a *API) discovery(c *call, r *http.Request) error { return ask.Discovery(a.PublicURL)(c, r) }

func (a *API) askNginx(w http.ResponseWriter, r *http.Request) error {
	return (&ask.Nginx{Gate: a.Gate, Clock: a.Clock, Record: a.Asked}).Ask(w, r)
}

// AdmitAsker says whether an Authorization header may ask the gate: for protocols that
// are not served here.
func (a *API) AdmitAsker(ctx context.Context, authorization string) error {
	by, err := a.auth.principal(ctx, authorization)
	if err == nil && !by.May(muster.ScopeGateAsk) {
		err = forbidden(muster.ScopeGateAsk)
	}
	return err
}

type gateBatchInput struct{ Body muster.GateBatch }

// putGateRecords takes what an edge answered. Its source is the token that sends it,
// whatever the batch says.
func (a *API) putGateRecords(ctx context.Context, in *gateBatchInput) (*struct{}, error) {
	for i := range in.Body.Records {
		in.Body.Records[i].Source = ""
	}
	if err := in.Body.Validate(); err != nil {
		return nil, err
	}
	return nil, a.GateRecords.PutGateBatch(ctx, callOf(ctx).by.Token, &in.Body)
}

type gateRecordsInput struct {
	Paging
	Account string `query:"account" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"an account's id or the provider's reference; absent: of all, also of accounts that nobody knows"`
}

func (a *API) listGateRecords(ctx context.Context, in *gateRecordsInput) (*listOutput[*muster.GateRecord], error) {
	rows, err := a.GateRecords.ListGateRecords(ctx, in.Account, in.page())
	if err != nil {
		return nil, err
	}
	same := func(r *muster.GateRecord) *muster.GateRecord { return r }
	return list(&in.Paging, rows, same, func(r *muster.GateRecord) string { return r.ID }, "account", in.Account), nil
}

func evaluationDoc(section string) func(huma.Registry, *huma.Operation) {
	return func(_ huma.Registry, o *huma.Operation) {
		object := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
		o.RequestBody = &huma.RequestBody{
			Required: true, Description: fmt.Sprintf("OpenID AuthZEN Authorization API 1.0, section %s.", section),
			Content: map[string]*huma.MediaType{"application/json": {Schema: object}},
		}
		gives(o, http.StatusOK, "application/json", object)
	}
}

func discoveryDoc(_ huma.Registry, o *huma.Operation) {
	gives(o, http.StatusOK, "application/json", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true})
}

func nginxDoc(_ huma.Registry, o *huma.Operation) {
	for _, name := range []string{ask.HeaderAccount, ask.HeaderAction, ask.HeaderProduct, ask.HeaderRegion, ask.HeaderGPU, ask.HeaderInstances} {
		o.Parameters = append(o.Parameters, &huma.Param{Name: name, In: "header", Schema: &huma.Schema{Type: huma.TypeString}})
	}
	o.Responses["204"] = &huma.Response{Description: "It may. 401: no account, or no token that is good here; any other refusal is 403"}
}
