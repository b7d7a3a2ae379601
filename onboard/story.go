package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
)

// Programme says which packs decide at an instant (package programme).
type Programme interface {
	At(t time.Time) (enforce, observe []*policy.Pack)
	Pack(ctx context.Context, digest string) (*policy.Pack, error)
	Ever() []*policy.Pack // every edition that was activated, at any time
}

// Listeners says whether anyone wants to hear of events (webhooks).
type Listeners interface{ Any() bool }

// Config of a Service. CustomerURL may be empty; the rest is required (Proofs for Bundle only).
type Config struct {
	DB          DB
	Vault       *vault.Vault
	Journal     *journal.Journal
	Checker     *validate.Checker
	Programme   Programme
	Staff       Staff
	Listeners   Listeners
	Proofs      Proofs
	Lists       Lists    // nil: there are no watch lists
	Measures    Measures // nil: there is no register of special measures
	Intake      Intake   // nil: there is no ledger, and a book's leases are not taken
	Clock       muster.Clock
	Mode        string // production | sandbox
	SweepPage   int    // customers that a sweep reads, opens and compares together; 0: 4,000
	CustomerURL string // where customers meet needs; {application} stands for the id
	Ways        Ways
	Uses        Uses // nil: a copy has no access records and leases
}

// Service is the room's verbs. Safe for concurrent use.
type Service struct {
	Config
	states states
}

// New makes a Service.
func New(c Config) *Service {
	if c.SweepPage <= 0 {
		c.SweepPage = 4000
	}
	return &Service{Config: c, states: newStates()}
}

// Apply takes an application from its first byte to a recorded decision.
//
// The same application again (equal after parsing) gets its answer as it stands;
// the same reference with other content is a conflict. One that is at fault is
// not taken: nothing of it is kept.
func (s *Service) Apply(ctx context.Context, by muster.Principal, body []byte) (*Answer, error) {
	checked, err := s.Checker.Read(body, s.Clock())
	if err != nil {
		// What was taken once is answered as it was, even where a table has changed since.
		if a, known := s.known(ctx, body); known == nil && a != nil {
			return a, nil
		}
		return nil, err
	}
	app := checked.Application
	if faults := reserved(app); faults != nil {
		return nil, muster.Invalid(faults...)
	}
	canonical, err := json.Marshal(app)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	d, err := s.draft(ctx, by, checked, canonical)
	if err != nil {
		return nil, err
	}
	var answer *Answer
	for try := 0; ; try++ {
		fresh := false
		err = s.DB.Arrive(ctx, app.Reference, app.AccountReference(), d.guess.asked.of, func(tx Tx, taken bool, counts []int64) (err error) {
			if !taken {
				fresh = true
				answer, err = s.take(ctx, tx, d, counts)
				return err
			}
			old, err := tx.Application(ctx, app.Reference)
			if muster.ErrorCode(err) == muster.CodeNotFound {
				return accountTaken(nil)
			}
			if err != nil {
				return err
			}
			answer, err = s.again(ctx, tx, old, canonical)
			return err
		})
		// The same application may have come in elsewhere at the same time: then it is there now.
		if muster.ErrorCode(err) != muster.CodeConflict || !fresh || try > 0 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// known answers an application that was taken before, by its reference.
func (s *Service) known(ctx context.Context, body []byte) (a *Answer, err error) {
	app, err := validate.Decode(body)
	if err != nil || !muster.IsReference(app.Reference) {
		return nil, err
	}
	canonical, err := json.Marshal(app)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	err = s.DB.View(ctx, func(tx Tx) error {
		old, err := tx.Application(ctx, app.Reference)
		if err != nil {
			return err
		}
		a, err = s.again(ctx, tx, old, canonical)
		return err
	})
	return a, err
}

// again answers a repeated application.
func (s *Service) again(ctx context.Context, tx Tx, old *muster.ApplicationRecord, canonical []byte) (*Answer, error) {
	if !s.Vault.RequestEqual(old.MAC, canonical) {
		return nil, &muster.Error{
			Code: muster.CodeConflict, Message: "this reference names another application, which stays as it was",
			Hint:   "to supply or correct claims: PATCH /v1/applications/" + old.ID + "/claims",
			Faults: []muster.Fault{{Pointer: "/reference", Code: "taken", Detail: "same reference, other content"}},
		}
	}
	return s.answer(ctx, tx, old)
}

// draft is what can be made ready before the transaction: keys, sealed claims,
// digests. If the transaction does not take it, its keys stay unused.
type draft struct {
	checked  *validate.Checked
	mac      []byte
	by       string
	facts    *muster.Facts
	subjects []*muster.SubjectRecord
	keys     map[string]vault.Key
	claims   []*muster.ClaimsRecord
	index    []muster.IndexRow
	digests  digests
	customer string
	watch    *Watch // lists that the facts were screened against; nil: none
	guess    *guess
}

func (s *Service) draft(ctx context.Context, by muster.Principal, c *validate.Checked, canonical []byte) (*draft, error) {
	now := s.Clock()
	d := &draft{
		checked: c, mac: s.Vault.RequestMAC(canonical), by: by.Operator, keys: map[string]vault.Key{},
		customer: muster.NewID(muster.PrefixCustomer, now),
	}
	keys, err := s.Vault.TakeKeys(ctx, len(c.Subjects))
	if err != nil {
		return nil, err
	}
	salt := tlog.NewSalt()
	commitment := tlog.CommitPart("claims", salt, canonical)
	if err := s.draftSubjects(d, keys, split(c.Application, salt), now); err != nil {
		return nil, err
	}
	d.digests = s.digestsOf(c)
	d.index = s.indexRows(c, d.subjects, d.keys, now)
	d.facts = claimed(c, d.subjects, muster.ClaimsRef{Revision: 1, Commitment: commitment[:]})
	if s.Mode == muster.ModeSandbox {
		d.facts.Magic = magic(c.Application.Customer.Email)
	}
	d.guess, err = s.guess(d)
	return d, err
}

// draftSubjects makes the rows of everybody on a draft and seals their claims, each
// under a key of their own.
func (s *Service) draftSubjects(d *draft, keys []vault.Key, pieces []place, now time.Time) error {
	for i, cs := range d.checked.Subjects {
		r := &muster.SubjectRecord{
			ID: muster.NewID(muster.PrefixSubject, now), Customer: d.customer, Role: cs.Role, Pointer: cs.Pointer,
			Key: keys[i].ID(), Revision: 1,
		}
		row, err := s.sealClaims(r, keys[i], &pieces[i].piece, d.by)
		if err != nil {
			return err
		}
		d.subjects = append(d.subjects, r)
		d.keys[r.ID] = keys[i]
		d.claims = append(d.claims, row)
	}
	return nil
}

// sealClaims seals one subject's piece for its place.
func (s *Service) sealClaims(r *muster.SubjectRecord, key vault.Key, p *piece, by string) (*muster.ClaimsRecord, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "claims cannot be written: %w", err)
	}
	sealed, err := s.Vault.Seal(key, claimsPlace(r.ID, r.Revision), data)
	if err != nil {
		return nil, err
	}
	return &muster.ClaimsRecord{Subject: r.ID, Revision: r.Revision, By: by, Sealed: sealed}, nil
}

func decodePiece(data []byte, p *piece) error {
	if err := json.Unmarshal(data, p); err != nil {
		return muster.Errorf(muster.CodeInternal, "sealed claims are not what they should be: %w", err)
	}
	return nil
}

// guess is a decision made before the transaction, as if nobody else shared a
// value with the applicant. It stands where the counts in the transaction say so:
// then the one writer has no more to do than write. Otherwise, and with a parent,
// whose state is read in there, the decision is made in the transaction.
type guess struct {
	asked    questions
	file     *file
	decision *decision // nil: none was made
}

func (s *Service) guess(d *draft) (*guess, error) {
	now := s.Clock()
	enforce, observe, err := s.packs(d.facts, now)
	if err != nil {
		return nil, err
	}
	packs := slices.Concat(enforce, observe)
	g := &guess{asked: ask(packs, d.digests, now)}
	if w, wanted := s.watching(packs); w != nil {
		d.watch = w
		screenOn(w, wanted, &file{claims: d.checked.Application}, d.facts)
	}
	if d.checked.Application.Parent != nil {
		return g, nil
	}
	counts := make([]int64, len(g.asked.of))
	g.asked.with(counts, d.index)
	g.asked.fill(d.facts, counts)
	g.file = s.newFile(d, now)
	g.decision, err = s.weigh(g.file, d.facts, eventReceived, now, enforce, observe)
	return g, err
}

// stands reports whether the guess holds, given the counts without the applicant's own rows.
func (g *guess) stands(counts []int64) bool {
	return g.decision != nil && !slices.ContainsFunc(counts, func(n int64) bool { return n != 0 })
}

// eventReceived is the event of an application's first decision.
const eventReceived = "received"

// newFile is the file of a draft, before it is decided.
func (s *Service) newFile(d *draft, now time.Time) *file {
	app := d.checked.Application
	f := &file{
		customer: &muster.CustomerRecord{ID: d.customer, Kind: d.checked.Subjects[0].Kind, Made: now},
		account: &muster.AccountRecord{
			ID: muster.NewID(muster.PrefixAccount, now), Reference: app.AccountReference(), Customer: d.customer, State: muster.AccPending,
			Tag: app.Tag,
		},
		app: &muster.ApplicationRecord{
			ID: muster.NewID(muster.PrefixApplication, now), Reference: app.Reference, MAC: d.mac, Customer: d.customer,
			State: muster.AppReceived, Revision: 1, Received: now,
		},
		subjects: d.subjects, keys: d.keys, claims: app, watch: d.watch,
	}
	f.accounts = []*muster.AccountRecord{f.account}
	f.app.Account = f.account.ID
	return f
}

// decideNew decides a draft in the transaction that takes it, where the guess does
// not stand.
func (s *Service) decideNew(ctx context.Context, tx Tx, d *draft) (*file, *decision, error) {
	f := s.newFile(d, tx.Now())
	if err := s.parent(ctx, tx, f, d.checked.Application.Parent); err != nil {
		return nil, nil, err
	}
	decision, err := s.decide(ctx, tx, f, d.facts, eventReceived, d.digests)
	return f, decision, err
}

// take writes a new application: customer, account, subjects, claims, index
// rows, and the first decision with its leaf.
func (s *Service) take(ctx context.Context, tx Tx, d *draft, counts []int64) (*Answer, error) {
	if err := tx.AddIndex(ctx, d.index...); err != nil {
		return nil, err
	}
	f, decision := d.guess.file, d.guess.decision
	if !d.guess.stands(counts) {
		d.guess.decision = nil // the facts that it was made of are about to change
		var err error
		if f, decision, err = s.decideNew(ctx, tx, d); err != nil {
			return nil, err
		}
	}
	for _, c := range d.claims {
		c.At = f.app.Received
	}
	if err := tx.PutCustomer(ctx, f.customer); err != nil {
		return nil, err
	}
	decision.applied = false // written with it
	if err := tx.PutSubjects(ctx, d.subjects...); err != nil {
		return nil, err
	}
	if err := tx.AddClaims(ctx, d.claims...); err != nil {
		return nil, err
	}
	if err := s.save(ctx, tx, f, decision); err != nil {
		return nil, err
	}
	a := s.answerWith(f.app, f.account, &decision.Decision)
	a.Created = true
	return a, nil
}

// reserved refuses references of the form of our own ids: a look-up takes either.
func reserved(app *muster.Application) (faults []muster.Fault) {
	for _, x := range []struct{ pointer, prefix, name string }{
		{"/reference", muster.PrefixApplication, app.Reference}, {"/account", muster.PrefixAccount, app.AccountReference()},
	} {
		if strings.HasPrefix(x.name, x.prefix) && len(x.name) == len(x.prefix)+26 {
			faults = append(faults, muster.Fault{Pointer: x.pointer, Code: "reserved", Detail: "this reference has the form of an id of ours"})
		}
	}
	return faults
}

// accountTaken is said where the name is known to be it; the store would refuse it
// too, but perhaps only at the commit.
func accountTaken(cause error) error {
	return &muster.Error{
		Code: muster.CodeConflict, Message: "this account reference is in use", Cause: cause,
		Faults: []muster.Fault{{Pointer: "/account", Code: "taken", Detail: "an account of that reference exists"}},
		Hint:   "name another account, or correct the application that it came with",
	}
}

// parent finds the account above and says what it is to this one.
func (s *Service) parent(ctx context.Context, tx Tx, f *file, p *muster.Parent) error {
	if p == nil {
		return nil
	}
	above, err := tx.Account(ctx, p.Account)
	if muster.ErrorCode(err) == muster.CodeNotFound || err == nil && above.Reference != p.Account {
		return muster.Invalid(muster.Fault{Pointer: "/parent/account", Code: "unknown_account", Detail: "no account of that reference"})
	}
	if err != nil {
		return err
	}
	if above.State == muster.AccClosing || above.State == muster.AccClosed {
		return muster.Invalid(muster.Fault{Pointer: "/parent/account", Code: "ended_account", Detail: "that account is ending or has ended"})
	}
	f.account.Parent, f.account.Relation, f.parentState = above.ID, p.Relation, above.State
	return nil
}
