package tlog

import (
	"context"
	"encoding/binary"
	"strings"

	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

const (
	tileHeight = 8               // C2SP tlog-tiles
	tileWidth  = 1 << tileHeight // hashes in a full tile, entries in a full bundle
	// EntriesLevel is the level of a tile that holds entries, not hashes.
	EntriesLevel = -1
	maxPathBytes = 64
	maxLevel     = 63
)

// TileStore keeps tiles by their C2SP path. A tile never changes once put.
//
// Tile's error is of code not_found where there is no such tile. PutTile is
// durable when it returns nil; putting the same bytes again is nothing, putting
// other bytes under a path that is taken is an error of code conflict.
type TileStore interface {
	Tile(ctx context.Context, path string) ([]byte, error)
	PutTile(ctx context.Context, path string, data []byte) error
}

// Leaves reads marshalled leaves from..to-1 in their order, fewer where the log
// ends before to. Their order and bytes never change.
type Leaves interface {
	Leaves(ctx context.Context, from, to int64) ([][]byte, error)
}

// TileID names a tile: level (EntriesLevel for entries), number in the level,
// width 1 to 256 (256 is a full tile).
type TileID struct {
	Level int
	N     int64
	Width int
}

// Full reports whether nothing can be added to the tile.
func (t TileID) Full() bool { return t.Width == tileWidth }

// Path is the C2SP path: tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>].
func (t TileID) Path() string {
	p := merkle.Tile{H: tileHeight, L: t.Level, N: t.N, W: t.Width}.Path()
	p = strings.TrimPrefix(p, "tile/8/")
	if rest, ok := strings.CutPrefix(p, "data/"); ok {
		p = "entries/" + rest
	}
	return "tile/" + p
}

// ParseTilePath reads a path in the one form it has; others are malformed.
func ParseTilePath(path string) (TileID, error) {
	bad := muster.Errorf(muster.CodeMalformed, "not the path of a tile")
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > maxPathBytes {
		return TileID{}, bad
	}
	if r, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + r
	}
	t, err := merkle.ParseTilePath("tile/8/" + rest)
	if err != nil || t.L > maxLevel || t.N < 0 || t.N > MaxSize {
		return TileID{}, bad
	}
	id := TileID{Level: t.L, N: t.N, Width: t.W}
	if id.Path() != path {
		return TileID{}, bad
	}
	return id, nil
}

// TilesOf lists the tiles of a tree of size: every full tile, and the partial
// ones at its right edge; levels rising, entries last.
func TilesOf(size int64) []TileID {
	var ids []TileID
	for _, t := range merkle.NewTiles(tileHeight, 0, size) {
		ids = append(ids, TileID{Level: t.L, N: t.N, Width: t.W})
	}
	for _, id := range ids {
		if id.Level == 0 {
			ids = append(ids, TileID{Level: EntriesLevel, N: id.N, Width: id.Width})
		}
	}
	return ids
}

// tileAt is the tile of the level that holds hash n of the level, as wide as it
// is in a tree of size.
func tileAt(level int, n, size int64) TileID {
	tile := n >> tileHeight
	width := min(size>>(tileHeight*level)-tile<<tileHeight, tileWidth)
	return TileID{Level: level, N: tile, Width: int(width)}
}

// AppendEntry appends one entry to an entry bundle.
func appendEntry(bundle, entry []byte) []byte {
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...)
}

// ParseEntries reads an entry bundle of exactly width entries.
func ParseEntries(data []byte, width int) ([][]byte, error) {
	entries := make([][]byte, 0, min(max(width, 0), tileWidth))
	for len(data) >= 2 {
		n := int(binary.BigEndian.Uint16(data))
		if data = data[2:]; len(data) < n {
			return nil, muster.Errorf(muster.CodeMalformed, "entry bundle is cut short")
		}
		entries = append(entries, data[:n:n])
		data = data[n:]
	}
	if len(data) > 0 || len(entries) != width || width > tileWidth {
		return nil, muster.Errorf(muster.CodeMalformed, "entry bundle has a wrong number of entries")
	}
	return entries, nil
}
