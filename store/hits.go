package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

const hitColumns = `id, customer, application, subject, of_what, list, listed, state, score, opened, changed, operator, proposal, proposer, proposed,
	again, gone, due, reported, keep, findings, found, finding, version`

func scanHit(r row) (*muster.HitRecord, error) {
	x := &muster.HitRecord{}
	return x, r.scan(&x.ID, &x.Customer, &x.Application, &x.Subject, &x.Of, &x.List, &x.Listed, (*string)(&x.State), &x.Score, &x.Opened, &x.Changed,
		&x.Operator, (*string)(&x.Proposal), &x.Proposer, &x.Proposed, &x.Again, &x.Gone, &x.Due, &x.Reported, &x.Keep, &x.Findings, &x.Found, &x.Finding, &x.Version)
}

// Hit finds a hit.
func (tx *Tx) Hit(ctx context.Context, id string) (*muster.HitRecord, error) {
	return one(ctx, tx, "hit", scanHit, `SELECT `+hitColumns+` FROM hits WHERE id = ?`, id)
}

// HitsOf lists the hits on a customer's file, oldest first.
func (tx *Tx) HitsOf(ctx context.Context, customer string) ([]*muster.HitRecord, error) {
	return all(ctx, tx, scanHit, `SELECT `+hitColumns+` FROM hits WHERE customer = ? ORDER BY id`, customer)
}

// Hits lists hits in the order of their ids, of one state or ("") of all.
func (tx *Tx) Hits(ctx context.Context, state string, p muster.Page) ([]*muster.HitRecord, error) {
	if state == "" {
		return all(ctx, tx, scanHit, `SELECT `+hitColumns+` FROM hits WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
	}
	return all(ctx, tx, scanHit, `SELECT `+hitColumns+` FROM hits WHERE state = ? AND id > ? ORDER BY id LIMIT ?`, state, p.After, p.Limit)
}

// HitsOn lists the hits on entries of a list that are not moot: whose each is, and
// the digest of its entry.
func (tx *Tx) HitsOn(ctx context.Context, list string) ([]muster.HitRecord, error) {
	return all(ctx, tx, func(r row) (x muster.HitRecord, err error) { return x, r.scan(&x.Customer, &x.Listed) },
		`SELECT customer, listed FROM hits WHERE list = ? AND state <> 'moot' ORDER BY customer`, list)
}

// PutHit inserts or updates by version.
func (tx *Tx) PutHit(ctx context.Context, x *muster.HitRecord) error {
	return tx.put(ctx, &x.Version,
		`INSERT INTO hits (customer, application, subject, of_what, list, listed, state, score, opened, changed, operator, proposal, proposer, proposed,
			again, gone, due, reported, keep, findings, found, finding, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE hits SET customer = ?, application = ?, subject = ?, of_what = ?, list = ?, listed = ?, state = ?, score = ?, opened = ?, changed = ?,
			operator = ?, proposal = ?, proposer = ?, proposed = ?, again = ?, gone = ?, due = ?, reported = ?, keep = ?, findings = ?, found = ?,
			finding = ?, version = ? WHERE id = ? AND version = ?`,
		x.ID, x.Customer, x.Application, x.Subject, x.Of, x.List, x.Listed, string(x.State), x.Score, x.Opened, x.Changed, x.Operator,
		string(x.Proposal), x.Proposer, x.Proposed, x.Again, x.Gone, x.Due, x.Reported, x.Keep, x.Findings, x.Found, x.Finding)
}

// HitReports is which reports are due.
type HitReports struct {
	Running int64     // true, with a clock that nobody has stopped
	Overdue int64     // of these, past it
	NextDue time.Time // the earliest; zero where none runs
}

// HitCounts is how many hits there are in each state, and which reports are due.
type HitCounts struct {
	States map[string]int64
	HitReports
}

// HitCounts counts: it reads an index whole.
func (tx *Tx) HitCounts(ctx context.Context) (*HitCounts, error) {
	states, err := tx.by(ctx, countHits)
	if err != nil {
		return nil, err
	}
	due, err := tx.HitReports(ctx)
	if err != nil {
		return nil, err
	}
	return &HitCounts{states, *due}, nil
}

// HitReports counts, of the hits that are true, those to be reported.
func (tx *Tx) HitReports(ctx context.Context) (*HitReports, error) {
	c := &HitReports{}
	return c, tx.query(ctx, func(r row) error { return r.scan(&c.Running, &c.Overdue, &c.NextDue) },
		`SELECT count(*), coalesce(sum(CASE WHEN due <= ? THEN 1 ELSE 0 END), 0), coalesce(min(due), 0)
			FROM hits WHERE state = 'true' AND due > 0 AND reported = 0`, tx.now)
}

const sweepColumns = `id, kind, list, was, becomes, made, stage, place, done, affected, total, result, ended, version`

func scanSweep(r row) (*muster.SweepRecord, error) {
	x := &muster.SweepRecord{}
	return x, r.scan(&x.ID, &x.Kind, &x.List, &x.From, &x.To, &x.Made, &x.Stage, &x.Place, &x.Done, &x.Affected, &x.Total, &x.Result, &x.Ended, &x.Version)
}

// Sweep finds a sweep.
func (tx *Tx) Sweep(ctx context.Context, id string) (*muster.SweepRecord, error) {
	return one(ctx, tx, "sweep", scanSweep, `SELECT `+sweepColumns+` FROM sweeps WHERE id = ?`, id)
}

// Sweeps lists sweeps in the order of their ids.
func (tx *Tx) Sweeps(ctx context.Context, p muster.Page) ([]*muster.SweepRecord, error) {
	return all(ctx, tx, scanSweep, `SELECT `+sweepColumns+` FROM sweeps WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutSweep inserts or updates by version.
func (tx *Tx) PutSweep(ctx context.Context, x *muster.SweepRecord) error {
	return tx.put(ctx, &x.Version,
		`INSERT INTO sweeps (kind, list, was, becomes, made, stage, place, done, affected, total, result, ended, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE sweeps SET kind = ?, list = ?, was = ?, becomes = ?, made = ?, stage = ?, place = ?, done = ?, affected = ?, total = ?, result = ?,
			ended = ?, version = ? WHERE id = ? AND version = ?`,
		x.ID, x.Kind, x.List, x.From, x.To, x.Made, x.Stage, x.Place, x.Done, x.Affected, x.Total, x.Result, x.Ended)
}

// Book reads the claims of everybody who stands on the file of a customer with an
// account that is not closed: of the customers after one, up to another.
func (tx *Tx) Book(ctx context.Context, after, last string) ([]muster.BookRow, error) {
	return all(ctx, tx, scanBook, `SELECT s.customer, s.id, s.pointer, s.sealed_under, c.revision, c.sealed
		FROM subjects s JOIN claims c ON c.subject = s.id AND c.revision = s.revision
		WHERE s.customer > ? AND s.customer <= ? AND s.pointer <> '' AND s.erased = 0
			AND EXISTS (SELECT 1 FROM accounts a WHERE a.customer = s.customer AND a.state <> 'closed')
		ORDER BY s.customer, s.id`, after, last)
}

func scanBook(r row) (x muster.BookRow, err error) {
	return x, r.scan(&x.Customer, &x.Subject, &x.Pointer, &x.Key, &x.Revision, &x.Sealed)
}

// CustomersAfter lists the ids of at most p.Limit customers after p.After.
func (tx *Tx) CustomersAfter(ctx context.Context, p muster.Page) ([]string, error) {
	return all(ctx, tx, func(r row) (s string, err error) { return s, r.scan(&s) },
		`SELECT id FROM customers WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// CountCustomers counts the customers on file.
func (tx *Tx) CountCustomers(ctx context.Context) (int, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM customers`)
	return int(n), err
}

// CountCustomersSince counts the customers made at or after t.
func (tx *Tx) CountCustomersSince(ctx context.Context, t time.Time) (int, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM customers WHERE id > ? AND made >= ?`, firstID(muster.PrefixCustomer, t), t)
	return int(n), err
}

// DecidedBetween lists the customers whose applications were decided from one time
// on and before another.
func (tx *Tx) DecidedBetween(ctx context.Context, from, until time.Time) ([]string, error) {
	return all(ctx, tx, func(r row) (s string, err error) { return s, r.scan(&s) },
		`SELECT DISTINCT customer FROM decisions WHERE id > ? AND at >= ? AND at < ? ORDER BY customer`, firstID(muster.PrefixDecision, from), from, until)
}
