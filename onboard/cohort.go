package onboard

import (
	"context"
	"maps"
	"time"

	"github.com/muster-cip/muster"
)

// Until a cohort is due, what identity wants of its members is decided and recorded
// where something makes us decide, and enforced on nobody: they were in use before.
// What a list, a measure or a person finds is enforced on everybody, and so is the
// decision that a customer needs nothing more.

// eventCohort is the event of the decision on a member whose cohort is due.
const eventCohort = "cohort"

// presumed reports whether a decision on a customer who was taken over is recorded
// only.
func (f *file) presumed(d *decision, facts *muster.Facts) bool {
	if f.adopted == nil || f.due || inForce(facts) {
		return false
	}
	switch d.Outcome {
	case muster.OutcomeLimit, muster.OutcomeCollect, muster.OutcomeVerify:
		return true
	}
	return false
}

// settled notes that a customer who was taken over is decided like anybody else from
// now on. A case for a person decides nothing yet.
func (f *file) settled(d *decision, facts *muster.Facts, now time.Time) {
	if f.adopted == nil || d.observed || d.Outcome == muster.OutcomeReview && !f.due && !inForce(facts) {
		return
	}
	f.adopted.Decided, f.adopted.Beside = now, !f.due
	f.app.Received = now // terms run from here: before it nobody was asked for anything
}

// firstCounts are the digests by which a customer who was taken over is counted for
// the first time: nothing was, when they came in. fresh are those that the event brought.
func (s *Service) firstCounts(ctx context.Context, tx Tx, f *file, fresh digests) (digests, error) {
	if f.claims == nil {
		session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
		var withheld []string
		var err error
		if f.claims, _, withheld, err = openClaims(ctx, tx, f, session.Open); err != nil || len(withheld) > 0 {
			return fresh, err
		}
	}
	c, err := s.Checker.Application(f.claims, tx.Now())
	if muster.ErrorCode(err) == muster.CodeInvalid {
		return fresh, nil // a table says otherwise than when it came in
	}
	if err != nil {
		return nil, err
	}
	all := s.digestsOf(c)
	maps.Copy(all, fresh)
	return all, nil
}

// cohortPage is how many members are read together.
const cohortPage = 100

// CohortDue decides members of a cohort that is due, at most its share on one day, for
// as long as ctx lets it. Each is a transaction: killed at any instant it goes on
// with the others. A cohort may have several jobs, of files and changes, which all wake at midnight:
// only the one that was made last goes on (a lease is shorter than an hour), or several processes would each decide a share.
func (s *Service) CohortDue(ctx context.Context, job *muster.Job) (SweepState, error) {
	now := s.Clock()
	today := day(now)
	var c *muster.Cohort
	left, later := 0, false
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		if later, err = tx.LaterJob(ctx, muster.JobCohort, job.Ref, job.ID, now.Add(time.Hour)); err != nil || later {
			return err
		}
		if c, err = tx.Cohort(ctx, job.Ref); err != nil {
			return err
		}
		members, _, lately, err := tx.CountCohort(ctx, c.Name, today)
		left = (members*c.Share+99)/100 - lately
		return err
	}); err != nil {
		return SweepState{}, err
	}
	if later {
		return SweepState{Done: true, Code: "another"}, nil
	}
	if wait := c.Due.Sub(now); wait > 0 {
		return SweepState{After: wait, Code: "not_due"}, nil
	}
	if enforce, _ := s.Programme.At(now); len(enforce) == 0 {
		return SweepState{After: time.Hour, Code: "nothing_enforced"}, nil
	}
	for {
		var page []*muster.AdoptedRecord
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			page, err = tx.AdoptedWaiting(ctx, c.Name, muster.Page{Limit: cohortPage})
			return err
		}); err != nil {
			return SweepState{}, err
		}
		if len(page) == 0 {
			return SweepState{Done: true}, nil
		}
		for _, r := range page {
			if left <= 0 {
				return SweepState{After: today.Add(24 * time.Hour).Sub(now), Code: "share_of_the_day"}, nil
			}
			if !timeFor(ctx) {
				return SweepState{Code: "going_on"}, nil
			}
			ours, err := s.reach(ctx, r.Account)
			if err != nil {
				return SweepState{}, err
			}
			if ours {
				left--
			}
		}
	}
}

// reach decides one member of a cohort that is due by the packs in effect, and
// enforces it; ours is false where something else did before.
func (s *Service) reach(ctx context.Context, account string) (ours bool, err error) {
	application := ""
	err = s.DB.View(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		apps, err := tx.ApplicationsOf(ctx, a.Customer)
		for _, x := range apps {
			if x.Account == account {
				application = x.ID
			}
		}
		return err
	})
	if err == nil && application != "" {
		_, err = s.change(ctx, application, func(tx Tx, f *file) (*Answer, error) {
			if ours = f.adopted != nil; !ours {
				return nil, nil // somebody was quicker
			}
			if f.mustBeLive(eventCohort) != nil || len(f.keys) < len(f.subjects) || len(f.subjects) == 0 {
				f.adopted.Decided = tx.Now() // they have left, or are erased: nothing is to be decided
				return nil, tx.PutAdopted(ctx, f.adopted)
			}
			f.due = true
			return s.redecide(ctx, tx, f, eventCohort, nil)
		})
	}
	if code := muster.ErrorCode(err); code != muster.CodeNotFound && code != muster.CodeGone {
		return ours, err
	}
	return true, s.DB.InTx(ctx, func(tx Tx) error { // nothing is left of it
		r, err := tx.Adopted(ctx, account)
		if err != nil {
			return err
		}
		r.Decided = tx.Now()
		return tx.PutAdopted(ctx, r)
	})
}

// Cohorts lists the cohorts and how far each is.
func (s *Service) Cohorts(ctx context.Context) (list []muster.CohortCount, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		cohorts, err := tx.Cohorts(ctx)
		if err != nil {
			return err
		}
		for _, c := range cohorts {
			x, err := cohortCount(ctx, tx, c.Name)
			if err != nil {
				return err
			}
			list = append(list, *x)
		}
		return nil
	})
	return list, err
}

// Adopted says how an account was taken over; nil: it was not.
func (s *Service) Adopted(ctx context.Context, account string) (a *Adopted, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		a, err = adoptedView(ctx, tx, account)
		return err
	})
	return a, err
}

func adoptedView(ctx context.Context, tx Tx, account string) (*Adopted, error) {
	r, err := tx.Adopted(ctx, account)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := tx.Cohort(ctx, r.Cohort)
	if err != nil {
		return nil, err
	}
	return &Adopted{Cohort: r.Cohort, Due: c.Due, Import: r.Import, Decided: r.Decided, Ground: r.Ground}, nil
}
