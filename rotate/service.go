package rotate

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// DB opens transactions. See onboard.DB.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Rotations
	Rows
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
}

// Rotations are turns under way, and those that ended.
type Rotations interface {
	Handovers(ctx context.Context) ([]muster.Handover, error)
	PutHandover(ctx context.Context, h muster.Handover) error
	Rotation(ctx context.Context, id string) (*muster.Rotation, error)
	Rotations(ctx context.Context, ended bool, limit int) ([]*muster.Rotation, error) // newest first
	PutRotation(ctx context.Context, r *muster.Rotation) error                        // CodeConflict: another turn of that name is under way
}

// Rows are what is brought up to a new version.
type Rows interface {
	SealedBefore(ctx context.Context, table string, version int, after string, limit int) ([]muster.SealedRow, error)
	Reseal(ctx context.Context, table, place string, was, is []byte) error
	IndexPage(ctx context.Context, kind string, after muster.IndexRow, limit int) ([]muster.IndexRow, error)
	MoveIndex(ctx context.Context, was, is muster.IndexRow) error
	IndexBefore(ctx context.Context, kind string, version int) (int64, error)
	DropIndexBefore(ctx context.Context, kind string, version int) error
	RequestsBefore(ctx context.Context, version int) (int64, error)
	DropRequestsBefore(ctx context.Context, version int) error
	TokensBefore(ctx context.Context, version int) (n int64, last time.Time, err error)
	TurnGate(ctx context.Context, version int, hash func(reference string) (was, is [16]byte)) (accounts int, err error)
	RehashGateRecords(ctx context.Context, hash func(reference string) (was, is [16]byte)) (records int, err error)
}

// Book opens what is on file.
type Book interface {
	// Reindex looks at a page of customers after one, for the kinds whose key turns, and
	// returns the page's last ("": there was none) and what writes its changes.
	Reindex(ctx context.Context, session *vault.Session, after string, kinds []vault.Kind, requests bool) (last string, write func(context.Context, Tx) error, err error)
}

// Log is the transparency log, whose key others hold.
type Log interface {
	// HandOver signs a hand-over from the key in use to the version that waits.
	HandOver(ctx context.Context) (muster.Handover, error)
	// SignedBy reports whether the newest head carries a signature of that version.
	SignedBy(ctx context.Context, version int) (bool, error)
}

// Config of a Service; all of it.
type Config struct {
	DB      DB
	Vault   *vault.Vault
	Journal *journal.Journal
	Clock   muster.Clock
	Book    Book
	Log     Log

	// Hash hashes an account's reference under a version of the gate's key.
	Hash func(version int, reference string) ([16]byte, error)
	// Epoch ends the epoch of the subjects' keys, or goes on with it, until about then: it
	// returns the number of the one that began, and how many keys this try wrapped anew.
	Epoch func(ctx context.Context, until time.Time) (epoch int, keys int64, done bool, err error)

	Settle     time.Duration // in which every process has learned of a change of the set, and what began before it has ended
	Quarantine time.Duration // for which the ledger keeps records whose account nobody knows
}

// Service turns keys.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service { return &Service{c} }

// All is the name under which everything turns.
const All = "all"

const nameEpoch = "epoch"

// Names lists what turns by itself: every key of the set in a turn of its own, but
// the keys of digests, which All turns together, because one reading of the book does
// for all of them.
func Names() []string {
	names := []string{nameEpoch, "prf"}
	for _, k := range vault.Kinds {
		names = append(names, "prf/"+string(k))
	}
	return append(names, "handle", "gate", "request", "compliance", "webhook", "config", "code", "token", "record", "log", "snapshot")
}

// ofAll are the names that All stands for.
func ofAll() []string {
	return slices.DeleteFunc(Names(), func(n string) bool { return len(n) > 4 && n[:4] == "prf/" })
}

// keysOf are the keys of the set that turn under a name.
func keysOf(name string) []string {
	switch name {
	case nameEpoch:
		return nil
	case "prf":
		var all []string
		for _, k := range vault.Kinds {
			all = append(all, "prf/"+string(k))
		}
		return all
	}
	return []string{name}
}

// Longest is how long both versions of a key that others hold may be good at the most.
const Longest = 90 * 24 * time.Hour

// held reports whether a key is known outside, so that others need time.
func held(name string) bool { return name == "log" || name == "snapshot" }

// Begin begins turns: of one name, or of all. overlap is how long both versions are
// good of those that others hold too. One that is under way already is returned as it
// stands. CodeConflict: a key of it turns under another name.
func (s *Service) Begin(ctx context.Context, by, name string, overlap time.Duration) ([]*muster.Rotation, error) {
	names := []string{name}
	switch {
	case name == All:
		names = ofAll()
	case !slices.Contains(Names(), name):
		return nil, muster.Invalid(muster.Fault{Pointer: "/key", Code: "unknown_value", Detail: "no such key turns: see docs/keys.md"})
	}
	if overlap < 0 || overlap > Longest {
		return nil, muster.Invalid(muster.Fault{Pointer: "/overlap", Code: "out_of_range", Detail: "is no time up to 90 days"})
	}
	var begun []*muster.Rotation
	for _, n := range names {
		r, err := s.begin(ctx, by, n, overlap)
		if err != nil {
			return begun, err
		}
		begun = append(begun, r)
	}
	return begun, nil
}

func (s *Service) begin(ctx context.Context, by, name string, overlap time.Duration) (r *muster.Rotation, err error) {
	keys := keysOf(name)
	targets, err := s.Vault.Next(keys...)
	if err != nil {
		return nil, err
	}
	if !held(name) {
		overlap = 0
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		under, err := tx.Rotations(ctx, false, 100)
		if err != nil {
			return err
		}
		for _, u := range under {
			if u.Name == name {
				r = u
				return nil
			}
			for _, k := range keys {
				if u.Targets[k] != 0 {
					return muster.Errorf(muster.CodeConflict, "the key %s turns already, as %s", k, u.Name)
				}
			}
		}
		r = &muster.Rotation{
			ID: muster.NewID(muster.PrefixRotation, tx.Now()), Name: name, Stage: muster.RotationAsked, Targets: targets,
			Operator: by, Asked: tx.Now(), Due: tx.Now(), Overlap: overlap,
		}
		if err := tx.PutRotation(ctx, r); err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, s.job(r, tx.Now())); err != nil {
			return err
		}
		return s.enter(ctx, tx, by, r, "begun")
	})
	return r, err
}

func (s *Service) job(r *muster.Rotation, now time.Time) *muster.Job {
	return &muster.Job{ID: muster.NewID("job_", now), Kind: muster.JobRotate, Ref: r.ID, RunAt: now}
}

func (s *Service) enter(ctx context.Context, tx Tx, by string, r *muster.Rotation, what string) error {
	if r.Name == nameEpoch {
		return nil // it has entries of its own
	}
	return s.journal(ctx, tx, by, r, journal.Turned{What: what, Targets: r.Targets, Rows: r.Done, Went: r.Left})
}

func (s *Service) journal(ctx context.Context, tx Tx, by string, r *muster.Rotation, body journal.Turned) error {
	_, err := s.Journal.Enter(ctx, tx, tlog.Key, by, muster.Ref{Kind: journal.AboutTurn, ID: r.ID}, body)
	return err
}

// Finish ends the time in which both versions are good: the new one is used now.
func (s *Service) Finish(ctx context.Context, by, id string) (r *muster.Rotation, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Rotation(ctx, id); err != nil {
			return err
		}
		if r.Stage != muster.RotationKnown || r.Overlap == 0 {
			return muster.Errorf(muster.CodeConflict, "this turn does not wait for others")
		}
		r.Overlap, r.Due = 0, tx.Now().Add(s.Settle)
		if err := tx.PutRotation(ctx, r); err != nil {
			return err
		}
		// Beside the job that sleeps until the end of the overlap, and finds nothing to do then.
		j := s.job(r, tx.Now())
		j.RunAt = r.Due
		if err := tx.Enqueue(ctx, j); err != nil {
			return err
		}
		return s.enter(ctx, tx, by, r, "finish")
	})
	return r, err
}

// Rotations lists turns, newest first: those under way, or the last hundred of all.
func (s *Service) Rotations(ctx context.Context, ended bool) (list []*muster.Rotation, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		list, err = tx.Rotations(ctx, ended, 100)
		return err
	})
	return list, err
}

// Keys lists the keys of the set, as this process holds them.
func (s *Service) Keys() []vault.Static { return s.Vault.Statics() }
