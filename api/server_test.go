package api

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/loopback"
)

// run starts s and gives its address, a way to stop it and what Run returned.
func run(t *testing.T, s *Server) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	s.Listen, s.Ready = cmp.Or(s.Listen, "127.0.0.1:0"), func(a net.Addr) { ready <- a }
	if s.Log == nil {
		s.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
	}
	go func() { done <- s.Run(ctx) }()
	select {
	case a := <-ready:
		return a.String(), cancel, done
	case err := <-done:
		t.Fatal(err)
		return "", nil, nil
	}
}

func TestDrainingLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	entered, release, drained := make(chan bool), make(chan bool), make(chan bool)
	s := &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			entered <- true
			<-release
			io.WriteString(w, "whole")
		}),
		Draining: func() { close(drained) },
		Listen:   loopback.Address(t), // which nobody else takes once it is free
	}
	addr, stop, ended := run(t, s)
	got := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr)
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	stop()
	<-drained
	close(release)
	if body := <-got; body != "whole" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
}

func TestARequestThatDoesNotEndIsCutOff(t *testing.T) {
	t.Parallel()
	entered, forever := make(chan bool), make(chan bool)
	t.Cleanup(func() { close(forever) })
	s := &Server{Patience: 10 * time.Millisecond, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-forever
	})}
	addr, stop, ended := run(t, s)
	go http.Get("http://" + addr)
	<-entered
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Error(err)
	}
}

// writePair writes a self-signed certificate with a serial number.
func writePair(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cert, key := writePair(t, t.TempDir(), 1)
	addr, stop, ended := run(t, &Server{Handler: b.api, CertFile: cert, KeyFile: key, Draining: b.api.Drain})
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Get("https://" + addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d over %s, headers %v", res.StatusCode, res.Proto, res.Header)
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		c.Close()
		t.Error("TLS 1.1 is taken")
	}
	client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1)
	p := &keyPair{cert: cert, key: key, log: slog.New(slog.NewJSONHandler(io.Discard, nil))}
	serial := func() int64 {
		t.Helper()
		p.looked = time.Time{} // as if the last look were long ago
		c, err := p.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.Int64()
	}
	if serial() != 1 {
		t.Error("not the first")
	}
	writePair(t, dir, 2)
	later := time.Now().Add(time.Minute)
	os.Chtimes(cert, later, later)
	if serial() != 2 {
		t.Error("the new one is not in use")
	}
	if err := os.WriteFile(key, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial() != 2 {
		t.Error("a broken file ends service")
	}
	if _, err := (&keyPair{cert: cert, key: key}).get(nil); err == nil {
		t.Error("a server starts with a broken file")
	}
}

func TestAServerSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	for _, s := range []*Server{
		{Log: log},
		{Handler: http.NewServeMux()},
		{Handler: http.NewServeMux(), Log: log, CertFile: "x"},
		{Handler: http.NewServeMux(), Log: log, Listen: "127.0.0.1:0", CertFile: "/nowhere/c", KeyFile: "/nowhere/k"},
		{Handler: http.NewServeMux(), Log: log, Listen: "not an address"},
	} {
		if err := s.Run(context.Background()); err == nil {
			t.Errorf("%+v runs", s)
		}
	}
}

// What a client sends that is no HTTP is quoted by the standard library; our log does not.
func TestGarbageIsNotLogged(t *testing.T) {
	t.Parallel()
	var logs buffer
	l := slog.NewLogLogger(connectionErrors{slog.NewJSONHandler(&logs, nil)}, slog.LevelWarn)
	l.Printf("http: bad request %q", canaries[0])
	if s := logs.String(); found(s, canaries[0]) || !strings.Contains(s, "connection failed") {
		t.Error(s)
	}
}
