package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/register"
)

// Measures is the register of special measures (register.Register).
type Measures interface {
	Preview(ctx context.Context, by string, d register.Draft) (*register.Preview, error)
	Propose(ctx context.Context, by string, p register.Proposal) (*muster.MeasureAct, error)
	Approve(ctx context.Context, by, act string) (*muster.MeasureAct, error)
	MeasureReads
}

// MeasureReads are its lists.
type MeasureReads interface {
	List(ctx context.Context) ([]*register.Standing, error)
	Show(ctx context.Context, id string) (*register.Standing, error)
	Source(ctx context.Context, id string) ([]byte, error)
	Accounts(ctx context.Context, id string, p muster.Page) ([]*register.UnderIt, error)
	Notices(ctx context.Context, account string) ([]register.Told, error)
}

type measureInput struct {
	Measure string `path:"measure" maxLength:"64" pattern:"^[a-z0-9._-]+$"`
}

type previewInput struct{ Body register.Draft }

type previewOutput struct{ Body *register.Preview }

func (a *API) previewMeasure(ctx context.Context, in *previewInput) (*previewOutput, error) {
	p, err := a.Measures.Preview(ctx, callOf(ctx).by.Operator, in.Body)
	return &previewOutput{p}, err
}

type measureActInput struct{ Body register.Proposal }

type measureActOutput struct{ Body *muster.MeasureAct }

func (a *API) proposeMeasure(ctx context.Context, in *measureActInput) (*measureActOutput, error) {
	act, err := a.Measures.Propose(ctx, callOf(ctx).by.Operator, in.Body)
	return &measureActOutput{act}, err
}

type actInput struct {
	Act string `path:"act" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

func (a *API) approveMeasure(ctx context.Context, in *actInput) (*measureActOutput, error) {
	act, err := a.Measures.Approve(ctx, callOf(ctx).by.Operator, in.Act)
	return &measureActOutput{act}, err
}

func (a *API) listMeasures(ctx context.Context, in *Paging) (*listOutput[*register.Standing], error) {
	all, err := a.Measures.List(ctx)
	if err != nil {
		return nil, err
	}
	page, rows := in.page(), []*register.Standing{}
	for _, s := range all {
		if s.Measure > page.After && len(rows) < page.Limit {
			rows = append(rows, s)
		}
	}
	return list(in, rows, func(s *register.Standing) *register.Standing { return s }, func(s *register.Standing) string { return s.Measure }), nil
}

type measureOutput struct{ Body *register.Standing }

func (a *API) getMeasure(ctx context.Context, in *measureInput) (*measureOutput, error) {
	s, err := a.Measures.Show(ctx, in.Measure)
	return &measureOutput{s}, err
}

func (a *API) getMeasureSource(c *call, r *http.Request) error {
	source, err := a.Measures.Source(r.Context(), r.PathValue("measure"))
	if err != nil {
		return err
	}
	return c.bytes(http.StatusOK, "application/yaml", source)
}

func measureSourceDoc(_ huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("measure", "id of the determination"))
	gives(o, http.StatusOK, "application/yaml", &huma.Schema{Type: huma.TypeString})
}

type measureAccountsInput struct {
	measureInput
	Paging
}

func (a *API) listMeasureAccounts(ctx context.Context, in *measureAccountsInput) (*listOutput[*register.UnderIt], error) {
	rows, err := a.Measures.Accounts(ctx, in.Measure, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, func(x *register.UnderIt) *register.UnderIt { return x }, func(x *register.UnderIt) string { return x.ID }), nil
}

type toldOutput struct {
	Body struct {
		Items []register.Told `json:"items" nullable:"false"`
	}
}

func (a *API) listAccountMeasures(ctx context.Context, in *AccountPath) (*toldOutput, error) {
	items, err := a.Measures.Notices(ctx, in.Account)
	out := &toldOutput{}
	out.Body.Items = items
	return out, err
}
