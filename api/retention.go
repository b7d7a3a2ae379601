package api

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/retain"
)

// Retention makes records go, and keeps them (retain.Service).
type Retention interface {
	Preview(ctx context.Context, at time.Time) (*retain.Preview, error)
	Ask(ctx context.Context, by, customer, ground string) (*muster.Erasure, error)
	Agree(ctx context.Context, by, erasure string, version int64) (*muster.Erasure, error)
	TakeBack(ctx context.Context, by, erasure string, version int64) (*muster.Erasure, error)
}

// HoldVerbs place, review and lift holds (retain.Service).
type HoldVerbs interface {
	Place(ctx context.Context, by string, h muster.Hold) (*muster.Hold, error)
	Review(ctx context.Context, by, hold string, version int64, next time.Time) (*muster.Hold, error)
	Lift(ctx context.Context, by, hold string, version int64) (*muster.Hold, error)
}

// RetentionList lists holds and erasures (store.DB), in the order of their ids.
type RetentionList interface {
	ListHolds(ctx context.Context, live bool, page muster.Page) ([]*muster.Hold, error)
	ListErasures(ctx context.Context, state string, page muster.Page) ([]*muster.Erasure, error)
}

// HoldScope is what a hold keeps, why, and until when at the longest without a look.
type HoldScope struct {
	Customer    string    `json:"customer,omitempty" doc:"customer id; absent: every customer's records"`
	Class       string    `json:"class,omitempty" doc:"record class; absent: all"`
	From        time.Time `json:"from,omitzero" doc:"files made from then on; of a non-disclosure order, records"`
	Until       time.Time `json:"until,omitzero" doc:"and before then"`
	Ground      string    `json:"ground" doc:"litigation | investigation | order | request | true_hit | own"`
	Case        string    `json:"case" doc:"file number of the matter; no personal data"`
	Undisclosed bool      `json:"undisclosed,omitempty" doc:"nobody outside staff may be told"`
	Withheld    bool      `json:"withheld,omitempty" doc:"a non-disclosure order: records of the class, made in the period, are left out of copies. Undisclosed, of one customer and one class of claims, evidence, decisions, access, leases"`
	Review      time.Time `json:"review" doc:"by when somebody looks whether it is still wanted"`
}

// Hold is a hold on the wire.
type Hold struct {
	Hold string `json:"hold"`
	HoldScope
	Placed   time.Time `json:"placed"`
	By       string    `json:"by" doc:"operator"`
	Lifted   time.Time `json:"lifted,omitzero"`
	LiftedBy string    `json:"lifted_by,omitempty"`
	Version  int64     `json:"version" doc:"the ETag, for If-Match"`
}

func holdOf(h *muster.Hold) Hold {
	return Hold{
		h.ID,
		HoldScope{h.Customer, h.Class, h.From, h.Until, h.Ground, h.Case, h.Undisclosed, h.Withheld, h.Review},
		h.Placed, h.By, h.Lifted, h.LiftedBy, h.Version,
	}
}

type previewRetentionInput struct {
	At time.Time `query:"at" doc:"an instant; absent: now"`
}

type previewRetentionOutput struct{ Body *retain.Preview }

func (a *API) previewRetention(ctx context.Context, in *previewRetentionInput) (*previewRetentionOutput, error) {
	if in.At.IsZero() {
		in.At = a.Clock()
	}
	p, err := a.Retention.Preview(ctx, in.At)
	return &previewRetentionOutput{p}, err
}

type listHoldsInput struct {
	Paging
	All bool `query:"all" doc:"those that were lifted too"`
}

func (a *API) listHolds(ctx context.Context, in *listHoldsInput) (*listOutput[Hold], error) {
	rows, err := a.RetentionList.ListHolds(ctx, !in.All, in.page())
	if err != nil {
		return nil, err
	}
	filter := ""
	if in.All {
		filter = "true"
	}
	return list(&in.Paging, rows, holdOf, func(h *muster.Hold) string { return h.ID }, "all", filter), nil
}

type placeHoldInput struct{ Body HoldScope }

type holdOutput struct {
	ETag string `header:"ETag"`
	Body Hold
}

func holdAnswer(h *muster.Hold, err error) (*holdOutput, error) {
	if err != nil {
		return nil, err
	}
	return &holdOutput{etag(h.Version), holdOf(h)}, nil
}

func (a *API) placeHold(ctx context.Context, in *placeHoldInput) (*holdOutput, error) {
	b := in.Body
	return holdAnswer(a.Holds.Place(ctx, callOf(ctx).by.Operator, muster.Hold{
		Customer: b.Customer, Class: b.Class, From: b.From, Until: b.Until, Ground: b.Ground, Case: b.Case, Undisclosed: b.Undisclosed, Withheld: b.Withheld, Review: b.Review,
	}))
}

type HoldPath struct {
	Hold string `path:"hold" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Match
}

type reviewHoldInput struct {
	HoldPath
	Body struct {
		Review time.Time `json:"review" doc:"by when somebody looks again"`
	}
}

func (a *API) reviewHold(ctx context.Context, in *reviewHoldInput) (*holdOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return holdAnswer(a.Holds.Review(ctx, callOf(ctx).by.Operator, in.Hold, v, in.Body.Review))
}

func (a *API) liftHold(ctx context.Context, in *HoldPath) (*holdOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return holdAnswer(a.Holds.Lift(ctx, callOf(ctx).by.Operator, in.Hold, v))
}

// Erasure is an erasure on the wire.
type Erasure struct {
	Erasure  string    `json:"erasure"`
	State    string    `json:"state" enum:"proposed,approved,begun,done,taken_back"`
	Ground   string    `json:"ground" enum:"expired,request,error,mass"`
	Files    int       `json:"files"`
	Customer string    `json:"customer,omitempty" doc:"where it is about one"`
	Proposed time.Time `json:"proposed"`
	Proposer string    `json:"proposer,omitempty" doc:"operator; absent: the clock, or the customer"`
	Approver string    `json:"approver,omitempty"`
	Due      time.Time `json:"due,omitzero" doc:"until then it can be taken back"`
	Done     time.Time `json:"done,omitzero"`
	Version  int64     `json:"version" doc:"the ETag, for If-Match"`
}

func erasureOf(e *muster.Erasure) Erasure {
	out := Erasure{e.ID, e.State, e.Ground, len(e.Items), "", e.Proposed, e.Proposer, e.Approver, e.Due, e.Done, e.Version}
	if len(e.Items) == 1 {
		out.Customer = e.Items[0].Customer
	}
	return out
}

type listErasuresInput struct {
	Paging
	State string `query:"state" enum:"proposed,approved,begun,done,taken_back"`
}

func (a *API) listErasures(ctx context.Context, in *listErasuresInput) (*listOutput[Erasure], error) {
	rows, err := a.RetentionList.ListErasures(ctx, in.State, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, erasureOf, func(e *muster.Erasure) string { return e.ID }, "state", in.State), nil
}

type erasureOutput struct {
	ETag string `header:"ETag"`
	Body Erasure
}

func erasureAnswer(e *muster.Erasure, err error) (*erasureOutput, error) {
	if err != nil {
		return nil, err
	}
	return &erasureOutput{etag(e.Version), erasureOf(e)}, nil
}

type askErasureInput struct {
	Body struct {
		Customer string `json:"customer"`
		Ground   string `json:"ground" doc:"request: the person asked; error: it should never have been taken"`
	}
}

func (a *API) askErasure(ctx context.Context, in *askErasureInput) (*erasureOutput, error) {
	return erasureAnswer(a.Retention.Ask(ctx, callOf(ctx).by.Operator, in.Body.Customer, in.Body.Ground))
}

type ErasurePath struct {
	Erasure string `path:"erasure" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Match
}

func (a *API) agreeErasure(ctx context.Context, in *ErasurePath) (*erasureOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return erasureAnswer(a.Retention.Agree(ctx, callOf(ctx).by.Operator, in.Erasure, v))
}

func (a *API) takeErasureBack(ctx context.Context, in *ErasurePath) (*erasureOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return erasureAnswer(a.Retention.TakeBack(ctx, callOf(ctx).by.Operator, in.Erasure, v))
}

// Receipt answers a customer's own request. It is the same whatever keeps the
// records: who is told of a hold may be warned by it.
type Receipt struct {
	Received time.Time `json:"received"`
	Words    string    `json:"words" doc:"for the customer"`
}

const receiptWords = "Your request is on record. What nothing obliges us to keep is erased after a person has looked; " +
	"what we have to keep is erased when that time is over, without your asking again."

type deletionOutput struct{ Body Receipt }

func (a *API) requestDeletion(ctx context.Context, in *customerInput) (*deletionOutput, error) {
	if _, err := a.Retention.Ask(ctx, "", in.Customer, muster.GroundRequest); err != nil {
		return nil, err
	}
	return &deletionOutput{Receipt{a.Clock(), receiptWords}}, nil
}
