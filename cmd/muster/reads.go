package main

import (
	"context"
	"sync/atomic"

	"github.com/muster-cip/muster"
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

func (r *reads) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	return view(ctx, r.db, func(tx *store.Tx) ([][]byte, error) { return tx.Leaves(ctx, from, to) })
}

func (r *reads) TokenByMAC(ctx context.Context, mac []byte) (t *muster.TokenRecord, o *muster.OperatorRecord, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		t, o, err = tx.TokenByMAC(ctx, mac)
		return err
	})
	return t, o, err
}

// listeners knows whether anybody wants to hear of events, so that a decision
// without listeners writes no job.
type listeners struct {
	db  *store.DB
	any atomic.Bool
}

func (l *listeners) Any() bool { return l.any.Load() }

func (l *listeners) load(ctx context.Context) error {
	rows, err := view(ctx, l.db, func(tx *store.Tx) ([]*muster.WebhookRecord, error) { return tx.Webhooks(ctx, muster.Page{Limit: 1000}) })
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
