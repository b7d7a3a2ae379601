package retain

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// filesAtOnce are how many files one erasure holds, so that its two transactions and
// its one write of the key store are shared by many.
const filesAtOnce = 250

// begin writes the intent. Nothing goes before it is durable.
func (s *Service) begin(ctx context.Context, e *muster.Erasure) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		if e.ID == "" {
			e.ID, e.Proposed = muster.NewID(muster.PrefixErasure, tx.Now()), tx.Now()
		}
		e.State = muster.ErasureBegun
		if err := tx.PutErasure(ctx, e); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, e.Approver, "begun", e)
	})
}

// keyed reports whether the keys of a file's people go with these classes.
func keyed(classes []string) bool {
	return slices.ContainsFunc(classes, func(c string) bool {
		return c == muster.ClassIdentity || c == muster.ClassRefused || c == muster.ClassAbandoned
	})
}

// finish carries out an erasure that was begun: keys first, synced, then rows. It
// may be called again after any failure.
func (s *Service) finish(ctx context.Context, e *muster.Erasure) error {
	var keys []string
	if err := s.DB.View(ctx, func(tx Tx) error {
		for _, it := range e.Items {
			if !keyed(it.Classes) {
				continue
			}
			people, err := tx.Subjects(ctx, it.Customer)
			if err != nil {
				return err
			}
			for _, p := range people {
				keys = append(keys, p.Key)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.Keys.Destroy(ctx, keys); err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx Tx) error {
		now, err := tx.Erasure(ctx, e.ID)
		if err != nil || now.State == muster.ErasureDone {
			return err // another process was faster, and what came onto the files since stays
		}
		for _, it := range e.Items {
			if err := s.eraseFile(ctx, tx, it); err != nil {
				return err
			}
		}
		now.State, now.Done = muster.ErasureDone, tx.Now()
		if err := tx.PutErasure(ctx, now); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, e.Approver, "done", now)
	})
}

// eraseFile removes the rows of some classes of a file. What is gone already is no error.
func (s *Service) eraseFile(ctx context.Context, tx Tx, it muster.ErasureItem) error {
	c, err := tx.Customer(ctx, it.Customer)
	if err != nil {
		return err
	}
	gone := func(class string) bool { return slices.Contains(it.Classes, class) }
	if keyed(it.Classes) {
		if err := s.eraseFacts(ctx, tx, it.Customer); err != nil {
			return err
		}
		if err := tx.EraseIdentity(ctx, it.Customer); err != nil {
			return err
		}
	} else if gone(muster.ClassClaims) {
		if err := tx.EraseClaims(ctx, it.Customer); err != nil {
			return err
		}
	}
	if gone(muster.ClassEvidence) || gone(muster.ClassRefused) || gone(muster.ClassAbandoned) {
		if err := tx.EraseEvidence(ctx, it.Customer); err != nil {
			return err
		}
	}
	if gone(muster.ClassHits) || gone(muster.ClassRefused) || gone(muster.ClassAbandoned) {
		if err := tx.EraseHits(ctx, it.Customer); err != nil {
			return err
		}
	}
	changed := false
	for _, class := range it.Classes {
		if !slices.Contains(c.Gone, class) {
			c.Gone, changed = append(c.Gone, class), true
		}
	}
	if !changed {
		return nil
	}
	return tx.PutCustomer(ctx, c)
}

// eraseFacts frees the room of the parts of facts whose keys are gone. Their
// commitments stay: a decision can still be proven to have been made on them.
func (s *Service) eraseFacts(ctx context.Context, tx Tx, customer string) error {
	people, err := tx.Subjects(ctx, customer)
	if err != nil {
		return err
	}
	keys := make([]string, len(people))
	for i, p := range people {
		keys[i] = p.Key
	}
	facts, err := tx.FactsOf(ctx, customer)
	if err != nil {
		return err
	}
	for id, blob := range facts {
		if len(blob) == 0 {
			continue
		}
		left, err := vault.EraseFacts(blob, keys)
		if err != nil {
			return err
		}
		if len(left) != len(blob) {
			if err := tx.PutFacts(ctx, id, left); err != nil {
				return err
			}
		}
	}
	return nil
}
