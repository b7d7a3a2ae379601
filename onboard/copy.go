package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/vault"
)

// A person's own copy: docs/formats/copy.md. What is here is written for the person:
// whoever adds a field asks whether it tells of somebody else, of how checks are made,
// or of an order that nobody may be told of.

// CopyFormat is the one value of a copy's format.
const CopyFormat = "muster/copy/v1"

// CopyRequest says whose copy is asked for, and on which request of theirs.
type CopyRequest struct {
	Customer    string
	Subject     string    // "": the customer
	Case        string    // reference of the request
	From, Until time.Time // of access records; zero: all that are kept
}

// Copy is what is kept of one person, for that person.
type Copy struct {
	Format    string             `json:"format"`
	Made      time.Time          `json:"made"`
	Customer  string             `json:"customer"` // whose file
	Subject   string             `json:"subject"`  // whose copy
	Role      muster.SubjectRole `json:"role" enum:"customer,owner,signatory"`
	Claims    []CopiedClaims     `json:"claims" nullable:"false"`    // every revision that is kept, oldest first
	Evidence  []CopiedEvidence   `json:"evidence" nullable:"false"`  // what verification found, oldest first
	Decisions []CopiedDecision   `json:"decisions" nullable:"false"` // oldest first
	Accounts  []CopiedAccount    `json:"accounts" nullable:"false"`  // of the customer; empty in the copy of somebody else on the file
	Kept      []CopiedKeeping    `json:"kept" nullable:"false"`      // how long what is kept
	Sources   []string           `json:"sources" nullable:"false"`   // where the data came from
	Omitted   []string           `json:"omitted" nullable:"false"`   // by category; the same in every copy
}

// CopiedClaims is one revision of what was stated.
type CopiedClaims struct {
	Revision    int                 `json:"revision"`
	At          time.Time           `json:"at"`
	Party       *muster.Party       `json:"party,omitempty"`
	Signatory   *muster.Signatory   `json:"signatory,omitempty"`
	Application *muster.Application `json:"application,omitempty"` // of the customer's: what concerns no other person
}

// CopiedEvidence is what one method found.
type CopiedEvidence struct {
	Method     string                      `json:"method"`
	Kind       muster.EvidenceKind         `json:"kind" enum:"documentary,non_documentary"`
	At         time.Time                   `json:"at"`
	Expires    time.Time                   `json:"expires,omitzero"`
	Revision   int                         `json:"revision"` // of the claims that it was held against
	Attributes map[string]muster.Finding   `json:"attributes"`
	Shows      map[string][]muster.Country `json:"shows,omitempty"`
	By         string                      `json:"by" enum:"staff,program"`
	Seen       map[string]any              `json:"seen,omitempty"`                                // of a document: what was recorded of it
	Note       string                      `json:"note,omitempty" enum:"dropped after it proved"` // why that is not there any more
}

// CopiedDecision is a decision in the words for the person.
type CopiedDecision struct {
	Decision string         `json:"decision"`
	At       time.Time      `json:"at"`
	Outcome  muster.Outcome `json:"outcome,omitempty" enum:"open,limit,collect,verify,review,suspend,refuse,close"` // of the customer's
	Words    []string       `json:"words" nullable:"false"`
	Asked    []string       `json:"asked,omitempty"` // what was wanted of this person
}

// CopiedAccount is an account with its use.
type CopiedAccount struct {
	Account string         `json:"account"` // the provider's reference
	State   string         `json:"state"`
	Opened  time.Time      `json:"opened,omitzero"`
	Closed  time.Time      `json:"closed,omitzero"`
	Access  []CopiedAccess `json:"access" nullable:"false"`
	Leases  []CopiedLease  `json:"leases" nullable:"false"`
}

// CopiedAccess is an access record.
type CopiedAccess struct {
	At      time.Time      `json:"at"`
	IP      string         `json:"ip"`
	Port    uint16         `json:"port,omitempty"`
	Country muster.Country `json:"country,omitempty"`
	Action  string         `json:"action"`
	Surface string         `json:"surface,omitempty"`
	Device  string         `json:"device,omitempty"`
}

// CopiedLease is a lease.
type CopiedLease struct {
	Resource string    `json:"resource"`
	Prefix   string    `json:"prefix,omitempty"`
	Name     string    `json:"name,omitempty"`
	PortFrom uint16    `json:"port_from,omitempty"`
	PortTo   uint16    `json:"port_to,omitempty"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until,omitzero"`
}

// CopiedKeeping is how long one pack has one record class kept.
type CopiedKeeping struct {
	Class  string   `json:"class"`
	From   []string `json:"from"`
	Period string   `json:"period"`
	Basis  string   `json:"basis"`
	Pack   string   `json:"pack"` // id and edition
}

// omitted is in every copy, word for word, whether or not something was left out: a
// text that came only sometimes would say what it must not.
var omitted = []string{
	"Parts may be omitted: data about other persons (owners, signatories, payers, resellers, users of an account).",
	"Parts may be omitted: how checks are made, what they compare with, and what they compared.",
	"Parts may be omitted: notes and findings of staff.",
	"Parts may be omitted: what a law, a court or an authority does not let us disclose.",
}

var copySources = []string{
	"what was stated in applications and corrections",
	"what methods of verification found, each with its time",
	"what the service recorded of the use of its accounts and addresses",
}

// Uses reads the use of accounts (ledger.Questions).
type Uses interface {
	Whole(ctx context.Context, ask ledger.Ask, scope string, w ledger.Whole) error
}

// maxCopied bounds the access records of one copy.
const maxCopied = 20_000

// Copy is a person's own copy. It is a reveal for subject_access: its leaf is durable
// before a value is opened.
func (s *Service) Copy(ctx context.Context, by muster.Principal, r CopyRequest) (*Copy, error) {
	if err := s.mayReveal(string(vault.PurposeSubjectAccess)); err != nil {
		return nil, err
	}
	w := &copyWork{request: r}
	if err := s.DB.View(ctx, func(tx Tx) error { return w.load(ctx, tx) }); err != nil {
		return nil, err
	}
	values, err := s.Vault.Reveal(ctx, vault.RevealRequest{
		Operator: by.Operator, Purpose: vault.PurposeSubjectAccess, Case: r.Case, Items: w.items(),
	}, s.Journal)
	if err != nil {
		return nil, err
	}
	c := &Copy{
		Format: CopyFormat, Made: s.Clock().UTC(), Customer: w.customer.ID, Subject: w.subject.ID, Role: w.subject.Role,
		Claims: []CopiedClaims{}, Evidence: []CopiedEvidence{}, Decisions: []CopiedDecision{}, Accounts: []CopiedAccount{}, Kept: []CopiedKeeping{},
		Sources: copySources, Omitted: omitted,
	}
	for i, x := range w.claims {
		if values[i] == nil {
			continue // erased
		}
		one, err := copiedClaims(x, values[i])
		if err != nil {
			return nil, err
		}
		c.Claims = append(c.Claims, one)
	}
	details := values[len(w.claims):]
	for _, e := range w.evidence {
		one := copiedEvidence(e)
		if len(e.Sealed) > 0 {
			if details[0] != nil {
				if one.Seen, err = copiedDetails(details[0]); err != nil {
					return nil, err
				}
			}
			details = details[1:]
		}
		c.Evidence = append(c.Evidence, one)
	}
	for _, d := range w.decisions {
		full, err := s.fill(ctx, d)
		if err != nil {
			return nil, err
		}
		c.Decisions = append(c.Decisions, copiedDecision(full, w.subject))
	}
	c.Kept = s.copiedKeeping(w.customer)
	if w.subject.Role == muster.RoleCustomer {
		c.Accounts, err = s.copiedAccounts(ctx, by, w)
	}
	return c, err
}

// copyWork is what a copy is made of, sealed.
type copyWork struct {
	request   CopyRequest
	customer  *muster.CustomerRecord
	subject   *muster.SubjectRecord
	claims    []*muster.ClaimsRecord
	evidence  []*muster.EvidenceRecord
	decisions []*muster.DecisionRecord
	accounts  []*muster.AccountRecord
	orders    []*muster.Hold // non-disclosure orders
}

func (w *copyWork) load(ctx context.Context, tx Tx) (err error) {
	*w = copyWork{request: w.request}
	if w.customer, err = tx.Customer(ctx, w.request.Customer); err != nil {
		return err
	}
	people, err := tx.Subjects(ctx, w.customer.ID)
	if err != nil {
		return err
	}
	for _, p := range people {
		if p.ID == w.request.Subject || w.request.Subject == "" && p.Role == muster.RoleCustomer {
			w.subject = p
		}
	}
	if w.subject == nil {
		return muster.Errorf(muster.CodeNotFound, "there is no such subject on this file")
	}
	if w.orders, err = orders(ctx, tx, w.customer.ID); err != nil {
		return err
	}
	claims, err := tx.ClaimsOf(ctx, w.subject.ID)
	if err != nil {
		return err
	}
	for _, c := range claims {
		if !w.withheld(muster.ClassClaims, c.At) {
			w.claims = append(w.claims, c)
		}
	}
	evidence, err := tx.EvidenceOf(ctx, w.customer.ID)
	if err != nil {
		return err
	}
	for _, e := range evidence {
		// A resolution is a finding of staff.
		if e.Subject == w.subject.ID && e.Kind != muster.Resolution && !w.withheld(muster.ClassEvidence, e.At) {
			w.evidence = append(w.evidence, e)
		}
	}
	for page := (muster.Page{Limit: 500}); ; {
		some, err := tx.DecisionsOf(ctx, w.customer.ID, "", page)
		if err != nil {
			return err
		}
		for _, d := range some {
			if !w.withheld(muster.ClassDecisions, d.At) {
				w.decisions = append(w.decisions, d)
			}
		}
		if len(some) < page.Limit {
			break
		}
		page.After = some[len(some)-1].ID
	}
	w.accounts, err = tx.AccountsOf(ctx, w.customer.ID)
	return err
}

func (w *copyWork) withheld(class string, made time.Time) bool {
	return slices.ContainsFunc(w.orders, func(h *muster.Hold) bool { return h.Withholds(w.customer.ID, class, made) })
}

// orders are the non-disclosure orders on a customer's records.
func orders(ctx context.Context, tx Tx, customer string) (found []*muster.Hold, err error) {
	for page := (muster.Page{Limit: 500}); ; {
		some, err := tx.Holds(ctx, true, page)
		if err != nil {
			return nil, err
		}
		for _, h := range some {
			if h.Withheld && h.Customer == customer {
				found = append(found, h)
			}
		}
		if len(some) < page.Limit {
			return found, nil
		}
		page.After = some[len(some)-1].ID
	}
}

func (w *copyWork) items() (items []vault.Item) {
	for _, c := range w.claims {
		items = append(items, vault.Item{KeyID: w.subject.Key, Place: claimsPlace(c.Subject, c.Revision), Sealed: c.Sealed})
	}
	for _, e := range w.evidence {
		if len(e.Sealed) > 0 {
			items = append(items, detailsItem(e, w.subject.Key))
		}
	}
	return items
}

func copiedClaims(r *muster.ClaimsRecord, data []byte) (CopiedClaims, error) {
	var p piece
	if err := decodePiece(data, &p); err != nil {
		return CopiedClaims{}, err
	}
	c := CopiedClaims{Revision: r.Revision, At: r.At, Party: p.Party, Signatory: p.Signatory, Application: p.Rest}
	if p.Rest == nil {
		return c, nil
	}
	if p.Rest.Parent != nil {
		p.Rest.Parent = &muster.Parent{Relation: p.Rest.Parent.Relation} // whose account is above is somebody else's
	}
	if pay := p.Rest.Payment; pay != nil && pay.PayerName != "" && !ownName(p.Party, pay.PayerName) {
		p.Rest.Payment = &muster.Payment{Means: pay.Means} // somebody else's money
	}
	return c, nil
}

func ownName(p *muster.Party, payer string) bool {
	if p == nil {
		return false
	}
	fold := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
	return slices.ContainsFunc(append([]string{p.Name.Full, p.Name.Native}, p.Name.Others...), func(own string) bool { return fold(own) == fold(payer) })
}

// droppedNote says why what was seen is not there any more.
const droppedNote = "dropped after it proved"

func copiedEvidence(e *muster.EvidenceRecord) CopiedEvidence {
	by := "staff"
	if e.Producer == "muster" {
		by = "program"
	}
	note := ""
	if !e.Dropped.IsZero() {
		note = droppedNote
	}
	return CopiedEvidence{
		Note: note, Method: e.Method, Kind: e.Kind, At: e.At, Expires: e.Expires, Revision: e.Revision, Attributes: e.Attributes, Shows: e.Shows, By: by,
	}
}

// copiedDetails is what was recorded of a document, without what staff noted beside it.
func copiedDetails(data []byte) (seen map[string]any, err error) {
	if err := json.Unmarshal(data, &seen); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "sealed evidence is not what it should be: %w", err)
	}
	delete(seen, "note")
	return seen, nil
}

// copiedDecision is a decision for one person. Somebody else than the customer is told
// what concerned them: the outcome is the customer's.
func copiedDecision(d *muster.Decision, subject *muster.SubjectRecord) CopiedDecision {
	c := CopiedDecision{Decision: d.ID, At: d.At, Words: []string{}}
	customer := subject.Role == muster.RoleCustomer
	if customer {
		c.Outcome = d.Outcome
	}
	say := func(list *[]string, words string) {
		if words != "" && !slices.Contains(*list, words) {
			*list = append(*list, words)
		}
	}
	for _, r := range d.Reasons {
		own := slices.Contains(r.Subjects, subject.Pointer)
		if len(r.Subjects) == 0 && customer || own {
			say(&c.Words, r.Customer)
		}
	}
	for _, n := range d.Needs {
		if n.Subject == subject.ID || n.Subject == "" && customer {
			say(&c.Asked, n.Words)
		}
	}
	return c
}

// copiedKeeping are the periods of the packs that decided on the file.
func (s *Service) copiedKeeping(c *muster.CustomerRecord) []CopiedKeeping {
	kept := []CopiedKeeping{}
	add := func(p *policy.Pack) {
		ref := p.Ref()
		for _, r := range p.Document().Retention {
			kept = append(kept, CopiedKeeping{r.Class, r.From, r.Period, r.Basis, ref.ID + " " + ref.Edition})
		}
	}
	for _, p := range s.Programme.Ever() {
		if slices.Contains(c.Applied, p.Ref().Digest[:muster.PackMark]) {
			add(p)
		}
	}
	return kept
}

// copiedAccounts are the customer's accounts with their use. It is a question of the
// ledger's, with a leaf of its own.
func (s *Service) copiedAccounts(ctx context.Context, by muster.Principal, w *copyWork) ([]CopiedAccount, error) {
	list := make([]CopiedAccount, len(w.accounts))
	at := map[string]int{}
	var ids []string
	for i, a := range w.accounts {
		list[i] = CopiedAccount{a.Reference, a.State, a.Opened, a.Closed, []CopiedAccess{}, []CopiedLease{}}
		at[a.ID] = i
		ids = append(ids, a.ID)
	}
	if s.Uses == nil || len(ids) == 0 {
		return list, nil
	}
	records := 0
	err := s.Uses.Whole(ctx, ledger.Ask{Operator: by.Operator, Purpose: vault.PurposeSubjectAccess, Case: w.request.Case}, "customer "+w.customer.ID, ledger.Whole{
		From: w.request.From, Until: w.request.Until,
		Next: func() (page []string, err error) {
			page, ids = ids, nil
			return page, nil
		},
		Access: func(r *muster.AccessRecord) error {
			if w.withheld(muster.ClassAccess, r.At) {
				return nil
			}
			if records++; records > maxCopied {
				return &muster.Error{Code: muster.CodeTooLarge, Message: "there are too many access records for one copy", Hint: "ask in parts: from, until"}
			}
			a := &list[at[r.Account]]
			a.Access = append(a.Access, CopiedAccess{r.At, r.IP.String(), r.Port, r.Country, r.Action, r.Surface, r.Device})
			return nil
		},
		Lease: func(l *muster.LeaseRecord) error {
			if w.withheld(muster.ClassLeases, l.From) {
				return nil
			}
			prefix := ""
			if l.Prefix.IsValid() {
				prefix = l.Prefix.String()
			}
			a := &list[at[l.Account]]
			a.Leases = append(a.Leases, CopiedLease{l.Resource, prefix, l.Name, l.PortFrom, l.PortTo, l.From, l.Until})
			return nil
		},
	})
	return list, err
}
