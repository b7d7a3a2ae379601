package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/review"
)

// Hits resolves hits on watch lists (review.Service). done is false while a
// finding waits for a second operator.
type Hits interface {
	ResolveHit(ctx context.Context, by muster.Principal, id string, version int64, f review.HitFinding) (r *muster.HitRecord, done bool, err error)
	ReportHit(ctx context.Context, by muster.Principal, id string, version int64, x review.HitReport) (*muster.HitRecord, error)
}

// HitReveals shows a hit in full (onboard.Service).
type HitReveals interface {
	ExplainHit(ctx context.Context, by muster.Principal, id string, r onboard.RevealRequest) (*onboard.HitExplained, error)
}

// HitList lists hits and sweeps (store.DB), in the order of their ids.
type HitList interface {
	ListHits(ctx context.Context, state string, page muster.Page) ([]*muster.HitRecord, error)
	HitsOf(ctx context.Context, customer string) ([]*muster.HitRecord, error)
	Hit(ctx context.Context, id string) (*muster.HitRecord, error)
	ListSweeps(ctx context.Context, page muster.Page) ([]*muster.SweepRecord, error)
	Sweep(ctx context.Context, id string) (*muster.SweepRecord, error)
}

// Hit is a hit on the wire: that somebody on file came close to an entry of a list,
// and not to which. The entry, and how it was compared, are behind a reveal.
type Hit struct {
	Hit         string          `json:"hit"`
	Customer    string          `json:"customer"`
	Application string          `json:"application"`
	Subject     string          `json:"subject" doc:"subject id; of the payer: the customer's"`
	Of          string          `json:"of" enum:"subject,payer"`
	List        string          `json:"list"`
	State       muster.HitState `json:"state" enum:"open,true,false,moot"`
	Score       float64         `json:"score" doc:"0 to 1, when last compared"`
	Opened      time.Time       `json:"opened"`
	Changed     time.Time       `json:"changed" doc:"when its state last did"`
	Operator    string          `json:"operator,omitempty" doc:"whose finding stands"`
	Proposal    muster.HitState `json:"proposal,omitempty" enum:"true,false" doc:"a finding that waits for a second operator"`
	Proposer    string          `json:"proposer,omitempty"`
	Again       string          `json:"again,omitempty" enum:"entry,claims" doc:"it was found false, and is open again because the entry or the claims changed"`
	Gone        bool            `json:"gone,omitempty" doc:"the entry has left its list since"`
	Due         time.Time       `json:"due,omitzero" doc:"of a true one: by when it is to be reported"`
	Reported    time.Time       `json:"reported,omitzero"`
	Keep        time.Time       `json:"keep,omitzero" doc:"of a true one: until when its list has its records kept"`
	Holds       bool            `json:"holds" doc:"true: no refund and no erasure of this customer by itself"`
	Version     int64           `json:"version" doc:"the ETag, for If-Match"`
}

func hitOf(r *muster.HitRecord) Hit {
	return Hit{
		r.ID, r.Customer, r.Application, r.Subject, r.Of, r.List, r.State, float64(r.Score) / 1000, r.Opened, r.Changed, r.Operator,
		r.Proposal, r.Proposer, r.Again, r.Gone, r.Due, r.Reported, r.Keep, r.Holds(), r.Version,
	}
}

type listHitsInput struct {
	Paging
	State    string `query:"state" enum:"open,true,false,moot"`
	Customer string `query:"customer" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"those of one customer, all of them"`
}

func (a *API) listHits(ctx context.Context, in *listHitsInput) (*listOutput[Hit], error) {
	key := func(r *muster.HitRecord) string { return r.ID }
	if in.Customer == "" {
		rows, err := a.HitList.ListHits(ctx, in.State, in.page())
		if err != nil {
			return nil, err
		}
		return list(&in.Paging, rows, hitOf, key, "state", in.State), nil
	}
	all, err := a.HitList.HitsOf(ctx, in.Customer)
	if err != nil {
		return nil, err
	}
	var rows []*muster.HitRecord
	for _, r := range all {
		if (in.State == "" || string(r.State) == in.State) && r.ID > in.After && len(rows) <= in.Limit {
			rows = append(rows, r)
		}
	}
	return list(&in.Paging, rows, hitOf, key, "state", in.State, "customer", in.Customer), nil
}

// HitPath names a hit in a path.
type HitPath struct {
	Hit string `path:"hit" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type hitOutput struct {
	ETag string `header:"ETag"`
	Body Hit
}

func (a *API) getHit(ctx context.Context, in *HitPath) (*hitOutput, error) {
	r, err := a.HitList.Hit(ctx, in.Hit)
	if err != nil {
		return nil, err
	}
	return &hitOutput{etag(r.Version), hitOf(r)}, nil
}

type resolveHitInput struct {
	HitPath
	Match
	Body review.HitFinding
}

type resolveHitOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Hit
}

func (a *API) resolveHit(ctx context.Context, in *resolveHitInput) (*resolveHitOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, done, err := a.Hits.ResolveHit(ctx, callOf(ctx).by, in.Hit, v, in.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if !done {
		status = http.StatusAccepted
	}
	return &resolveHitOutput{status, etag(r.Version), hitOf(r)}, nil
}

func resolveHitDoc(r huma.Registry, o *huma.Operation) {
	gives(o, http.StatusAccepted, "application/json", schemaOf[Hit](r), "ETag")
	o.Responses["202"].Description = "The finding is kept as a proposal and waits for a second operator."
}

type reportHitInput struct {
	HitPath
	Match
	Body review.HitReport
}

func (a *API) reportHit(ctx context.Context, in *reportHitInput) (*hitOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, err := a.Hits.ReportHit(ctx, callOf(ctx).by, in.Hit, v, in.Body)
	if err != nil {
		return nil, err
	}
	return &hitOutput{etag(r.Version), hitOf(r)}, nil
}

type revealHitInput struct {
	HitPath
	Body onboard.RevealRequest
}

type revealHitOutput struct{ Body *onboard.HitExplained }

func (a *API) revealHit(ctx context.Context, in *revealHitInput) (*revealHitOutput, error) {
	out, err := a.HitReveals.ExplainHit(ctx, callOf(ctx).by, in.Hit, in.Body)
	if err != nil {
		return nil, err
	}
	return &revealHitOutput{out}, nil
}

// Sweep is a job over everybody on file, and how far it is.
type Sweep struct {
	Sweep    string          `json:"sweep"`
	Kind     string          `json:"kind" enum:"sweep,tune"`
	List     string          `json:"list,omitempty"`
	From     string          `json:"from,omitempty" doc:"digest of the snapshot before"`
	To       string          `json:"to,omitempty" doc:"digest of the snapshot that took its place"`
	Made     time.Time       `json:"made"`
	Stage    string          `json:"stage" enum:"listed,book,tail,done" doc:"hits on what changed; everybody on file; whoever was decided meanwhile; done"`
	Done     int             `json:"done" doc:"customers that were looked at"`
	Total    int             `json:"total" doc:"customers on file when it began"`
	Affected int             `json:"affected" doc:"customers that were decided anew"`
	Result   json.RawMessage `json:"result,omitempty" doc:"of a tune"`
	Ended    time.Time       `json:"ended,omitzero"`
}

func sweepOf(r *muster.SweepRecord) Sweep {
	return Sweep{r.ID, r.Kind, r.List, r.From, r.To, r.Made, r.Stage, r.Done, r.Total, r.Affected, r.Result, r.Ended}
}

func (a *API) listSweeps(ctx context.Context, in *Paging) (*listOutput[Sweep], error) {
	rows, err := a.HitList.ListSweeps(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return list(in, rows, sweepOf, func(r *muster.SweepRecord) string { return r.ID }), nil
}

type sweepInput struct {
	Sweep string `path:"sweep" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type sweepOutput struct{ Body Sweep }

func (a *API) getSweep(ctx context.Context, in *sweepInput) (*sweepOutput, error) {
	r, err := a.HitList.Sweep(ctx, in.Sweep)
	if err != nil {
		return nil, err
	}
	return &sweepOutput{sweepOf(r)}, nil
}
