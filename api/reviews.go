package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/review"
)

// Reviews resolves cases (review.Service). done is false while the finding waits
// for a second operator.
type Reviews interface {
	Resolve(ctx context.Context, by muster.Principal, id string, version int64, f review.Finding) (r *muster.ReviewRecord, done bool, err error)
}

// ReviewList lists cases (store.DB), in the order of their ids; state "": all.
type ReviewList interface {
	ListReviews(ctx context.Context, state string, page muster.Page) ([]*muster.ReviewRecord, error)
	Review(ctx context.Context, id string) (*muster.ReviewRecord, error)
}

// Review is a case on the wire. A proposal's words are not in it: they are sealed.
type Review struct {
	Review      string    `json:"review"`
	Application string    `json:"application"`
	Customer    string    `json:"customer"`
	Decision    string    `json:"decision" doc:"that opened it"`
	Rules       []string  `json:"rules" nullable:"false" doc:"pack/rule that asked for it"`
	State       string    `json:"state" enum:"open,proposed,resolved,moot"`
	Opened      time.Time `json:"opened"`
	Proposer    string    `json:"proposer,omitempty" doc:"operator whose resolution waits for a second one"`
	Evidence    string    `json:"evidence,omitempty" doc:"the resolution"`
	Version     int64     `json:"version" doc:"the ETag, for If-Match"`
}

func reviewOf(r *muster.ReviewRecord) Review {
	return Review{r.ID, r.Application, r.Customer, r.Decision, listed(r.Rules), r.State, r.Opened, r.Proposer, r.Evidence, r.Version}
}

type listReviewsInput struct {
	Paging
	State string `query:"state" enum:"open,proposed,resolved,moot"`
}

func (a *API) listReviews(ctx context.Context, in *listReviewsInput) (*listOutput[Review], error) {
	rows, err := a.ReviewList.ListReviews(ctx, in.State, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, reviewOf, func(r *muster.ReviewRecord) string { return r.ID }, "state", in.State), nil
}

// ReviewPath names a case in a path.
type ReviewPath struct {
	Review string `path:"review" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type reviewOutput struct {
	ETag string `header:"ETag"`
	Body Review
}

func (a *API) getReview(ctx context.Context, in *ReviewPath) (*reviewOutput, error) {
	r, err := a.ReviewList.Review(ctx, in.Review)
	if err != nil {
		return nil, err
	}
	return &reviewOutput{etag(r.Version), reviewOf(r)}, nil
}

type resolveInput struct {
	ReviewPath
	Match
	Body review.Finding
}

type resolveOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Review
}

func (a *API) resolveReview(ctx context.Context, in *resolveInput) (*resolveOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, done, err := a.Reviews.Resolve(ctx, callOf(ctx).by, in.Review, v, in.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if !done {
		status = http.StatusAccepted
	}
	return &resolveOutput{status, etag(r.Version), reviewOf(r)}, nil
}

func resolveDoc(r huma.Registry, o *huma.Operation) {
	gives(o, http.StatusAccepted, "application/json", schemaOf[Review](r), "ETag")
	o.Responses["202"].Description = "The finding is kept as a proposal and waits for a second operator."
}
