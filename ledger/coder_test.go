package ledger

import (
	"testing"

	"pgregory.net/rapid"
)

func TestCoderComesBack(t *testing.T) {
	t.Parallel()
	type step struct {
		kind, ctx int
		v         uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			s := step{kind: rapid.IntRange(0, 3).Draw(t, "kind"), ctx: rapid.IntRange(0, 3).Draw(t, "ctx"), v: rapid.Uint64().Draw(t, "v")}
			switch s.kind {
			case 0:
				s.v = min(s.v, 1)
			case 1:
				s.v &= 0xffff
			case 2:
				s.v >>= 1 + s.v%63
			case 3:
				s.v &= 63
			}
			return s
		}), 0, 300).Draw(t, "steps")
		run := func(c *coder, s step) uint64 {
			switch s.kind {
			case 0:
				return uint64(c.bit(s.ctx, int(s.v)))
			case 1:
				return c.direct(16, s.v)
			case 2:
				return c.number(64, 128, s.v)
			default:
				return uint64(c.tree(512, 6, int(s.v)))
			}
		}
		prefix := []byte("before")
		w := writer(evenStart(1024), prefix)
		for _, s := range steps {
			run(&w, s)
		}
		out := w.finish(len(prefix))
		if string(out[:len(prefix)]) != "before" {
			t.Fatal("what was there before is gone")
		}
		r := reader(evenStart(1024), out[len(prefix):])
		for i, s := range steps {
			if got := run(&r, s); got != s.v {
				t.Fatalf("step %d of %d: %d, want %d", i, len(steps), got, s.v)
			}
		}
		if r.spent() {
			t.Fatal("more was read than was written")
		}
	})
}

// A carry runs through bytes of 0xff; the very first byte can be one of them.
func TestCoderCarries(t *testing.T) {
	t.Parallel()
	state := uint32(1)
	for round := range 300 {
		var list []int
		w := writer(evenStart(4), nil)
		ones := uint64(1)<<(round%40) - 1
		w.direct(round%40, ones)
		for range 2000 {
			state = state*1664525 + 1013904223
			b := 1
			if int(state>>16)%(1+round) == 0 {
				b = 0
			}
			list = append(list, b)
			w.bit(round%4, b)
		}
		r := reader(evenStart(4), w.finish(0))
		if got := r.direct(round%40, 0); got != ones {
			t.Fatalf("round %d: %x, want %x", round, got, ones)
		}
		for i, want := range list {
			if got := r.bit(round%4, 0); got != want {
				t.Fatalf("round %d: bit %d", round, i)
			}
		}
	}
}
