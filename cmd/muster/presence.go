package main

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/watch"
)

// presence is how long the others wait for a process that says no more that it is there:
// longer than clocks may be apart and a call takes, and no longer than a person waits for
// a code.
const presence = 15 * time.Second

// call is how long what Muster calls has to answer. It is shorter than a presence: what
// is sent is answered, or given up, before anybody else may send it.
func (h *house) call() time.Duration { return min(h.conf.lease()/6, presence*2/3) }

// presenceOf stands before the name of a process in the ledger's lease, which no
// inheritance reaches: it is in another schema, and names holders that never said they were there.
const presenceOf = "process."

// gone reports of a holder of the ledger's lease that it said that it was there, and is no more.
func (h *house) gone(ctx context.Context, holder string) (gone bool, err error) {
	process, said := strings.CutPrefix(holder, presenceOf)
	if !said {
		return false, nil
	}
	err = h.db.View(ctx, func(tx *store.Tx) error {
		there, err := tx.IsPresent(ctx, process)
		gone = !there
		return err
	})
	return gone, err
}

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
