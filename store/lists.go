package store

import (
	"context"

	"github.com/muster-cip/muster"
)

const snapshotColumns = `list, digest, as_of, made, entries, seen, broken, orphans, how, operator, report`

func scanSnapshot(r row) (*muster.ListSnapshot, error) {
	x := &muster.ListSnapshot{}
	return x, r.scan(&x.List, &x.Digest, &x.AsOf, &x.Made, &x.Entries, &x.Rows, &x.Broken, &x.Orphans, &x.How, &x.Operator, &x.Report)
}

// ListSnapshot finds a snapshot, without its body.
func (tx *Tx) ListSnapshot(ctx context.Context, list, digest string) (*muster.ListSnapshot, error) {
	return one(ctx, tx, "snapshot of that list", scanSnapshot, `SELECT `+snapshotColumns+` FROM list_snapshots WHERE list = ? AND digest = ?`, list, digest)
}

// ListBody is the body of a snapshot.
func (tx *Tx) ListBody(ctx context.Context, list, digest string) ([]byte, error) {
	return one(ctx, tx, "snapshot of that list", func(r row) (b []byte, err error) { return b, r.scan(&b) },
		`SELECT body FROM list_snapshots WHERE list = ? AND digest = ?`, list, digest)
}

// ListSnapshots lists a list's snapshots, newest first, without their bodies.
func (tx *Tx) ListSnapshots(ctx context.Context, list string) ([]*muster.ListSnapshot, error) {
	return all(ctx, tx, scanSnapshot, `SELECT `+snapshotColumns+` FROM list_snapshots WHERE list = ? ORDER BY made DESC, digest`, list)
}

// AddListSnapshot inserts; one that is there already is left as it is.
func (tx *Tx) AddListSnapshot(ctx context.Context, x *muster.ListSnapshot) error {
	return tx.exec(ctx, nil, `INSERT INTO list_snapshots (`+snapshotColumns+`, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		x.List, x.Digest, x.AsOf, x.Made, x.Entries, x.Rows, x.Broken, x.Orphans, x.How, x.Operator, x.Report, x.Body)
}

const stateColumns = `list, digest, since, fresh, source, held, held_at, held_why, version`

func scanListState(r row) (*muster.ListState, error) {
	x := &muster.ListState{}
	return x, r.scan(&x.List, &x.Digest, &x.Since, &x.Fresh, &x.Source, &x.Held, &x.HeldAt, &x.HeldWhy, &x.Version)
}

// ListStates are all lists, in the order of their ids.
func (tx *Tx) ListStates(ctx context.Context) ([]*muster.ListState, error) {
	return all(ctx, tx, scanListState, `SELECT `+stateColumns+` FROM list_states ORDER BY list`)
}

// ListState finds where a list stands.
func (tx *Tx) ListState(ctx context.Context, list string) (*muster.ListState, error) {
	return one(ctx, tx, "list", scanListState, `SELECT `+stateColumns+` FROM list_states WHERE list = ?`, list)
}

// PutListState inserts or updates by version.
func (tx *Tx) PutListState(ctx context.Context, x *muster.ListState) error {
	return tx.put(ctx, &x.Version,
		`INSERT INTO list_states (digest, since, fresh, source, held, held_at, held_why, version, list) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE list_states SET digest = ?, since = ?, fresh = ?, source = ?, held = ?, held_at = ?, held_why = ?, version = ? WHERE list = ? AND version = ?`,
		x.List, x.Digest, x.Since, x.Fresh, x.Source, x.Held, x.HeldAt, x.HeldWhy)
}

// AddListEvent inserts.
func (tx *Tx) AddListEvent(ctx context.Context, x *muster.ListEvent) error {
	return tx.exec(ctx, nil, `INSERT INTO list_events (id, list, version, at, what, digest, was, operator, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		x.ID, x.List, x.Version, x.At, x.What, x.Digest, x.Before, x.Operator, x.Sealed)
}

// ListEvents lists what became of a list, newest first, at most limit.
func (tx *Tx) ListEvents(ctx context.Context, list string, limit int) ([]*muster.ListEvent, error) {
	return all(ctx, tx, func(r row) (*muster.ListEvent, error) {
		x := &muster.ListEvent{}
		return x, r.scan(&x.ID, &x.List, &x.Version, &x.At, &x.What, &x.Digest, &x.Before, &x.Operator, &x.Sealed)
	}, `SELECT id, list, version, at, what, digest, was, operator, reason FROM list_events WHERE list = ? ORDER BY version DESC, id DESC LIMIT ?`, list, limit)
}

func scanListSource(r row) (*muster.ListSource, error) {
	x := &muster.ListSource{}
	var lists string
	if err := r.scan(&x.Source, &x.Seen, &lists, &x.Wanted, &x.Tried, &x.Checked, &x.Failures, &x.Reason, &x.Version); err != nil {
		return nil, err
	}
	return x, fromJSON(lists, &x.Lists)
}

// ListSources are all sources that were ever tried or asked for.
func (tx *Tx) ListSources(ctx context.Context) ([]*muster.ListSource, error) {
	return all(ctx, tx, scanListSource, `SELECT source, seen, lists, wanted, tried, checked, failures, reason, version FROM list_sources ORDER BY source`)
}

// PutListSource inserts or updates by version.
func (tx *Tx) PutListSource(ctx context.Context, x *muster.ListSource) error {
	lists, err := toJSON(x.Lists, len(x.Lists))
	if err != nil {
		return err
	}
	return tx.put(ctx, &x.Version,
		`INSERT INTO list_sources (seen, lists, wanted, tried, checked, failures, reason, version, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE list_sources SET seen = ?, lists = ?, wanted = ?, tried = ?, checked = ?, failures = ?, reason = ?, version = ? WHERE source = ? AND version = ?`,
		x.Source, x.Seen, lists, x.Wanted, x.Tried, x.Checked, x.Failures, x.Reason)
}
