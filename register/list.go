package register

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/measure"
	"github.com/muster-cip/muster/vault"
)

// MeasureStanding is a measure as it stands, for staff.
type MeasureStanding struct {
	Measure  string                `json:"measure"`
	Title    string                `json:"title"`
	Kind     muster.MeasureKind    `json:"kind"`
	Action   muster.MeasureAction  `json:"action"`
	Citation string                `json:"citation"`
	Status   string                `json:"status" doc:"legal status of the citation"`
	State    string                `json:"state" enum:"proposed,coming,in_force,lifted,over"`
	Digest   string                `json:"digest"`
	Starts   time.Time             `json:"starts,omitzero"`
	Grace    time.Time             `json:"grace_until,omitzero"`
	Ends     time.Time             `json:"ends,omitzero"`
	Accounts int                   `json:"accounts" doc:"that come under it"`
	Licences int                   `json:"licences"`
	Acts     []muster.MeasureAct   `json:"acts" nullable:"false"`
	Text     *muster.Determination `json:"text,omitempty"`
}

// States of a measure.
const (
	Proposed = "proposed"
	Coming   = "coming"
	InForce  = "in_force"
	Lifted   = "lifted"
	Over     = "over"
)

func stateOf(m *muster.Measure, now time.Time) string {
	switch {
	case m.Enacted.IsZero():
		return Proposed
	case !now.Before(m.Ends) && !m.Lifted.IsZero():
		return Lifted
	case !now.Before(m.Ends):
		return Over
	case now.Before(m.Starts):
		return Coming
	}
	return InForce
}

// List is the register, in the order of ids.
func (r *Register) List(ctx context.Context) (list []*MeasureStanding, err error) {
	err = r.DB.View(ctx, func(tx Tx) error {
		b, err := read(ctx, tx)
		if err != nil {
			return err
		}
		counts, err := tx.CountMatches(ctx)
		if err != nil {
			return err
		}
		for _, m := range b.all {
			s := &MeasureStanding{
				Measure: m.ID, Title: m.Title, Kind: m.Kind, Action: m.Measure, Citation: m.Citation, Status: m.Status, State: stateOf(m, tx.Now()),
				Digest: m.Digest, Starts: m.Starts, Grace: m.GraceUntil, Ends: m.Ends, Accounts: counts[m.ID], Licences: len(m.Licences), Acts: []muster.MeasureAct{},
			}
			for _, a := range b.acts {
				if a.Determination == m.ID {
					s.Acts = append(s.Acts, a)
				}
			}
			list = append(list, s)
		}
		return nil
	})
	return list, err
}

// Show is one measure with its text.
func (r *Register) Show(ctx context.Context, id string) (*MeasureStanding, error) {
	all, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Measure == id {
			b := r.now.Load()
			if m := b.find(id); m != nil {
				s.Text = &m.Determination
			}
			return s, nil
		}
	}
	return nil, muster.Errorf(muster.CodeNotFound, "there is no such measure")
}

// Source is a determination's text as it was entered.
func (r *Register) Source(ctx context.Context, id string) (source []byte, err error) {
	err = r.DB.View(ctx, func(tx Tx) error {
		d, err := tx.Determination(ctx, id)
		if err == nil {
			source = d.Source
		}
		return err
	})
	return source, err
}

// MeasureAccount is an account that comes under a measure.
type MeasureAccount struct {
	Account  string    `json:"account" doc:"the provider's reference"`
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Parent   string    `json:"parent,omitempty"`
	Tag      string    `json:"tag,omitempty"`
	Phase    string    `json:"phase" enum:"coming,in_force,licensed,cleared,doubtful"`
	By       []string  `json:"by" doc:"the facts on which it matches"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Decision string    `json:"decision"`
	Told     string    `json:"told,omitempty" doc:"the phase of which a notice was given"`
}

// Accounts lists the accounts that come under a measure, in the order of their ids.
// On which facts each matches is computed from their facts as they are now, under a
// use with two leaves.
func (r *Register) Accounts(ctx context.Context, by, id string, p muster.Page) (list []*MeasureAccount, err error) {
	m := r.now.Load().find(id)
	if m == nil {
		return nil, muster.Errorf(muster.CodeNotFound, "there is no such measure")
	}
	var rows []muster.FactsRecord
	kept := map[string]muster.MatchRecord{}
	var now time.Time
	if err := r.DB.View(ctx, func(tx Tx) error {
		now = tx.Now()
		matches, err := tx.Matches(ctx, id, p)
		if err != nil {
			return err
		}
		for _, row := range matches {
			kept[row.Account] = row
		}
		rows, err = tx.FactsUnder(ctx, id, p)
		return err
	}); err != nil || len(rows) == 0 {
		return nil, err
	}
	session, err := r.Vault.Use(ctx, vault.Job{Name: "measure.accounts", Purpose: "measures", Scope: "accounts under " + id, Starter: by}, r.Journal)
	if err != nil {
		return nil, err
	}
	opened, err := openAll(ctx, session, rows, nil)
	if end := session.End(context.WithoutCancel(ctx), len(opened)); err == nil {
		err = end
	}
	if err != nil {
		return nil, err
	}
	for i := range opened {
		a, row := opened[i].account, kept[opened[i].account.ID]
		x := &MeasureAccount{
			Account: a.Reference, ID: a.ID, State: a.State, Parent: a.Parent, Tag: a.Tag, Phase: phase(&row, now), By: []string{},
			From: row.From, Until: row.Until, Decision: a.Decision, Told: row.Told,
		}
		if opened[i].facts != nil {
			if match, ok := measure.Match(m, opened[i].facts, a, now); ok {
				x.By = match.By
			}
		}
		list = append(list, x)
	}
	return list, nil
}

// phase is where a match stands now: its decision may be of before.
func phase(x *muster.MatchRecord, now time.Time) string {
	if x.Phase == muster.PhaseComing && !now.Before(x.From) {
		return muster.PhaseInForce
	}
	return x.Phase
}

// MeasureNotice is what a customer is told of a measure on their account.
type MeasureNotice struct {
	Measure  string    `json:"measure"`
	Phase    string    `json:"phase" enum:"coming,in_force,licensed,cleared"`
	Action   string    `json:"action" enum:"prohibit,conditions"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Citation string    `json:"citation"`
	Status   string    `json:"status"`
	Words    string    `json:"words" doc:"the reason, and the way of appeal; fit for the customer"`
	Decision string    `json:"decision" doc:"the account's latest"`
}

// Notices are those of an account, by id or reference.
func (r *Register) Notices(ctx context.Context, account string) (list []MeasureNotice, err error) {
	list = []MeasureNotice{}
	err = r.DB.View(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		rows, err := tx.MatchesOf(ctx, a.ID)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if m := r.now.Load().find(row.Determination); m != nil && row.Phase != muster.PhaseDoubtful {
				x := measure.Kept(m, &row)
				list = append(list, MeasureNotice{x.ID, phase(&row, tx.Now()), string(x.Measure), x.From, x.Until, x.Citation, x.Status, x.Customer, a.Decision})
			}
		}
		return nil
	})
	return list, err
}
