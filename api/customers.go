package api

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// AccountMoves moves accounts (onboard.Service).
type AccountMoves interface {
	MoveAccount(ctx context.Context, by muster.Principal, account string, version int64, m onboard.Move) (*muster.AccountRecord, error)
}

// Account is an account on the wire.
type Account struct {
	ID           string          `json:"id"`
	Account      string          `json:"account" doc:"the provider's own reference"`
	Customer     string          `json:"customer"`
	Parent       string          `json:"parent,omitempty" doc:"account id"`
	Relation     muster.Relation `json:"relation,omitempty" enum:"reseller_customer,sublessee,delegate"`
	State        string          `json:"state" enum:"pending,active,limited,suspended,closing,closed"`
	InterimSince time.Time       `json:"interim_since,omitzero" doc:"first limited use before identity was shown"`
	Opened       time.Time       `json:"opened,omitzero"`
	Closed       time.Time       `json:"closed,omitzero"`
	Decision     string          `json:"decision" doc:"id of the latest that moved it"`
	Version      int64           `json:"version" doc:"the ETag, for If-Match"`
}

func accountOf(r *muster.AccountRecord) Account {
	return Account{
		r.ID, r.Reference, r.Customer, r.Parent, r.Relation, r.State,
		r.InterimSince, r.Opened, r.Closed, r.Decision, r.Version,
	}
}

// CustomerRow is a customer in a list: on file, and nothing of who it is.
type CustomerRow struct {
	Customer string           `json:"customer"`
	Kind     muster.PartyKind `json:"kind" enum:"individual,entity"`
	Made     time.Time        `json:"made"`
	Version  int64            `json:"version"`
}

func customerRow(r *muster.CustomerRecord) CustomerRow {
	return CustomerRow{r.ID, r.Kind, r.Made, r.Version}
}

// Customer is a customer with their accounts.
type Customer struct {
	CustomerRow
	Accounts []Account `json:"accounts" nullable:"false"`
	Holds    []string  `json:"holds" nullable:"false" doc:"hits that are true: no refund and no erasure of this customer by itself while there is one"`
}

func (a *API) listCustomers(ctx context.Context, in *Paging) (*listOutput[CustomerRow], error) {
	rows, err := a.Files.ListCustomers(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return list(in, rows, customerRow, func(r *muster.CustomerRecord) string { return r.ID }), nil
}

type customerInput struct {
	Customer string `path:"customer" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

type customerOutput struct {
	ETag string `header:"ETag"`
	Body Customer
}

func (a *API) getCustomer(ctx context.Context, in *customerInput) (*customerOutput, error) {
	r, err := a.Files.Customer(ctx, in.Customer)
	if err != nil {
		return nil, err
	}
	accounts, err := a.Files.AccountsOf(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	hits, err := a.HitList.HitsOf(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out := &customerOutput{etag(r.Version), Customer{customerRow(r), make([]Account, 0, len(accounts)), []string{}}}
	for _, h := range hits {
		if h.Holds() {
			out.Body.Holds = append(out.Body.Holds, h.ID)
		}
	}
	for _, acc := range accounts {
		out.Body.Accounts = append(out.Body.Accounts, accountOf(acc))
	}
	return out, nil
}

// AccountPath names an account in a path.
type AccountPath struct {
	Account string `path:"account" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"id or the provider's reference"`
}

type accountOutput struct {
	ETag string `header:"ETag"`
	Body Account
}

type accountViewOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		Account
		Adopted *onboard.Adopted `json:"adopted,omitempty" doc:"of an account that was taken over from the provider's book"`
	}
}

func (a *API) getAccount(ctx context.Context, in *AccountPath) (*accountViewOutput, error) {
	r, err := a.Files.Account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	out := &accountViewOutput{ETag: etag(r.Version)}
	out.Body.Account = accountOf(r)
	out.Body.Adopted, err = a.Imports.Adopted(ctx, r.ID)
	return out, err
}

type moveInput struct {
	AccountPath
	Match
	Body onboard.Move
}

func (a *API) moveAccount(ctx context.Context, in *moveInput) (*accountOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, err := a.Moves.MoveAccount(ctx, callOf(ctx).by, in.Account, v, in.Body)
	if err != nil {
		return nil, err
	}
	return &accountOutput{etag(r.Version), accountOf(r)}, nil
}
