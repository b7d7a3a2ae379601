package onboard

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// ResolutionMethod is the method of evidence that is a person's finding.
const ResolutionMethod = "staff.resolution"

// Resolve writes a person's finding on the rules that opened a case as evidence
// about the whole file, closes the case and decides anew, all in tx. reason is
// sealed. clear: the grounds do not stand; otherwise they do.
func (s *Service) Resolve(ctx context.Context, tx Tx, r *muster.ReviewRecord, by muster.Principal, clear bool, rules []string, reason string, expires time.Time) (*Answer, error) {
	f, err := s.load(ctx, tx, r.Application)
	if err != nil {
		return nil, err
	}
	if err := f.mustBeLive("resolution"); err != nil {
		return nil, err
	}
	customer, err := f.subject("")
	if err != nil {
		return nil, err
	}
	finding := muster.Contradicts
	if clear {
		finding = muster.Supports
	}
	e := &muster.EvidenceRecord{Application: f.app.ID, Evidence: muster.Evidence{
		ID: muster.NewID(muster.PrefixEvidence, tx.Now()), Subject: customer.ID, Method: ResolutionMethod, Kind: muster.Resolution,
		Revision: customer.Revision, Attributes: map[string]muster.Finding{muster.AttrIdentity: finding}, Rules: rules,
		Assurance: muster.AssuranceHigh, At: tx.Now(), Expires: muster.Instant(expires), Producer: by.Operator,
	}}
	if expires.IsZero() {
		e.Expires = time.Time{}
	}
	own, err := s.Vault.TakeKey(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.sealDetails(own, e, []byte(reason)); err != nil {
		return nil, err
	}
	if err := tx.AddEvidence(ctx, e); err != nil {
		return nil, err
	}
	f.evidence = append(f.evidence, e)
	r.State, r.Evidence, r.Proposal = muster.ReviewResolved, e.ID, nil
	if err := tx.PutReview(ctx, r); err != nil {
		return nil, err
	}
	if _, err := s.Journal.Enter(ctx, tx, tlog.Resolution, by.Operator, muster.Ref{Kind: "review", ID: r.ID}, struct {
		Finding muster.Finding `json:"finding"`
		Rules   []string       `json:"rules"`
		First   string         `json:"first,omitempty"` // the operator who proposed, where it took two
	}{finding, rules, r.Proposer}); err != nil {
		return nil, err
	}
	return s.redecide(ctx, tx, f, "resolution", nil)
}
