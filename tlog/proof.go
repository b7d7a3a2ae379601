package tlog

import (
	"context"

	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// Prover computes proofs from tiles. It does not trust itself: who needs a proof
// checks it against a root ([CheckInclusion], [CheckConsistency]).
type Prover struct {
	tiles TileStore
}

// NewProver reads tiles from a store.
func NewProver(tiles TileStore) *Prover { return &Prover{tiles: tiles} }

// Inclusion proves that the tree of size holds leaf index. The size must be one
// that was published.
func (p *Prover) Inclusion(ctx context.Context, index, size int64) (merkle.RecordProof, error) {
	if index < 0 || index >= size || size > MaxSize {
		return nil, muster.Errorf(muster.CodeNotFound, "the tree of that size has no such leaf")
	}
	proof, err := merkle.ProveRecord(size, index, p.reader(ctx, size))
	return proof, proofError(err)
}

// Consistency proves that the tree of size new begins with the tree of size old.
func (p *Prover) Consistency(ctx context.Context, old, new int64) (merkle.TreeProof, error) {
	if old < 0 || old > new || new > MaxSize {
		return nil, muster.Errorf(muster.CodeInvalid, "sizes are out of order")
	}
	if old == 0 || old == new {
		return merkle.TreeProof{}, nil
	}
	proof, err := merkle.ProveTree(new, old, p.reader(ctx, new))
	return proof, proofError(err)
}

// Root is the root of the tree of a published size.
func (p *Prover) Root(ctx context.Context, size int64) (merkle.Hash, error) {
	if size < 0 || size > MaxSize {
		return merkle.Hash{}, muster.Errorf(muster.CodeInvalid, "size out of range")
	}
	root, err := merkle.TreeHash(size, p.reader(ctx, size))
	return root, proofError(err)
}

// CheckInclusion checks that leaf is number index of the tree of size with root.
func CheckInclusion(proof merkle.RecordProof, size int64, root merkle.Hash, index int64, leaf []byte) error {
	if index < 0 || index >= size || size > MaxSize {
		return muster.Errorf(muster.CodeInvalid, "the checkpoint's tree has no leaf of that index")
	}
	if err := merkle.CheckRecord(proof, size, root, index, merkle.RecordHash(leaf)); err != nil {
		return muster.Errorf(muster.CodeInvalid, "the inclusion proof does not lead to the checkpoint's root: %w", err)
	}
	return nil
}

// CheckConsistency checks that the tree of size new with newRoot begins with the
// tree of size old with oldRoot. Every tree begins with the empty one.
func CheckConsistency(proof merkle.TreeProof, old int64, oldRoot merkle.Hash, new int64, newRoot merkle.Hash) error {
	bad := muster.Errorf(muster.CodeInvalid, "the two trees are not shown to be one log")
	switch {
	case old < 0 || old > new || new > MaxSize:
		return bad
	case old == 0 && (len(proof) > 0 || oldRoot != emptyRoot()), old == new && (len(proof) > 0 || oldRoot != newRoot):
		return bad
	case old == 0 || old == new:
		return nil
	}
	if err := merkle.CheckTree(proof, new, newRoot, old, oldRoot); err != nil {
		bad.Cause = err
		return bad
	}
	return nil
}

func proofError(err error) error {
	if err == nil {
		return nil
	}
	if code := muster.ErrorCode(err); code != muster.CodeInternal {
		return err
	}
	return muster.Errorf(muster.CodeInternal, "tiles do not give a proof: %w", err)
}

// reader reads hashes of the tree of size from tiles, each tile once.
func (p *Prover) reader(ctx context.Context, size int64) merkle.HashReader {
	seen := map[TileID][]byte{}
	return merkle.HashReaderFunc(func(indexes []int64) ([]merkle.Hash, error) {
		hashes := make([]merkle.Hash, len(indexes))
		for i, x := range indexes {
			level, n := merkle.SplitStoredHashIndex(x)
			tileLevel := level / tileHeight
			id := tileAt(tileLevel, n<<(level%tileHeight), size)
			data, ok := seen[id]
			if !ok {
				var err error
				if data, err = p.hashTile(ctx, id); err != nil {
					return nil, err
				}
				seen[id] = data
			}
			h, err := merkle.HashFromTile(merkle.Tile{H: tileHeight, L: id.Level, N: id.N, W: id.Width}, data, x)
			if err != nil {
				return nil, err
			}
			hashes[i] = h
		}
		return hashes, nil
	})
}

// hashTile reads a tile. Where a partial one is gone the full one, of which it
// is the beginning, does (C2SP tlog-tiles, "Partial Tiles").
func (p *Prover) hashTile(ctx context.Context, id TileID) ([]byte, error) {
	data, err := p.tiles.Tile(ctx, id.Path())
	stored := id.Width
	if id.Width < tileWidth && muster.ErrorCode(err) == muster.CodeNotFound {
		stored = tileWidth
		data, err = p.tiles.Tile(ctx, TileID{Level: id.Level, N: id.N, Width: tileWidth}.Path())
	}
	if err != nil {
		return nil, err
	}
	if len(data) != stored*merkle.HashSize {
		return nil, muster.Errorf(muster.CodeInternal, "tile %s has a wrong length", id.Path())
	}
	return data[:id.Width*merkle.HashSize], nil
}
