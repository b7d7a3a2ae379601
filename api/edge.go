package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/edge"
)

// EdgeConfig of the API of an edge. Token, PublicURL and Asked may be left out.
type EdgeConfig struct {
	Version string
	Clock   muster.Clock
	Log     *slog.Logger
	Metrics Metrics

	Gate      ask.Gate
	Asked     *ask.Recorder
	Follower  EdgeFollower
	PublicURL string

	// Token is what callers send; "": whoever reaches the listener may ask, which is
	// for listeners on the loopback alone.
	Token string
}

// EdgeFollower says how an edge stands (edge.Follower).
type EdgeFollower interface{ Status() edge.Status }

// modeEdge is the mode in the tokens of an edge's own callers: muster_edge_...
const modeEdge = "edge"

// NewEdge makes the API of an edge: the gate's protocols, and how it stands. It is the
// same handler as the centre's, with another table of contents.
func NewEdge(c EdgeConfig) (*API, error) {
	if c.Clock == nil || c.Log == nil || c.Metrics == nil || c.Gate == nil || c.Follower == nil {
		return nil, errors.New("api: an edge lacks Clock, Log, Metrics, Gate or Follower")
	}
	if c.Token != "" && !IsEdgeToken(c.Token) {
		return nil, &muster.Error{Code: muster.CodeInvalid, Message: "the token of those who ask is none", Hint: "muster gate token makes one"}
	}
	a := &API{
		Config: Config{
			Deployment: Deployment{Mode: modeEdge, Version: c.Version}, Clock: c.Clock, Log: c.Log, Metrics: c.Metrics,
			Tokens: oneToken(c.Token), Gate: c.Gate, Asked: c.Asked, PublicURL: c.PublicURL,
			Checks: []Check{{Name: "snapshot", Run: func(context.Context) error {
				switch s := c.Follower.Status(); {
				case s.Source == "none":
					return errors.New("there is no snapshot yet")
				case s.Stale:
					return errors.New("nothing was heard of the centre for longer than its bound")
				}
				return nil
			}}},
		},
		mux: http.NewServeMux(), quick: map[string]*quick{}, ids: newCounter(), auth: newAuthority(oneToken(c.Token), modeEdge, c.Clock),
	}
	var err error
	if a.meters, err = newMeters(c.Metrics); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return a, a.build(a.edgeRoutes(c.Token == "", c.Follower))
}

// IsEdgeToken reports whether s has the form of a token of an edge's callers.
func IsEdgeToken(s string) bool {
	return isToken(s) && strings.HasPrefix(s, "muster_"+modeEdge+"_")
}

// edgeRoutes is an edge's table of contents.
func (a *API) edgeRoutes(open bool, f EdgeFollower) []*route {
	asks := muster.ScopeGateAsk
	if open {
		asks = Public
	}
	status := func(context.Context, *struct{}) (*edgeStatusOutput, error) {
		return &edgeStatusOutput{f.Status()}, nil
	}
	return []*route{
		{post, ask.EvaluationPath, asks, "evaluate", ok, 0, "AuthZEN: may this account do this?", quickly(a.authZEN().Evaluation, evaluationDoc("6"))},
		{post, ask.EvaluationsPath, asks, "evaluateAll", ok, 0, "AuthZEN: several questions at once", quickly(a.authZEN().Evaluations, evaluationDoc("7"))},
		{get, ask.DiscoveryPath, Public, "authZENConfiguration", ok, 0, "AuthZEN: where its endpoints are", raw(a.discovery, discoveryDoc)},
		{get, "/v1/gate/auth-request", asks, "askNginx", none, bare, "nginx's auth_request: 204, 401 or 403", quickly(a.askNginx, nginxDoc)},
		{get, "/v1/gate/status", asks, "getGateStatus", ok, 0, "How this edge stands", op(status)},
		{get, "/openapi.json", Public, "getOpenAPI", ok, 0, "This document", raw(a.getOpenAPI, openAPIDoc)},
		{get, "/healthz", Public, "getLive", ok, 0, "The process lives", op(a.getLive)},
		{get, "/readyz", Public, "getReady", ok, 0, "It answers from fresh knowledge", op(a.getReady)},
		{get, "/metrics", asks, "metrics", ok, 0, "Prometheus metrics", raw(a.getMetrics, metricsDoc)},
	}
}

type edgeStatusOutput struct{ Body edge.Status }

// oneToken knows one secret.
type oneToken string

func (t oneToken) Principal(_ context.Context, secret string) (muster.Principal, error) {
	if t == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(t)) != 1 {
		return muster.Principal{}, muster.Errorf(muster.CodeUnauthorized, "another token")
	}
	return muster.Principal{Operator: "edge", Token: "edge", Scopes: []muster.Scope{muster.ScopeGateAsk}}, nil
}
