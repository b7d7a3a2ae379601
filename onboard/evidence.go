package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
)

// Found is what a way of verification made of its input.
type Found struct {
	Evidence muster.Evidence // without id, subject, revision and producer
	Details  []byte          // what was seen, to be sealed; nil for nothing
	Kind     vault.Kind      // of the value below
	Value    string          // for the blind index, normalised: issuer, type and number of a document; "" for none
}

// Way is one method that turns an operator's input into evidence.
type Way interface {
	Method() muster.Method
	Check(input json.RawMessage, kind muster.PartyKind, now time.Time) (Found, error)
}

// Contact is one method that sends a one-time code.
type Contact interface {
	Method() muster.Method
	NewCode() string
	Evidence(now time.Time) muster.Evidence
	Lifetime() (time.Duration, int) // of a code: how long, how many attempts
	// Allowed says whether one more code may go to a target that got so many in
	// the last hour and day. Targets only: no country and no carrier is ever shut out.
	Allowed(hour, day int) (ok bool, retryAfter time.Duration)
}

// Ways is the table of methods, by name.
type Ways struct {
	Record  map[string]Way
	Contact map[string]Contact
}

// SandboxCode is accepted in place of every code, in a sandbox only.
const SandboxCode = "000000"

// Challenge sends a one-time code to a subject's e-mail address or telephone.
func (s *Service) Challenge(ctx context.Context, by muster.Principal, id string, r ChallengeRequest) (*ChallengeAnswer, error) {
	way, ok := s.Ways.Contact[r.Method]
	if !ok {
		return nil, unknownMethod()
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
		kind, address, err := s.target(ctx, tx, f, subject, r.Method)
		if err != nil {
			return err
		}
		target := s.Vault.Digest(kind, normaliser, address)
		if err := s.allowed(ctx, tx, way, target); err != nil {
			return err
		}
		life, tries := way.Lifetime()
		c = &muster.ChallengeRecord{
			ID: muster.NewID(muster.PrefixChallenge, tx.Now()), Application: f.app.ID, Subject: subject.ID, Method: r.Method,
			Revision: subject.Revision, Target: target, Made: tx.Now(), Expires: tx.Now().Add(life), Left: tries,
		}
		// The code is drawn when it is sent, so that none lies in a job's row.
		if err := tx.AddChallenge(ctx, c); err != nil {
			return err
		}
		return tx.Enqueue(ctx, &muster.Job{
			ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: JobCode, Ref: c.ID, RunAt: tx.Now(),
		})
	})
	if err != nil {
		return nil, err
	}
	return &ChallengeAnswer{Challenge: c.ID, Method: c.Method, Expires: c.Expires, Attempts: c.Left}, nil
}

// allowed holds the limits of codes to one target.
func (s *Service) allowed(ctx context.Context, tx Tx, way Contact, target []byte) error {
	hour, err := tx.ChallengesTo(ctx, target, tx.Now().Add(-time.Hour))
	if err != nil {
		return err
	}
	day, err := tx.ChallengesTo(ctx, target, tx.Now().Add(-24*time.Hour))
	if err != nil {
		return err
	}
	if ok, wait := way.Allowed(hour, day); !ok {
		return &muster.Error{Code: muster.CodeRateLimited, Message: "enough codes for now", RetryAfter: wait}
	}
	return nil
}

// target opens the address that a code goes to.
func (s *Service) target(ctx context.Context, tx Tx, f *file, subject *muster.SubjectRecord, method string) (vault.Kind, string, error) {
	session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
	app, _, _, err := openClaims(ctx, tx, f, session.Open)
	if err != nil {
		return "", "", err
	}
	c, err := s.Checker.Application(app, tx.Now())
	if err != nil {
		return "", "", err
	}
	i := slices.IndexFunc(c.Subjects, func(cs validate.Subject) bool { return cs.Pointer == subject.Pointer })
	if i < 0 {
		return "", "", muster.Errorf(muster.CodeNotFound, "this subject's claims are gone")
	}
	kind, address, field := vault.KindEmail, c.Normal.Subjects[i].Email, "email"
	if method == MethodPhone {
		kind, address, field = vault.KindPhone, c.Normal.Subjects[i].Phone, "phone"
	}
	if address == "" {
		return "", "", muster.Invalid(muster.Fault{Pointer: "/method", Code: "claim_absent", Detail: "no " + field + " was stated: supply it first"})
	}
	return kind, address, nil
}

// Methods of contact.
const (
	MethodEmail = "contact.email"
	MethodPhone = "contact.phone"
)

// Send is what a sender needs: where to, and the code. Opened at sending time.
type Send struct {
	Method, To, Code, Reference string
	Expires                     time.Time
}

// ToSend draws the code of a challenge and opens its address, for the sender.
// A challenge that ended gives CodeGone: nothing is to be sent. Sent again after
// a failure, it carries a new code: the one before is void.
func (s *Service) ToSend(ctx context.Context, challenge string) (*Send, error) {
	var out *Send
	err := s.DB.InTx(ctx, func(tx Tx) error {
		c, err := tx.Challenge(ctx, challenge)
		if err != nil {
			return err
		}
		way, ok := s.Ways.Contact[c.Method]
		if !ok || c.Done || !tx.Now().Before(c.Expires) {
			return muster.Errorf(muster.CodeGone, "this challenge has ended")
		}
		f, err := s.load(ctx, tx, c.Application)
		if err != nil {
			return err
		}
		subject, err := f.subject(c.Subject)
		if err != nil {
			return err
		}
		_, address, err := s.target(ctx, tx, f, subject, c.Method)
		if err != nil {
			return err
		}
		code := way.NewCode()
		if err := tx.SetCode(ctx, c.ID, s.Vault.CodeMAC(c.ID, code)); err != nil {
			return err
		}
		out = &Send{Method: c.Method, To: address, Code: code, Reference: f.app.Reference, Expires: c.Expires}
		return nil
	})
	return out, err
}

// Respond takes the code that a person typed. The attempt is spent, and synced,
// before the code is looked at.
func (s *Service) Respond(ctx context.Context, by muster.Principal, challenge, code string) (*Answer, error) {
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
	magic := s.Mode == muster.ModeSandbox && code == SandboxCode
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
		e := s.Ways.Contact[c.Method].Evidence(tx.Now())
		e.Revision = c.Revision // the address of that revision got the code
		return s.add(ctx, tx, f, subject, by, Found{Evidence: e}, "evidence", nil)
	})
}

// Record takes what staff saw.
func (s *Service) Record(ctx context.Context, by muster.Principal, id string, in EvidenceInput) (*Answer, error) {
	way, ok := s.Ways.Record[in.Method]
	if !ok {
		return nil, unknownMethod()
	}
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
		found, err := way.Check(in.Input, kind, tx.Now())
		if err != nil {
			return nil, err
		}
		found.Evidence.Revision = subject.Revision
		var fresh digests
		if found.Value != "" {
			if err := tx.AddIndex(ctx, s.indexRow(value{found.Kind, found.Value}, subject, f.keys[subject.ID], tx.Now())); err != nil {
				return nil, err
			}
			if subject.Role == muster.RoleCustomer {
				fresh = digests{found.Kind: s.Vault.Digests(found.Kind, normaliser, found.Value)}
			}
		}
		return s.add(ctx, tx, f, subject, by, found, "evidence", fresh)
	})
}

// add writes evidence and decides anew.
func (s *Service) add(ctx context.Context, tx Tx, f *file, subject *muster.SubjectRecord, by muster.Principal, found Found, event string, fresh digests) (*Answer, error) {
	e := &muster.EvidenceRecord{Evidence: found.Evidence, Application: f.app.ID}
	e.ID, e.Subject, e.At, e.Producer = muster.NewID(muster.PrefixEvidence, tx.Now()), subject.ID, tx.Now(), by.Operator
	if found.Details != nil {
		var err error
		place := vault.Place{Subject: subject.ID, Record: e.ID, Field: "details"}
		if e.Sealed, err = s.Vault.Seal(f.keys[subject.ID], place, found.Details); err != nil {
			return nil, err
		}
	}
	if err := tx.AddEvidence(ctx, e); err != nil {
		return nil, err
	}
	f.evidence = append(f.evidence, e)
	return s.redecide(ctx, tx, f, event, fresh)
}

func unknownMethod() error {
	return muster.Invalid(muster.Fault{Pointer: "/method", Code: "unknown_method", Detail: "no such method: GET /v1/methods lists them"})
}
