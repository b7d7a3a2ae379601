package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
)

func scanDetermination(r row) (*muster.DeterminationRecord, error) {
	x := &muster.DeterminationRecord{}
	return x, r.scan(&x.ID, &x.Digest, &x.Source, &x.Made, &x.High)
}

// Determinations lists the register, in the order of ids.
func (tx *Tx) Determinations(ctx context.Context) ([]*muster.DeterminationRecord, error) {
	return all(ctx, tx, scanDetermination, `SELECT id, digest, source, made, high FROM determinations ORDER BY id`)
}

// Determination finds a determination.
func (tx *Tx) Determination(ctx context.Context, id string) (*muster.DeterminationRecord, error) {
	return one(ctx, tx, "measure", scanDetermination, `SELECT id, digest, source, made, high FROM determinations WHERE id = ?`, id)
}

// AddDetermination inserts. CodeConflict: the id is taken.
func (tx *Tx) AddDetermination(ctx context.Context, r *muster.DeterminationRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO determinations (id, digest, source, made, high) VALUES (?, ?, ?, ?, ?)`,
		r.ID, r.Digest, r.Source, r.Made, r.High)
}

// RaiseHigh moves the mark of what was decided up to Now, of all determinations
// that have one; it never goes back.
func (tx *Tx) RaiseHigh(ctx context.Context, to time.Time) error {
	return tx.exec(ctx, nil, `UPDATE determinations SET high = ? WHERE high > 0 AND high < ?`, to, to)
}

// SetHigh sets the mark where a determination begins to bind.
func (tx *Tx) SetHigh(ctx context.Context, id string, to time.Time) error {
	return tx.exec(ctx, nil, `UPDATE determinations SET high = ? WHERE id = ? AND high < ?`, to, id, to)
}

const actColumns = `id, determination, kind, from_at, until_at, at, licence, proposer, approver, made, approved, binds, progress, seen, matched, done`

func scanAct(r row) (x muster.MeasureAct, err error) {
	var licence string
	if err := r.scan(&x.ID, &x.Determination, &x.Kind, &x.From, &x.Until, &x.At, &licence, &x.Proposer, &x.Approver, &x.Made, &x.Approved,
		&x.Binds, &x.Cursor, &x.Seen, &x.Matched, &x.Done); err != nil {
		return x, err
	}
	if licence != "" {
		x.Licence = &muster.Licence{}
		return x, fromJSON(licence, x.Licence)
	}
	return x, nil
}

// MeasureActs lists the acts on the register, in the order of their ids.
func (tx *Tx) MeasureActs(ctx context.Context) ([]muster.MeasureAct, error) {
	return all(ctx, tx, scanAct, `SELECT `+actColumns+` FROM measure_acts ORDER BY id`)
}

// MeasureAct finds an act.
func (tx *Tx) MeasureAct(ctx context.Context, id string) (*muster.MeasureAct, error) {
	x, err := one(ctx, tx, "act", scanAct, `SELECT `+actColumns+` FROM measure_acts WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	return &x, nil
}

// PutMeasureAct inserts, or replaces what approval changes.
func (tx *Tx) PutMeasureAct(ctx context.Context, a *muster.MeasureAct) error {
	licence := ""
	if a.Licence != nil {
		data, err := json.Marshal(a.Licence)
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a licence cannot be written: %w", err)
		}
		licence = string(data)
	}
	return tx.exec(ctx, nil, `INSERT INTO measure_acts (`+actColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET from_at = excluded.from_at, until_at = excluded.until_at, at = excluded.at,
			approver = excluded.approver, approved = excluded.approved, binds = excluded.binds`,
		a.ID, a.Determination, a.Kind, a.From, a.Until, a.At, licence, a.Proposer, a.Approver, a.Made, a.Approved, a.Binds, a.Cursor, a.Seen, a.Matched, a.Done)
}

// Progress moves an act's progress on from where the caller saw it. CodeStale:
// somebody else has moved it since.
func (tx *Tx) Progress(ctx context.Context, was string, a *muster.MeasureAct) error {
	return tx.exec(ctx, errStale, `UPDATE measure_acts SET progress = ?, seen = ?, matched = ?, done = ? WHERE id = ? AND progress = ? AND done = 0`,
		a.Cursor, a.Seen, a.Matched, a.Done, a.ID, was)
}

const matchColumns = `account, determination, phase, from_at, until_at, next_at, told`

func scanMatch(r row) (x muster.MatchRecord, err error) {
	return x, r.scan(&x.Account, &x.Determination, &x.Phase, &x.From, &x.Until, &x.Next, &x.Told)
}

// MatchesOf lists what an account comes under.
func (tx *Tx) MatchesOf(ctx context.Context, account string) ([]muster.MatchRecord, error) {
	return all(ctx, tx, scanMatch, `SELECT `+matchColumns+` FROM measure_matches WHERE account = ? ORDER BY determination`, account)
}

// MatchesBetween lists what accounts come under, of those past one id up to another.
func (tx *Tx) MatchesBetween(ctx context.Context, after, upTo string) ([]muster.MatchRecord, error) {
	return all(ctx, tx, scanMatch, `SELECT `+matchColumns+` FROM measure_matches WHERE account > ? AND account <= ? ORDER BY account, determination`, after, upTo)
}

// Matches lists the accounts under a determination, in the order of their ids.
func (tx *Tx) Matches(ctx context.Context, determination string, p muster.Page) ([]muster.MatchRecord, error) {
	return all(ctx, tx, scanMatch, `SELECT `+matchColumns+` FROM measure_matches WHERE determination = ? AND account > ? ORDER BY account LIMIT ?`,
		determination, p.After, p.Limit)
}

// CountMatches counts the accounts under each determination.
func (tx *Tx) CountMatches(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := tx.query(ctx, func(r row) error {
		var id string
		var n int
		err := r.scan(&id, &n)
		out[id] = n
		return err
	}, `SELECT determination, count(*) FROM measure_matches GROUP BY determination`)
	return out, err
}

// DueMatches lists accounts whose time has come.
func (tx *Tx) DueMatches(ctx context.Context, limit int) ([]string, error) {
	return all(ctx, tx, func(r row) (id string, err error) { return id, r.scan(&id) },
		`SELECT account FROM measure_matches WHERE next_at > 0 AND next_at <= ? ORDER BY next_at LIMIT ?`, tx.now, limit)
}

// PutMatches replaces what an account comes under. What was told of stays told.
func (tx *Tx) PutMatches(ctx context.Context, account string, rows ...muster.MatchRecord) error {
	if len(rows) == 0 {
		return tx.exec(ctx, nil, `DELETE FROM measure_matches WHERE account = ?`, account)
	}
	had, err := tx.MatchesOf(ctx, account)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, r := range rows {
		keep[r.Determination] = true
		if err := tx.exec(ctx, nil, `INSERT INTO measure_matches (`+matchColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (account, determination) DO UPDATE SET phase = excluded.phase, from_at = excluded.from_at, until_at = excluded.until_at,
				next_at = excluded.next_at`, account, r.Determination, r.Phase, r.From, r.Until, r.Next, r.Told); err != nil {
			return err
		}
	}
	for _, r := range had {
		if !keep[r.Determination] {
			if err := tx.exec(ctx, nil, `DELETE FROM measure_matches WHERE account = ? AND determination = ?`, account, r.Determination); err != nil {
				return err
			}
		}
	}
	return nil
}

// Told notes the phase of which a notice was given.
func (tx *Tx) Told(ctx context.Context, account, determination, phase string) error {
	return tx.exec(ctx, nil, `UPDATE measure_matches SET told = ? WHERE account = ? AND determination = ?`, phase, account, determination)
}

// Undue takes an account off what waits for its time: it cannot be decided.
func (tx *Tx) Undue(ctx context.Context, account string) error {
	return tx.exec(ctx, nil, `UPDATE measure_matches SET next_at = 0 WHERE account = ? AND next_at <= ?`, account, tx.now)
}

const factsColumns = `a.id, a.reference, a.customer, a.parent, a.state, a.decision, a.version, a.tag, a.beneath, d.facts, p.state
		FROM accounts a JOIN decisions d ON d.id = a.decision JOIN applications p ON p.id = d.application`

func scanFacts(r row) (x muster.FactsRecord, err error) {
	return x, r.scan(&x.ID, &x.Reference, &x.Customer, &x.Parent, &x.State, &x.Decision, &x.Version, &x.Tag, &x.Beneath, &x.Facts, &x.Application)
}

// AccountFacts lists accounts in the order of their ids, with the sealed facts of
// their latest decision.
func (tx *Tx) AccountFacts(ctx context.Context, p muster.Page) ([]muster.FactsRecord, error) {
	return all(ctx, tx, scanFacts, `SELECT `+factsColumns+` WHERE a.id > ? ORDER BY a.id LIMIT ?`, p.After, p.Limit)
}

// FactsUnder is AccountFacts of the accounts that come under a determination.
func (tx *Tx) FactsUnder(ctx context.Context, determination string, p muster.Page) ([]muster.FactsRecord, error) {
	return all(ctx, tx, scanFacts, `SELECT `+factsColumns+` JOIN measure_matches m ON m.account = a.id AND m.determination = ?
		WHERE a.id > ? ORDER BY a.id LIMIT ?`, determination, p.After, p.Limit)
}

// FactsDecided is AccountFacts of the accounts whose latest decision was made between
// two instants.
func (tx *Tx) FactsDecided(ctx context.Context, from, to time.Time, p muster.Page) ([]muster.FactsRecord, error) {
	return all(ctx, tx, scanFacts, `SELECT `+factsColumns+` WHERE a.id > ? AND a.decision >= ? AND a.decision < ? ORDER BY a.id LIMIT ?`,
		p.After, firstID(muster.PrefixDecision, from), firstID(muster.PrefixDecision, to), p.Limit)
}

// CountAccounts counts all accounts.
func (tx *Tx) CountAccounts(ctx context.Context) (int, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM accounts`)
	return int(n), err
}
