package store

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// listen is a server that accepts and says nothing.
func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	l := listen(t)
	dial := notSilent((&net.Dialer{}).DialContext, 50*time.Millisecond)
	conn, err := dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// The driver takes a timeout for its own, and the connection for a good one.
	_, err = conn.Read(make([]byte, 1))
	var network net.Error
	if !errors.Is(err, errSilent) || errors.As(err, &network) {
		t.Errorf("silence is %v", err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after it: %v", err)
	}
}

func TestTheDriversDeadlineStaysItsOwn(t *testing.T) {
	t.Parallel()
	l := listen(t)
	dial := notSilent((&net.Dialer{}).DialContext, time.Hour)
	conn, err := dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now())
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline before: %v", err)
	}
	conn.SetDeadline(time.Time{})
	ended := make(chan error)
	go func() { _, err := conn.Read(make([]byte, 1)); ended <- err }()
	conn.SetDeadline(time.Now())
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline while it waits: %v", err)
	}
	if _, err := conn.Write([]byte("x")); errors.Is(err, net.ErrClosed) {
		t.Error("it was closed")
	}
}
