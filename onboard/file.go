package onboard

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

// file is one customer's file as a transaction sees it.
type file struct {
	app         *muster.ApplicationRecord
	customer    *muster.CustomerRecord
	account     *muster.AccountRecord   // that the application asks for
	accounts    []*muster.AccountRecord // all of the customer's, account among them
	subjects    []*muster.SubjectRecord // those that stand in the claims, customer first
	gone        []*muster.SubjectRecord // removed from the claims, or erased
	evidence    []*muster.EvidenceRecord
	parentState string               // of the account above, "" for none
	keys        map[string]vault.Key // by subject id, of those that live
	last        *muster.Facts        // of the latest decision
	claimsAt    time.Time            // of the customer's latest claims

	adopted *muster.AdoptedRecord // of a customer taken over who is not decided yet; nil: of nobody else
	due     bool                  // their cohort is due: what is decided now holds

	claims   *muster.Application               // opened already; nil: not
	watch    *Watch                            // lists that facts were screened against; nil: none
	compared map[string]*muster.ScreeningQuery // by subject id, and "payer": of a screening made now
	hits     []*hit                            // nil: not loaded
}

// load reads a file. Keys are opened, values are not.
func (s *Service) load(ctx context.Context, tx Tx, idOrReference string) (*file, error) {
	app, err := tx.Application(ctx, idOrReference)
	if err != nil {
		return nil, err
	}
	f := &file{app: app}
	if f.customer, err = tx.Customer(ctx, app.Customer); err != nil {
		return nil, err
	}
	if f.accounts, err = tx.AccountsOf(ctx, app.Customer); err != nil {
		return nil, err
	}
	for _, a := range f.accounts {
		if a.ID == app.Account {
			f.account = a
		}
	}
	if f.account == nil {
		return nil, muster.Errorf(muster.CodeInternal, "application %s has no account", app.ID)
	}
	if f.account.Parent != "" {
		parent, err := tx.Account(ctx, f.account.Parent)
		if err != nil {
			return nil, err
		}
		f.parentState = parent.State
	}
	if app.Shadow { // nothing is enforced: because of that, or because every pack only observes
		r, err := tx.Adopted(ctx, app.Account)
		switch {
		case err == nil && r.Decided.IsZero():
			f.adopted = r
		case err != nil && muster.ErrorCode(err) != muster.CodeNotFound:
			return nil, err
		}
	}
	all, err := tx.Subjects(ctx, app.Customer)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range all {
		if r.Pointer == "" || !r.Erased.IsZero() {
			f.gone = append(f.gone, r)
			continue
		}
		f.subjects = append(f.subjects, r)
		ids = append(ids, r.Key)
	}
	if f.evidence, err = tx.EvidenceOf(ctx, app.Customer); err != nil {
		return nil, err
	}
	if len(f.subjects) > 0 {
		latest, err := tx.Claims(ctx, f.subjects[0].ID, 0)
		if err != nil {
			return nil, err
		}
		f.claimsAt = latest.At
	}
	opened, err := s.Vault.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	f.keys = map[string]vault.Key{}
	for _, r := range f.subjects {
		if k, ok := opened[r.Key]; ok {
			f.keys[r.ID] = k
		}
	}
	return f, nil
}

// subject finds a subject on the file; "" is the customer.
func (f *file) subject(id string) (*muster.SubjectRecord, error) {
	for _, s := range f.subjects {
		if s.ID == id || id == "" && s.Role == muster.RoleCustomer {
			return s, nil
		}
	}
	return nil, muster.Invalid(muster.Fault{Pointer: "/subject", Code: "unknown_subject", Detail: "no such subject on this application"})
}

func (f *file) open() bool {
	switch f.app.State {
	case muster.AppReceived, muster.AppNeeds, muster.AppReview:
		return true
	}
	return false
}

// mustBeOpen is the error for changes to an application that has ended.
func (f *file) mustBeOpen(event string) error {
	if f.open() {
		return nil
	}
	return muster.Errorf(muster.CodeIllegalMove, "an application that is %s does not take %q", f.app.State, event)
}

// mustBeLive is the error for findings on an application that came to nothing.
func (f *file) mustBeLive(event string) error {
	if f.app.State == muster.AppApproved {
		return nil
	}
	return f.mustBeOpen(event)
}

// lastFacts opens the facts of the latest decision, for deciding anew: the
// decision that follows is the record of this use.
func (s *Service) lastFacts(ctx context.Context, tx Tx, f *file) (*muster.Facts, error) {
	if f.last != nil {
		return f.last, nil
	}
	d, err := tx.Decision(ctx, f.app.Decision)
	if err != nil {
		return nil, err
	}
	session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
	opened, err := session.OpenFacts(ctx, d.ID, d.Facts)
	if err != nil {
		return nil, err
	}
	facts, _, err := journal.Facts(opened)
	f.last = facts
	return facts, err
}

// openClaims opens the current claims of everyone on the file and puts them together.
// withheld are the pointers of those whose key is gone.
func openClaims(ctx context.Context, tx Tx, f *file, open func(context.Context, vault.Item) ([]byte, error)) (app *muster.Application, pieces map[string]piece, withheld []string, err error) {
	pieces = map[string]piece{}
	var places []place
	for _, r := range f.subjects {
		if _, ok := f.keys[r.ID]; !ok {
			withheld = append(withheld, r.Pointer)
			continue
		}
		c, err := tx.Claims(ctx, r.ID, 0)
		if err != nil {
			return nil, nil, nil, err
		}
		data, err := open(ctx, vault.Item{KeyID: r.Key, Place: claimsPlace(r.ID, c.Revision), Sealed: c.Sealed})
		if err != nil {
			return nil, nil, nil, err
		}
		var p piece
		if err := decodePiece(data, &p); err != nil {
			return nil, nil, nil, err
		}
		pieces[r.ID] = p
		places = append(places, place{r.Pointer, p})
	}
	app, err = unite(places)
	return app, pieces, withheld, err
}

func claimsPlace(subject string, revision int) vault.Place {
	return vault.Place{Subject: subject, Record: "claims", Field: "piece", Revision: revision}
}
