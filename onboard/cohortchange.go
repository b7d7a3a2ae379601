package onboard

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Staff knows when two operators are needed (package staff).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// CohortOrder changes when, and how many a day, the members of a cohort are decided.
type CohortOrder struct {
	Due   time.Time `json:"due,omitzero" doc:"from when on its members are decided; absent: as it is. A later date waits for a second operator, and the share with it"`
	Share int       `json:"share,omitempty" minimum:"0" maximum:"100" doc:"per cent of its members that are decided on one day; absent: as it is"`
	Case  string    `json:"case" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"reference of why; no personal data"`
}

// cohortEntry is the body of a cohort's entry.
type cohortEntry struct {
	What     string    `json:"what"` // changed | proposed | taken_back | agreed
	Case     string    `json:"case"`
	Due      time.Time `json:"due"`
	Share    int       `json:"share"`
	WasDue   time.Time `json:"was_due"`
	WasShare int       `json:"was_share"`
}

// Cohort is one cohort, and how far it is.
func (s *Service) Cohort(ctx context.Context, name string) (x *muster.CohortCount, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		x, err = cohortCount(ctx, tx, name)
		return err
	})
	return x, err
}

func cohortCount(ctx context.Context, tx Tx, name string) (*muster.CohortCount, error) {
	c, err := tx.Cohort(ctx, name)
	if err != nil {
		return nil, err
	}
	x := &muster.CohortCount{Cohort: *c}
	x.Adopted, x.Decided, x.Today, err = tx.CountCohort(ctx, name, day(tx.Now()))
	return x, err
}

// ChangeCohort changes a cohort as it was seen under a version. A later date leaves
// people unidentified for longer: it waits until another operator agrees, and what is
// in force goes on meanwhile (done is false). Whatever waited before is replaced; an
// order of what is in force takes it back. Errors: stale, not_found, invalid.
func (s *Service) ChangeCohort(ctx context.Context, by muster.Principal, name string, version int64, o CohortOrder) (x *muster.CohortCount, done bool, err error) {
	var faults []muster.Fault
	if o.Due.IsZero() && o.Share == 0 {
		faults = append(faults, muster.Fault{Pointer: "/due", Code: "required", Detail: "another date or share is given"})
	}
	if o.Share < 0 || o.Share > 100 {
		faults = append(faults, muster.Fault{Pointer: "/share", Code: "format", Detail: "is 1 to 100 per cent"})
	}
	if !muster.IsReference(o.Case) {
		faults = append(faults, muster.Fault{Pointer: "/case", Code: "format", Detail: "is 1 to 64 letters, digits, dots, underscores and dashes"})
	}
	if faults != nil {
		return nil, false, muster.Invalid(faults...)
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		c, err := s.seenCohort(ctx, tx, name, version)
		if err != nil {
			return err
		}
		change := muster.CohortChange{Due: c.Due, Share: c.Share, Case: o.Case, By: by.Operator, At: tx.Now()}
		if !o.Due.IsZero() {
			change.Due = muster.Instant(o.Due)
		}
		if o.Share != 0 {
			change.Share = o.Share
		}
		what := "changed"
		done = !change.Due.After(c.Due)
		switch same := change.Due.Equal(c.Due) && change.Share == c.Share; {
		case same && c.Change == nil:
			x, err = cohortCount(ctx, tx, name)
			return err
		case same:
			what = "taken_back"
		case !done:
			what = "proposed"
		}
		if done {
			x, err = s.applyChange(ctx, tx, c, by.Operator, what, change)
			return err
		}
		c.Change = &change
		x, err = s.keepCohort(ctx, tx, c, by.Operator, cohortEntry{what, change.Case, change.Due, change.Share, c.Due, c.Share})
		return err
	})
	return x, done, err
}

// AgreeCohort puts into force what another operator proposed. Errors: stale, not_found,
// illegal_move where nothing waits, forbidden where by proposed it.
func (s *Service) AgreeCohort(ctx context.Context, by muster.Principal, name string, version int64) (x *muster.CohortCount, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		c, err := s.seenCohort(ctx, tx, name, version)
		if err != nil {
			return err
		}
		if c.Change == nil {
			return muster.Errorf(muster.CodeIllegalMove, "no change of this cohort waits for a second operator")
		}
		if err := s.Staff.FourEyes(ctx, tx, c.Change.By, by.Operator, c.Change.At); err != nil {
			return err
		}
		x, err = s.applyChange(ctx, tx, c, by.Operator, "agreed", *c.Change)
		return err
	})
	return x, err
}

func (s *Service) seenCohort(ctx context.Context, tx Tx, name string, version int64) (*muster.Cohort, error) {
	c, err := tx.Cohort(ctx, name)
	if err == nil && c.Version != version {
		err = muster.Errorf(muster.CodeStale, "the cohort has changed: read it again")
	}
	return c, err
}

// applyChange puts a change into force. The job of the cohort sleeps until it was due, or
// until tomorrow: where there is more to do before, another one wakes then.
func (s *Service) applyChange(ctx context.Context, tx Tx, c *muster.Cohort, by, what string, change muster.CohortChange) (*muster.CohortCount, error) {
	e := cohortEntry{what, change.Case, change.Due, change.Share, c.Due, c.Share}
	more := change.Due.Before(c.Due) || change.Share > c.Share
	c.Due, c.Share, c.Change = change.Due, change.Share, nil
	if more {
		at := tx.Now()
		if c.Due.After(at) {
			at = c.Due
		}
		if err := tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobCohort, Ref: c.Name, RunAt: at}); err != nil {
			return nil, err
		}
	}
	return s.keepCohort(ctx, tx, c, by, e)
}

func (s *Service) keepCohort(ctx context.Context, tx Tx, c *muster.Cohort, by string, e cohortEntry) (*muster.CohortCount, error) {
	if err := tx.PutCohort(ctx, c); err != nil {
		return nil, err
	}
	if _, err := s.Journal.Enter(ctx, tx, tlog.Import, by, muster.Ref{Kind: "cohort", ID: c.Name}, e); err != nil {
		return nil, err
	}
	return cohortCount(ctx, tx, c.Name)
}
