package roomtest

import (
	"context"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// ErrFault is what a failing store returns.
var ErrFault = muster.Errorf(muster.CodeUnavailable, "the store is away")

// Faults makes the store of package onboard fail: at the nth write of a
// transaction, or after the commit landed. The zero value does not.
type Faults struct {
	mu    sync.Mutex
	at    int  // fail the nth write of every transaction, counting from 1; 0: none
	after bool // fail once, after the next commit
	hit   bool
}

// FailWrite fails the nth write of every transaction: one that runs again fails again.
func (f *Faults) FailWrite(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.hit = n, false
}

// FailAfter fails once, after the next commit.
func (f *Faults) FailAfter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.hit = true, false
}

// Off ends all failing, and reports whether anything failed.
func (f *Faults) Off() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.after = 0, false
	return f.hit
}

func (f *Faults) onWrite(n *int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n++; *n == f.at {
		f.hit = true
		return ErrFault
	}
	return nil
}

func (f *Faults) onCommit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after {
		f.after, f.hit = false, true
		return ErrFault
	}
	return nil
}

type room struct {
	store.Room[onboard.Tx]
	f *Faults
}

func (r room) InTx(ctx context.Context, fn func(onboard.Tx) error) error {
	if err := r.Room.InTx(ctx, func(tx onboard.Tx) error { return fn(failing{tx, r.f, new(int)}) }); err != nil {
		return err
	}
	return r.f.onCommit()
}

func (r room) Arrive(ctx context.Context, reference, account string, questions []muster.HandleCount, fn func(onboard.Tx, bool, []int64) error) error {
	if err := r.Room.Arrive(ctx, reference, account, questions, func(tx onboard.Tx, taken bool, counts []int64) error {
		return fn(failing{tx, r.f, new(int)}, taken, counts)
	}); err != nil {
		return err
	}
	return r.f.onCommit()
}

// failing is a transaction whose writes may fail.
type failing struct {
	onboard.Tx
	f *Faults
	n *int // writes so far
}

func write[T any](ctx context.Context, t failing, x T, do func(context.Context, T) error) error {
	if err := t.f.onWrite(t.n); err != nil {
		return err
	}
	return do(ctx, x)
}

func (t failing) PutApplication(ctx context.Context, r *muster.ApplicationRecord) error {
	return write(ctx, t, r, t.Tx.PutApplication)
}

func (t failing) PutCustomer(ctx context.Context, r *muster.CustomerRecord) error {
	return write(ctx, t, r, t.Tx.PutCustomer)
}

func (t failing) PutAccount(ctx context.Context, r *muster.AccountRecord) error {
	return write(ctx, t, r, t.Tx.PutAccount)
}

func (t failing) PutGate(ctx context.Context, r *muster.ProfileRecord) error {
	return write(ctx, t, r, t.Tx.PutGate)
}

func (t failing) AddEvidence(ctx context.Context, r *muster.EvidenceRecord) error {
	return write(ctx, t, r, t.Tx.AddEvidence)
}

func (t failing) AddChallenge(ctx context.Context, r *muster.ChallengeRecord) error {
	return write(ctx, t, r, t.Tx.AddChallenge)
}

func (t failing) FinishChallenge(ctx context.Context, id string) error {
	return write(ctx, t, id, t.Tx.FinishChallenge)
}

func (t failing) AddDecision(ctx context.Context, r *muster.DecisionRecord) error {
	return write(ctx, t, r, t.Tx.AddDecision)
}

func (t failing) PutReview(ctx context.Context, r *muster.ReviewRecord) error {
	return write(ctx, t, r, t.Tx.PutReview)
}

func (t failing) PutHit(ctx context.Context, r *muster.HitRecord) error {
	return write(ctx, t, r, t.Tx.PutHit)
}

func (t failing) AddEntry(ctx context.Context, r *muster.EntryRecord) error {
	return write(ctx, t, r, t.Tx.AddEntry)
}

func (t failing) PutSubjects(ctx context.Context, rs ...*muster.SubjectRecord) error {
	return write(ctx, t, rs, func(ctx context.Context, rs []*muster.SubjectRecord) error { return t.Tx.PutSubjects(ctx, rs...) })
}

func (t failing) AddClaims(ctx context.Context, rs ...*muster.ClaimsRecord) error {
	return write(ctx, t, rs, func(ctx context.Context, rs []*muster.ClaimsRecord) error { return t.Tx.AddClaims(ctx, rs...) })
}

func (t failing) AddIndex(ctx context.Context, rs ...muster.IndexRow) error {
	return write(ctx, t, rs, func(ctx context.Context, rs []muster.IndexRow) error { return t.Tx.AddIndex(ctx, rs...) })
}

func (t failing) MoveIndex(ctx context.Context, was, is muster.IndexRow) error {
	return write(ctx, t, is, func(ctx context.Context, is muster.IndexRow) error { return t.Tx.MoveIndex(ctx, was, is) })
}

func (t failing) Enqueue(ctx context.Context, js ...*muster.Job) error {
	return write(ctx, t, js, func(ctx context.Context, js []*muster.Job) error { return t.Tx.Enqueue(ctx, js...) })
}

func (t failing) Append(ctx context.Context, leaf []byte, ref string) error {
	return write(ctx, t, leaf, func(ctx context.Context, leaf []byte) error { return t.Tx.Append(ctx, leaf, ref) })
}
