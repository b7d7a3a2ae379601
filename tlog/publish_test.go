package tlog

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

// reference computes a root with the library's own stored hashes, by another way
// than edge does.
func reference(t tb, leaves [][]byte) (merkle.Hash, merkle.HashReader) {
	t.Helper()
	var stored []merkle.Hash
	r := merkle.HashReaderFunc(func(indexes []int64) ([]merkle.Hash, error) {
		out := make([]merkle.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i, leaf := range leaves {
		hs, err := merkle.StoredHashes(int64(i), leaf, r)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
	}
	root, err := merkle.TreeHash(int64(len(leaves)), r)
	if err != nil {
		t.Fatal(err)
	}
	return root, r
}

func TestIncrementalPublishEqualsRebuild(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		l := setup(t)
		steps := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 40), rapid.SampledFrom([]int{1, 255, 256, 257, 511, 1500})), 1, 6).Draw(t, "steps")
		for _, n := range steps {
			c := l.grow(t, n)
			root, _ := reference(t, l.leaves)
			if c.Size != int64(len(l.leaves)) || c.Root != root {
				t.Fatalf("published %d %s, want %d %s", c.Size, c.Root, len(l.leaves), root)
			}
			if opened, err := OpenCheckpoint(l.top, l.verifier); err != nil || opened.Root != root {
				t.Fatalf("head does not open: %v", err)
			}
			if _, err := AuditTiles(ctx, l.memory, l.memory, c.Size); err != nil {
				t.Fatalf("audit: %v", err)
			}
		}
		again := newMemory()
		root, err := Rebuild(ctx, l.memory, again, int64(len(l.leaves)))
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := reference(t, l.leaves); root != want {
			t.Fatal("rebuild has another root")
		}
		for _, id := range TilesOf(int64(len(l.leaves))) {
			if !bytes.Equal(again.tiles[id.Path()], l.tiles[id.Path()]) || l.tiles[id.Path()] == nil {
				t.Fatalf("tile %s differs after rebuild", id.Path())
			}
			delete(again.tiles, id.Path())
		}
		if len(again.tiles) > 0 {
			t.Fatalf("rebuild put tiles that are not of the tree: %d", len(again.tiles))
		}
	})
}

func TestPublishOfThreeLevels(t *testing.T) {
	t.Parallel()
	l := setup(t)
	for _, n := range []int{1, 65_534, 1, 1, 300} {
		l.grow(t, n)
	}
	root, _ := reference(t, l.leaves)
	c := l.grow(t, 0)
	if c.Root != root {
		t.Fatal("wrong root past 65536 leaves")
	}
	for _, path := range []string{"tile/0/255", "tile/1/000", "tile/2/000.p/1", "tile/1/001.p/1", "tile/0/257.p/45", "tile/entries/257.p/45"} {
		if l.tiles[path] == nil {
			t.Errorf("tile %s is absent", path)
		}
	}
}

func TestPublishReadsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	l := setup(t)
	l.grow(t, 20_000)
	l.reads = 0
	l.grow(t, 10)
	if l.reads > 10+tileWidth {
		t.Fatalf("read %d leaves for ten new ones", l.reads)
	}
}

func TestPublishTwiceIsOnce(t *testing.T) {
	t.Parallel()
	l := setup(t)
	a := l.grow(t, 300)
	tiles := len(l.tiles)
	b := l.grow(t, 0)
	if !bytes.Equal(a.Signed, b.Signed) || len(l.tiles) != tiles {
		t.Fatal("publishing without new leaves changed something")
	}
}

func TestEmptyLogHasAHead(t *testing.T) {
	t.Parallel()
	l := setup(t)
	c := l.grow(t, 0)
	if c.Size != 0 || c.Root != emptyRoot() {
		t.Fatalf("got %d %s", c.Size, c.Root)
	}
	l.grow(t, 3)
}

func TestPublishRefusesARewrittenLog(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(l *log){
		"a recent leaf changed": func(l *log) { l.leaves[290][10] ^= 1 },
		"leaves cut off":        func(l *log) { l.leaves = l.leaves[:280] },
		"a tile exchanged":      func(l *log) { l.tiles["tile/1/000.p/1"][0] ^= 1 },
		"a tile gone":           func(l *log) { delete(l.tiles, "tile/1/000.p/1") },
		"a head of another tree": func(l *log) {
			c, _ := SignCheckpoint(Checkpoint{Size: 300}, l.signer)
			l.top = c.Signed
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := setup(t)
			l.grow(t, 300)
			l.leaves = slices.Clone(l.leaves)
			damage(l)
			head := l.top
			if len(l.leaves) == 300 {
				l.append(5)
			}
			_, err := l.Publish(context.Background())
			wantCode(t, err, muster.CodeConflict)
			if !bytes.Equal(head, l.top) {
				t.Fatal("the head moved")
			}
		})
	}
}

func TestPublishRefusesAHeadOfAnotherKey(t *testing.T) {
	t.Parallel()
	l, other := setup(t), setup(t)
	other.grow(t, 3)
	l.top = other.top
	l.append(4)
	_, err := l.Publish(context.Background())
	wantCode(t, err, muster.CodeInvalid)
}

func TestOnlyOnePublisherSetsTheHead(t *testing.T) {
	t.Parallel()
	l := setup(t)
	l.grow(t, 10)
	l.append(10)
	l.fail = func(step string) error {
		if step == "before head" {
			l.fail = func(string) error { return nil }
			l.top = append(bytes.Clone(l.top), "— other AAAAAAA=\n"...)
		}
		return nil
	}
	_, err := l.Publish(context.Background())
	wantCode(t, err, muster.CodeConflict)
	if c := l.grow(t, 0); c.Size != 20 {
		t.Fatalf("size %d after the second try", c.Size)
	}
}

// Every write fails once, before and after it landed; what follows must be as
// if nothing had happened.
func TestPublishAfterFailedWrites(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, step := range []string{"leaves", "before tile", "after tile", "before head", "after head"} {
		for nth := range 4 {
			l := setup(t)
			l.grow(t, 250)
			l.append(300)
			count := 0
			l.fail = func(s string) error {
				if s != step {
					return nil
				}
				if count++; count == nth+1 {
					return broken
				}
				return nil
			}
			_, err := l.Publish(context.Background())
			if count > nth && !errors.Is(err, broken) {
				t.Fatalf("%s, %d: failure was not told: %v", step, nth, err)
			}
			if c, err := OpenCheckpoint(l.top, l.verifier); err != nil || c.Size != 250 && c.Size != 550 {
				t.Fatalf("%s, %d: head %d, %v", step, nth, c.Size, err)
			}
			l.fail = func(string) error { return nil }
			c := l.grow(t, 7)
			if want, _ := reference(t, l.leaves); c.Size != 557 || c.Root != want {
				t.Fatalf("%s, %d: wrong tree after recovery", step, nth)
			}
			if _, err := AuditTiles(context.Background(), l.memory, l.memory, c.Size); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAuditFindsEveryChangedTile(t *testing.T) {
	t.Parallel()
	l := setup(t)
	c := l.grow(t, 700)
	ctx := context.Background()
	for _, id := range TilesOf(c.Size) {
		path := id.Path()
		kept := l.tiles[path]
		changed := bytes.Clone(kept)
		changed[len(changed)/2] ^= 1
		for name, data := range map[string][]byte{"changed": changed, "cut": kept[:len(kept)-1]} {
			l.tiles[path] = data
			if _, err := AuditTiles(ctx, l.memory, l.memory, c.Size); muster.ErrorCode(err) != muster.CodeConflict {
				t.Errorf("%s %s: %v", path, name, err)
			}
		}
		delete(l.tiles, path)
		if _, err := AuditTiles(ctx, l.memory, l.memory, c.Size); muster.ErrorCode(err) != muster.CodeConflict {
			t.Errorf("%s gone: %v", path, err)
		}
		l.tiles[path] = kept
	}
	if _, err := AuditTiles(ctx, l.memory, l.memory, c.Size+1); muster.ErrorCode(err) != muster.CodeConflict {
		t.Errorf("a leaf that is not there: %v", err)
	}
}

func TestProofs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := setup(t)
	var heads []Checkpoint
	for _, n := range []int{1, 1, 5, 249, 1, 3, 252, 700, 64, 5000} {
		heads = append(heads, l.grow(t, n))
	}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(heads).Draw(t, "head")
		i := rapid.Int64Range(0, c.Size-1).Draw(t, "index")
		proof, err := l.prover.Inclusion(ctx, i, c.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckInclusion(proof, c.Size, c.Root, i, l.leaves[i]); err != nil {
			t.Fatal(err)
		}
		if len(proof) > 0 {
			bit := rapid.IntRange(0, len(proof)*256-1).Draw(t, "bit")
			bad := slices.Clone(proof)
			bad[bit/256][bit%256/8] ^= 1 << (bit % 8)
			if CheckInclusion(bad, c.Size, c.Root, i, l.leaves[i]) == nil {
				t.Fatal("a changed proof is taken")
			}
			if CheckInclusion(proof[1:], c.Size, c.Root, i, l.leaves[i]) == nil {
				t.Fatal("a short proof is taken")
			}
			if CheckInclusion(proof, c.Size, c.Root, i^1, l.leaves[i]) == nil {
				t.Fatal("another index is taken")
			}
		}
		old := rapid.SampledFrom(heads).Draw(t, "old")
		if old.Size > c.Size {
			old, c = c, old
		}
		tree, err := l.prover.Consistency(ctx, old.Size, c.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckConsistency(tree, old.Size, old.Root, c.Size, c.Root); err != nil {
			t.Fatal(err)
		}
		wrong := old.Root
		wrong[3] ^= 4
		if CheckConsistency(tree, old.Size, wrong, c.Size, c.Root) == nil {
			t.Fatal("another old root is taken")
		}
		if len(tree) > 0 {
			tree[rapid.IntRange(0, len(tree)-1).Draw(t, "hash")][7] ^= 1
			if CheckConsistency(tree, old.Size, old.Root, c.Size, c.Root) == nil {
				t.Fatal("a changed consistency proof is taken")
			}
		}
	})
}

func TestProofsWhenPartialTilesAreGone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := setup(t)
	old := l.grow(t, 200)
	l.grow(t, 300)
	delete(l.tiles, "tile/0/000.p/200")
	proof, err := l.prover.Inclusion(ctx, 7, 200)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckInclusion(proof, 200, old.Root, 7, l.leaves[7]); err != nil {
		t.Fatal(err)
	}
	_, err = l.prover.Inclusion(ctx, 450, 499)
	wantCode(t, err, muster.CodeNotFound)
	// An audit of the older size, while the log grew past it.
	root, err := AuditTiles(ctx, l.memory, l.memory, 200)
	if err != nil || root != old.Root {
		t.Error("the full tile does not stand for its partial one:", err)
	}
	l.tiles["tile/entries/000"][100] ^= 1
	delete(l.tiles, "tile/entries/000.p/200")
	_, err = AuditTiles(ctx, l.memory, l.memory, 200)
	wantCode(t, err, muster.CodeConflict)
}

func TestDirTiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := setup(t)
	dir := NewDirTiles(t.TempDir())
	l.PublisherConfig.Tiles = dir
	for _, n := range []int{3, 260, 700} {
		l.append(n)
		if _, err := l.Publish(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AuditTiles(ctx, l.memory, dir, 963); err != nil {
		t.Fatal(err)
	}
	for path, there := range map[string]bool{"tile/0/000.p/3": false, "tile/entries/000.p/3": false, "tile/0/000": true, "tile/0/003.p/195": true} {
		if _, err := dir.Tile(ctx, path); (err == nil) != there {
			t.Errorf("%s: %v, want it there: %v", path, err, there)
		}
	}
	_, err := dir.Tile(ctx, "tile/0/777")
	wantCode(t, err, muster.CodeNotFound)
	wantCode(t, dir.PutTile(ctx, "tile/0/000", []byte("other")), muster.CodeConflict)
	for _, path := range []string{"tile/0/../../x", "../x", "tile/0/000.p/0", "checkpoint", ""} {
		_, err := dir.Tile(ctx, path)
		wantCode(t, err, muster.CodeMalformed)
		wantCode(t, dir.PutTile(ctx, path, nil), muster.CodeMalformed)
	}
}

// met lets the first tiles through once so many are being put at the same time.
type met struct {
	*memory
	inside atomic.Int64
	all    chan struct{}
}

func (m *met) PutTile(ctx context.Context, path string, data []byte) error {
	if m.inside.Add(1) == putsAtOnce {
		close(m.all)
	}
	select {
	case <-m.all:
		return m.memory.PutTile(ctx, path, data)
	case <-time.After(time.Minute):
		return errors.New("one tile waits for another")
	}
}

// Tiles wait for the disk together; the head waits for all of them.
func TestTilesArePutTogether(t *testing.T) {
	t.Parallel()
	l := setup(t)
	l.append(5 * tileWidth)
	l.PublisherConfig.Tiles = &met{memory: l.memory, all: make(chan struct{})}
	head, err := l.Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again := newMemory()
	root, err := Rebuild(t.Context(), l.memory, &met{memory: again, all: make(chan struct{})}, head.Size)
	if err != nil || root != head.Root {
		t.Fatal(root, err)
	}
	if len(again.tiles) != len(l.tiles) || len(again.tiles) < 2*5 {
		t.Errorf("%d tiles were put, and %d anew", len(l.tiles), len(again.tiles))
	}
}

// One tile of many that cannot be put is told, and no head is set.
func TestATileThatCannotBePutIsTold(t *testing.T) {
	t.Parallel()
	l := setup(t)
	l.append(20 * tileWidth)
	puts := 0
	l.fail = func(step string) error {
		if step == "before tile" {
			if puts++; puts == 7 {
				return errors.New("the disk is full")
			}
		}
		return nil
	}
	if _, err := l.Publish(t.Context()); err == nil || err.Error() != "the disk is full" || l.top != nil {
		t.Fatalf("%v, head %q", err, l.top)
	}
	puts = 0
	if _, err := Rebuild(t.Context(), l.memory, l.memory, 20*tileWidth); err == nil || err.Error() != "the disk is full" {
		t.Fatal(err)
	}
}

func TestPublisherNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := NewPublisher(PublisherConfig{})
	wantCode(t, err, muster.CodeInternal)
	l, other := setup(t), setup(t)
	c := l.PublisherConfig
	c.Keys = OneKey(l.signer, other.verifier)
	_, err = NewPublisher(c)
	wantCode(t, err, muster.CodeInternal)
}

func TestCheckpointOfAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	l := setup(t)
	signed, err := note.Sign(&note.Note{Text: "other.example/log\n0\n" + emptyRoot().String() + "\n"}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenCheckpoint(signed, l.verifier)
	wantCode(t, err, muster.CodeInvalid)
}
