package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
)

// farObjects is a directory that answers as slowly as a bucket in the same region does.
type farObjects struct {
	*objects.Dir
	asked atomic.Int64
}

const farAway = 20 * time.Millisecond

func (f *farObjects) Part(ctx context.Context, name string, from, size int64) ([]byte, error) {
	f.asked.Add(1)
	time.Sleep(farAway)
	return f.Dir.Part(ctx, name, from, size)
}

// ledgerVolumes moves a year's chunks of quarters that are over into volumes, and asks
// the same questions again: of volumes that nothing is remembered of, and once more.
func ledgerVolumes(ctx context.Context, r *run, name, dir string, owners map[string]ledger.Holder, asked []muster.AccessRecord) error {
	l, err := openLedgerRig(ctx, dir, owners)
	if err != nil {
		return err
	}
	l.now = yearStart.AddDate(0, 0, 375)
	clock := func() time.Time { return l.now }
	far := &farObjects{Dir: objects.NewDir(filepath.Join(dir, "volumes"))}
	shelf, err := ledger.NewShelf(ledger.ShelfConfig{Objects: far, Clock: clock, Fill: true})
	if err != nil {
		return err
	}
	room := store.LedgerAs[ledger.Tx](l.store)
	sealer, err := ledger.NewSealer(ledger.SealerConfig{DB: room, Vault: l.vault, Recorder: unwritten{}, Directory: l, Clock: clock, Shelf: shelf})
	if err != nil {
		return err
	}
	ask, err := ledger.NewQuestions(ledger.QuestionsConfig{DB: room, Vault: l.vault, Recorder: unwritten{}, Tail: l.hot, Directory: l, Clock: clock, Shelf: shelf})
	if err != nil {
		return err
	}
	_, before, _, err := l.size(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := sealer.Tend(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	_, after, _, err := l.size(ctx)
	if err != nil {
		return err
	}
	var all []ledger.Volume
	if err := room.View(ctx, func(tx ledger.Tx) error {
		all, err = tx.Volumes(ctx)
		return err
	}); err != nil {
		return err
	}
	chunks, bytes := int64(0), int64(0)
	for _, v := range all {
		chunks += v.Chunks
		bytes += v.Size
	}
	r.note(name+"in volumes: objects", float64(len(all)), "")
	r.note(name+"  chunks in one", float64(chunks)/float64(max(len(all), 1)), "")
	r.note(name+"  bytes of one chunk", float64(bytes)/float64(max(chunks, 1)), "bytes")
	r.note(name+"  bytes of all", float64(bytes)/(1<<20), "MiB")
	r.note(name+"  pages of chunks in the store, of before", float64(after)/float64(before), "times")
	r.note(name+"  moved", float64(bytes)/(1<<20)/took.Seconds(), "MiB/s")
	for _, what := range []string{"of a bucket 20 ms away", "of what is remembered"} {
		was := far.asked.Load()
		times, err := latencies(ctx, ask, asked)
		if err != nil {
			return err
		}
		r.note(name+"  who came from IP at T, "+what+", p50", at(times, 0.5), "ms")
		r.note(name+"    p99", at(times, 0.99), "ms")
		r.note(name+"    requests a question", float64(far.asked.Load()-was)/float64(len(asked)), "")
	}
	return errors.Join(sealer.Close(ctx), l.close(ctx))
}
