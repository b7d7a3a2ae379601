package review

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// HitFinding is a person's finding on a hit.
type HitFinding struct {
	Finding muster.HitState `json:"finding" enum:"true,false" doc:"true: it is them; false: it is somebody else"`
	Reason  string          `json:"reason" doc:"why, for the record; sealed"`
}

// HitReport says that a true hit was reported.
type HitReport struct {
	Case string `json:"case" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"the authority's or your own reference of the report; no personal data"`
}

// ResolveHit takes a finding on a hit. done is false while it waits for a second
// operator. A hit that was resolved may be resolved otherwise: an appeal, or news.
func (s *Service) ResolveHit(ctx context.Context, by muster.Principal, id string, version int64, f HitFinding) (r *muster.HitRecord, done bool, err error) {
	if faults := checkHit(f); faults != nil {
		return nil, false, muster.Invalid(faults...)
	}
	err = s.hit(ctx, id, version, func(tx Tx, x *muster.HitRecord) error {
		r = x
		if r.State == muster.HitMoot || r.State == f.Finding {
			return muster.Errorf(muster.CodeIllegalMove, "this hit is %s", r.State)
		}
		enforce, observe := s.Programme.At(tx.Now())
		duties := policy.Duties(slices.Concat(enforce, observe), r.List, tx.Now())
		if done, err = s.hitAgreed(ctx, tx, r, by, f, duties); err != nil {
			return err
		}
		if !done {
			return tx.PutHit(ctx, r)
		}
		out := HitOutcome{State: f.Finding, Reason: f.Reason}
		if f.Finding == muster.HitTrue {
			out.Report, out.Keep = duties.Report, duties.Keep
		}
		return s.Finder.ResolveHit(ctx, tx, r, by, out)
	})
	return r, done, err
}

// HitOutcome is a finding that as many as it takes have agreed on.
type HitOutcome struct {
	State        muster.HitState
	Reason       string
	Report, Keep time.Time
}

// hitAgreed says whether the finding stands. A different one is a new proposal.
func (s *Service) hitAgreed(ctx context.Context, tx Tx, r *muster.HitRecord, by muster.Principal, f HitFinding, d policy.HitDuties) (bool, error) {
	takes := d.Clear
	if f.Finding == muster.HitTrue {
		takes = d.Confirm
	}
	if r.State == muster.HitTrue { // to take back what two found takes two
		takes = max(takes, d.Confirm)
	}
	if takes < 2 {
		r.Proposer = ""
		return true, nil
	}
	if r.Proposal == f.Finding {
		return true, s.Staff.FourEyes(ctx, tx, r.Proposer, by.Operator, r.Proposed)
	}
	r.Proposal, r.Proposer, r.Proposed = f.Finding, by.Operator, tx.Now()
	return false, nil
}

// ReportHit records that a true hit was reported, which stops its clock.
func (s *Service) ReportHit(ctx context.Context, by muster.Principal, id string, version int64, x HitReport) (r *muster.HitRecord, err error) {
	if !muster.IsReference(x.Case) {
		return nil, muster.Invalid(muster.Fault{Pointer: "/case", Code: "required", Detail: "a report has a reference: letters, digits, dots, dashes and underscores"})
	}
	err = s.hit(ctx, id, version, func(tx Tx, h *muster.HitRecord) error {
		r = h
		if r.State != muster.HitTrue || !r.Reported.IsZero() {
			return muster.Errorf(muster.CodeIllegalMove, "only a hit that is true, and not reported yet, is reported")
		}
		r.Reported = tx.Now()
		if err := tx.PutHit(ctx, r); err != nil {
			return err
		}
		return s.Finder.Enter(ctx, tx, tlog.Resolution, by, muster.Ref{Kind: "hit", ID: r.ID}, struct {
			Event string `json:"event"`
			Case  string `json:"case"`
		}{"reported", x.Case})
	})
	return r, err
}

// hit runs fn on a hit of that version.
func (s *Service) hit(ctx context.Context, id string, version int64, fn func(Tx, *muster.HitRecord) error) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		r, err := tx.Hit(ctx, id)
		if err != nil {
			return err
		}
		if r.Version != version {
			return muster.Errorf(muster.CodeStale, "the hit has changed: read it again")
		}
		return fn(tx, r)
	})
}

func checkHit(f HitFinding) (faults []muster.Fault) {
	if f.Finding != muster.HitTrue && f.Finding != muster.HitFalse {
		faults = append(faults, muster.Fault{Pointer: "/finding", Code: "unknown_finding", Detail: "true or false"})
	}
	if n := len(strings.TrimSpace(f.Reason)); n == 0 || n > muster.MaxTextRunes {
		faults = append(faults, muster.Fault{Pointer: "/reason", Code: "length", Detail: "a reason has 1 to 2000 bytes"})
	}
	return faults
}
