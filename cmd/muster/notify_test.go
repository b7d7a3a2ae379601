package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/loopback"
)

// TestTheServiceManagerIsTold runs serve as a service manager would that waits for
// word. Not parallel: it sets the environment.
func TestTheServiceManagerIsTold(t *testing.T) {
	_, config := fresh(t)
	at := loopback.Address(t)
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	word := func() string {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 128)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() {
		code, _, errs := session(ctx, "serve", "--config", config, "--listen", at)
		if code != exitOK || strings.Contains(errs, "was not told") {
			t.Errorf("serve ended with %d: %s", code, errs)
		}
		ended <- code
	}()
	if got := word(); got != nowReady {
		t.Errorf("told %q", got)
	}
	for ready := false; !ready; {
		response, err := http.Get("http://" + at + "/readyz")
		if err != nil {
			t.Fatalf("it said that it is ready, and does not listen: %v", err)
		}
		said, err := io.ReadAll(response.Body)
		response.Body.Close()
		ready = response.StatusCode == http.StatusOK
		if !ready && !strings.Contains(string(said), "not answer in time") { // which is the machine's fault
			t.Fatalf("it said that it is ready, and is not: %s %s %v", response.Status, said, err)
		}
	}
	stop()
	if got := word(); got != nowStopping {
		t.Errorf("told %q", got)
	}
	<-ended

	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := tellManager(nowReady); err == nil {
		t.Error("nobody listens, and that was not noticed")
	}
}

// TestReadyIsAfterTheGate: who listens and has not read the gate's state is not ready.
func TestReadyIsAfterTheGate(t *testing.T) {
	t.Parallel()
	_, config := fresh(t)
	conf, err := readConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t.Context(), conf, options{log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(context.Background())
	over, stop := context.WithCancel(t.Context())
	stop()
	listening := make(chan net.Addr, 1)
	listening <- &net.TCPAddr{}
	if _, err := loaded(over, listening, h.centre); err == nil || len(listening) == 0 {
		t.Error("ready before the gate is")
	}
	if err := h.centre.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := loaded(t.Context(), listening, h.centre); err != nil {
		t.Error(err)
	}
}
