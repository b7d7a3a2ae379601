package edge

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

func TestAnEdgeFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.caughtUp()
	if a := b.decide("r-1", muster.ActionAddGPU); !a.Allow || !a.Known || a.Stale {
		t.Errorf("%+v", a)
	}
	b.put("r-1", muster.GateDeny)
	b.put("r-new", muster.GateAllow)
	b.caughtUp()
	if a := b.decide("r-1", muster.ActionUse); a.Allow {
		t.Errorf("%+v", a)
	}
	if a := b.decide("r-new", muster.ActionUse); !a.Known {
		t.Errorf("%+v", a)
	}
	if s := b.edge.Status(); s.Snapshots != 1 || len(s.Refused) != 0 || s.Source != "stream" {
		t.Errorf("%+v", s)
	}
}

func TestAnEdgeThatStartsAgainAnswersFromItsCache(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.caughtUp()
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	b.stop()

	b.set(func() {
		b.instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	b.start()
	b.until("the cache", func(s Status) bool { return s.Source == "cache" && s.Sequence == b.seq() })
	if a := b.decide("r-1", muster.ActionUse); a.Allow || a.Stale {
		t.Errorf("%+v", a)
	}
	b.put("r-2", muster.GateDeny)
	b.until("a try", func(s Status) bool { return s.Trouble != "" })
	b.set(func() { b.instead = nil })
	b.caughtUp()
	if s := b.edge.Status(); s.Snapshots != 0 || b.decide("r-2", muster.ActionUse).Allow {
		t.Errorf("it fetched what it had: %+v", s)
	}
}

func TestAnOldCacheAnswersByTheFailTable(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	b := setup(t, func(c *Config) { c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	b.start()
	b.caughtUp()
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	b.stop()
	ahead.Store(int64(time.Hour)) // the machine was off for an hour; the centre's messages are an hour old now
	b.start()
	b.until("the refusal", func(s Status) bool { return s.Refused[TooOld] > 0 })
	s := b.edge.Status()
	if s.Source != "cache" || !s.Stale || s.Connected {
		t.Errorf("%+v", s)
	}
	for action, want := range map[string]bool{muster.ActionUse: true, muster.ActionAddGPU: false} {
		a := b.gate.Decide(request("r-2", action), b.conf.Clock())
		if a.Allow != want || !a.Stale {
			t.Errorf("%s: %+v", action, a)
		}
	}
	if a := b.gate.Decide(request("r-1", muster.ActionUse), b.conf.Clock()); a.Allow {
		t.Errorf("who was denied is let in by an old snapshot: %+v", a)
	}
}

func TestARestoredCentreIsFollowedAndTheOldOneIsNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.caughtUp()
	before := b.snap
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	b.restore(8, 20)
	b.until("the new epoch", func(s Status) bool { return s.Epoch == 8 && s.Connected })
	if !b.decide("r-1", muster.ActionUse).Allow || b.edge.Status().Accounts != 20 {
		t.Error("the restored state is not in force")
	}
	// A centre of before the restore comes back: a forgotten process, or somebody's copy.
	b.set(func() { b.older, b.snap, b.changes = b.snap, before, nil; b.tell() })
	b.until("the refusal", func(s Status) bool { return s.Refused[LowerEpoch] > 0 })
	if s := b.edge.Status(); s.Epoch != 8 || s.Last != LowerEpoch {
		t.Errorf("%+v", s)
	}
	b.stop()
	b.start() // and not after a start either
	b.until("the refusal", func(s Status) bool { return s.Refused[LowerEpoch] > 0 && s.Epoch == 8 })
	b.set(func() { b.snap = b.older; b.tell() })
	b.caughtUp()
}

// TestALyingCentre: whoever stands in the centre's place can stop the edge from
// hearing news, and nothing more.
func TestALyingCentre(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		want Refusal
		lie  func(b *bundle, stranger *centre) func(w http.ResponseWriter, r *http.Request) bool
	}{
		"forged": {Forged, func(_ *bundle, stranger *centre) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool { stranger.ServeHTTP(w, r); return true }
		}},
		"truncated": {Malformed, func(b *bundle, _ *centre) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				b.mu.Lock()
				part := raw(b.T, b.whole(b.snap))
				b.mu.Unlock()
				_, _ = w.Write(part[:len(part)-70])
				return true
			}
		}},
		"no message at all": {Malformed, func(*bundle, *centre) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, _ *http.Request) bool {
				_, _ = io.WriteString(w, "<html>"+strings.Repeat("sign in ", 100))
				return true
			}
		}},
		"replayed": {Replayed, func(b *bundle, _ *centre) func(http.ResponseWriter, *http.Request) bool {
			b.mu.Lock()
			h := b.head
			b.head.Time = time.Now().Add(-5 * time.Second)
			old := raw(b.T, b.whole(b.older))
			b.head = h
			b.mu.Unlock()
			return func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(old); return true }
		}},
		"rolled back": {RolledBack, func(b *bundle, _ *centre) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, _ *http.Request) bool {
				b.mu.Lock()
				m := b.whole(b.older)
				b.mu.Unlock()
				_, _ = m.WriteTo(w)
				return true
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			stranger := newCentre(t, 1)
			b.start()
			b.caughtUp()
			b.older = b.snap
			b.put("r-1", muster.GateDeny)
			b.caughtUp()
			lie := x.lie(b, stranger)
			b.set(func() { b.instead = lie })
			b.server.CloseClientConnections()
			b.until("the refusal", func(s Status) bool { return s.Refused[x.want] > 0 && s.Last == x.want })
			if a := b.decide("r-1", muster.ActionUse); a.Allow || !a.Known {
				t.Errorf("the last good state is not in force: %+v", a)
			}
			if s := b.edge.Status(); s.Sequence != b.seq() {
				t.Errorf("%+v", s)
			}
			b.put("r-2", muster.GateDeny)
			b.set(func() { b.instead = nil })
			b.server.CloseClientConnections()
			b.caughtUp()
			if b.decide("r-2", muster.ActionUse).Allow {
				t.Error("the edge does not follow again")
			}
		})
	}
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Quiet = 50 * time.Millisecond })
	var silent atomic.Int64
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	b.set(func() {
		b.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/gate/changes" && silent.Add(1) == 1 {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush() // it hangs all the same
				select {
				case <-r.Context().Done():
				case <-release:
				}
				return true
			}
			return false
		}
	})
	b.start()
	b.caughtUp()
	if silent.Load() < 2 {
		t.Error("the silent stream was followed")
	}
}

func TestATokenThatIsRefusedIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Token = func() (string, error) { return "muster_sandbox_revoked", nil } })
	b.start()
	b.until("the trouble", func(s Status) bool { return strings.Contains(s.Trouble, "refuses this edge's token") })
	if a := b.decide("r-1", muster.ActionAddGPU); a.Allow || !a.Stale {
		t.Errorf("a gate without a snapshot opens something new: %+v", a)
	}
}

func TestANewTokenSealsTheCacheAnew(t *testing.T) {
	t.Parallel()
	var current atomic.Value
	current.Store(token)
	b := setup(t, func(c *Config) { c.Token = func() (string, error) { return current.Load().(string), nil } })
	b.start()
	b.caughtUp()
	current.Store(token + "2")
	b.set(func() {
		b.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != "Bearer "+token+"2" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			r.Header.Set("Authorization", "Bearer "+token)
			return false
		}
	})
	b.server.CloseClientConnections()
	b.until("the cache under the new token", func(s Status) bool { return s.Snapshots == 2 && s.Connected })
	b.stop()
	for secret, want := range map[string]muster.Code{token: muster.CodeMalformed, token + "2": ""} {
		k := &Cache{Path: b.conf.Cache.Path, Secret: secret}
		if _, err := load(t, b.centre, k); muster.ErrorCode(err) != want {
			t.Errorf("%v", err)
		}
		k.Close()
	}
}

func TestACacheThatCannotBeWrittenStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.Cache = &Cache{Path: "/proc/nowhere/cache"} })
	b.start()
	b.caughtUp()
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	if b.decide("r-1", muster.ActionUse).Allow {
		t.Error("a change is not in force")
	}
}

func TestAnEdgeAsksForNothingButItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.caughtUp()
	batch := &muster.GateBatch{
		Run: muster.NewID(muster.PrefixGateRun, time.Now()), N: 1, At: time.Now(), Records: []muster.GateRecord{},
		Counts: []muster.GateCount{{Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse, Answer: muster.AnswerAllow, Count: 3}},
	}
	if err := b.edge.PutGateBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	const reference = "a-customer-like-no-other" // no shorter: it must not come up in random bytes
	b.put(reference, muster.GateDeny)
	b.caughtUp()
	b.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.batches) != 1 || b.batches[0].Counts[0].Count != 3 {
		t.Errorf("%+v", b.batches)
	}
	for _, r := range b.asked {
		switch r {
		case "GET /v1/gate/snapshot", "GET /v1/gate/changes", "POST /v1/gate/records":
		default:
			t.Errorf("it asked %s", r)
		}
	}
	disk, err := os.ReadFile(b.conf.Cache.Path)
	if err != nil {
		t.Fatal(err)
	}
	var opened []byte
	cache := &Cache{Path: b.conf.Cache.Path, Secret: token}
	defer cache.Close()
	if err := cache.Load(func(m *gate.Message) error { opened = append(opened, raw(t, m)...); return nil }); err != nil {
		t.Fatal(err)
	}
	if hash := b.snap.Key().Hash(reference); !bytes.Contains(opened, hash[:]) {
		t.Error("positive control: the account is not in the cache either")
	}
	if bytes.Contains(disk, []byte(reference)) || bytes.Contains(opened, []byte(reference)) {
		t.Error("a reference lies on the edge's disk")
	}
}
