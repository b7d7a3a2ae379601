package onboard

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// DB opens transactions. InTx may run fn again after a serialization failure,
// so fn has no effect but through its Tx; what fn returns is what InTx returns.
// When InTx returns nil, what fn wrote is committed and synced. Concurrent
// calls may share one commit; one that fails undoes only its own writes.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error // read only, one snapshot

	// Arrive is InTx for a new application. fn is given all that it has to know: whether
	// an application of that reference or an account of that reference is there, and the
	// counts that CountHandles would give.
	Arrive(ctx context.Context, reference, account string, questions []muster.HandleCount, fn func(tx Tx, taken bool, counts []int64) error) error
}

// Tx is one transaction's view of the store. The time of everything in it is Now.
type Tx interface {
	Now() time.Time
	Files
	Findings
	Hits
	Book
	Indexes
	Log
	Jobs
	Gate
	Matches
	Imports
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	Orders
}

// Files are applications, customers, accounts, subjects and claims.
// Get-methods return CodeNotFound; Put-methods insert where Version is 0, else
// update the row of that version (CodeStale otherwise) and raise Version by one.
type Files interface {
	Application(ctx context.Context, idOrReference string) (*muster.ApplicationRecord, error)
	ApplicationsOf(ctx context.Context, customer string) ([]*muster.ApplicationRecord, error) // oldest first
	PutApplication(ctx context.Context, r *muster.ApplicationRecord) error                    // CodeConflict: reference taken
	Customer(ctx context.Context, id string) (*muster.CustomerRecord, error)
	PutCustomer(ctx context.Context, r *muster.CustomerRecord) error
	Account(ctx context.Context, idOrReference string) (*muster.AccountRecord, error)
	AccountsOf(ctx context.Context, customer string) ([]*muster.AccountRecord, error)
	PutAccount(ctx context.Context, r *muster.AccountRecord) error // CodeConflict: reference taken
	Subjects(ctx context.Context, customer string) ([]*muster.SubjectRecord, error)
	PutSubjects(ctx context.Context, rs ...*muster.SubjectRecord) error                     // insert or replace
	Claims(ctx context.Context, subject string, revision int) (*muster.ClaimsRecord, error) // revision 0: the latest
	ClaimsOf(ctx context.Context, subject string) ([]*muster.ClaimsRecord, error)           // oldest first
	AddClaims(ctx context.Context, rs ...*muster.ClaimsRecord) error
	FileRecords(ctx context.Context, customers ...string) ([]*muster.FileRecord, error) // in their order; CodeNotFound
}

// Orders are holds: a copy leaves out what a non-disclosure order covers.
type Orders interface {
	Holds(ctx context.Context, live bool, p muster.Page) ([]*muster.Hold, error)
}

// Findings are evidence, challenges, decisions and reviews.
type Findings interface {
	EvidenceOf(ctx context.Context, customer string) ([]*muster.EvidenceRecord, error) // of all its subjects, oldest first
	AddEvidence(ctx context.Context, r *muster.EvidenceRecord) error
	SharedEvidence(ctx context.Context, subject, after string, limit int) ([]*muster.SharedEvidence, error)
	OwnEvidence(ctx context.Context, r *muster.EvidenceRecord, was []byte) error // CodeStale where its details are not what they were
	Challenge(ctx context.Context, id string) (*muster.ChallengeRecord, error)
	AddChallenge(ctx context.Context, r *muster.ChallengeRecord) error
	SpendAttempt(ctx context.Context, id string) (left int, err error) // one statement: decrement where left > 0 and not done and not expired at Now; CodeRateLimited where none is left
	SetCode(ctx context.Context, id string, mac []byte) error
	FinishChallenge(ctx context.Context, id string) error // CodeConflict where it is done already
	ChallengesTo(ctx context.Context, target []byte, since time.Time) (int, error)
	Decision(ctx context.Context, id string) (*muster.DecisionRecord, error)
	DecisionsOf(ctx context.Context, customer, application string, p muster.Page) ([]*muster.DecisionRecord, error) // oldest first
	AddDecision(ctx context.Context, r *muster.DecisionRecord) error
	OpenReview(ctx context.Context, application string) (*muster.ReviewRecord, error) // open or proposed; CodeNotFound
	Review(ctx context.Context, id string) (*muster.ReviewRecord, error)
	PutReview(ctx context.Context, r *muster.ReviewRecord) error
}

// Hits are pairs of somebody on file and an entry of a watch list.
type Hits interface {
	Hit(ctx context.Context, id string) (*muster.HitRecord, error)
	HitsOf(ctx context.Context, customer string) ([]*muster.HitRecord, error) // oldest first
	PutHit(ctx context.Context, r *muster.HitRecord) error
}

// Book is everybody on file, as jobs over all of them read it, and how far these are.
type Book interface {
	CustomersAfter(ctx context.Context, p muster.Page) ([]string, error)
	CountCustomers(ctx context.Context) (int, error)
	TheseCustomers(ctx context.Context, ids ...string) ([]*muster.CustomerRecord, error) // those that are there
	CountCustomersSince(ctx context.Context, t time.Time) (int, error)
	Book(ctx context.Context, after, last string) ([]muster.BookRow, error)
	DecidedBetween(ctx context.Context, from, until time.Time) ([]string, error)
	HitsOn(ctx context.Context, list string) ([]muster.HitRecord, error)
	Sweep(ctx context.Context, id string) (*muster.SweepRecord, error)
	PutSweep(ctx context.Context, r *muster.SweepRecord) error
}

// Indexes are the blind indexes.
type Indexes interface {
	// AddIndex writes rows; one that is there already is left.
	AddIndex(ctx context.Context, rows ...muster.IndexRow) error
	// MoveIndex puts a row under another digest and handle; where there is none it does nothing.
	MoveIndex(ctx context.Context, was, is muster.IndexRow) error
	// CountHandles answers each question, in one round trip.
	CountHandles(ctx context.Context, questions ...muster.HandleCount) ([]int64, error)
}

// Log appends leaves. Their order is decided in this transaction: indexes are
// dense and rise in the order of commits. ref is the id of the record that the
// leaf commits to ("" for none); each leaf has a record or a tombstone.
type Log interface {
	Append(ctx context.Context, leaf []byte, ref string) error
	AddEntry(ctx context.Context, r *muster.EntryRecord) error // the record of a leaf that is no decision
}

// Gate is what the gate says of accounts, for those who follow it: written in the
// transaction that moves an account, in the order of commits.
type Gate interface {
	// PutGate writes it. Where the account is fresh and another has its hash, the
	// commit fails with CodeConflict.
	PutGate(ctx context.Context, r *muster.ProfileRecord) error
	GateFilled(ctx context.Context) (account string, err error) // up to which account FillGate has come
	SetGateFilled(ctx context.Context, account string) error
	AccountsToFill(ctx context.Context, p muster.Page) ([]*muster.AccountRecord, error) // in the order of their ids, kept as they are until the transaction ends
}

// Jobs is background work, enqueued in the transaction that causes it.
type Jobs interface {
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
	LaterJob(ctx context.Context, kind, ref, id string, by time.Time) (bool, error) // made after that one, and at work by then
	AwaitedJob(ctx context.Context, kind, ref string, by time.Time) (bool, error)   // due by then, and not begun
}

// Imports are the provider's existing book: files on their way in, cohorts, and which
// accounts were taken over.
type Imports interface {
	Import(ctx context.Context, id string) (*muster.ImportRecord, error)
	ImportOf(ctx context.Context, cohort, source string) (*muster.ImportRecord, error)
	PutImport(ctx context.Context, r *muster.ImportRecord) error // CodeConflict: the file is on its way into that cohort
	References(ctx context.Context, references []string) (map[string]*muster.ReferenceUse, error)
	Cohort(ctx context.Context, name string) (*muster.Cohort, error)
	Cohorts(ctx context.Context) ([]*muster.Cohort, error)
	PutCohort(ctx context.Context, c *muster.Cohort) error
	CountCohort(ctx context.Context, name string, since time.Time) (members, decided, lately int, err error)
	Adopted(ctx context.Context, account string) (*muster.AdoptedRecord, error)
	AdoptedWaiting(ctx context.Context, cohort string, p muster.Page) ([]*muster.AdoptedRecord, error)
	PutAdopted(ctx context.Context, r *muster.AdoptedRecord) error
}
