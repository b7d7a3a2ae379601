// Package review is what waits for a person: the queue, a case, its resolution.
//
// Rules of this room:
//   - A resolution is evidence that rules read; the decision that follows is made
//     by the packs. Decisions are never edited.
//   - Where a pack in effect wants four eyes for a finding, the first operator
//     proposes and another completes, with the same finding.
package review

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// Tx is what this room needs of a transaction beside onboard's verbs.
type Tx interface {
	Now() time.Time
	Review(ctx context.Context, id string) (*muster.ReviewRecord, error)
	PutReview(ctx context.Context, r *muster.ReviewRecord) error
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	Hit(ctx context.Context, id string) (*muster.HitRecord, error)
	PutHit(ctx context.Context, r *muster.HitRecord) error
}

// DB opens transactions.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
}

// Finder writes a person's finding as evidence and decides anew, in the
// transaction that it is handed (package onboard).
type Finder interface {
	Resolve(ctx context.Context, tx Tx, r *muster.ReviewRecord, by muster.Principal, f Finding) error
	ResolveHit(ctx context.Context, tx Tx, r *muster.HitRecord, by muster.Principal, x HitOutcome) error
	// Enter writes an entry and its leaf.
	Enter(ctx context.Context, tx Tx, t tlog.LeafType, by muster.Principal, about muster.Ref, body any) error
}

// Staff says whether two operators agreed (package staff).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// Programme says which packs are in effect.
type Programme interface {
	At(t time.Time) (enforce, observe []*policy.Pack)
}

// Finding is a person's finding on a case.
type Finding struct {
	Finding string    `json:"finding" enum:"clear,confirm" doc:"clear: the ground does not stand; confirm: it does"`
	Rules   []string  `json:"rules,omitempty" doc:"pack/rule; absent: all that opened the case"`
	Reason  string    `json:"reason" doc:"why, for the record; sealed"`
	Expires time.Time `json:"expires,omitzero"`
}

// Findings.
const (
	Clear   = "clear"
	Confirm = "confirm"
)

// FourEyesRefusal is the act, in a pack's four_eyes, that wants two operators for
// a finding which leads to refusal.
const FourEyesRefusal = "refusal"

// Config of a Service; all are required.
type Config struct {
	DB        DB
	Staff     Staff
	Programme Programme
	Finder    Finder
}

// Service is the room's verbs.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service { return &Service{c} }

// proposal is what waits for the second operator. No reason is in it: the
// one who completes it states the reason that is sealed with the evidence.
type proposal struct {
	Finding string    `json:"finding"`
	Rules   []string  `json:"rules"`
	At      time.Time `json:"at"`
}

// Resolve takes a case out of review. done is false while it waits for a second
// operator. version is the case's, as the operator saw it.
func (s *Service) Resolve(ctx context.Context, by muster.Principal, id string, version int64, f Finding) (r *muster.ReviewRecord, done bool, err error) {
	if faults := check(f); faults != nil {
		return nil, false, muster.Invalid(faults...)
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Review(ctx, id); err != nil {
			return err
		}
		if r.State != muster.ReviewOpen && r.State != muster.ReviewProposed {
			return muster.Errorf(muster.CodeIllegalMove, "this case is %s", r.State)
		}
		if r.Version != version {
			return muster.Errorf(muster.CodeStale, "the case has changed: read it again")
		}
		if !f.Expires.IsZero() && !f.Expires.After(tx.Now()) {
			return muster.Invalid(muster.Fault{Pointer: "/expires", Code: "in_past", Detail: "a finding that has expired says nothing"})
		}
		own := s.answered(tx.Now(), r.Rules)
		if len(own) == 0 {
			return &muster.Error{
				Code: muster.CodeIllegalMove, Message: "this case waits for hits, and is over when none is open",
				Hint: "resolve the hits of its customer: GET /v1/hits?customer=" + r.Customer,
			}
		}
		if len(f.Rules) == 0 {
			f.Rules = own
		}
		for _, rule := range f.Rules {
			if !slices.Contains(own, rule) {
				return muster.Invalid(muster.Fault{Pointer: "/rules", Code: "unknown_rule", Detail: "a rule that did not open this case"})
			}
		}
		done, err = s.agreed(ctx, tx, r, by, f)
		if err != nil {
			return err
		}
		if !done {
			return tx.PutReview(ctx, r)
		}
		return s.Finder.Resolve(ctx, tx, r, by, f)
	})
	return r, done, err
}

// answered are the rules that a case's own resolution answers: the others wait for hits.
func (s *Service) answered(now time.Time, rules []string) (own []string) {
	enforce, observe := s.Programme.At(now)
	for _, name := range rules {
		pack, rule, _ := strings.Cut(name, "/")
		i := slices.IndexFunc(slices.Concat(enforce, observe), func(p *policy.Pack) bool { return p.ID() == pack })
		if i < 0 || slices.Concat(enforce, observe)[i].AnsweredBy(rule) == "" {
			own = append(own, name)
		}
	}
	return own
}

// agreed says whether the finding stands, and keeps it as a proposal where a
// second operator is still wanted. A different finding is a new proposal.
func (s *Service) agreed(ctx context.Context, tx Tx, r *muster.ReviewRecord, by muster.Principal, f Finding) (bool, error) {
	if !s.wantsTwo(tx.Now(), f) {
		r.Proposer = "" // what another proposed was another finding
		return true, nil
	}
	var p proposal
	if r.State == muster.ReviewProposed {
		if err := json.Unmarshal(r.Proposal, &p); err != nil {
			return false, muster.Errorf(muster.CodeInternal, "a stored proposal is not what it should be: %w", err)
		}
		if p.Finding == f.Finding && slices.Equal(p.Rules, f.Rules) {
			return true, s.Staff.FourEyes(ctx, tx, r.Proposer, by.Operator, p.At)
		}
	}
	data, err := json.Marshal(proposal{f.Finding, f.Rules, tx.Now()})
	if err != nil {
		return false, muster.Errorf(muster.CodeInternal, "a proposal cannot be written: %w", err)
	}
	r.State, r.Proposal, r.Proposer = muster.ReviewProposed, data, by.Operator
	return false, nil
}

func (s *Service) wantsTwo(now time.Time, f Finding) bool {
	enforce, _ := s.Programme.At(now)
	return f.Finding == Confirm && slices.ContainsFunc(enforce, func(p *policy.Pack) bool {
		return slices.Contains(p.Document().FourEyes, FourEyesRefusal)
	})
}

func check(f Finding) (faults []muster.Fault) {
	if f.Finding != Clear && f.Finding != Confirm {
		faults = append(faults, muster.Fault{Pointer: "/finding", Code: "unknown_finding", Detail: "clear or confirm"})
	}
	if n := len(strings.TrimSpace(f.Reason)); n == 0 || n > muster.MaxTextRunes {
		faults = append(faults, muster.Fault{Pointer: "/reason", Code: "length", Detail: "a reason has 1 to 2000 bytes"})
	}
	return faults
}
