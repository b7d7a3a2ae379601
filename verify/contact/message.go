package contact

import (
	"context"
	"embed"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/text/language"

	"github.com/muster-cip/muster"
)

// Message is a code on its way. It is opened at sending time and dropped after.
type Message struct {
	Method    string // Email or Phone
	To        string // deliverable address, or telephone number as E.164
	Code      string
	Locale    string // BCP 47, "" for English
	Reference string // challenge id: the same when a code is sent again
}

// Format prints a message without address and code, under every verb.
func (m Message) Format(w fmt.State, _ rune) { io.WriteString(w, m.Method+" "+m.Reference) }

// LogValue is what of a message may be logged.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.Method + " " + m.Reference) }

// Sender sends one message. Errors: unavailable where another try may do;
// invalid where it never will (the address is refused, the method is not this
// sender's). It may have been sent although an error comes back.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ByMethod sends each method its own way.
type ByMethod map[string]Sender

// Send hands m to the sender of its method.
func (b ByMethod) Send(ctx context.Context, m Message) error {
	s, ok := b[m.Method]
	if !ok {
		return muster.Errorf(muster.CodeInvalid, "no sender is configured for this method")
	}
	return s.Send(ctx, m)
}

//go:embed words
var wordFiles embed.FS

// words are what is sent in one language, with {provider}, {code} and {minutes}
// to be filled in.
type words struct{ subject, mail, short string }

// Words are the texts of messages, one file a language (folder words): the first
// line is the subject of the mail, the second the text of a short message, the
// rest the mail.
type Words struct {
	provider string
	domain   string
	match    language.Matcher
	texts    []words
}

// NewWords reads the texts. Provider is how the provider calls itself to its
// customers. Domain, where not "", is where the code is to be typed: short messages
// then end in a line by which browsers fill it in there and nowhere else
// (WICG origin-bound one-time codes).
func NewWords(provider, domain string) (*Words, error) {
	provider = strings.TrimSpace(provider)
	if provider == "" || len(provider) > 60 || strings.ContainsFunc(provider, isControl) {
		return nil, muster.Errorf(muster.CodeInvalid, "the provider's name for messages is missing, longer than 60 bytes or has control characters")
	}
	if strings.ContainsFunc(domain, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '#' || r == '@' }) {
		return nil, muster.Errorf(muster.CodeInvalid, "the domain where codes are typed is not a domain name")
	}
	w := &Words{provider: provider, domain: domain}
	// English first: the matcher falls back to it.
	names := []string{"en"}
	entries, err := wordFiles.ReadDir("words")
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the texts of messages cannot be read: %w", err)
	}
	for _, e := range entries {
		if n := strings.TrimSuffix(e.Name(), ".txt"); n != "en" {
			names = append(names, n)
		}
	}
	var tags []language.Tag
	for _, n := range names {
		b, err := wordFiles.ReadFile("words/" + n + ".txt")
		if err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "a text of messages cannot be read: %w", err)
		}
		lines := strings.SplitN(string(b), "\n", 4)
		if len(lines) != 4 {
			return nil, muster.Errorf(muster.CodeInternal, "the texts of messages in %s are not whole", n)
		}
		tags = append(tags, language.Make(n))
		w.texts = append(w.texts, words{subject: lines[0], short: lines[1], mail: lines[3]})
	}
	w.match = language.NewMatcher(tags)
	return w, nil
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 }

// Mail is the mail for m. The subject has no code: it is shown on locked screens.
func (w *Words) Mail(m Message) (subject, body string) {
	t := w.of(m)
	return w.fill(t.subject, m), w.fill(t.mail, m)
}

// Short is the text message for m.
func (w *Words) Short(m Message) string {
	s := w.fill(w.of(m).short, m)
	if w.domain != "" {
		s += "\n\n@" + w.domain + " #" + m.Code
	}
	return s
}

func (w *Words) of(m Message) words {
	tag, err := language.Parse(m.Locale)
	if err != nil {
		return w.texts[0]
	}
	_, i, confidence := w.match.Match(tag)
	if confidence < language.High {
		i = 0
	}
	return w.texts[i]
}

func (w *Words) fill(text string, m Message) string {
	return strings.NewReplacer("{provider}", w.provider, "{code}", m.Code, "{minutes}", fmt.Sprint(int(Lifetime.Minutes()))).Replace(text)
}
