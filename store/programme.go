package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

func scanPack(r row) (*muster.PackRecord, error) {
	x := &muster.PackRecord{}
	return x, r.scan(&x.Digest, &x.ID, &x.Edition, &x.Source, &x.Made)
}

// Pack finds a pack by its digest.
func (tx *Tx) Pack(ctx context.Context, digest string) (*muster.PackRecord, error) {
	return one(ctx, tx, "pack", scanPack, `SELECT digest, id, edition, source, made FROM packs WHERE digest = ?`, digest)
}

// Packs lists every pack edition, in the order in which they came.
func (tx *Tx) Packs(ctx context.Context) ([]*muster.PackRecord, error) {
	return all(ctx, tx, scanPack, `SELECT digest, id, edition, source, made FROM packs ORDER BY made, digest`)
}

// PutPack inserts; one that is there already is left.
func (tx *Tx) PutPack(ctx context.Context, r *muster.PackRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO packs (digest, id, edition, source, made) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.Digest, r.ID, r.Edition, r.Source, r.Made)
}

const activationColumns = `id, pack, digest, effective, proposer, approver, observe, retire, made, approved`

func scanActivation(r row) (x muster.ActivationRecord, err error) {
	return x, r.scan(&x.ID, &x.Pack, &x.Digest, &x.Effective, &x.Proposer, &x.Approver, &x.Observe, &x.Retire, &x.Made, &x.Approved)
}

// Activation finds an activation.
func (tx *Tx) Activation(ctx context.Context, id string) (*muster.ActivationRecord, error) {
	x, err := one(ctx, tx, "activation", scanActivation, `SELECT `+activationColumns+` FROM activations WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	return &x, nil
}

// Activations lists every activation, approved or not, in the order of their ids.
func (tx *Tx) Activations(ctx context.Context) ([]muster.ActivationRecord, error) {
	return all(ctx, tx, scanActivation, `SELECT `+activationColumns+` FROM activations ORDER BY id`)
}

// ActiveAt lists, for each pack, the latest approved activation in effect at t; a
// pack whose latest one retires it is absent.
func (tx *Tx) ActiveAt(ctx context.Context, t time.Time) ([]muster.ActivationRecord, error) {
	rows, err := all(ctx, tx, scanActivation, `SELECT `+activationColumns+` FROM activations
		WHERE approved > 0 AND effective <= ? ORDER BY pack, effective, approved, id`, t)
	if err != nil {
		return nil, err
	}
	var active []muster.ActivationRecord
	for i, a := range rows {
		if last := i+1 == len(rows) || rows[i+1].Pack != a.Pack; last && !a.Retire {
			active = append(active, a)
		}
	}
	return active, nil
}

// PutActivation inserts, or replaces what approval changes.
func (tx *Tx) PutActivation(ctx context.Context, r *muster.ActivationRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO activations (`+activationColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET effective = excluded.effective, approver = excluded.approver, approved = excluded.approved`,
		r.ID, r.Pack, r.Digest, r.Effective, r.Proposer, r.Approver, r.Observe, r.Retire, r.Made, r.Approved)
}

// Activations is Tx.Activations in a view of its own.
func (db *DB) Activations(ctx context.Context) (rows []muster.ActivationRecord, err error) {
	err = db.View(ctx, func(tx *Tx) error { rows, err = tx.Activations(ctx); return err })
	return rows, err
}

// Pack is Tx.Pack in a view of its own.
func (db *DB) Pack(ctx context.Context, digest string) (r *muster.PackRecord, err error) {
	err = db.View(ctx, func(tx *Tx) error { r, err = tx.Pack(ctx, digest); return err })
	return r, err
}
