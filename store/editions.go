package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// tookEffect is whether a line of a list's history put an edition into effect.
const tookEffect = `what IN ('applied', 'approved', 'rolled_back')`

// oldEditions are snapshots of lists that nothing refers to any more: not in effect, nor
// held, nor newer than the one that was in effect before (which is the way back); of a
// list of which no sweep is under way; and no decision or hit on file is from when it was
// in effect, or from so many microseconds after it.
const oldEditions = ` FROM list_snapshots s JOIN list_states t ON t.list = s.list WHERE s.digest NOT IN (t.digest, t.held)
	AND s.made < coalesce((SELECT b.made FROM list_events e JOIN list_snapshots b ON b.list = e.list AND b.digest = e.was
		WHERE e.list = t.list AND e.digest = t.digest AND e.was <> '' AND e.` + tookEffect + ` ORDER BY e.version DESC LIMIT 1), 0)
	AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = '` + muster.JobSweep + `' AND j.ref = s.list)
	AND NOT EXISTS (SELECT 1 FROM (SELECT e.list, e.at, (SELECT min(n.at) FROM list_events n WHERE n.list = e.list AND n.version > e.version AND n.` + tookEffect + `) AS until
			FROM list_events e WHERE e.list = s.list AND e.digest = s.digest AND e.` + tookEffect + `) x
		WHERE EXISTS (SELECT 1 FROM decisions d WHERE d.at >= x.at AND d.at < x.until + ?)
			OR EXISTS (SELECT 1 FROM hits h WHERE h.list = x.list AND (h.opened >= x.at AND h.opened < x.until + ? OR h.changed >= x.at AND h.changed < x.until + ?)))`

// OldEditions lists snapshots, without their bodies, that nothing refers to any more.
// slack is how long a process may go by a list after another took effect.
func (tx *Tx) OldEditions(ctx context.Context, slack time.Duration) ([]*muster.ListSnapshot, error) {
	s := slack.Microseconds()
	return all(ctx, tx, func(r row) (*muster.ListSnapshot, error) {
		x := &muster.ListSnapshot{}
		return x, r.scan(&x.List, &x.Digest, &x.Made)
	}, `SELECT s.list, s.digest, s.made`+oldEditions+` ORDER BY s.list, s.made, s.digest`, s, s, s)
}

// DropEdition removes a snapshot, and the sweep that compared everybody with it. Its line
// in the list's history stays. Whoever is about to put it into effect finds the list's
// state changed.
func (tx *Tx) DropEdition(ctx context.Context, list, digest string) error {
	if err := tx.exec(ctx, errStale, `UPDATE list_states SET version = version + 1 WHERE list = ? AND ? NOT IN (digest, held)`, list, digest); err != nil {
		return err
	}
	if err := tx.exec(ctx, nil, `DELETE FROM sweeps WHERE list = ? AND becomes = ? AND ended > 0`, list, digest); err != nil {
		return err
	}
	return tx.exec(ctx, errStale, `DELETE FROM list_snapshots WHERE list = ? AND digest = ?`, list, digest)
}
