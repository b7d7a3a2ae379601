package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/compact"
)

const evidenceColumns = `id, subject, application, method, kind, revision, attributes, shows, rules, assurance, at, expires, producer, sealed, dropped, sealed_under`

func scanEvidence(r row) (*muster.EvidenceRecord, error) {
	x := &muster.EvidenceRecord{}
	var attributes, shows, rules string
	if err := r.scan(&x.ID, &x.Subject, &x.Application, &x.Method, (*string)(&x.Kind), &x.Revision, &attributes, &shows, &rules,
		(*string)(&x.Assurance), &x.At, &x.Expires, &x.Producer, &x.Sealed, &x.Dropped, &x.Key); err != nil {
		return nil, err
	}
	if err := fromJSON(attributes, &x.Attributes); err != nil {
		return nil, err
	}
	if err := fromJSON(shows, &x.Shows); err != nil {
		return nil, err
	}
	return x, fromJSON(rules, &x.Rules)
}

// EvidenceOf lists the evidence on all subjects of a customer, oldest first.
func (tx *Tx) EvidenceOf(ctx context.Context, customer string) ([]*muster.EvidenceRecord, error) {
	return all(ctx, tx, scanEvidence, `SELECT `+evidenceColumns+` FROM evidence
		WHERE subject IN (SELECT id FROM subjects WHERE customer = ?) ORDER BY at, id`, customer)
}

// AddEvidence inserts, with the row of its key where it has one of its own.
func (tx *Tx) AddEvidence(ctx context.Context, r *muster.EvidenceRecord) error {
	attributes, err := toJSON(r.Attributes, len(r.Attributes))
	if err != nil {
		return err
	}
	shows, err := toJSON(r.Shows, len(r.Shows))
	if err != nil {
		return err
	}
	rules, err := toJSON(r.Rules, len(r.Rules))
	if err != nil {
		return err
	}
	if err := tx.exec(ctx, nil, `INSERT INTO evidence (`+evidenceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Subject, r.Application, r.Method, string(r.Kind), r.Revision, attributes, shows, rules, string(r.Assurance),
		r.At, r.Expires, r.Producer, r.Sealed, r.Dropped, r.Key); err != nil {
		return err
	}
	return tx.addEvidenceKey(ctx, r)
}

const challengeColumns = `id, application, subject, method, revision, mac, target, made, expires, remaining, done`

func scanChallenge(r row) (*muster.ChallengeRecord, error) {
	x := &muster.ChallengeRecord{}
	return x, r.scan(&x.ID, &x.Application, &x.Subject, &x.Method, &x.Revision, &x.MAC, &x.Target, &x.Made, &x.Expires, &x.Left, &x.Done)
}

// Challenge finds a challenge.
func (tx *Tx) Challenge(ctx context.Context, id string) (*muster.ChallengeRecord, error) {
	return one(ctx, tx, "challenge", scanChallenge, `SELECT `+challengeColumns+` FROM challenges WHERE id = ?`, id)
}

// AddChallenge inserts.
func (tx *Tx) AddChallenge(ctx context.Context, r *muster.ChallengeRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO challenges (`+challengeColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Application, r.Subject, r.Method, r.Revision, r.MAC, r.Target, r.Made, r.Expires, r.Left, r.Done)
}

// SpendAttempt takes one attempt, in one statement, and returns how many are left.
// CodeRateLimited: none was left, or the challenge is done or has expired. That
// error does not end the transaction: nothing was written.
func (tx *Tx) SpendAttempt(ctx context.Context, id string) (left int, err error) {
	spent := false
	err = tx.change(ctx, func(r row) error {
		spent = true
		return r.scan(&left)
	}, `UPDATE challenges SET remaining = remaining - 1 WHERE id = ? AND remaining > 0 AND done = 0 AND expires > ? RETURNING remaining`,
		id, tx.now)
	if err != nil || spent {
		return left, err
	}
	if _, err := tx.Challenge(ctx, id); err != nil {
		return 0, err
	}
	return 0, muster.Errorf(muster.CodeRateLimited, "this code takes no more attempts")
}

// FinishChallenge marks a challenge as met. CodeConflict where it is met already, or not there.
func (tx *Tx) FinishChallenge(ctx context.Context, id string) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeConflict, "this challenge is met already"),
		`UPDATE challenges SET done = 1 WHERE id = ? AND done = 0`, id)
}

// SetCode keeps the keyed hash of the code that is about to be sent: one that was
// sent before is void.
func (tx *Tx) SetCode(ctx context.Context, id string, mac []byte) error {
	return tx.exec(ctx, muster.Errorf(muster.CodeNotFound, "there is no such challenge"),
		`UPDATE challenges SET mac = ? WHERE id = ?`, mac, id)
}

// ExpireChallenges removes challenges that were made before t and have expired, at most
// n, and says how many.
func (tx *Tx) ExpireChallenges(ctx context.Context, t time.Time, n int) (int64, error) {
	return tx.removed(ctx, `DELETE FROM challenges WHERE id IN (SELECT id FROM challenges WHERE made < ? AND expires <= ? LIMIT ?) RETURNING 1`, t, tx.now, n)
}

// ChallengesTo counts the challenges sent to a target since a time.
func (tx *Tx) ChallengesTo(ctx context.Context, target []byte, since time.Time) (int, error) {
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM challenges WHERE target = ? AND made >= ?`, target, since)
	return int(n), err
}

const (
	decisionFields  = `d.id, d.about_kind, d.about_id, d.application, d.customer, d.at, d.outcome, d.observed, d.body, d.facts, d.salt`
	decisionColumns = decisionFields + `, coalesce(l.idx, -1) FROM decisions d LEFT JOIN leaves l ON l.ref = d.id AND l.ref <> ''`
)

func scanDecision(r row) (*muster.DecisionRecord, error) {
	x := &muster.DecisionRecord{}
	err := r.scan(&x.ID, &x.About.Kind, &x.About.ID, &x.Application, &x.Customer, &x.At, (*string)(&x.Outcome), &x.Observed,
		&x.Body, &x.Facts, &x.Salt, &x.Leaf)
	// A body that somebody tampered with comes back as it lies there: it is not what
	// its leaf commits to, and an audit names it.
	if body, bad := compact.Unpack(x.Body); bad == nil {
		x.Body = body
	}
	return x, err
}

// Decision finds a decision. Leaf is -1 in the transaction that made it.
func (tx *Tx) Decision(ctx context.Context, id string) (*muster.DecisionRecord, error) {
	return one(ctx, tx, "decision", scanDecision, `SELECT `+decisionColumns+` WHERE d.id = ?`, id)
}

// DecisionsOf lists the decisions on a customer's file in the order of their ids;
// of one application, or ("") of all.
func (tx *Tx) DecisionsOf(ctx context.Context, customer, application string, p muster.Page) ([]*muster.DecisionRecord, error) {
	return all(ctx, tx, scanDecision, `SELECT `+decisionColumns+`
		WHERE d.customer = ? AND (? = '' OR d.application = ?) AND d.id > ? ORDER BY d.id LIMIT ?`,
		customer, application, application, p.After, p.Limit)
}

// DecisionsSince lists decisions in the order of their ids, which is that of their
// making: those at or after t, from after a key on.
func (tx *Tx) DecisionsSince(ctx context.Context, t time.Time, p muster.Page) ([]*muster.DecisionRecord, error) {
	after := p.After
	if floor := firstID(muster.PrefixDecision, t); after < floor {
		after = floor
	}
	return all(ctx, tx, scanDecision, `SELECT `+decisionColumns+` WHERE d.id > ? AND d.at >= ? ORDER BY d.id LIMIT ?`, after, t, p.Limit)
}

// AddDecision inserts.
func (tx *Tx) AddDecision(ctx context.Context, r *muster.DecisionRecord) error {
	return tx.exec(ctx, nil, `INSERT INTO decisions (id, about_kind, about_id, application, customer, at, outcome, observed, body, facts, salt)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.About.Kind, r.About.ID, r.Application, r.Customer, r.At, string(r.Outcome), r.Observed, compact.Pack(compact.Decision, r.Body), r.Facts, r.Salt)
}

const reviewColumns = `id, application, customer, decision, rules, state, opened, proposal, proposer, evidence, version`

func scanReview(r row) (*muster.ReviewRecord, error) {
	x := &muster.ReviewRecord{}
	var rules string
	if err := r.scan(&x.ID, &x.Application, &x.Customer, &x.Decision, &rules, &x.State, &x.Opened, &x.Proposal, &x.Proposer,
		&x.Evidence, &x.Version); err != nil {
		return nil, err
	}
	return x, fromJSON(rules, &x.Rules)
}

// Review finds a review.
func (tx *Tx) Review(ctx context.Context, id string) (*muster.ReviewRecord, error) {
	return one(ctx, tx, "review", scanReview, `SELECT `+reviewColumns+` FROM reviews WHERE id = ?`, id)
}

// OpenReview finds the review of an application that is open or proposed.
func (tx *Tx) OpenReview(ctx context.Context, application string) (*muster.ReviewRecord, error) {
	return one(ctx, tx, "review", scanReview, `SELECT `+reviewColumns+` FROM reviews WHERE application = ? AND state IN ('open', 'proposed')
		ORDER BY id DESC LIMIT 1`, application)
}

// Reviews lists reviews in the order of their ids, of one state or ("") of all.
func (tx *Tx) Reviews(ctx context.Context, state string, p muster.Page) ([]*muster.ReviewRecord, error) {
	if state == "" {
		return all(ctx, tx, scanReview, `SELECT `+reviewColumns+` FROM reviews WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
	}
	return all(ctx, tx, scanReview, `SELECT `+reviewColumns+` FROM reviews WHERE state = ? AND id > ? ORDER BY id LIMIT ?`, state, p.After, p.Limit)
}

// PutReview inserts or updates by version.
func (tx *Tx) PutReview(ctx context.Context, r *muster.ReviewRecord) error {
	rules, err := toJSON(r.Rules, len(r.Rules))
	if err != nil {
		return err
	}
	return tx.put(ctx, &r.Version,
		`INSERT INTO reviews (application, customer, decision, rules, state, opened, proposal, proposer, evidence, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE reviews SET application = ?, customer = ?, decision = ?, rules = ?, state = ?, opened = ?, proposal = ?, proposer = ?,
			evidence = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, r.Application, r.Customer, r.Decision, rules, r.State, r.Opened, r.Proposal, r.Proposer, r.Evidence)
}

// firstID is below every id of a kind made at t or later.
func firstID(prefix string, t time.Time) string {
	if t.UnixMilli() <= 0 {
		return ""
	}
	return muster.NewID(prefix, t)[:len(prefix)+10]
}
