package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Decisions explains and proves decisions (onboard.Service).
type Decisions interface {
	Explain(ctx context.Context, decision string) (*muster.Decision, error)
	// Bundle is one JSON document; audience is examiner, customer or court, sizes
	// are older checkpoints that the reader holds.
	Bundle(ctx context.Context, by muster.Principal, decision, audience string, sizes ...int64) ([]byte, error)
}

// DecisionList lists the decisions on an application, by id or reference
// (store.DB), in the order of their ids.
type DecisionList interface {
	ListDecisions(ctx context.Context, application string, page muster.Page) ([]*muster.DecisionRecord, error)
}

type decisionInput struct {
	Decision string `path:"decision" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type decisionOutput struct{ Body *muster.Decision }

func (a *API) getDecision(ctx context.Context, in *decisionInput) (*decisionOutput, error) {
	d, err := a.Decisions.Explain(ctx, in.Decision)
	if err != nil {
		return nil, err
	}
	return &decisionOutput{d}, nil
}

// DecisionRow is a decision in a list.
type DecisionRow struct {
	Decision    string         `json:"decision"`
	Application string         `json:"application"`
	Customer    string         `json:"customer"`
	About       muster.Ref     `json:"about"`
	At          time.Time      `json:"at"`
	Outcome     muster.Outcome `json:"outcome" enum:"open,limit,collect,verify,review,suspend,refuse,close"`
	Observed    bool           `json:"observed" doc:"recorded, and nothing was enforced"`
	Leaf        int64          `json:"leaf" doc:"index in the log"`
}

func decisionRow(r *muster.DecisionRecord) DecisionRow {
	return DecisionRow{r.ID, r.Application, r.Customer, r.About, r.At, r.Outcome, r.Observed, r.Leaf}
}

type listDecisionsInput struct {
	ApplicationPath
	Paging
}

func (a *API) listDecisions(ctx context.Context, in *listDecisionsInput) (*listOutput[DecisionRow], error) {
	rows, err := a.DecisionList.ListDecisions(ctx, in.Application, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, decisionRow, func(r *muster.DecisionRecord) string { return r.ID }), nil
}

const maxPinned = 8

// getBundle hands out facts, so that it needs the scope of a reveal and is one.
func (a *API) getBundle(c *call, r *http.Request) error {
	id, err := pathName(r, "decision")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	audience := q.Get("audience")
	switch audience {
	case tlog.AudienceExaminer, tlog.AudienceCustomer, tlog.AudienceCourt:
	default:
		return muster.Invalid(muster.Fault{Code: "audience", Detail: "query parameter audience is one of examiner, customer, court"})
	}
	var sizes []int64
	for _, s := range q["pinned"] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 || len(sizes) == maxPinned {
			return muster.Invalid(muster.Fault{Code: "pinned", Detail: "query parameter pinned is the size of a checkpoint, at most eight times"})
		}
		sizes = append(sizes, n)
	}
	b, err := a.Decisions.Bundle(r.Context(), c.by, id, audience, sizes...)
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "application/json", b)
}

func bundleDoc(_ huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("decision", "decision id"), &huma.Param{
		Name: "audience", In: "query", Required: true,
		Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{tlog.AudienceExaminer, tlog.AudienceCustomer, tlog.AudienceCourt}},
	}, &huma.Param{
		Name: "pinned", In: "query", Description: "size of an older checkpoint that the reader holds; may be repeated",
		Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeInteger, Format: "int64"}},
	})
	gives(o, http.StatusOK, "application/json", &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Description: "A bundle: muster log verify --bundle takes it.",
	})
}
