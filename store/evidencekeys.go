package store

import (
	"context"

	"github.com/muster-cip/muster"
)

// Keys of single pieces of evidence (decision 0078). Each has a row from the transaction
// that writes the evidence on, which stays when the evidence goes: it says whose key has
// to be destroyed, and again in a copy of the key store from before.

func (tx *Tx) addEvidenceKey(ctx context.Context, r *muster.EvidenceRecord) error {
	if r.Key == "" {
		return nil
	}
	return tx.exec(ctx, nil, `INSERT INTO evidence_keys (id, subject, evidence, due, gone) VALUES (?, ?, ?, 0, 0)`, r.Key, r.Subject, r.ID)
}

// EvidenceKeysOf lists the keys of evidence on customers' people.
func (tx *Tx) EvidenceKeysOf(ctx context.Context, customers ...string) (keys []string, err error) {
	return keys, inLists(customers, func(marks string, args []any) error {
		some, err := all(ctx, tx, scanText, `SELECT sealed_under FROM evidence
			WHERE subject IN (SELECT id FROM subjects WHERE customer IN `+marks+`) AND sealed_under <> ''`, args...)
		keys = append(keys, some...)
		return err
	})
}

// DueEvidenceKeys writes down that keys go: nothing that they open is on file any more.
func (tx *Tx) DueEvidenceKeys(ctx context.Context, ids ...string) error {
	return inLists(ids, func(marks string, args []any) error {
		return tx.exec(ctx, nil, `UPDATE evidence_keys SET due = ? WHERE due = 0 AND gone = 0 AND id IN `+marks, append([]any{tx.now}, args...)...)
	})
}

// EvidenceKeysDue lists keys that go and are not known to be gone.
func (tx *Tx) EvidenceKeysDue(ctx context.Context, limit int) ([]muster.EvidenceKey, error) {
	return all(ctx, tx, func(r row) (x muster.EvidenceKey, err error) { return x, r.scan(&x.ID, &x.Customer) },
		`SELECT k.id, coalesce(a.customer, '') FROM evidence_keys k LEFT JOIN evidence e ON e.subject = k.subject AND e.id = k.evidence
			LEFT JOIN applications a ON a.id = e.application WHERE k.due > 0 AND k.gone = 0 ORDER BY k.id LIMIT ?`, limit)
}

// EndEvidenceKeys writes down that keys are destroyed, and lists those of which nobody
// did before.
func (tx *Tx) EndEvidenceKeys(ctx context.Context, ids ...string) (ended []string, err error) {
	return ended, inLists(ids, func(marks string, args []any) error {
		return tx.change(ctx, func(r row) error {
			id, err := scanText(r)
			ended = append(ended, id)
			return err
		}, `UPDATE evidence_keys SET gone = ? WHERE gone = 0 AND id IN `+marks+` RETURNING id`, append([]any{tx.now}, args...)...)
	})
}

// EvidenceKeys lists keys that are in use, in the order of their ids, and says which are strays.
func (tx *Tx) EvidenceKeys(ctx context.Context, p muster.Page) ([]muster.EvidenceKey, error) {
	return all(ctx, tx, func(r row) (x muster.EvidenceKey, err error) {
		var there int64
		err = r.scan(&x.ID, &there)
		x.Stray = there == 0
		return x, err
	}, `SELECT k.id, (SELECT count(*) FROM evidence e WHERE e.subject = k.subject AND e.id = k.evidence AND e.sealed_under = k.id AND length(e.sealed) > 0)
		FROM evidence_keys k WHERE k.id > ? AND k.due = 0 AND k.gone = 0 ORDER BY k.id LIMIT ?`, p.After, p.Limit)
}

// EndedEvidenceKeys lists keys that go or are gone, in the order of their ids.
func (tx *Tx) EndedEvidenceKeys(ctx context.Context, p muster.Page) ([]string, error) {
	return all(ctx, tx, scanText, `SELECT id FROM evidence_keys WHERE id > ? AND (due > 0 OR gone > 0) ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// SharedEvidence lists evidence whose details are sealed under its subject's key, in
// the order of subjects and ids; After is of the last, "subject id".
func (tx *Tx) SharedEvidence(ctx context.Context, subject, after string, limit int) ([]*muster.SharedEvidence, error) {
	return all(ctx, tx, func(r row) (*muster.SharedEvidence, error) {
		x := &muster.SharedEvidence{}
		var role string
		err := r.scan(&x.ID, &x.Subject, &x.Application, &x.Method, &x.At, &x.Sealed, &x.Of.Customer, &role, &x.Of.Key)
		x.Of.ID, x.Of.Role = x.Subject, muster.SubjectRole(role)
		return x, err
	}, `SELECT e.id, e.subject, e.application, e.method, e.at, e.sealed, s.customer, s.role, s.sealed_under
		FROM evidence e JOIN applications a ON a.id = e.application JOIN subjects s ON s.customer = a.customer AND s.id = e.subject
		WHERE e.sealed_under = '' AND length(e.sealed) > 0 AND (e.subject, e.id) > (?, ?) ORDER BY e.subject, e.id LIMIT ?`, subject, after, limit)
}

// OwnEvidence replaces details that were sealed under the subject's key by the same
// under r.Key. CodeStale where they are not what they were.
func (tx *Tx) OwnEvidence(ctx context.Context, r *muster.EvidenceRecord, was []byte) error {
	if err := tx.exec(ctx, errStale, `UPDATE evidence SET sealed = ?, sealed_under = ? WHERE subject = ? AND id = ? AND sealed_under = '' AND sealed = ?`,
		r.Sealed, r.Key, r.Subject, r.ID, was); err != nil {
		return err
	}
	return tx.addEvidenceKey(ctx, r)
}

func scanText(r row) (s string, err error) { return s, r.scan(&s) }
