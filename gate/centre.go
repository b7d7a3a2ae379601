package gate

import (
	"cmp"
	"context"
	"crypto"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Store is where the centre keeps the gate's state. Each call sees one instant.
type Store interface {
	// GateState is the epoch and the latest sequence number.
	GateState(ctx context.Context) (epoch, seq uint64, err error)
	// LoadGate reads everything: begin first, with the version of the key of its hashes, then every profile, then every account.
	LoadGate(ctx context.Context, begin func(epoch, seq uint64, key int), profile func(raw []byte) error, account func(hash, profile []byte, decision string) error) error
	// GateChanges reads what changed past a sequence number, and up to which.
	GateChanges(ctx context.Context, after uint64, change func(hash, profile []byte, decision string) error) (epoch, seq uint64, err error)
}

// CentreConfig is what a Centre needs. Log may be nil.
type CentreConfig struct {
	Store      Store
	Deployment string
	Key        func(version int) (Key, error) // of the accounts' hashes
	Signer     crypto.Signer                  // Ed25519
	Clock      muster.Clock
	Bound      time.Duration                              // past this age a follower's knowledge is stale
	Rules      func(now time.Time) (f Fail, observe bool) // the fail table of the packs in effect; whether none enforces
	Log        *slog.Logger
}

// OneKey is the key of a gate that never changed it.
func OneKey(k Key) func(int) (Key, error) {
	return func(int) (Key, error) { return k, nil }
}

// Centre follows the store, answers from memory, and tells followers. Every process
// of a deployment runs one; they need not agree on who: the state of a sequence
// number is one state, whichever process tells it.
type Centre struct {
	CentreConfig
	gate Gate

	loaded     chan struct{} // closed when there is a state in force
	loadedOnce sync.Once

	mu       sync.Mutex
	head     *Message   // the latest
	deltas   []*Message // the latest, oldest first, each leading on from the one before
	bytes    int        // of deltas
	news     chan struct{}
	whole    *Message // the latest snapshot that somebody asked for
	encoding sync.Mutex
}

const (
	pollEvery = 25 * time.Millisecond
	headEvery = time.Second

	// What a follower may have missed before it has to begin anew.
	reachBytes = 64 << 20
	reach      = 10 * time.Minute

	wholeFor = 5 * time.Second // how long one encoded snapshot serves all who begin
)

// NewCentre makes one; Run begins it.
func NewCentre(c CentreConfig) *Centre {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Centre{CentreConfig: c, loaded: make(chan struct{}), news: make(chan struct{})}
}

// Gate answers from what this process knows.
func (c *Centre) Gate() *Gate { return &c.gate }

// Loaded is closed once the gate answers from a state that was read.
func (c *Centre) Loaded() <-chan struct{} { return c.loaded }

// Head is the latest signed head, nil before the first.
func (c *Centre) Head() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// Run loads the state and follows it until ctx ends. A store that is away is tried
// again; meanwhile no head is signed, and who follows sees the age of what it has.
func (c *Centre) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var failing bool
	for {
		err := c.Poll(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			c.Log.Error("the gate cannot follow the store", "code", string(muster.ErrorCode(err)), "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			c.end()
			return nil
		case <-tick.C:
		}
	}
}

// end lets every follower go.
func (c *Centre) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.deltas, c.bytes = nil, nil, 0
	close(c.news)
	c.news = make(chan struct{})
}

// Poll looks once: it loads or follows, and signs a head where one is due.
func (c *Centre) Poll(ctx context.Context) error {
	now := c.Clock() // before the store is read: what the head says was so then
	epoch, seq, err := c.Store.GateState(ctx)
	if err != nil {
		return err
	}
	s, h := c.gate.Load()
	switch {
	case s == nil || s.Epoch != epoch || seq < s.Seq:
		return c.load(ctx)
	case seq > s.Seq:
		return c.follow(ctx, s, now)
	}
	fail, observe := c.Rules(now)
	if age := now.Sub(h.Time); age >= 0 && age < headEvery && fail == h.Fail && observe == h.Observe {
		return nil
	}
	return c.publish(s, nil, c.headAt(now))
}

func (c *Centre) headAt(now time.Time) Head {
	h := Head{Time: muster.Instant(now), Bound: c.Bound}
	h.Fail, h.Observe = c.Rules(now)
	return h
}

// load reads everything anew: at the start, and when an epoch begins.
func (c *Centre) load(ctx context.Context) error {
	began, now := time.Now(), c.Clock()
	var b *Builder
	var epoch, seq uint64
	indexes := map[ProfileID]uint32{}
	var unkeyed error
	err := c.Store.LoadGate(ctx, func(e, s uint64, version int) {
		var key Key
		key, unkeyed = c.Key(version)
		b, epoch, seq = NewBuilder(c.Deployment, key), e, s
	}, func(raw []byte) error {
		if unkeyed != nil {
			return unkeyed
		}
		i, err := b.Profile(raw)
		indexes[nameProfile(raw)] = i
		return err
	}, func(hash, profile []byte, decision string) error {
		if len(hash) != HashSize || len(profile) != len(ProfileID{}) {
			return muster.Errorf(muster.CodeInternal, "a row of the gate is not what it should be")
		}
		i, ok := indexes[ProfileID(profile)]
		if !ok {
			return muster.Errorf(muster.CodeInternal, "a profile of the gate is missing")
		}
		return b.Add(Hash(hash), ParseDecision(decision), i)
	})
	if err = cmp.Or(err, unkeyed); err != nil {
		return err
	}
	s := b.Snapshot(epoch, seq)
	c.Log.Info("the gate is loaded", "accounts", s.Len(), "epoch", s.Epoch, "sequence", s.Seq, "took", time.Since(began).String())
	c.mu.Lock()
	c.deltas, c.bytes, c.whole = nil, 0, nil
	c.mu.Unlock()
	return c.publish(s, nil, c.headAt(now))
}

// follow takes in what changed past s.
func (c *Centre) follow(ctx context.Context, s *Snapshot, now time.Time) error {
	var changes []Change
	epoch, seq, err := c.Store.GateChanges(ctx, s.Seq, func(hash, profile []byte, decision string) error {
		if len(hash) != HashSize {
			return muster.Errorf(muster.CodeInternal, "a row of the gate is not what it should be")
		}
		changes = append(changes, Change{Hash(hash), ParseDecision(decision), slices.Clone(profile)})
		return nil
	})
	if err != nil {
		return err
	}
	if epoch != s.Epoch || seq < s.Seq {
		return nil // the next look loads
	}
	next, err := s.With(seq, changes)
	if err != nil {
		return err
	}
	h := c.headAt(now)
	delta, err := next.Delta(s.Seq, changes, h, c.Signer)
	if muster.ErrorCode(err) == muster.CodeTooLarge { // who follows begins anew
		c.mu.Lock()
		c.deltas, c.bytes = nil, 0
		c.mu.Unlock()
		return c.publish(next, nil, h)
	}
	if err != nil {
		return err
	}
	return c.publish(next, delta, h)
}

// publish puts a state in force and tells who follows.
func (c *Centre) publish(s *Snapshot, delta *Message, h Head) error {
	s.head(&h)
	h.From = h.Seq
	head, err := h.Seal(c.Signer)
	if err != nil {
		return err
	}
	c.gate.Set(s, &h)
	c.loadedOnce.Do(func() { close(c.loaded) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
	if delta != nil {
		c.deltas = append(c.deltas, delta)
		c.bytes += delta.Size()
	}
	old := 0
	for old < len(c.deltas)-1 && (c.bytes > reachBytes || h.Time.Sub(c.deltas[old].Head.Time) > reach) {
		c.bytes -= c.deltas[old].Size()
		old++
	}
	c.deltas = slices.Delete(c.deltas, 0, old)
	if c.whole != nil && h.Time.Sub(c.whole.Head.Time) > wholeFor {
		c.whole = nil
	}
	close(c.news)
	c.news = make(chan struct{})
	return nil
}

// Snapshot is a whole state, not older than a few seconds, from which Follow leads on.
func (c *Centre) Snapshot() (*Message, error) {
	c.encoding.Lock()
	defer c.encoding.Unlock()
	c.mu.Lock()
	m := c.whole
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	s, h := c.gate.Load()
	if s == nil {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "the gate is not loaded yet", RetryAfter: time.Second}
	}
	m, err := s.Encode(h, c.Signer)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.whole = m
	c.mu.Unlock()
	return m, nil
}

// Follow gives send what leads on from a state, and a head every second, until ctx
// ends, send fails, or the centre does. CodeGone: it does not lead on from there
// (another epoch, or too long ago): begin with a snapshot.
func (c *Centre) Follow(ctx context.Context, epoch, after uint64, send func(*Message) error) error {
	var told *Message // the last head that was sent
	for {
		c.mu.Lock()
		head, news := c.head, c.news
		var next []*Message
		if head != nil && after < head.Head.Seq {
			i, _ := slices.BinarySearchFunc(c.deltas, after+1, func(m *Message, seq uint64) int {
				if m.Head.Seq < seq {
					return -1
				}
				return 1
			})
			if i < len(c.deltas) && c.deltas[i].Head.From <= after {
				next = slices.Clone(c.deltas[i:])
			}
		}
		c.mu.Unlock()
		switch {
		case head == nil:
			return &muster.Error{Code: muster.CodeUnavailable, Message: "the gate is not loaded", RetryAfter: time.Second}
		case head.Head.Epoch != epoch, after > head.Head.Seq, after < head.Head.Seq && next == nil:
			return &muster.Error{Code: muster.CodeGone, Message: "the gate does not lead on from there", Hint: "begin with a snapshot: GET /v1/gate/snapshot"}
		}
		for _, m := range next {
			if err := send(m); err != nil {
				return err
			}
			after = m.Head.Seq
		}
		if len(next) > 0 {
			told = head // the last delta said as much
		}
		if head != told {
			if err := send(head); err != nil {
				return err
			}
			told = head
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}
