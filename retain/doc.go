// Package retain makes records go when nothing keeps them any more.
//
// Rules of this room:
//   - A pack says from which event and for how long a class of records is kept; of the
//     packs that decided on a file the longest wins, and is named. A class that no pack
//     speaks of stays.
//   - A hold beats the clock and every request; what a customer is told is the same
//     with and without one.
//   - An erasure has its intent in the log before anything goes, then the keys go,
//     synced, then the rows. What was begun is finished at the next run.
//   - What was for proof only goes when it has proved; what it proved stays. What was seen
//     has a key of its own, which goes with it: intent, key, and that it is gone.
//   - Outside its time a record goes only when two operators say so, after a delay in
//     which it can be taken back. A day on which unusually much expires waits for them too.
//   - A row whose leaf stays leaves a tombstone; a sealed part that goes leaves its commitment.
package retain

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/vault"
)

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	Ages
	Rows
	Records
	Editions
	Proofs
	Indexes
}

// Ages are files' times, holds and erasures.
type Ages interface {
	// EndedFiles looks at a page of files and reads those of which no account is in use.
	EndedFiles(ctx context.Context, p muster.Page) (files []muster.FileAge, looked int64, last string, err error)
	FileAge(ctx context.Context, customer string) (*muster.FileAge, error)
	TheseFiles(ctx context.Context, customers ...string) ([]muster.FileAge, error)
	Holds(ctx context.Context, live bool, p muster.Page) ([]*muster.Hold, error)
	Hold(ctx context.Context, id string) (*muster.Hold, error)
	PutHold(ctx context.Context, h *muster.Hold) error
	Erasures(ctx context.Context, state string, p muster.Page) ([]*muster.Erasure, error)
	Erasure(ctx context.Context, id string) (*muster.Erasure, error)
	PutErasure(ctx context.Context, e *muster.Erasure) error
	EndErasure(ctx context.Context, id string) (ended bool, err error)
}

// Rows are what files consist of. Customers are named many at a time, so that what an
// erasure costs is the rows and not the questions.
type Rows interface {
	Customer(ctx context.Context, id string) (*muster.CustomerRecord, error)
	TheseCustomers(ctx context.Context, ids ...string) ([]*muster.CustomerRecord, error)
	// NoteGone notes of customers of whose files the classes was are gone that now are.
	// CodeStale where of one it was others.
	NoteGone(ctx context.Context, was, now []string, customers ...string) error
	KeysOf(ctx context.Context, customers ...string) ([]string, error)
	FactsOf(ctx context.Context, customers ...string) (map[string][]byte, error)
	PutFacts(ctx context.Context, decision string, blob []byte) error
	EraseIdentity(ctx context.Context, customers ...string) error
	EraseClaims(ctx context.Context, customers ...string) error
	EraseEvidence(ctx context.Context, customers ...string) error
	EraseHits(ctx context.Context, customers ...string) error
	EvidenceKeysOf(ctx context.Context, customers ...string) ([]string, error)
}

// Records are what is kept one by one.
type Records interface {
	OldDecisions(ctx context.Context, made, ended time.Time, limit int) (map[string]int64, error)
	CountOldDecisions(ctx context.Context, made, ended time.Time) (due, held int64, err error)
	OldEntries(ctx context.Context, typ string, before time.Time, limit int) (map[string]int64, error)
	CountOldEntries(ctx context.Context, typ string, before time.Time) (int64, error)
	DropRecords(ctx context.Context, ids ...string) error
	DropNotices(ctx context.Context, before time.Time, limit int) (int64, error)
	CountOldNotices(ctx context.Context, before time.Time) (int64, error)
	DropGateRecords(ctx context.Context, before time.Time, limit int) (int64, error)
	CountOldGateRecords(ctx context.Context, before time.Time) (int64, error)
}

// Editions are watch lists as they were.
type Editions interface {
	OldEditions(ctx context.Context, slack time.Duration) ([]*muster.ListSnapshot, error)
	DropEdition(ctx context.Context, list, digest string) error
}

// Proofs are evidence whose details were for proof only.
type Proofs interface {
	Proofs(ctx context.Context, taken time.Time, p muster.Page) (found []muster.Proof, next string, err error)
	Standing(ctx context.Context, customers ...string) (map[string][][]byte, error)
	DropProofs(ctx context.Context, proofs ...muster.Proof) error
	DueEvidenceKeys(ctx context.Context, ids ...string) error
	EvidenceKeysDue(ctx context.Context, limit int) ([]muster.EvidenceKey, error)
	EndEvidenceKeys(ctx context.Context, ids ...string) (ended []string, err error)
	EvidenceKeys(ctx context.Context, p muster.Page) ([]muster.EvidenceKey, error)
}

// Indexes are the blind indexes, read whole to find what leads nowhere.
type Indexes interface {
	IndexPage(ctx context.Context, kind string, after muster.IndexRow, limit int) ([]muster.IndexRow, error)
	DropIndex(ctx context.Context, rows ...muster.IndexRow) error
}

// DB opens transactions.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Programme finds the packs that decided on files (programme.Programme).
type Programme interface {
	Ever() []*policy.Pack // every edition that was activated, at any time
}

// Keys are destroyed and looked up (vault.Vault).
type Keys interface {
	Destroy(ctx context.Context, ids []string) error
	Resolve(ctx context.Context, kind vault.Kind, handles [][16]byte) (map[[16]byte]string, error)
}

// Owner gives evidence that lies under a person's key one of its own, a page at a time
// (onboard.Service).
type Owner interface {
	OwnKeys(ctx context.Context, after string, limit int) (last string, done int, err error)
}

// Staff says when two operators are needed (staff.Service).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// Accessed opens looks at when customers last used an account. One look is recorded
// once, however many customers it is about.
type Accessed interface {
	Look(ctx context.Context) (Look, error)
}

// Look says when customers last used an account, as far as is known: never earlier
// than the truth. Customers of whom nothing is known are absent.
type Look interface {
	LastAccessed(ctx context.Context, customers []string) (map[string]time.Time, error)
	End(ctx context.Context) error
}

// Config of a Service. Accessed and Owner may be nil.
type Config struct {
	DB        DB
	Programme Programme
	Keys      Keys
	Staff     Staff
	Journal   *journal.Journal
	Accessed  Accessed
	Owner     Owner
	Zone      *time.Location // of legal periods
	Clock     muster.Clock
	Delay     time.Duration // in which an approved early erasure can be taken back
	Share     float64       // of all files: more than this on one day waits for two operators
}

// Service is the room's verbs.
type Service struct {
	Config
	together int // files of one erasure at most; tests take fewer
}

// New makes a Service.
func New(c Config) *Service {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	return &Service{c, filesAtOnce}
}
