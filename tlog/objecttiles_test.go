package tlog

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/s3test"
	"github.com/muster-cip/muster/objects"
)

// TestObjectTiles runs one log on each kind of storage, through growth, loss of the
// tiles, and a rebuild.
func TestObjectTiles(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) Objects{
		"directory": func(t *testing.T) Objects { return objects.NewDir(t.TempDir()) },
		"S3": func(t *testing.T) Objects {
			return s3test.Start(t).Objects(t, objects.S3Config{Prefix: "p/", Clock: testClock, Pause: time.Millisecond})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			l, o := setup(t), open(t)
			tiles := NewObjectTiles(o, "log/")
			l.PublisherConfig.Tiles = tiles
			var heads []Checkpoint
			for _, n := range []int{3, 260, 700} {
				l.append(n)
				cp, err := l.Publish(ctx)
				if err != nil {
					t.Fatal(err)
				}
				heads = append(heads, cp)
				if err := tiles.Announce(ctx, cp.Signed); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := AuditTiles(ctx, l.memory, NewObjectTiles(o, "log/"), 963); err != nil {
				t.Fatal(err)
			}
			for path, there := range map[string]bool{"tile/0/000.p/3": false, "tile/entries/000.p/3": false, "tile/0/000": true, "tile/0/003.p/195": true, "checkpoint": true} {
				if _, err := o.Get(ctx, "log/"+path); (err == nil) != there {
					t.Errorf("%s: %v, want it there: %v", path, err, there)
				}
			}
			wantCode(t, tiles.PutTile(ctx, "tile/0/000", []byte("other")), muster.CodeConflict)
			for _, path := range []string{"tile/0/../../x", "../x", "checkpoint", ""} {
				_, err := tiles.Tile(ctx, path)
				wantCode(t, err, muster.CodeMalformed)
				wantCode(t, tiles.PutTile(ctx, path, nil), muster.CodeMalformed)
			}
			// A slower process does not set the published head back.
			if err := tiles.Announce(ctx, heads[0].Signed); err != nil {
				t.Fatal(err)
			}
			if said, err := o.Get(ctx, "log/checkpoint"); err != nil || string(said) != string(heads[2].Signed) {
				t.Errorf("the published head is %q, %v", said, err)
			}
			// What was lost is made again from the leaves, byte for byte.
			fresh := NewObjectTiles(o, "moved/")
			l.PublisherConfig.Tiles = fresh
			if rebuilt, err := l.Ensure(ctx); err != nil || !rebuilt {
				t.Fatal(rebuilt, err)
			}
			if rebuilt, err := l.Ensure(ctx); err != nil || rebuilt {
				t.Fatal("rebuilt twice", rebuilt, err)
			}
			if _, err := AuditTiles(ctx, l.memory, fresh, 963); err != nil {
				t.Fatal(err)
			}
			l.grow(t, 70)
			if _, err := AuditTiles(ctx, l.memory, fresh, 1033); err != nil {
				t.Fatal(err)
			}
			l.memory.leaves[5] = l.memory.leaves[6]
			l.PublisherConfig.Tiles = NewObjectTiles(o, "other/")
			_, err := l.Ensure(ctx)
			wantCode(t, err, muster.CodeConflict)
		})
	}
}

// The head does not move while the storage does not take tiles, and goes on where it
// was afterwards.
func TestNoHeadAheadOfItsTiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := s3test.Start(t)
	l := setup(t)
	l.PublisherConfig.Tiles = NewObjectTiles(server.Objects(t, objects.S3Config{Clock: testClock, Pause: time.Millisecond, Tries: 2}), "")
	l.grow(t, 300)
	for _, f := range []s3test.Fault{s3test.Busy, s3test.After, s3test.Denied} {
		l.append(300)
		server.Fail(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodPut {
				return f
			}
			return s3test.None
		})
		was := string(l.top)
		_, err := l.Publish(ctx)
		wantCode(t, err, muster.CodeUnavailable)
		if string(l.top) != was {
			t.Fatal("the head moved and its tiles did not")
		}
		server.Fail(nil)
		if _, err := l.Publish(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AuditTiles(ctx, l.memory, l.PublisherConfig.Tiles, 1200); err != nil {
		t.Fatal(err)
	}
}
