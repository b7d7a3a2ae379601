package retain

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Records that are kept one by one: each goes by its own age, whatever file it is about.

// ages are what a class's periods say: records made before a time go, of decisions those
// of customers whose accounts ended before another (zero: that is not asked).
type ages struct {
	made, ended time.Time
	pack        string // whose period is the longest
}

// kept is one class of such records.
type kept struct {
	class string
	byOne bool // a hold on one customer keeps that customer's alone; it keeps them all where they are not of one file
	count func(ctx context.Context, tx Tx, a ages) (due, held int64, err error)
	drop  func(ctx context.Context, s *Service, tx Tx, a ages) (int64, error) // at most about recordsAtOnce
}

var keptClasses = []kept{
	{
		class: muster.ClassDecisions, byOne: true,
		count: func(ctx context.Context, tx Tx, a ages) (int64, int64, error) {
			return tx.CountOldDecisions(ctx, a.made, a.ended)
		},
		drop: func(ctx context.Context, s *Service, tx Tx, a ages) (int64, error) {
			old, err := tx.OldDecisions(ctx, a.made, a.ended, recordsAtOnce)
			if err != nil {
				return 0, err
			}
			return s.bury(ctx, tx, muster.ClassDecisions, old)
		},
	}, {
		class: muster.ClassReveals,
		count: func(ctx context.Context, tx Tx, a ages) (due, held int64, err error) {
			due, err = tx.CountOldEntries(ctx, typeReveal, a.made)
			return due, 0, err
		},
		drop: func(ctx context.Context, s *Service, tx Tx, a ages) (int64, error) {
			old, err := tx.OldEntries(ctx, typeReveal, a.made, recordsAtOnce)
			if err != nil {
				return 0, err
			}
			return s.bury(ctx, tx, muster.ClassReveals, old)
		},
	}, {
		class: muster.ClassNotices,
		count: func(ctx context.Context, tx Tx, a ages) (due, held int64, err error) {
			due, err = tx.CountOldNotices(ctx, a.made)
			return due, 0, err
		},
		drop: func(ctx context.Context, _ *Service, tx Tx, a ages) (int64, error) {
			return tx.DropNotices(ctx, a.made, recordsAtOnce)
		},
	}, {
		class: muster.ClassGate,
		count: func(ctx context.Context, tx Tx, a ages) (due, held int64, err error) {
			due, err = tx.CountOldGateRecords(ctx, a.made)
			return due, 0, err
		},
		drop: func(ctx context.Context, _ *Service, tx Tx, a ages) (int64, error) {
			return tx.DropGateRecords(ctx, a.made, recordsAtOnce)
		},
	},
}

// typeReveal is the type of the entries that the class of reveals consists of.
var typeReveal = tlog.Reveal.String()

const recordsAtOnce = 500

// limits are the ages of a class of records that are kept one by one. ok is false where
// no pack speaks of the class.
func (p *plan) limits(class string) (a ages, ok bool) {
	earlier := func(have *time.Time, t time.Time) bool {
		first := have.IsZero() || t.Before(*have)
		if first {
			*have = t
		}
		return first
	}
	for _, r := range p.rulesOf(nil, class) {
		if ok = true; earlier(&a.made, r.limit) {
			a.pack = r.pack.Ref().ID + " " + r.pack.Ref().Edition
		}
		if slices.Contains(r.from, "closed") {
			earlier(&a.ended, r.limit)
		}
	}
	return a, ok
}

// heldWhole reports whether a hold keeps all records of a class.
func (p *plan) heldWhole(k kept) bool {
	return !k.byOne && slices.ContainsFunc(p.holds, func(h *muster.Hold) bool { return h.Class == k.class || h.Class == "" })
}

// records drops old records, some of each class a call; where a leaf stays, with a tombstone.
func (s *Service) records(ctx context.Context, c *Cursor) error {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return err
	}
	for _, k := range keptClasses {
		a, ok := p.limits(k.class)
		if !ok {
			continue
		}
		var gone int64
		if err := s.DB.InTx(ctx, func(tx Tx) error {
			if p.holds, err = holds(ctx, tx); err != nil { // one may have been placed meanwhile
				return err
			}
			if gone = 0; p.heldWhole(k) {
				return nil
			}
			gone, err = k.drop(ctx, s, tx, a)
			return err
		}); err != nil {
			return err
		}
		c.Swept.Records += gone
		c.Swept.add(k.class, gone)
		if gone >= recordsAtOnce {
			return nil // there may be more of this class
		}
	}
	c.Step, c.After = "proofs", ""
	return nil
}

// bury drops records of a class and covers their leaves, by the indexes of these.
func (s *Service) bury(ctx context.Context, tx Tx, class string, old map[string]int64) (int64, error) {
	if len(old) == 0 {
		return 0, nil
	}
	if err := tx.DropRecords(ctx, slices.Sorted(maps.Keys(old))...); err != nil {
		return 0, err
	}
	return int64(len(old)), s.Journal.Bury(ctx, tx, "retention/"+class, nil, slices.Collect(maps.Values(old)))
}

// previewRecords counts what records would drop.
func (p *plan) previewRecords(ctx context.Context, tx Tx, v *Preview) error {
	for _, k := range keptClasses {
		a, ok := p.limits(k.class)
		if !ok {
			continue
		}
		due, held, err := k.count(ctx, tx, a)
		if err != nil {
			return err
		}
		if p.heldWhole(k) {
			due, held = 0, due+held
		}
		c := ClassPlan{Due: due, Held: held}
		if due+held > 0 {
			c.Packs = map[string]int64{a.pack: due + held}
		}
		v.Classes[k.class] = c
	}
	return nil
}

// editionSlack is how long a decision may have gone by a list after another edition took
// effect: as long as a process may be behind, and much more.
const editionSlack = 24 * time.Hour

// editions drops editions of watch lists that nothing refers to any more: before what
// refers to them goes, so that a preview can count them.
func (s *Service) editions(ctx context.Context, c *Cursor) error {
	var old []*muster.ListSnapshot
	look := func(tx Tx) (err error) {
		old, err = tx.OldEditions(ctx, editionSlack)
		return err
	}
	if err := s.DB.View(ctx, look); err != nil {
		return err
	}
	if len(old) > 0 {
		if err := s.DB.InTx(ctx, func(tx Tx) error {
			if err := look(tx); err != nil {
				return err
			}
			for _, x := range old {
				if err := tx.DropEdition(ctx, x.List, x.Digest); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	c.Swept.Editions += int64(len(old))
	c.Step = "files"
	return nil
}
