package register

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/measure"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// MeasureProposal asks for one act on the register.
type MeasureProposal struct {
	Kind    string          `json:"kind" enum:"enact,renew,lift,license"`
	Source  string          `json:"source,omitempty" doc:"of enact: the determination, YAML"`
	Measure string          `json:"measure,omitempty" doc:"of the others: id of the determination"`
	Until   time.Time       `json:"until,omitzero" doc:"of renew: the new end; absent: the longest that the packs in effect allow"`
	At      time.Time       `json:"at,omitzero" doc:"of lift: from when on; absent: as soon as it is approved"`
	Licence *muster.Licence `json:"licence,omitempty" doc:"of license"`
}

// Propose enters an act. Another operator completes it with Approve.
func (r *Register) Propose(ctx context.Context, by string, p MeasureProposal) (a *muster.MeasureAct, err error) {
	var d *muster.Determination
	if p.Kind == muster.ActEnact {
		if d, err = measure.Parse([]byte(p.Source)); err != nil {
			return nil, err
		}
	}
	err = r.DB.InTx(ctx, func(tx Tx) error {
		a = &muster.MeasureAct{ID: muster.NewID(muster.PrefixMeasureAct, tx.Now()), Kind: p.Kind, Determination: p.Measure, Proposer: by, Made: tx.Now()}
		switch p.Kind {
		case muster.ActEnact:
			err = r.proposeEnact(ctx, tx, a, d, []byte(p.Source))
		case muster.ActRenew, muster.ActLift, muster.ActLicense:
			err = r.proposeChange(ctx, tx, a, p)
		default:
			err = muster.Invalid(muster.Fault{Pointer: "/kind", Code: "unknown_value", Detail: "is enact, renew, lift or license"})
		}
		if err != nil {
			return err
		}
		if err := tx.PutMeasureAct(ctx, a); err != nil {
			return err
		}
		return r.enter(ctx, tx, "proposed", by, a)
	})
	return a, err
}

func (r *Register) proposeEnact(ctx context.Context, tx Tx, a *muster.MeasureAct, d *muster.Determination, source []byte) error {
	starts, ends, err := r.terms(d, tx.Now())
	if err != nil {
		return err
	}
	if !ends.After(tx.Now()) {
		return muster.Invalid(muster.Fault{Pointer: "/until", Code: "in_past", Detail: "this measure would be over already"})
	}
	a.Determination, a.From, a.Until = d.ID, starts, ends
	row := &muster.DeterminationRecord{ID: d.ID, Digest: measure.Digest(source), Source: source, Made: tx.Now()}
	switch old, err := tx.Determination(ctx, d.ID); {
	case muster.ErrorCode(err) == muster.CodeNotFound:
		return tx.AddDetermination(ctx, row)
	case err != nil:
		return err
	case old.Digest != row.Digest:
		return &muster.Error{
			Code: muster.CodeConflict, Message: "this id names another determination, which stays as it was",
			Hint: "give this text an id of its own", Faults: []muster.Fault{{Pointer: "/id", Code: "taken", Detail: "same id, other text"}},
		}
	}
	acts, err := tx.MeasureActs(ctx)
	if err != nil {
		return err
	}
	for _, x := range acts {
		if x.Determination == d.ID && x.Kind == muster.ActEnact {
			if x.Approved.IsZero() {
				return &muster.Error{Code: muster.CodeConflict, Message: "this determination waits for another operator already", Hint: "muster measure approve " + x.ID}
			}
			return muster.Errorf(muster.CodeConflict, "this determination is enacted already")
		}
	}
	return nil
}

// terms are beginning and end of a determination under the packs in effect.
func (r *Register) terms(d *muster.Determination, now time.Time) (starts, ends time.Time, err error) {
	lead, longest := r.bounds(now)
	if starts = d.Effective; starts.IsZero() {
		starts = lead.After(d.Published)
	}
	ends = d.Until
	if ends.IsZero() {
		if longest.IsZero() {
			return starts, ends, muster.Invalid(muster.Fault{Pointer: "/until", Code: "required", Detail: "is needed: no pack in effect says how long a measure may last"})
		}
		ends = longest.After(starts)
	}
	return starts, ends, within("/until", starts, ends, longest)
}

// within refuses an end that is not after its beginning, or too far from it.
func within(pointer string, from, until time.Time, longest policy.Period) error {
	switch {
	case !until.After(from):
		return muster.Invalid(muster.Fault{Pointer: pointer, Code: "order", Detail: "is not after the beginning"})
	case !longest.IsZero() && until.After(longest.After(from)):
		return &muster.Error{
			Code: muster.CodeInvalid, Message: "some fields are at fault", Hint: "the latest end is " + longest.After(from).Format(time.RFC3339),
			Faults: []muster.Fault{{Pointer: pointer, Code: "too_late", Detail: fmt.Sprintf("is more than %s from the beginning: a measure lasts no longer unless it is renewed", longest)}},
		}
	}
	return nil
}

func (r *Register) bounds(now time.Time) (lead, longest policy.Period) {
	enforce, observe := r.Programme.At(now)
	return policy.MeasureBounds(append(enforce, observe...))
}

// standing is an enacted determination that is not over, as it stands in tx.
func standing(ctx context.Context, tx Tx, id string) (*muster.Measure, error) {
	b, err := read(ctx, tx)
	if err != nil {
		return nil, err
	}
	m := b.find(id)
	switch {
	case m == nil:
		return nil, muster.Errorf(muster.CodeNotFound, "there is no such measure")
	case m.Enacted.IsZero():
		return nil, muster.Errorf(muster.CodeIllegalMove, "this measure is not enacted yet")
	case !tx.Now().Before(m.Ends):
		return nil, &muster.Error{Code: muster.CodeIllegalMove, Message: "this measure is over", Hint: "enact a determination of a new id"}
	}
	return m, nil
}

func (r *Register) proposeChange(ctx context.Context, tx Tx, a *muster.MeasureAct, p MeasureProposal) error {
	m, err := standing(ctx, tx, p.Measure)
	if err != nil {
		return err
	}
	if (p.Licence != nil) != (p.Kind == muster.ActLicense) {
		return muster.Invalid(muster.Fault{Pointer: "/licence", Code: "misplaced", Detail: "is of license, and needed there"})
	}
	switch p.Kind {
	case muster.ActRenew:
		_, longest := r.bounds(tx.Now())
		a.Until = muster.Instant(p.Until)
		if p.Until.IsZero() {
			if longest.IsZero() {
				return muster.Invalid(muster.Fault{Pointer: "/until", Code: "required", Detail: "is needed: no pack in effect says how long a measure may last"})
			}
			a.Until = longest.After(m.Ends)
		}
		return within("/until", m.Ends, a.Until, longest)
	case muster.ActLift:
		if a.At = muster.Instant(p.At); p.At.IsZero() {
			a.At = time.Time{}
		}
	case muster.ActLicense:
		if faults := measure.CheckLicence(p.Licence); faults != nil {
			for i := range faults {
				faults[i].Pointer = "/licence" + faults[i].Pointer
			}
			return muster.Invalid(faults...)
		}
		if p.Licence.Account != "" {
			if _, err := tx.Account(ctx, p.Licence.Account); err != nil {
				return muster.Invalid(muster.Fault{Pointer: "/licence/account", Code: "unknown_account", Detail: "no account of that reference"})
			}
		}
		a.Licence = p.Licence
	}
	return nil
}

// Approve completes an act. It binds Lead from now: from then on whoever decides an
// account knows it. A job brings those up to it that were there before.
func (r *Register) Approve(ctx context.Context, by, id string) (a *muster.MeasureAct, err error) {
	err = r.DB.InTx(ctx, func(tx Tx) error {
		if a, err = tx.MeasureAct(ctx, id); err != nil {
			return err
		}
		if !a.Approved.IsZero() {
			return muster.Errorf(muster.CodeConflict, "this act is approved already")
		}
		if err := r.Staff.FourEyes(ctx, tx, a.Proposer, by, a.Made); err != nil {
			return err
		}
		a.Approver, a.Approved, a.Binds = by, tx.Now(), tx.Now().Add(Lead)
		switch a.Kind {
		case muster.ActEnact:
			if !a.Until.After(a.Binds) {
				return muster.Errorf(muster.CodeIllegalMove, "this measure would be over already")
			}
			if err := tx.SetHigh(ctx, a.Determination, a.Binds); err != nil {
				return err
			}
		default:
			if _, err := standing(ctx, tx, a.Determination); err != nil {
				return err
			}
			if a.Kind == muster.ActLift && a.At.Before(a.Binds) {
				a.At = a.Binds
			}
		}
		if err := tx.PutMeasureAct(ctx, a); err != nil {
			return err
		}
		if err := r.enter(ctx, tx, "approved", by, a); err != nil {
			return err
		}
		return tx.Enqueue(ctx, &muster.Job{ID: a.ID, Kind: muster.JobMeasure, Ref: a.ID, RunAt: a.Binds.Add(time.Second)})
	})
	if err != nil {
		return nil, err
	}
	return a, r.Load(ctx)
}

// enter writes an act's leaf. A licence is named by its reference: whom it is for
// stands in the register, and may go from there.
func (r *Register) enter(ctx context.Context, tx Tx, what, by string, a *muster.MeasureAct) error {
	body := struct {
		What    string    `json:"what"`
		Act     string    `json:"act"`
		Kind    string    `json:"kind"`
		From    time.Time `json:"from,omitzero"`
		Until   time.Time `json:"until,omitzero"`
		At      time.Time `json:"at,omitzero"`
		Binds   time.Time `json:"binds,omitzero"`
		Digest  string    `json:"digest,omitempty"`
		Licence string    `json:"licence,omitempty"`
	}{What: what, Act: a.ID, Kind: a.Kind, From: a.From, Until: a.Until, At: a.At, Binds: a.Binds}
	if a.Licence != nil {
		body.Licence = a.Licence.Reference
	}
	d, err := tx.Determination(ctx, a.Determination)
	if err != nil {
		return err
	}
	body.Digest = d.Digest
	_, err = r.Journal.Enter(ctx, tx, tlog.Measure, by, muster.Ref{Kind: "measure", ID: a.Determination}, body)
	return err
}
