package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
)

// notLive are the states of an account that is not in use: it has ended, or never began.
const notLive = `('` + muster.AccClosed + `', '` + muster.AccPending + `')`

// EndedFiles looks at customers' files in the order of their ids, so many as a page
// has, and reads the times and states of those of which no account is in use: the others
// are most, and nothing of them goes. looked is how many it looked at, last the last of them.
func (tx *Tx) EndedFiles(ctx context.Context, p muster.Page) (files []muster.FileAge, looked int64, last string, err error) {
	if err := tx.query(ctx, func(r row) error { return r.scan(&last, &looked) },
		`SELECT coalesce(max(id), ''), count(*) FROM (SELECT id FROM customers WHERE id > ? ORDER BY id LIMIT ?) c`, p.After, p.Limit); err != nil || looked == 0 {
		return nil, 0, "", err
	}
	// Both tables are read from one id to another: PostgreSQL then merges the two ranges.
	files, err = all(ctx, tx, scanFile, `SELECT c.id, c.made, c.applied, c.gone FROM customers c WHERE c.id > ? AND c.id <= ? AND NOT EXISTS (
		SELECT 1 FROM accounts a WHERE a.customer = c.id AND a.customer > ? AND a.customer <= ? AND a.state NOT IN `+notLive+`) ORDER BY c.id`,
		p.After, last, p.After, last)
	if err != nil {
		return nil, 0, "", err
	}
	return files, looked, last, tx.fillFiles(ctx, files)
}

// FileAge reads one customer's.
func (tx *Tx) FileAge(ctx context.Context, customer string) (*muster.FileAge, error) {
	files, err := tx.TheseFiles(ctx, customer)
	if err == nil && len(files) == 0 {
		err = muster.Errorf(muster.CodeNotFound, "there is no such customer")
	}
	if err != nil {
		return nil, err
	}
	return &files[0], nil
}

// TheseFiles reads those of customers; one that is not there is absent.
func (tx *Tx) TheseFiles(ctx context.Context, customers ...string) (files []muster.FileAge, err error) {
	if err := inLists(customers, func(marks string, args []any) error {
		some, err := all(ctx, tx, scanFile, `SELECT id, made, applied, gone FROM customers WHERE id IN `+marks, args...)
		files = append(files, some...)
		return err
	}); err != nil {
		return nil, err
	}
	return files, tx.fillFiles(ctx, files)
}

func scanFile(r row) (f muster.FileAge, err error) {
	var applied, gone string
	err = r.scan(&f.Customer, &f.Made, &applied, &gone)
	f.Applied, f.Gone = strings.Fields(applied), strings.Fields(gone)
	return f, err
}

// hitsOf is not for true hits alone: SQLite would read all of those for each page.
const hitsOf = `SELECT customer, state, max(keep), sum(CASE WHEN keep = 0 THEN 1 ELSE 0 END) FROM hits WHERE customer IN `

// fillFiles adds what accounts, applications and hits say to files.
func (tx *Tx) fillFiles(ctx context.Context, files []muster.FileAge) error {
	at, ids := make(map[string]*muster.FileAge, len(files)), make([]string, len(files))
	for i := range files {
		ids[i] = files[i].Customer
		at[ids[i]] = &files[i]
	}
	ended := map[string]bool{} // accounts that are closed
	if err := inLists(ids, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var id, customer, state string
			var opened, interim, closed time.Time
			if err := r.scan(&id, &customer, &state, &opened, &interim, &closed); err != nil {
				return err
			}
			ended[id] = state == muster.AccClosed
			f := at[customer]
			f.Opened = f.Opened || !opened.IsZero() || !interim.IsZero()
			f.Live = f.Live || state != muster.AccClosed && state != muster.AccPending
			if closed.After(f.Closed) {
				f.Closed = closed
			}
			return nil
		}, `SELECT id, customer, state, opened, interim_since, closed FROM accounts WHERE customer IN `+marks, args...)
	}); err != nil {
		return err
	}
	if err := inLists(ids, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var customer, account, state string
			var updated time.Time
			if err := r.scan(&customer, &account, &state, &updated); err != nil {
				return err
			}
			f := at[customer]
			switch state {
			case muster.AppReceived, muster.AppNeeds, muster.AppReview:
				f.Live = f.Live || !ended[account] // nothing can be opened any more where it is closed
			}
			if !updated.Before(f.Last) {
				f.Last, f.Refused = updated, state == muster.AppRefused
			}
			return nil
		}, `SELECT customer, account, state, updated FROM applications WHERE customer IN `+marks+` ORDER BY id`, args...)
	}); err != nil {
		return err
	}
	return inLists(ids, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var customer, state string
			var open int64 // hits that no period ends
			var until time.Time
			if err := r.scan(&customer, &state, &until, &open); err != nil || state != string(muster.HitTrue) {
				return err
			}
			f := at[customer]
			if f.Hit = true; open == 0 {
				f.HitUntil = until
			}
			return nil
		}, hitsOf+marks+` GROUP BY customer, state`, args...)
	})
}

const holdColumns = `id, customer, class, made_from, made_to, ground, matter, undisclosed, placed, operator, review, lifted, lifted_by, withheld, version`

func scanHold(r row) (*muster.Hold, error) {
	x := &muster.Hold{}
	return x, r.scan(&x.ID, &x.Customer, &x.Class, &x.From, &x.Until, &x.Ground, &x.Case, &x.Undisclosed, &x.Placed, &x.By, &x.Review,
		&x.Lifted, &x.LiftedBy, &x.Withheld, &x.Version)
}

// Holds lists holds in the order of their ids; live: those that are not lifted.
func (tx *Tx) Holds(ctx context.Context, live bool, p muster.Page) ([]*muster.Hold, error) {
	return all(ctx, tx, scanHold, `SELECT `+holdColumns+` FROM holds WHERE (? = 0 OR lifted = 0) AND id > ? ORDER BY id LIMIT ?`, live, p.After, p.Limit)
}

// Hold finds a hold.
func (tx *Tx) Hold(ctx context.Context, id string) (*muster.Hold, error) {
	return one(ctx, tx, "hold", scanHold, `SELECT `+holdColumns+` FROM holds WHERE id = ?`, id)
}

// PutHold inserts or updates by version.
func (tx *Tx) PutHold(ctx context.Context, h *muster.Hold) error {
	return tx.put(ctx, &h.Version,
		`INSERT INTO holds (customer, class, made_from, made_to, ground, matter, undisclosed, placed, operator, review, lifted, lifted_by, withheld, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE holds SET customer = ?, class = ?, made_from = ?, made_to = ?, ground = ?, matter = ?, undisclosed = ?, placed = ?, operator = ?,
			review = ?, lifted = ?, lifted_by = ?, withheld = ?, version = ? WHERE id = ? AND version = ?`,
		h.ID, h.Customer, h.Class, h.From, h.Until, h.Ground, h.Case, h.Undisclosed, h.Placed, h.By, h.Review, h.Lifted, h.LiftedBy, h.Withheld)
}

const erasureColumns = `id, state, ground, items, proposed, proposer, approver, due, done, version`

func scanErasure(r row) (*muster.Erasure, error) {
	x := &muster.Erasure{}
	var items []byte
	if err := r.scan(&x.ID, &x.State, &x.Ground, &items, &x.Proposed, &x.Proposer, &x.Approver, &x.Due, &x.Done, &x.Version); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(items, &x.Items); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a column is not what it should be: %w", err)
	}
	return x, nil
}

// Erasures lists erasures in the order of their ids, of one state or ("") of all.
func (tx *Tx) Erasures(ctx context.Context, state string, p muster.Page) ([]*muster.Erasure, error) {
	if state == "" {
		return all(ctx, tx, scanErasure, `SELECT `+erasureColumns+` FROM erasures WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
	}
	return all(ctx, tx, scanErasure, `SELECT `+erasureColumns+` FROM erasures WHERE state = ? AND id > ? ORDER BY id LIMIT ?`, state, p.After, p.Limit)
}

// Erasure finds an erasure.
func (tx *Tx) Erasure(ctx context.Context, id string) (*muster.Erasure, error) {
	return one(ctx, tx, "erasure", scanErasure, `SELECT `+erasureColumns+` FROM erasures WHERE id = ?`, id)
}

// PutErasure inserts or updates by version.
func (tx *Tx) PutErasure(ctx context.Context, e *muster.Erasure) error {
	items, err := json.Marshal(e.Items)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a column cannot be written: %w", err)
	}
	return tx.put(ctx, &e.Version,
		`INSERT INTO erasures (state, ground, items, proposed, proposer, approver, due, done, version, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE erasures SET state = ?, ground = ?, items = ?, proposed = ?, proposer = ?, approver = ?, due = ?, done = ?, version = ? WHERE id = ? AND version = ?`,
		e.ID, e.State, e.Ground, items, e.Proposed, e.Proposer, e.Approver, e.Due, e.Done)
}

// EndErasure marks an erasure that was begun as done; false where it is done already.
// What it is of, which is long, stays as it is.
func (tx *Tx) EndErasure(ctx context.Context, id string) (ended bool, err error) {
	return ended, tx.change(ctx, func(row) error { ended = true; return nil },
		`UPDATE erasures SET state = ?, done = ?, version = version + 1 WHERE id = ? AND state = ? RETURNING id`,
		muster.ErasureDone, tx.now, id, muster.ErasureBegun)
}

// EraseIdentity removes what is sealed under the keys of customers' people, and the
// codes that were sent to them. Their rows stay, marked; the keys are destroyed before.
func (tx *Tx) EraseIdentity(ctx context.Context, customers ...string) error {
	return inLists(customers, func(marks string, args []any) error {
		for _, q := range []string{
			`DELETE FROM claims WHERE subject IN (SELECT id FROM subjects WHERE customer IN `,
			`DELETE FROM measure_matches WHERE account IN (SELECT id FROM accounts WHERE customer IN `,
			`DELETE FROM challenges WHERE application IN (SELECT id FROM applications WHERE customer IN `,
			`UPDATE evidence SET sealed = NULL WHERE subject IN (SELECT id FROM subjects WHERE customer IN `,
			`UPDATE adopted SET ground = '` + book.GroundLeft + `' WHERE ground <> '' AND account IN (SELECT id FROM accounts WHERE customer IN `,
		} {
			if err := tx.exec(ctx, nil, q+marks+`)`, args...); err != nil {
				return err
			}
		}
		if err := tx.exec(ctx, nil, `UPDATE hits SET found = NULL, finding = NULL WHERE customer IN `+marks, args...); err != nil {
			return err
		}
		return tx.exec(ctx, nil, `UPDATE subjects SET erased = ?, changed = '' WHERE erased = 0 AND customer IN `+marks, append([]any{tx.now}, args...)...)
	})
}

// EraseClaims removes the revisions before each subject's latest.
func (tx *Tx) EraseClaims(ctx context.Context, customers ...string) error {
	return inLists(customers, func(marks string, args []any) error {
		return tx.exec(ctx, nil, `DELETE FROM claims WHERE subject IN (SELECT id FROM subjects WHERE customer IN `+marks+`)
			AND revision < (SELECT max(c.revision) FROM claims c WHERE c.subject = claims.subject)`, args...)
	})
}

// EraseEvidence removes what was found about customers' people.
func (tx *Tx) EraseEvidence(ctx context.Context, customers ...string) error {
	return inLists(customers, func(marks string, args []any) error {
		return tx.exec(ctx, nil, `DELETE FROM evidence WHERE subject IN (SELECT id FROM subjects WHERE customer IN `+marks+`)`, args...)
	})
}

// EraseHits removes the list entries that came close to customers' people.
func (tx *Tx) EraseHits(ctx context.Context, customers ...string) error {
	return inLists(customers, func(marks string, args []any) error {
		return tx.exec(ctx, nil, `DELETE FROM hits WHERE customer IN `+marks, args...)
	})
}

// KeysOf lists the keys of customers' people.
func (tx *Tx) KeysOf(ctx context.Context, customers ...string) (keys []string, err error) {
	return keys, inLists(customers, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var key string
			err := r.scan(&key)
			keys = append(keys, key)
			return err
		}, `SELECT sealed_under FROM subjects WHERE customer IN `+marks+` ORDER BY customer, id`, args...)
	})
}

// TheseCustomers finds customers; one that is not there is absent.
func (tx *Tx) TheseCustomers(ctx context.Context, ids ...string) (found []*muster.CustomerRecord, err error) {
	return found, inLists(ids, func(marks string, args []any) error {
		some, err := all(ctx, tx, scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE id IN `+marks, args...)
		found = append(found, some...)
		return err
	})
}

// NoteGone notes of customers of whose files the classes was are gone that now are.
func (tx *Tx) NoteGone(ctx context.Context, was, now []string, customers ...string) error {
	noted := 0
	if err := inLists(customers, func(marks string, args []any) error {
		return tx.change(ctx, counted(&noted), `UPDATE customers SET gone = ?, version = version + 1 WHERE gone = ? AND id IN `+marks+` RETURNING id`,
			append([]any{strings.Join(now, " "), strings.Join(was, " ")}, args...)...)
	}); err != nil {
		return err
	}
	if noted != len(customers) {
		return tx.fail(errStale)
	}
	return nil
}

// FactsOf lists the sealed facts of the decisions on customers' files, by decision.
func (tx *Tx) FactsOf(ctx context.Context, customers ...string) (map[string][]byte, error) {
	facts := map[string][]byte{}
	return facts, inLists(customers, func(marks string, args []any) error {
		return tx.query(ctx, func(r row) error {
			var id string
			var blob []byte
			err := r.scan(&id, &blob)
			facts[id] = blob
			return err
		}, `SELECT id, facts FROM decisions WHERE customer IN `+marks, args...)
	})
}

// PutFacts replaces the sealed facts of a decision by what is left of them.
func (tx *Tx) PutFacts(ctx context.Context, decision string, blob []byte) error {
	return tx.exec(ctx, errStale, `UPDATE decisions SET facts = ? WHERE id = ?`, blob, decision)
}

// IndexPage lists handles of a kind's blind index in the order of the rows, so
// that those which lead nowhere can be dropped.
func (tx *Tx) IndexPage(ctx context.Context, kind string, after muster.IndexRow, limit int) ([]muster.IndexRow, error) {
	n, err := kindNumber(kind)
	if err != nil {
		return nil, err
	}
	return all(ctx, tx, func(r row) (x muster.IndexRow, err error) {
		x.Kind = kind
		return x, r.scan(&x.Digest, &x.Handle)
	}, `SELECT digest, handle FROM blind WHERE kind = ? AND (digest, handle) > (?, ?) ORDER BY digest, handle LIMIT ?`,
		n, notNil(after.Digest), notNil(after.Handle), limit)
}

// DropIndex removes rows of the blind index.
func (tx *Tx) DropIndex(ctx context.Context, rows ...muster.IndexRow) error {
	for _, x := range rows {
		n, err := kindNumber(x.Kind)
		if err != nil {
			return err
		}
		if err := tx.exec(ctx, nil, `DELETE FROM blind WHERE kind = ? AND digest = ? AND handle = ?`, n, x.Digest, x.Handle); err != nil {
			return err
		}
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// ErasedKeys lists the keys of people who were erased, in the order of customers;
// next is where to go on, "" at the end.
func (tx *Tx) ErasedKeys(ctx context.Context, p muster.Page) (keys []string, next string, err error) {
	n := 0
	customer, subject, _ := strings.Cut(p.After, " ")
	err = tx.query(ctx, func(r row) error {
		var customer, id, key string
		err := r.scan(&customer, &id, &key)
		keys = append(keys, key)
		if n++; n == p.Limit {
			next = customer + " " + id
		}
		return err
	}, `SELECT customer, id, sealed_under FROM subjects WHERE erased > 0 AND (customer, id) > (?, ?) ORDER BY customer, id LIMIT ?`,
		customer, subject, p.Limit)
	return keys, next, err
}
