package api

import (
	"context"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
)

// Webhooks keeps the endpoints that events go to (package watch). by is an operator id.
type Webhooks interface {
	// AddWebhook keeps URL, Events and Enabled of w, and returns the secret, which nobody sees again.
	AddWebhook(ctx context.Context, by string, w muster.WebhookRecord) (r *muster.WebhookRecord, secret string, err error)
	// ChangeWebhook replaces URL, Events and Enabled of the webhook w.ID of version w.Version.
	ChangeWebhook(ctx context.Context, by string, w muster.WebhookRecord) (*muster.WebhookRecord, error)
	RemoveWebhook(ctx context.Context, by, id string, version int64) error
	// RotateSecret makes a new secret; the one before signs too until the next rotation.
	RotateSecret(ctx context.Context, by, id string, version int64) (r *muster.WebhookRecord, secret string, err error)
}

// WebhookList reads them (store.DB). Secrets may be left out.
type WebhookList interface {
	ListWebhooks(ctx context.Context, page muster.Page) ([]*muster.WebhookRecord, error)
	Webhook(ctx context.Context, id string) (*muster.WebhookRecord, error)
}

// Deliveries is what became of events (package watch).
type Deliveries interface {
	// ListDeliveries are a webhook's attempts, newest message first and each message's
	// in order, after the one that page.After names ("<message>.<attempt>").
	ListDeliveries(ctx context.Context, webhook string, page muster.Page) ([]*muster.DeliveryRecord, error)
	// Replay delivers a message again under its id.
	Replay(ctx context.Context, by, webhook, message string) error
	// Test sends a test event and returns the message's id.
	Test(ctx context.Context, by, webhook string) (message string, err error)
}

// Webhook is an endpoint on the wire.
type Webhook struct {
	Webhook string    `json:"webhook"`
	URL     string    `json:"url"`
	Events  []string  `json:"events" nullable:"false" doc:"empty: all"`
	Enabled bool      `json:"enabled"`
	Made    time.Time `json:"made"`
	Version int64     `json:"version" doc:"the ETag, for If-Match"`
	Secret  string    `json:"secret,omitempty" doc:"whsec_...; in the answer to the request that made it, and never again"`
}

func webhookOf(r *muster.WebhookRecord) Webhook {
	return Webhook{Webhook: r.ID, URL: r.URL, Events: listed(r.Events), Enabled: r.Enabled, Made: r.Made, Version: r.Version}
}

type webhookOutput struct {
	ETag string `header:"ETag"`
	Body Webhook
}

func (a *API) listWebhooks(ctx context.Context, in *Paging) (*listOutput[Webhook], error) {
	rows, err := a.WebhookList.ListWebhooks(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return list(in, rows, webhookOf, func(r *muster.WebhookRecord) string { return r.ID }), nil
}

// WebhookPath names an endpoint in a path.
type WebhookPath struct {
	Webhook string `path:"webhook" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

func (a *API) getWebhook(ctx context.Context, in *WebhookPath) (*webhookOutput, error) {
	r, err := a.WebhookList.Webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	return &webhookOutput{etag(r.Version), webhookOf(r)}, nil
}

type addWebhookInput struct {
	Body struct {
		URL    string   `json:"url" maxLength:"2000" doc:"https"`
		Events []string `json:"events,omitempty" maxItems:"50" nullable:"false" doc:"absent: all"`
	}
}

func (a *API) addWebhook(ctx context.Context, in *addWebhookInput) (*webhookOutput, error) {
	r, secret, err := a.Webhooks.AddWebhook(ctx, callOf(ctx).by.Operator,
		muster.WebhookRecord{URL: in.Body.URL, Events: in.Body.Events, Enabled: true})
	if err != nil {
		return nil, err
	}
	out := &webhookOutput{etag(r.Version), webhookOf(r)}
	out.Body.Secret = secret
	return out, nil
}

type changeWebhookInput struct {
	WebhookPath
	Match
	Body struct {
		URL     *string   `json:"url,omitempty" maxLength:"2000"`
		Events  *[]string `json:"events,omitempty" maxItems:"50" nullable:"false" doc:"empty: all"`
		Enabled *bool     `json:"enabled,omitempty"`
	}
}

func (a *API) changeWebhook(ctx context.Context, in *changeWebhookInput) (*webhookOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, err := a.WebhookList.Webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	w := muster.WebhookRecord{ID: r.ID, URL: r.URL, Events: r.Events, Enabled: r.Enabled, Version: v}
	if in.Body.URL != nil {
		w.URL = *in.Body.URL
	}
	if in.Body.Events != nil {
		w.Events = *in.Body.Events
	}
	if in.Body.Enabled != nil {
		w.Enabled = *in.Body.Enabled
	}
	// What was read may be older or newer than v: the service refuses v where it is not the latest.
	if r, err = a.Webhooks.ChangeWebhook(ctx, callOf(ctx).by.Operator, w); err != nil {
		return nil, err
	}
	return &webhookOutput{etag(r.Version), webhookOf(r)}, nil
}

type webhookEditInput struct {
	WebhookPath
	Match
}

func (a *API) removeWebhook(ctx context.Context, in *webhookEditInput) (*struct{}, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return nil, a.Webhooks.RemoveWebhook(ctx, callOf(ctx).by.Operator, in.Webhook, v)
}

func (a *API) rotateSecret(ctx context.Context, in *webhookEditInput) (*webhookOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	r, secret, err := a.Webhooks.RotateSecret(ctx, callOf(ctx).by.Operator, in.Webhook, v)
	if err != nil {
		return nil, err
	}
	out := &webhookOutput{etag(r.Version), webhookOf(r)}
	out.Body.Secret = secret
	return out, nil
}

// Delivery is one attempt to deliver.
type Delivery struct {
	Message string    `json:"message" doc:"webhook-id: the same over retries"`
	Event   string    `json:"event"`
	Ref     string    `json:"ref" doc:"id of what it is about"`
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Status  int       `json:"status" doc:"HTTP status, 0 where none came"`
	Error   string    `json:"error,omitempty" doc:"a code"`
	Millis  int64     `json:"ms" doc:"how long it took"`
}

func deliveryOf(r *muster.DeliveryRecord) Delivery {
	return Delivery{r.Message, r.Event, r.Ref, r.At, r.Attempt, r.Status, r.Error, r.Took.Milliseconds()}
}

type listDeliveriesInput struct {
	WebhookPath
	Paging
}

func (a *API) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*listOutput[Delivery], error) {
	rows, err := a.Deliveries.ListDeliveries(ctx, in.Webhook, in.page())
	if err != nil {
		return nil, err
	}
	key := func(r *muster.DeliveryRecord) string { return r.Message + "." + strconv.Itoa(r.Attempt) }
	return list(&in.Paging, rows, deliveryOf, key), nil
}

type replayInput struct {
	WebhookPath
	Body struct {
		Message string `json:"message" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"from the list of deliveries"`
	}
}

// Queued is a message that is on its way.
type Queued struct {
	Message string `json:"message"`
}

type queuedOutput struct{ Body Queued }

func (a *API) replayDelivery(ctx context.Context, in *replayInput) (*queuedOutput, error) {
	if err := a.Deliveries.Replay(ctx, callOf(ctx).by.Operator, in.Webhook, in.Body.Message); err != nil {
		return nil, err
	}
	return &queuedOutput{Queued{in.Body.Message}}, nil
}

func (a *API) testWebhook(ctx context.Context, in *WebhookPath) (*queuedOutput, error) {
	message, err := a.Deliveries.Test(ctx, callOf(ctx).by.Operator, in.Webhook)
	if err != nil {
		return nil, err
	}
	return &queuedOutput{Queued{message}}, nil
}
