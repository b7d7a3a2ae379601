package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/store"
)

// view runs one read in a snapshot of its own.
func view[T any](ctx context.Context, db *store.DB, fn func(*store.Tx) (T, error)) (out T, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		out, err = fn(tx)
		return err
	})
	return out, err
}

// reads is the store as rooms read it outside a transaction: each verb is one snapshot.
type reads struct{ db *store.DB }

func (r *reads) Activations(ctx context.Context) ([]muster.ActivationRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]muster.ActivationRecord, error) { return tx.Activations(ctx) })
}

func (r *reads) Pack(ctx context.Context, digest string) (*muster.PackRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.PackRecord, error) { return tx.Pack(ctx, digest) })
}

func (r *reads) ListPacks(ctx context.Context, page muster.Page) ([]*muster.PackRecord, error) {
	rows, err := view(ctx, r.db, func(tx *store.Tx) ([]*muster.PackRecord, error) { return tx.Packs(ctx) })
	return after(rows, page, func(x *muster.PackRecord) string { return x.Digest }), err
}

// after pages a list that is short enough to be read whole, in the order of its keys.
func after[T any](rows []*T, page muster.Page, key func(*T) string) (out []*T) {
	for _, x := range rows {
		if key(x) > page.After && len(out) < page.Limit {
			out = append(out, x)
		}
	}
	return out
}

func (r *reads) ListApplications(ctx context.Context, state string, page muster.Page) ([]*muster.ApplicationRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.ApplicationRecord, error) { return tx.Applications(ctx, state, page) })
}

func (r *reads) ListCustomers(ctx context.Context, page muster.Page) ([]*muster.CustomerRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.CustomerRecord, error) { return tx.Customers(ctx, page) })
}

func (r *reads) Customer(ctx context.Context, id string) (*muster.CustomerRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.CustomerRecord, error) { return tx.Customer(ctx, id) })
}

func (r *reads) AccountsOf(ctx context.Context, customer string) ([]*muster.AccountRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.AccountRecord, error) { return tx.AccountsOf(ctx, customer) })
}

func (r *reads) Account(ctx context.Context, idOrReference string) (*muster.AccountRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, idOrReference) })
}

func (r *reads) ListDecisions(ctx context.Context, application string, page muster.Page) ([]*muster.DecisionRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.DecisionRecord, error) {
		app, err := tx.Application(ctx, application)
		if err != nil {
			return nil, err
		}
		return tx.DecisionsOf(ctx, app.Customer, app.ID, page)
	})
}

func (r *reads) DecisionsSince(ctx context.Context, t time.Time, page muster.Page) ([]*muster.DecisionRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.DecisionRecord, error) { return tx.DecisionsSince(ctx, t, page) })
}

func (r *reads) ListReviews(ctx context.Context, state string, page muster.Page) ([]*muster.ReviewRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.ReviewRecord, error) { return tx.Reviews(ctx, state, page) })
}

func (r *reads) Review(ctx context.Context, id string) (*muster.ReviewRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.ReviewRecord, error) { return tx.Review(ctx, id) })
}

func (r *reads) ListHits(ctx context.Context, state string, page muster.Page) ([]*muster.HitRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.HitRecord, error) { return tx.Hits(ctx, state, page) })
}

func (r *reads) HitsOf(ctx context.Context, customer string) ([]*muster.HitRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.HitRecord, error) { return tx.HitsOf(ctx, customer) })
}

func (r *reads) Hit(ctx context.Context, id string) (*muster.HitRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.HitRecord, error) { return tx.Hit(ctx, id) })
}

func (r *reads) ListSweeps(ctx context.Context, page muster.Page) ([]*muster.SweepRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.SweepRecord, error) { return tx.Sweeps(ctx, page) })
}

func (r *reads) Sweep(ctx context.Context, id string) (*muster.SweepRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.SweepRecord, error) { return tx.Sweep(ctx, id) })
}

func (r *reads) Operators(ctx context.Context) ([]muster.OperatorRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]muster.OperatorRecord, error) { return tx.Operators(ctx) })
}

func (r *reads) ListTokens(ctx context.Context, operator string, page muster.Page) ([]*muster.TokenRecord, error) {
	rows, err := view(ctx, r.db, func(tx *store.Tx) ([]*muster.TokenRecord, error) { return tx.Tokens(ctx, operator) })
	return after(rows, page, func(x *muster.TokenRecord) string { return x.ID }), err
}

func (r *reads) TokenByMAC(ctx context.Context, mac []byte) (t *muster.TokenRecord, o *muster.OperatorRecord, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		t, o, err = tx.TokenByMAC(ctx, mac)
		return err
	})
	return t, o, err
}

func (r *reads) ListWebhooks(ctx context.Context, page muster.Page) ([]*muster.WebhookRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.WebhookRecord, error) { return tx.Webhooks(ctx, page) })
}

func (r *reads) Webhook(ctx context.Context, id string) (*muster.WebhookRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.WebhookRecord, error) { return tx.Webhook(ctx, id) })
}

// The log, for audits, tiles and proofs (journal.Books).

func (r *reads) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([][]byte, error) { return tx.Leaves(ctx, from, to) })
}

func (r *reads) LogSize(ctx context.Context) (int64, error) {
	return view(ctx, r.db, func(tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
}

func (r *reads) Rows(ctx context.Context, from, to int64) ([]journal.Row, error) {
	rows, err := view(ctx, r.db, func(tx *store.Tx) ([]store.AuditRow, error) { return tx.AuditRows(ctx, from, to) })
	out := make([]journal.Row, len(rows))
	for i, x := range rows {
		out[i] = journal.Row(x)
	}
	return out, err
}

func (r *reads) Leafless(ctx context.Context, limit int) ([]string, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]string, error) { return tx.Leafless(ctx, limit) })
}

func (r *reads) Head(ctx context.Context) ([]byte, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]byte, error) { return tx.Head(ctx) })
}

func (r *reads) Handovers(ctx context.Context) ([]muster.Handover, error) {
	return r.db.LogHandovers(ctx)
}

// answers keeps the answers to writes under their idempotency keys (api.Idempotency).
type answers struct{ db *store.DB }

func (a answers) Claim(ctx context.Context, r *muster.IdempotencyRecord, others ...string) (was *muster.IdempotencyRecord, err error) {
	err = a.db.InTx(ctx, func(tx *store.Tx) error {
		for _, key := range append([]string{r.Key}, others...) {
			was, err = tx.Idempotency(ctx, r.Operator, key)
			if muster.ErrorCode(err) != muster.CodeNotFound {
				return err
			}
		}
		was = nil
		return tx.PutIdempotency(ctx, r)
	})
	if muster.ErrorCode(err) == muster.CodeConflict { // another process was faster
		return view(ctx, a.db, func(tx *store.Tx) (*muster.IdempotencyRecord, error) { return tx.Idempotency(ctx, r.Operator, r.Key) })
	}
	return was, err
}

func (a answers) Settle(ctx context.Context, r *muster.IdempotencyRecord) error {
	return a.db.InTx(ctx, func(tx *store.Tx) error { return tx.SettleIdempotency(ctx, r) })
}

func (a answers) Release(ctx context.Context, operator, key string) error {
	return a.db.InTx(ctx, func(tx *store.Tx) error { return tx.ReleaseIdempotency(ctx, operator, key) })
}

// listeners knows whether anybody wants to hear of events, so that a decision
// without listeners writes no job.
type listeners struct {
	db  *store.DB
	any atomic.Bool
}

func (l *listeners) Any() bool { return l.any.Load() }

func (l *listeners) load(ctx context.Context) error {
	rows, err := view(ctx, l.db, func(tx *store.Tx) ([]*muster.WebhookRecord, error) {
		return tx.Webhooks(ctx, muster.Page{Limit: 1000})
	})
	if err != nil {
		return err
	}
	some := false
	for _, w := range rows {
		some = some || w.Enabled
	}
	l.any.Store(some)
	return nil
}

func (r *reads) ListHolds(ctx context.Context, live bool, page muster.Page) ([]*muster.Hold, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.Hold, error) { return tx.Holds(ctx, live, page) })
}

func (r *reads) ListExports(ctx context.Context, page muster.Page) ([]*muster.ExportRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.ExportRecord, error) { return tx.Exports(ctx, page) })
}

func (r *reads) ListErasures(ctx context.Context, state string, page muster.Page) ([]*muster.Erasure, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.Erasure, error) { return tx.Erasures(ctx, state, page) })
}

func (r *reads) Import(ctx context.Context, id string) (*muster.ImportRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) (*muster.ImportRecord, error) { return tx.Import(ctx, id) })
}

func (r *reads) ListImports(ctx context.Context, page muster.Page) ([]*muster.ImportRecord, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([]*muster.ImportRecord, error) { return tx.Imports(ctx, page) })
}
