package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/muster-cip/muster/api"
)

func TestRecordsComeFromNATS(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
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
	c, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RECORDS", Subjects: []string{"records.>"}}); err != nil {
		t.Fatal(err)
	}

	g := startGateHouse(t)
	g.person("r-1", "open")
	g.stop()
	g.conf.NATS = NATS{URL: s.ClientURL(), Prefix: "muster.gate", Access: "records.access.*", Leases: "records.leases", Durable: "muster"}
	if wrong := g.conf.NATS.check(); wrong != nil {
		t.Fatal(wrong)
	}
	g.start()
	for subject, text := range map[string]string{
		"records.access.panel": `{"account":"r-1","ip":"192.0.2.7","at":"2026-11-01T10:00:00.123Z","action":"login"}`,
		"records.leases":       `{"account":"r-1","resource":"address","prefix":"198.51.100.7","from":"2026-11-01T00:00:00Z","source":"dhcp","precision":"1s"}`,
	} {
		if _, err := js.Publish(t.Context(), subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	g.until("both records", func() bool {
		var metrics []byte
		g.must(g.api.call(t.Context(), http.MethodGet, "/metrics", nil, &metrics))
		return strings.Contains(string(metrics), `muster_ledger_nats_deliveries_total{kind="access",outcome="taken"} 1`) &&
			strings.Contains(string(metrics), `muster_ledger_nats_deliveries_total{kind="leases",outcome="taken"} 1`)
	})
	at := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	why := api.Why{Purpose: "abuse", Case: "T-1"}
	var came api.Accesses
	g.must(g.api.call(t.Context(), http.MethodPost, "/v1/ledger/who-came-from", api.WhoCameFrom{Why: why, IP: "192.0.2.7", Interval: api.Interval{From: at, Until: at.Add(time.Minute)}}, &came))
	var held api.HeldAnswer
	g.must(g.api.call(t.Context(), http.MethodPost, "/v1/ledger/who-held", api.WhoHeld{Why: why, IP: "198.51.100.7", At: at}, &held))
	if len(came.Accounts) != 1 || came.Accounts[0].Account != "r-1" || len(held.Holdings) != 1 || held.Holdings[0].Holder.Account != "r-1" {
		t.Errorf("%+v, %+v", came, held)
	}
}

func TestNATSConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]NATS{
		"need nats.url":          {Access: "a", Durable: "muster"},
		"are two":                {URL: "nats://n:4222", Access: "a", Leases: "a", Durable: "muster"},
		"have no spaces":         {URL: "nats://n:4222", Access: "a b", Durable: "muster"},
		"nats.durable is a name": {URL: "nats://n:4222", Leases: "a"},
		"of letters, digits":     {URL: "nats://n:4222", Leases: "a", Durable: "a.b"},
	} {
		if got := strings.Join(c.check(), "; "); !strings.Contains(got, want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if c := defaults(".").NATS; c.check() != nil {
		t.Error(c.check())
	}
}
