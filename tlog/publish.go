package tlog

import (
	"bytes"
	"cmp"
	"context"
	"strings"

	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
)

// Heads keeps the one head of the log. It carries the guarantee that matters
// most: two heads that do not extend one another must never both be set.
//
// Head returns the last checkpoint set, nil where there is none yet. SetHead
// replaces old by new, durably and only if the head is still old, byte for
// byte; otherwise the error is of code conflict and nothing changed.
type Heads interface {
	Head(ctx context.Context) (signed []byte, err error)
	SetHead(ctx context.Context, old, new []byte) error
}

// PublisherConfig is what a Publisher needs; all of it.
type PublisherConfig struct {
	Leaves Leaves
	Tiles  TileStore
	Heads  Heads
	Keys   func() (Keys, error)
}

// Keys are the log's. There is more than one of each while a key is handed over: a
// head is then signed by all of them, and one that any of them signed is the log's. A
// head that others signed is refused.
type Keys struct {
	Signers   []note.Signer   // the one in use first; their name is the origin
	Verifiers []note.Verifier // of the same keys, in that order
}

// OneKey are the keys of a log that never changed its own.
func OneKey(s note.Signer, v note.Verifier) func() (Keys, error) {
	return func() (Keys, error) { return Keys{[]note.Signer{s}, []note.Verifier{v}}, nil }
}

func (k Keys) check() error {
	ok := len(k.Signers) > 0 && len(k.Signers) == len(k.Verifiers)
	for i := 0; ok && i < len(k.Signers); i++ {
		s, v := k.Signers[i], k.Verifiers[i]
		ok = s != nil && v != nil && s.Name() == v.Name() && s.KeyHash() == v.KeyHash() && s.Name() == k.Signers[0].Name()
	}
	if !ok {
		return muster.Errorf(muster.CodeInternal, "publisher's signers and verifiers are of different keys")
	}
	return nil
}

// Publisher makes tiles of new leaves and signs the head over them. Any number
// may run: tiles are the same whoever writes them, and the head moves by
// compare and swap.
type Publisher struct {
	PublisherConfig
}

// NewPublisher checks the configuration and names what is missing.
func NewPublisher(c PublisherConfig) (*Publisher, error) {
	var missing []string
	for name, absent := range map[string]bool{
		"Leaves": c.Leaves == nil, "Tiles": c.Tiles == nil, "Heads": c.Heads == nil,
		"Keys": c.Keys == nil,
	} {
		if absent {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, muster.Errorf(muster.CodeInternal, "publisher is configured without %s", strings.Join(missing, ", "))
	}
	keys, err := c.Keys()
	if err != nil {
		return nil, err
	}
	return &Publisher{c}, keys.check()
}

// Publish reads the leaves past the head, puts the tiles that they fill or
// touch, and signs and sets the new head. Without new leaves it returns the head
// as it is. It reads at most 255 leaves that it has read before.
//
// What a crash leaves behind is tiles ahead of the head, which the next run
// puts again, byte for byte the same. Errors: conflict where leaves, tiles and
// head disagree, or where another publisher was faster (try again).
func (p *Publisher) Publish(ctx context.Context) (Checkpoint, error) {
	keys, err := p.Keys()
	if err != nil {
		return Checkpoint{}, err
	}
	oldSigned, old, err := p.head(ctx, keys)
	if err != nil {
		return Checkpoint{}, err
	}
	e, err := p.resume(ctx, old)
	if err != nil {
		return Checkpoint{}, err
	}
	put, wait := several(ctx, p.Tiles)
	e.put = put
	if err = e.grow(ctx, p.Leaves, -1); err == nil && e.size > old.Size {
		err = e.flush(ctx, old.Size)
	}
	if err := cmp.Or(wait(), err); err != nil {
		return Checkpoint{}, err
	}
	if e.size == old.Size && oldSigned != nil {
		return old, nil
	}
	next := Checkpoint{Size: e.size, Root: e.root()}
	if err := p.extends(ctx, old, next); err != nil {
		return Checkpoint{}, err
	}
	next, err = SignCheckpoint(next, keys.Signers...)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := p.Heads.SetHead(ctx, oldSigned, next.Signed); err != nil {
		return Checkpoint{}, err
	}
	return next, nil
}

// head is the last head; the empty tree where there is none.
func (p *Publisher) head(ctx context.Context, keys Keys) ([]byte, Checkpoint, error) {
	signed, err := p.Heads.Head(ctx)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if signed == nil {
		return nil, Checkpoint{Origin: keys.Signers[0].Name(), Root: emptyRoot()}, nil
	}
	c, err := OpenCheckpoint(signed, keys.Verifiers...)
	return signed, c, err
}

// resume builds the right edge of the head's tree: its last leaves from the log,
// the upper levels from tiles. Both must give the head's root, so that a leaf
// that was changed or a tile that was exchanged stops the log here.
func (p *Publisher) resume(ctx context.Context, head Checkpoint) (*edge, error) {
	e := &edge{size: head.Size &^ (tileWidth - 1)} // it puts nothing: the tiles up to head are there
	prover := NewProver(p.Tiles)
	for level := 0; head.Size>>(tileHeight*level) > 0; level++ {
		e.hashes = append(e.hashes, nil)
		n := head.Size >> (tileHeight * level)
		if level == 0 || n%tileWidth == 0 {
			continue
		}
		data, err := prover.hashTile(ctx, tileAt(level, n-1, head.Size))
		if err != nil {
			if muster.ErrorCode(err) == muster.CodeNotFound {
				e := muster.Errorf(muster.CodeConflict, "a tile that the head rests on is gone")
				e.Hint = "rebuild the tiles from the leaves"
				return nil, e
			}
			return nil, err
		}
		for len(data) > 0 {
			e.hashes[level] = append(e.hashes[level], merkle.Hash(data[:merkle.HashSize]))
			data = data[merkle.HashSize:]
		}
	}
	if err := e.grow(ctx, p.Leaves, head.Size); err != nil {
		return nil, err
	}
	if e.root() != head.Root {
		return nil, muster.Errorf(muster.CodeConflict, "leaves and tiles do not give the root of the head that was signed")
	}
	return e, nil
}

// extends proves from the tiles as they were stored that next extends old. By
// construction it does; what is signed cannot be taken back, so it is checked.
func (p *Publisher) extends(ctx context.Context, old, next Checkpoint) error {
	prover := NewProver(p.Tiles)
	root, err := prover.Root(ctx, next.Size)
	if err != nil {
		return err
	}
	proof, err := prover.Consistency(ctx, old.Size, next.Size)
	if err != nil {
		return err
	}
	if root != next.Root || CheckConsistency(proof, old.Size, old.Root, next.Size, next.Root) != nil {
		return muster.Errorf(muster.CodeConflict, "the stored tiles do not extend the last head; nothing was signed")
	}
	return nil
}

// Ensure makes the tiles of the head anew where those of its right edge are not there:
// they were moved away, or are to be kept in another place from now on. It reports
// whether it did.
func (p *Publisher) Ensure(ctx context.Context) (rebuilt bool, err error) {
	keys, err := p.Keys()
	if err != nil {
		return false, err
	}
	_, head, err := p.head(ctx, keys)
	if err != nil {
		return false, err
	}
	last := map[int]TileID{} // of each level
	for _, id := range TilesOf(head.Size) {
		last[id.Level] = id
	}
	prover := NewProver(p.Tiles)
	for level, id := range last {
		if level == EntriesLevel {
			_, err = p.Tiles.Tile(ctx, id.Path())
			if muster.ErrorCode(err) == muster.CodeNotFound {
				id.Width = tileWidth
				_, err = p.Tiles.Tile(ctx, id.Path())
			}
		} else {
			_, err = prover.hashTile(ctx, id)
		}
		if muster.ErrorCode(err) == muster.CodeNotFound {
			root, err := Rebuild(ctx, p.Leaves, p.Tiles, head.Size)
			if err == nil && root != head.Root {
				err = muster.Errorf(muster.CodeConflict, "the leaves do not give the root of the head that was signed")
			}
			return true, err
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// Rebuild puts every tile of the tree of size, from the leaves alone, and
// returns its root: byte for byte what publishing put. Partial tiles of smaller
// sizes are left out; full ones stand for them.
func Rebuild(ctx context.Context, leaves Leaves, tiles TileStore, size int64) (merkle.Hash, error) {
	put, wait := several(ctx, tiles)
	root, err := build(ctx, leaves, size, put)
	return root, cmp.Or(wait(), err)
}

// putsAtOnce is how many tiles are put at a time: each waits for the disk or for another
// machine, and syncs that wait together cost one.
const putsAtOnce = 8

// several puts tiles several at a time, in any order. wait waits for all of them, and
// returns the error of the first that failed: put may have said no more than to stop.
func several(ctx context.Context, tiles TileStore) (put func(ctx context.Context, path string, data []byte) error, wait func() error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsAtOnce)
	return func(_ context.Context, path string, data []byte) error {
		group.Go(func() error { return tiles.PutTile(ctx, path, data) })
		return ctx.Err()
	}, group.Wait
}

// AuditTiles compares every tile of the tree of size with what the leaves give. A
// full tile stands for a partial one that is gone: the log may grow meanwhile. The error, of code conflict, names the first tile that differs or is absent.
// The root is for comparing with a checkpoint.
func AuditTiles(ctx context.Context, leaves Leaves, tiles TileStore, size int64) (merkle.Hash, error) {
	return build(ctx, leaves, size, func(ctx context.Context, path string, want []byte) error {
		got, err := tiles.Tile(ctx, path)
		if id, bad := ParseTilePath(path); bad == nil && !id.Full() && muster.ErrorCode(err) == muster.CodeNotFound {
			id.Width = tileWidth
			if got, err = tiles.Tile(ctx, id.Path()); err == nil {
				got = got[:min(len(got), len(want))]
			}
		}
		switch {
		case muster.ErrorCode(err) == muster.CodeNotFound:
			return muster.Errorf(muster.CodeConflict, "tile %s is absent", path)
		case err != nil:
			return err
		case !bytes.Equal(got, want):
			return muster.Errorf(muster.CodeConflict, "tile %s is not what the leaves give", path)
		}
		return nil
	})
}

func build(ctx context.Context, leaves Leaves, size int64, put func(context.Context, string, []byte) error) (merkle.Hash, error) {
	if size < 0 || size > MaxSize {
		return merkle.Hash{}, muster.Errorf(muster.CodeInvalid, "size out of range")
	}
	e := &edge{put: put}
	if err := e.grow(ctx, leaves, size); err != nil {
		return merkle.Hash{}, err
	}
	if err := e.flush(ctx, 0); err != nil {
		return merkle.Hash{}, err
	}
	return e.root(), nil
}

// RootOf is the root of the tree of the first size leaves.
func RootOf(ctx context.Context, leaves Leaves, size int64) (merkle.Hash, error) {
	return build(ctx, leaves, size, func(context.Context, string, []byte) error { return nil })
}
