package edge

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

const token = "muster_sandbox_abcdefghijklmnopqrstuvwxyz"

// centre is a centre small enough to see through: it signs, keeps every change, and
// does on request what a centre, or somebody in its place, must not.
type centre struct {
	t      testing.TB
	key    ed25519.PrivateKey
	server *httptest.Server

	mu      sync.Mutex
	head    gate.Head // bound, fail table; and the time of the next message, where it is set
	snap    *gate.Snapshot
	older   *gate.Snapshot // of a test
	changes []change
	asked   []string // requests
	batches []muster.GateBatch
	wake    chan struct{}
	fan     func(raw []byte) // beside the streams
	instead func(w http.ResponseWriter, r *http.Request) bool
}

type change struct {
	from uint64
	snap *gate.Snapshot
	gate.Change
}

func profile(t testing.TB, status muster.GateStatus, code string) []byte {
	t.Helper()
	raw, _, err := gate.EncodeProfile(muster.Profile{Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: status, Code: code}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newCentre(t testing.TB, accounts int) *centre {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &centre{
		t: t, key: key, wake: make(chan struct{}),
		head: gate.Head{Bound: 30 * time.Second, Fail: gate.Fail{Stale: gate.Actions(muster.ActionUse), Unknown: gate.Actions(muster.ActionUse)}},
	}
	c.restore(7, accounts)
	c.server = httptest.NewServer(c)
	t.Cleanup(func() {
		c.server.CloseClientConnections()
		c.server.Close()
	})
	return c
}

// restore begins an epoch with so many accounts, r-0 and on, all allowed.
func (c *centre) restore(epoch uint64, accounts int) {
	c.t.Helper()
	key := gate.Key{1, 2, 3}
	b := gate.NewBuilder("dep_1", key)
	p, err := b.Profile(profile(c.t, muster.GateAllow, ""))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range accounts {
		if err := b.Add(key.Hash("r-"+strconv.Itoa(i)), gate.DecisionID{}, p); err != nil {
			c.t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snap, c.changes = b.Snapshot(epoch, 100), nil
	c.tell()
}

// tell wakes the streams.
func (c *centre) tell() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// put changes an account.
func (c *centre) put(reference string, status muster.GateStatus) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	x := gate.Change{Hash: c.snap.Key().Hash(reference), Profile: profile(c.t, status, "put")}
	next, err := c.snap.With(c.snap.Seq+1, []gate.Change{x})
	if err != nil {
		c.t.Fatal(err)
	}
	c.changes = append(c.changes, change{c.snap.Seq, next, x})
	c.snap = next
	if c.fan != nil {
		c.fan(raw(c.t, c.delta(len(c.changes)-1)))
	}
	c.tell()
}

// The rest of these sign; c.mu is held.

func (c *centre) now() gate.Head {
	h := c.head
	if h.Time.IsZero() {
		h.Time = time.Now()
	}
	return h
}

// keys are those that an edge trusts.
func (c *centre) keys() Keys {
	return func() []ed25519.PublicKey { return []ed25519.PublicKey{c.key.Public().(ed25519.PublicKey)} }
}

func (c *centre) whole(s *gate.Snapshot) *gate.Message { return c.must(s.Encode(c.now(), c.key)) }

func (c *centre) delta(i int) *gate.Message {
	x := c.changes[i]
	return c.must(x.snap.Delta(x.from, []gate.Change{x.Change}, c.now(), c.key))
}

// beat is a head of a state.
func (c *centre) beat(s *gate.Snapshot) *gate.Message {
	h := c.now()
	h.Deployment, h.Epoch, h.From, h.Seq, h.Digest, h.Accounts, h.KeyID = s.Deployment, s.Epoch, s.Seq, s.Seq, s.Digest(), uint64(s.Len()), s.Key().ID()
	return c.must(h.Seal(c.key))
}

func (c *centre) must(m *gate.Message, err error) *gate.Message {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func raw(t testing.TB, m *gate.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// came is a message as it comes from the wire, unverified.
func came(t testing.TB, raw []byte) *gate.Message {
	t.Helper()
	m, err := gate.ReadMessage(bytes.NewReader(raw), 0)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ServeHTTP is the centre's API, as far as an edge may call it.
func (c *centre) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	instead := c.instead
	c.mu.Unlock()
	if instead != nil && instead(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/gate/snapshot":
		c.mu.Lock()
		m := c.whole(c.snap)
		c.mu.Unlock()
		_, _ = m.WriteTo(w)
	case "GET /v1/gate/changes":
		c.stream(w, r)
	case "POST /v1/gate/records":
		var b muster.GateBatch
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &b) != nil || b.Validate() != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		c.mu.Lock()
		c.batches = append(c.batches, b)
		c.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func (c *centre) stream(w http.ResponseWriter, r *http.Request) {
	var epoch, after uint64
	if _, err := fmt.Sscanf(r.URL.RawQuery, "epoch=%d&after=%d", &epoch, &after); err != nil {
		c.t.Error(err)
	}
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for begun := false; ; begun = true {
		c.mu.Lock()
		at := slices.IndexFunc(c.changes, func(x change) bool { return x.from == after })
		if epoch != c.snap.Epoch || after != c.snap.Seq && at < 0 {
			c.mu.Unlock()
			if !begun {
				w.WriteHeader(http.StatusGone)
			}
			return
		}
		var m *gate.Message
		if after == c.snap.Seq {
			m = c.beat(c.snap)
		} else {
			m = c.delta(at)
		}
		after = m.Head.Seq
		wake, more := c.wake, after != c.snap.Seq
		c.mu.Unlock()
		if _, err := m.WriteTo(w); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		if more {
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-wake:
		case <-beat.C:
		}
	}
}

func (c *centre) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// bundle is an edge that follows a centre.
type bundle struct {
	*testing.T
	*centre
	edge *Follower
	gate *gate.Gate
	conf Config
	stop func()
}

func setup(t *testing.T, change ...func(*Config)) *bundle {
	t.Helper()
	b := &bundle{T: t, centre: newCentre(t, 50)}
	b.conf = Config{
		From: b.server.URL, Token: func() (string, error) { return token, nil }, Keys: b.keys(),
		Client: b.server.Client(), Clock: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Cache: &Cache{Path: filepath.Join(t.TempDir(), "cache")}, Quiet: 20 * time.Second, Backoff: time.Millisecond,
	}
	for _, fn := range change {
		fn(&b.conf)
	}
	return b
}

// start starts the edge, as a fresh process would.
func (b *bundle) start() {
	b.Helper()
	b.gate = &gate.Gate{}
	b.conf.Gate = b.gate
	f, err := New(b.conf)
	if err != nil {
		b.Fatal(err)
	}
	f.changed = make(chan struct{}, 1)
	b.edge = f
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(b.stop)
}

// until waits for a status, for a minute at most.
func (b *bundle) until(what string, fn func(Status) bool) {
	b.Helper()
	limit := time.After(time.Minute)
	for !fn(b.edge.Status()) {
		select {
		case <-b.edge.changed:
		case <-limit:
			b.Fatalf("%s: not within a minute: %+v", what, b.edge.Status())
		}
	}
}

func (b *bundle) decide(account, action string) gate.Answer {
	return b.gate.Decide(request(account, action), time.Now())
}

func request(account, action string) *gate.Request {
	return &gate.Request{Account: account, Action: action}
}

func (b *bundle) seq() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snap.Seq
}

func (b *bundle) caughtUp() {
	b.Helper()
	want := b.seq()
	b.until("the centre's state", func(s Status) bool { return s.Sequence == want && s.Connected })
}
