package contact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
)

// GatewayConfig says where messages are posted to: the provider's own service
// that knows how to send text messages or mail. All but Clock are required.
type GatewayConfig struct {
	URL     string
	Secrets []outbound.Secret
	Client  *outbound.Client
	Words   *Words
	Clock   muster.Clock // nil: muster.SystemClock
}

// Gateway posts messages as signed webhooks (Standard Webhooks) of the form
//
//	{"type": "code.send", "timestamp": "2026-01-31T09:15:00Z",
//	 "data": {"method": "contact.phone", "to": "+2348012345678", "code": "123456",
//	          "text": "123456 is your code ...", "locale": "en-NG", "reference": "chl_..."}}
//
// webhook-id is another for each try, for the code is another one too: of two
// messages with one reference the later is good.
type Gateway struct{ c GatewayConfig }

// NewGateway makes a sender. It makes no connection.
func NewGateway(c GatewayConfig) (*Gateway, error) {
	if c.Client == nil || c.Words == nil || len(c.Secrets) == 0 {
		return nil, muster.Invalid(muster.Fault{Pointer: "/gateway", Code: "required", Detail: "a client, texts and a secret are needed"})
	}
	if err := c.Client.CheckURL(c.URL); err != nil {
		return nil, muster.Invalid(muster.Fault{Pointer: "/gateway/url", Code: "url", Detail: "is not https to a public address, and not on the list of exceptions"})
	}
	if c.Clock == nil {
		c.Clock = muster.SystemClock
	}
	return &Gateway{c}, nil
}

type gatewayBody struct {
	Type      string      `json:"type"`
	Timestamp time.Time   `json:"timestamp"`
	Data      gatewayData `json:"data"`
}

type gatewayData struct {
	Method    string `json:"method"`
	To        string `json:"to"`
	Code      string `json:"code"`
	Text      string `json:"text"`
	Subject   string `json:"subject,omitempty"` // of mail
	Locale    string `json:"locale,omitempty"`
	Reference string `json:"reference"`
}

// Send posts m. A 2xx answer means taken; 400, 404, 410 and 422 are for good.
func (g *Gateway) Send(ctx context.Context, m Message) error {
	now := g.c.Clock()
	d := gatewayData{Method: m.Method, To: m.To, Code: m.Code, Locale: m.Locale, Reference: m.Reference}
	switch m.Method {
	case Email:
		d.Subject, d.Text = g.c.Words.Mail(m)
	case Phone:
		d.Text = g.c.Words.Short(m)
	default:
		return muster.Errorf(muster.CodeInvalid, "the gateway takes e-mail addresses and telephone numbers only")
	}
	body, err := json.Marshal(gatewayBody{"code.send", now, d})
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a message cannot be written: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.c.URL, bytes.NewReader(body))
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "the gateway's URL cannot be called")
	}
	req.Header.Set("Content-Type", "application/json")
	outbound.Sign(req.Header, g.c.Secrets, muster.NewID(muster.PrefixMessage, now), now, body)
	res, err := g.c.Client.Do(req)
	if err != nil {
		reason := "connection"
		if errors.Is(err, outbound.ErrAddress) || errors.Is(err, outbound.ErrURL) || errors.Is(err, outbound.ErrRedirect) {
			reason = err.Error()
		}
		return muster.Errorf(muster.CodeUnavailable, "the message gateway cannot be reached (%s)", reason)
	}
	res.Body.Close()
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == 400, res.StatusCode == 404, res.StatusCode == 410, res.StatusCode == 422:
		return muster.Errorf(muster.CodeInvalid, "the message gateway refused the message (HTTP %d)", res.StatusCode)
	}
	return muster.Errorf(muster.CodeUnavailable, "the message gateway failed (HTTP %d)", res.StatusCode)
}
