package retain

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// erasureEntry is the body of an erasure's entry.
type erasureEntry struct {
	What    string         `json:"what"` // proposed | agreed | taken_back | begun | done
	Erasure string         `json:"erasure"`
	Ground  string         `json:"ground"`
	Files   int            `json:"files"`
	Classes map[string]int `json:"classes,omitempty"` // files, by class
	Keys    int            `json:"keys,omitempty"`    // of evidence whose details went by themselves
}

func (s *Service) enterErasure(ctx context.Context, tx Tx, by, what string, e *muster.Erasure) error {
	body := erasureEntry{What: what, Erasure: e.ID, Ground: e.Ground, Files: len(e.Items), Classes: map[string]int{}}
	for _, it := range e.Items {
		for _, c := range it.Classes {
			body.Classes[c]++
		}
	}
	about := muster.Ref{}
	if len(e.Items) == 1 {
		about = muster.Ref{Kind: "customer", ID: e.Items[0].Customer}
	}
	_, err := s.Journal.Enter(ctx, tx, tlog.Erasure, by, about, body)
	return err
}

// Ask proposes that a file be erased before its time. by is "" where the customer
// asks. What is there already is given back, so that asking twice is asking once.
func (s *Service) Ask(ctx context.Context, by, customer, ground string) (e *muster.Erasure, err error) {
	if ground != muster.GroundRequest && ground != muster.GroundError {
		return nil, muster.Invalid(muster.Fault{Pointer: "/ground", Code: "unknown_ground", Detail: "request or error"})
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		f, err := tx.FileAge(ctx, customer)
		if err != nil {
			return err
		}
		for _, state := range []string{muster.ErasureProposed, muster.ErasureApproved, muster.ErasureBegun} {
			for page := (muster.Page{Limit: 500}); ; {
				some, err := tx.Erasures(ctx, state, page)
				if err != nil {
					return err
				}
				for _, x := range some {
					if len(x.Items) == 1 && x.Items[0].Customer == customer && x.Ground != muster.GroundExpired {
						e = x
						return nil
					}
				}
				if len(some) < page.Limit {
					break
				}
				page.After = some[len(some)-1].ID
			}
		}
		e = &muster.Erasure{
			ID: muster.NewID(muster.PrefixErasure, tx.Now()), State: muster.ErasureProposed, Ground: ground, Proposed: tx.Now(), Proposer: by,
			Items: []muster.ErasureItem{{Customer: customer, Classes: classesOf(f)}},
		}
		if err := tx.PutErasure(ctx, e); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, by, "proposed", e)
	})
	return e, err
}

// Agree agrees to an erasure outside its time. The first operator stands for it where
// nobody on staff does yet; another one's word approves it, and the delay begins.
func (s *Service) Agree(ctx context.Context, by, id string, version int64) (e *muster.Erasure, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if e, err = s.change(ctx, tx, id, version, muster.ErasureProposed); err != nil {
			return err
		}
		for _, it := range e.Items {
			f, err := tx.FileAge(ctx, it.Customer)
			if err != nil {
				return err
			}
			if f.Live {
				return &muster.Error{
					Code: muster.CodeIllegalMove, Message: "an account or an application of this customer has not ended",
					Hint: "close it first: what is in use is not erased",
				}
			}
		}
		if e.Proposer == "" {
			e.Proposer, e.Proposed = by, tx.Now()
		} else {
			if err := s.Staff.FourEyes(ctx, tx, e.Proposer, by, e.Proposed); err != nil {
				return err
			}
			e.State, e.Approver, e.Due = muster.ErasureApproved, by, tx.Now()
			if e.Ground != muster.GroundMass {
				e.Due = tx.Now().Add(s.Delay)
			}
		}
		if err := tx.PutErasure(ctx, e); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, by, "agreed", e)
	})
	return e, err
}

// TakeBack takes an erasure back that was not begun.
func (s *Service) TakeBack(ctx context.Context, by, id string, version int64) (e *muster.Erasure, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if e, err = s.change(ctx, tx, id, version, muster.ErasureProposed, muster.ErasureApproved); err != nil {
			return err
		}
		e.State = muster.ErasureTaken
		if err := tx.PutErasure(ctx, e); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, by, "taken_back", e)
	})
	return e, err
}

// change reads an erasure that is to be changed.
func (s *Service) change(ctx context.Context, tx Tx, id string, version int64, states ...string) (*muster.Erasure, error) {
	e, err := tx.Erasure(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.Version != version {
		return nil, muster.Errorf(muster.CodeStale, "the erasure has changed: read it again")
	}
	if !slices.Contains(states, e.State) {
		return nil, muster.Errorf(muster.CodeIllegalMove, "this erasure is %s", e.State)
	}
	return e, nil
}
