package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
)

// natsBundle is a real NATS with a stream, before the hot end of a real ledger.
type natsBundle struct {
	*hotBundle
	options  server.Options
	server   *server.Server
	log      guarded
	outcomes chan string
}

// guarded is a log that several processes write.
type guarded struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func setupNATS(t *testing.T) *natsBundle {
	t.Helper()
	dir := t.TempDir()
	host, text, _ := net.SplitHostPort(loopback.Address(t)) // it is stopped and started again there
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	b := &natsBundle{
		hotBundle: setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")}),
		options:   server.Options{Host: host, Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: filepath.Join(dir, "nats")},
		outcomes:  make(chan string, 100),
	}
	b.up()
	t.Cleanup(b.down)
	b.stream(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RECORDS", Subjects: []string{"records.>"}})
		return err
	})
	return b
}

// up starts NATS, again at its address and on its files.
func (b *natsBundle) up() {
	b.Helper()
	options := b.options
	s, err := server.NewServer(&options)
	if err != nil {
		b.t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		b.t.Fatal("NATS is not ready")
	}
	b.server = s
}

func (b *natsBundle) down() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// stream does something as the provider would.
func (b *natsBundle) stream(do func(context.Context, jetstream.JetStream) error) {
	b.Helper()
	c, err := nats.Connect(b.server.ClientURL())
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err == nil {
		err = do(b.t.Context(), js)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *natsBundle) publish(subject, text, id string) {
	b.Helper()
	b.stream(func(ctx context.Context, js jetstream.JetStream) error {
		m := nats.NewMsg(subject)
		m.Data = []byte(text)
		if id != "" {
			m.Header.Set(jetstream.MsgIDHeader, id)
		}
		_, err := js.PublishMsg(ctx, m)
		return err
	})
}

type take = func(context.Context, *ledger.Arrival) (ledger.Taken, error)

// process is one that takes messages until it is told to end, or the test does.
func (b *natsBundle) process(leases bool, take take) (end func()) {
	b.Helper()
	subject := "records.access"
	if leases {
		subject = "records.leases"
	}
	n := &ledger.NATS{
		URL: b.server.ClientURL(), Subject: subject, Durable: "muster-" + strings.TrimPrefix(subject, "records."), Leases: leases,
		Take: take, Clock: b.clock, Log: slog.New(slog.NewJSONHandler(&b.log, nil)), Count: func(outcome string) { b.outcomes <- outcome },
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
	return cancel
}

// until waits for as many deliveries of each outcome, and fails where others come before.
func (b *natsBundle) until(want map[string]int) {
	b.Helper()
	late := time.After(time.Minute)
	came := map[string]int{}
	for missing := true; missing; {
		select {
		case o := <-b.outcomes:
			came[o]++
		case <-late:
			b.t.Fatalf("deliveries were to be %v: %v\n%s", want, came, b.log.String())
		}
		missing = false
		for o, n := range want {
			missing = missing || came[o] < n
		}
	}
	if !maps.Equal(came, want) {
		b.t.Fatalf("deliveries were %v, want %v", came, want)
	}
}

// settled waits until NATS has heard what became of every access record's message: none
// of them comes again.
func (b *natsBundle) settled() {
	b.Helper()
	b.stream(func(ctx context.Context, js jetstream.JetStream) error {
		c, err := js.Consumer(ctx, "RECORDS", "muster-access")
		if err != nil {
			return err
		}
		for {
			i, err := c.Info(ctx)
			if err != nil || i.NumAckPending == 0 && i.NumPending == 0 {
				return err
			}
		}
	})
}

func TestNATSBringsEachBatchOnce(t *testing.T) {
	t.Parallel()
	b := setupNATS(t)
	b.publish("records.access", line("", "A-1", "192.0.2.1")+line("", "A-2", "192.0.2.2"), "")
	b.publish("records.access", line("", "A-1", "192.0.2.1")+line("", "A-2", "192.0.2.2"), "") // the same bytes
	b.process(false, b.hot.Take)
	b.process(false, b.hot.Take) // another process
	b.process(true, b.hot.Take)
	b.publish("records.access", line("", "A-3", "192.0.2.3"), "batch-1")
	b.publish("records.access", line("", "A-3", "192.0.2.3"), "batch-2") // its own name: another batch
	b.publish("records.leases", `{"account":"A-1","resource":"address","prefix":"198.51.100.7","from":"2026-11-01T00:00:00Z","source":"dhcp","precision":"1s"}`, "lease-1")
	b.until(map[string]int{ledger.NATSTaken: 5})
	b.holds("A-1 192.0.2.1", "A-1 198.51.100.7/32", "A-2 192.0.2.2", "A-3 192.0.2.3", "A-3 192.0.2.3")
	// What came by HTTP before is known too: there is one entry.
	if got, err := b.try("", line("", "A-1", "192.0.2.1")+line("", "A-2", "192.0.2.2")); err != nil || got.Duplicates != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestABatchThatWasNotAcknowledgedComesAgainAndCountsOnce(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "batch-1"} {
		b := setupNATS(t)
		b.stream(func(ctx context.Context, js jetstream.JetStream) error { // the provider's own, and less patient
			_, err := js.CreateConsumer(ctx, "RECORDS", jetstream.ConsumerConfig{
				Durable: "muster-access", FilterSubject: "records.access", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 200 * time.Millisecond,
			})
			return err
		})
		b.publish("records.access", line("", "A-1", "192.0.2.1"), id)
		// This process makes it durable, and says so no more. It may be given it once more
		// before it has.
		durable, halt := make(chan ledger.Taken, 1), make(chan struct{})
		var begun atomic.Bool
		end := b.process(false, func(ctx context.Context, a *ledger.Arrival) (got ledger.Taken, err error) {
			if !begun.Swap(true) {
				got, err = b.hot.Take(ctx, a)
				durable <- got
			}
			<-halt
			return got, err
		})
		b.t.Cleanup(func() { close(halt) })
		if got := <-durable; got.Accepted != 1 {
			t.Errorf("%+v", got)
		}
		end()
		again := make(chan ledger.Taken, 1) // what comes once more, where the acknowledgement is late, is not looked at
		b.process(false, func(ctx context.Context, a *ledger.Arrival) (ledger.Taken, error) {
			got, err := b.hot.Take(ctx, a)
			select {
			case again <- got:
			default:
			}
			return got, err
		})
		if got := <-again; got.Accepted != 0 || got.Duplicates != 1 {
			t.Errorf("the second delivery: %+v", got)
		}
		b.until(map[string]int{ledger.NATSTaken: 1})
		b.holds("A-1 192.0.2.1")
	}
}

func TestNATSStoppedAndStartedAgainCatchesUp(t *testing.T) {
	t.Parallel()
	b := setupNATS(t)
	b.process(false, b.hot.Take)
	b.publish("records.access", line("", "A-1", "192.0.2.1"), "")
	b.until(map[string]int{ledger.NATSTaken: 1})
	b.settled()
	b.down()
	b.up()
	for i := range 3 {
		b.publish("records.access", line("", "A-2", fmt.Sprintf("192.0.2.%d", 10+i)), "")
	}
	b.until(map[string]int{ledger.NATSTaken: 3})
	b.holds("A-1 192.0.2.1", "A-2 192.0.2.10", "A-2 192.0.2.11", "A-2 192.0.2.12")
}

func TestPoisonBlocksNobody(t *testing.T) {
	t.Parallel()
	b := setupNATS(t)
	for _, poison := range []string{
		"SECRET", "", line("", "A-1", "SECRET"), `{"account":"A-1","ip":"192.0.2.1","at":"2026-11-26T08:00:00Z","action":"login","SECRET":1}`,
		strings.Repeat(line("", "A-1", "192.0.2.1"), muster.MaxBatchRecords+1) + "SECRET",
	} {
		b.publish("records.access", poison, "")
	}
	b.publish("records.access", line("", "A-1", "192.0.2.1"), "batch-1")
	b.process(false, b.hot.Take)
	b.until(map[string]int{ledger.NATSTaken: 1, ledger.NATSPoison: 5})
	b.holds("A-1 192.0.2.1")
	if log := b.log.String(); strings.Contains(log, "SECRET") || strings.Count(log, "passed over") != 5 {
		t.Errorf("the log has a value, or not all five: %s", log)
	}
	b.settled() // it is gone for good: nothing waits
}

func TestNATSWaitsForALedgerThatPutsOff(t *testing.T) {
	t.Parallel()
	for _, code := range []muster.Code{muster.CodeRateLimited, muster.CodeUnavailable, muster.CodeNoSpace, muster.CodeInternal} {
		b := setupNATS(t)
		var mu sync.Mutex
		refusals := 4
		b.process(false, func(ctx context.Context, a *ledger.Arrival) (ledger.Taken, error) {
			mu.Lock()
			refusals--
			refuse := refusals >= 0
			mu.Unlock()
			if refuse {
				return ledger.Taken{}, &muster.Error{Code: code, Message: "not now", RetryAfter: 10 * time.Millisecond}
			}
			return b.hot.Take(ctx, a)
		})
		b.publish("records.access", line("", "A-1", "192.0.2.1"), "")
		b.publish("records.access", line("", "A-2", "192.0.2.2"), "")
		b.until(map[string]int{ledger.NATSTaken: 2, ledger.NATSPutOff: 4})
		b.holds("A-1 192.0.2.1", "A-2 192.0.2.2")
	}
}

func TestAConsumerThatWouldLoseRecordsIsRefused(t *testing.T) {
	t.Parallel()
	b := setupNATS(t)
	b.stream(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateConsumer(ctx, "RECORDS", jetstream.ConsumerConfig{Durable: "muster-access", FilterSubject: "records.access", AckPolicy: jetstream.AckNonePolicy})
		return err
	})
	b.publish("records.access", line("", "A-1", "192.0.2.1"), "")
	b.process(false, b.hot.Take)
	late := time.After(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !strings.Contains(b.log.String(), "acknowledges by itself"); {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("nothing is said: %s", b.log.String())
		}
	}
	b.holds()
}
