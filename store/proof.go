package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/compact"
)

// Proofs looks at evidence that shows a country, taken at or before a time, of which what
// was seen is on file, a page in the order of Proof.Key, and lists what of it may have done
// what it was for: its application is approved (not only observed), and on the
// customer's file nothing waits for a person. next is where to go on, "" at the end. A page is
// cut before anything is joined to it: however few are listed, each piece is looked at once.
func (tx *Tx) Proofs(ctx context.Context, taken time.Time, p muster.Page) (found []muster.Proof, next string, err error) {
	subject, evidence, _ := strings.Cut(p.After, " ")
	looked := 0
	// The limit is in the text: PostgreSQL plans by it.
	err = tx.query(ctx, func(r row) error {
		var x muster.Proof
		var may bool
		if err := r.scan(&x.Subject, &x.Evidence, &x.Taken, &x.Under, &x.Customer, &may); err != nil {
			return err
		}
		if may {
			found = append(found, x)
		}
		looked++
		next = x.Key()
		return nil
	}, `SELECT e.subject, e.id, e.at, e.sealed_under, coalesce(s.customer, ''), CASE WHEN s.erased = 0 AND a.state = 'approved' AND a.shadow = 0
		AND NOT EXISTS (SELECT 1 FROM applications o WHERE o.customer = s.customer AND o.state NOT IN ('approved', 'refused', 'expired', 'withdrawn'))
		AND NOT EXISTS (SELECT 1 FROM applications o JOIN reviews r ON r.application = o.id WHERE o.customer = s.customer AND r.state IN ('open', 'proposed'))
		AND NOT EXISTS (SELECT 1 FROM hits h WHERE h.customer = s.customer AND h.state = 'open') THEN 1 ELSE 0 END
		FROM (SELECT subject, id, application, at, sealed_under FROM evidence WHERE (subject, id) > (?, ?) AND at <= ? AND length(sealed) > 0 AND shows <> '' AND kind <> 'resolution'
			ORDER BY subject, id LIMIT `+strconv.Itoa(p.Limit)+`) e
		LEFT JOIN applications a ON a.id = e.application LEFT JOIN subjects s ON s.customer = a.customer AND s.id = e.subject
		ORDER BY e.subject, e.id`, subject, evidence, taken)
	if looked < p.Limit {
		next = ""
	}
	return found, next, err
}

const standing = `SELECT a.customer, CASE WHEN a.state = 'approved' THEN d.body END FROM applications a JOIN decisions d ON d.id = a.decision WHERE a.customer IN `

// Standing lists the bodies of the decisions under which customers' approved applications
// stand, in no order. That they are approved is no condition of the reading and the order
// is nobody's: SQLite would take either for a reason to go through every approved
// application for each page.
func (tx *Tx) Standing(ctx context.Context, customers ...string) (map[string][][]byte, error) {
	bodies := make(map[string][][]byte, len(customers))
	return bodies, inLists(customers, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var customer string
			var body []byte
			if err := r.scan(&customer, &body); err != nil || body == nil {
				return err
			}
			body, err := compact.Unpack(body)
			bodies[customer] = append(bodies[customer], body)
			return err
		}, standing+marks, args...)
	})
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
