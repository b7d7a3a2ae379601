package api

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// Copies makes a person's own copy (onboard.Service).
type Copies interface {
	Copy(ctx context.Context, by muster.Principal, r onboard.CopyRequest) (*onboard.Copy, error)
}

type copyInput struct {
	Customer string    `path:"customer" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Subject  string    `query:"subject" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"subject id of an owner or signatory; absent: the customer"`
	Case     string    `query:"case" required:"true" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"reference of the person's request; no personal data"`
	From     time.Time `query:"from" doc:"access records from then on; absent: all that are kept"`
	Until    time.Time `query:"until" doc:"and before then"`
}

type copyOutput struct{ Body *onboard.Copy }

func (a *API) getCopy(ctx context.Context, in *copyInput) (*copyOutput, error) {
	c, err := a.Copies.Copy(ctx, callOf(ctx).by, onboard.CopyRequest{
		Customer: in.Customer, Subject: in.Subject, Case: in.Case, From: in.From, Until: in.Until,
	})
	return &copyOutput{c}, err
}
