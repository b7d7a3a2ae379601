package edge

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/muster-cip/muster"
)

// NATS is a Fan: core NATS, without storage. What is lost on the way is fetched from
// the centre, and what a stranger writes there is refused, so it needs neither
// acknowledgement nor trust.
type NATS struct {
	URL         string // nats://host:port, or several with commas; tls:// for TLS
	Credentials string // file of credentials, "" for none
	Prefix      string // of the subject; the deployment follows it
}

// Pending bounds what waits to be read: past it the client drops, and the edge sees the gap.
const (
	pendingMessages = 1024
	pendingBytes    = 64 << 20
)

// connect connects once: who uses it connects again.
func (n *NATS) connect() (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("muster gate"), nats.NoReconnect(), nats.Timeout(5 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // a slow reader: the gap is seen
	}
	if n.Credentials != "" {
		options = append(options, nats.UserCredentials(n.Credentials))
	}
	c, err := nats.Connect(n.URL, options...)
	if err != nil {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "NATS does not answer", Cause: err}
	}
	return c, nil
}

// Subscribe takes the messages of a deployment until ctx ends, each fails, or the
// connection is lost.
func (n *NATS) Subscribe(ctx context.Context, deployment string, each func(raw []byte) error) error {
	if deployment == "" || strings.ContainsAny(deployment, " \t\r\n*>") {
		return errors.New("edge: no deployment to subscribe to")
	}
	c, err := n.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.SubscribeSync(n.Prefix + "." + deployment)
	if err == nil {
		err = sub.SetPendingLimits(pendingMessages, pendingBytes)
	}
	if err == nil {
		err = c.FlushTimeout(5 * time.Second)
	}
	if err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "NATS takes no subscription", Cause: err}
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // something was dropped: the gap will be seen
		case err != nil:
			return &muster.Error{Code: muster.CodeUnavailable, Message: "the connection to NATS was lost", Cause: err}
		}
		if err := each(m.Data); err != nil {
			return err
		}
	}
}
