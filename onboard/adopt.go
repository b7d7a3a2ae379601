package onboard

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
)

// A customer of the provider's book comes in as a file like any other, with all that
// later decisions read, and with a decision that decides nothing: everybody on it is
// presumed, and the gate is open. What packs say of it is enforced once its cohort
// is due (cohort.go). Nothing is sent to anybody.

// eventAdopted is the event of the facts with which a customer came in.
const eventAdopted = "adopted"

// ruleAdopted is the reason of the decision that decides nothing.
const ruleAdopted = "taken_over"

// adoption is one customer of a book, ready to be written.
type adoption struct {
	line     int
	lookup   []string // references that must be free, or be this very customer's
	parent   *muster.Parent
	customer *muster.CustomerRecord
	app      *muster.ApplicationRecord
	accounts []*muster.AccountRecord // the first is the application's
	subjects []*muster.SubjectRecord
	claims   []*muster.ClaimsRecord
	evidence []*muster.EvidenceRecord
	index    []muster.IndexRow
	profiles []*muster.ProfileRecord // of accounts, in turn
	sealed   *journal.Sealed
	matches  [][]muster.MatchRecord // of accounts, in turn; nil: none comes under a measure
	adopted  *muster.AdoptedRecord
}

// stated is one line that holds what it should, not yet drafted.
type stated struct {
	line    int
	book    *book.Customer
	checked *validate.Checked
	claims  []byte // the application, in one spelling
	whole   []byte // all that the line says, likewise
}

// state reads one customer line to its end.
func (s *Service) state(line int, c *book.Customer, now time.Time) (*stated, error) {
	checked, err := s.Checker.Read(c.Application, now)
	if err != nil {
		return nil, below(err, "/customer/application")
	}
	var faults []muster.Fault
	for _, f := range reserved(checked.Application) {
		faults = append(faults, muster.Fault{Pointer: "/customer/application" + f.Pointer, Code: f.Code, Detail: f.Detail})
	}
	names := []string{checked.Application.AccountReference()}
	for i, a := range c.Accounts {
		at := "/customer/accounts/" + strconv.Itoa(i) + "/account"
		for _, f := range reserved(&muster.Application{Account: a.Account}) {
			faults = append(faults, muster.Fault{Pointer: at, Code: f.Code, Detail: f.Detail})
		}
		if f, wrong := s.Checker.Reference(a.Account, at); wrong {
			faults = append(faults, f)
		}
		if slices.Contains(names, a.Account) {
			faults = append(faults, muster.Fault{Pointer: at, Code: "twice", Detail: "stands there twice"})
		}
		names = append(names, a.Account)
	}
	for i, e := range c.Evidence {
		if !slices.ContainsFunc(checked.Subjects, func(x validate.Subject) bool { return x.Pointer == subjectPointer(&e) }) {
			faults = append(faults, muster.Fault{Pointer: "/customer/evidence/" + strconv.Itoa(i) + "/subject", Code: "unknown_subject", Detail: "points to nobody on this application"})
		}
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	x := &stated{line: line, book: c, checked: checked}
	if x.claims, err = json.Marshal(checked.Application); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	same := *c
	same.Application = x.claims
	if x.whole, err = json.Marshal(&same); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a line cannot be written: %w", err)
	}
	return x, nil
}

func subjectPointer(e *book.Evidence) string { return or(e.Subject, "/customer") }

// below puts faults under a pointer; an error without them is a fault of the whole.
func below(err error, at string) error {
	var e *muster.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code != muster.CodeInvalid || len(e.Faults) == 0 {
		if e.Code != muster.CodeMalformed && e.Code != muster.CodeTooLarge {
			return err
		}
		return muster.Invalid(muster.Fault{Pointer: at, Code: string(e.Code), Detail: e.Message})
	}
	faults := slices.Clone(e.Faults)
	for i := range faults {
		faults[i].Pointer = at + faults[i].Pointer
	}
	return muster.Invalid(faults...)
}

// keysFor is how many keys a customer takes: one for each person, one for each piece
// of evidence of which something was seen.
func (x *stated) keysFor() int {
	n := len(x.checked.Subjects)
	for i := range x.book.Evidence {
		if len(x.book.Evidence[i].Details) > 0 {
			n++
		}
	}
	return n
}

// adopt makes a customer ready to be written: keys are those of its subjects, in turn,
// then those of its evidence.
// Nothing is written, so it may be done for many at once.
func (s *Service) adopt(x *stated, keys []vault.Key, by string, r *muster.ImportRecord, now time.Time) (*adoption, error) {
	app := x.checked.Application
	a := &adoption{line: x.line, parent: app.Parent}
	d := &draft{
		checked: x.checked, mac: s.Vault.RequestMAC(x.whole), by: by, keys: map[string]vault.Key{},
		customer: muster.NewID(muster.PrefixCustomer, now),
	}
	salt := tlog.NewSalt()
	if err := s.draftSubjects(d, keys[:len(x.checked.Subjects)], split(app, salt), now); err != nil {
		return nil, err
	}
	a.subjects, a.claims = d.subjects, d.claims
	for _, c := range a.claims {
		c.At = now
	}
	a.index = s.indexRows(x.checked, a.subjects, d.keys, now)
	commitment := tlog.CommitPart("claims", salt, x.claims)
	d.facts = claimed(x.checked, d.subjects, muster.ClaimsRef{Revision: 1, Commitment: commitment[:]})
	f := s.newFile(d, now)
	standings(a, f, x.book, now)
	a.customer, a.app, a.accounts = f.customer, f.app, f.accounts
	if err := s.adoptEvidence(a, f, x.book, keys[len(x.checked.Subjects):], by); err != nil {
		return nil, err
	}
	f.settle(d.facts, eventAdopted, s.Mode, now)
	a.adopted = &muster.AdoptedRecord{Account: f.account.ID, Cohort: r.Cohort, Import: r.ID}
	if f.app.State == muster.AppWithdrawn {
		a.adopted.Decided, a.adopted.Ground = now, or(x.book.Ground, book.GroundLeft)
	}
	if abusers(x.book) {
		a.index = append(a.index, s.abuseRows(x.checked, a.subjects[0], keys[0], endOf(a.accounts, now))...)
	}
	return a, s.undecided(a, f, d.facts, now)
}

// standings makes the accounts as the book says they stand, and the application as
// that leaves it: one who has left is asked for nothing any more.
func standings(a *adoption, f *file, c *book.Customer, now time.Time) {
	stand := func(r *muster.AccountRecord, since book.Instant, state string, closed book.Instant) {
		r.State, r.Opened, r.Closed = or(state, muster.AccActive), since.Time, closed.Time
		if r.Opened.IsZero() {
			if r.Opened = now; !r.Closed.IsZero() {
				r.Opened = r.Closed // it was open once: retention counts as for anybody who left
			}
		}
	}
	stand(f.account, c.Since, c.State, c.Closed)
	for _, x := range c.Accounts {
		r := &muster.AccountRecord{ID: muster.NewID(muster.PrefixAccount, now), Reference: x.Account, Customer: f.customer.ID, Tag: x.Tag}
		stand(r, x.Since, x.State, x.Closed)
		f.accounts = append(f.accounts, r)
	}
	f.app.Updated, f.app.Shadow = now, true
	if !slices.ContainsFunc(f.accounts, func(r *muster.AccountRecord) bool { return r.State != muster.AccClosed }) {
		f.app.State, f.app.Shadow = muster.AppWithdrawn, false
	}
	a.lookup = []string{f.app.Reference}
	for _, r := range f.accounts {
		a.lookup = append(a.lookup, r.Reference)
	}
}

func abusers(c *book.Customer) bool {
	return c.Ground == book.GroundAbuse || slices.ContainsFunc(c.Accounts, func(a book.Account) bool { return a.Ground == book.GroundAbuse })
}

// endOf is the latest end of an account.
func endOf(accounts []*muster.AccountRecord, now time.Time) (end time.Time) {
	for _, a := range accounts {
		if a.Closed.After(end) {
			end = a.Closed
		}
	}
	if end.IsZero() {
		return now
	}
	return end
}

// adoptEvidence seals what was seen before, each with a key of its own.
func (s *Service) adoptEvidence(a *adoption, f *file, c *book.Customer, keys []vault.Key, by string) error {
	for i := range c.Evidence {
		e := &c.Evidence[i]
		at := slices.IndexFunc(a.subjects, func(r *muster.SubjectRecord) bool { return r.Pointer == subjectPointer(e) })
		r := &muster.EvidenceRecord{Application: f.app.ID, Evidence: muster.Evidence{
			ID: muster.NewID(muster.PrefixEvidence, e.At.Time), Subject: a.subjects[at].ID, Method: e.Method, Kind: e.Kind, Revision: 1,
			Attributes: e.Attributes, Shows: e.Shows, Assurance: e.Assurance, At: e.At.Time, Expires: e.Expires.Time, Producer: by,
		}}
		if len(e.Details) > 0 {
			own := keys[0]
			keys = keys[1:]
			if err := s.sealDetails(own, r, e.Details); err != nil {
				return err
			}
		}
		a.evidence = append(a.evidence, r)
	}
	f.evidence = a.evidence
	return nil
}

// undecided makes the record that an existing customer has before anybody decides:
// everybody on it is presumed, nothing is asked, and its leaf commits to it and to
// the facts. It stands until the cohort is due.
func (s *Service) undecided(a *adoption, f *file, facts *muster.Facts, now time.Time) error {
	d := muster.Decision{
		ID: muster.NewID(muster.PrefixDecision, now), About: facts.About, At: now, Mode: s.Mode, Outcome: muster.OutcomeOpen,
		Reasons: []muster.Reason{{Rule: ruleAdopted, Code: ruleAdopted, Operator: "Taken over from the provider's book. Nothing was decided."}},
		Foreign: map[string]string{}, Packs: []muster.PackRef{},
	}
	for _, r := range a.subjects {
		d.Foreign[r.ID] = muster.StatusPresumed
	}
	f.app.Decision = d.ID
	for i, r := range a.accounts {
		r.Decision = d.ID
		under := s.comesUnder(a, i, facts, r, now)
		profile, err := s.profileOf(r, &d, under, true)
		if err != nil {
			return err
		}
		a.profiles = append(a.profiles, profile)
	}
	body, err := json.Marshal(&d)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a decision cannot be written: %w", err)
	}
	parts, err := journal.Take(facts, f.keys)
	if err != nil {
		return err
	}
	a.sealed, err = s.Journal.Seal(journal.Decision{Parts: parts, Record: &muster.DecisionRecord{
		ID: d.ID, About: d.About, Application: f.app.ID, Customer: f.customer.ID, At: now, Outcome: d.Outcome, Observed: true, Body: body,
	}})
	return err
}

// comesUnder is what special measures do at the gate to an account that comes in: a
// measure binds whoever is on file. The duty of measures decides it at once.
func (s *Service) comesUnder(a *adoption, i int, facts *muster.Facts, r *muster.AccountRecord, now time.Time) (list []muster.Transition) {
	if s.Measures == nil || !s.Measures.Any() || over(r.State) {
		return nil
	}
	under := s.Measures.Of(facts, r, now)
	if len(under) == 0 {
		return nil
	}
	rows := s.Measures.Rows(r, under, now)
	for k := range rows {
		rows[k].Next = now
	}
	if a.matches == nil {
		a.matches = make([][]muster.MatchRecord, len(a.accounts))
	}
	a.matches[i] = rows
	for _, m := range under {
		list = append(list, m.Transitions...)
	}
	return list
}

// write writes one adoption. Its references are free, and its parent is found.
func (a *adoption) write(ctx context.Context, tx Tx, j *journal.Journal) error {
	if err := tx.AddIndex(ctx, a.index...); err != nil {
		return err
	}
	if err := tx.PutCustomer(ctx, a.customer); err != nil {
		return err
	}
	if err := tx.PutSubjects(ctx, a.subjects...); err != nil {
		return err
	}
	if err := tx.AddClaims(ctx, a.claims...); err != nil {
		return err
	}
	for i, r := range a.accounts {
		if err := tx.PutAccount(ctx, r); err != nil {
			return err
		}
		if err := tx.PutGate(ctx, a.profiles[i]); err != nil {
			return err
		}
		if a.matches != nil && a.matches[i] != nil {
			if err := tx.PutMatches(ctx, r.ID, a.matches[i]...); err != nil {
				return err
			}
		}
	}
	if err := tx.PutApplication(ctx, a.app); err != nil {
		return err
	}
	for _, e := range a.evidence {
		if err := tx.AddEvidence(ctx, e); err != nil {
			return err
		}
	}
	if err := tx.PutAdopted(ctx, a.adopted); err != nil {
		return err
	}
	return j.Write(ctx, tx, a.sealed)
}
