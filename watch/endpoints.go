package watch

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/tlog"
)

const (
	maxEvents    = 50
	maxEndpoints = 100
)

var eventType = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,3}$`)

// Entries write to the record (*journal.Journal).
type Entries interface {
	Enter(ctx context.Context, tx journal.Tx, t tlog.LeafType, by string, about muster.Ref, body any) (*muster.EntryRecord, error)
}

// Endpoints are what staff do with webhooks. Where events go is part of the
// record: each change, replay and test has an entry.
type Endpoints struct {
	DB      DB
	Secrets Secrets
	Client  *outbound.Client // whose rules a URL has to meet
	Entries Entries
}

// change is the body of an entry. It has no URL: one may hold a secret.
type change struct {
	What    string `json:"what"`
	Version int64  `json:"version,omitempty"`
	Message string `json:"message,omitempty"`
}

func (e *Endpoints) enter(ctx context.Context, tx Tx, by, id string, c change) error {
	_, err := e.Entries.Enter(ctx, tx, tlog.Delivery, by, muster.Ref{Kind: "webhook", ID: id}, c)
	return err
}

// AddWebhook keeps URL, Events and Enabled of w and returns its secret, which
// nobody sees again. Errors: invalid, with pointers into w; conflict where there
// are too many.
func (e *Endpoints) AddWebhook(ctx context.Context, by string, w muster.WebhookRecord) (*muster.WebhookRecord, string, error) {
	if err := e.check(w); err != nil {
		return nil, "", err
	}
	secret := outbound.NewSecret()
	var r *muster.WebhookRecord
	err := e.DB.InTx(ctx, func(tx Tx) error {
		all, err := tx.Webhooks(ctx, muster.Page{Limit: maxEndpoints})
		if err != nil {
			return err
		}
		if len(all) >= maxEndpoints {
			return muster.Errorf(muster.CodeConflict, "there are %d webhooks already", maxEndpoints)
		}
		r = &muster.WebhookRecord{
			ID: muster.NewID(muster.PrefixWebhook, tx.Now()), URL: w.URL, Events: w.Events, Enabled: w.Enabled, Made: tx.Now(),
		}
		r.Secret = e.Secrets.SealWebhookSecret(r.ID, []byte(secret.Text()))
		if err := tx.PutWebhook(ctx, r); err != nil {
			return err
		}
		return e.enter(ctx, tx, by, r.ID, change{What: "added", Version: r.Version})
	})
	if err != nil {
		return nil, "", err
	}
	return r, secret.Text(), nil
}

// ChangeWebhook replaces URL, Events and Enabled of the webhook w.ID. Errors:
// invalid, not_found, stale where w.Version is not the latest.
func (e *Endpoints) ChangeWebhook(ctx context.Context, by string, w muster.WebhookRecord) (*muster.WebhookRecord, error) {
	if err := e.check(w); err != nil {
		return nil, err
	}
	return e.change(ctx, by, w.ID, w.Version, "changed", func(r *muster.WebhookRecord) error {
		r.URL, r.Events, r.Enabled = w.URL, w.Events, w.Enabled
		return nil
	})
}

// RotateSecret makes a new secret for a webhook and returns it. The one before
// signs too until the next rotation, so that a receiver can change over.
func (e *Endpoints) RotateSecret(ctx context.Context, by, id string, version int64) (r *muster.WebhookRecord, secret string, err error) {
	fresh := outbound.NewSecret()
	r, err = e.change(ctx, by, id, version, "secret rotated", func(r *muster.WebhookRecord) error {
		plain, err := e.Secrets.OpenWebhookSecret(r.ID, r.Secret)
		if err != nil {
			return err
		}
		old, err := outbound.ParseSecrets(string(plain))
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a webhook's secret cannot be read: %w", err)
		}
		r.Secret = e.Secrets.SealWebhookSecret(r.ID, []byte(outbound.FormatSecrets([]outbound.Secret{fresh, old[0]})))
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return r, fresh.Text(), nil
}

func (e *Endpoints) change(ctx context.Context, by, id string, version int64, what string, do func(*muster.WebhookRecord) error) (r *muster.WebhookRecord, err error) {
	err = e.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Webhook(ctx, id); err != nil {
			return err
		}
		if r.Version != version {
			return muster.Errorf(muster.CodeStale, "the webhook has been changed since")
		}
		if err := do(r); err != nil {
			return err
		}
		if err := tx.PutWebhook(ctx, r); err != nil {
			return err
		}
		return e.enter(ctx, tx, by, id, change{What: what, Version: r.Version})
	})
	return r, err
}

// RemoveWebhook ends an endpoint; what is on its way to it is dropped.
func (e *Endpoints) RemoveWebhook(ctx context.Context, by, id string, version int64) error {
	return e.DB.InTx(ctx, func(tx Tx) error {
		if _, err := tx.Webhook(ctx, id); err != nil {
			return err
		}
		if err := tx.DeleteWebhook(ctx, id, version); err != nil {
			return err
		}
		return e.enter(ctx, tx, by, id, change{What: "removed"})
	})
}

// check holds an endpoint against what can be called.
func (e *Endpoints) check(w muster.WebhookRecord) error {
	var faults []muster.Fault
	if err := e.Client.CheckURL(w.URL); err != nil {
		faults = append(faults, muster.Fault{Pointer: "/url", Code: "url", Detail: "is not https to a public host without user, password and fragment, and not on the list of exceptions"})
	}
	if len(w.Events) > maxEvents {
		faults = append(faults, muster.Fault{Pointer: "/events", Code: "too_many", Detail: "has more than " + strconv.Itoa(maxEvents) + " types"})
	} else {
		for i, t := range w.Events {
			if len(t) > 64 || !eventType.MatchString(t) {
				faults = append(faults, muster.Fault{Pointer: "/events/" + strconv.Itoa(i), Code: "unknown_value", Detail: "is no type of event such as application.decided"})
			}
		}
	}
	if faults != nil {
		return muster.Invalid(faults...)
	}
	return nil
}

// Replay delivers a message again to one endpoint, under its id and as it was,
// whatever became of it before. Errors: not_found; conflict where the endpoint is
// disabled, or the message is on its way already; gone where what it said was not kept.
func (e *Endpoints) Replay(ctx context.Context, by, webhook, message string) error {
	return e.DB.InTx(ctx, func(tx Tx) error {
		if err := mustBeEnabled(ctx, tx, webhook); err != nil {
			return err
		}
		before, err := tx.Delivered(ctx, webhook, message)
		if err != nil {
			return err
		}
		if len(before) == 0 {
			return muster.Errorf(muster.CodeNotFound, "no such message was sent to this webhook")
		}
		last := before[len(before)-1]
		var out outgoing
		if err := json.Unmarshal(last.Payload, &out); err != nil || out.Event.ID != message {
			return muster.Errorf(muster.CodeGone, "what this message said was not kept")
		}
		// The round that it was sent in may still go on, or the next have begun.
		rounds := []string{out.job(webhook)}
		if over(last.Attempt-out.Base, last.Error) {
			rounds = nil // set aside, and there for good
		}
		out.Base = last.Attempt
		for _, id := range append(rounds, out.job(webhook)) {
			switch _, err := tx.JobByID(ctx, id); muster.ErrorCode(err) {
			case "":
				return muster.Errorf(muster.CodeConflict, "this message is on its way to the webhook already")
			case muster.CodeNotFound:
			default:
				return err
			}
		}
		job, err := deliveryJob(webhook, out)
		if err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, job); err != nil {
			return err
		}
		return e.enter(ctx, tx, by, webhook, change{What: "replayed", Message: message})
	})
}

// Test sends a test event to one endpoint and returns the message's id.
func (e *Endpoints) Test(ctx context.Context, by, webhook string) (message string, err error) {
	err = e.DB.InTx(ctx, func(tx Tx) error {
		if err := mustBeEnabled(ctx, tx, webhook); err != nil {
			return err
		}
		message = muster.NewID(muster.PrefixMessage, tx.Now())
		job, err := deliveryJob(webhook, outgoing{
			Event: muster.Event{ID: message, Type: muster.EventTest, At: tx.Now()}, About: webhook,
		})
		if err != nil {
			return err
		}
		if err := tx.Enqueue(ctx, job); err != nil {
			return err
		}
		return e.enter(ctx, tx, by, webhook, change{What: "tested", Message: message})
	})
	return message, err
}

func mustBeEnabled(ctx context.Context, tx Tx, webhook string) error {
	w, err := tx.Webhook(ctx, webhook)
	if err == nil && !w.Enabled {
		err = &muster.Error{Code: muster.CodeConflict, Message: "the webhook is disabled", Hint: "enable it first"}
	}
	return err
}

// ListDeliveries are the attempts to deliver to a webhook, newest message first
// and each message's in order, after the one that page.After names
// ("<message>.<attempt>"); at most page.Limit of them.
func (e *Endpoints) ListDeliveries(ctx context.Context, webhook string, page muster.Page) ([]*muster.DeliveryRecord, error) {
	var rows []*muster.DeliveryRecord
	err := e.DB.View(ctx, func(tx Tx) error {
		if _, err := tx.Webhook(ctx, webhook); err != nil {
			return err
		}
		message, number, _ := strings.Cut(page.After, ".")
		rows = nil
		if message != "" {
			after, err := strconv.Atoi(number)
			if err != nil {
				return muster.Invalid(muster.Fault{Pointer: "/after", Code: "cursor", Detail: "is none of this list"})
			}
			same, err := tx.Delivered(ctx, webhook, message)
			if err != nil {
				return err
			}
			for _, r := range same {
				if r.Attempt > after {
					rows = append(rows, r)
				}
			}
		}
		if len(rows) < page.Limit {
			rest, err := tx.Deliveries(ctx, webhook, muster.Page{After: message, Limit: page.Limit - len(rows)})
			if err != nil {
				return err
			}
			rows = append(rows, rest...)
		}
		rows = rows[:min(len(rows), page.Limit)]
		return nil
	})
	return rows, err
}
