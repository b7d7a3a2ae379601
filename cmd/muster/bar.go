package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// bar is a progress bar on a terminal, and a line each tenth elsewhere.
type bar struct {
	w           io.Writer
	done, total int
	live        bool
	shown       int // tenths, or columns on a terminal
}

const barWidth = 40

func newBar(w io.Writer, total int) *bar {
	b := &bar{w: w, total: total, shown: -1}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.live = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) step() {
	b.done++
	parts := 10
	if b.live {
		parts = barWidth
	}
	at := b.done * parts / max(b.total, 1)
	if at == b.shown && b.done != b.total {
		return
	}
	b.shown = at
	if !b.live {
		fmt.Fprintf(b.w, "%d of %d\n", b.done, b.total)
		return
	}
	fmt.Fprintf(b.w, "\r[%s%s] %d of %d", strings.Repeat("=", at), strings.Repeat(" ", barWidth-at), b.done, b.total)
	if b.done == b.total {
		fmt.Fprintln(b.w)
	}
}

// clear makes room on a terminal for a line of something else. A nil bar is none.
func (b *bar) clear() {
	if b != nil && b.live {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = -1
	}
}
