package onboard

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// Measures says which special measures an account comes under (package register).
type Measures interface {
	// Any reports whether any measure is or was enacted: otherwise nothing is asked or written.
	Any() bool
	// Of are the measures that an account comes under at an instant, coming ones too.
	Of(f *muster.Facts, a *muster.AccountRecord, at time.Time) []muster.AccountMeasure
	// Rows are them for the store; at is when the account was decided under them.
	Rows(a *muster.AccountRecord, under []muster.AccountMeasure, at time.Time) []muster.MatchRecord
	// Transitions are what the gate is told of rows.
	Transitions(a *muster.AccountRecord, rows []muster.MatchRecord) []muster.Transition
}

// Matches are the accounts that come under special measures.
type Matches interface {
	MatchesOf(ctx context.Context, account string) ([]muster.MatchRecord, error)
	PutMatches(ctx context.Context, account string, rows ...muster.MatchRecord) error // replaces them
}

// EventMeasure is the event of a decision because a special measure begins, ends or changes.
const EventMeasure = "measure"

// under completes facts with the special measures that match, and keeps what each
// account comes under.
func (s *Service) under(d *decision, f *file, facts *muster.Facts, now time.Time) {
	facts.Measures = nil
	if s.Measures == nil || !s.Measures.Any() {
		return
	}
	d.under = map[string][]muster.AccountMeasure{}
	for _, a := range f.accounts {
		list := s.Measures.Of(facts, a, now)
		d.under[a.ID] = list
		if a == f.account {
			for _, m := range list {
				facts.Measures = append(facts.Measures, m.Fact)
			}
		}
	}
}

// inForce reports whether a measure changes what would be decided without it.
func inForce(facts *muster.Facts) bool {
	return slices.ContainsFunc(facts.Measures, func(m muster.MeasureFact) bool { return m.Phase == muster.PhaseInForce })
}

// beneath is what would be decided without special measures. The gate composes the
// two by their instants, so that the end of a measure needs nobody. It moves each
// account's state beneath; one that comes out from under a measure goes on from there.
func (s *Service) beneath(d *decision, f *file, facts *muster.Facts, enforce []*policy.Pack) error {
	if !inForce(facts) || d.observed {
		for _, a := range f.accounts {
			if a.Beneath != "" {
				a.State, a.Beneath = a.Beneath, ""
			}
		}
		return nil
	}
	bare := *facts
	bare.Measures = nil
	if f.account.Beneath != "" {
		bare.Account.State = f.account.Beneath
	}
	without := policy.Decide(enforce, &bare)
	for _, a := range f.accounts {
		was := a.Beneath
		if was == "" {
			was = a.State
		}
		to, err := s.states.moveAccount(was, accountEvent(&without, &bare))
		if err != nil {
			return err
		}
		a.Beneath = to
	}
	without.ID = d.ID
	d.without = &without
	return nil
}

// over reports whether an account is ending or has ended, measures or not.
func over(state string) bool { return state == muster.AccClosing || state == muster.AccClosed }

// keep writes what the accounts come under by this decision, and has the customer
// told of it.
func (s *Service) keep(ctx context.Context, tx Tx, f *file, d *decision) error {
	if d.under == nil {
		return nil
	}
	for _, a := range f.accounts {
		list := d.under[a.ID]
		if over(a.State) {
			list = nil
		}
		if len(list) == 0 && d.facts.Event == eventReceived {
			continue
		}
		rows := s.Measures.Rows(a, list, d.At)
		if err := tx.PutMatches(ctx, a.ID, rows...); err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobMeasureNotice, Ref: a.ID, RunAt: tx.Now()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// transitions of an account by this decision.
func (d *decision) transitions(a *muster.AccountRecord) (list []muster.Transition) {
	if over(a.State) {
		return nil
	}
	for _, m := range d.under[a.ID] {
		list = append(list, m.Transitions...)
	}
	return list
}

// gated is an account and its decision as the gate composes them with transitions:
// without what special measures did to them.
func (d *decision) gated(a *muster.AccountRecord) (*muster.AccountRecord, *muster.Decision) {
	if d.without == nil {
		return a, &d.Decision
	}
	return bare(a), d.without
}

// transitionsOf reads what an account comes under, as it was kept last.
func (s *Service) transitionsOf(ctx context.Context, tx Tx, a *muster.AccountRecord) ([]muster.Transition, error) {
	if s.Measures == nil || !s.Measures.Any() {
		return nil, nil
	}
	rows, err := tx.MatchesOf(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	return s.Measures.Transitions(a, rows), nil
}

// Measured decides an account anew because a special measure begins, ends or
// changes for it. One that has ended, or cannot be read any more, is left alone:
// CodeGone.
func (s *Service) Measured(ctx context.Context, account string) error {
	var application string
	err := s.DB.View(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		if over(a.State) {
			return muster.Errorf(muster.CodeGone, "this account has ended")
		}
		d, err := tx.Decision(ctx, a.Decision)
		application = d.Application
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.change(ctx, application, func(tx Tx, f *file) (*Answer, error) {
		if len(f.keys) < len(f.subjects) {
			return nil, muster.Errorf(muster.CodeGone, "somebody on this file is erased")
		}
		return s.redecide(ctx, tx, f, EventMeasure, nil)
	})
	return err
}

// Appeal opens a case: a customer asks a person to look at a special measure on an
// account. What holds goes on holding meanwhile; a finding that clears it ends it
// for this customer.
func (s *Service) Appeal(ctx context.Context, by muster.Principal, account, measure string) (r *muster.ReviewRecord, err error) {
	rule := policy.RuleOfMeasure + measure
	err = s.DB.InTx(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		d, err := tx.Decision(ctx, a.Decision)
		if err != nil {
			return err
		}
		f, err := s.load(ctx, tx, d.Application)
		if err != nil {
			return err
		}
		if err := f.mustBeLive("appeal"); err != nil {
			return err
		}
		rows, err := tx.MatchesOf(ctx, a.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(x muster.MatchRecord) bool { return x.Determination == measure }) {
			return muster.Errorf(muster.CodeNotFound, "this account does not come under such a measure")
		}
		r, err = tx.OpenReview(ctx, f.app.ID)
		switch {
		case muster.ErrorCode(err) == muster.CodeNotFound:
			r = &muster.ReviewRecord{
				ID: muster.NewID(muster.PrefixReview, tx.Now()), Application: f.app.ID, Customer: f.app.Customer, Decision: a.Decision,
				State: muster.ReviewOpen, Opened: tx.Now(), Rules: []string{rule},
			}
		case err != nil:
			return err
		case slices.Contains(r.Rules, rule):
			return nil // it waits already
		default:
			r.Rules = append(r.Rules, rule)
		}
		if err := tx.PutReview(ctx, r); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Measure, by.Operator, muster.Ref{Kind: "account", ID: a.ID}, struct {
			What    string    `json:"what"`
			Measure string    `json:"measure"`
			Review  string    `json:"review"`
			Answer  time.Time `json:"answer,omitzero"` // by when, as the packs in effect say
		}{"appeal", measure, r.ID, s.answerBy(tx.Now())})
		return err
	})
	return r, err
}

// answerBy is by when an appeal against a measure is to be answered: the soonest that
// the packs in effect say; zero: none says.
func (s *Service) answerBy(now time.Time) (at time.Time) {
	enforce, _ := s.Programme.At(now)
	for _, p := range enforce {
		term, err := policy.ParsePeriod(p.Document().Measures.Appeal)
		if err != nil {
			continue // none stated: a pack that is compiled has no broken one
		}
		if t := term.End(now, time.UTC); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// appealed reports whether a case waits for a person on a measure that still holds:
// no later decision sets it aside.
func appealed(r *muster.ReviewRecord, facts *muster.Facts) bool {
	return slices.ContainsFunc(facts.Measures, func(m muster.MeasureFact) bool {
		return m.Phase != muster.PhaseDoubtful && m.Phase != muster.PhaseCleared && slices.Contains(r.Rules, policy.RuleOfMeasure+m.ID)
	})
}
