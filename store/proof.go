package store

import (
	"context"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/compact"
)

// Proofs lists evidence that shows a country, taken at or before a time, of which what
// was seen is on file and may have done what it was for: its application is approved
// (not only observed), and on the customer's file nothing waits for a person. In the order of Proof.Key.
func (tx *Tx) Proofs(ctx context.Context, taken time.Time, p muster.Page) ([]muster.Proof, error) {
	customer, evidence, _ := strings.Cut(p.After, " ")
	return all(ctx, tx, func(r row) (x muster.Proof, err error) {
		return x, r.scan(&x.Customer, &x.Evidence, &x.Subject, &x.Taken, &x.Under)
	}, `SELECT s.customer, e.id, e.subject, e.at, e.sealed_under FROM evidence e JOIN subjects s ON s.id = e.subject JOIN applications a ON a.id = e.application
		WHERE (s.customer, e.id) > (?, ?) AND e.at <= ? AND length(e.sealed) > 0 AND e.shows <> '' AND e.kind <> 'resolution'
		AND s.erased = 0 AND a.state = 'approved' AND a.shadow = 0
		AND NOT EXISTS (SELECT 1 FROM applications o WHERE o.customer = s.customer AND o.state NOT IN ('approved', 'refused', 'expired', 'withdrawn'))
		AND NOT EXISTS (SELECT 1 FROM applications o JOIN reviews r ON r.application = o.id WHERE o.customer = s.customer AND r.state IN ('open', 'proposed'))
		AND NOT EXISTS (SELECT 1 FROM hits h WHERE h.customer = s.customer AND h.state = 'open')
		ORDER BY s.customer, e.id LIMIT ?`, customer, evidence, taken, p.Limit)
}

// Standing lists the bodies of the decisions under which a customer's approved applications stand.
func (tx *Tx) Standing(ctx context.Context, customer string) ([][]byte, error) {
	return all(ctx, tx, func(r row) (body []byte, err error) {
		if err := r.scan(&body); err != nil {
			return nil, err
		}
		return compact.Unpack(body)
	}, `SELECT d.body FROM applications a JOIN decisions d ON d.id = a.decision WHERE a.customer = ? AND a.state = 'approved' ORDER BY a.id`, customer)
}

// DropProofs removes what was seen of evidence; what it said stays. Keys of such
// evidence are due from then on.
func (tx *Tx) DropProofs(ctx context.Context, proofs ...muster.Proof) error {
	for _, x := range proofs {
		if err := tx.exec(ctx, errStale, `UPDATE evidence SET sealed = NULL, dropped = ? WHERE subject = ? AND id = ?`, tx.now, x.Subject, x.Evidence); err != nil {
			return err
		}
		if x.Under == "" {
			continue
		}
		if err := tx.DueEvidenceKeys(ctx, x.Under); err != nil {
			return err
		}
	}
	return nil
}
