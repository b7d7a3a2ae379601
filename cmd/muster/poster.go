package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"sync"

	"github.com/muster-cip/muster"
)

// poster posts lines by several workers. Lines of one reference share a worker, so
// that they arrive in their order.
type poster struct {
	ctx     context.Context
	c       *client
	lanes   []chan posted
	flying  sync.WaitGroup // lines that are not answered
	results chan applied   // each line once, in any order; closed at the end
	seed    maphash.Seed
}

// posted is one line on its way.
type posted struct {
	number int
	end    int64
	body   []byte
}

func newPoster(ctx context.Context, c *client, workers int) *poster {
	p := &poster{ctx: ctx, c: c, results: make(chan applied, workers), seed: maphash.MakeSeed()}
	for range workers {
		p.lanes = append(p.lanes, make(chan posted))
	}
	return p
}

// read reads lines from one on and ends when all are answered, or ctx is over.
func (p *poster) read(in io.Reader, number int, at int64) error {
	var workers sync.WaitGroup
	for _, lane := range p.lanes {
		workers.Go(func() { p.work(lane) })
	}
	err := p.dispatch(in, number, at)
	for _, lane := range p.lanes {
		close(lane)
	}
	workers.Wait()
	close(p.results)
	return err
}

func (p *poster) dispatch(in io.Reader, number int, at int64) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		body, n, whole, err := readLine(r, muster.MaxApplicationBytes)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		number++
		at += n
		switch {
		case !whole:
			fault := &notTaken{Line: number, Code: muster.CodeTooLarge, Detail: "longer than an application may be"}
			p.results <- applied{number: number, end: at, fault: fault}
			continue
		case len(bytes.TrimSpace(body)) == 0:
			p.results <- applied{number: number, end: at, blank: true}
			continue
		}
		reference, parent := key(body)
		if parent {
			p.flying.Wait()
		}
		lane := p.lanes[number%len(p.lanes)]
		if reference != "" {
			lane = p.lanes[maphash.String(p.seed, reference)%uint64(len(p.lanes))]
		}
		p.flying.Add(1)
		select {
		case lane <- posted{number, at, body}:
		case <-p.ctx.Done():
			p.flying.Done()
			return p.ctx.Err()
		}
	}
}

func (p *poster) work(lane <-chan posted) {
	for l := range lane {
		r := tryPost(p.ctx, p.c, l.number, l.body)
		r.end = l.end
		p.results <- r
		p.flying.Done()
	}
}

// readLine reads a line of at most most bytes and its whole length; whole is
// false for one that is longer, whose bytes are passed over.
func readLine(r *bufio.Reader, most int) (line []byte, n int64, whole bool, err error) {
	whole = true
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		if whole = whole && len(line)+len(part) <= most+1; whole {
			line = append(line, part...)
		} else {
			line = nil
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && n > 0:
			return line, n, whole, nil
		default:
			return line, n, whole, err
		}
	}
}
