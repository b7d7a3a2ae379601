package store_test

import (
	"bytes"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func tiles(b *bundle) {
	s, ctx := b.db.Tiles(), b.Context()
	wants := func(path string, want []byte) {
		b.Helper()
		got, err := s.Tile(ctx, path)
		if want == nil && muster.ErrorCode(err) != muster.CodeNotFound || want != nil && (err != nil || !bytes.Equal(got, want)) {
			b.Errorf("%s: %x, %v, want %x", path, got, err, want)
		}
	}
	for _, path := range []string{"tile/0/000.p/1", "tile/0/000.p/255", "tile/0/001.p/7", "tile/entries/000.p/9", "tile/0/000", "tile/0/000"} {
		if err := s.PutTile(ctx, path, []byte(path)); err != nil {
			b.Fatal(path, err)
		}
	}
	for path, there := range map[string]bool{
		"tile/0/000": true, "tile/0/000.p/1": false, "tile/0/000.p/255": false, "tile/0/001.p/7": true, "tile/entries/000.p/9": true, "tile/1/000": false,
	} {
		if there {
			wants(path, []byte(path))
		} else {
			wants(path, nil)
		}
	}
	if err := s.PutTile(ctx, "tile/0/000", []byte("other")); muster.ErrorCode(err) != muster.CodeConflict {
		b.Error("a tile was put with other bytes:", err)
	}
	wants("tile/0/000", []byte("tile/0/000"))
	if err := s.PutTile(ctx, "tile/0/../x", nil); muster.ErrorCode(err) != muster.CodeMalformed {
		b.Error("a path that is none was taken:", err)
	}
}

func TestTwoProcessesPutTheSameTile(t *testing.T) {
	t.Parallel()
	one := openPostgres(t)
	two := openBeside(t, one, nil)
	const path = "tile/0/000.p/3"
	answers := make(chan error, 32)
	for i := range cap(answers) {
		s := []store.Tiles{one.Tiles(), two.Tiles()}[i%2]
		go func() { answers <- s.PutTile(t.Context(), path, []byte("the same")) }()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}
