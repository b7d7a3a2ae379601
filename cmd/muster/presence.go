package main

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/watch"
)

// presence is how long the others wait for a process that says no more that it is there:
// longer than clocks may be apart and a call takes, and no longer than a person waits for
// a code.
const presence = 15 * time.Second

// call is how long what Muster calls has to answer. It is shorter than a presence: what
// is sent is answered, or given up, before anybody else may send it.
func (h *house) call() time.Duration { return min(h.conf.lease()/6, presence*2/3) }

// shared reports whether other processes may have the same store.
func (h *house) shared() bool { return h.conf.Database != "" }

// leave says that this process ends, to whom it concerns.
func (h *house) leave(ctx context.Context, here *watch.Presence) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := here.Leave(ctx); err != nil {
		h.log.Warn("the others were not told", "code", string(muster.ErrorCode(err)))
	}
}
