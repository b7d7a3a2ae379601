package contact

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
)

var sentAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// relay is a small SMTP server: one session a connection, everything kept.
type relay struct {
	addr     string
	roots    *x509.CertPool
	starttls bool
	utf8     bool
	answers  map[string]string // by verb: what to say instead of yes
	got      chan session
	hung     atomic.Bool
}

type session struct {
	tls       bool
	auth      string
	from, to  string
	data      string
	lines     []string
	delivered bool
}

func newRelay(t *testing.T, change func(*relay)) *relay {
	t.Helper()
	// httptest has a certificate for 127.0.0.1, and the pool that trusts it.
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	t.Cleanup(web.Close)
	cert := web.TLS.Certificates[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{addr: l.Addr().String(), starttls: true, utf8: true, got: make(chan session, 8), roots: x509.NewCertPool()}
	r.roots.AddCert(web.Certificate())
	if change != nil {
		change(r)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
	}()
	return r
}

func (r *relay) serve(conn net.Conn, config *tls.Config) {
	defer func() { conn.Close() }()
	var s session
	defer func() { r.got <- s }()
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 relay")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.lines = append(s.lines, line)
		verb, rest, _ := strings.Cut(line, " ")
		if a, ok := r.answers[verb]; ok {
			if a == "hang" {
				r.hung.Store(true)
				io.Copy(io.Discard, in)
				return
			}
			say(a)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-relay")
			if r.starttls && !s.tls {
				say("250-STARTTLS")
			}
			if r.utf8 {
				say("250-SMTPUTF8")
			}
			say("250-AUTH PLAIN")
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			c := tls.Server(conn, config)
			if c.Handshake() != nil {
				return
			}
			conn, in, s.tls = c, bufio.NewReader(c), true
		case "AUTH":
			s.auth = rest
			say("235 yes")
		case "MAIL":
			s.from = rest
			say("250 yes")
		case "RCPT":
			s.to = rest
			say("250 yes")
		case "DATA":
			say("354 go on")
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				s.data += strings.TrimPrefix(l, ".")
			}
			if a, ok := r.answers["."]; ok {
				say(a)
				continue
			}
			s.delivered = true
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func texts(t *testing.T) *Words {
	t.Helper()
	w, err := NewWords("Example Cloud", "cloud.example")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newSender(t *testing.T, r *relay, change func(*SMTPConfig)) *SMTP {
	t.Helper()
	c := SMTPConfig{
		Addr: r.addr, From: "codes@cloud.example", Roots: r.roots, Words: texts(t),
		Clock: func() time.Time { return sentAt }, Timeout: time.Minute,
	}
	if change != nil {
		change(&c)
	}
	s, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var toAda = Message{Method: Email, To: "ada@example.org", Code: "031415", Locale: "en-NG", Reference: "chl_01"}

func TestMailArrivesEncryptedAndWhole(t *testing.T) {
	t.Parallel()
	r := newRelay(t, nil)
	s := newSender(t, r, func(c *SMTPConfig) { c.Username, c.Password = "muster", "secret" })
	if err := s.Send(t.Context(), toAda); err != nil {
		t.Fatal(err)
	}
	got := <-r.got
	if !got.tls || !got.delivered || !strings.HasPrefix(got.from, "FROM:<codes@cloud.example>") || got.to != "TO:<ada@example.org>" {
		t.Fatalf("%+v", got)
	}
	if want := "PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00muster\x00secret")); got.auth != want {
		t.Errorf("auth %q", got.auth)
	}
	for _, l := range got.lines {
		if strings.HasPrefix(l, "AUTH") {
			break
		}
		if strings.HasPrefix(l, "MAIL") {
			t.Error("mail before authentication")
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(got.data))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From": `"Example Cloud" <codes@cloud.example>`, "To": "<ada@example.org>", "Subject": "Your code for Example Cloud",
		"Auto-Submitted": "auto-generated", "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := m.Header.Get("Message-Id"); !strings.HasPrefix(id, "<msg_") || !strings.HasSuffix(id, "@cloud.example>") {
		t.Errorf("Message-ID %q", id)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "\r\n    031415\r\n") || !strings.Contains(string(body), "10 minutes") || strings.Contains(string(body), "{") {
		t.Errorf("body\n%s", body)
	}
}

func TestWordsFollowTheLocale(t *testing.T) {
	t.Parallel()
	w := texts(t)
	for locale, want := range map[string]string{
		"": "Your code", "de-CH": "Ihr Code", "fr": "Votre code", "es-MX": "Su código", "pt-BR": "Seu código", "yo": "Your code", "nonsense!": "Your code",
	} {
		m := toAda
		m.Locale = locale
		subject, body := w.Mail(m)
		if !strings.HasPrefix(subject, want) || !strings.Contains(body, m.Code) || strings.Contains(subject, m.Code) || strings.ContainsAny(subject+body, "{}") {
			t.Errorf("%q: %q\n%s", locale, subject, body)
		}
		short := w.Short(m)
		if !strings.HasPrefix(short, m.Code+" ") || !strings.HasSuffix(short, "\n\n@cloud.example #"+m.Code) {
			t.Errorf("%q: %q", locale, short)
		}
	}
}

func TestInternationalisedAddresses(t *testing.T) {
	t.Parallel()
	m := toAda
	m.To = "ängström@bücher.example"
	r := newRelay(t, nil)
	if err := newSender(t, r, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := <-r.got
	if got.to != "TO:<ängström@xn--bcher-kva.example>" || !strings.HasSuffix(got.from, " SMTPUTF8") || !strings.Contains(got.data, "\r\nTo: <ängström@xn--bcher-kva.example>\r\n") {
		t.Errorf("%+v", got)
	}
	r = newRelay(t, func(r *relay) { r.utf8 = false })
	if err := newSender(t, r, nil).Send(t.Context(), m); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Errorf("without SMTPUTF8: %v", err)
	}
	if got := <-r.got; got.to != "" || got.delivered {
		t.Errorf("without SMTPUTF8: %+v", got)
	}
	m.To = "ada@bücher.example" // needs no SMTPUTF8
	if err := newSender(t, r, nil).Send(t.Context(), m); err != nil {
		t.Error(err)
	}
}

func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	r := newRelay(t, nil)
	s := newSender(t, r, nil)
	for _, to := range []string{
		"a@example.org\r\nBcc: b@example.org", "a@example.org>\r\nRCPT TO:<b@example.org", "a\n@example.org", "a@example.org, b@example.org",
		"<a@example.org>", `"a b"@example.org`, "a@", "@b", "", "a b@example.org", "a\u2028@example.org", "a@exa mple.org", "a@[127.0.0.1]", "a\x80@example.org",
	} {
		m := toAda
		m.To = to
		err := s.Send(t.Context(), m)
		if muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%q: %v", to, err)
		}
		if to != "" && strings.Contains(fmt.Sprint(err), to) {
			t.Errorf("the error repeats %q", to)
		}
	}
	m := toAda
	m.Code = "1\r\n.\r\nQUIT"
	if err := s.Send(t.Context(), m); err == nil {
		t.Error("a code with a line break was sent")
	}
	if len(r.got) != 0 {
		t.Error("the relay was called")
	}
	if _, err := NewWords("Evil\r\nBcc: x@example.org", ""); err == nil {
		t.Error("a provider's name with a line break was taken")
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("ada@example.org")
	f.Add("ä@bücher.example")
	f.Add("a\r\n@example.org")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := readAddress(s)
		if err != nil {
			return
		}
		line := a.String()
		if strings.ContainsAny(line, "\r\n\x00 <>,;:\"()[]\\") || strings.Count(line, "@") != 1 {
			t.Errorf("%q became %q", s, line)
		}
		if again, err := readAddress(line); err != nil || again != a {
			t.Errorf("%q is not read again: %v", line, err)
		}
	})
}

func TestNoTLSNoMail(t *testing.T) {
	t.Parallel()
	r := newRelay(t, func(r *relay) { r.starttls = false })
	if err := newSender(t, r, nil).Send(t.Context(), toAda); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if got := <-r.got; got.from != "" {
		t.Errorf("%+v", got)
	}
	// A certificate that nobody we know vouches for.
	r = newRelay(t, nil)
	if err := newSender(t, r, func(c *SMTPConfig) { c.Roots = x509.NewCertPool() }).Send(t.Context(), toAda); muster.ErrorCode(err) != muster.CodeUnavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if got := <-r.got; got.from != "" {
		t.Errorf("%+v", got)
	}
	r = newRelay(t, nil)
	if err := newSender(t, r, func(c *SMTPConfig) { c.TLS = NoTLS }).Send(t.Context(), toAda); err != nil {
		t.Errorf("a relay on loopback: %v", err)
	}
}

func TestServerSaysNo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		want    muster.Code
	}{
		"no such mailbox":        {map[string]string{"RCPT": "550 5.1.1 no ada@example.org here"}, muster.CodeInvalid},
		"greylisted":             {map[string]string{"RCPT": "451 4.7.1 later, ada@example.org"}, muster.CodeUnavailable},
		"text refused":           {map[string]string{".": "554 ada@example.org wants no codes"}, muster.CodeInvalid},
		"text not now":           {map[string]string{".": "452 full"}, muster.CodeUnavailable},
		"our own address is bad": {map[string]string{"MAIL": "550 who are you"}, muster.CodeUnavailable},
		"out of order":           {map[string]string{"EHLO": "421 away"}, muster.CodeUnavailable},
		"silent":                 {map[string]string{"MAIL": "hang"}, muster.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRelay(t, func(r *relay) { r.answers = c.answers })
			timeout := time.Minute
			if name == "silent" {
				timeout = 200 * time.Millisecond
			}
			for over := false; !over; timeout *= 2 { // on a machine that pauses it may not come as far as the silence
				s := newSender(t, r, func(c *SMTPConfig) { c.Timeout = timeout })
				err := s.Send(t.Context(), toAda)
				if muster.ErrorCode(err) != c.want {
					t.Fatalf("got %v", err)
				}
				if strings.Contains(err.Error(), "ada") || strings.Contains(err.Error(), toAda.Code) {
					t.Errorf("the error tells: %v", err)
				}
				over = name != "silent" || r.hung.Load()
			}
			if got := <-r.got; got.delivered {
				t.Error("delivered")
			}
		})
	}
}

func TestAFailedFarewellIsNoFailure(t *testing.T) {
	t.Parallel()
	r := newRelay(t, func(r *relay) { r.answers = map[string]string{"QUIT": "421 gone"} })
	if err := newSender(t, r, nil).Send(t.Context(), toAda); err != nil {
		t.Fatal(err)
	}
}

func TestACancelledSendEnds(t *testing.T) {
	t.Parallel()
	r := newRelay(t, func(r *relay) { r.answers = map[string]string{"MAIL": "hang"} })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newSender(t, r, nil).Send(ctx, toAda) }()
	cancel()
	if err := <-done; muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestRelayConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := SMTPConfig{Addr: "mail.example.org:587", From: "codes@cloud.example", Words: texts(t)}
	for name, change := range map[string]func(*SMTPConfig){
		"no TLS to elsewhere":   func(c *SMTPConfig) { c.TLS = NoTLS },
		"a TLS that is not":     func(c *SMTPConfig) { c.TLS = "maybe" },
		"no port":               func(c *SMTPConfig) { c.Addr = "mail.example.org" },
		"sender with a name":    func(c *SMTPConfig) { c.From = "Codes <codes@cloud.example>" },
		"user without password": func(c *SMTPConfig) { c.Username = "x" },
		"no texts":              func(c *SMTPConfig) { c.Words = nil },
	} {
		c := good
		change(&c)
		if _, err := NewSMTP(c); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSMTP(good); err != nil {
		t.Error(err)
	}
}

func TestGatewayGetsASignedMessageOnce(t *testing.T) {
	t.Parallel()
	secret := outbound.NewSecret()
	type call struct {
		header http.Header
		body   []byte
	}
	calls := make(chan call, 8)
	status := http.StatusAccepted
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- call{r.Header, body}
		w.WriteHeader(status)
	}))
	t.Cleanup(web.Close)
	client, err := outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(web.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGateway(GatewayConfig{URL: web.URL + "/sms", Secrets: []outbound.Secret{secret}, Client: client, Words: texts(t), Clock: func() time.Time { return sentAt }})
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Method: Phone, To: "+2348012345678", Code: "271828", Locale: "en", Reference: "chl_02"}
	if err := g.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := <-calls
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Text(), "whsec_"))
	mac := hmac.New(sha256.New, key)
	id := got.header.Get("webhook-id")
	fmt.Fprintf(mac, "%s.%d.%s", id, sentAt.Unix(), got.body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("webhook-signature") != want || !strings.HasPrefix(id, "msg_") {
		t.Errorf("headers %v", got.header)
	}
	var body struct {
		Type string
		Data map[string]string
	}
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "code.send" || body.Data["to"] != m.To || body.Data["code"] != m.Code || body.Data["text"] != texts(t).Short(m) || body.Data["reference"] != "chl_02" {
		t.Errorf("body %s", got.body)
	}
	for answer, want := range map[int]muster.Code{204: "", 422: muster.CodeInvalid, 429: muster.CodeUnavailable, 500: muster.CodeUnavailable, 302: muster.CodeUnavailable} {
		status = answer
		if err := g.Send(t.Context(), m); muster.ErrorCode(err) != want {
			t.Errorf("HTTP %d: %v", answer, err)
		}
		<-calls
	}
	if _, err := NewGateway(GatewayConfig{URL: "http://gateway.example.org/", Secrets: []outbound.Secret{secret}, Client: client, Words: texts(t)}); err == nil {
		t.Error("a gateway without TLS was taken")
	}
}

func TestCodesInAFileAreForSandboxes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "codes.ndjson")
	if _, err := NewFile(path, muster.ModeProduction); muster.ErrorCode(err) != muster.CodeForbidden {
		t.Errorf("production: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("production made the file")
	}
	for range 2 {
		f, err := NewFile(path, muster.ModeSandbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := (ByMethod{Email: f}).Send(t.Context(), toAda); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"method":"contact.email","to":"ada@example.org","code":"031415","reference":"chl_01"}` + "\n"
	if string(b) != line+line {
		t.Errorf("%s", b)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFile(path, muster.ModeSandbox); muster.ErrorCode(err) != muster.CodeForbidden {
		t.Errorf("a file that all can read: %v", err)
	}
	if err := (ByMethod{}).Send(t.Context(), toAda); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Errorf("no sender: %v", err)
	}
}

func TestAMessagePrintsWithoutValues(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	untimed := func(_ []string, a slog.Attr) slog.Attr { // digits of a second spell the code once in a while
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: untimed}))
	log.Info("sending", "message", toAda)
	fmt.Fprintf(&b, "%v %+v %#v %s %q", toAda, toAda, toAda, toAda, &toAda)
	if s := b.String(); strings.Contains(s, "ada") || strings.Contains(s, toAda.Code) || !strings.Contains(s, "chl_01") {
		t.Error(s)
	}
}
