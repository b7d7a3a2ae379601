// Package export gives out everything on file, and takes it in elsewhere.
//
// Rules of this room:
//   - Two operators: one asks and names the recipients, another agrees. Nothing leaves
//     but sealed for those recipients.
//   - The leaf that says who takes what, and for what, is durable before a value is
//     opened; another at the end says how many files left.
//   - One snapshot of the store, read in pages: what is held in memory is one page, and
//     one part of the archive.
//   - What is given is what can be taken in: docs/formats/export.md describes both.
package export

import (
	"context"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Exports
	Staffing
	Programmes
	Registers
	Keeping
	Books
}

// Exports are the exports that were asked for.
type Exports interface {
	Export(ctx context.Context, id string) (*muster.ExportRecord, error)
	PutExport(ctx context.Context, r *muster.ExportRecord) error
}

// Staffing is who did things.
type Staffing interface {
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	PutOperator(ctx context.Context, r *muster.OperatorRecord) error
}

// Programmes are packs and which of them decide.
type Programmes interface {
	Packs(ctx context.Context) ([]*muster.PackRecord, error)
	PutPack(ctx context.Context, r *muster.PackRecord) error
	Activations(ctx context.Context) ([]muster.ActivationRecord, error)
	PutActivation(ctx context.Context, r *muster.ActivationRecord) error
}

// Registers are special measures.
type Registers interface {
	Determinations(ctx context.Context) ([]*muster.DeterminationRecord, error)
	AddDetermination(ctx context.Context, r *muster.DeterminationRecord) error
	MeasureActs(ctx context.Context) ([]muster.MeasureAct, error)
	PutMeasureAct(ctx context.Context, a *muster.MeasureAct) error
}

// Keeping are holds, erasures and cohorts.
type Keeping interface {
	Holds(ctx context.Context, live bool, p muster.Page) ([]*muster.Hold, error)
	Hold(ctx context.Context, id string) (*muster.Hold, error)
	PutHold(ctx context.Context, h *muster.Hold) error
	Erasures(ctx context.Context, state string, p muster.Page) ([]*muster.Erasure, error)
	Erasure(ctx context.Context, id string) (*muster.Erasure, error)
	PutErasure(ctx context.Context, e *muster.Erasure) error
	Cohorts(ctx context.Context) ([]*muster.Cohort, error)
	Cohort(ctx context.Context, name string) (*muster.Cohort, error)
	PutCohort(ctx context.Context, c *muster.Cohort) error
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
}

// Books are files, accounts and the log, page by page.
type Books interface {
	CustomersAfter(ctx context.Context, p muster.Page) ([]string, error)
	Accounts(ctx context.Context, p muster.Page) ([]*muster.AccountRecord, error)
	LogSize(ctx context.Context) (int64, error)
	Leaves(ctx context.Context, from, to int64) ([][]byte, error)
	Entries(ctx context.Context, p muster.Page) ([]*muster.EntryRecord, error)
	Checkpoints(ctx context.Context, after int64, limit int) ([]muster.CheckpointRecord, error)
}

// DB opens transactions.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Files gives customers' files as lines, in their order, and takes such lines in (onboard.Service).
type Files interface {
	Give(ctx context.Context, tx Tx, s *vault.Session, customers []string) (lines [][]byte, err error)
	Regain(ctx context.Context, lines [][]byte) (taken int, err error)
}

// Uses reads the use of accounts (ledger.Questions).
type Uses interface {
	Whole(ctx context.Context, ask ledger.Ask, scope string, w ledger.Whole) error
}

// Lists are the provider's own watch lists (watchlist.Service).
type Lists interface {
	Own(ctx context.Context) ([]lists.Edition, error)
	Bring(ctx context.Context, by string, editions []lists.Edition) error
}

// Staff says when two operators are needed (staff.Service).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// Config of a Service. Uses and Lists may be nil.
type Config struct {
	DB      DB
	Files   Files
	Uses    Uses
	Lists   Lists
	Journal *journal.Journal
	Vault   *vault.Vault
	Staff   Staff
	Clock   muster.Clock
	Meta    muster.Meta
	Program string                      // its version
	Load    func(context.Context) error // brings packs and measures in memory up to the store
}

// Service is the room's verbs.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service { return &Service{c} }

const (
	// TakeWithin is how long an export that was agreed can be taken.
	TakeWithin    = 72 * time.Hour
	maxRecipients = 10
	maxRecipient  = 4 << 10
)

// entry is the body of an export's entry.
type entry struct {
	What       string `json:"what"` // asked | agreed
	Export     string `json:"export"`
	Case       string `json:"case"`
	Recipients int    `json:"recipients"`
}

func (s *Service) enter(ctx context.Context, tx Tx, by, what string, r *muster.ExportRecord) error {
	_, err := s.Journal.Enter(ctx, tx, tlog.Export, by, muster.Ref{}, entry{what, r.ID, r.Case, len(r.Recipients)})
	return err
}

// Ask asks for an export to recipients.
func (s *Service) Ask(ctx context.Context, by, matter string, recipients []string) (r *muster.ExportRecord, err error) {
	var faults []muster.Fault
	if !muster.IsReference(matter) {
		faults = append(faults, muster.Fault{Pointer: "/case", Code: "form", Detail: "a reference of the request or the matter"})
	}
	if _, err := parse(recipients); err != nil {
		faults = append(faults, muster.Fault{Pointer: "/recipients", Code: "recipient", Detail: "one to ten age recipients, age1..."})
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		r = &muster.ExportRecord{
			ID: muster.NewID(muster.PrefixExport, tx.Now()), State: muster.ExportAsked, Case: matter, Recipients: slices.Clone(recipients), Asked: tx.Now(), Operator: by,
		}
		if err := tx.PutExport(ctx, r); err != nil {
			return err
		}
		return s.enter(ctx, tx, by, "asked", r)
	})
	return r, err
}

func parse(recipients []string) ([]age.Recipient, error) {
	if len(recipients) == 0 || len(recipients) > maxRecipients || slices.ContainsFunc(recipients, func(x string) bool {
		return len(x) > maxRecipient || strings.ContainsAny(x, "\r\n#") || strings.TrimSpace(x) == ""
	}) {
		return nil, muster.Errorf(muster.CodeInvalid, "not a list of age recipients")
	}
	return age.ParseRecipients(strings.NewReader(strings.Join(recipients, "\n")))
}

// Agree agrees to an export, as another operator.
func (s *Service) Agree(ctx context.Context, by, id string, version int64) (r *muster.ExportRecord, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Export(ctx, id); err != nil {
			return err
		}
		if r.Version != version {
			return muster.Errorf(muster.CodeStale, "the export has changed: read it again")
		}
		if r.State != muster.ExportAsked {
			return muster.Errorf(muster.CodeIllegalMove, "this export is %s", r.State)
		}
		if err := s.Staff.FourEyes(ctx, tx, r.Operator, by, r.Asked); err != nil {
			return err
		}
		r.State, r.Agreed, r.Approver = muster.ExportAgreed, tx.Now(), by
		if err := tx.PutExport(ctx, r); err != nil {
			return err
		}
		return s.enter(ctx, tx, by, "agreed", r)
	})
	return r, err
}

// ready reads an export that can be taken now, with its recipients.
func (s *Service) ready(ctx context.Context, id string) (r *muster.ExportRecord, to []age.Recipient, err error) {
	if err = s.DB.View(ctx, func(tx Tx) error {
		r, err = tx.Export(ctx, id)
		return err
	}); err != nil {
		return nil, nil, err
	}
	if r.State == muster.ExportAsked {
		return nil, nil, &muster.Error{Code: muster.CodeIllegalMove, Message: "nobody agreed to this export yet", Hint: "another operator does: muster export agree " + r.ID}
	}
	if s.Clock().Sub(r.Agreed) > TakeWithin {
		return nil, nil, muster.Errorf(muster.CodeGone, "this export was to be taken within three days: ask again")
	}
	to, err = parse(r.Recipients)
	return r, to, err
}
