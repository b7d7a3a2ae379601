package retain

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// filesAtOnce are how many files one erasure holds, so that its two transactions and
// its one write of the key store are shared by many.
const filesAtOnce = 1000

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

// parts are an erasure's customers, by what of their files goes.
type parts struct {
	all, keyed, claims, evidence, hits []string
	classes                            map[string][]string // by customer
}

func partsOf(e *muster.Erasure) *parts {
	p := &parts{classes: map[string][]string{}}
	for _, it := range e.Items {
		gone := func(classes ...string) bool {
			return slices.ContainsFunc(classes, func(c string) bool { return slices.Contains(it.Classes, c) })
		}
		whole := gone(muster.ClassRefused, muster.ClassAbandoned)
		p.all, p.classes[it.Customer] = append(p.all, it.Customer), it.Classes
		switch {
		case whole || gone(muster.ClassIdentity): // the people's keys go
			p.keyed = append(p.keyed, it.Customer)
		case gone(muster.ClassClaims):
			p.claims = append(p.claims, it.Customer)
		}
		if whole || gone(muster.ClassEvidence) {
			p.evidence = append(p.evidence, it.Customer)
		}
		if whole || gone(muster.ClassHits) {
			p.hits = append(p.hits, it.Customer)
		}
	}
	return p
}

// seen are the customers of whose people nothing that was seen is to be read any more.
func (p *parts) seen() []string {
	all := slices.Concat(p.keyed, p.evidence)
	slices.Sort(all)
	return slices.Compact(all)
}

// finish carries out an erasure that was begun: keys first, synced, then rows. It
// may be called again after any failure.
func (s *Service) finish(ctx context.Context, e *muster.Erasure) error {
	p := partsOf(e)
	var keys, seen []string // of people, and of what was seen of them
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		if keys, err = tx.KeysOf(ctx, p.keyed...); err != nil {
			return err
		}
		seen, err = tx.EvidenceKeysOf(ctx, p.seen()...)
		return err
	}); err != nil {
		return err
	}
	if err := s.Keys.Destroy(ctx, slices.Concat(keys, seen)); err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx Tx) error {
		if err := p.erase(ctx, tx, keys); err != nil {
			return err
		}
		if _, err := tx.EndEvidenceKeys(ctx, seen...); err != nil {
			return err
		}
		ended, err := tx.EndErasure(ctx, e.ID)
		if err != nil || !ended {
			return err // another process was faster
		}
		return s.enterErasure(ctx, tx, e.Approver, "done", e)
	})
}

// erase removes the rows. What is gone already is no error.
func (p *parts) erase(ctx context.Context, tx Tx, keys []string) error {
	if err := p.eraseFacts(ctx, tx, keys); err != nil {
		return err
	}
	if err := tx.EraseIdentity(ctx, p.keyed...); err != nil {
		return err
	}
	if err := tx.EraseClaims(ctx, p.claims...); err != nil {
		return err
	}
	if err := tx.EraseEvidence(ctx, p.evidence...); err != nil {
		return err
	}
	if err := tx.EraseHits(ctx, p.hits...); err != nil {
		return err
	}
	files, err := tx.TheseCustomers(ctx, p.all...)
	if err != nil {
		return err
	}
	if len(files) != len(p.classes) {
		return muster.Errorf(muster.CodeNotFound, "there is no such customer")
	}
	type alike struct{ was, now, files []string }
	noted := map[string]*alike{}
	for _, c := range files {
		now := slices.Clone(c.Gone)
		for _, class := range p.classes[c.ID] {
			if !slices.Contains(now, class) {
				now = append(now, class)
			}
		}
		if len(now) == len(c.Gone) {
			continue
		}
		of := strings.Join(c.Gone, " ") + ", " + strings.Join(now, " ")
		if noted[of] == nil {
			noted[of] = &alike{was: c.Gone, now: now}
		}
		noted[of].files = append(noted[of].files, c.ID)
	}
	for _, of := range slices.Sorted(maps.Keys(noted)) {
		if err := tx.NoteGone(ctx, noted[of].was, noted[of].now, noted[of].files...); err != nil {
			return err
		}
	}
	return nil
}

// eraseFacts frees the room of the parts of facts whose keys are gone. Their
// commitments stay: a decision can still be proven to have been made on them.
func (p *parts) eraseFacts(ctx context.Context, tx Tx, keys []string) error {
	facts, err := tx.FactsOf(ctx, p.keyed...)
	if err != nil {
		return err
	}
	gone := make(map[string]bool, len(keys))
	for _, id := range keys {
		gone[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(facts)) { // in their order on disk
		blob := facts[id]
		if len(blob) == 0 {
			continue
		}
		left, err := vault.EraseFacts(blob, gone)
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
