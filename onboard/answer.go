package onboard

import (
	"context"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
)

// answer is what stands for an application now.
func (s *Service) answer(ctx context.Context, tx Tx, app *muster.ApplicationRecord) (*Answer, error) {
	accounts, err := tx.AccountsOf(ctx, app.Customer)
	if err != nil {
		return nil, err
	}
	d, err := tx.Decision(ctx, app.Decision)
	if err != nil {
		return nil, err
	}
	full, err := s.fill(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if a.ID == app.Account {
			return s.answerWith(app, a, full), nil
		}
	}
	return nil, muster.Errorf(muster.CodeInternal, "application %s has no account", app.ID)
}

func (s *Service) answerWith(app *muster.ApplicationRecord, account *muster.AccountRecord, d *muster.Decision) *Answer {
	a := &Answer{
		Application: app.ID, Reference: app.Reference, State: app.State, Account: account.Reference, AccountState: account.State,
		Revision: app.Revision, Version: app.Version, Decision: forProvider(d), Observe: app.Shadow,
	}
	switch app.State {
	case muster.AppWithdrawn, muster.AppExpired, muster.AppRefused:
		a.Decision.Needs, a.Decision.Limits, a.Decision.Interim = nil, muster.Limits{}, false // nothing is asked of anybody any more
	}
	if len(a.Decision.Needs) > 0 && s.CustomerURL != "" {
		a.Next = strings.ReplaceAll(s.CustomerURL, "{application}", app.ID)
	}
	return a
}

// forProvider leaves out what only the explained decision shows: a reason with a
// hidden ground reads like a random check.
func forProvider(d *muster.Decision) *muster.Decision {
	out := *d
	out.Reasons = make([]muster.Reason, len(d.Reasons))
	for i, r := range d.Reasons {
		if r.Hidden {
			r.Rule, r.Citation, r.Status, r.Operator, r.Subjects, r.Hidden = r.Code, "", "", "", nil, false
		}
		out.Reasons[i] = r
	}
	out.Observed = nil
	return &out
}

// fill restores the words that a stored decision leaves to its packs.
func (s *Service) fill(ctx context.Context, r *muster.DecisionRecord) (*muster.Decision, error) {
	d, err := journal.Decided(r)
	if err != nil {
		return nil, err
	}
	var packs []*policy.Pack
	for _, ref := range d.Packs {
		p, err := s.Programme.Pack(ctx, ref.Digest)
		if err != nil {
			return nil, err
		}
		packs = append(packs, p)
	}
	full := policy.Fill(d, packs)
	return &full, nil
}

// Explain is a decision with every rule that held, in full.
func (s *Service) Explain(ctx context.Context, id string) (d *muster.Decision, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		r, err := tx.Decision(ctx, id)
		if err != nil {
			return err
		}
		d, err = s.fill(ctx, r)
		return err
	})
	return d, err
}

// View is an application as it may be seen without a purpose.
func (s *Service) View(ctx context.Context, id string) (v *View, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		app, err := tx.Application(ctx, id)
		if err != nil {
			return err
		}
		a, err := s.answer(ctx, tx, app)
		if err != nil {
			return err
		}
		v = &View{Answer: *a, Customer: app.Customer, Received: app.Received, Updated: app.Updated}
		if r, err := tx.OpenReview(ctx, app.ID); err == nil {
			v.Review = r.ID
		} else if muster.ErrorCode(err) != muster.CodeNotFound {
			return err
		}
		if v.Adopted, err = adoptedView(ctx, tx, app.Account); err != nil {
			return err
		}
		subjects, err := tx.Subjects(ctx, app.Customer)
		if err != nil {
			return err
		}
		evidence, err := tx.EvidenceOf(ctx, app.Customer)
		if err != nil {
			return err
		}
		for _, r := range subjects {
			sv := SubjectView{ID: r.ID, Role: r.Role, Pointer: r.Pointer, Revision: r.Revision, Erased: !r.Erased.IsZero(), Evidence: []muster.Evidence{}}
			sv.Foreign = a.Decision.Foreign[r.ID]
			for _, e := range evidence {
				if e.Subject == r.ID {
					sv.Evidence = append(sv.Evidence, e.Evidence)
				}
			}
			v.Subjects = append(v.Subjects, sv)
		}
		return nil
	})
	return v, err
}
