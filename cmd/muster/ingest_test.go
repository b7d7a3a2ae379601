package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster/api"
)

// followed is a log that muster ingest --follow reads.
type followed struct {
	*gateHouse
	log, token string
	sent       []string // addresses, in the order of writing
}

// write adds a record to a file of the log, from an address of its own.
func (f *followed) write(path string) {
	f.Helper()
	ip := fmt.Sprintf("192.0.2.%d", len(f.sent)+1)
	f.sent = append(f.sent, ip)
	f.append(path, ip)
}

func (f *followed) append(path, ip string) {
	f.Helper()
	w, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(w, `{"account":"r-1","ip":%q,"at":"2026-11-01T10:00:00Z","action":"login"}`+"\n", ip)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		f.Fatal(err)
	}
}

func (f *followed) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// follow follows the log until stop.
func (f *followed) follow() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code, out, errs := session(ctx, "ingest", "--follow", "--server", f.api.base, "--token-file", f.token, f.log); code != exitOK {
			f.Errorf("it ended with %d: %s%s", code, out, errs)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	f.Cleanup(stop)
	return stop
}

// arrives waits until the ledger has everything that was written, each once.
func (f *followed) arrives(what string) {
	f.Helper()
	at := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	want := slices.Sorted(slices.Values(f.sent))
	var have []string
	late := time.After(time.Minute)
	for tick := time.Tick(100 * time.Millisecond); !slices.Equal(have, want); {
		select {
		case <-tick:
		case <-late:
			f.Fatalf("%s: the ledger has %v, want %v", what, have, want)
		}
		var used api.Accesses
		f.must(f.api.call(f.Context(), http.MethodPost, "/v1/ledger/where-used", api.WhereUsed{
			Why: api.Why{Purpose: "abuse", Case: "T-1"}, Account: "r-1", Interval: api.Interval{From: at, Until: at.Add(time.Minute), Limit: 1000},
		}, &used))
		have = nil
		for _, x := range used.Items {
			have = append(have, x.IP)
		}
		slices.Sort(have)
	}
}

// remembered waits until the state says so, which is written after the acknowledgement.
func (f *followed) remembered(size int64) {
	f.Helper()
	f.until("the remembered place", func() bool {
		var s ingestState
		data, err := os.ReadFile(f.log + ".ingested")
		return err == nil && json.Unmarshal(data, &s) == nil && s.Offset == size
	})
}

func (f *followed) size(path string) int64 {
	f.Helper()
	info, err := os.Stat(path)
	f.ok(err)
	return info.Size()
}

func TestIngestFollowsOverRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := &followed{gateHouse: startGateHouse(t), log: filepath.Join(dir, "panel.log"), token: filepath.Join(dir, "token")}
	f.person("r-1", "open")
	f.ok(os.WriteFile(f.token, []byte(f.root+"\n"), 0o600))

	f.write(f.log)
	f.write(f.log)
	stop := f.follow()
	f.arrives("what was there")
	f.write(f.log)
	f.arrives("what was added")

	// Renamed, and whoever writes is late to notice: the old file grows after the new one began.
	old := f.log + ".1"
	f.ok(os.Rename(f.log, old))
	f.write(old)
	f.write(f.log)
	f.write(old)
	f.arrives("both sides of a rename")
	f.remembered(f.size(f.log))

	// Renamed while nothing follows, with lines of which nobody knows yet.
	stop()
	f.write(f.log)
	f.ok(os.Rename(old, f.log+".2"))
	f.ok(os.Rename(f.log, old))
	f.write(f.log)
	f.follow()
	f.arrives("a rename while it was stopped")
	f.remembered(f.size(f.log))

	// Cut in place (copytruncate), and begun with the very line that it began with: the
	// lines are others, though their places and the first one's bytes are the same.
	first := f.sent[len(f.sent)-1]
	f.write(f.log)
	f.arrives("one more")
	f.remembered(f.size(f.log))
	f.ok(os.Truncate(f.log, 0))
	f.append(f.log, first)
	f.sent = append(f.sent, first)
	f.arrives("a file that was cut")
	f.remembered(f.size(f.log))
	f.write(f.log)
	f.arrives("what came after the cut")
}
