package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
)

// walk goes through one file.
type walk struct {
	*importing
	c    *client
	f    *os.File
	path string
	id   string // of the import
	says func(taken, place int)

	later []int          // lines whose account above is not there, in their order
	above []muster.Fault // what is wrong with each of them
}

// sent are lines on their way, with their numbers.
type sent struct {
	body  bytes.Buffer
	lines map[int][]byte
}

// each calls fn for every line of the file, with its number.
func (w *walk) each(fn func(n int, text []byte) error) error {
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(w.f, 1<<20)
	if mark, err := r.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = r.Discard(len(byteOrderMark)) // they were read
	}
	if w.m != nil {
		rows, err := w.m.Of(w.path).Rows(r)
		for err == nil {
			var text []byte
			var n int
			if text, n, err = rows.Next(); err == nil {
				err = fn(n, text)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	for n := 1; ; n++ {
		text, err := r.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // longer than a line may be: the server says so
			text = bytes.Repeat([]byte("x"), book.MaxLineBytes+1)
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := fn(n, text); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// all sends the file from a line on.
func (w *walk) all(ctx context.Context, from int) error {
	return w.send(ctx, func(n int) bool { return n > from })
}

// again sends what waits for an account above.
func (w *walk) again(ctx context.Context) error {
	waits := w.later
	w.later = nil
	i := 0
	return w.send(ctx, func(n int) bool {
		for i < len(waits) && waits[i] < n {
			i++
		}
		return i < len(waits) && waits[i] == n
	})
}

// send sends the lines that are wanted.
func (w *walk) send(ctx context.Context, wanted func(n int) bool) error {
	b := &sent{lines: map[int][]byte{}}
	taken := 0
	flush := func() error {
		if len(b.lines) == 0 {
			return nil
		}
		var out struct {
			Taken   int                  `json:"taken"`
			Place   int                  `json:"place"`
			Refused []muster.RefusedLine `json:"refused"`
		}
		if err := w.deliver(ctx, w.c, "/v1/imports/"+w.id+"/lines", b.body.Bytes(), &out, "Content-Type", "application/x-ndjson"); err != nil {
			return err
		}
		taken += out.Taken
		for _, r := range out.Refused {
			if err := w.refuse(r, b.lines[r.Line]); err != nil {
				return err
			}
		}
		w.says(taken, out.Place)
		b.body.Reset()
		clear(b.lines)
		return nil
	}
	err := w.each(func(n int, text []byte) error {
		if !wanted(n) {
			return nil
		}
		if len(b.lines) >= w.batch || b.body.Len()+len(text) > importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		b.lines[n] = nil
		if w.out != nil {
			b.lines[n] = bytes.Clone(text)
		}
		b.body.Write(withNumber(text, n))
		b.body.WriteByte('\n')
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// withNumber has a line say its number, as the report names it.
func withNumber(text []byte, n int) []byte {
	rest, ok := bytes.CutPrefix(text, []byte("{"))
	rest = bytes.TrimSpace(rest)
	if !ok || len(rest) < 2 || bytes.HasPrefix(rest, []byte(`"line"`)) || bytes.Contains(rest, []byte(`,"line":`)) {
		return text
	}
	return slices.Concat([]byte(`{"line":`), strconv.AppendInt(nil, int64(n), 10), []byte(","), rest)
}

// refuse keeps a line for later, or gives it up.
func (w *walk) refuse(r muster.RefusedLine, text []byte) error {
	if slices.ContainsFunc(r.Faults, func(f muster.Fault) bool { return f.Code == "unknown_account" }) {
		w.later, w.above = append(w.later, r.Line), r.Faults
		return nil
	}
	w.show(r.Line, r.Faults)
	return w.keep(text)
}

// maxShown is how many refused lines are printed.
const maxShown = 100

func (w *walk) show(n int, faults []muster.Fault) {
	switch w.shown++; {
	case w.shown == maxShown+1:
		fmt.Fprintf(w.err, "More are refused, which are not shown: --refused FILE keeps them all, and muster import show %s names the first %d\n", w.id, muster.MaxRefusedLines)
		fallthrough
	case w.shown > maxShown:
		return
	}
	fmt.Fprintf(w.err, "%s: line %d was refused\n", w.path, n)
	for _, f := range faults {
		fmt.Fprintf(w.err, "  %s: %s\n", cmp.Or(printable(f.Pointer), "the line"), printable(f.Detail))
	}
}

// keep writes a refused line to the operator's file.
func (w *walk) keep(text []byte) error {
	if w.out == nil {
		return nil
	}
	_, err := w.out.Write(append(bytes.Clone(text), '\n'))
	return err
}

// give gives up what still waits for an account above.
func (w *walk) give() error {
	if len(w.later) == 0 {
		return nil
	}
	i := 0
	return w.each(func(n int, text []byte) error {
		if i < len(w.later) && w.later[i] == n {
			w.show(n, w.above)
			i++
			return w.keep(text)
		}
		return nil
	})
}
