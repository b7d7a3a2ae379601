package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/edge"
	"github.com/muster-cip/muster/gate"
)

// edgeFlags are what an edge is told. It has no configuration file: what it needs
// of the deployment comes signed.
type edgeFlags struct {
	from, token, key, ca              string
	listen, envoy, asks, url          string
	certificate, certificateKey       string
	data                              string
	nats, natsCredentials, natsPrefix string
	plain                             bool
}

// newGate is the edge process, and holds the commands of the centre's gate.
func newGate(t terminal) *cobra.Command {
	var e edgeFlags
	cmd := &cobra.Command{
		Use: "gate", Short: "Run an edge of the gate near what asks it; key, epoch and token of the gate", Args: cobra.NoArgs,
		Long: "With --from: run an edge. It fetches a signed snapshot, follows the changes, and answers AuthZEN, nginx's\n" +
			"auth_request and Envoy's ext_authz from memory. It holds no personal data, and its token reads snapshots\n" +
			"and nothing else.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.from == "" {
				return cmd.Help()
			}
			log := slog.New(slog.NewJSONHandler(t.err, nil))
			return e.run(cmd.Context(), log, func(a edgeAddresses) {
				log.Info("serving", "address", a.HTTP.String(), "version", version())
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.from, "from", "", "URL of the centre")
	f.StringVar(&e.token, "token-file", "", "file that holds the edge's token, of scope gate:follow; read again at each connection")
	f.StringVar(&e.key, "key", "", "the centre's key, or a file of its keys, one a line (muster gate key prints them)")
	f.StringVar(&e.ca, "ca", "", "file of certificates to trust in place of the system's, for --from")
	f.BoolVar(&e.plain, "plain", false, "let the token travel over plain HTTP to another machine")
	f.StringVar(&e.listen, "listen", "127.0.0.1:8421", "host:port of AuthZEN and auth_request")
	f.StringVar(&e.envoy, "envoy", "", "host:port where Envoy asks by gRPC (default: nowhere)")
	f.StringVar(&e.asks, "ask-token-file", "", "file that holds what callers send as Bearer; needed to listen beyond this machine (muster gate token makes one)")
	f.StringVar(&e.certificate, "certificate", "", "PEM file, for TLS on --listen")
	f.StringVar(&e.certificateKey, "certificate-key", "", "PEM file, for TLS on --listen")
	f.StringVar(&e.url, "public-url", "", "https URL under which callers reach this, for AuthZEN's discovery")
	f.StringVar(&e.data, "data", "edge-data", "directory of the sealed cache; empty: none, a restart fetches a snapshot")
	f.StringVar(&e.nats, "nats", "", "URL of NATS, to take changes from there (default: from the centre)")
	f.StringVar(&e.natsCredentials, "nats-credentials", "", "file of NATS credentials")
	f.StringVar(&e.natsPrefix, "nats-prefix", "muster.gate", "of the subject that the centre publishes to")
	cmd.AddCommand(newGateKey(t), newGateEpoch(t), newGateToken(t))
	return cmd
}

func newGateToken(t terminal) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "token", Short: "Make the token that callers of an edge send; opens nothing", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			token := "muster_edge_" + strings.ToLower(rand.Text())
			if out == "" {
				return t.write("", []byte(token+"\n"))
			}
			file, err := newSecretFile(out)
			if err != nil {
				return err
			}
			defer file.discard()
			return file.keep(token)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "new file to write it to (default: standard output)")
	return cmd
}

// edgeAddresses are where an edge listens.
type edgeAddresses struct{ HTTP, Envoy net.Addr }

// check says what is wrong with the command line, all at once.
func (e *edgeFlags) check() error {
	var wrong []string
	from, err := url.Parse(e.from)
	switch {
	case err != nil || from.Host == "" || from.Scheme != "https" && from.Scheme != "http":
		wrong = append(wrong, "--from is the centre's URL, such as https://muster.example.net")
	case from.Scheme == "http" && !isLoopbackHost(from.Hostname()) && !e.plain:
		wrong = append(wrong, "--from is plain HTTP to another machine, where the token can be read on the way: use https, or say --plain")
	}
	if e.token == "" {
		wrong = append(wrong, "--token-file names the edge's token (muster token create --scope gate:follow)")
	}
	if e.key == "" {
		wrong = append(wrong, "--key is the centre's key (muster gate key, at the centre)")
	}
	for flag, listen := range map[string]string{"--listen": e.listen, "--envoy": e.envoy} {
		host, _, err := net.SplitHostPort(listen)
		switch {
		case listen == "" && flag == "--envoy":
		case err != nil:
			wrong = append(wrong, flag+" is host:port, such as 127.0.0.1:8421")
		case !isLoopbackHost(host) && e.asks == "":
			wrong = append(wrong, flag+" is open to other machines: give --ask-token-file, so that not everybody may ask who your customers are")
		}
	}
	if (e.certificate == "") != (e.certificateKey == "") {
		wrong = append(wrong, "TLS needs --certificate and --certificate-key")
	}
	if wrong != nil {
		return usageError{errors.New(strings.Join(wrong, "\n  "))}
	}
	return nil
}

func isLoopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// centreKeys are --key, or what the file of that name holds, one a line: it is read
// again when it changes, so that a key that is announced can be added. A file that
// cannot be read then changes nothing.
func (e *edgeFlags) centreKeys(log *slog.Logger) (edge.Keys, error) {
	if key, err := gate.ParseKey(e.key); err == nil {
		return func() []ed25519.PublicKey { return []ed25519.PublicKey{key} }, nil
	}
	var mu sync.Mutex
	var keys []ed25519.PublicKey
	var seen time.Time
	read := func() error {
		info, err := os.Stat(e.key)
		if err != nil || info.ModTime().Equal(seen) {
			return err
		}
		text, err := readFile(e.key, 4<<10)
		if err != nil {
			return err
		}
		seen = info.ModTime()
		var fresh []ed25519.PublicKey
		for _, line := range strings.Fields(string(text)) {
			key, err := gate.ParseKey(line)
			if err != nil {
				return err
			}
			fresh = append(fresh, key)
		}
		if len(fresh) == 0 {
			return muster.Errorf(muster.CodeInvalid, "%s holds no key of the gate", e.key)
		}
		keys = fresh
		return nil
	}
	if err := read(); err != nil {
		return nil, err
	}
	return func() []ed25519.PublicKey {
		mu.Lock()
		defer mu.Unlock()
		if err := read(); err != nil {
			log.Warn("the file of the centre's keys cannot be read again", "cause", err)
		}
		return keys
	}, nil
}

// client talks to the centre: no deadline over a whole answer, for changes come
// without end, but one for an answer to begin.
func (e *edgeFlags) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 15 * time.Second
	if e.ca != "" {
		pem, err := os.ReadFile(e.ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, muster.Errorf(muster.CodeInvalid, "%s holds no certificate", e.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes where it was told
	}, nil
}

// run runs the edge until ctx ends. ready is called once it listens, which is before
// it knows anything: until then the fail table answers.
func (e *edgeFlags) run(ctx context.Context, log *slog.Logger, ready func(edgeAddresses)) error {
	if err := e.check(); err != nil {
		return err
	}
	keys, err := e.centreKeys(log)
	if err != nil {
		return err
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	g := &gate.Gate{}
	c := edge.Config{
		From: e.from, Token: func() (string, error) { return secretFile(e.token) }, Keys: keys, Client: client, Gate: g,
		Clock: muster.SystemClock, Log: log,
	}
	if _, err := c.Token(); err != nil {
		return err
	}
	if e.data != "" {
		if err := durable.MkdirAll(e.data, 0o700); err != nil {
			return err
		}
		c.Cache = &edge.Cache{Path: filepath.Join(e.data, "gate.cache")}
	}
	if e.nats != "" {
		c.Fan = &edge.NATS{URL: e.nats, Credentials: e.natsCredentials, Prefix: e.natsPrefix}
	}
	follower, err := edge.New(c)
	if err != nil {
		return err
	}
	asked := ask.NewRecorder(ask.RecorderConfig{Sink: follower, Clock: c.Clock, Log: log})
	registry := prometheus.NewRegistry()
	registry.MustRegister(follower, asked, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ac := api.EdgeConfig{
		Version: version(), Clock: c.Clock, Log: log, Metrics: registry, Gate: g, Asked: asked, Follower: follower, PublicURL: strings.TrimSuffix(e.url, "/"),
	}
	if e.asks != "" {
		if ac.Token, err = secretFile(e.asks); err != nil {
			return err
		}
	}
	handler, err := api.NewEdge(ac)
	if err != nil {
		return err
	}
	envoy := &ask.Envoy{Gate: g, Clock: c.Clock, Record: asked}
	if ac.Token != "" {
		envoy.Admit = handler.AdmitAsker
	}
	up := make(chan net.Addr, 2)
	server := &api.Server{
		Listen: e.listen, Handler: handler, Log: log, CertFile: e.certificate, KeyFile: e.certificateKey, Draining: handler.Drain,
		Ready: func(a net.Addr) { up <- a },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return follower.Run(ctx) })
	group.Go(func() error { return asked.Run(ctx) })
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error {
		var a edgeAddresses
		select {
		case <-ctx.Done():
			return nil
		case a.HTTP = <-up:
		}
		if e.envoy == "" {
			ready(a)
			return nil
		}
		return serveEnvoy(ctx, e.envoy, envoy, func(at net.Addr) {
			a.Envoy = at
			log.Info("answering Envoy", "address", at.String())
			ready(a)
		})
	})
	err = group.Wait()
	log.Info("stopped", "error", err)
	return err
}
