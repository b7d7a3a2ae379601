package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster/ledger"
)

// Chunks that lie in volumes: their rows say where.

// LooseChunks are those of a range of ids that lie in no volume, rising, at most limit.
func (tx *LedgerTx) LooseChunks(ctx context.Context, from, through int64, limit int, each func(ledger.Chunk) error) error {
	return tx.tx.query(ctx, chunkRows(each), readChunk+` WHERE id BETWEEN ? AND ? AND volume IS NULL ORDER BY id LIMIT ?`, from, through, limit)
}

// VolumeChunks are those of one volume.
func (tx *LedgerTx) VolumeChunks(ctx context.Context, volume int64, each func(ledger.Chunk) error) error {
	return tx.tx.query(ctx, chunkRows(each), readChunk+` WHERE volume = ? ORDER BY id`, volume)
}

// PlaceChunk says where a chunk's bytes are from now on; CodeStale where they were not
// in the volume was. The row is written anew: SQLite joins pages that deletions empty,
// and not those whose rows become short.
func (tx *LedgerTx) PlaceChunk(ctx context.Context, was int64, c ledger.Chunk) error {
	if err := tx.tx.exec(ctx, errStale, `DELETE FROM chunks WHERE id = ? AND coalesce(volume, 0) = ?`, c.ID, was); err != nil {
		return err
	}
	if c.Volume == 0 {
		return tx.PutChunk(ctx, c.ID, c.Blob)
	}
	return tx.tx.exec(ctx, nil, `INSERT INTO chunks (id, blob, volume, start, size) VALUES (?, ?, ?, ?, ?)`, c.ID, c.Blob, c.Volume, c.Start, c.Size)
}

// Volumes are all volumes, with what is still used of each.
func (tx *LedgerTx) Volumes(ctx context.Context) ([]ledger.Volume, error) {
	used := map[int64][2]int64{}
	if err := tx.tx.query(ctx, func(r row) error {
		var id, rows, bytes int64
		err := r.scan(&id, &rows, &bytes)
		used[id] = [2]int64{rows, bytes}
		return err
	}, `SELECT volume, count(*), sum(size) FROM chunks WHERE volume IS NOT NULL GROUP BY volume`); err != nil {
		return nil, err
	}
	return all(ctx, tx.tx, func(r row) (v ledger.Volume, err error) {
		err = r.scan(&v.ID, &v.Name, &v.Size, &v.Made, &v.Holed, &v.Gone)
		v.Chunks, v.Used = used[v.ID][0], used[v.ID][1]
		return v, err
	}, `SELECT id, name, size, made, holed, gone FROM volumes ORDER BY id`)
}

// VolumeNames leads from the ids of all volumes to their names.
func (tx *LedgerTx) VolumeNames(ctx context.Context) (map[int64]string, error) {
	names := map[int64]string{}
	return names, tx.tx.query(ctx, func(r row) error {
		var id int64
		var name string
		err := r.scan(&id, &name)
		names[id] = name
		return err
	}, `SELECT id, name FROM volumes`)
}

// PutVolume writes a volume, or what became of it.
func (tx *LedgerTx) PutVolume(ctx context.Context, v ledger.Volume) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO volumes (id, name, size, made, holed, gone) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET holed = excluded.holed, gone = excluded.gone`, v.ID, v.Name, v.Size, v.Made, v.Holed, v.Gone)
}

// DropVolume forgets one, whose object is gone.
func (tx *LedgerTx) DropVolume(ctx context.Context, id int64) error {
	return tx.tx.exec(ctx, errStale, `DELETE FROM volumes WHERE id = ? AND gone > 0 AND NOT EXISTS (SELECT 1 FROM chunks WHERE volume = ?)`, id, id)
}

// Spaces are the places that volumes were written to, the newest last.
func (tx *LedgerTx) Spaces(ctx context.Context) ([]ledger.Space, error) {
	return all(ctx, tx.tx, func(r row) (s ledger.Space, err error) { return s, r.scan(&s.Name, &s.Made, &s.Ours) },
		`SELECT name, made, ours FROM volume_spaces ORDER BY made, name`)
}

// AddSpace makes a new place.
func (tx *LedgerTx) AddSpace(ctx context.Context, name string, made time.Time) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO volume_spaces (name, made, ours) VALUES (?, ?, 1)`, name, made)
}

// OwnSpaces says of all places whether this deployment may delete in them.
func (tx *LedgerTx) OwnSpaces(ctx context.Context, ours bool) error {
	return tx.tx.exec(ctx, nil, `UPDATE volume_spaces SET ours = ?`, ours)
}
