package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
)

// Keys that turn (package rotate): how far each turn is, and the rows that are brought
// up to a new version.

const rotationColumns = `id, name, stage, targets, operator, asked, due, overlap, place, done, left_over, ended, version`

func scanRotation(r row) (*muster.Rotation, error) {
	x := &muster.Rotation{}
	var stage, targets string
	if err := r.scan(&x.ID, &x.Name, &stage, &targets, &x.Operator, &x.Asked, &x.Due, &x.Overlap, &x.Place, &x.Done, &x.Left, &x.Ended, &x.Version); err != nil {
		return nil, err
	}
	x.Stage = muster.RotationStage(stage)
	return x, fromJSON(targets, &x.Targets)
}

// Rotation finds one turn.
func (tx *Tx) Rotation(ctx context.Context, id string) (*muster.Rotation, error) {
	return one(ctx, tx, "rotation", scanRotation, `SELECT `+rotationColumns+` FROM rotations WHERE id = ?`, id)
}

// Rotations lists turns, newest first; of those that are under way, or (ended) of all.
func (tx *Tx) Rotations(ctx context.Context, ended bool, limit int) ([]*muster.Rotation, error) {
	q := `SELECT ` + rotationColumns + ` FROM rotations WHERE active <> id ORDER BY id DESC LIMIT ?`
	if ended {
		q = `SELECT ` + rotationColumns + ` FROM rotations ORDER BY id DESC LIMIT ?`
	}
	return all(ctx, tx, scanRotation, q, limit)
}

// PutRotation inserts or updates by version. CodeConflict where another turn of the
// same name is under way.
func (tx *Tx) PutRotation(ctx context.Context, r *muster.Rotation) error {
	targets, err := json.Marshal(r.Targets)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a rotation cannot be written: %w", err)
	}
	active := r.Name
	if r.Stage == muster.RotationDone {
		active = r.ID
	}
	return tx.put(ctx, &r.Version,
		`INSERT INTO rotations (name, active, stage, targets, operator, asked, due, overlap, place, done, left_over, ended, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE rotations SET name = ?, active = ?, stage = ?, targets = ?, operator = ?, asked = ?, due = ?, overlap = ?, place = ?, done = ?,
			left_over = ?, ended = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, r.Name, active, string(r.Stage), string(targets), r.Operator, r.Asked, r.Due, r.Overlap.Microseconds(), r.Place, r.Done, r.Left, r.Ended)
}

// sealedTable is where secrets lie that are sealed under a key of the set, and how
// one is named there. Its UPDATE leaves a row that was changed meanwhile, and makes
// whoever read the row before lose.
type sealedTable struct{ table, place, column, where, bump string }

var sealedTables = map[string]sealedTable{
	"decisions":      {"decisions", `id`, `salt`, ``, ``},
	"entries":        {"entries", `id`, `salt`, ``, ``},
	"webhooks":       {"webhooks", `id`, `secret`, ``, `, version = version + 1`},
	"list_snapshots": {"list_snapshots", `'list/' || list || '/' || digest`, `body`, ` AND list LIKE 'own.%'`, ``},
	"list_events":    {"list_events", `'list event/' || id`, `reason`, ``, ``},
}

func sealedTableOf(name string) (sealedTable, error) {
	t, ok := sealedTables[name]
	if !ok {
		return t, muster.Errorf(muster.CodeInternal, "nothing is sealed in a table of that name")
	}
	return t, nil
}

// SealedBefore lists secrets of a table that are sealed under another version of
// their key, in the order of their places.
func (tx *Tx) SealedBefore(ctx context.Context, table string, version int, after string, limit int) ([]muster.SealedRow, error) {
	t, err := sealedTableOf(table)
	if err != nil {
		return nil, err
	}
	return all(ctx, tx, func(r row) (x muster.SealedRow, err error) { return x, r.scan(&x.Place, &x.Sealed) },
		`SELECT `+t.place+`, `+t.column+` FROM `+t.table+` WHERE `+t.place+` > ? AND length(`+t.column+`) > 1 AND substr(`+t.column+`, 2, 1) <> ?`+t.where+
			` ORDER BY `+t.place+` LIMIT ?`, after, []byte{byte(version)}, limit)
}

// Reseal replaces a secret, unless it was changed meanwhile.
func (tx *Tx) Reseal(ctx context.Context, table, place string, was, is []byte) error {
	t, err := sealedTableOf(table)
	if err != nil {
		return err
	}
	return tx.exec(ctx, nil, `UPDATE `+t.table+` SET `+t.column+` = ?`+t.bump+` WHERE `+t.place+` = ? AND `+t.column+` = ?`, is, place, was)
}

// IndexBefore counts the rows of a blind index whose digests are of a version before
// that; of the kind listed, hits.
func (tx *Tx) IndexBefore(ctx context.Context, kind string, version int) (int64, error) {
	if kind == "listed" {
		return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM hits WHERE listed < ?`, []byte{byte(version)})
	}
	n, err := kindNumber(kind)
	if err != nil {
		return 0, err
	}
	return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM blind WHERE kind = ? AND digest < ?`, n, []byte{byte(version)})
}

// DropIndexBefore removes them. Hits stay: they are found by their customer too.
func (tx *Tx) DropIndexBefore(ctx context.Context, kind string, version int) error {
	n, err := kindNumber(kind)
	if err != nil {
		return err
	}
	return tx.exec(ctx, nil, `DELETE FROM blind WHERE kind = ? AND digest < ?`, n, []byte{byte(version)})
}

// MoveIndex puts a row of the blind index under another digest and handle of the same
// value and subject, with its role and day. Where there is none it does nothing.
func (tx *Tx) MoveIndex(ctx context.Context, was, is muster.IndexRow) error {
	n, err := kindNumber(was.Kind)
	if err != nil {
		return err
	}
	if err := tx.exec(ctx, nil, `INSERT INTO blind (kind, digest, handle, role, made)
		SELECT kind, CAST(? AS `+tx.blob()+`), CAST(? AS `+tx.blob()+`), role, made FROM blind WHERE kind = ? AND digest = ? AND handle = ?
		ON CONFLICT DO NOTHING`, is.Digest, is.Handle, n, was.Digest, was.Handle); err != nil {
		return err
	}
	return tx.exec(ctx, nil, `DELETE FROM blind WHERE kind = ? AND digest = ? AND handle = ?`, n, was.Digest, was.Handle)
}

// blob is the type of bytes in the words of the database.
func (tx *Tx) blob() string {
	if _, shared := tx.c.(*postgresConn); shared {
		return "BYTEA"
	}
	return "BLOB"
}

// RelistHit gives a hit another digest of its entry.
func (tx *Tx) RelistHit(ctx context.Context, id string, was, is []byte) error {
	return tx.exec(ctx, nil, `UPDATE hits SET listed = ?, version = version + 1 WHERE id = ? AND listed = ?`, is, id, was)
}

// RequestsBefore counts applications whose MAC is of a version before that.
func (tx *Tx) RequestsBefore(ctx context.Context, version int) (int64, error) {
	return one(ctx, tx, "count", scanInt, `SELECT count(*) FROM applications WHERE mac < ?`, []byte{byte(version)})
}

// RenewRequest gives an application another MAC of what was sent.
func (tx *Tx) RenewRequest(ctx context.Context, application string, was, is []byte) error {
	return tx.exec(ctx, nil, `UPDATE applications SET mac = ? WHERE id = ? AND mac = ?`, is, application, was)
}

// DropRequestsBefore makes applications forget MACs of a version before that: sent
// again, they are a conflict.
func (tx *Tx) DropRequestsBefore(ctx context.Context, version int) error {
	return tx.exec(ctx, nil, `UPDATE applications SET mac = ? WHERE mac < ?`, []byte{255}, []byte{byte(version)})
}

// RenewToken gives a token another MAC of its secret.
func (tx *Tx) RenewToken(ctx context.Context, id string, was, is []byte) error {
	return tx.exec(ctx, nil, `UPDATE tokens SET mac = ? WHERE id = ? AND mac = ?`, is, id, was)
}

// TokensBefore counts tokens that are good and whose MAC is of a version before that,
// and says when the last of them expires.
func (tx *Tx) TokensBefore(ctx context.Context, version int) (n int64, last time.Time, err error) {
	_, err = one(ctx, tx, "count", func(r row) (struct{}, error) {
		return struct{}{}, r.scan(&n, &last)
	}, `SELECT count(*), coalesce(max(expires), 0) FROM tokens WHERE mac < ? AND revoked = 0 AND expires > ?`, []byte{byte(version)}, tx.now)
	return n, last, err
}

// Handovers lists how the log's key was handed over, oldest first.
func (tx *Tx) Handovers(ctx context.Context) ([]muster.Handover, error) {
	return all(ctx, tx, func(r row) (x muster.Handover, err error) {
		return x, r.scan(&x.KeyVersion, &x.Public, &x.Note, &x.Made)
	},
		`SELECT key_version, public, note, made FROM handovers ORDER BY key_version`)
}

// PutHandover keeps one. CodeConflict: that version was handed over already.
func (tx *Tx) PutHandover(ctx context.Context, h muster.Handover) error {
	return tx.exec(ctx, nil, `INSERT INTO handovers (key_version, public, note, made) VALUES (?, ?, ?, ?)`,
		h.KeyVersion, h.Public, h.Note, h.Made)
}

// LogHandovers is Tx.Handovers.
func (db *DB) LogHandovers(ctx context.Context) (list []muster.Handover, err error) {
	err = db.View(ctx, func(tx *Tx) error { list, err = tx.Handovers(ctx); return err })
	return list, err
}
