package onboard

import (
	"context"
	"strconv"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Proofs proves leaves against the newest published checkpoint. A leaf that is
// not published yet is published first.
type Proofs interface {
	Complete(ctx context.Context, b *tlog.Bundle, sizes ...int64) error
}

// Bundle is one decision with everything that is needed to check it offline:
// facts, the decision, the packs, the proof. A customer's is a receipt, see there.
// It is a reveal: the leaf that says so comes first. sizes are older checkpoints
// that the reader holds.
func (s *Service) Bundle(ctx context.Context, by muster.Principal, decision, audience string, sizes ...int64) ([]byte, error) {
	purpose, ok := map[string]vault.Purpose{
		tlog.AudienceExaminer: vault.PurposeExaminer, tlog.AudienceCustomer: vault.PurposeSubjectAccess, tlog.AudienceCourt: vault.PurposeCourt,
	}[audience]
	if !ok {
		return nil, muster.Invalid(muster.Fault{Pointer: "/audience", Code: "unknown_audience", Detail: "examiner, customer or court"})
	}
	var r *muster.DecisionRecord
	err := s.DB.View(ctx, func(tx Tx) (err error) {
		if r, err = tx.Decision(ctx, decision); err != nil || audience != tlog.AudienceCustomer {
			return err
		}
		under, err := orders(ctx, tx, r.Customer)
		for _, h := range under {
			if h.Withholds(r.Customer, muster.ClassDecisions, r.At) {
				return muster.Errorf(muster.CodeNotFound, "there is no such decision")
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d, err := journal.Decided(r)
	if err != nil {
		return nil, err
	}
	if audience == tlog.AudienceCustomer {
		return s.receipt(ctx, by, r, sizes)
	}
	opened, err := s.Vault.RevealFacts(ctx, vault.RevealRequest{Operator: by.Operator, Purpose: purpose, Case: r.ID}, r.ID, r.Facts, s.Journal)
	if err != nil {
		return nil, err
	}
	if err := journal.Clear(opened); err != nil {
		return nil, err
	}
	salt, err := s.Journal.Salt(r.ID, r.Salt)
	if err != nil {
		return nil, err
	}
	b := &tlog.Bundle{Audience: audience, Index: r.Leaf, Decision: tlog.Opened{Salt: salt, Data: r.Body}}
	for _, p := range opened {
		part := tlog.Part{Name: p.Name, Salt: p.Salt, Data: p.Data}
		if p.Erased {
			value := tlog.Hash(p.Value)
			part = tlog.Part{Name: p.Name, Commitment: &value, Why: "erased"}
		}
		b.Facts = append(b.Facts, part)
	}
	for _, ref := range d.Packs {
		p, err := s.Programme.Pack(ctx, ref.Digest)
		if err != nil {
			return nil, err
		}
		b.Packs = append(b.Packs, tlog.BundlePack{PackRef: ref, Data: p.Source()})
	}
	if err := s.Proofs.Complete(ctx, b, sizes...); err != nil {
		return nil, err
	}
	return b.Marshal()
}

// receipt is what a customer gets of a decision: the proof that it was recorded, in
// which hour, and commitments to all of it. What the commitments hide names rules, what
// was compared and other persons, and cannot be cut: it is hidden whole, in every
// receipt, so that none says more than another. What concerns the person is in their
// copy, in words; a court or an examiner can open what was committed to.
func (s *Service) receipt(ctx context.Context, by muster.Principal, r *muster.DecisionRecord, sizes []int64) ([]byte, error) {
	commitments, err := vault.FactsCommitments(r.Facts)
	if err != nil {
		return nil, err
	}
	if _, err := s.Vault.Reveal(ctx, vault.RevealRequest{Operator: by.Operator, Purpose: vault.PurposeSubjectAccess, Case: r.ID}, s.Journal); err != nil {
		return nil, err
	}
	salt, err := s.Journal.Salt(r.ID, r.Salt)
	if err != nil {
		return nil, err
	}
	decision := tlog.Hash(tlog.CommitDecision(salt, r.Body))
	b := &tlog.Bundle{Audience: tlog.AudienceCustomer, Index: r.Leaf, Decision: tlog.Opened{Commitment: &decision}}
	for i, c := range commitments {
		value := tlog.Hash(c.Value)
		b.Facts = append(b.Facts, tlog.Part{Name: "part " + strconv.Itoa(i+1), Commitment: &value, Why: "withheld in every receipt"})
	}
	if err := s.Proofs.Complete(ctx, b, sizes...); err != nil {
		return nil, err
	}
	return b.Marshal()
}
