package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"
)

// Why a request was not made or not finished. Everything else is a failure of
// the network or of the other side, and may pass.
var (
	ErrAddress  = errors.New("the address is not public and not on the list of exceptions")
	ErrURL      = errors.New("the URL is not one that may be called")
	ErrRedirect = errors.New("the answer was a redirect")
	ErrTooLarge = errors.New("the answer is too large")
)

// Config of a Client. The zero Config is good.
type Config struct {
	// Allow are exact host:port, spelled as in a URL (a literal IPv6 address in
	// brackets), that may be private and may be called without TLS: gateways of
	// the provider's own, receivers in tests.
	Allow []string
	// Roots verify certificates; nil: the system's.
	Roots *x509.CertPool
	// Timeout of one exchange, body included; 0: 10 s.
	Timeout time.Duration
	// MaxBytes of a response body; 0: 64 KiB.
	MaxBytes int64
	// Redirects that are followed; 0: none, each is ErrRedirect.
	Redirects int
	// UserAgent of requests that name none; "": "muster".
	UserAgent string
}

// Client makes requests to addresses that may be public only.
type Client struct {
	allow     map[string]bool
	http      http.Client
	max       int64
	userAgent string
}

// New makes a Client.
func New(c Config) (*Client, error) {
	cl := &Client{allow: map[string]bool{}, max: c.MaxBytes, userAgent: c.UserAgent}
	for _, hp := range c.Allow {
		host, port, err := net.SplitHostPort(hp)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("outbound exception %q is not host:port", hp)
		}
		cl.allow[hostPort(host, port)] = true
	}
	if c.Timeout < 0 || c.MaxBytes < 0 || c.Redirects < 0 {
		return nil, errors.New("timeout, bytes and redirects of an outbound client are not negative")
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if cl.max == 0 {
		cl.max = 64 << 10
	}
	if cl.userAgent == "" {
		cl.userAgent = "muster"
	}
	cl.http = http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			Proxy:                  nil, // never from the environment: it would do the dialling for us
			DialContext:            cl.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    c.Timeout,
			ResponseHeaderTimeout:  c.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true, // what is read is what came over the wire
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > c.Redirects {
				return ErrRedirect
			}
			if err := cl.checkURL(req.URL); err != nil {
				return err
			}
			// A stranger must not send us to the provider's own gateways.
			if cl.excepted(req.URL) && !cl.excepted(via[0].URL) {
				return ErrAddress
			}
			if req.URL.Scheme == "http" && via[0].URL.Scheme == "https" {
				return ErrURL
			}
			return nil
		},
	}
	return cl, nil
}

// hostPort is the one spelling of an exception.
func hostPort(host, port string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return net.JoinHostPort(host, port)
}

// excepted reports whether u goes to an address on the list.
func (c *Client) excepted(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return c.allow[hostPort(u.Hostname(), port)]
}

const maxURL = 2048

// CheckURL reports whether raw may be called at all, so that a bad one is refused
// when it is configured and not when it is used: an absolute https URL without
// user, password and fragment, whose host, if it is a literal address, is public.
// What its name resolves to is judged at each call.
func (c *Client) CheckURL(raw string) error {
	if len(raw) > maxURL {
		return ErrURL
	}
	u, err := url.Parse(raw)
	if err != nil {
		return ErrURL // the cause would repeat the URL
	}
	return c.checkURL(u)
}

func (c *Client) checkURL(u *url.URL) error {
	host := u.Hostname()
	if host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return ErrURL
	}
	excepted := c.excepted(u)
	if u.Scheme != "https" && (u.Scheme != "http" || !excepted) {
		return ErrURL
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !excepted && !Public(a) {
			return ErrAddress
		}
		return nil
	}
	if ascii, err := idna.Lookup.ToASCII(host); err != nil || ascii == "" {
		// Names with an underscore are no host names, but internal ones have them.
		if !excepted {
			return ErrURL
		}
	}
	return nil
}

// Do makes the request. The body of the answer, to be closed by the caller, ends
// in ErrTooLarge past the bound. Past the deadline of the request's context nothing of
// its body is sent. The errors are those of this package, or of the network, without the
// URL.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.checkURL(req.URL); err != nil {
		return nil, err
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	res, err := c.http.Do(inTime(req))
	if err != nil {
		if res != nil {
			res.Body.Close()
		}
		for _, known := range []error{ErrAddress, ErrURL, ErrRedirect, ErrLate} {
			if errors.Is(err, known) {
				return nil, known
			}
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	res.Body = &bounded{body: res.Body, left: c.max}
	return res, nil
}

// RoundTrip is Do, for libraries that want a transport.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) { return c.Do(req) }

// CloseIdle closes connections that are kept for later.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 30 * time.Second}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, ErrURL
	}
	if !c.allow[hostPort(host, port)] {
		d.Control = control
	}
	return d.DialContext(ctx, network, addr)
}

// control judges the address that is about to be connected to: after resolution,
// for each one that is tried.
func control(network, address string, _ syscall.RawConn) error {
	if !slices.Contains([]string{"tcp4", "tcp6"}, network) {
		return ErrAddress
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !Public(ap.Addr()) {
		return ErrAddress
	}
	return nil
}

type bounded struct {
	body io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than is left tells an end from an excess.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

func (b *bounded) Close() error { return b.body.Close() }
