package store

import (
	"context"
	"strings"

	"github.com/muster-cip/muster"
)

func scanOperator(r row) (x muster.OperatorRecord, err error) {
	return x, r.scan(&x.ID, &x.Name, &x.Made, &x.Disabled)
}

// Operators lists every operator, disabled ones too, in the order of their ids.
func (tx *Tx) Operators(ctx context.Context) ([]muster.OperatorRecord, error) {
	return all(ctx, tx, scanOperator, `SELECT id, name, made, disabled FROM operators ORDER BY id`)
}

// PutOperator inserts or replaces.
func (tx *Tx) PutOperator(ctx context.Context, r *muster.OperatorRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO operators (id, name, made, disabled) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, disabled = excluded.disabled`, r.ID, r.Name, r.Made, r.Disabled)
}

const tokenColumns = `t.id, t.operator, t.name, t.mac, t.scopes, t.made, t.expires, t.revoked`

func scanToken(r row) (*muster.TokenRecord, error) {
	x := &muster.TokenRecord{}
	var scopes string
	err := r.scan(&x.ID, &x.Operator, &x.Name, &x.MAC, &scopes, &x.Made, &x.Expires, &x.Revoked)
	for _, s := range strings.Fields(scopes) {
		x.Scopes = append(x.Scopes, muster.Scope(s))
	}
	return x, err
}

// Token finds a token.
func (tx *Tx) Token(ctx context.Context, id string) (*muster.TokenRecord, error) {
	return one(ctx, tx, "token", scanToken, `SELECT `+tokenColumns+` FROM tokens t WHERE t.id = ?`, id)
}

// Tokens lists every token, of one operator or ("") of all.
func (tx *Tx) Tokens(ctx context.Context, operator string) ([]*muster.TokenRecord, error) {
	return all(ctx, tx, scanToken, `SELECT `+tokenColumns+` FROM tokens t WHERE ? = '' OR t.operator = ? ORDER BY t.id`, operator, operator)
}

// TokenByMAC finds a token by the keyed hash of its secret, with its operator. Whether
// they are expired, revoked or disabled is for the caller to see.
func (tx *Tx) TokenByMAC(ctx context.Context, mac []byte) (*muster.TokenRecord, *muster.OperatorRecord, error) {
	var operator muster.OperatorRecord
	t, err := one(ctx, tx, "token", scanToken, `SELECT `+tokenColumns+` FROM tokens t WHERE t.mac = ?`, mac)
	if err == nil {
		operator, err = one(ctx, tx, "operator", scanOperator, `SELECT id, name, made, disabled FROM operators WHERE id = ?`, t.Operator)
	}
	if err != nil {
		return nil, nil, err
	}
	return t, &operator, nil
}

// PutToken inserts, or replaces what may change: name, expiry, revocation.
func (tx *Tx) PutToken(ctx context.Context, r *muster.TokenRecord) error {
	scopes := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		scopes[i] = string(s)
	}
	return tx.exec(ctx, nil, `INSERT INTO tokens (id, operator, name, mac, scopes, made, expires, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, expires = excluded.expires, revoked = excluded.revoked`,
		r.ID, r.Operator, r.Name, r.MAC, strings.Join(scopes, " "), r.Made, r.Expires, r.Revoked)
}
