package store

import (
	"bytes"
	"context"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Tiles keeps the log's tiles in the database (tlog.TileStore), for deployments of
// several processes: whoever publishes, all of them serve and prove. When a full
// tile is put, its partial ones are removed: the full one stands for them (C2SP
// tlog-tiles, "Partial Tiles").
type Tiles struct{ db *DB }

var _ tlog.TileStore = Tiles{}

// Tiles returns the tiles of db.
func (db *DB) Tiles() Tiles { return Tiles{db} }

func scanBytes(r row) (b []byte, err error) { return b, r.scan(&b) }

const readTile = `SELECT data FROM tiles WHERE path = ?`

// Tile reads a tile; not_found where there is none.
func (s Tiles) Tile(ctx context.Context, path string) (data []byte, err error) {
	if _, err := tlog.ParseTilePath(path); err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(tx *Tx) error {
		data, err = one(ctx, tx, "tile", scanBytes, readTile, path)
		return err
	})
	return data, err
}

// PutTile keeps a tile. The same bytes again are nothing; other bytes under a path
// that is taken are a conflict: a tile that changes is a log that was rewritten.
func (s Tiles) PutTile(ctx context.Context, path string, data []byte) error {
	id, err := tlog.ParseTilePath(path)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(tx *Tx) error {
		if err := tx.exec(ctx, nil, `INSERT INTO tiles (path, data) VALUES (?, ?) ON CONFLICT (path) DO NOTHING`, path, data); err != nil {
			return err
		}
		// Read after writing: another process that puts the same path was waited for.
		have, err := one(ctx, tx, "tile", scanBytes, readTile, path)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, data) {
			e := muster.Errorf(muster.CodeConflict, "tile %s is there with other bytes", path)
			e.Hint = "audit the log; if the leaves are right, empty the table of tiles and rebuild them"
			return e
		}
		if !id.Full() {
			return nil
		}
		return tx.exec(ctx, nil, `DELETE FROM tiles WHERE path > ? AND path < ?`, path+".p/", path+".p0")
	})
}
