package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/validate"
)

// LedgerConfig is the ledger of access records and leases.
type LedgerConfig struct {
	Unsealed   int            `yaml:"unsealed_records,omitempty"` // that may wait for the sealer; past it batches are put off. 0: 1,000,000
	Quarantine string         `yaml:"quarantine,omitempty"`       // how long records of unknown accounts wait; "" is 168h
	Countries  string         `yaml:"countries,omitempty"`        // a MaxMind DB of the provider's own; "" is the embedded table
	Networks   NetworksConfig `yaml:"networks,omitempty"`
	Mappers    []string       `yaml:"mappers,omitempty"` // files, beside those that come with the program
}

// NetworksConfig names files of addresses and prefixes, one a line. They are read again
// when they change.
type NetworksConfig struct {
	Hosting    []string `yaml:"hosting,omitempty"`
	Anonymiser []string `yaml:"anonymiser,omitempty"`
	Tor        []string `yaml:"tor,omitempty"`
}

// paths are the members that name files.
func (c *LedgerConfig) paths() []*string {
	all := []*string{&c.Countries}
	for _, list := range [][]string{c.Networks.Hosting, c.Networks.Anonymiser, c.Networks.Tor, c.Mappers} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

func (c *LedgerConfig) check() (wrong []string) {
	if _, err := c.quarantine(); err != nil {
		wrong = append(wrong, "ledger.quarantine is a duration of at least an hour, such as 168h")
	}
	if c.Unsealed < 0 {
		wrong = append(wrong, "ledger.unsealed_records is a number of records")
	}
	return wrong
}

func (c *LedgerConfig) quarantine() (time.Duration, error) {
	if c.Quarantine == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Quarantine)
	if err == nil && d < time.Hour {
		err = errors.New("too short")
	}
	return d, err
}

// openLedger opens the ledger's store: a file beside the main one, or a schema beside
// its tables.
func (h *house) openLedger(ctx context.Context, main store.Config) (err error) {
	main.Observe = nil
	if main.DSN != "" {
		main.Schema = "ledger"
	} else {
		main.Path = filepath.Join(h.conf.Data, "ledger.db")
	}
	h.ledger, err = store.OpenLedger(ctx, main)
	return err
}

// openHot opens the end of the ledger that takes records.
func (h *house) openHot(ctx context.Context) (err error) {
	if h.where, err = newWhere(h.conf.Ledger); err != nil {
		return err
	}
	keep, err := h.conf.Ledger.quarantine()
	if err != nil {
		return err
	}
	h.hot, err = ledger.NewHot(ctx, ledger.HotConfig{
		DB: store.LedgerAs[ledger.HotTx](h.ledger), Vault: h.vault, Recorder: h.journal, Accounts: h.db.LedgerAccounts(), Clock: h.clock,
		Locate: h.where.locate, MaxTail: h.conf.Ledger.Unsealed, Keep: keep,
	})
	if err != nil {
		return err
	}
	h.onboard.Intake = h.hot
	h.asks, err = ledger.NewQuestions(ledger.QuestionsConfig{
		DB: store.LedgerAs[ledger.Tx](h.ledger), Vault: h.vault, Recorder: h.journal, Tail: h.hot, Directory: h.db.LedgerAccounts(), Clock: h.clock, Shelf: h.shelf,
	})
	h.onboard.Uses = h.asks
	return err
}

// takeNATS takes batches from NATS, where the configuration names subjects, until ctx ends.
func (h *house) takeNATS(ctx context.Context, m *meters) error {
	c := h.conf.NATS
	group, ctx := errgroup.WithContext(ctx)
	for _, kind := range []struct {
		name, subject string
		leases        bool
	}{{"access", c.Access, false}, {"leases", c.Leases, true}} {
		if kind.subject == "" {
			continue
		}
		n := &ledger.NATS{
			URL: c.URL, Credentials: c.Credentials, Stream: c.Stream, Subject: kind.subject, Durable: c.Durable + "-" + kind.name, Leases: kind.leases,
			Take: h.hot.Take, Clock: h.clock, Log: h.log, Count: func(outcome string) { m.nats.WithLabelValues(kind.name, outcome).Inc() },
		}
		for _, outcome := range ledger.NATSOutcomes {
			m.nats.WithLabelValues(kind.name, outcome) // shown before the first
		}
		group.Go(func() error { return n.Run(ctx) })
	}
	return group.Wait()
}

// manyUnsealed is from how many records on the sealer does not wait for its time.
const manyUnsealed = 200_000

// sealer makes the one that turns batches into chunks. here: this process says to others
// that it is there.
func (h *house) sealer(here bool) (*ledger.Sealer, error) {
	holder := ""
	if here {
		holder = presenceOf + h.self
	}
	return ledger.NewSealer(ledger.SealerConfig{
		DB: store.LedgerAs[ledger.Tx](h.ledger), Vault: h.vault, Recorder: h.journal, Directory: h.db.LedgerAccounts(), Clock: h.clock,
		Alone: !h.shared(), Holder: holder, Gone: h.gone, Lease: h.conf.lease(), Retention: ledgerKeep{h}, Shelf: h.shelf,
	})
}

// seal runs the sealer until ctx ends.
func (h *house) seal(ctx context.Context) error {
	s, err := h.sealer(true)
	if err != nil {
		return err
	}
	s.Run(ctx, func() bool { return h.hot.Unsealed() > manyUnsealed }, func(err error) {
		h.log.Error("a standing duty failed", "duty", "seal", "code", string(muster.ErrorCode(err)), "error", err)
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.Close(ctx)
}

// mappers are those of the program and of the configuration, by name. A file may take
// the place of one of the program's.
func (c *LedgerConfig) mappers() (map[string]*ledger.Mapper, error) {
	all := map[string]*ledger.Mapper{}
	for _, name := range ledger.MapperNames() {
		m, err := ledger.EmbeddedMapper(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = m
	}
	for _, path := range c.Mappers {
		m, err := readMapper(path)
		if err != nil {
			return nil, err
		}
		all[m.Name] = m
	}
	return all, nil
}

func readMapper(path string) (*ledger.Mapper, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unread(path, err)
	}
	m, err := ledger.ParseMapper(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// where says of an address in which country it is, and what the provider's lists say.
type where struct {
	conf  LedgerConfig
	table *validate.Locator
	now   atomic.Pointer[whereTables]
}

type whereTables struct {
	countries *ledger.Countries // nil: the embedded table
	networks  *ledger.Networks
	stamp     string // of the files
}

func newWhere(c LedgerConfig) (*where, error) {
	table, err := validate.NewLocator()
	if err != nil {
		return nil, err
	}
	w := &where{conf: c, table: table}
	return w, w.load(context.Background())
}

// load reads the files again where one has changed. One that cannot be read leaves the
// last good ones in place. A standing duty: every minute.
func (w *where) load(context.Context) error {
	stamp := ""
	for _, p := range w.conf.paths() {
		if *p == "" {
			continue
		}
		info, err := os.Stat(*p)
		if err != nil {
			return err
		}
		stamp += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), ";")
	}
	if have := w.now.Load(); have != nil && have.stamp == stamp {
		return nil
	}
	next := &whereTables{networks: &ledger.Networks{}, stamp: stamp}
	if w.conf.Countries != "" {
		var err error
		if next.countries, err = ledger.OpenCountries(w.conf.Countries); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		bit   muster.Network
		files []string
	}{
		{muster.NetworkHosting, w.conf.Networks.Hosting},
		{muster.NetworkAnonymiser, w.conf.Networks.Anonymiser},
		{muster.NetworkTor, w.conf.Networks.Tor},
	} {
		for _, path := range list.files {
			if err := addNetworks(next.networks, list.bit, path); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	w.now.Store(next)
	return nil
}

func addNetworks(n *ledger.Networks, bit muster.Network, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return n.Add(bit, f)
}

func (w *where) locate(a netip.Addr) (muster.Country, muster.Network) {
	t := w.now.Load()
	if t.countries != nil {
		return t.countries.Country(a), t.networks.Of(a)
	}
	return w.table.Country(a), t.networks.Of(a)
}

// countLedger brings the gauges of the ledger up to its store.
func (m *meters) countLedger(ctx context.Context, hot *ledger.Hot) error {
	head, waiting, err := hot.Standing(ctx)
	if err != nil {
		return err
	}
	m.unsealed.Set(float64(head.Records))
	m.waiting.Set(float64(waiting.Records))
	return nil
}

func natsCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "muster_ledger_nats_deliveries_total", Help: "Batches that NATS delivered, by kind of record and what became of them."}, []string{"kind", "outcome"})
}

func ledgerGauges() (unsealed, waiting prometheus.Gauge) {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_ledger_unsealed_records", Help: "Records that wait for the sealer."}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "muster_ledger_quarantine_records", Help: "Records of accounts that are not known."})
}

// ledger says how many records wait: for the sealer, and for their accounts.
func (d *doctor) ledger(ctx context.Context, h *house, tx *store.LedgerTx) error {
	head, err := tx.HotHead(ctx)
	if err != nil {
		return err
	}
	if most := cmp.Or(h.conf.Ledger.Unsealed, ledger.DefaultMaxTail); head.Records > int64(most)/2 {
		d.note("ledger", warn, fmt.Sprintf("%d records wait for the sealer, and at %d batches are put off", head.Records, most), "look into the server's log for the sealer's errors")
	} else {
		d.note("ledger", fine, fmt.Sprintf("%d records wait for the sealer", head.Records), "")
	}
	q, err := tx.QuarantineCount(ctx)
	if err != nil || q.Records == 0 {
		return err
	}
	d.note("quarantine", warn, fmt.Sprintf("%d records wait for %d accounts that nobody knows, the oldest since %s", q.Records, q.Accounts, q.Oldest.Format(time.RFC3339)),
		"does the sender name accounts by the references under which they were applied for? what waits goes by itself")
	return nil
}
