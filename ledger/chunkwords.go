package ledger

import (
	"slices"
	"strings"
)

// words codes a column of few different strings: as before, one of those seen, or a
// new one.
type words struct {
	c    *coder
	buf  []byte
	list []string // used last first
	text int      // contexts of new words
	hit  int
	bad  bool
}

func (w *words) reset(c *coder, buf []byte) {
	w.c, w.buf, w.hit, w.bad, w.text = c, buf, 0, false, ctxText
	w.list = append(w.list[:0], "")
}

func (w *words) code(ctx int, s string) string {
	if w.bad {
		return ""
	}
	rank := -1
	if !w.c.read {
		rank = slices.Index(w.list, s)
	}
	differs := 1
	if rank == 0 {
		differs = 0
	}
	differs = w.c.bit(ctx+w.hit, differs)
	w.hit = differs
	if differs == 0 {
		return w.list[0]
	}
	fresh := 0
	if rank < 0 {
		fresh = 1
	}
	if w.c.bit(ctx+2, fresh) == 0 {
		rank = int(w.c.number(ctx+4, ctx+4+lengthContexts, uint64(max(rank, 0))))
		if rank >= len(w.list) || rank < 0 {
			w.bad = true
			return ""
		}
		s = w.list[rank]
		copy(w.list[1:rank+1], w.list[:rank])
		w.list[0] = s
		return s
	}
	s = codeText(w.c, w.text, s, w.buf, &w.bad)
	if w.c.read && w.c.spent() {
		w.bad = true
	}
	w.list = append(w.list, "")
	copy(w.list[1:], w.list)
	w.list[0] = s
	return s
}

// codeText codes one string.
func codeText(c *coder, ctx int, s string, buf []byte, bad *bool) string {
	n := int(c.number(ctx, ctx+lengthContexts, uint64(len(s))))
	if n > len(buf) || n < 0 {
		*bad = true
		return ""
	}
	for i := range n {
		b := 0
		if !c.read {
			b = int(s[i])
		}
		buf[i] = byte(c.tree(ctx+lengthContexts+mantissaContexts, 8, b))
	}
	if !c.read {
		return s
	}
	return strings.Clone(string(buf[:n]))
}
