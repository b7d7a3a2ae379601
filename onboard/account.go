package onboard

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// MoveAccount is the provider's own move of an account: the customer leaves
// (closing), the service has ended (closed). Other moves are decisions.
func (s *Service) MoveAccount(ctx context.Context, by muster.Principal, reference string, version int64, m Move) (*muster.AccountRecord, error) {
	event := map[string]string{muster.AccClosing: EventLeave, muster.AccClosed: EventEnd}[m.To]
	if event == "" {
		return nil, muster.Invalid(muster.Fault{Pointer: "/to", Code: "unknown_move", Detail: "closing or closed; other states come from decisions"})
	}
	if strings.TrimSpace(m.Reason) == "" || len(m.Reason) > 200 {
		return nil, muster.Invalid(muster.Fault{Pointer: "/reason", Code: "length", Detail: "a reason has 1 to 200 bytes; no personal data"})
	}
	var a *muster.AccountRecord
	err := s.DB.InTx(ctx, func(tx Tx) error {
		var err error
		if a, err = tx.Account(ctx, reference); err != nil {
			return err
		}
		if a.Version != version {
			return muster.Errorf(muster.CodeStale, "the account has changed: read it again")
		}
		if err := s.moveAccount(a, event, a.Decision, tx.Now()); err != nil {
			return err
		}
		if err := tx.PutAccount(ctx, a); err != nil {
			return err
		}
		ts, err := s.transitionsOf(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := s.PutProfile(ctx, tx, a, ts); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Resolution, by.Operator, muster.Ref{Kind: "account", ID: a.ID}, moved{event})
		return err
	})
	return a, err
}

// Due looks again at an open application: interim service whose term is over
// ends, needs that were not met in time expire. An answer that still holds is left
// alone, so that a late or repeated job does no harm.
func (s *Service) Due(ctx context.Context, id string) error {
	_, err := s.change(ctx, id, func(tx Tx, f *file) (*Answer, error) {
		if !f.open() {
			return nil, nil
		}
		r, err := tx.Decision(ctx, f.app.Decision)
		if err != nil {
			return nil, err
		}
		d, err := s.fill(ctx, r)
		if err != nil {
			return nil, err
		}
		now := tx.Now()
		expires := s.expiry(now, f.lastActivity())
		switch {
		case f.app.State == muster.AppNeeds && !f.app.Shadow && !expires.IsZero() && !now.Before(expires):
			return nil, s.ended(ctx, tx, f, muster.Principal{}, EventExpire)
		case d.Until.IsZero() || now.Before(d.Until):
			return nil, s.lookAgain(ctx, tx, f, d.Until)
		}
		return s.redecide(ctx, tx, f, "due", nil)
	})
	return err
}

// lastActivity is when somebody last did something for the application; deciding
// anew because time passed is not activity.
func (f *file) lastActivity() time.Time {
	last := f.app.Received
	for _, e := range f.evidence {
		if e.At.After(last) {
			last = e.At
		}
	}
	if f.claimsAt.After(last) {
		last = f.claimsAt
	}
	return last
}

// expiry is when an application without activity since then expires: after the
// longest term of the packs in effect, in UTC days. Zero: no pack sets a term.
func (s *Service) expiry(now, since time.Time) (at time.Time) {
	enforce, _ := s.Programme.At(now)
	for _, p := range enforce {
		term, err := policy.ParsePeriod(p.Document().Unverified.After)
		if err != nil { // none set: a pack that is compiled has no broken one
			continue
		}
		if t := term.End(since, time.UTC); t.After(at) {
			at = t
		}
	}
	return at
}

// lookAgain enqueues the next instant at which time alone changes something for
// an open application: until (zero: none) or its expiry, whichever is first.
func (s *Service) lookAgain(ctx context.Context, tx Tx, f *file, until time.Time) error {
	at := until
	if f.app.State == muster.AppNeeds && !f.app.Shadow { // of what is not enforced nothing runs out
		if e := s.expiry(tx.Now(), f.lastActivity()); !e.IsZero() && (at.IsZero() || e.Before(at)) {
			at = e
		}
	}
	if at.IsZero() || !f.open() {
		return nil
	}
	return tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobDue, Ref: f.app.ID, RunAt: at})
}
