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
	Preview(ctx context.Context, by string, d register.MeasureDraft) (*register.MeasurePreview, error)
	Propose(ctx context.Context, by string, p register.MeasureProposal) (*muster.MeasureAct, error)
	Approve(ctx context.Context, by, act string) (*muster.MeasureAct, error)
	MeasureReads
}

// MeasureReads are its lists.
type MeasureReads interface {
	List(ctx context.Context) ([]*register.MeasureStanding, error)
	Show(ctx context.Context, id string) (*register.MeasureStanding, error)
	Source(ctx context.Context, id string) ([]byte, error)
	Accounts(ctx context.Context, by, id string, p muster.Page) ([]*register.MeasureAccount, error)
	Notices(ctx context.Context, account string) ([]register.MeasureNotice, error)
}

// MeasurePath is the path of a measure.
type MeasurePath struct {
	Measure string `path:"measure" maxLength:"64" pattern:"^[a-z0-9._-]+$"`
}

// Appeals takes a customer's appeal against a special measure (onboard.Service).
type Appeals interface {
	Appeal(ctx context.Context, by muster.Principal, account, measure string) (*muster.ReviewRecord, error)
}

type appealInput struct {
	AccountPath
	Body struct {
		Measure string `json:"measure" maxLength:"64" pattern:"^[a-z0-9._-]+$" doc:"id of the determination"`
	}
}

func (a *API) appealMeasure(ctx context.Context, in *appealInput) (*reviewOutput, error) {
	r, err := a.Appeals.Appeal(ctx, callOf(ctx).by, in.Account, in.Body.Measure)
	if err != nil {
		return nil, err
	}
	return &reviewOutput{etag(r.Version), reviewOf(r)}, nil
}

type previewInput struct{ Body register.MeasureDraft }

type previewOutput struct{ Body *register.MeasurePreview }

func (a *API) previewMeasure(ctx context.Context, in *previewInput) (*previewOutput, error) {
	p, err := a.Measures.Preview(ctx, callOf(ctx).by.Operator, in.Body)
	return &previewOutput{p}, err
}

type measureActInput struct{ Body register.MeasureProposal }

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

func (a *API) listMeasures(ctx context.Context, in *Paging) (*listOutput[*register.MeasureStanding], error) {
	all, err := a.Measures.List(ctx)
	if err != nil {
		return nil, err
	}
	page, rows := in.page(), []*register.MeasureStanding{}
	for _, s := range all {
		if s.Measure > page.After && len(rows) < page.Limit {
			rows = append(rows, s)
		}
	}
	return list(in, rows, func(s *register.MeasureStanding) *register.MeasureStanding { return s }, func(s *register.MeasureStanding) string { return s.Measure }), nil
}

type measureOutput struct{ Body *register.MeasureStanding }

func (a *API) getMeasure(ctx context.Context, in *MeasurePath) (*measureOutput, error) {
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
	MeasurePath
	Paging
}

func (a *API) listMeasureAccounts(ctx context.Context, in *measureAccountsInput) (*listOutput[*register.MeasureAccount], error) {
	rows, err := a.Measures.Accounts(ctx, callOf(ctx).by.Operator, in.Measure, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, func(x *register.MeasureAccount) *register.MeasureAccount { return x }, func(x *register.MeasureAccount) string { return x.ID }), nil
}

type toldOutput struct {
	Body struct {
		Items []register.MeasureNotice `json:"items" nullable:"false"`
	}
}

func (a *API) listAccountMeasures(ctx context.Context, in *AccountPath) (*toldOutput, error) {
	items, err := a.Measures.Notices(ctx, in.Account)
	out := &toldOutput{}
	out.Body.Items = items
	return out, err
}
