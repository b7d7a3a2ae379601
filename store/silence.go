package store

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A PostgreSQL that was stopped, or a network that swallows packets, closes nothing: who
// waits would wait for ever. So a connection on which a statement is under way and
// nothing comes, or can be sent, for some time is given up.
const (
	writerSilence = 20 * time.Second
	readerSilence = 30 * time.Second // questions over everything on file take longer until their first row

	// writerIdle is how long the server lets a transaction wait for its process before it
	// undoes it: one that was stopped in the middle must not keep its locks, which every
	// other process waits for.
	writerIdle = 10 * time.Second

	// longestWait is how long a transaction waits for its turn.
	longestWait = 15 * time.Second
)

// errSilent is no timeout of the driver's: it would take the connection for a good one.
var errSilent = errors.New("the connection was silent for too long")

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// notSilent has the connections that dial makes given up after so much silence.
func notSilent(dial dialer, most time.Duration) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, most: most}, nil
	}
}

// watchedConn is a connection with a deadline for each read and write, and that of the
// driver, which is how it ends a call whose context ended.
type watchedConn struct {
	net.Conn
	most time.Duration

	mu    sync.Mutex
	limit time.Time // the driver's; zero: none
}

func (c *watchedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	return c.Conn.SetDeadline(t)
}

func (c *watchedConn) Read(p []byte) (int, error) {
	ours, err := c.bound(c.Conn.SetReadDeadline)
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	return n, c.judge(ours, err)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	ours, err := c.bound(c.Conn.SetWriteDeadline)
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	return n, c.judge(ours, err)
}

// bound sets the nearer of both deadlines, and returns it where it is ours.
func (c *watchedConn) bound(set func(time.Time) error) (ours time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Now().Add(c.most)
	if !c.limit.IsZero() && c.limit.Before(at) {
		return time.Time{}, set(c.limit)
	}
	return at, set(at)
}

// judge closes the connection where our deadline passed, and not the driver's.
func (c *watchedConn) judge(ours time.Time, err error) error {
	if ours.IsZero() || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(ours) {
		return err
	}
	c.Conn.Close()
	return errSilent
}
