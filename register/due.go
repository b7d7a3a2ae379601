package register

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Batch is how many accounts one call of Due decides.
const Batch = 256

// EventNotice tells listeners that an account comes under a special measure, or
// that it is in force now: the customer is to be told. What they are told is at
// GET /v1/accounts/{account}/measures.
const EventNotice = "measure.notice"

// Waiting reports whether any account's time has come.
func (r *Register) Waiting(ctx context.Context) (waits bool, err error) {
	if !r.Any() {
		return false, nil
	}
	err = r.DB.View(ctx, func(tx Tx) error {
		list, err := tx.DueMatches(ctx, 1)
		waits = len(list) > 0
		return err
	})
	return waits, err
}

// Due decides accounts for which a measure began, ended or changed, so that the
// decision and the notice are on the record. The gate does not wait for it. more:
// there may be others. It may be called again at any time: an account that is
// decided is due at its next instant.
func (r *Register) Due(ctx context.Context) (more bool, err error) {
	if err := r.Load(ctx); err != nil {
		return false, err
	}
	var list []string
	if err := r.DB.InTx(ctx, func(tx Tx) (err error) {
		if list, err = tx.DueMatches(ctx, Batch); err != nil || len(list) == 0 {
			return err
		}
		// From now on a clock that goes back behind this is not believed.
		return tx.RaiseHigh(ctx, tx.Now())
	}); err != nil || len(list) == 0 {
		return false, err
	}
	if err := r.Load(ctx); err != nil {
		return false, err
	}
	seen := map[string]bool{}
	failed := make([]error, len(list))
	var group errgroup.Group
	group.SetLimit(16)
	for i, account := range list {
		if seen[account] {
			continue
		}
		seen[account] = true
		group.Go(func() error {
			failed[i] = r.decide(ctx, account)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	return len(list) == Batch, errors.Join(failed...)
}

// decide decides one account; one that cannot be decided any more is taken off the list.
func (r *Register) decide(ctx context.Context, account string) error {
	err := r.Decider.Measured(ctx, account)
	switch muster.ErrorCode(err) {
	case "":
		return nil
	case muster.CodeGone, muster.CodeNotFound, muster.CodeIllegalMove, muster.CodeInvalid:
		return r.DB.InTx(ctx, func(tx Tx) error { return tx.Undue(ctx, account) })
	}
	return err
}

// Notice writes on the record what an account comes under, and tells listeners,
// once for each measure and phase.
func (r *Register) Notice(ctx context.Context, account string) error {
	return r.DB.InTx(ctx, func(tx Tx) error {
		a, err := tx.Account(ctx, account)
		if err != nil {
			return err
		}
		rows, err := tx.MatchesOf(ctx, account)
		if err != nil {
			return err
		}
		for _, row := range rows {
			m := r.now.Load().find(row.Determination)
			if m == nil || row.Told == row.Phase || row.Phase == muster.PhaseDoubtful { // a doubt is asked about by the decision's own needs
				continue
			}
			if err := tx.Told(ctx, account, row.Determination, row.Phase); err != nil {
				return err
			}
			if _, err := r.Journal.Enter(ctx, tx, tlog.Measure, "", muster.Ref{Kind: "account", ID: account}, told{"notice", m.ID, m.Digest, row.Phase, a.Decision}); err != nil {
				return err
			}
			if r.Listeners == nil || !r.Listeners.Any() {
				continue
			}
			id := muster.NewID(muster.PrefixMessage, tx.Now())
			payload, err := json.Marshal(muster.Event{ID: id, Type: EventNotice, At: tx.Now(), Data: muster.EventData{
				Account: a.Reference, AccountState: a.State, Customer: a.Customer, Decision: a.Decision, Measure: m.ID,
			}})
			if err != nil {
				return muster.Errorf(muster.CodeInternal, "an event cannot be written: %w", err)
			}
			if err := tx.Enqueue(ctx, &muster.Job{ID: id, Kind: muster.JobPublish, Ref: account, Payload: payload, RunAt: tx.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// told is the body of the entry of a notice. The words are in the determination of
// that digest.
type told struct {
	What     string `json:"what"`
	Measure  string `json:"measure"`
	Digest   string `json:"digest"`
	Phase    string `json:"phase"`
	Decision string `json:"decision"`
}
