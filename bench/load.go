package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster/synthetic"
)

// requests are applications made ready as bytes on the wire, so that the posting
// side costs as little as it can of the cores that it shares with the server.
func requests(d *deployment, p *synthetic.Population, from, n int) ([][]byte, int, error) {
	out := make([][]byte, n)
	size := 0
	for i := range n {
		body, err := json.Marshal(p.Next(from + i))
		if err != nil {
			return nil, 0, err
		}
		size += len(body)
		var b bytes.Buffer
		fmt.Fprintf(&b, "POST /v1/applications HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", d.addr, d.token, len(body))
		b.Write(body)
		out[i] = b.Bytes()
	}
	return out, size / max(n, 1), nil
}

// result is what a load came to.
type result struct {
	taken, refused, failed int // 2xx, 4xx, anything else
	took                   time.Duration
	lone                   []time.Duration // of each post, where asked for
}

// post sends requests over so many connections, one at a time on each, until they
// run out or the time is up.
func post(ctx context.Context, addr string, reqs [][]byte, connections int, limit time.Duration, times bool) (result, error) {
	var next, taken, refused, failed atomic.Int64
	var mu sync.Mutex
	var out result
	var errs []error
	began := time.Now()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			var mine []time.Duration
			err := func() error {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if err != nil {
					return err
				}
				defer c.Close()
				in := bufio.NewReaderSize(c, 16<<10)
				for {
					i := int(next.Add(1) - 1)
					if i >= len(reqs) || limit > 0 && time.Since(began) > limit || ctx.Err() != nil {
						return ctx.Err()
					}
					sent := time.Now()
					if _, err := c.Write(reqs[i]); err != nil {
						return err
					}
					status, err := answer(in)
					if err != nil {
						return err
					}
					if times {
						mine = append(mine, time.Since(sent))
					}
					switch {
					case status < 300:
						taken.Add(1)
					case status < 500:
						refused.Add(1)
					default:
						failed.Add(1)
					}
				}
			}()
			mu.Lock()
			defer mu.Unlock()
			out.lone = append(out.lone, mine...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	out.took = time.Since(began)
	out.taken, out.refused, out.failed = int(taken.Load()), int(refused.Load()), int(failed.Load())
	return out, errors.Join(errs...)
}

// answer reads one HTTP/1.1 answer and returns its status; the body is discarded.
func answer(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.1 ") {
		return 0, fmt.Errorf("no HTTP answer: %.40q", line)
	}
	status, err := strconv.Atoi(line[9:12])
	if err != nil {
		return 0, err
	}
	length, chunked := 0, false
	for {
		h, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(h) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(h), ":")
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, err
			}
		case "transfer-encoding":
			chunked = true
		}
	}
	if !chunked {
		_, err = in.Discard(length)
		return status, err
	}
	for {
		h, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(h), 16, 32)
		if err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, in, n+2); err != nil {
			return 0, err
		}
		if n == 0 {
			return status, nil
		}
	}
}
