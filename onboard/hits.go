package onboard

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// HitFinding is a person's finding on a hit, agreed on by as many as it takes.
type HitFinding struct {
	State  muster.HitState // true | false
	Reason string          // sealed
	Report time.Time       // by when a true one is to be reported; zero: no clock
	Keep   time.Time       // until when its records stay
}

// eventHit is the event of a decision after a finding on a hit.
const eventHit = "hit"

// ResolveHit writes a person's finding on a hit and decides anew, all in tx. A true
// one suspends, by the pack; the account moves through the table like any other.
func (s *Service) ResolveHit(ctx context.Context, tx Tx, r *muster.HitRecord, by muster.Principal, x HitFinding) error {
	f, err := s.load(ctx, tx, r.Application)
	if err != nil {
		return err
	}
	facts, err := s.lastFacts(ctx, tx, f)
	if err != nil {
		return err
	}
	enforce, observe, err := s.packs(facts, tx.Now())
	if err != nil {
		return err
	}
	if err := s.screen(ctx, tx, f, facts, slices.Concat(enforce, observe), true); err != nil {
		return err
	}
	i := slices.IndexFunc(f.hits, func(h *hit) bool { return h.ID == r.ID })
	if i < 0 {
		return muster.Errorf(muster.CodeGone, "the person of this hit is erased")
	}
	h := f.hits[i]
	h.HitRecord, h.dirty, h.moved = r, true, true
	first := r.Proposer
	r.State, r.Again, r.Operator, r.Changed, r.Due, r.Keep = x.State, "", by.Operator, tx.Now(), x.Report, x.Keep
	r.Proposal, r.Proposer, r.Proposed, r.Reported = "", "", time.Time{}, time.Time{}
	r.Findings++
	h.finding = &found{Reason: x.Reason}
	if f.watch != nil {
		h.finding.Entry = material(f.watch.Entry(h.List, h.entry))
	}
	who := h.Subject
	if h.Of == muster.HitOfPayer {
		who = h.Of
	}
	h.finding.Query = f.compared[who]
	if r.Finding, err = s.sealHit(f, r, "finding", h.finding); err != nil {
		return err
	}
	if _, err := s.Journal.Enter(ctx, tx, tlog.Resolution, by.Operator, muster.Ref{Kind: "hit", ID: r.ID}, struct {
		Finding muster.HitState `json:"finding"`
		List    string          `json:"list"`
		First   string          `json:"first,omitempty"` // the operator who proposed, where it took two
	}{x.State, r.List, first}); err != nil {
		return err
	}
	if !r.Due.IsZero() {
		if err := tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobHitDue, Ref: r.ID, RunAt: r.Due}); err != nil {
			return err
		}
	}
	if f.mustBeLive(eventHit) != nil { // it came to nothing: the finding is kept, and there is nothing to decide
		return saveHits(ctx, tx, f)
	}
	_, err = s.redecide(ctx, tx, f, eventHit, nil)
	return err
}

// eventScreened is the event of a decision that a change of a list caused.
const eventScreened = "screened"

// Rescreen compares everybody on a customer's file with the lists in effect. Where
// a hit comes of it, or one no longer holds, the packs decide anew; otherwise
// nothing is written.
func (s *Service) Rescreen(ctx context.Context, customer string) (decided bool, err error) {
	var app string
	if err := s.DB.View(ctx, func(tx Tx) error {
		apps, err := tx.ApplicationsOf(ctx, customer)
		if err != nil || len(apps) == 0 {
			return err
		}
		app = apps[len(apps)-1].ID
		return nil
	}); err != nil || app == "" {
		return false, err
	}
	_, err = s.change(ctx, app, func(tx Tx, f *file) (*Answer, error) {
		decided = false
		if f.mustBeLive(eventScreened) != nil || len(f.subjects) == 0 || f.keys[f.subjects[0].ID].ID() == "" {
			return nil, nil
		}
		facts, err := s.lastFacts(ctx, tx, f)
		if err != nil {
			return nil, err
		}
		enforce, observe, err := s.packs(facts, tx.Now())
		if err != nil {
			return nil, err
		}
		packs := slices.Concat(enforce, observe)
		if err := s.screen(ctx, tx, f, facts, packs, true); err != nil {
			return nil, err
		}
		if err := s.judgeHits(f, facts, packs, tx.Now()); err != nil {
			return nil, err
		}
		if !f.moved() {
			return nil, saveHits(ctx, tx, f) // a score may have changed
		}
		decided = true
		return s.redecide(ctx, tx, f, eventScreened, nil)
	})
	return decided && err == nil, err
}
