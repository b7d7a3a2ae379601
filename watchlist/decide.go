package watchlist

import (
	"context"
	"strings"

	"github.com/muster-cip/muster"
)

const maxReason = 500

func checkReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return "", muster.Invalid(muster.Fault{Pointer: "/reason", Code: "length", Detail: "a reason has 1 to 500 bytes; it stands in the record, so name no person in it"})
	}
	return reason, nil
}

// Approve puts the held snapshot of a list into effect. digest is of the one that the
// operator saw, or its beginning: another may be held by now.
func (s *Service) Approve(ctx context.Context, by, list, digest, reason string) (*muster.ListState, error) {
	return s.held(ctx, by, list, digest, reason, func(ctx context.Context, tx Tx, state *muster.ListState, reason string) error {
		snap, err := tx.ListSnapshot(ctx, list, state.Held)
		if err != nil {
			return err
		}
		fresh := snap.Made
		if snap.How == "import" && !snap.AsOf.IsZero() {
			fresh = snap.AsOf
		}
		return s.effect(ctx, tx, state, state.Held, fresh, &muster.ListEvent{What: Approved, Operator: by, Reason: reason})
	})
}

// Decline gives the held snapshot up. It is kept, and not asked about again until
// another comes.
func (s *Service) Decline(ctx context.Context, by, list, digest, reason string) (*muster.ListState, error) {
	return s.held(ctx, by, list, digest, reason, func(ctx context.Context, tx Tx, state *muster.ListState, reason string) error {
		if err := forget(ctx, tx, state.Source); err != nil {
			return err
		}
		e := &muster.ListEvent{What: Declined, Digest: state.Held, Before: state.Digest, Operator: by, Reason: reason}
		state.Held, state.HeldAt, state.HeldWhy = "", tx.Now(), ""
		if err := tx.PutListState(ctx, state); err != nil {
			return err
		}
		return s.enter(ctx, tx, state, e)
	})
}

func (s *Service) held(ctx context.Context, by, list, digest, reason string, do func(context.Context, Tx, *muster.ListState, string) error) (state *muster.ListState, err error) {
	if reason, err = checkReason(reason); err != nil {
		return nil, err
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if state, err = tx.ListState(ctx, list); err != nil {
			return err
		}
		switch {
		case state.Held == "":
			return muster.Errorf(muster.CodeConflict, "nothing of this list is held")
		case len(digest) >= 8 && strings.HasPrefix(state.Held, digest):
			return do(ctx, tx, state, reason)
		}
		return &muster.Error{Code: muster.CodeStale, Message: "another snapshot of this list is held by now", Hint: "muster lists status shows which"}
	})
	if err != nil {
		return nil, err
	}
	return state, s.Load(ctx)
}

// Rollback puts an earlier snapshot of a list into effect again; digest "" is the one
// before. A held one is given up by it.
func (s *Service) Rollback(ctx context.Context, by, list, digest, reason string) (state *muster.ListState, err error) {
	if reason, err = checkReason(reason); err != nil {
		return nil, err
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if state, err = tx.ListState(ctx, list); err != nil {
			return err
		}
		to := digest
		if to == "" {
			if to, err = before(ctx, tx, state); err != nil {
				return err
			}
		}
		if to == state.Digest {
			return muster.Errorf(muster.CodeConflict, "that snapshot is the one in effect")
		}
		snap, err := tx.ListSnapshot(ctx, list, to)
		if err != nil {
			return err
		}
		if err := forget(ctx, tx, state.Source); err != nil {
			return err
		}
		fresh := snap.Made // what it was then: going back makes no list younger
		if snap.How == "import" && !snap.AsOf.IsZero() {
			fresh = snap.AsOf
		}
		return s.effect(ctx, tx, state, to, fresh, &muster.ListEvent{What: RolledBack, Operator: by, Reason: reason})
	})
	if err != nil {
		return nil, err
	}
	return state, s.Load(ctx)
}

// forget drops what a source's server called its copy: what is in effect is no longer
// that copy, and an answer that nothing changed must not make it look fresh.
func forget(ctx context.Context, tx Tx, source string) error {
	if source == "" {
		return nil
	}
	row, err := sourceRow(ctx, tx, source)
	if err != nil || row.Version == 0 {
		return err
	}
	row.Seen = "{}"
	return tx.PutListSource(ctx, row)
}

// before is the snapshot that was in effect before the present one.
func before(ctx context.Context, tx Tx, state *muster.ListState) (string, error) {
	events, err := tx.ListEvents(ctx, state.List, 200)
	if err != nil {
		return "", err
	}
	for _, e := range events {
		switch e.What {
		case Applied, Approved, RolledBack:
			if e.Digest == state.Digest && e.Before != "" {
				return e.Before, nil
			}
		}
	}
	return "", muster.Errorf(muster.CodeNotFound, "no snapshot of this list was in effect before")
}
