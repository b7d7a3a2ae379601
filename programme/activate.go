package programme

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Tx is what activation needs of a transaction.
type Tx interface {
	journal.Tx
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	PutPack(ctx context.Context, r *muster.PackRecord) error // one that is there already is left
	Activation(ctx context.Context, id string) (*muster.ActivationRecord, error)
	PutActivation(ctx context.Context, r *muster.ActivationRecord) error
}

// DB opens transactions.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
}

// Staff says whether two operators agreed (package staff).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// Config of a Service; all are required (Rescreener once a draft is to be rescreened).
type Config struct {
	DB        DB
	Journal   *journal.Journal
	Staff     Staff
	Programme *Programme
	Vault     *vault.Vault
	Past      Past
	Clock     muster.Clock

	Rescreener Rescreener // of drafts that are replayed with Rescreen
}

// Service activates packs, and tries drafts on what was decided.
type Service struct{ Config }

// NewService makes a Service.
func NewService(c Config) *Service { return &Service{c} }

// Compile reads a pack that is to be used: beside what package policy asks, the
// weights that it gives are the matcher's.
func Compile(source []byte) (*policy.Pack, error) {
	p, err := policy.Compile(source)
	if err != nil {
		return nil, err
	}
	if s := p.Document().Screening; s != nil {
		if _, err := screen.WeightsOf(s.Weights); err != nil {
			return nil, muster.Invalid(muster.Fault{Code: "weights", Detail: "1:1: screening: a weight is one of " + strings.Join(screen.WeightNames(), ", ") + ", within its range"})
		}
	}
	return p, nil
}

// Proposal asks that a pack edition decide from an instant on.
type Proposal struct {
	Source    string    `json:"source" doc:"the pack, YAML"`
	Effective time.Time `json:"effective,omitzero" doc:"absent: as soon as it is approved"`
	Observe   bool      `json:"observe,omitempty" doc:"decide and record, enforce nothing"`
	Retire    bool      `json:"retire,omitempty" doc:"the pack of that id stops deciding"`
}

// Propose keeps a pack and proposes its activation.
func (s *Service) Propose(ctx context.Context, by string, p Proposal) (*muster.ActivationRecord, error) {
	pack, err := Compile([]byte(p.Source))
	if err != nil {
		return nil, err
	}
	var a *muster.ActivationRecord
	err = s.DB.InTx(ctx, func(tx Tx) error {
		a = &muster.ActivationRecord{
			ID: muster.NewID(muster.PrefixActivation, tx.Now()), Pack: pack.ID(), Digest: pack.Digest(),
			Effective: muster.Instant(p.Effective), Proposer: by, Observe: p.Observe, Retire: p.Retire, Made: tx.Now(),
		}
		if p.Effective.IsZero() {
			a.Effective = time.Time{}
		}
		return s.propose(ctx, tx, a, pack)
	})
	return a, err
}

func (s *Service) propose(ctx context.Context, tx Tx, a *muster.ActivationRecord, pack *policy.Pack) error {
	row := &muster.PackRecord{Digest: pack.Digest(), ID: pack.ID(), Edition: pack.Edition(), Source: pack.Source(), Made: tx.Now()}
	if err := tx.PutPack(ctx, row); err != nil {
		return err
	}
	if err := tx.PutActivation(ctx, a); err != nil {
		return err
	}
	return s.enter(ctx, tx, "proposed", a.Proposer, a)
}

// Approve completes an activation. It takes effect at its time, or ActivationLead
// from now where that is later.
func (s *Service) Approve(ctx context.Context, by, id string) (*muster.ActivationRecord, error) {
	var a *muster.ActivationRecord
	err := s.DB.InTx(ctx, func(tx Tx) error {
		var err error
		if a, err = tx.Activation(ctx, id); err != nil {
			return err
		}
		if !a.Approved.IsZero() {
			return muster.Errorf(muster.CodeConflict, "this activation is approved already")
		}
		if err := s.Staff.FourEyes(ctx, tx, a.Proposer, by, a.Made); err != nil {
			return err
		}
		a.Approver, a.Approved = by, tx.Now()
		if soonest := tx.Now().Add(ActivationLead); a.Effective.Before(soonest) {
			a.Effective = soonest
		}
		if err := tx.PutActivation(ctx, a); err != nil {
			return err
		}
		return s.enter(ctx, tx, "approved", by, a)
	})
	if err != nil {
		return nil, err
	}
	return a, s.Programme.Load(ctx)
}

// First activates packs at a deployment's first start, when there is nothing yet
// that they could change: the operator who starts it stands for both.
func (s *Service) First(ctx context.Context, by string, packs ...*policy.Pack) error {
	err := s.DB.InTx(ctx, func(tx Tx) error {
		for _, pack := range packs {
			a := &muster.ActivationRecord{
				ID: muster.NewID(muster.PrefixActivation, tx.Now()), Pack: pack.ID(), Digest: pack.Digest(),
				Effective: tx.Now(), Proposer: by, Approver: by, Made: tx.Now(), Approved: tx.Now(),
			}
			if err := s.propose(ctx, tx, a, pack); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Programme.Load(ctx)
}

func (s *Service) enter(ctx context.Context, tx Tx, what, by string, a *muster.ActivationRecord) error {
	_, err := s.Journal.Enter(ctx, tx, tlog.Pack, by, muster.Ref{Kind: "activation", ID: a.ID}, struct {
		What      string    `json:"what"`
		Pack      string    `json:"pack"`
		Digest    string    `json:"digest"`
		Effective time.Time `json:"effective,omitzero"`
		Observe   bool      `json:"observe,omitempty"`
		Retire    bool      `json:"retire,omitempty"`
	}{what, a.Pack, a.Digest, a.Effective, a.Observe, a.Retire})
	return err
}
