package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
)

// decision is a decision on its way into the store.
type decision struct {
	muster.Decision
	observed bool // no pack enforces: recorded, and nothing else
	sealed   *journal.Sealed
	profiles []*muster.ProfileRecord // what the gate says of each account of the file, before their hashes
	facts    *muster.Facts
	under    map[string][]muster.AccountMeasure // by account id; nil: no measure is enacted
	without  *muster.Decision                   // what would be decided without measures; nil: the same
	applied  bool                               // a pack decided that had not decided on this file before: the customer's row changed
}

// decide settles facts, asks the packs in effect, and moves application and
// accounts in memory. save writes it all.
func (s *Service) decide(ctx context.Context, tx Tx, f *file, facts *muster.Facts, event string, fresh digests) (*decision, error) {
	enforce, observe, err := s.packs(facts, tx.Now())
	if err != nil {
		return nil, err
	}
	packs := slices.Concat(enforce, observe)
	if err := s.screen(ctx, tx, f, facts, packs, false); err != nil {
		return nil, err
	}
	questions := ask(packs, fresh, tx.Now())
	counts, err := tx.CountHandles(ctx, questions.of...)
	if err != nil {
		return nil, err
	}
	questions.fill(facts, counts)
	return s.weigh(f, facts, event, tx.Now(), enforce, observe)
}

// packs are those that decide facts at an instant.
func (s *Service) packs(facts *muster.Facts, now time.Time) (enforce, observe []*policy.Pack, err error) {
	enforce, observe = s.Programme.At(now)
	if i := slices.IndexFunc(enforce, isSandbox); i >= 0 && facts.Magic != "" {
		enforce, observe = enforce[i:i+1], nil // who asked to see an outcome sees that one
	} else { // nobody else is decided by it: where it stands alone, nothing opens
		enforce, observe = slices.DeleteFunc(enforce, isSandbox), slices.DeleteFunc(observe, isSandbox)
	}
	if len(enforce)+len(observe) == 0 {
		return nil, nil, &muster.Error{
			Code: muster.CodeUnavailable, Message: "no policy pack is in effect, so nothing can be opened",
			Hint: "activate one: muster policy activate FILE", RetryAfter: time.Minute,
		}
	}
	return enforce, observe, nil
}

// weigh decides settled facts by the packs and seals what came out. It reads and
// writes nothing: f moves in memory.
func (s *Service) weigh(f *file, facts *muster.Facts, event string, now time.Time, enforce, observe []*policy.Pack) (*decision, error) {
	f.settle(facts, event, s.Mode, now)
	if err := s.judgeHits(f, facts, slices.Concat(enforce, observe), now); err != nil {
		return nil, err
	}
	d := &decision{facts: facts}
	s.under(d, f, facts, now)
	if len(enforce) > 0 {
		d.Decision = policy.Decide(enforce, facts)
		if len(observe) > 0 {
			d.Observed = append(d.Observed, policy.Decide(observe, facts).Reasons...)
		}
	} else {
		d.Decision, d.observed = policy.Decide(observe, facts), true
	}
	d.observed = d.observed || f.presumed(d, facts)
	d.ID = muster.NewID(muster.PrefixDecision, now)
	if err := s.beneath(d, f, facts, enforce); err != nil {
		return nil, err
	}
	to, err := s.states.moveApplication(f.app.State, string(d.Outcome))
	if f.open() {
		if err != nil {
			return nil, err
		}
		f.app.State = to
	}
	f.settled(d, facts, now)
	f.app.Decision, f.app.Updated, f.app.Shadow = d.ID, now, d.observed || f.adopted != nil && f.adopted.Decided.IsZero()
	d.applied = f.customer.Apply(d.Packs)
	on := accountEvent(&d.Decision, facts)
	if d.observed {
		on = string(muster.OutcomeOpen)
	}
	for _, a := range f.accounts {
		if err := s.moveAccount(a, on, d.ID, now); err != nil {
			return nil, err
		}
		if a.Beneath == a.State {
			a.Beneath = ""
		}
		bare, without := d.gated(a)
		profile, err := composed(bare, without, d.transitions(a))
		if err != nil {
			return nil, err
		}
		d.profiles = append(d.profiles, profile)
	}
	stripped := policy.Strip(d.Decision)
	body, err := json.Marshal(&stripped)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a decision cannot be written: %w", err)
	}
	parts, err := journal.Take(facts, f.keys)
	if err != nil {
		return nil, err
	}
	d.sealed, err = s.Journal.Seal(journal.Decision{Parts: parts, Record: &muster.DecisionRecord{
		ID: d.ID, About: d.About, Application: f.app.ID, Customer: f.app.Customer, At: now, Outcome: d.Outcome,
		Observed: d.observed, Body: body,
	}})
	return d, err
}

func isSandbox(p *policy.Pack) bool { return p.Document().Kind == policy.KindSandbox }

// moveAccount moves one account and keeps its clocks.
func (s *Service) moveAccount(a *muster.AccountRecord, on, by string, now time.Time) error {
	to, err := s.states.moveAccount(a.State, on)
	if err != nil {
		return err
	}
	if on == EventInterim && a.InterimSince.IsZero() {
		a.InterimSince = now
	}
	if to == muster.AccActive && a.Opened.IsZero() {
		a.Opened = now
	}
	if to == muster.AccClosed && a.Closed.IsZero() {
		a.Closed = now
	}
	if over(to) { // for good, measures or not
		a.Beneath = ""
	}
	a.State, a.Decision = to, by
	return nil
}

// save writes the decision and everything it moved.
func (s *Service) save(ctx context.Context, tx Tx, f *file, d *decision) error {
	for i, a := range f.accounts {
		profile := d.profiles[i]
		profile.Fresh = a.Version == 0
		s.hashed(profile, a.Reference)
		if err := tx.PutAccount(ctx, a); err != nil {
			if muster.ErrorCode(err) == muster.CodeConflict {
				return accountTaken(err)
			}
			return err
		}
		if err := tx.PutGate(ctx, profile); err != nil {
			return err
		}
	}
	if d.applied {
		if err := tx.PutCustomer(ctx, f.customer); err != nil {
			return err
		}
	}
	if err := tx.PutApplication(ctx, f.app); err != nil {
		return err
	}
	if f.adopted != nil && !f.adopted.Decided.IsZero() {
		if err := tx.PutAdopted(ctx, f.adopted); err != nil {
			return err
		}
	}
	if err := s.Journal.Write(ctx, tx, d.sealed); err != nil {
		return err
	}
	if err := saveHits(ctx, tx, f); err != nil {
		return err
	}
	if err := s.keep(ctx, tx, f, d); err != nil {
		return err
	}
	if err := s.reviewFor(ctx, tx, f, d); err != nil {
		return err
	}
	return s.announce(ctx, tx, f, d)
}

// reviewFor opens a case where the decision asks for a person, and sets aside
// one that it no longer asks for. An approved customer gets one too: suspension is
// a person's finding already, or a measure's, and asks for none.
func (s *Service) reviewFor(ctx context.Context, tx Tx, f *file, d *decision) error {
	if d.facts.Event == eventReceived && f.app.State != muster.AppReview {
		return nil
	}
	r, err := tx.OpenReview(ctx, f.app.ID)
	if code := muster.ErrorCode(err); code != "" && code != muster.CodeNotFound {
		return err
	}
	wanted := !d.observed && (f.app.State == muster.AppReview || f.app.State == muster.AppApproved && d.Outcome == muster.OutcomeReview)
	switch {
	case wanted && err != nil:
		r = &muster.ReviewRecord{
			ID: muster.NewID(muster.PrefixReview, tx.Now()), Application: f.app.ID, Customer: f.app.Customer, Decision: d.ID,
			State: muster.ReviewOpen, Opened: tx.Now(),
		}
		for _, reason := range d.Reasons {
			if reason.Outcome.Severity() >= muster.OutcomeReview.Severity() {
				rule := reason.Pack + "/" + reason.Rule
				if reason.Measure != "" { // the finding is on the measure, whichever rule cites it
					rule = policy.RuleOfMeasure + reason.Measure
				}
				r.Rules = append(r.Rules, rule)
			}
		}
	case !wanted && err == nil && !appealed(r, d.facts):
		r.State = muster.ReviewMoot
	default:
		return nil
	}
	return tx.PutReview(ctx, r)
}

// EventDecided tells listeners of a decision on an application, and of where its account stands now.
const EventDecided = "application.decided"

// announce enqueues what the decision sets off: a notice to listeners, and the
// instant at which it has to be looked at again. Rows hold ids and outcomes only.
func (s *Service) announce(ctx context.Context, tx Tx, f *file, d *decision) error {
	if s.Listeners.Any() {
		id := muster.NewID(muster.PrefixMessage, tx.Now())
		payload, err := json.Marshal(muster.Event{ID: id, Type: EventDecided, At: d.At, Data: muster.EventData{
			Application: f.app.ID, Reference: f.app.Reference, State: f.app.State, Account: f.account.Reference,
			AccountState: f.account.State, Customer: f.app.Customer, Decision: d.ID, Outcome: d.Outcome,
		}})
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "an event cannot be written: %w", err)
		}
		if err := tx.Enqueue(ctx, &muster.Job{ID: id, Kind: muster.JobPublish, Ref: f.app.ID, Payload: payload, RunAt: tx.Now()}); err != nil {
			return err
		}
	}
	return s.lookAgain(ctx, tx, f, d.Until)
}

// redecide decides a file anew on the facts of its last decision: after evidence,
// a resolution, or time.
func (s *Service) redecide(ctx context.Context, tx Tx, f *file, event string, fresh digests) (*Answer, error) {
	facts, err := s.lastFacts(ctx, tx, f)
	if err != nil {
		return nil, err
	}
	if facts.Event == eventAdopted || f.due {
		if fresh, err = s.firstCounts(ctx, tx, f, fresh); err != nil {
			return nil, err
		}
	}
	d, err := s.decide(ctx, tx, f, facts, event, fresh)
	if err != nil {
		return nil, err
	}
	if err := s.save(ctx, tx, f, d); err != nil {
		return nil, err
	}
	return s.answerWith(f.app, f.account, &d.Decision), nil
}

// attempts at a transaction that lost a race for the same file.
const attempts = 4

// change runs fn on a loaded file in a transaction, again where another change
// of the same file came between.
func (s *Service) change(ctx context.Context, id string, fn func(Tx, *file) (*Answer, error)) (a *Answer, err error) {
	for range attempts {
		err = s.DB.InTx(ctx, func(tx Tx) error {
			f, err := s.load(ctx, tx, id)
			if err != nil {
				return err
			}
			a, err = fn(tx, f)
			return err
		})
		if muster.ErrorCode(err) != muster.CodeStale {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}
