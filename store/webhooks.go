package store

import (
	"context"

	"github.com/muster-cip/muster"
)

func scanWebhook(r row) (*muster.WebhookRecord, error) {
	x := &muster.WebhookRecord{}
	var events string
	if err := r.scan(&x.ID, &x.URL, &events, &x.Secret, &x.Enabled, &x.Made, &x.Version); err != nil {
		return nil, err
	}
	return x, fromJSON(events, &x.Events)
}

// Webhook finds an endpoint.
func (tx *Tx) Webhook(ctx context.Context, id string) (*muster.WebhookRecord, error) {
	return one(ctx, tx, "webhook", scanWebhook, `SELECT id, url, events, secret, enabled, made, version FROM webhooks WHERE id = ?`, id)
}

// Webhooks lists endpoints, in the order of their ids.
func (tx *Tx) Webhooks(ctx context.Context, p muster.Page) ([]*muster.WebhookRecord, error) {
	return all(ctx, tx, scanWebhook, `SELECT id, url, events, secret, enabled, made, version FROM webhooks
		WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutWebhook inserts or updates by version.
func (tx *Tx) PutWebhook(ctx context.Context, r *muster.WebhookRecord) error {
	events, err := toJSON(r.Events, len(r.Events))
	if err != nil {
		return err
	}
	return tx.put(ctx, &r.Version,
		`INSERT INTO webhooks (url, events, secret, enabled, made, version, id) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE webhooks SET url = ?, events = ?, secret = ?, enabled = ?, made = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, r.URL, events, r.Secret, r.Enabled, r.Made)
}

// DeleteWebhook removes an endpoint of that version. CodeStale: it has another, or is gone.
func (tx *Tx) DeleteWebhook(ctx context.Context, id string, version int64) error {
	return tx.exec(ctx, errStale, `DELETE FROM webhooks WHERE id = ? AND version = ?`, id, version)
}

const deliveryColumns = `message, webhook, event, ref, at, attempt, status, error, took, payload`

func scanDelivery(r row) (*muster.DeliveryRecord, error) {
	x := &muster.DeliveryRecord{}
	return x, r.scan(&x.Message, &x.Webhook, &x.Event, &x.Ref, &x.At, &x.Attempt, &x.Status, &x.Error, &x.Took, &x.Payload)
}

// AddDelivery inserts one attempt; the same attempt again is left as it was.
func (tx *Tx) AddDelivery(ctx context.Context, r *muster.DeliveryRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO deliveries (`+deliveryColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.Message, r.Webhook, r.Event, r.Ref, r.At, r.Attempt, r.Status, r.Error, r.Took.Microseconds(), r.Payload)
}

// Deliveries lists a webhook's attempts by message, newest message first, each with
// all its attempts in order. Page.After is a message; Page.Limit counts messages.
func (tx *Tx) Deliveries(ctx context.Context, webhook string, p muster.Page) ([]*muster.DeliveryRecord, error) {
	return all(ctx, tx, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE webhook = ? AND message IN (SELECT DISTINCT message FROM deliveries
			WHERE webhook = ? AND (? = '' OR message < ?) ORDER BY message DESC LIMIT ?)
		ORDER BY message DESC, attempt`, webhook, webhook, p.After, p.After, p.Limit)
}

// Delivered lists the attempts to deliver one message to a webhook, in order.
func (tx *Tx) Delivered(ctx context.Context, webhook, message string) ([]*muster.DeliveryRecord, error) {
	return all(ctx, tx, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE webhook = ? AND message = ? ORDER BY attempt`, webhook, message)
}
