package store

import (
	"context"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Keys is the key store (vault.KeyStore), apart from everything else: backup never
// writes both to one target. Each call is a transaction, synced when it returns.
//
// On SQLite a key that was deleted is overwritten in the file, and the write-ahead log
// that held it is truncated, before Delete returns. On PostgreSQL its bytes stay in
// dead rows until vacuum, and in the server's own log, wrapped under an epoch key:
// the end of the epoch destroys that.
type Keys struct{ db *DB }

var _ vault.KeyStore = (*Keys)(nil)

// A row is small, and few are asked for twice: the vault remembers keys. But a write of a
// turn that has more pages than the cache holds writes some of them twice and more.
var (
	keyCaches = caches{write: 16 << 10, read: 4 << 10}
	turning   = 192 << 10
)

// cache sets what the writing connection remembers (SQLite).
func (tx *Tx) cache(kib int) error {
	if c, alone := tx.c.(*sqliteConn); alone {
		return c.cache(kib)
	}
	return nil
}

// OpenKeys opens the key store. Config is as for Open, with another Path, or another
// database or Schema.
func OpenKeys(ctx context.Context, c Config) (*Keys, error) {
	db, err := open(ctx, c, migrations{folder: "migrations/keys", table: "key_schema_version", wide: true, caches: keyCaches})
	if err != nil {
		return nil, err
	}
	return &Keys{db}, nil
}

// Close closes the key store.
func (k *Keys) Close() error { return k.db.Close() }

// TableSizes is the bytes of each table with its indexes, by name.
func (k *Keys) TableSizes(ctx context.Context) (map[string]int64, error) { return k.db.TableSizes(ctx) }

const readSet = `SELECT version, epoch, root, proof FROM key_set WHERE one = 1`

func scanSet(r row) (s vault.Set, err error) {
	return s, r.scan(&s.Version, &s.Epoch, &s.Root, &s.Check)
}

// LoadSet returns the set; the zero Set where there is none yet.
func (k *Keys) LoadSet(ctx context.Context) (s vault.Set, err error) {
	err = k.db.View(ctx, func(tx *Tx) error {
		s, err = one(ctx, tx, "key set", scanSet, readSet)
		if muster.ErrorCode(err) == muster.CodeNotFound {
			s = vault.Set{}
			return nil
		}
		if err == nil {
			s.Rows, err = all(ctx, tx, func(r row) (n vault.NamedRow, err error) { return n, r.scan(&n.Name, &n.Version, &n.Wrapped) },
				`SELECT name, version, wrapped FROM named_keys ORDER BY name, version`)
		}
		return err
	})
	return s, err
}

// SwapSet replaces the whole set. See vault.SetStore.
func (k *Keys) SwapSet(ctx context.Context, was int, next vault.Set) error {
	err := k.db.InTx(ctx, func(tx *Tx) error {
		err := tx.cache(keyCaches.write) // where a turn ends
		if err != nil {
			return err
		}
		if was == 0 {
			err = tx.exec(ctx, errStale, `INSERT INTO key_set (one, version, epoch, root, proof) VALUES (1, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				next.Version, next.Epoch, next.Root, next.Check)
		} else {
			err = tx.exec(ctx, errStale, `UPDATE key_set SET version = ?, epoch = ?, root = ?, proof = ? WHERE one = 1 AND version = ?`,
				next.Version, next.Epoch, next.Root, next.Check, was)
		}
		if err != nil {
			return err
		}
		// AddKeys holds the row of key_set to its end: none can add under an old epoch now.
		q, args := `SELECT count(*) FROM subject_keys WHERE 1 = 1`, []any{}
		for _, r := range next.Rows {
			if r.Name == "epoch" {
				q, args = q+` AND epoch <> ?`, append(args, r.Version)
			}
		}
		if n, err := one(ctx, tx, "count", scanInt, q, args...); err != nil {
			return err
		} else if n > 0 {
			return muster.Errorf(muster.CodeConflict, "keys are wrapped under an epoch that would be destroyed")
		}
		if err := tx.exec(ctx, nil, `DELETE FROM named_keys`); err != nil {
			return err
		}
		for _, r := range next.Rows {
			if err := tx.exec(ctx, nil, `INSERT INTO named_keys (name, version, wrapped) VALUES (?, ?, ?)`, r.Name, r.Version, r.Wrapped); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.db.driver.scrub(ctx)
}

// AddKeys inserts rows, all or none. CodeStale unless their epoch is the set's.
func (k *Keys) AddKeys(ctx context.Context, rows []vault.KeyRow) error {
	return k.db.InTx(ctx, func(tx *Tx) error {
		s, err := one(ctx, tx, "key set", scanSet, readSet+forShare)
		if err != nil && muster.ErrorCode(err) != muster.CodeNotFound {
			return err
		}
		for i := range rows {
			if err != nil || rows[i].Epoch != s.Epoch {
				return muster.Errorf(muster.CodeStale, "the epoch has turned")
			}
		}
		if _, shared := tx.c.(*postgresConn); shared && len(rows) > 0 {
			ids, handles, wrapped := columns(rows)
			return tx.exec(ctx, nil, `INSERT INTO subject_keys (id, handle, epoch, wrapped)
				SELECT v.id, v.handle, $1, v.wrapped FROM unnest($2::text[], $3::bytea[], $4::bytea[]) v (id, handle, wrapped)`,
				s.Epoch, ids, handles, wrapped)
		}
		for i := range rows {
			if err := tx.exec(ctx, nil, `INSERT INTO subject_keys (id, handle, epoch, wrapped) VALUES (?, ?, ?, ?)`,
				rows[i].ID, rows[i].Handle[:], rows[i].Epoch, rows[i].Wrapped); err != nil {
				return err
			}
		}
		return nil
	})
}

func scanKey(r row) (k vault.KeyRow, err error) {
	var handle []byte
	if err := r.scan(&k.ID, &handle, &k.Epoch, &k.Wrapped); err != nil {
		return k, err
	}
	if copy(k.Handle[:], handle) != len(k.Handle) {
		return k, muster.Errorf(muster.CodeInternal, "a handle in the key store is too short")
	}
	return k, nil
}

const keyColumns = `id, handle, epoch, wrapped`

// Keys returns the rows of those ids that exist.
func (k *Keys) Keys(ctx context.Context, ids []string) ([]vault.KeyRow, error) {
	return keysIn(ctx, k, "id", ids)
}

// ByHandle returns the rows of those handles that exist.
func (k *Keys) ByHandle(ctx context.Context, handles [][16]byte) ([]vault.KeyRow, error) {
	values := make([][]byte, len(handles))
	for i := range handles {
		values[i] = handles[i][:]
	}
	return keysIn(ctx, k, "handle", values)
}

func keysIn[T any](ctx context.Context, k *Keys, column string, values []T) (found []vault.KeyRow, err error) {
	if len(values) == 0 {
		return nil, nil
	}
	err = k.db.View(ctx, func(tx *Tx) error {
		return inLists(values, func(marks string, args []any) error {
			rows, err := all(ctx, tx, scanKey, `SELECT `+keyColumns+` FROM subject_keys WHERE `+column+` IN `+marks, args...)
			found = append(found, rows...)
			return err
		})
	})
	return found, err
}

// Delete destroys rows.
func (k *Keys) Delete(ctx context.Context, ids []string) error {
	if err := k.db.InTx(ctx, func(tx *Tx) error {
		return inLists(ids, func(marks string, args []any) error {
			return tx.exec(ctx, nil, `DELETE FROM subject_keys WHERE id IN `+marks, args...)
		})
	}); err != nil {
		return err
	}
	return k.db.driver.scrub(ctx)
}

// Scan returns rows with id > after in rising order, at most limit; of one epoch, or (0) of all.
func (k *Keys) Scan(ctx context.Context, epoch int, after string, limit int) (rows []vault.KeyRow, err error) {
	err = k.db.View(ctx, func(tx *Tx) error {
		rows, err = all(ctx, tx, scanKey, `SELECT `+keyColumns+` FROM subject_keys
			WHERE id > ? AND (? = 0 OR epoch = ?) ORDER BY id LIMIT ?`, after, epoch, epoch, limit)
		return err
	})
	return rows, err
}

// Rewrap updates rows that exist with a lower epoch; all come to one. To PostgreSQL
// they go in one statement. SQLite is asked row by row: of a statement that changes
// many rows it keeps what each page was, in case the statement fails half way.
func (k *Keys) Rewrap(ctx context.Context, rows []vault.KeyRow) error {
	if len(rows) == 0 {
		return nil
	}
	return k.db.InTx(ctx, func(tx *Tx) error {
		if err := tx.cache(turning); err != nil {
			return err
		}
		if _, shared := tx.c.(*postgresConn); shared {
			ids, handles, wrapped := columns(rows)
			return tx.exec(ctx, nil, `UPDATE subject_keys SET handle = v.handle, wrapped = v.wrapped, epoch = $1
				FROM unnest($2::text[], $3::bytea[], $4::bytea[]) v (id, handle, wrapped) WHERE subject_keys.id = v.id AND subject_keys.epoch < $1`,
				rows[0].Epoch, ids, handles, wrapped)
		}
		for i := range rows {
			r := &rows[i]
			if err := tx.exec(ctx, nil, `UPDATE subject_keys SET handle = ?, epoch = ?, wrapped = ? WHERE id = ? AND epoch < ?`,
				r.Handle[:], r.Epoch, r.Wrapped, r.ID, r.Epoch); err != nil {
				return err
			}
		}
		return nil
	})
}

// AtOnce is many on SQLite: handles lie at random places of an index, so that few keys
// touch nearly as many of its pages as many do. PostgreSQL writes its log row by row, and
// an application beside a write that is soon over has half of its time without one.
func (k *Keys) AtOnce() int {
	if k.db.conf.DSN != "" {
		return 500
	}
	return 50_000
}

// columns are rows as PostgreSQL takes many at once.
func columns(rows []vault.KeyRow) (ids []string, handles, wrapped [][]byte) {
	ids, handles, wrapped = make([]string, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		ids[i], handles[i], wrapped[i] = rows[i].ID, rows[i].Handle[:], rows[i].Wrapped
	}
	return ids, handles, wrapped
}
