package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/programme"
)

// reading is since when this process knows what decides as the store has it: packs,
// measures, watch lists, listeners. Every process reads them once a second, and what
// changes takes effect no sooner than programme.ActivationLead after it was agreed to. A
// process that was stopped meanwhile knows nothing of it when it goes on.
type reading struct {
	mu   sync.Mutex                // one reading at a time
	read atomic.Pointer[time.Time] // when the last one that succeeded began
}

// reload reads what decides. A standing duty: every second.
func (h *house) reload(ctx context.Context) error {
	h.reading.mu.Lock()
	defer h.reading.mu.Unlock()
	return h.readRules(ctx)
}

// readRules does reload; h.reading.mu is held. Lists that cannot be compiled are a fault
// of theirs, which the lists' own duty says, and those of before go on counting.
func (h *house) readRules(ctx context.Context) error {
	began := time.Now()
	if err := h.load(ctx); err != nil {
		return err
	}
	err := h.watching.load(ctx)
	if muster.ErrorCode(err) != muster.CodeUnavailable {
		h.reading.read.Store(&began)
	}
	return err
}

// beFresh is asked before anything is decided: where the last reading is too old to
// know of all that is in effect, it reads first. The running time tells, which goes on
// while a process is stopped.
func (h *house) beFresh(ctx context.Context) error {
	known := func() bool {
		at := h.reading.read.Load()
		return at != nil && time.Since(*at) < programme.ActivationLead
	}
	if known() {
		return nil
	}
	h.reading.mu.Lock()
	defer h.reading.mu.Unlock()
	if known() { // another that waited has read them
		return nil
	}
	if err := h.readRules(ctx); !known() {
		return err
	}
	return nil
}
