package rotate

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

const (
	slack     = 3 * time.Second // before the deadline: nothing further is begun
	lookAgain = time.Hour       // whether tokens of an old version are left
	keepCode  = time.Hour       // codes are good for ten minutes
	keepDay   = 25 * time.Hour  // answers under an Idempotency-Key, ids of records
)

// work is one try of a turn's job.
type work struct {
	*Service
	r       *muster.Rotation
	session *vault.Session // opened where the book is
	opened  int
}

// Step goes on with the turn of a job for as long as ctx lets it. after is when to look
// again, 0: at once; code says why.
func (s *Service) Step(ctx context.Context, job *muster.Job) (done bool, after time.Duration, code string, err error) {
	w := &work{Service: s}
	defer func() {
		if e := w.end(ctx); e != nil && err == nil {
			err = e
		}
	}()
	for {
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			w.r, err = tx.Rotation(ctx, job.Ref)
			return err
		}); err != nil {
			return false, 0, "", err
		}
		if w.r.Stage == muster.RotationDone {
			return true, 0, "", nil
		}
		if wait := w.r.Due.Sub(s.Clock()); wait > 0 {
			return false, wait, string(w.r.Stage), nil
		}
		began := time.Now()
		wait, err := w.advance(ctx)
		if err != nil || wait > 0 {
			return false, wait, string(w.r.Stage), err
		}
		if w.r.Stage == muster.RotationMoving && !pause(ctx, time.Since(began)) || !timeFor(ctx) {
			return false, 0, "going_on", nil
		}
	}
}

// pause leaves others as much time as a page took; false: the try is over.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(min(d, time.Second)):
		return true
	}
}

func timeFor(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > slack)
}

// advance does the next thing and writes down that it is done. wait: not yet, look
// again then.
func (w *work) advance(ctx context.Context) (wait time.Duration, err error) {
	if w.r.Name == nameEpoch {
		return 0, w.epoch(ctx)
	}
	to := vault.Target(w.r.Targets)
	switch w.r.Stage {
	case muster.RotationAsked:
		if err := w.Vault.Prepare(ctx, to); err != nil {
			return 0, err
		}
		var with func(Tx) error
		if w.r.Name == "log" {
			h, err := w.Log.HandOver(ctx)
			if err != nil {
				return 0, err
			}
			with = func(tx Tx) error { return w.handOver(ctx, tx, h) }
		}
		return 0, w.to(ctx, muster.RotationKnown, max(w.Settle, w.r.Overlap), with)
	case muster.RotationKnown:
		if w.r.Name == "log" {
			// A head without the new signature would be nobody's once the old key is gone.
			if ok, err := w.Log.SignedBy(ctx, to["log"]); err != nil || !ok {
				return time.Second, err
			}
		}
		if w.r.Name == "gate" {
			if err := w.turnGate(ctx, to["gate"]); err != nil {
				return 0, err
			}
		}
		if err := w.Vault.Promote(ctx, to); err != nil {
			return 0, err
		}
		return 0, w.to(ctx, muster.RotationUsed, w.Settle, nil)
	case muster.RotationUsed:
		return 0, w.to(ctx, muster.RotationMoving, 0, nil)
	case muster.RotationMoving:
		moved, err := w.move(ctx)
		if err != nil || !moved {
			return 0, err
		}
		return 0, w.to(ctx, muster.RotationKeeping, w.keep(), nil)
	}
	if w.r.Name == "token" {
		n, err := w.tokensLeft(ctx)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			return lookAgain, nil
		}
	}
	if w.r.Name == "gate" { // what edges answered with the old key, and sent late
		if err := w.DB.InTx(ctx, func(tx Tx) error {
			_, err := tx.RehashGateRecords(ctx, w.hashes(to["gate"]))
			return err
		}); err != nil {
			return 0, err
		}
	}
	if err := w.Vault.Retire(ctx, to); err != nil {
		return 0, err
	}
	return 0, w.done(ctx)
}

// keep is how long an old version is good for what runs out by itself.
func (w *work) keep() time.Duration {
	switch w.r.Name {
	case "code":
		return keepCode
	case "request", "config":
		return keepDay
	case "record":
		return max(keepDay, w.Quarantine+time.Hour)
	case "gate":
		return w.Settle
	}
	return 0
}

// to brings the turn to its next stage, which may be left after a time. with is
// written in the same transaction.
func (w *work) to(ctx context.Context, stage muster.RotationStage, after time.Duration, with func(Tx) error) error {
	w.r.Stage, w.r.Due, w.r.Place = stage, w.Clock().Add(after), ""
	return w.save(ctx, with)
}

func (w *work) done(ctx context.Context) error {
	w.r.Ended = muster.Instant(w.Clock())
	return w.to(ctx, muster.RotationDone, 0, func(tx Tx) error { return w.enter(ctx, tx, "", w.r, "done") })
}

// save writes how far the turn is: as long as its job is ours, which ctx says (muster.WithFence).
func (w *work) save(ctx context.Context, with func(Tx) error) error {
	return w.DB.InTx(ctx, func(tx Tx) error {
		if with != nil {
			if err := with(tx); err != nil {
				return err
			}
		}
		return tx.PutRotation(ctx, w.r)
	})
}

func (w *work) epoch(ctx context.Context) error {
	until := w.Clock().Add(time.Minute)
	if deadline, ok := ctx.Deadline(); ok {
		until = w.Clock().Add(time.Until(deadline) - slack)
	}
	epoch, keys, done, err := w.Epoch(ctx, until)
	if err != nil {
		return err
	}
	w.r.Done += keys
	if !done {
		return w.save(ctx, nil)
	}
	w.r.Targets = map[string]int{nameEpoch: epoch}
	return w.done(ctx)
}

// handOver keeps a hand-over of the log's key, with a leaf that commits to it: neither
// is there without the other, which the audit of the log holds them to.
func (w *work) handOver(ctx context.Context, tx Tx, h muster.Handover) error {
	h.Made = tx.Now()
	if err := tx.PutHandover(ctx, h); err != nil {
		return err
	}
	return w.journal(ctx, tx, "", w.r, journal.Turned{What: journal.HandedOver, Targets: w.r.Targets, Handover: journal.HandoverDigest(h.Note)})
}

func (w *work) tokensLeft(ctx context.Context) (n int64, err error) {
	err = w.DB.View(ctx, func(tx Tx) error {
		n, _, err = tx.TokensBefore(ctx, w.r.Targets["token"])
		return err
	})
	return n, err
}

// hashes hashes a reference under the version before the gate's target, and under it.
func (w *work) hashes(to int) func(string) (was, is [16]byte) {
	return func(reference string) (was, is [16]byte) {
		if h, err := w.Hash(to-1, reference); err == nil {
			was = h
		}
		if h, err := w.Hash(to, reference); err == nil {
			is = h
		}
		return was, is
	}
}

// turnGate puts every account's hash under the new key at one instant.
func (w *work) turnGate(ctx context.Context, to int) error {
	if _, err := w.Hash(to, ""); err != nil {
		return err
	}
	return w.DB.InTx(ctx, func(tx Tx) error {
		n, err := tx.TurnGate(ctx, to, w.hashes(to))
		if n > 0 {
			w.r.Done = int64(n)
		}
		return err
	})
}

// end closes the session in the book.
func (w *work) end(ctx context.Context) error {
	if w.session == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slack)
	defer cancel()
	return w.session.End(ctx, w.opened)
}
