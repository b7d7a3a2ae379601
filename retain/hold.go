package retain

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// holdEntry is the body of a hold's entry.
type holdEntry struct {
	What     string    `json:"what"` // placed | reviewed | lifted
	Hold     string    `json:"hold"`
	Class    string    `json:"class,omitempty"`
	Ground   string    `json:"ground"`
	Case     string    `json:"case,omitempty"`
	Review   time.Time `json:"review,omitzero"`
	Withheld bool      `json:"withheld,omitempty"` // a non-disclosure order
}

var matter = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,64}$`)

// Place places a hold. Scope, ground, case and the date of review are the caller's.
func (s *Service) Place(ctx context.Context, by string, h muster.Hold) (*muster.Hold, error) {
	var faults []muster.Fault
	fault := func(pointer, code, detail string) {
		faults = append(faults, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	if !slices.Contains(muster.HoldGrounds, h.Ground) {
		fault("/ground", "unknown_ground", "one of the grounds of a hold")
	}
	if h.Class != "" && !slices.Contains(muster.RecordClasses, h.Class) {
		fault("/class", "unknown_class", "one of the record classes, or none for all")
	}
	if !matter.MatchString(h.Case) {
		fault("/case", "form", "a reference: 1 to 64 of letters, digits, dot, underscore, slash and dash")
	}
	if !h.Until.IsZero() && !h.Until.After(h.From) {
		fault("/until", "empty_period", "the period ends before it begins")
	}
	if h.Withheld && (!h.Undisclosed || h.Customer == "" || !slices.Contains(muster.WithheldClasses, h.Class)) {
		fault("/withheld", "scope", "a non-disclosure order is undisclosed, of one customer and one class: claims, evidence, decisions, access or leases")
	}
	if !h.Review.After(s.Clock()) {
		fault("/review", "in_past", "by when somebody looks whether it is still wanted")
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	err := s.DB.InTx(ctx, func(tx Tx) error {
		if h.Customer != "" {
			if _, err := tx.Customer(ctx, h.Customer); err != nil {
				return err
			}
		}
		h.ID, h.Placed, h.By, h.Lifted, h.LiftedBy, h.Version = muster.NewID(muster.PrefixHold, tx.Now()), tx.Now(), by, time.Time{}, "", 0
		if err := tx.PutHold(ctx, &h); err != nil {
			return err
		}
		return s.enterHold(ctx, tx, by, "placed", &h)
	})
	return &h, err
}

// Review says that a hold was looked at and is still wanted, until another date.
func (s *Service) Review(ctx context.Context, by, id string, version int64, next time.Time) (*muster.Hold, error) {
	return s.changeHold(ctx, by, id, version, "reviewed", func(h *muster.Hold, now time.Time) error {
		if !next.After(now) {
			return muster.Invalid(muster.Fault{Pointer: "/review", Code: "in_past", Detail: "by when somebody looks again"})
		}
		h.Review = next
		return nil
	})
}

// Lift ends a hold: the clock counts again.
func (s *Service) Lift(ctx context.Context, by, id string, version int64) (*muster.Hold, error) {
	return s.changeHold(ctx, by, id, version, "lifted", func(h *muster.Hold, now time.Time) error {
		h.Lifted, h.LiftedBy = now, by
		return nil
	})
}

func (s *Service) changeHold(ctx context.Context, by, id string, version int64, what string, change func(*muster.Hold, time.Time) error) (h *muster.Hold, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if h, err = tx.Hold(ctx, id); err != nil {
			return err
		}
		if h.Version != version {
			return muster.Errorf(muster.CodeStale, "the hold has changed: read it again")
		}
		if !h.Lifted.IsZero() {
			return muster.Errorf(muster.CodeIllegalMove, "this hold was lifted")
		}
		if err := change(h, tx.Now()); err != nil {
			return err
		}
		if err := tx.PutHold(ctx, h); err != nil {
			return err
		}
		return s.enterHold(ctx, tx, by, what, h)
	})
	return h, err
}

func (s *Service) enterHold(ctx context.Context, tx Tx, by, what string, h *muster.Hold) error {
	about := muster.Ref{}
	if h.Customer != "" {
		about = muster.Ref{Kind: "customer", ID: h.Customer}
	}
	_, err := s.Journal.Enter(ctx, tx, tlog.Hold, by, about, holdEntry{what, h.ID, h.Class, h.Ground, h.Case, h.Review, h.Withheld})
	return err
}

// holds reads every hold that is not lifted.
func holds(ctx context.Context, tx Tx) (all []*muster.Hold, err error) {
	page := muster.Page{Limit: 500}
	for {
		some, err := tx.Holds(ctx, true, page)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < page.Limit {
			return all, nil
		}
		page.After = some[len(some)-1].ID
	}
}
