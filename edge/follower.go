package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Doer sends requests to the centre: *http.Client is one. It has no deadline over a
// whole answer: the stream of changes does not end.
type Doer interface {
	Do(r *http.Request) (*http.Response, error)
}

// Fan is where changes come from beside the centre's own stream: NATS.
type Fan interface {
	// Subscribe calls each for every message of a deployment until ctx ends or the fan
	// is lost. each is called by one goroutine at a time; its error ends the subscription.
	Subscribe(ctx context.Context, deployment string, each func(raw []byte) error) error
}

// Config of a Follower. Cache, Fan, Token's change, Quiet and Backoff may be left out.
type Config struct {
	From   string                 // URL of the centre
	Token  func() (string, error) // the edge's credential, read at each connection
	Keys   Keys                   // one of which signs the centre's messages
	Client Doer
	Gate   *gate.Gate
	Clock  muster.Clock
	Log    *slog.Logger

	Cache *Cache
	Fan   Fan

	Quiet   time.Duration // a stream that is silent for so long is given up; 0 is 5 s: heads come each second
	Backoff time.Duration // at first; 0 is 250 ms; at most 16 times as long
}

// Follower keeps a gate up to the centre.
type Follower struct {
	conf   Config
	belief belief // of Run's goroutine alone

	fetch bool // a whole snapshot is wanted

	mu      sync.Mutex
	status  Status
	changed chan struct{} // of tests: told that the status changed
}

// Status is what an edge says of itself.
type Status struct {
	Deployment string    `json:"deployment,omitempty"`
	Epoch      uint64    `json:"epoch"`
	Sequence   uint64    `json:"sequence"`
	Accounts   int       `json:"accounts"`
	Head       time.Time `json:"head,omitzero"` // of the last head that was believed
	Stale      bool      `json:"stale"`         // the fail table answers what is not known to be denied
	Source     string    `json:"source"`        // none | cache | stream | nats: where the last message came from
	Connected  bool      `json:"connected"`

	Connects  uint64             `json:"connects"`  // streams that began
	Snapshots uint64             `json:"snapshots"` // fetched whole
	Refused   map[Refusal]uint64 `json:"refused"`   // messages, by why
	Last      Refusal            `json:"last_refusal,omitempty"`
	LastAt    time.Time          `json:"last_refusal_at,omitzero"`
	Trouble   string             `json:"trouble,omitempty"` // why it is not connected
}

// New makes a Follower; c is checked, and what is missing is named.
func New(c Config) (*Follower, error) {
	if c.From == "" || c.Token == nil || c.Keys == nil || len(c.Keys()) == 0 || c.Client == nil || c.Gate == nil || c.Clock == nil || c.Log == nil {
		return nil, errors.New("edge: configuration lacks From, Token, Keys, Client, Gate, Clock or Log")
	}
	if c.Quiet == 0 {
		c.Quiet = 5 * time.Second
	}
	if c.Backoff == 0 {
		c.Backoff = 250 * time.Millisecond
	}
	c.From = strings.TrimSuffix(c.From, "/")
	return &Follower{conf: c, belief: belief{keys: c.Keys}, status: Status{Source: "none", Refused: map[Refusal]uint64{}}}, nil
}

// Status is how things stand.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Refused = make(map[Refusal]uint64, len(f.status.Refused))
	for k, v := range f.status.Refused {
		s.Refused[k] = v
	}
	s.Stale = s.Head.IsZero() || f.conf.Clock().Sub(s.Head) > f.bound()
	return s
}

func (f *Follower) bound() time.Duration {
	_, h := f.conf.Gate.Load()
	return h.Bound
}

func (f *Follower) note(fn func(s *Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&f.status)
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends. It starts from the cache, which answers at once,
// by the fail table where it is old, and never gives up: each failure is followed by
// another try, after a pause that grows.
func (f *Follower) Run(ctx context.Context) error {
	f.wake()
	if f.conf.Cache != nil {
		defer f.conf.Cache.Close()
	}
	pause := f.conf.Backoff
	for useFan := f.conf.Fan != nil; ; {
		began := f.Status().Sequence
		err := f.connection(ctx, useFan)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errRenew) {
			f.note(func(s *Status) { s.Connected, s.Trouble = false, trouble(err) })
			f.conf.Log.Warn("the centre's gate is not followed: trying again", "cause", err, "after", pause.String())
			useFan = f.conf.Fan != nil && !useFan // a fan that fails is stood in for by the stream
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)):
		}
		if pause = min(2*pause, 16*f.conf.Backoff); f.Status().Sequence != began || errors.Is(err, errRenew) {
			pause = f.conf.Backoff
		}
	}
}

// wake begins with what the cache holds.
func (f *Follower) wake() {
	c := f.conf.Cache
	if c == nil {
		return
	}
	token, err := f.conf.Token()
	if err == nil {
		c.Secret = token
		err = c.Load(func(m *gate.Message) error {
			if !f.conf.Keys.signed(m) {
				return Forged
			}
			_, err := f.belief.follow(m)
			return err
		})
	}
	if err != nil {
		f.conf.Log.Warn("the cache is of no use: a snapshot is fetched", "cause", err)
	}
	if f.belief.snap != nil {
		f.inForce("cache")
		f.conf.Log.Info("woke from the cache", "epoch", f.belief.snap.Epoch, "sequence", f.belief.snap.Seq, "accounts", f.belief.snap.Len(), "as_of", f.belief.head.Time)
	}
}

// inForce lets the gate answer from what is believed.
func (f *Follower) inForce(source string) {
	b := &f.belief
	f.conf.Gate.Set(b.snap, &b.head)
	f.note(func(s *Status) {
		s.Deployment, s.Epoch, s.Sequence, s.Accounts, s.Head, s.Source = b.deployment, b.snap.Epoch, b.snap.Seq, b.snap.Len(), b.head.Time, source
	})
}

// take decides on a message and lets it answer. A refusal is said and no error:
// the next message may be better. errBehind and errNewEpoch come back.
func (f *Follower) take(m *gate.Message, source string) error {
	before := f.belief.snap
	told, err := f.belief.take(m, f.conf.Clock())
	var r Refusal
	switch {
	case errors.As(err, &r):
		f.refuse(r, source)
		return err
	case err != nil:
		return err
	case !told:
		return nil
	}
	f.inForce(source)
	if c := f.conf.Cache; c != nil && f.belief.snap != before {
		var err error
		if m.Kind == gate.KindSnapshot {
			err = c.Put(m)
		} else {
			err = c.Add(m)
		}
		if err != nil {
			f.conf.Log.Warn("the cache cannot be written: a restart will fetch a snapshot", "cause", err)
		}
	}
	return nil
}

// refuse says that a message was not believed: each kind once in a while in the log,
// always in the counts.
func (f *Follower) refuse(r Refusal, source string) {
	now := f.conf.Clock()
	var say bool
	f.note(func(s *Status) {
		s.Refused[r]++
		if r == Replayed && source == "nats" {
			return // what waited there while a snapshot was fetched
		}
		if say = s.Last != r || now.Sub(s.LastAt) > time.Minute; say {
			s.Last, s.LastAt = r, now
		}
	})
	if say {
		f.conf.Log.Error("a message of the gate was refused: the last good state stays in force", "why", string(r), "source", source)
	}
}

// standIn is how long the stream stands in for a fan that failed, before it is tried again.
const standIn = 30 * time.Second

// errRenew ends a stream to begin another; it is no trouble.
var errRenew = errors.New("edge: a snapshot is fetched anew")

// connection follows over one stream until it ends.
func (f *Follower) connection(ctx context.Context, useFan bool) error {
	token, err := f.conf.Token()
	if err != nil {
		return err
	}
	if c := f.conf.Cache; c != nil && c.Secret != token {
		c.Secret, f.fetch = token, true // the cache lies under the old credential
	}
	if f.belief.snap == nil || f.fetch {
		if err := f.snapshot(ctx, token); err != nil {
			return err
		}
	}
	if useFan {
		return f.fan(ctx, token)
	}
	until := f.conf.Clock().Add(standIn)
	return f.stream(ctx, token, func() bool { return f.conf.Fan != nil && f.conf.Clock().After(until) })
}

// get asks the centre. The answer is given up when nothing comes for Quiet; alive
// says that something came.
func (f *Follower) get(ctx context.Context, token, path string) (res *http.Response, alive func(), done func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(2*f.conf.Quiet, func() {
		cancel(muster.Errorf(muster.CodeUnavailable, "the centre was silent for too long"))
	})
	give := func() { timer.Stop(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.conf.From+path, nil)
	if err != nil {
		give()
		return nil, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if res, err = f.conf.Client.Do(req); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		give()
		return nil, nil, nil, &muster.Error{Code: muster.CodeUnavailable, Message: "the centre does not answer", Cause: err}
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		give()
		return nil, nil, nil, statusError(res.StatusCode)
	}
	return res, func() { timer.Reset(f.conf.Quiet) }, func() { res.Body.Close(); give() }, nil
}

func statusError(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &muster.Error{
			Code: muster.CodeForbidden, Message: "the centre refuses this edge's token",
			Hint: "it needs the scope " + string(muster.ScopeGateFollow) + " and must be neither expired nor revoked (muster token create)",
		}
	case http.StatusGone:
		return muster.Errorf(muster.CodeGone, "the centre does not reach so far back")
	}
	return muster.Errorf(muster.CodeUnavailable, "the centre answered %d", status)
}

// aliveReader says for each part that comes that the other side lives.
type aliveReader struct {
	r     io.Reader
	alive func()
}

func (a aliveReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.alive()
	}
	return n, err
}

// snapshot fetches the whole state.
func (f *Follower) snapshot(ctx context.Context, token string) error {
	res, alive, done, err := f.get(ctx, token, "/v1/gate/snapshot")
	if err != nil {
		return err
	}
	defer done()
	m, err := f.read(aliveReader{res.Body, alive}, "stream")
	if err != nil {
		return err
	}
	if m.Kind != gate.KindSnapshot {
		f.refuse(Malformed, "stream")
		return Malformed
	}
	before := f.belief.snap
	if err := f.take(m, "stream"); err != nil {
		return err
	}
	if c := f.conf.Cache; c != nil && f.belief.snap == before { // the same state, wanted for the cache
		if err := c.Put(m); err != nil {
			f.conf.Log.Warn("the cache cannot be written: a restart will fetch a snapshot", "cause", err)
		}
	}
	f.fetch = false
	f.note(func(s *Status) { s.Snapshots++ })
	return nil
}

// read reads one message; one that is malformed is refused.
func (f *Follower) read(r io.Reader, source string) (*gate.Message, error) {
	m, err := gate.ReadMessage(r, 0)
	if code := muster.ErrorCode(err); code == muster.CodeMalformed || code == muster.CodeTooLarge {
		f.refuse(Malformed, source)
		return nil, Malformed
	}
	return m, err
}

// stream takes changes as the centre sends them, until it fails or enough says so.
func (f *Follower) stream(ctx context.Context, token string, enough func() bool) error {
	s := f.belief.snap
	res, alive, done, err := f.get(ctx, token, fmt.Sprintf("/v1/gate/changes?epoch=%d&after=%d", s.Epoch, s.Seq))
	if muster.ErrorCode(err) == muster.CodeGone {
		f.fetch = true
		return errRenew
	}
	if err != nil {
		return err
	}
	defer done()
	body := aliveReader{res.Body, alive}
	for first := true; ; first = false {
		m, err := f.read(body, "stream")
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = muster.Errorf(muster.CodeUnavailable, "the centre ended the stream")
			}
			return err
		}
		var refused Refusal
		switch err := f.take(m, "stream"); {
		case errors.As(err, &refused):
			if refused == Inconsistent || refused == Forked {
				f.fetch = true // what is held, or what came, is not the centre's: the whole settles it
			}
			return err
		case errors.Is(err, errBehind), errors.Is(err, errNewEpoch):
			f.fetch = true
			return errRenew
		case err != nil:
			return err
		}
		if first {
			f.note(func(s *Status) { s.Connects++; s.Connected, s.Trouble = true, "" })
		}
		if enough() {
			return nil // Run begins again where it is over
		}
		if f.conf.Cache != nil && f.conf.Cache.Full() {
			f.fetch = true
			return errRenew
		}
	}
}

// fan takes changes from the fan, and from the centre what is missing in between.
func (f *Follower) fan(ctx context.Context, token string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(2*f.conf.Quiet, func() {
		cancel(muster.Errorf(muster.CodeUnavailable, "the fan was silent for too long"))
	})
	defer quiet.Stop()
	first := true
	err := f.conf.Fan.Subscribe(ctx, f.belief.deployment, func(raw []byte) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m, err := f.read(bytes.NewReader(raw), "nats")
		if err != nil {
			return nil // refused: anybody may write there
		}
		err = f.take(m, "nats")
		var refused Refusal
		switch {
		case errors.As(err, &refused):
			return nil
		case errors.Is(err, errBehind):
			if err := f.stream(ctx, token, func() bool { return f.belief.snap.Seq >= m.Head.Seq }); err != nil {
				return err
			}
		case errors.Is(err, errNewEpoch):
			f.fetch = true
			return errRenew
		case err != nil:
			return err
		}
		quiet.Reset(f.conf.Quiet)
		if first {
			first = false
			f.note(func(s *Status) { s.Connects++; s.Connected, s.Trouble = true, "" })
		}
		return nil
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// trouble is an error in words for the status: a code's, never a stranger's.
func trouble(err error) string {
	var e *muster.Error
	var r Refusal
	switch {
	case errors.As(err, &e):
		return e.Message
	case errors.As(err, &r):
		return r.Error()
	case errors.Is(err, errRenew):
		return ""
	}
	return "the connection to the centre failed"
}

// PutGateBatch sends the centre what this edge answered (ask.Sink).
func (f *Follower) PutGateBatch(ctx context.Context, b *muster.GateBatch) error {
	token, err := f.conf.Token()
	if err != nil {
		return err
	}
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.conf.From+"/v1/gate/records", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := f.conf.Client.Do(req)
	if err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the centre does not answer", Cause: err}
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return statusError(res.StatusCode)
	}
	return nil
}
