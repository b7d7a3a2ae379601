package store

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
)

// A new application asks one question before it writes. On PostgreSQL an answer is a
// round trip, and a group would make one for each member: so the questions of those
// who wait are put together, and each is put again where a member before has written
// what it asks about. Within a group nobody is overlooked.

// arrival is the question of one member.
type arrival struct {
	reference, account string
	questions          []muster.HandleCount

	known  bool // it was asked, with others
	there  int64
	counts []int64
}

// Arrive is InTx for a new application. fn is given what it has to know: whether an
// application of that reference or an account of that reference is there, and of each
// question the count of distinct handles. A value without digests has none.
func (db *DB) Arrive(ctx context.Context, reference, account string, questions []muster.HandleCount, fn func(tx *Tx, taken bool, counts []int64) error) error {
	a := &arrival{reference: reference, account: account, questions: questions}
	return db.inTx(ctx, a, func(tx *Tx) error {
		if !a.known || a.touched(tx.tail.written) {
			ask, err := a.ask()
			if err != nil {
				return err
			}
			if err := tx.query(ctx, ask.each, ask.q, ask.args...); err != nil {
				return err
			}
		}
		return fn(tx, a.there > 0, slices.Clone(a.counts))
	})
}

// ask is the question as one statement.
func (a *arrival) ask() (asked, error) {
	q, args, err := countQuery(
		`SELECT -1, (SELECT count(*) FROM applications WHERE reference = ?) + (SELECT count(*) FROM accounts WHERE reference = ?)`,
		[]any{a.reference, a.account}, a.questions)
	a.counts = make([]int64, len(a.questions))
	return asked{q, bind(args), scanCount(&a.there, a.counts)}, err
}

// touched reports whether what is asked about was written since.
func (a *arrival) touched(written map[string]bool) bool {
	return written[a.reference] || written[a.account] || slices.ContainsFunc(a.questions, func(q muster.HandleCount) bool {
		return slices.ContainsFunc(q.Digests, func(d []byte) bool { return written[string(d)] })
	})
}

// askAhead puts the questions of members that are about to run.
func (t *tail) askAhead(ctx context.Context, c conn, members []*job) error {
	var all []asked
	for _, j := range members {
		if j.arrival == nil {
			continue
		}
		if ask, err := j.arrival.ask(); err == nil { // else it is the member's own to hear
			j.arrival.known = true
			all = append(all, ask)
		}
	}
	if len(all) < 2 { // one is asked by the member itself
		for _, j := range members {
			j.forget()
		}
		return nil
	}
	t.written = nil
	return c.queries(ctx, all)
}

// forget has a member ask for itself.
func (j *job) forget() {
	if j.arrival != nil {
		j.arrival.known = false
	}
}
