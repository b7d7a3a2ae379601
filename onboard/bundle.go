package onboard

import (
	"context"
	"encoding/json"
	"slices"

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
// facts as far as the audience may see them, the decision, the packs, the proof.
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
	customers := map[string]bool{}
	err := s.DB.View(ctx, func(tx Tx) (err error) {
		if r, err = tx.Decision(ctx, decision); err != nil {
			return err
		}
		subjects, err := tx.Subjects(ctx, r.Customer)
		for _, sr := range subjects {
			customers[sr.ID] = sr.Role == muster.RoleCustomer
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var d muster.Decision
	if err := json.Unmarshal(r.Body, &d); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a stored decision is not what it should be: %w", err)
	}
	if err := s.fitFor(ctx, r, audience); err != nil {
		return nil, err
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
		hidden := audience == tlog.AudienceCustomer && p.Name != vault.CommonPart && !customers[p.Name]
		if p.Erased || hidden {
			value := tlog.Hash(p.Value)
			part = tlog.Part{Name: p.Name, Commitment: &value, Why: "withheld: another person's data"}
			if p.Erased {
				part.Why = "erased"
			}
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

// fitFor refuses a customer's bundle of a decision with a hidden ground: what the
// log commits to names the rule, and cannot be cut.
func (s *Service) fitFor(ctx context.Context, r *muster.DecisionRecord, audience string) error {
	if audience != tlog.AudienceCustomer {
		return nil
	}
	full, err := s.fill(ctx, r)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(slices.Concat(full.Reasons, full.Observed), func(x muster.Reason) bool { return x.Hidden }) {
		return muster.Errorf(muster.CodeForbidden, "there is no bundle of this decision for this audience")
	}
	return nil
}
