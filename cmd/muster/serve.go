package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/verify/contact"
	"github.com/muster-cip/muster/watch"
	"github.com/muster-cip/muster/watchlist"
)

func newServe(t terminal) *cobra.Command {
	var path, listen string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a deployment", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(path)
			if err != nil {
				return startError{err}
			}
			if listen != "" {
				c.Listen = listen
			}
			log := slog.New(slog.NewJSONHandler(t.err, nil))
			tell := func(state string) {
				if err := tellManager(state); err != nil {
					log.Warn("the service manager was not told", "state", state, "error", err)
				}
			}
			defer context.AfterFunc(cmd.Context(), func() { tell(nowStopping) })()
			served := false
			err = serve(cmd.Context(), c, log, func(addr net.Addr, _ *house) {
				served = true
				log.Info("serving", "address", addr.String(), "version", version())
				tell(nowReady)
			})
			if err != nil && !served {
				return startError{err}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&listen, "listen", "", "host:port (default: of the configuration)")
	return cmd
}

func configFlag(cmd *cobra.Command, path *string) {
	at := "muster.yaml"
	if v, ok := os.LookupEnv("MUSTER_CONFIG"); ok {
		at = v
	}
	cmd.Flags().StringVar(path, "config", at, "configuration file")
}

// serve opens a deployment and runs it until ctx ends. ready is called once it listens
// and its gate is loaded.
func serve(ctx context.Context, c Config, log *slog.Logger, ready func(net.Addr, *house)) error {
	registry := prometheus.NewRegistry()
	m := newMeters(registry)
	h, err := openHouse(ctx, c, options{log: log, commit: m.commit, stored: m.storage})
	if err != nil {
		return err
	}
	registry.MustRegister(h.asked)
	registry.MustRegister(h.gateGauges()...)
	registry.MustRegister(h.clockGauge())
	defer h.close(context.WithoutCancel(ctx))
	return h.serve(ctx, registry, m, ready)
}

// serve runs the API and the standing duties until ctx ends.
func (h *house) serve(ctx context.Context, registry *prometheus.Registry, m *meters, ready func(net.Addr, *house)) error {
	tracer, stop, err := h.tracer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := h.refuseClock(ctx); err != nil {
		return err
	}
	db := store.As[watch.Tx](h.db)
	box := &watch.Outbox{DB: db, Secrets: h.vault, Client: h.out, Clock: h.clock, Call: h.call()}
	if err := h.openHot(ctx); err != nil {
		return err
	}
	handler, err := h.api(registry, tracer, &watch.Endpoints{DB: db, Secrets: h.vault, Client: h.out, Entries: h.journal})
	if err != nil {
		return err
	}
	here := &watch.Presence{DB: store.As[watch.Presences](h.db), Holder: h.self, Lasts: presence, Log: h.log}
	runner, closeSender, err := h.runner(box, here, m)
	if err != nil {
		return err
	}
	defer closeSender()
	if h.shared() {
		if err := here.Look(ctx); err != nil {
			return err
		}
		defer h.leave(context.WithoutCancel(ctx), here)
	}
	// What was begun to be erased is finished before anything is served.
	if err := h.retain.Resume(ctx); err != nil {
		return err
	}
	for _, kind := range []string{muster.JobRetain, muster.JobEpoch} {
		if err := watch.Standing(ctx, store.As[watch.Standings](h.db), kind); err != nil {
			return err
		}
	}
	listening := make(chan net.Addr, 1)
	server := &api.Server{
		Listen: h.conf.Listen, Handler: handler, Log: h.log, CertFile: h.conf.TLS.Certificate, KeyFile: h.conf.TLS.Key,
		Draining: handler.Drain, Ready: func(a net.Addr) { listening <- a },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error {
		if at, err := loaded(ctx, listening, h.centre); err == nil {
			ready(at, h)
		}
		return nil
	})
	group.Go(func() error { return runner.Run(ctx) })
	if h.shared() {
		group.Go(func() error { return h.every(ctx, presence/15, "presence", here.Look) })
	}
	group.Go(func() error { return h.every(ctx, time.Second, "reload", h.reload) })
	group.Go(func() error { return h.centre.Run(ctx) })
	group.Go(func() error { return h.fillGate(ctx) })
	group.Go(func() error { return h.publishGate(ctx) })
	group.Go(func() error { return h.every(ctx, time.Hour, "sweep the gate's profiles", h.sweepGate) })
	group.Go(func() error {
		return h.every(ctx, 10*time.Second, "look-ups", func(ctx context.Context) error { return h.lookups.Sweep(ctx, false) })
	})
	group.Go(func() error {
		return h.every(ctx, time.Second, "publish", func(ctx context.Context) error {
			_, err := h.book.Publish(ctx)
			return errors.Join(err, h.book.Announce(ctx))
		})
	})
	group.Go(func() error { return h.every(ctx, 5*time.Minute, "storage", h.watchStorage) })
	group.Go(func() error { return h.every(ctx, 10*time.Second, "compare clocks", h.watchClock) })
	group.Go(func() error {
		return h.every(ctx, time.Second, "measures", watch.MeasuresDue(store.As[watch.Leases](h.db), h.register, h.self, h.conf.lease()/2))
	})
	group.Go(func() error { return h.every(ctx, 10*time.Second, "cosign", h.book.Cosign) })
	group.Go(func() error { return h.every(ctx, time.Minute, "send checkpoint", h.book.SendOut) })
	group.Go(func() error { return h.every(ctx, time.Hour, "tidy", h.tidy) })
	group.Go(func() error { return h.every(ctx, 2*time.Second, "fetch lists", h.lists.Look) })
	group.Go(func() error { return h.every(ctx, time.Minute, "read networks", h.where.load) })
	group.Go(func() error { return h.seal(ctx) })
	group.Go(func() error { return h.takeNATS(ctx, m) })
	group.Go(func() error {
		return h.every(ctx, 5*time.Second, "claim records", func(ctx context.Context) error {
			_, err := h.hot.Claim(ctx)
			return errors.Join(err, m.countLedger(ctx, h.hot))
		})
	})
	group.Go(func() error {
		return h.every(ctx, time.Hour, "end quarantine", func(ctx context.Context) error {
			_, err := h.hot.Expire(ctx)
			return err
		})
	})
	group.Go(func() error {
		return h.every(ctx, time.Minute, "count", func(ctx context.Context) error {
			return errors.Join(m.count(ctx, h.db, h.self), m.watched(ctx, h.lists))
		})
	})
	group.Go(func() error { return h.asked.Run(ctx) })
	group.Go(func() error {
		return serveEnvoy(ctx, h.conf.Envoy, &ask.Envoy{Gate: h.gate, Clock: h.clock, Record: h.asked, Admit: handler.AdmitAsker}, func(a net.Addr) {
			h.log.Info("answering Envoy", "address", a.String())
		})
	})
	err = group.Wait()
	h.log.Info("stopped", "error", err) // an end that was asked for, and not a kill
	return err
}

// loaded waits until the server listens and the gate answers from what it read.
func loaded(ctx context.Context, listening <-chan net.Addr, centre *gate.Centre) (net.Addr, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-centre.Loaded():
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case at := <-listening:
		return at, nil
	}
}

// every runs a duty again and again until ctx ends. One that fails is logged and
// tried again: a duty that stopped in silence would be the worse fault.
func (h *house) every(ctx context.Context, period time.Duration, name string, duty func(context.Context) error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := duty(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("a standing duty failed", "duty", name, "code", string(muster.ErrorCode(err)), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tidyAtOnce is how many rows go in one transaction: others wait for it.
const tidyAtOnce = 10_000

// tidy removes what has run out and nobody asks for: answers kept under an
// Idempotency-Key, and codes, once they count for no limit either.
func (h *house) tidy(ctx context.Context) error {
	for _, expire := range []func(*store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) { return tx.ExpireIdempotency(ctx, tidyAtOnce) },
		func(tx *store.Tx) (int64, error) {
			return tx.ExpireChallenges(ctx, tx.Now().Add(-onboard.CodesCount), tidyAtOnce)
		},
	} {
		for n := int64(tidyAtOnce); n == tidyAtOnce; {
			if err := h.db.InTx(ctx, func(tx *store.Tx) (err error) {
				n, err = expire(tx)
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// tracer sends spans by OTLP/HTTP where the configuration names an endpoint.
func (h *house) tracer(ctx context.Context) (*sdktrace.TracerProvider, func(), error) {
	if h.conf.Trace == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(h.conf.Trace))
	if err != nil {
		return nil, nil, fmt.Errorf("trace: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	return p, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			h.log.Warn("traces were lost at the end", "error", err)
		}
	}, nil
}

// api wires the handler of every route.
func (h *house) api(registry *prometheus.Registry, tracer *sdktrace.TracerProvider, hooks *watch.Endpoints) (*api.API, error) {
	r := &reads{h.db}
	c := api.Config{
		Deployment: api.Deployment{Mode: h.meta.Mode, Version: version(), Origin: h.meta.Origin},
		Clock:      h.clock, Log: h.log, Metrics: registry,
		Tokens: h.staff, Applications: h.onboard, Verification: h.onboard, Reveals: h.onboard, Moves: h.onboard,
		Decisions: h.onboard, DecisionList: r, Files: r, Reviews: h.review, ReviewList: r,
		Hits: h.review, HitReveals: h.onboard, HitList: r, Lookups: h.lookups, Tunings: h.onboard, Programme: h.activate, Packs: r, Measures: h.register, Appeals: h.onboard,
		Staff: h.staff, StaffList: r, Webhooks: hooks, WebhookList: r, Deliveries: hooks, TheLog: h.book, Lists: h.lists, ListStands: h.lists,
		Gate: h.gate, Asked: h.asked, GateRecords: asked{h}, GateCentre: h.centre, PublicURL: h.conf.PublicURL,
		Retention: h.retain, Holds: h.retain, RetentionList: r,
		Copies: h.onboard, Exports: h.exports(), ExportList: r,
		Fresh:       h.beFresh,
		Idempotency: answers{h.db}, Seals: seals{h}, PublicLog: h.conf.PublicLog, LoopbackMetrics: h.conf.LocalMetrics,
		Keys: h.turns, Handovers: h.db, PublicKeys: publicKeys{h},
		Intake: h.hot, Questions: h.asks, Traces: h.onboard,
		Imports: h.onboard, ImportList: r,
		Checks: []api.Check{
			{Name: "store", Run: func(ctx context.Context) error {
				_, err := r.LogSize(ctx)
				return err
			}},
			{Name: "keys", Run: func(ctx context.Context) error {
				_, err := h.keys.LoadSet(ctx)
				return err
			}},
			{Name: "gate", Run: func(context.Context) error {
				if snap, _ := h.gate.Load(); snap == nil {
					return errors.New("the gate is not loaded yet")
				}
				return nil
			}},
			{Name: "clock", Soft: true, Run: func(context.Context) error { return h.drift.err() }},
			{Name: "storage", Soft: true, Run: func(context.Context) error { return h.stored.err() }},
			{Name: "lists", Soft: true, Run: func(context.Context) error {
				if stale := h.lists.Stale(h.clock()); len(stale) > 0 {
					return fmt.Errorf("watch lists past their age: %s", strings.Join(stale, ", "))
				}
				return nil
			}},
			{Name: "programme", Run: func(context.Context) error {
				if enforce, observe := h.programme.At(h.clock()); len(enforce)+len(observe) == 0 {
					return errors.New("no policy pack is in effect")
				}
				return nil
			}},
		},
	}
	if tracer != nil {
		c.Tracer = tracer
	}
	var err error
	if c.Mappers, err = h.conf.Ledger.mappers(); err != nil {
		return nil, err
	}
	all := h.ways()
	for _, w := range all.Contact {
		c.Methods = append(c.Methods, w.Method)
	}
	for _, w := range all.Recorded {
		c.Methods = append(c.Methods, w.Method)
	}
	return api.New(c)
}

// seals seals stored answers for their place.
type seals struct{ h *house }

func (s seals) RequestMACs(request []byte) [][]byte { return s.h.vault.RequestMACs(request) }

func (s seals) SealAnswer(_ context.Context, operator, key string, body []byte) ([]byte, error) {
	return s.h.vault.SealConfig("answer/"+operator+"/"+key, body), nil
}

func (s seals) OpenAnswer(_ context.Context, operator, key string, sealed []byte) ([]byte, error) {
	return s.h.vault.OpenConfig("answer/"+operator+"/"+key, sealed)
}

// runner wires the standing duties that jobs start.
func (h *house) runner(box *watch.Outbox, here *watch.Presence, m *meters) (*watch.Runner, func(), error) {
	sender, closer, err := h.sender()
	if err != nil {
		return nil, nil, err
	}
	lease := h.conf.lease()
	whole := lease * 5 / 6 // a try of a duty that works through many records
	// A step of a long job ends by itself before its lease does, and goes on at once.
	long := func(step func(context.Context, *muster.Job) (onboard.SweepState, error)) watch.Duty {
		return watch.Duty{Workers: 1, Timeout: whole, Handle: watch.GoOn(func(ctx context.Context, job *muster.Job) (bool, time.Duration, string, error) {
			s, err := step(ctx, job)
			return s.Done, s.After, s.Code, err
		})}
	}
	epoch, err := time.ParseDuration(h.conf.Keeping.Epoch)
	if err != nil {
		return nil, nil, err
	}
	duties := map[string]watch.Duty{
		muster.JobSweep:   long(h.onboard.Sweep),
		muster.JobTune:    long(h.onboard.Tune),
		muster.JobHitDue:  {Handle: watch.HitDue(h.onboard.HitOverdue)},
		muster.JobCohort:  long(h.onboard.CohortDue),
		muster.JobPublish: {Handle: box.Publish},
		muster.JobWebhook: {Handle: box.Deliver, Sends: true},
		muster.JobDue:     {Handle: watch.ApplicationDue(h.onboard), Limit: 24},

		muster.JobMeasure:       {Handle: watch.ApplyMeasure(h.register), Workers: 1, Timeout: whole},
		muster.JobMeasureCatch:  {Handle: watch.CatchMeasure(h.register), Workers: 1, Timeout: whole, Limit: 24},
		muster.JobMeasureNotice: {Handle: watch.NoticeMeasure(h.register), Limit: 24},
		muster.JobRetain:        {Handle: watch.Daily(days{h.retain, m}, h.clock, lease/6), Workers: 1},
		muster.JobEpoch:         {Handle: watch.Daily(epochs{h, epoch}, h.clock, lease/6), Workers: 1},
		muster.JobRotate:        {Handle: watch.GoOn(h.turns.Step), Workers: 2, Timeout: whole},
	}
	if sender != nil {
		duties[muster.JobSendCode] = watch.Duty{Handle: watch.SendCode(h.onboard, sender, h.call()), Sends: true}
	}
	c := watch.Config{
		DB: store.As[watch.Tx](h.db), Holder: h.self, Duties: duties, Clock: h.clock, Lease: lease,
		Log: h.log, Observe: m.job, Fresh: h.beFresh,
	}
	if h.shared() {
		c.Present = here.Until
	}
	r, err := watch.NewRunner(c)
	return r, closer, err
}

// sender is how codes leave the house: by the configuration, or in a sandbox to a file.
func (h *house) sender() (contact.Sender, func(), error) {
	ways, closer := contact.ByMethod{}, func() {}
	words, err := contact.NewWords(h.conf.Provider, h.conf.Domain)
	if err != nil {
		return nil, nil, err
	}
	if h.meta.Mode == muster.ModeSandbox {
		file, err := contact.NewFile(h.conf.Data+"/codes.ndjson", h.meta.Mode)
		if err != nil {
			return nil, nil, err
		}
		ways[contact.Email], ways[contact.Phone] = file, file
		closer = func() { file.Close() }
	}
	if c := h.conf.Mail; c.Server != "" {
		conf := contact.SMTPConfig{Addr: c.Server, TLS: c.TLS, From: c.From, Username: c.User, Words: words, Clock: h.clock}
		if c.Password != "" {
			if conf.Password, err = secretFile(c.Password); err != nil {
				return nil, nil, err
			}
		}
		if ways[contact.Email], err = contact.NewSMTP(conf); err != nil {
			return nil, nil, err
		}
	}
	if c := h.conf.SMS; c.URL != "" {
		secret, err := secretFile(c.Secret)
		if err != nil {
			return nil, nil, err
		}
		secrets, err := outbound.ParseSecrets(secret)
		if err != nil {
			return nil, nil, muster.Errorf(muster.CodeInvalid, "sms.secret_file: %s", err)
		}
		if ways[contact.Phone], err = contact.NewGateway(contact.GatewayConfig{URL: c.URL, Secrets: secrets, Client: h.out, Words: words, Clock: h.clock}); err != nil {
			return nil, nil, err
		}
	}
	if len(ways) == 0 {
		return nil, closer, nil
	}
	return ways, closer, nil
}

// meters are the process's own metrics, beside those of the API.
type meters struct {
	groups   prometheus.Histogram
	synced   prometheus.Histogram
	jobs     *prometheus.CounterVec
	erased   *prometheus.CounterVec
	waits    prometheus.Gauge
	standing *prometheus.GaugeVec
	counted  prometheus.Gauge
	stood    map[[2]string]int64 // kinds and states that were counted once: of those that nothing is in any more 0 is said
	due      *prometheus.GaugeVec
	lists    *prometheus.GaugeVec
	unsealed prometheus.Gauge
	waiting  prometheus.Gauge
	nats     *prometheus.CounterVec

	requests *prometheus.CounterVec // to the storage
	took     *prometheus.HistogramVec
}

func newMeters(r *prometheus.Registry) *meters {
	m := &meters{
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_commit_transactions", Help: "Transactions that shared one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		synced: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_commit_seconds", Help: "How long commits took to be durable.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 14),
		}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_job_tries_total", Help: "Tries of background jobs, by what became of them.",
		}, []string{"kind", "outcome", "code"}),
		erased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_erased_total", Help: "What went because its time was over, or before: files of which something went, records, what was seen for proof only, rows of indexes.",
		}, []string{"what"}),
		waits: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "muster_erasure_waiting", Help: "Files whose time is over and that wait for two operators: more than may go on one day.",
		}),
		standing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "muster_records", Help: "Records on file, by kind and state.",
		}, []string{"kind", "state"}),
		counted: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "muster_records_age_seconds", Help: "How old the count of muster_records is. Leaves and dead jobs are of now.",
		}),
		stood: map[[2]string]int64{},
		lists: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "muster_list", Help: "Watch lists: entries in effect, rows that could not be read, seconds since it was known to be its publisher's, 1 where stale, 1 where a snapshot waits for a person.",
		}, []string{"list", "what"}),
	}
	m.due = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "muster_hit_reports", Help: "Hits that are true and wait to be reported: running, overdue.",
	}, []string{"clock"})
	r.MustRegister(m.groups, m.synced, m.jobs, m.erased, m.waits, m.standing, m.counted, m.lists, m.due, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.unsealed, m.waiting = ledgerGauges()
	m.nats = natsCounter()
	m.requests, m.took = storageMeters()
	r.MustRegister(m.unsealed, m.waiting, m.nats, m.requests, m.took)
	return m
}

// watched counts what the watch lists are.
func (m *meters) watched(ctx context.Context, s *watchlist.Service) error {
	all, _, err := s.Status(ctx)
	for _, x := range all {
		for what, v := range map[string]float64{
			"entries": float64(x.Entries), "rejected": float64(x.Broken), "age_seconds": float64(x.Age), "stale": one(x.Stale), "held": one(x.Held != ""),
		} {
			m.lists.WithLabelValues(x.List, what).Set(v)
		}
	}
	return err
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *meters) storage(what, outcome string, took time.Duration) {
	m.requests.WithLabelValues(what, outcome).Inc()
	m.took.WithLabelValues(what).Observe(took.Seconds())
}

func (m *meters) commit(c store.Commit) {
	m.groups.Observe(float64(c.Size))
	m.synced.Observe(c.Synced.Seconds())
}

// retained counts what a slice of a day's run did.
func (m *meters) retained(before, after retain.Swept) {
	m.erased.WithLabelValues("file").Add(float64(after.Files - before.Files))
	m.erased.WithLabelValues("record").Add(float64(after.Records - before.Records))
	m.erased.WithLabelValues("proof").Add(float64(after.Proofs - before.Proofs))
	m.erased.WithLabelValues("index").Add(float64(after.Index - before.Index))
	m.erased.WithLabelValues("edition").Add(float64(after.Editions - before.Editions))
	m.waits.Set(float64(after.Waits))
}

func (m *meters) job(kind, outcome, code string, _ time.Duration) {
	m.jobs.WithLabelValues(kind, outcome, code).Inc()
}
