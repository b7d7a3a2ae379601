package endtoend

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// outside is the world that Muster talks to: a receiver of webhooks, a collector of
// traces, a mail relay.
type outside struct {
	hooks, traces *httptest.Server
	mail          net.Listener

	mu       sync.Mutex
	received []place // webhooks and traces
	events   [][]byte
	messages bytes.Buffer // mail
}

func newOutside(t testing.TB) *outside {
	o := &outside{}
	o.hooks = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := o.take("webhook", r)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.events = append(o.events, body)
	}))
	o.traces = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { o.take("trace", r) }))
	var err error
	if o.mail, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := o.mail.Accept()
			if err != nil {
				return
			}
			go o.relay(conn)
		}
	}()
	t.Cleanup(func() {
		o.hooks.Close()
		o.traces.Close()
		o.mail.Close()
	})
	return o
}

// take keeps a request: address, headers and body, unpacked.
func (o *outside) take(name string, r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	var head bytes.Buffer
	fmt.Fprintln(&head, r.Method, r.URL, err)
	_ = r.Header.Write(&head)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.received = append(o.received, place{name, append(head.Bytes(), body...)})
	return body
}

// relay speaks as much SMTP as a client needs (RFC 5321, SMTPUTF8).
func (o *outside) relay(conn net.Conn) {
	defer conn.Close()
	say := func(s string) { fmt.Fprintf(conn, "%s\r\n", s) }
	say("220 relay.example")
	lines := bufio.NewScanner(conn)
	data := false
	for lines.Scan() {
		line := lines.Text()
		o.mu.Lock()
		o.messages.WriteString(line + "\n")
		o.mu.Unlock()
		switch verb := strings.ToUpper(strings.Fields(line + " .")[0]); {
		case data && line == ".":
			data = false
			say("250 taken")
		case data:
		case verb == "EHLO":
			say("250-relay.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func (o *outside) mailed() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.messages.Bytes())
}

var sixDigits = regexp.MustCompile(`(?m)(?:^|\s)(\d{3}\s?\d{3})(?:\s|\.|$)`)

// mailedCode is the code in the mail, "" before it came.
func (o *outside) mailedCode() string {
	_, body, _ := strings.Cut(string(o.mailed()), "\n\n")
	if !strings.Contains(body, "\n.\n") {
		return ""
	}
	m := sixDigits.FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return strings.Join(strings.Fields(m[1]), "")
}

func (o *outside) hookCount() int { return len(o.hookBodies()) }

func (o *outside) hookBodies() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([][]byte(nil), o.events...)
}

func (o *outside) places() []place {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]place(nil), o.received...)
}
