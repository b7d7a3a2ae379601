package watch

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
)

const (
	// maxMessage bounds a message (Standard Webhooks, "Payload size").
	maxMessage = 20_000
	// callTime is how long a receiver has, where the Outbox does not say.
	callTime = 10 * time.Second
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 24 * time.Hour
	// HeaderAttempt counts the attempts to deliver one message, from 1.
	HeaderAttempt = "muster-attempt"
)

// schedule is how long to wait after each failed attempt: two days in all.
var schedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// Secrets seals and opens the secrets of webhooks (*vault.Vault).
type Secrets interface {
	SealWebhookSecret(id string, secret []byte) []byte
	OpenWebhookSecret(id string, sealed []byte) ([]byte, error)
}

// Outbox publishes events and delivers them.
type Outbox struct {
	DB      DB
	Secrets Secrets
	Client  *outbound.Client
	Clock   muster.Clock

	// Call is how long a receiver has. A call is not begun with less left of the try.
	// 0: 10 s.
	Call time.Duration
}

func (o *Outbox) call() time.Duration { return cmp.Or(o.Call, callTime) }

// outgoing is the payload of JobWebhook.
type outgoing struct {
	Event muster.Event `json:"event"`
	About string       `json:"about,omitempty"` // the job's that published it: id of what it is about
	Base  int          `json:"base,omitempty"`  // attempts before this round: of a message that is replayed
}

// job names message, endpoint and round.
func (o outgoing) job(webhook string) string {
	return o.Event.ID + "." + webhook + "." + strconv.Itoa(o.Base)
}

// Publish is the duty of JobPublish: one job for each endpoint that wants the
// event, made in the transaction that ends this one, so that each gets it and
// none gets a job twice.
func (o *Outbox) Publish(ctx context.Context, job *muster.Job) Verdict {
	var e muster.Event
	if err := json.Unmarshal(job.Payload, &e); err != nil || e.ID == "" {
		return Dead(string(muster.CodeMalformed))
	}
	v := Done("")
	v.With = func(ctx context.Context, tx Tx) error {
		var jobs []*muster.Job
		for page := (muster.Page{Limit: 100}); ; {
			hooks, err := tx.Webhooks(ctx, page)
			if err != nil {
				return err
			}
			for _, w := range hooks {
				if !w.Enabled || len(w.Events) > 0 && !slices.Contains(w.Events, e.Type) {
					continue
				}
				j, err := deliveryJob(w.ID, outgoing{Event: e, About: job.Ref})
				if err != nil {
					return err
				}
				jobs = append(jobs, j)
			}
			if len(hooks) < page.Limit {
				break
			}
			page.After = hooks[len(hooks)-1].ID
		}
		return tx.Enqueue(ctx, jobs...)
	}
	return v
}

// deliveryJob is a round of attempts. Its id cannot be there twice.
func deliveryJob(webhook string, out outgoing) (*muster.Job, error) {
	payload, err := json.Marshal(out)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a delivery cannot be written: %w", err)
	}
	return &muster.Job{
		ID: out.job(webhook), Kind: muster.JobWebhook, Ref: webhook, Payload: payload, Attempts: out.Base,
	}, nil
}

// body is a message on the wire (Standard Webhooks, "Payload structure").
type body struct {
	Type      string           `json:"type"`
	Timestamp time.Time        `json:"timestamp"`
	Data      muster.EventData `json:"data"`
}

// Deliver is the duty of JobWebhook: one attempt.
func (o *Outbox) Deliver(ctx context.Context, job *muster.Job) Verdict {
	var out outgoing
	if err := json.Unmarshal(job.Payload, &out); err != nil || out.Event.ID == "" {
		return Dead(string(muster.CodeMalformed))
	}
	var w *muster.WebhookRecord
	err := o.DB.View(ctx, func(tx Tx) (err error) {
		w, err = tx.Webhook(ctx, job.Ref)
		return err
	})
	switch {
	case muster.ErrorCode(err) == muster.CodeNotFound:
		return Done("removed")
	case err != nil:
		return Again(string(muster.ErrorCode(err)), 0)
	case !w.Enabled:
		return Done("disabled")
	}
	plain, err := o.Secrets.OpenWebhookSecret(w.ID, w.Secret)
	if err != nil {
		return Again(string(muster.ErrorCode(err)), 0)
	}
	secrets, err := outbound.ParseSecrets(string(plain))
	clear(plain)
	if err != nil {
		return Dead("secret")
	}
	if !enough(ctx, o.call()) {
		return Again("late", 0)
	}
	round := job.Attempts - out.Base // from 1
	a := o.attempt(ctx, w, out.Event, job.Attempts, secrets)
	v := a.verdict(round, o.Clock())
	record := &muster.DeliveryRecord{
		Message: out.Event.ID, Webhook: w.ID, Event: out.Event.Type, Ref: out.About, At: a.at, Attempt: job.Attempts,
		Status: a.status, Error: a.code, Took: a.took, Payload: job.Payload,
	}
	v.Note = func(ctx context.Context, tx Tx) error { return tx.AddDelivery(ctx, record) }
	if a.status == http.StatusGone {
		v.With = func(ctx context.Context, tx Tx) error { return switchOff(ctx, tx, w.ID, w.URL) }
	}
	return v
}

// switchOff disables an endpoint that said it is gone, unless it was moved since.
func switchOff(ctx context.Context, tx Tx, id, url string) error {
	w, err := tx.Webhook(ctx, id)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil
	}
	if err != nil || w.URL != url || !w.Enabled {
		return err
	}
	w.Enabled = false
	return tx.PutWebhook(ctx, w)
}

// attempt is what became of one call.
type attempt struct {
	at     time.Time
	took   time.Duration
	status int           // 0: no answer
	code   string        // "" for one that arrived
	wait   time.Duration // that the receiver asked for
}

// attempt calls the endpoint once. An answer's body is not read: it tells us
// nothing that we would believe.
func (o *Outbox) attempt(ctx context.Context, w *muster.WebhookRecord, e muster.Event, n int, secrets []outbound.Secret) (a attempt) {
	a.at = o.Clock()
	start := time.Now()
	defer func() { a.took = time.Since(start) }()
	message, err := json.Marshal(body{e.Type, e.At, e.Data})
	if err != nil || len(message) > maxMessage {
		a.code = "too_large"
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, o.call())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(message))
	if err != nil {
		a.code = "url"
		return a
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(HeaderAttempt, strconv.Itoa(n))
	outbound.Sign(req.Header, secrets, e.ID, a.at, message)
	res, err := o.Client.Do(req)
	if err != nil {
		a.code = reason(err)
		return a
	}
	res.Body.Close()
	a.status = res.StatusCode
	if a.status < 200 || a.status > 299 {
		a.code = "http_" + strconv.Itoa(a.status)
		a.wait = retryAfter(res.Header.Get("Retry-After"), a.at)
	}
	return a
}

// verdict says how a delivery goes on after its nth attempt of this round.
func (a attempt) verdict(n int, now time.Time) Verdict {
	switch {
	case a.code == "":
		return Done("")
	case a.status == http.StatusGone:
		return Done("gone")
	case over(n, a.code):
		return Dead(a.code)
	}
	return Again(a.code, jitter(max(schedule[max(n, 1)-1], a.wait), 0.1))
}

// over reports a round whose nth attempt, failing with code, was its last.
func over(n int, code string) bool { return n > len(schedule) || code == "too_large" }

// reason is the closed set of ways in which no answer came.
func reason(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var network net.Error
	switch {
	case errors.Is(err, outbound.ErrAddress):
		return "address"
	case errors.Is(err, outbound.ErrURL):
		return "url"
	case errors.Is(err, outbound.ErrRedirect):
		return "redirect"
	case errors.Is(err, outbound.ErrLate):
		return "late"
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return "tls"
	case errors.As(err, &dns):
		return "name"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	}
	return "connection"
}

// retryAfter reads the header of that name (RFC 9110 section 10.2.3): seconds, or
// a date. What is no such thing, or in the past, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), maxRetryAfter)
}
