package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Server serves a handler on an address until its context ends.
type Server struct {
	Listen  string // host:port
	Handler http.Handler
	Log     *slog.Logger

	// TLS where both are given: PEM files, read again when either changes. Without
	// them the server speaks plain HTTP/1.1 and HTTP/2, for a proxy in front of it.
	CertFile, KeyFile string

	// Draining is called when the context ends, before the server stops taking
	// connections (API.Drain); Grace is how long it then still takes them, so that a
	// balancer sees /readyz, and Patience how long requests may take to end. Zero: 0 s and 20 s.
	Draining        func()
	Grace, Patience time.Duration

	// Ready is called with the address once it listens, before the first request.
	Ready func(net.Addr)
}

// Bounds on a connection. A body of the largest size comes within ReadTimeout on
// a slow line; the longest answer is a bundle.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 16 << 10
)

// Run listens and serves until ctx ends, then drains. It returns nil after an
// orderly end.
func (s *Server) Run(ctx context.Context) error {
	if s.Handler == nil || s.Log == nil {
		return errors.New("api: server lacks Handler or Log")
	}
	srv := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		// Its own messages may quote what a client sent: only that there was one is logged.
		ErrorLog: slog.NewLogLogger(connectionErrors{s.Log.Handler()}, slog.LevelWarn),
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	if (s.CertFile == "") != (s.KeyFile == "") {
		return errors.New("api: TLS needs a certificate file and a key file")
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	if s.CertFile != "" {
		pair := &keyPair{cert: s.CertFile, key: s.KeyFile, log: s.Log}
		if _, err := pair.get(nil); err != nil {
			ln.Close()
			return muster.Errorf(muster.CodeInvalid, "the certificate and its key cannot be read: %w", err)
		}
		srv.Protocols.SetHTTP2(true)
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
	} else {
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	if s.Ready != nil {
		s.Ready(ln.Addr())
	}

	ended := make(chan error, 1)
	go func() {
		if s.CertFile != "" {
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}
	return s.drain(srv, ended)
}

// drain lets what runs end. The context is over already: these have time of their own.
func (s *Server) drain(srv *http.Server, ended <-chan error) error {
	if s.Draining != nil {
		s.Draining()
	}
	if s.Grace > 0 {
		select {
		case err := <-ended:
			return fmt.Errorf("api: %w", err)
		case <-time.After(s.Grace):
		}
	}
	patience := s.Patience
	if patience == 0 {
		patience = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		srv.Close()
		return fmt.Errorf("api: some requests did not end in time: %w", err)
	}
	return nil
}

// keyPair reads the certificate again when a file's time or size changes. A pair
// that cannot be read leaves the last good one in place.
type keyPair struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamp   [2]fileStamp
	current *tls.Certificate
}

type fileStamp struct {
	at   time.Time
	size int64
}

// lookEvery is how often a handshake looks at the files.
const lookEvery = time.Second

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && time.Since(p.looked) < lookEvery {
		return p.current, nil
	}
	p.looked = time.Now()
	stamp, err := p.stat()
	if err == nil && p.current != nil && stamp == p.stamp {
		return p.current, nil
	}
	var c tls.Certificate
	if err == nil {
		c, err = tls.LoadX509KeyPair(p.cert, p.key)
	}
	switch {
	case err == nil:
		p.current, p.stamp = &c, stamp
		return p.current, nil
	case p.current == nil:
		return nil, err
	}
	p.log.Warn("the certificate cannot be read again: the last one stays in use", "cause", err)
	return p.current, nil
}

func (p *keyPair) stat() (s [2]fileStamp, err error) {
	for i, name := range []string{p.cert, p.key} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// connectionErrors logs that a connection failed, and not what it sent.
type connectionErrors struct{ slog.Handler }

func (h connectionErrors) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "connection failed", r.PC))
}
