package ledger

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster-cip/muster"
)

// NATS takes batches from a stream of JetStream. A message is one batch as it would be
// posted; it is acknowledged once the batch is durable, so that what breaks off in between
// comes again and is known by its Nats-Msg-Id, or its bytes. Processes that share a
// durable consumer share its messages.
//
// The stream is the provider's: Muster makes none, and takes nothing out of one. The
// consumer it makes where there is none yet.
type NATS struct {
	URL         string // nats://host:port, or several with commas; tls:// for TLS
	Credentials string // file of credentials, "" for none
	Stream      string // "": the one that holds Subject
	Subject     string
	Durable     string // name of the consumer
	Leases      bool   // the kind of record: access records, or leases

	// Take returns nil once the batch is durable: (*Hot).Take.
	Take  func(context.Context, *Arrival) (Taken, error)
	Clock muster.Clock
	Log   *slog.Logger
	// Count hears what became of each delivery: one of NATSOutcomes. May be nil.
	Count func(outcome string)
}

// What becomes of a delivery.
const (
	NATSTaken  = "taken"   // durable, or a duplicate of what was
	NATSPutOff = "put_off" // comes again
	NATSPoison = "poison"  // no batch: it does not come again
)

// NATSOutcomes are all of them.
var NATSOutcomes = []string{NATSTaken, NATSPutOff, NATSPoison}

const (
	natsAtOnce  = 8                // messages on their way; they share a commit
	natsAckWait = 30 * time.Second // after which a message comes again that a process took along when it died
	natsAgain   = time.Second      // after a failure to connect
	natsMost    = 5 * time.Minute  // that a message is put off
)

var errNATSAway = muster.Errorf(muster.CodeUnavailable, "the connection to NATS was lost")

// Run takes messages until ctx ends, and finishes those it has. While NATS is away, or
// has no such stream, it tries again.
func (n *NATS) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		err := n.while(ctx, func() { failing = false })
		if err != nil && ctx.Err() == nil && !failing {
			failing = true
			n.Log.Error("no records come from NATS", "subject", n.Subject, "code", string(muster.ErrorCode(err)), "error", err)
		}
		pause(ctx, natsAgain)
	}
	return nil
}

// while takes messages as long as one connection holds. well is called where it does.
func (n *NATS) while(ctx context.Context, well func()) error {
	alive, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	options := []nats.Option{
		nats.Name("muster ledger"), nats.NoReconnect(), nats.Timeout(5 * time.Second),
		nats.ClosedHandler(func(*nats.Conn) { lost(errNATSAway) }),
	}
	if n.Credentials != "" {
		options = append(options, nats.UserCredentials(n.Credentials))
	}
	c, err := nats.Connect(n.URL, options...)
	if err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "NATS does not answer", Cause: err}
	}
	defer c.Close()
	from, stream, err := n.consumer(alive, c)
	if err != nil {
		return err
	}
	well()
	for alive.Err() == nil {
		rest, err := n.round(alive, from, stream)
		if err != nil {
			return err
		}
		pause(alive, rest)
	}
	return context.Cause(alive)
}

// consumer is the durable one: as it is, or made.
func (n *NATS) consumer(ctx context.Context, c *nats.Conn) (jetstream.Consumer, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	failed := func(what string, err error) (jetstream.Consumer, string, error) {
		return nil, "", &muster.Error{Code: muster.CodeUnavailable, Message: what, Cause: err}
	}
	js, err := jetstream.New(c)
	if err != nil {
		return failed("NATS has no JetStream", err)
	}
	stream := n.Stream
	if stream == "" {
		if stream, err = js.StreamNameBySubject(ctx, n.Subject); err != nil {
			return failed("NATS has no stream that holds the subject", err)
		}
	}
	// One that is there is taken as it is: the provider may have made it, and our
	// credentials may not change it.
	from, err := js.Consumer(ctx, stream, n.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		from, err = js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable: n.Durable, Description: "Muster's ledger", FilterSubject: n.Subject,
			DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy, AckWait: natsAckWait, MaxDeliver: -1,
		})
	}
	if err != nil {
		return failed("NATS gives no consumer of the stream", err)
	}
	if x := from.CachedInfo().Config; x.AckPolicy != jetstream.AckExplicitPolicy || x.FilterSubject != n.Subject {
		return nil, "", &muster.Error{
			Code: muster.CodeConflict, Message: "the consumer " + n.Durable + " of the stream acknowledges by itself, or is of another subject: records would be lost",
			Hint: "remove it, and Muster makes it; or name another in nats.durable",
		}
	}
	return from, stream, nil
}

// round takes some messages, as they come, and says how long to rest: where the ledger
// puts batches off, more of them are of no use to it.
func (n *NATS) round(ctx context.Context, from jetstream.Consumer, stream string) (rest time.Duration, err error) {
	batch, err := from.Fetch(natsAtOnce, jetstream.FetchContext(ctx))
	if err != nil {
		return 0, &muster.Error{Code: muster.CodeUnavailable, Message: "NATS gives no messages", Cause: err}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for m := range batch.Messages() {
		all.Go(func() {
			d := n.take(context.WithoutCancel(ctx), m, stream) // what is begun is finished
			mu.Lock()
			defer mu.Unlock()
			rest = max(rest, d)
		})
	}
	all.Wait()
	if err := batch.Error(); err != nil && ctx.Err() == nil {
		return 0, &muster.Error{Code: muster.CodeUnavailable, Message: "NATS gives no messages", Cause: err}
	}
	return rest, nil
}

// take brings one message to its end, or puts it off, and says for how long all the
// others had better be.
func (n *NATS) take(ctx context.Context, m jetstream.Msg, stream string) (rest time.Duration) {
	var sequence, times uint64
	if about, err := m.Metadata(); err == nil {
		sequence, times = about.Sequence.Stream, about.NumDelivered
	}
	outcome, err := NATSTaken, n.arrive(ctx, m, stream)
	switch code := muster.ErrorCode(err); {
	case err == nil:
		err = m.Ack()
	case code == muster.CodeMalformed || code == muster.CodeInvalid || code == muster.CodeTooLarge || code == muster.CodeConflict:
		outcome = NATSPoison
		n.Log.Error("a message is no batch of records: it was passed over", "stream", stream, "subject", n.Subject, "sequence", sequence, "code", string(code))
		err = m.TermWithReason(string(code))
	default:
		outcome = NATSPutOff
		later := natsAgain << min(times, 10)
		var e *muster.Error
		if errors.As(err, &e) && e.RetryAfter > 0 {
			later = e.RetryAfter
		}
		later = min(later, natsMost)
		if code == muster.CodeRateLimited || code == muster.CodeUnavailable || code == muster.CodeNoSpace {
			rest = later // it is the ledger, not this message
		}
		if times <= 1 {
			n.Log.Warn("a batch from NATS was put off", "stream", stream, "subject", n.Subject, "sequence", sequence, "code", string(code), "error", err)
		}
		err = m.NakWithDelay(later)
	}
	if err != nil { // the connection is gone: it comes again, and is known
		n.Log.Warn("NATS did not hear what became of a message", "stream", stream, "sequence", sequence, "outcome", outcome)
	}
	if n.Count != nil {
		n.Count(outcome)
	}
	return rest
}

// arrive is what a post of the same bytes does.
func (n *NATS) arrive(ctx context.Context, m jetstream.Msg, stream string) (err error) {
	a := &Arrival{Body: string(m.Data()), Key: m.Headers().Get(jetstream.MsgIDHeader), From: "nats " + stream}
	if n.Leases {
		a.Leases, err = ParseLeases(a.Body, n.Clock())
	} else {
		a.Access, err = ParseAccess(a.Body, n.Clock())
	}
	if err == nil {
		_, err = n.Take(ctx, a)
	}
	return err
}

// pause waits so long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
