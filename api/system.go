package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/muster-cip/muster"
)

// Check asks one part whether it answers.
type Check struct {
	Name string // a word for the status page: store, keys, log, ...
	Run  func(ctx context.Context) error
	Soft bool // what fails it works on, and not as it should: requests keep coming
}

// checkFor bounds one check.
const checkFor = 2 * time.Second

// Me is who calls.
type Me struct {
	Operator string         `json:"operator"`
	Token    string         `json:"token"`
	Scopes   []muster.Scope `json:"scopes"`
}

type meOutput struct{ Body Me }

func (a *API) getMe(ctx context.Context, _ *struct{}) (*meOutput, error) {
	return &meOutput{Me(callOf(ctx).by)}, nil
}

type methodsOutput struct {
	Body struct {
		Items []muster.Method `json:"items" nullable:"false"`
	}
}

func (a *API) listMethods(context.Context, *struct{}) (*methodsOutput, error) {
	out := &methodsOutput{}
	out.Body.Items = append([]muster.Method{}, a.Methods...)
	return out, nil
}

// Status is what runs here.
type Status struct {
	Deployment
	Time  time.Time       `json:"time"`
	Ready bool            `json:"ready"`
	Parts map[string]bool `json:"parts" doc:"by name, whether it answers"`

	Degraded []string `json:"degraded" nullable:"false" doc:"parts that answer and are not as they should be: a watch list past its age"`
}

type statusOutput struct{ Body Status }

func (a *API) getStatus(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	out := &statusOutput{Status{a.Deployment, a.Clock(), !a.draining.Load(), map[string]bool{}, []string{}}}
	for _, c := range a.Checks {
		fine := a.runCheck(ctx, c) == nil
		if c.Soft {
			if !fine {
				out.Body.Degraded = append(out.Body.Degraded, c.Name)
			}
			continue
		}
		out.Body.Parts[c.Name] = fine
		out.Body.Ready = out.Body.Ready && fine
	}
	return out, nil
}

// runCheck is nil where the part answers. Its error is logged, and not for a caller.
func (a *API) runCheck(ctx context.Context, c Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	err := c.Run(ctx)
	if err != nil {
		err = errors.Join(err, ctx.Err()) // of a part that says no more than that it was interrupted
		a.Log.WarnContext(ctx, "check", "part", c.Name, "cause", cut(err.Error(), 500))
	}
	return err
}

// Health is one word.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

type healthOutput struct{ Body Health }

func (a *API) getLive(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{Health{"ok"}}, nil
}

func (a *API) getReady(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if a.draining.Load() {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "this process is about to stop"}
	}
	var faults []muster.Fault
	for _, c := range a.Checks {
		if c.Soft {
			continue
		}
		switch err := a.runCheck(ctx, c); {
		case errors.Is(err, context.DeadlineExceeded):
			faults = append(faults, muster.Fault{Code: c.Name, Detail: "this part does not answer in time"})
		case err != nil:
			faults = append(faults, muster.Fault{Code: c.Name, Detail: "this part does not answer"})
		}
	}
	if faults != nil {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "a part does not answer", Faults: faults}
	}
	return &healthOutput{Health{"ok"}}, nil
}

func (a *API) getOpenAPI(c *call, _ *http.Request) error {
	return c.bytes(http.StatusOK, "application/openapi+json", a.document)
}

func openAPIDoc(_ huma.Registry, o *huma.Operation) {
	gives(o, http.StatusOK, "application/openapi+json", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true})
}

func (a *API) getMetrics(c *call, r *http.Request) error {
	// What can be gathered is served; what cannot is in the log.
	promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{
		DisableCompression: true, ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelError),
	}).ServeHTTP(c, r)
	return nil
}

func metricsDoc(_ huma.Registry, o *huma.Operation) {
	gives(o, http.StatusOK, "text/plain", &huma.Schema{Type: huma.TypeString})
}
