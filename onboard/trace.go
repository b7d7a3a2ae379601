package onboard

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Traced is whose account it was, at an instant: what a question to the ledger leads to.
// It holds no personal value; RevealAt shows those.
type Traced struct {
	Account     string         `json:"account" doc:"the provider's reference"`
	AccountID   string         `json:"account_id"`
	State       string         `json:"state" doc:"of the account, now"`
	Customer    string         `json:"customer"`
	Kind        string         `json:"kind" enum:"individual,entity"`
	Application string         `json:"application"`
	Decision    string         `json:"decision,omitempty" doc:"the latest one made by that instant; absent where there was none"`
	Outcome     muster.Outcome `json:"outcome,omitempty" doc:"of that decision"`
	Through     []Through      `json:"through" nullable:"false" doc:"the accounts above it, from its reseller upward; empty for a customer of the provider's own"`
}

// Through is one account above another.
type Through struct {
	Account  string          `json:"account" doc:"the provider's reference"`
	Customer string          `json:"customer"`
	Relation muster.Relation `json:"relation" doc:"of the account below it"`
}

// maxThrough bounds the way up; accounts that go in a circle are refused when they are made.
const maxThrough = 16

// Trace says whose account it was at an instant, and through which resellers.
func (s *Service) Trace(ctx context.Context, account string, at time.Time) (*Traced, error) {
	out := &Traced{Through: []Through{}}
	err := s.DB.View(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		c, err := tx.Customer(ctx, a.Customer)
		if err != nil {
			return err
		}
		out.Account, out.AccountID, out.State, out.Customer, out.Kind = a.Reference, a.ID, a.State, a.Customer, string(c.Kind)
		if a.Decision != "" {
			last, err := tx.Decision(ctx, a.Decision)
			if err != nil {
				return err
			}
			out.Application = last.Application
			if err := decidedBy(ctx, tx, out, at); err != nil {
				return err
			}
		}
		for below := a; below.Parent != "" && len(out.Through) < maxThrough; {
			above, err := tx.Account(ctx, below.Parent)
			if err != nil {
				return err
			}
			out.Through = append(out.Through, Through{above.Reference, above.Customer, below.Relation})
			below = above
		}
		return nil
	})
	return out, err
}

// decidedBy finds the latest decision on the account's application that was made by at.
func decidedBy(ctx context.Context, tx Tx, out *Traced, at time.Time) error {
	for after := ""; ; {
		rows, err := tx.DecisionsOf(ctx, out.Customer, out.Application, muster.Page{After: after, Limit: 100})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.At.After(at) {
				return nil
			}
			out.Decision, out.Outcome, after = r.ID, r.Outcome, r.ID
		}
		if len(rows) < 100 {
			return nil
		}
	}
}

// claimsAt are a subject's claims as they stood at an instant; the zero time is now.
func claimsAt(ctx context.Context, tx Tx, subject string, at time.Time) (*muster.ClaimsRecord, error) {
	c, err := tx.Claims(ctx, subject, 0)
	for err == nil && !at.IsZero() && c.At.After(at) {
		var before *muster.ClaimsRecord
		for revision := c.Revision - 1; revision > 0 && before == nil; revision-- {
			if before, err = tx.Claims(ctx, subject, revision); muster.ErrorCode(err) == muster.CodeNotFound {
				before, err = nil, nil
			}
			if err != nil {
				return nil, err
			}
		}
		if before == nil {
			return nil, muster.Errorf(muster.CodeNotFound, "nothing was on file at that time")
		}
		c = before
	}
	return c, err
}
