package onboard

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/validate"
)

// Correct supplies or corrects claims of an open application: patch is a JSON
// Merge Patch (RFC 7396) on the application's shape. Every subject whose claims
// change gets a new revision; the ones before stay on file, sealed. A new
// decision follows.
func (s *Service) Correct(ctx context.Context, by muster.Principal, id string, version int64, patch []byte) (*Answer, error) {
	var a *Answer
	err := s.DB.InTx(ctx, func(tx Tx) error {
		f, err := s.load(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := f.mustBeOpen("correction"); err != nil {
			return err
		}
		if f.app.Version != version {
			return muster.Errorf(muster.CodeStale, "the application has changed: read it again")
		}
		a, err = s.correct(ctx, tx, f, by, patch)
		return err
	})
	return a, err
}

func (s *Service) correct(ctx context.Context, tx Tx, f *file, by muster.Principal, patch []byte) (*Answer, error) {
	session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
	app, was, withheld, err := openClaims(ctx, tx, f, session.Open)
	if err != nil {
		return nil, err
	}
	if len(withheld) > 0 {
		return nil, muster.Errorf(muster.CodeGone, "some claims on this application are erased")
	}
	next, err := merged(app, patch)
	if err != nil {
		return nil, err
	}
	if faults := fixed(app, next); faults != nil {
		return nil, muster.Invalid(faults...)
	}
	c, err := s.Checker.Application(next, tx.Now())
	if err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(next)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	salt := tlog.NewSalt()
	commitment := tlog.CommitPart("claims", salt, canonical)
	subjects, claims, err := s.revise(ctx, tx, f, by, c, split(next, salt), was)
	if err != nil {
		return nil, err
	}
	f.app.Revision++
	f.claimsAt = tx.Now()
	if err := tx.AddClaims(ctx, claims...); err != nil {
		return nil, err
	}
	if err := tx.AddIndex(ctx, s.indexRows(c, subjects, f.keys, tx.Now())...); err != nil {
		return nil, err
	}
	last, err := s.lastFacts(ctx, tx, f)
	if err != nil {
		return nil, err
	}
	facts := claimed(c, subjects, muster.ClaimsRef{Revision: f.app.Revision, Commitment: commitment[:]})
	facts.Counts, facts.Magic = last.Counts, last.Magic
	f.claims = next
	d, err := s.decide(ctx, tx, f, facts, "corrected", s.digestsOf(c))
	if err != nil {
		return nil, err
	}
	if err := s.save(ctx, tx, f, d); err != nil {
		return nil, err
	}
	return s.answerWith(f.app, f.account, &d.Decision), nil
}

// revise matches the corrected application with the subjects on file. It returns
// the subjects of the new claims, in the order of c.Subjects, and the rows of
// those whose claims changed.
func (s *Service) revise(ctx context.Context, tx Tx, f *file, by muster.Principal, c *validate.Checked, now []place, was map[string]piece) ([]*muster.SubjectRecord, []*muster.ClaimsRecord, error) {
	var touched []*muster.SubjectRecord
	var claims []*muster.ClaimsRecord
	subjects := same(f.subjects, c.Subjects, now, was)
	for i, pl := range now {
		r := subjects[i]
		if r == nil { // somebody new
			key, err := s.Vault.TakeKey(ctx)
			if err != nil {
				return nil, nil, err
			}
			r = &muster.SubjectRecord{
				ID: muster.NewID(muster.PrefixSubject, tx.Now()), Customer: f.app.Customer, Role: c.Subjects[i].Role, Key: key.ID(),
			}
			subjects[i], f.keys[r.ID] = r, key
		}
		moved := r.Pointer != pl.pointer
		r.Pointer = pl.pointer
		old, known := was[r.ID]
		if known && i > 0 && samePiece(old, pl.piece) { // the customer's piece always changes: its salt is new
			if moved {
				touched = append(touched, r)
			}
			continue
		}
		r.Revision++
		if known {
			for _, attribute := range changedAttributes(&old, &pl.piece) {
				if r.Changed == nil {
					r.Changed = map[string]int{}
				}
				r.Changed[attribute] = r.Revision
			}
		}
		row, err := s.sealClaims(r, f.keys[r.ID], &pl.piece, by.Operator)
		if err != nil {
			return nil, nil, err
		}
		row.At = tx.Now()
		touched, claims = append(touched, r), append(claims, row)
	}
	for _, r := range f.subjects {
		if !slices.Contains(subjects, r) { // no longer in the claims
			r.Pointer = ""
			touched = append(touched, r)
		}
	}
	f.subjects = subjects
	return subjects, claims, tx.PutSubjects(ctx, touched...)
}

// same finds each place's subject among those on file, nil for somebody new: who
// has the same name, in the same place before elsewhere (an owner who left moves
// the others up; nobody may inherit another's evidence or key); then whoever
// stood in the place, whose name is corrected.
func same(on []*muster.SubjectRecord, checked []validate.Subject, now []place, was map[string]piece) []*muster.SubjectRecord {
	found := make([]*muster.SubjectRecord, len(now))
	taken := map[string]bool{}
	for _, fits := range []func(r *muster.SubjectRecord, pl *place) bool{
		func(r *muster.SubjectRecord, pl *place) bool {
			return r.Pointer == pl.pointer && sameName(was[r.ID], pl.piece)
		},
		func(r *muster.SubjectRecord, pl *place) bool { return sameName(was[r.ID], pl.piece) },
		func(r *muster.SubjectRecord, pl *place) bool { return r.Pointer == pl.pointer },
	} {
		for i := range now {
			for _, r := range on {
				if found[i] == nil && !taken[r.ID] && r.Role == checked[i].Role && fits(r, &now[i]) {
					found[i], taken[r.ID] = r, true
				}
			}
		}
	}
	return found
}

// sameName reports whether two pieces are of one person by kind and name.
func sameName(a, b piece) bool {
	switch {
	case a.Party != nil && b.Party != nil:
		return a.Party.IsEntity() == b.Party.IsEntity() && sameJSON(a.Party.Name, b.Party.Name)
	case a.Signatory != nil && b.Signatory != nil:
		return sameJSON(a.Signatory.Name, b.Signatory.Name)
	}
	return false
}

func samePiece(a, b piece) bool { return sameJSON(a, b) }

// sameJSON compares plain data, which always marshals.
func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// fixed refuses a correction of what names things: that would be another application.
func fixed(a, b *muster.Application) (faults []muster.Fault) {
	fault := func(pointer string) {
		faults = append(faults, muster.Fault{Pointer: pointer, Code: "fixed", Detail: "this cannot be corrected: post another application"})
	}
	if a.Reference != b.Reference {
		fault("/reference")
	}
	if a.AccountReference() != b.AccountReference() {
		fault("/account")
	}
	if a.Customer.IsEntity() != b.Customer.IsEntity() {
		fault("/customer/kind")
	}
	if (a.Parent == nil) != (b.Parent == nil) || a.Parent != nil && *a.Parent != *b.Parent {
		fault("/parent")
	}
	return faults
}

// merged applies a merge patch. The patch is bounded and decoded as strictly as
// an application; null removes a member.
func merged(app *muster.Application, patch []byte) (*muster.Application, error) {
	if len(patch) > muster.MaxApplicationBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a correction is larger than an application may be")
	}
	var p any
	d := json.NewDecoder(bytes.NewReader(patch))
	d.UseNumber()
	if err := d.Decode(&p); err != nil || d.More() {
		return nil, muster.Errorf(muster.CodeMalformed, "the body is not JSON")
	}
	if _, ok := p.(map[string]any); !ok {
		return nil, muster.Errorf(muster.CodeMalformed, "a correction is a JSON object (RFC 7396)")
	}
	whole, err := json.Marshal(app)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	var target any
	d = json.NewDecoder(bytes.NewReader(whole))
	d.UseNumber()
	if err := d.Decode(&target); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be read again: %w", err)
	}
	out, err := json.Marshal(mergePatch(target, p))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	return validate.Decode(out)
}

// mergePatch is MergePatch of RFC 7396, section 2.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}

// Withdraw takes an open application back. Nothing is decided: its account ends.
func (s *Service) Withdraw(ctx context.Context, by muster.Principal, id string, version int64) (a *Answer, err error) {
	err = s.DB.InTx(ctx, func(tx Tx) error {
		f, err := s.load(ctx, tx, id)
		if err != nil {
			return err
		}
		if f.app.Version != version {
			return muster.Errorf(muster.CodeStale, "the application has changed: read it again")
		}
		if err := s.ended(ctx, tx, f, by, EventWithdraw); err != nil {
			return err
		}
		a, err = s.answer(ctx, tx, f.app)
		return err
	})
	return a, err
}

// ended writes the end of an application and of the account that it asked for.
func (s *Service) ended(ctx context.Context, tx Tx, f *file, by muster.Principal, event string) (err error) {
	if f.app.State, err = s.states.moveApplication(f.app.State, event); err != nil {
		return err
	}
	f.app.Updated = tx.Now()
	if err := s.moveAccount(f.account, event, f.account.Decision, tx.Now()); err != nil {
		return err
	}
	if err := tx.PutAccount(ctx, f.account); err != nil {
		return err
	}
	ts, err := s.transitionsOf(ctx, tx, f.account)
	if err != nil {
		return err
	}
	if err := s.PutProfile(ctx, tx, f.account, ts); err != nil {
		return err
	}
	if err := tx.PutApplication(ctx, f.app); err != nil {
		return err
	}
	if err := s.moot(ctx, tx, f.app.ID); err != nil {
		return err
	}
	_, err = s.Journal.Enter(ctx, tx, tlog.Resolution, by.Operator, muster.Ref{Kind: "application", ID: f.app.ID}, moved{event})
	return err
}

// moved is the body of the entry of a move that no decision made.
type moved struct {
	Event string `json:"event"`
}

func (s *Service) moot(ctx context.Context, tx Tx, application string) error {
	r, err := tx.OpenReview(ctx, application)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	r.State = muster.ReviewMoot
	return tx.PutReview(ctx, r)
}
