package api

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/staff"
)

// Staff adds and disables operators, and makes and revokes tokens
// (staff.Service). by is an operator id.
type Staff interface {
	Add(ctx context.Context, by, name string) (*muster.OperatorRecord, error)
	Disable(ctx context.Context, by, id string, breakGlass bool) error
	Create(ctx context.Context, by muster.Principal, g staff.Grant) (r *muster.TokenRecord, secret string, err error)
	Revoke(ctx context.Context, by, id string) error
}

// StaffList reads them (store.DB).
type StaffList interface {
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	ListTokens(ctx context.Context, operator string, page muster.Page) ([]*muster.TokenRecord, error) // operator "": all
}

// Operator is an operator on the wire.
type Operator struct {
	Operator string    `json:"operator"`
	Name     string    `json:"name"`
	Made     time.Time `json:"made"`
	Disabled time.Time `json:"disabled,omitzero"`
}

func operatorOf(r muster.OperatorRecord) Operator {
	return Operator{r.ID, r.Name, r.Made, r.Disabled}
}

// listOperators is no page: staff are few.
func (a *API) listOperators(ctx context.Context, _ *struct{}) (*listOutput[Operator], error) {
	rows, err := a.StaffList.Operators(ctx)
	if err != nil {
		return nil, err
	}
	return list(&Paging{Limit: len(rows)}, rows, operatorOf, nil), nil
}

type addOperatorInput struct {
	Body struct {
		Name string `json:"name" maxLength:"100" doc:"how colleagues know the person"`
	}
}

type operatorOutput struct{ Body Operator }

func (a *API) addOperator(ctx context.Context, in *addOperatorInput) (*operatorOutput, error) {
	r, err := a.Staff.Add(ctx, callOf(ctx).by.Operator, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return &operatorOutput{operatorOf(*r)}, nil
}

type disableInput struct {
	Operator string `path:"operator" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Body     *struct {
		BreakGlass bool `json:"break_glass,omitempty" doc:"disable the second-last one all the same: it ends four eyes, and is recorded"`
	}
}

func (a *API) disableOperator(ctx context.Context, in *disableInput) (*struct{}, error) {
	return nil, a.Staff.Disable(ctx, callOf(ctx).by.Operator, in.Operator, in.Body != nil && in.Body.BreakGlass)
}

// Token is a token on the wire.
type Token struct {
	Token    string         `json:"token"`
	Operator string         `json:"operator"`
	Name     string         `json:"name"`
	Scopes   []muster.Scope `json:"scopes" nullable:"false"`
	Made     time.Time      `json:"made"`
	Expires  time.Time      `json:"expires"`
	Revoked  time.Time      `json:"revoked,omitzero"`
	Secret   string         `json:"secret,omitempty" doc:"in the answer to the request that made it, and never again"`
}

func tokenOf(r *muster.TokenRecord) Token {
	return Token{Token: r.ID, Operator: r.Operator, Name: r.Name, Scopes: listed(r.Scopes), Made: r.Made, Expires: r.Expires, Revoked: r.Revoked}
}

type listTokensInput struct {
	Paging
	Operator string `query:"operator" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"of one operator; absent: of all"`
}

func (a *API) listTokens(ctx context.Context, in *listTokensInput) (*listOutput[Token], error) {
	rows, err := a.StaffList.ListTokens(ctx, in.Operator, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, tokenOf, func(r *muster.TokenRecord) string { return r.ID }, "operator", in.Operator), nil
}

type createTokenInput struct{ Body staff.Grant }

type tokenOutput struct{ Body Token }

func (a *API) createToken(ctx context.Context, in *createTokenInput) (*tokenOutput, error) {
	r, secret, err := a.Staff.Create(ctx, callOf(ctx).by, in.Body)
	if err != nil {
		return nil, err
	}
	out := &tokenOutput{tokenOf(r)}
	out.Body.Secret = secret
	return out, nil
}

type revokeInput struct {
	Token string `path:"token" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

func (a *API) revokeToken(ctx context.Context, in *revokeInput) (*struct{}, error) {
	return nil, a.Staff.Revoke(ctx, callOf(ctx).by.Operator, in.Token)
}
