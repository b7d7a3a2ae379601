package tlog

import (
	"context"
	"math/bits"

	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// edge is the right edge of a tree: the hashes of the partial tile of each
// level, and the entries of the partial bundle. It is all that is needed to
// grow the tree, and it never holds more than 255 hashes a level.
type edge struct {
	size    int64
	hashes  [][]merkle.Hash // [level]
	entries [][]byte        // since the last multiple of 256
	put     func(ctx context.Context, path string, data []byte) error
}

// add grows the tree by one leaf and puts each tile that it fills.
func (e *edge) add(ctx context.Context, leaf []byte) error {
	if len(leaf) > MaxLeafBytes {
		return muster.Errorf(muster.CodeTooLarge, "a leaf is longer than an entry bundle takes")
	}
	e.entries = append(e.entries, leaf)
	h := merkle.RecordHash(leaf)
	for level := 0; ; level++ {
		if level == len(e.hashes) {
			e.hashes = append(e.hashes, nil)
		}
		e.hashes[level] = append(e.hashes[level], h)
		if len(e.hashes[level]) < tileWidth {
			break
		}
		full := e.hashes[level]
		// size+1 leaves fill this tile: its number follows from them.
		id := TileID{Level: level, N: e.size >> (tileHeight * (level + 1)), Width: tileWidth}
		if err := e.putTile(ctx, id); err != nil {
			return err
		}
		h = subtree(full)
		e.hashes[level] = full[:0]
		if level == 0 {
			e.entries = nil
		}
	}
	e.size++
	return nil
}

// flush puts the partial tiles of the tree as it stands, those only that are
// not those of a tree of size since.
func (e *edge) flush(ctx context.Context, since int64) error {
	for level, hashes := range e.hashes {
		n := e.size >> (tileHeight * level)
		if len(hashes) == 0 || n == since>>(tileHeight*level) {
			continue
		}
		if err := e.putTile(ctx, TileID{Level: level, N: n >> tileHeight, Width: len(hashes)}); err != nil {
			return err
		}
	}
	return nil
}

// putTile puts the tile of id.Level as it stands, with its entries at level 0.
func (e *edge) putTile(ctx context.Context, id TileID) error {
	data := make([]byte, 0, len(e.hashes[id.Level])*merkle.HashSize)
	for _, h := range e.hashes[id.Level] {
		data = append(data, h[:]...)
	}
	if err := e.put(ctx, id.Path(), data); err != nil {
		return err
	}
	if id.Level > 0 {
		return nil
	}
	var bundle []byte
	for _, entry := range e.entries {
		bundle = appendEntry(bundle, entry)
	}
	id.Level = EntriesLevel
	return e.put(ctx, id.Path(), bundle)
}

// root is the RFC 6962 hash of the tree as it stands: the perfect subtrees of
// the edge, joined from the right.
func (e *edge) root() merkle.Hash {
	var acc merkle.Hash
	empty := true
	for _, hashes := range e.hashes {
		for n := len(hashes); n > 0; {
			k := 1 << bits.TrailingZeros(uint(n))
			h := subtree(hashes[n-k : n])
			if empty {
				acc, empty = h, false
			} else {
				acc = merkle.NodeHash(h, acc)
			}
			n -= k
		}
	}
	if empty {
		return emptyRoot()
	}
	return acc
}

// subtree hashes a perfect subtree, whose number of hashes is a power of two.
func subtree(hashes []merkle.Hash) merkle.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return merkle.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

// emptyRoot is the hash of a tree without leaves.
func emptyRoot() merkle.Hash {
	h, _ := merkle.TreeHash(0, nil) // reads nothing
	return h
}

// leafBatch is how many leaves are in memory at a time.
const leafBatch = 16 * tileWidth

// grow adds leaves until size is reached, or until the log ends where size is
// negative.
func (e *edge) grow(ctx context.Context, leaves Leaves, size int64) error {
	for size < 0 || e.size < size {
		to := e.size + leafBatch
		if size >= 0 {
			to = min(to, size)
		}
		batch, err := leaves.Leaves(ctx, e.size, to)
		if err != nil {
			return err
		}
		if int64(len(batch)) > to-e.size {
			return muster.Errorf(muster.CodeInternal, "more leaves were read than asked for")
		}
		if size >= 0 && len(batch) == 0 {
			return muster.Errorf(muster.CodeConflict, "the log has fewer leaves than its head says")
		}
		for _, leaf := range batch {
			if err := e.add(ctx, leaf); err != nil {
				return err
			}
		}
		if size < 0 && e.size < to {
			return nil
		}
		if e.size > MaxSize {
			return muster.Errorf(muster.CodeTooLarge, "the log is longer than the format takes")
		}
	}
	return nil
}
