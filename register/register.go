package register

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/measure"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/vault"
)

// Lead is how far ahead of its approval an act binds, so that every process has
// loaded it by then.
const Lead = 2 * time.Second

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Acts
	Book
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	Account(ctx context.Context, idOrReference string) (*muster.AccountRecord, error)
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
}

// Acts are the register's own tables.
type Acts interface {
	Determinations(ctx context.Context) ([]*muster.DeterminationRecord, error)
	Determination(ctx context.Context, id string) (*muster.DeterminationRecord, error)
	AddDetermination(ctx context.Context, r *muster.DeterminationRecord) error // CodeConflict: the id is taken
	SetHigh(ctx context.Context, id string, to time.Time) error
	RaiseHigh(ctx context.Context, to time.Time) error
	MeasureActs(ctx context.Context) ([]muster.MeasureAct, error)
	MeasureAct(ctx context.Context, id string) (*muster.MeasureAct, error)
	PutMeasureAct(ctx context.Context, a *muster.MeasureAct) error
	Progress(ctx context.Context, was string, a *muster.MeasureAct) error // CodeStale: it moved since
}

// Book is who comes under what.
type Book interface {
	AccountFacts(ctx context.Context, p muster.Page) ([]muster.FactsRecord, error)
	FactsUnder(ctx context.Context, determination string, p muster.Page) ([]muster.FactsRecord, error)
	FactsDecided(ctx context.Context, from, to time.Time, p muster.Page) ([]muster.FactsRecord, error)
	CountAccounts(ctx context.Context) (int, error)
	MatchesOf(ctx context.Context, account string) ([]muster.MatchRecord, error)
	MatchesBetween(ctx context.Context, after, upTo string) ([]muster.MatchRecord, error)
	Matches(ctx context.Context, determination string, p muster.Page) ([]muster.MatchRecord, error)
	CountMatches(ctx context.Context) (map[string]int, error)
	DueMatches(ctx context.Context, limit int) ([]string, error)
	PutMatches(ctx context.Context, account string, rows ...muster.MatchRecord) error
	Told(ctx context.Context, account, determination, phase string) error
	Undue(ctx context.Context, account string) error
}

// DB opens transactions. See onboard.DB.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Staff says whether two operators agreed (package staff).
type Staff interface {
	FourEyes(ctx context.Context, tx interface {
		Now() time.Time
		Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	}, proposer, by string, proposed time.Time) error
}

// Programme says which packs are in effect (package programme).
type Programme interface {
	At(t time.Time) (enforce, observe []*policy.Pack)
}

// Profiles tells the gate of an account, in the transaction that it is handed
// (package onboard).
type Profiles interface {
	PutProfile(ctx context.Context, tx Tx, account *muster.AccountRecord, ts []muster.Transition) error
}

// Decider decides an account anew (package onboard). CodeGone and CodeNotFound:
// there is nothing left to decide.
type Decider interface {
	Measured(ctx context.Context, account string) error
}

// Listeners says whether anyone wants to hear of events (webhooks).
type Listeners interface{ Any() bool }

// Config of a Register. Profiles, Decider and Listeners are set by who wires, after
// onboard was made; nil Profiles: there is no gate.
type Config struct {
	DB        DB
	Vault     *vault.Vault
	Journal   *journal.Journal
	Staff     Staff
	Programme Programme
	Clock     muster.Clock
	Profiles  Profiles
	Decider   Decider
	Listeners Listeners
}

// Register is the room's verbs. Safe for concurrent use. Load reads it from the
// store; every process loads at least once a second.
type Register struct {
	Config
	now atomic.Pointer[book]
}

// book is every determination as it stands.
type book struct {
	all  []*muster.Measure // in the order of ids; those that were only proposed too
	acts []muster.MeasureAct
}

// New makes an empty one; call Load.
func New(c Config) *Register {
	r := &Register{Config: c}
	r.now.Store(&book{})
	return r
}

// Load reads determinations and acts.
func (r *Register) Load(ctx context.Context) error {
	var b *book
	err := r.DB.View(ctx, func(tx Tx) (err error) {
		b, err = read(ctx, tx)
		return err
	})
	if err == nil {
		r.now.Store(b)
	}
	return err
}

func read(ctx context.Context, tx Tx) (*book, error) {
	rows, err := tx.Determinations(ctx)
	if err != nil {
		return nil, err
	}
	b := &book{}
	if len(rows) == 0 {
		return b, nil
	}
	if b.acts, err = tx.MeasureActs(ctx); err != nil {
		return nil, err
	}
	for _, row := range rows {
		d, err := measure.Parse(row.Source)
		if err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "a determination on file cannot be read: %w", err)
		}
		b.all = append(b.all, measure.Fold(d, row.Digest, row.High, b.acts))
	}
	return b, nil
}

// find is a determination as it stands.
func (b *book) find(id string) *muster.Measure {
	for _, m := range b.all {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// Any is of onboard.Measures.
func (r *Register) Any() bool {
	return slices.ContainsFunc(r.now.Load().all, func(m *muster.Measure) bool { return !m.Enacted.IsZero() })
}

// Of is of onboard.Measures.
func (r *Register) Of(f *muster.Facts, a *muster.AccountRecord, at time.Time) []muster.AccountMeasure {
	return r.now.Load().of(f, a, at)
}

func (b *book) of(f *muster.Facts, a *muster.AccountRecord, at time.Time) (list []muster.AccountMeasure) {
	for _, m := range b.all {
		if m.Enacted.IsZero() || at.Before(m.Enacted) && m.High.Before(m.Enacted) {
			continue
		}
		if x, ok := measure.Match(m, f, a, at); ok {
			list = append(list, muster.AccountMeasure{Fact: x, Transitions: measure.Transitions(m, &x, a)})
		}
	}
	return list
}

// Rows is of onboard.Measures: the account is decided anew at the next instant at
// which something begins or ends for it.
func (r *Register) Rows(a *muster.AccountRecord, under []muster.AccountMeasure, at time.Time) []muster.MatchRecord {
	b := r.now.Load()
	var rows []muster.MatchRecord
	for i := range under {
		row := rowOf(a, &under[i])
		row.Next = next(b.find(row.Determination), &row, at)
		rows = append(rows, row)
	}
	return rows
}

func rowOf(a *muster.AccountRecord, m *muster.AccountMeasure) muster.MatchRecord {
	return muster.MatchRecord{Account: a.ID, Determination: m.Fact.ID, Phase: m.Fact.Phase, From: m.Fact.From, Until: m.Fact.Until}
}

// next is the first instant after at at which something changes.
func next(m *muster.Measure, row *muster.MatchRecord, at time.Time) (first time.Time) {
	if m == nil {
		return first
	}
	if m.High.After(at) {
		at = m.High
	}
	for _, t := range append(measure.Instants(m), row.From, row.Until) {
		if t.After(at) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Transitions is of onboard.Measures.
func (r *Register) Transitions(a *muster.AccountRecord, rows []muster.MatchRecord) (list []muster.Transition) {
	b := r.now.Load()
	for i := range rows {
		if m := b.find(rows[i].Determination); m != nil {
			x := measure.Kept(m, &rows[i])
			list = append(list, measure.Transitions(m, &x, a)...)
		}
	}
	return list
}
