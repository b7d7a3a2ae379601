package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// meters are the room's metrics. Labels are patterns, methods and statuses:
// closed sets, and none of them a caller's text.
type meters struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMeters(r prometheus.Registerer) (*meters, error) {
	m := &meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_http_requests_total", Help: "Requests answered, by route pattern, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_http_request_duration_seconds", Help: "Time from first byte to answer, by route pattern and method.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *meters) observe(c *call, method string, took time.Duration) {
	method = knownMethod(method)
	m.requests.WithLabelValues(c.route.path, method, strconv.Itoa(c.status)).Inc()
	m.duration.WithLabelValues(c.route.path, method).Observe(took.Seconds())
}

const tracerName = "github.com/muster-cip/muster/api"

// newTracer is nil where nobody traces, so that an untraced call costs nothing.
func newTracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	if _, ok := p.(noop.TracerProvider); ok {
		return nil
	}
	return p.Tracer(tracerName)
}

// startSpan opens the call's span under the caller's trace. Unlike the ready-made
// instrumentation it records neither URL nor query nor client address.
func (a *API) startSpan(ctx context.Context, r *http.Request) (context.Context, trace.Span) {
	if a.tracer == nil {
		return ctx, nil
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	return a.tracer.Start(ctx, "HTTP "+knownMethod(r.Method), trace.WithSpanKind(trace.SpanKindServer))
}

func endSpan(span trace.Span, c *call, method string) {
	if span == nil {
		return
	}
	span.SetName(knownMethod(method) + " " + c.route.path)
	span.SetAttributes(
		attribute.String("http.request.method", knownMethod(method)),
		attribute.String("http.route", c.route.path),
		attribute.Int("http.response.status_code", c.status),
		attribute.String("muster.request_id", c.id))
	if c.status >= 500 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
