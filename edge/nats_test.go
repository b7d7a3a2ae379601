package edge

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/muster-cip/muster"
)

// natsServer is a real one in this process, on a port of its own.
func natsServer(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, MaxPayload: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS is not ready")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// publishing makes the centre publish by NATS what it changes, and a head now and then.
func publishing(b *bundle, s *server.Server) *nats.Conn {
	b.Helper()
	c, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	publish := func(raw []byte) { _ = c.Publish("muster.gate.dep_1", raw) } // while the server is away it is lost
	b.set(func() { b.fan = publish })
	ended := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				b.set(func() { publish(raw(b.T, b.beat(b.snap))) })
			}
		}
	}()
	b.Cleanup(func() {
		close(stop)
		<-ended
	})
	return c
}

func TestAnEdgeFollowsByNATS(t *testing.T) {
	t.Parallel()
	s := natsServer(t, server.RANDOM_PORT)
	b := setup(t, func(c *Config) { c.Fan = &NATS{URL: s.ClientURL(), Prefix: "muster.gate"} })
	c := publishing(b, s)
	b.start()
	b.caughtUp()
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	if b.decide("r-1", muster.ActionUse).Allow || b.edge.Status().Source != "nats" {
		t.Errorf("%+v", b.edge.Status())
	}

	// Anybody may write there: what is not signed is refused and changes nothing.
	stranger := newCentre(t, 1)
	for _, raw := range [][]byte{[]byte("hello"), raw(t, stranger.whole(stranger.snap)), nil} {
		if err := c.Publish("muster.gate.dep_1", raw); err != nil {
			t.Fatal(err)
		}
	}
	b.until("the refusals", func(s Status) bool { return s.Refused[Malformed] > 0 && s.Refused[Forged] > 0 })
	if s := b.edge.Status(); !s.Connected || s.Sequence != b.seq() {
		t.Errorf("%+v", s)
	}

	// A message that is lost leaves a gap, which the centre fills.
	b.set(func() { b.fan = nil })
	b.put("r-2", muster.GateDeny)
	b.put("r-3", muster.GateDeny)
	b.caughtUp()
	if b.decide("r-2", muster.ActionUse).Allow {
		t.Error("what was lost on the way is not in force")
	}
	b.restore(8, 20)
	b.until("the new epoch", func(s Status) bool { return s.Epoch == 8 && s.Connected })
}

func TestWithoutNATSTheStreamStandsIn(t *testing.T) {
	t.Parallel()
	s := natsServer(t, server.RANDOM_PORT)
	b := setup(t, func(c *Config) { c.Fan = &NATS{URL: s.ClientURL(), Prefix: "muster.gate"} })
	publishing(b, s)
	b.start()
	b.caughtUp()
	b.put("r-1", muster.GateDeny)
	b.caughtUp()
	s.Shutdown()
	s.WaitForShutdown()
	b.put("r-2", muster.GateDeny)
	b.until("the stream", func(s Status) bool { return s.Sequence == b.seq() && s.Source == "stream" })
	if b.decide("r-2", muster.ActionUse).Allow {
		t.Error("a change is not in force")
	}
}

func TestASilentNATSIsNoQuietCentre(t *testing.T) {
	t.Parallel()
	s := natsServer(t, server.RANDOM_PORT)
	b := setup(t, func(c *Config) {
		c.Fan = &NATS{URL: s.ClientURL(), Prefix: "muster.gate"} // where nobody publishes
		c.Quiet = 50 * time.Millisecond
	})
	b.start()
	b.until("the stream", func(s Status) bool { return s.Connected && s.Source == "stream" && s.Sequence == b.seq() })
}
