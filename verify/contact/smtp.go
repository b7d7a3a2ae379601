package contact

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
)

// How a connection to the relay is protected.
const (
	StartTLS    = "starttls" // RFC 3207, required: no TLS, no mail
	ImplicitTLS = "implicit" // RFC 8314
	NoTLS       = "none"     // to a relay on loopback only
)

// SMTPConfig says which relay takes the mail. Addr, From and Words are required.
type SMTPConfig struct {
	Addr     string // host:port; the host is the name in its certificate
	TLS      string // StartTLS (also ""), ImplicitTLS or NoTLS
	From     string // address alone
	Username string // "": no authentication
	Password string
	Hello    string         // our name in EHLO; "": the domain of From
	Roots    *x509.CertPool // nil: the system's
	Timeout  time.Duration  // of one whole delivery; 0: 20 s
	Words    *Words
	Clock    muster.Clock // nil: muster.SystemClock
}

// SMTP hands messages to a relay.
type SMTP struct {
	c          SMTPConfig
	host       string
	fromDomain string
}

// NewSMTP makes a sender. It makes no connection.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	fault := func(pointer, code, detail string) error {
		return muster.Invalid(muster.Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil || host == "" {
		return nil, fault("/smtp/addr", "address", "is not host:port")
	}
	c.TLS = cmp.Or(c.TLS, StartTLS)
	switch c.TLS {
	case StartTLS, ImplicitTLS:
	case NoTLS:
		if !loopback(host) {
			return nil, fault("/smtp/tls", "tls_required", "may be none only for a relay on loopback")
		}
	default:
		return nil, fault("/smtp/tls", "unknown_value", "is none of starttls, implicit, none")
	}
	from, err := readAddress(c.From)
	if err != nil {
		return nil, fault("/smtp/from", "email", "is not an e-mail address alone")
	}
	if c.Words == nil {
		return nil, fault("/smtp/words", "required", "the texts of messages are missing")
	}
	c.From = from.String()
	c.Hello = cmp.Or(c.Hello, from.domain)
	if strings.ContainsFunc(c.Hello, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
		return nil, fault("/smtp/hello", "bad_character", "is not a host name")
	}
	if c.Username != "" && c.Password == "" {
		return nil, fault("/smtp/password", "required", "a user name without a password")
	}
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Second
	}
	if c.Clock == nil {
		c.Clock = muster.SystemClock
	}
	return &SMTP{c: c, host: host, fromDomain: from.domain}, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// address is an address that can stand in an envelope and in a header as it is.
type address struct{ local, domain string }

func (a address) String() string { return a.local + "@" + a.domain }

// international reports an address that only a server with SMTPUTF8 (RFC 6531) takes.
func (a address) international() bool {
	return strings.ContainsFunc(a.local, func(r rune) bool { return r >= utf8.RuneSelf })
}

var errAddress = errors.New("not an e-mail address")

// readAddress reads a dot-atom address (RFC 5322, RFC 6531) without display name
// or comment and makes its domain ASCII. Package validate has seen customers'
// addresses before; this is the last door before a header, and trusts nobody.
func readAddress(s string) (address, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 254 || at > 64 || !utf8.ValidString(s) {
		return address{}, errAddress
	}
	local := s[:at]
	for _, r := range local {
		if r <= ' ' || r == 0x7F || isControl(r) || strings.ContainsRune(`()<>[]:;@\,"`, r) {
			return address{}, errAddress
		}
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return address{}, errAddress
	}
	domain, err := idna.Lookup.ToASCII(s[at+1:])
	if err != nil || domain == "" || strings.ContainsFunc(domain, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) {
		return address{}, errAddress
	}
	return address{local, domain}, nil
}

// Send delivers m to the relay. Errors: see Sender.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	if m.Method != Email {
		return muster.Errorf(muster.CodeInvalid, "mail takes e-mail addresses only")
	}
	to, err := readAddress(m.To)
	if err != nil {
		return muster.Errorf(muster.CodeInvalid, "the address cannot take mail")
	}
	if !plain(m.Code) {
		return muster.Errorf(muster.CodeInternal, "a message has a code with characters that none has")
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if ok, _ := c.Extension("SMTPUTF8"); !ok && to.international() {
		return muster.Errorf(muster.CodeInvalid, "the relay takes no internationalised addresses (SMTPUTF8)")
	}
	if err := c.Mail(s.c.From); err != nil {
		return away("the sender", err)
	}
	if err := c.Rcpt(to.String()); err != nil {
		return refused(err)
	}
	w, err := c.Data()
	if err != nil {
		return refused(err)
	}
	if _, err := w.Write(s.compose(to, m)); err != nil {
		return away("the text", err)
	}
	if err := w.Close(); err != nil {
		return refused(err)
	}
	// It has been taken; what becomes of the farewell changes nothing.
	_ = c.Quit()
	return nil
}

func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r < '0' || r > '9'
	})
}

// connect opens a session that is encrypted and authenticated as configured.
func (s *SMTP) connect(ctx context.Context) (*smtp.Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.c.Addr)
	if err != nil {
		return nil, away("the connection", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	// net/smtp knows no context: a cancelled one closes the connection under it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	// Nor does a deadline on the connection hold for who was stopped until past it: the
	// code may be another process's to send by then.
	session, err := s.greet(outbound.Timely(ctx, conn))
	if err != nil {
		stop()
		conn.Close()
		return nil, err
	}
	return session, nil
}

func (s *SMTP) greet(conn net.Conn) (*smtp.Client, error) {
	config := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12, RootCAs: s.c.Roots}
	if s.c.TLS == ImplicitTLS {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, away("the greeting", err)
	}
	if err := c.Hello(s.c.Hello); err != nil {
		return nil, away("EHLO", err)
	}
	if s.c.TLS == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, muster.Errorf(muster.CodeUnavailable, "the mail relay offers no STARTTLS")
		}
		if err := c.StartTLS(config); err != nil {
			return nil, away("STARTTLS", err)
		}
	}
	if s.c.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", s.c.Username, s.c.Password, s.host)); err != nil {
			return nil, away("authentication", err)
		}
	}
	return c, nil
}

// away is a failure that may pass. The server's words and the network's are left
// out but for a reply code: they may repeat the address.
func away(step string, err error) error {
	return muster.Errorf(muster.CodeUnavailable, "the mail relay failed at %s (%s)", step, reply(err))
}

// refused is what the server said about this one message: 5yz is for good
// (RFC 5321 section 4.2.1).
func refused(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 {
		return muster.Errorf(muster.CodeInvalid, "the mail relay refused the message (%s)", reply(err))
	}
	return away("delivery", err)
}

func reply(err error) string {
	var answer *textproto.Error
	var netErr net.Error
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer):
		return fmt.Sprintf("SMTP %d", answer.Code)
	case errors.As(err, &cert):
		return "certificate"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	}
	return "connection"
}

// compose is the mail: RFC 5322, one plain text part.
func (s *SMTP) compose(to address, m Message) []byte {
	subject, body := s.c.Words.Mail(m)
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("Date", s.c.Clock().Format(time.RFC1123Z))
	header("From", (&mail.Address{Name: s.c.Words.provider, Address: s.c.From}).String())
	header("To", "<"+to.String()+">")
	header("Subject", mime.QEncoding.Encode("utf-8", subject))
	// Another for each try: the code is another one too, and a mailbox that keeps
	// only the first of two would keep the one that is void.
	header("Message-ID", "<"+muster.NewID(muster.PrefixMessage, s.c.Clock())+"@"+s.fromDomain+">")
	header("Auto-Submitted", "auto-generated") // RFC 3834: no holiday answers
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	q.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))) // to memory: cannot fail
	q.Close()
	return b.Bytes()
}
