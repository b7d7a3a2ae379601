package store

import (
	"context"

	"github.com/muster-cip/muster"
)

// Meta is the deployment's own record. CodeNotFound: this store was never started.
func (tx *Tx) Meta(ctx context.Context) (*muster.Meta, error) {
	return one(ctx, tx, "deployment", func(r row) (*muster.Meta, error) {
		x := &muster.Meta{}
		return x, r.scan(&x.Deployment, &x.Mode, &x.Origin, &x.Made)
	}, `SELECT deployment, mode, origin, made FROM meta WHERE one = 1`)
}

// PutMeta writes the deployment's record, once: CodeConflict where there is one.
func (tx *Tx) PutMeta(ctx context.Context, m *muster.Meta) error {
	return tx.exec(ctx, nil, `INSERT INTO meta (one, deployment, mode, origin, made) VALUES (1, ?, ?, ?, ?)`,
		m.Deployment, m.Mode, m.Origin, m.Made)
}

// Idempotency finds the answer kept under an operator's key. CodeNotFound: none, or it has expired.
func (tx *Tx) Idempotency(ctx context.Context, operator, key string) (*muster.IdempotencyRecord, error) {
	return one(ctx, tx, "answer", func(r row) (*muster.IdempotencyRecord, error) {
		x := &muster.IdempotencyRecord{}
		return x, r.scan(&x.Operator, &x.Key, &x.MAC, &x.Status, &x.Body, &x.Expires)
	}, `SELECT operator, idem, mac, status, body, expires FROM idempotency WHERE operator = ? AND idem = ? AND expires > ?`,
		operator, key, tx.now)
}

// PutIdempotency keeps an answer. CodeConflict: one that has not expired is there.
func (tx *Tx) PutIdempotency(ctx context.Context, r *muster.IdempotencyRecord) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeConflict, "that idempotency key is in use"),
		`INSERT INTO idempotency (operator, idem, mac, status, body, expires) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (operator, idem) DO UPDATE SET mac = excluded.mac, status = excluded.status, body = excluded.body, expires = excluded.expires
		WHERE idempotency.expires <= ?`, r.Operator, r.Key, r.MAC, r.Status, r.Body, r.Expires, tx.now)
}

// SettleIdempotency gives a claimed row its status, body and expiry.
func (tx *Tx) SettleIdempotency(ctx context.Context, r *muster.IdempotencyRecord) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeNotFound, "there is no such claim"),
		`UPDATE idempotency SET status = ?, body = ?, expires = ? WHERE operator = ? AND idem = ?`,
		r.Status, r.Body, r.Expires, r.Operator, r.Key)
}

// ReleaseIdempotency removes a row that is still claimed; one that is settled, or gone, is left.
func (tx *Tx) ReleaseIdempotency(ctx context.Context, operator, key string) error {
	return tx.exec(ctx, nil, `DELETE FROM idempotency WHERE operator = ? AND idem = ? AND status = 0`, operator, key)
}

// ExpireIdempotency removes answers that have expired, at most n, and says how many.
func (tx *Tx) ExpireIdempotency(ctx context.Context, n int) (int64, error) {
	return tx.removed(ctx, `DELETE FROM idempotency WHERE (operator, idem) IN
		(SELECT operator, idem FROM idempotency WHERE expires <= ? ORDER BY expires LIMIT ?) RETURNING 1`, tx.now, n)
}
