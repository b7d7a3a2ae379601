package onboard

import (
	"context"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/verify/contact"
)

// Seen says about whom and by whom something was seen.
type Seen struct {
	Subject  string           // subject id
	Kind     muster.PartyKind // of the subject
	Revision int              // of the claims that it was held against
	Operator string
	Now      time.Time // of the transaction
}

// Found is what a way of verification made of its input.
type Found struct {
	Evidence muster.Evidence
	Details  []byte     // what was seen, to be sealed; nil for nothing
	Kind     vault.Kind // of the value below
	Value    string     // for the blind index: issuer, type and number of a document; "" for none, as where there are no details
}

// Recorded is a method whose input staff write down.
type Recorded struct {
	muster.Method
	Take func(seen Seen, input []byte) (*Found, error)

	// Value reads from sealed details the value that Take found for the blind index, ""
	// for none. nil: the method finds none.
	Value func(details []byte) (vault.Kind, string, error)
}

// Contact is a method that sends a one-time code to an address in the claims.
type Contact struct {
	muster.Method
	Ready   bool       // this deployment has a way to send
	Kind    vault.Kind // of the address: e-mail or telephone
	Address func(*validate.NormalSubject) string
}

// Ways is the table of methods, by name. cmd/muster fills it.
type Ways struct {
	Recorded map[string]Recorded
	Contact  map[string]Contact
}

// Challenge sends a one-time code to a subject's e-mail address or telephone.
func (s *Service) Challenge(ctx context.Context, by muster.Principal, id string, r ChallengeRequest) (*ChallengeAnswer, error) {
	way, ok := s.Ways.Contact[r.Method]
	if !ok {
		return nil, unknownMethod()
	}
	if !way.Ready {
		return nil, &muster.Error{
			Code: muster.CodeUnavailable, Message: "this deployment has no way to send such a code", RetryAfter: time.Hour,
			Hint: "configure mail or sms and start again, or verify in another way: GET /v1/methods",
		}
	}
	var c *muster.ChallengeRecord
	err := s.DB.InTx(ctx, func(tx Tx) error {
		f, err := s.load(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := f.mustBeOpen("challenge"); err != nil {
			return err
		}
		subject, err := f.subject(r.Subject)
		if err != nil {
			return err
		}
		target, err := s.target(ctx, tx, f, subject, way)
		if err != nil {
			return err
		}
		if err := s.allowed(ctx, tx, target); err != nil {
			return err
		}
		c = &muster.ChallengeRecord{
			ID: muster.NewID(muster.PrefixChallenge, tx.Now()), Application: f.app.ID, Subject: subject.ID, Method: r.Method,
			Revision: subject.Revision, Target: target[0], Made: tx.Now(), Expires: tx.Now().Add(contact.Lifetime), Left: contact.Attempts,
		}
		// The code is drawn when it is sent, so that none lies in a job's row.
		if err := tx.AddChallenge(ctx, c); err != nil {
			return err
		}
		return tx.Enqueue(ctx, &muster.Job{
			ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobSendCode, Ref: c.ID, RunAt: tx.Now(),
		})
	})
	if err != nil {
		return nil, err
	}
	return &ChallengeAnswer{Challenge: c.ID, Method: c.Method, Expires: c.Expires, Attempts: c.Left}, nil
}

// CodesCount is how long a code that was sent counts for the limits.
const CodesCount = 24 * time.Hour

// allowed holds the limits of codes to one target. No country and no carrier is
// ever shut out: only the address counts.
func (s *Service) allowed(ctx context.Context, tx Tx, target [][]byte) error {
	hour, day := 0, 0
	for _, t := range target {
		for _, span := range []struct {
			n     *int
			since time.Duration
		}{{&hour, time.Hour}, {&day, CodesCount}} {
			n, err := tx.ChallengesTo(ctx, t, tx.Now().Add(-span.since))
			if err != nil {
				return err
			}
			*span.n += n
		}
	}
	if ok, wait := contact.DefaultLimits.Allowed(hour, day); !ok {
		return &muster.Error{Code: muster.CodeRateLimited, Message: "enough codes for now", RetryAfter: wait}
	}
	return nil
}

// target is the keyed digest of the address that a code would go to, under every live
// version of its key, that in use first: the address itself stays inside, so this is
// part of deciding; sending it opens it by the other door.
func (s *Service) target(ctx context.Context, tx Tx, f *file, subject *muster.SubjectRecord, way Contact) ([][]byte, error) {
	row, err := tx.Claims(ctx, subject.ID, subject.Revision)
	if err != nil {
		return nil, err
	}
	session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
	data, err := session.Open(ctx, vault.Item{KeyID: subject.Key, Place: claimsPlace(subject.ID, row.Revision), Sealed: row.Sealed})
	if err != nil {
		return nil, err
	}
	address, _, err := s.addressIn(data, way)
	if muster.ErrorCode(err) == muster.CodeGone {
		return nil, muster.Invalid(muster.Fault{Pointer: "/method", Code: "claim_absent", Detail: "the address was not stated: supply it first"})
	}
	if err != nil {
		return nil, err
	}
	return s.Vault.Digests(way.Kind, normaliser, address), nil
}

// ToSend draws the code of a challenge and opens its address, for the sender: a
// reveal, whose leaf is durable first. A challenge that ended gives CodeGone:
// nothing is to be sent. Sent again after a failure, it carries a new code: the
// one before is void.
func (s *Service) ToSend(ctx context.Context, challenge string) (*contact.Message, error) {
	var c *muster.ChallengeRecord
	var item vault.Item
	var way Contact
	err := s.DB.View(ctx, func(tx Tx) (err error) {
		if c, err = tx.Challenge(ctx, challenge); err != nil {
			return err
		}
		var known bool
		if way, known = s.Ways.Contact[c.Method]; !known || c.Done || !tx.Now().Before(c.Expires) {
			return muster.Errorf(muster.CodeGone, "this challenge has ended")
		}
		f, err := s.load(ctx, tx, c.Application)
		if err != nil {
			return err
		}
		subject, err := f.subject(c.Subject)
		if err != nil || subject.Revision != c.Revision {
			return muster.Errorf(muster.CodeGone, "the claims have changed since: %w", err)
		}
		row, err := tx.Claims(ctx, subject.ID, subject.Revision)
		if err != nil {
			return err
		}
		item = vault.Item{KeyID: subject.Key, Place: claimsPlace(subject.ID, row.Revision), Sealed: row.Sealed}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values, err := s.Vault.Reveal(ctx, vault.RevealRequest{
		Operator: "muster", Purpose: vault.PurposeDelivery, Case: c.ID, Items: []vault.Item{item},
	}, s.Journal)
	if err != nil {
		return nil, err
	}
	address, locale, err := s.addressIn(values[0], way)
	if err != nil {
		return nil, err
	}
	code := contact.NewCode()
	if err := s.DB.InTx(ctx, func(tx Tx) error { return tx.SetCode(ctx, c.ID, s.Vault.CodeMAC(c.ID, code)) }); err != nil {
		return nil, err
	}
	return &contact.Message{Method: c.Method, To: address, Code: code, Locale: locale, Reference: c.ID}, nil
}

// addressIn reads the address in one subject's opened piece, and the language of
// the notice where the piece is the customer's.
func (s *Service) addressIn(data []byte, way Contact) (address, locale string, err error) {
	if data == nil {
		return "", "", muster.Errorf(muster.CodeGone, "this subject's claims are erased")
	}
	var p piece
	if err := decodePiece(data, &p); err != nil {
		return "", "", err
	}
	app := &muster.Application{}
	if p.Rest != nil {
		app = p.Rest
	}
	switch {
	case p.Party != nil:
		app.Customer = *p.Party
	case p.Signatory != nil:
		app.Customer = muster.Party{Kind: muster.Individual, Name: p.Signatory.Name, Email: p.Signatory.Email, Phone: p.Signatory.Phone}
	}
	if app.Notice != nil {
		locale = app.Notice.Locale
	}
	address = way.Address(s.Checker.Contacts(&app.Customer))
	if address == "" {
		return "", "", muster.Errorf(muster.CodeGone, "the address is no longer stated")
	}
	return address, locale, nil
}

// Respond takes the code that a person typed. The attempt is spent, and synced,
// before the code is looked at.
func (s *Service) Respond(ctx context.Context, by muster.Principal, challenge, typed string) (*Answer, error) {
	code, ok := contact.ReadCode(typed)
	if !ok { // never a guess: costs no attempt
		return nil, muster.Invalid(muster.Fault{Pointer: "/code", Code: "not_a_code", Detail: "a code has six digits"})
	}
	var left int
	if err := s.DB.InTx(ctx, func(tx Tx) (err error) {
		left, err = tx.SpendAttempt(ctx, challenge)
		return err
	}); err != nil {
		return nil, err
	}
	var c *muster.ChallengeRecord
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		c, err = tx.Challenge(ctx, challenge)
		return err
	}); err != nil {
		return nil, err
	}
	magic := s.Mode == muster.ModeSandbox && code == contact.SandboxCode
	if !s.Vault.CodeEqual(c.MAC, c.ID, code) && !magic {
		return nil, muster.Invalid(muster.Fault{Pointer: "/code", Code: "wrong_code", Detail: "not the code; attempts left: " + strconv.Itoa(left)})
	}
	return s.change(ctx, c.Application, func(tx Tx, f *file) (*Answer, error) {
		if err := f.mustBeOpen("evidence"); err != nil {
			return nil, err
		}
		subject, err := f.subject(c.Subject)
		if err != nil {
			return nil, err
		}
		if err := tx.FinishChallenge(ctx, c.ID); err != nil {
			return nil, err
		}
		// The address of the revision that was written to got the code.
		e, err := contact.Evidence(c.Method, subject.ID, c.Revision, tx.Now())
		if err != nil {
			return nil, err
		}
		return s.add(ctx, tx, f, &Found{Evidence: *e}, vault.Key{}, nil)
	})
}

// Record takes what staff saw.
func (s *Service) Record(ctx context.Context, by muster.Principal, id string, in EvidenceInput) (*Answer, error) {
	way, ok := s.Ways.Recorded[in.Method]
	if !ok {
		return nil, unknownMethod()
	}
	var own vault.Key // taken once, however often the transaction runs
	return s.change(ctx, id, func(tx Tx, f *file) (*Answer, error) {
		if err := f.mustBeOpen("evidence"); err != nil {
			return nil, err
		}
		subject, err := f.subject(in.Subject)
		if err != nil {
			return nil, err
		}
		facts, err := s.lastFacts(ctx, tx, f)
		if err != nil {
			return nil, err
		}
		kind := muster.Individual
		for _, sf := range facts.Subjects {
			if sf.ID == subject.ID {
				kind = sf.Kind
			}
		}
		found, err := way.Take(Seen{Subject: subject.ID, Kind: kind, Revision: subject.Revision, Operator: by.Operator, Now: tx.Now()}, in.Input)
		if err != nil {
			return nil, err
		}
		if found.Details != nil && own.ID() == "" {
			if own, err = s.Vault.TakeKey(ctx); err != nil {
				return nil, err
			}
		}
		var fresh digests
		if found.Value != "" && found.Details != nil {
			v, shared := value{found.Kind, found.Value}, f.keys[subject.ID]
			if err := s.indexOwn(ctx, tx, v, subject, own, shared, f.evidence, tx.Now()); err != nil {
				return nil, err
			}
			if subject.Role == muster.RoleCustomer {
				fresh = digests{found.Kind: s.Vault.Digests(found.Kind, normaliser, found.Value)}
			}
		}
		return s.add(ctx, tx, f, found, own, fresh)
	})
}

// add writes evidence, what was seen under a key of its own, and decides anew.
func (s *Service) add(ctx context.Context, tx Tx, f *file, found *Found, own vault.Key, fresh digests) (*Answer, error) {
	e := &muster.EvidenceRecord{Evidence: found.Evidence, Application: f.app.ID}
	if found.Details != nil {
		if err := s.sealDetails(own, e, found.Details); err != nil {
			return nil, err
		}
	}
	if err := tx.AddEvidence(ctx, e); err != nil {
		return nil, err
	}
	f.evidence = append(f.evidence, e)
	return s.redecide(ctx, tx, f, "evidence", fresh)
}

// detailsPlace is where what was seen is sealed.
func detailsPlace(e *muster.EvidenceRecord) vault.Place {
	return vault.Place{Subject: e.Subject, Record: e.ID, Field: "details"}
}

func unknownMethod() error {
	return muster.Invalid(muster.Fault{Pointer: "/method", Code: "unknown_method", Detail: "no such method: GET /v1/methods lists them"})
}
