package edge

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Centre is what is published: gate.Centre.
type Centre interface {
	Head() *gate.Message
	Follow(ctx context.Context, epoch, after uint64, send func(*gate.Message) error) error
}

// Publisher tells NATS what a centre tells its followers, for many edges at once. Of
// several processes one does. Two that did for a moment, one of them paused and late,
// would do no harm: a message says which state it leads to, and an edge that is there
// already passes it over.
type Publisher struct {
	NATS   NATS
	Centre Centre
	// Lease takes or keeps the duty for so long; false: another process has it. Nil:
	// there is no other process.
	Lease func(ctx context.Context, ttl time.Duration) (bool, error)
	// Trouble hears of what goes wrong, once for each beginning. May be nil.
	Trouble func(error)

	ttl time.Duration // of the lease; zero: publishLease. Tests shorten it
}

const (
	publishLease = 6 * time.Second // the longest that edges wait for another process
	publishAgain = time.Second     // after a failure, or while another has the duty
)

// Run publishes until ctx ends. While NATS is away nothing waits for it: edges fetch
// what they missed over HTTP.
func (p *Publisher) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		err := p.while(ctx)
		if err != nil && ctx.Err() == nil && !failing && p.Trouble != nil {
			p.Trouble(err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(publishAgain):
		}
	}
	return nil
}

// while publishes as long as the duty is ours and NATS is there.
func (p *Publisher) while(ctx context.Context) error {
	until, ttl := time.Now(), cmp.Or(p.ttl, publishLease)
	keep := func() error {
		if p.Lease == nil || time.Until(until) > ttl/2 {
			return nil
		}
		began := time.Now()
		ours, err := p.Lease(ctx, ttl)
		if err == nil && !ours {
			err = errNotOurs
		}
		until = began.Add(ttl)
		return err
	}
	head := p.Centre.Head()
	if head == nil {
		return nil
	}
	if err := keep(); err != nil {
		return ours(err)
	}
	c, err := p.NATS.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	subject := p.NATS.Prefix + "." + head.Head.Deployment
	err = p.Centre.Follow(ctx, head.Head.Epoch, head.Head.Seq, func(m *gate.Message) error {
		if err := keep(); err != nil {
			return err
		}
		if int64(m.Size()) > c.MaxPayload() { // an edge sees that it is behind, and fetches it
			if m = p.Centre.Head(); m == nil {
				return nil
			}
		}
		var raw bytes.Buffer
		if _, err := m.WriteTo(&raw); err != nil {
			return err
		}
		if err := c.Publish(subject, raw.Bytes()); err != nil {
			return &muster.Error{Code: muster.CodeUnavailable, Message: "the connection to NATS was lost", Cause: err}
		}
		return nil
	})
	if muster.ErrorCode(err) == muster.CodeGone {
		return nil // a new epoch, or far too late: go on from the head
	}
	return ours(err)
}

var errNotOurs = muster.Errorf(muster.CodeConflict, "another process publishes")

// ours is err unless it says that another process has the duty, which is no trouble.
func ours(err error) error {
	if muster.ErrorCode(err) == muster.CodeConflict {
		return nil
	}
	return err
}
