package onboard

import (
	"context"
	"encoding/json"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

// File is one customer's whole file in the clear, as an export holds it and another
// deployment takes it in: docs/formats/export.md. Ids are those of the house that it
// comes from.
type File struct {
	Type         string                     `json:"type"` // file
	Customer     muster.CustomerRecord      `json:"customer"`
	Accounts     []muster.AccountRecord     `json:"accounts"`
	Applications []muster.ApplicationRecord `json:"applications"` // oldest first
	Subjects     []FiledSubject             `json:"subjects"`
	Evidence     []FiledEvidence            `json:"evidence,omitempty"`  // oldest first
	Decisions    []FiledDecision            `json:"decisions,omitempty"` // oldest first
	Reviews      []muster.ReviewRecord      `json:"reviews,omitempty"`   // of one that waits for a second operator the first has to propose again
	Hits         []FiledHit                 `json:"hits,omitempty"`
	Adopted      []muster.AdoptedRecord     `json:"adopted,omitempty"` // accounts that were taken over from a book
	Matches      []muster.MatchRecord       `json:"matches,omitempty"` // special measures that accounts come under
}

// TypeFile is the type of a File's line.
const TypeFile = "file"

// FiledSubject is a person with every revision of their claims that is kept; none
// where they are erased.
type FiledSubject struct {
	muster.SubjectRecord
	Claims []FiledClaims `json:"claims,omitempty"` // oldest first
}

// FiledClaims is one revision of one person's part of an application.
type FiledClaims struct {
	muster.ClaimsRecord
	Piece json.RawMessage `json:"piece"` // party or signatory; of the customer rest and salt besides
}

// FiledEvidence is evidence with what was seen.
type FiledEvidence struct {
	muster.EvidenceRecord
	Details json.RawMessage `json:"details,omitempty"`
}

// FiledDecision is a decision with the facts that it was made on, without those of
// people who are erased; nil where all are.
type FiledDecision struct {
	muster.DecisionRecord
	Body  json.RawMessage `json:"body"` // the decision, as it is committed to
	Facts *muster.Facts   `json:"facts,omitempty"`
}

// FiledHit is a hit with its entry and, where somebody found something, why and of what.
type FiledHit struct {
	muster.HitRecord
	Entry   json.RawMessage `json:"entry,omitempty"`
	Finding json.RawMessage `json:"finding,omitempty"`
}

// Give reads one customer's whole file and opens it in a session.
func (s *Service) Give(ctx context.Context, tx Tx, session *vault.Session, customer string) (*File, error) {
	c, err := tx.Customer(ctx, customer)
	if err != nil {
		return nil, err
	}
	f := &File{Type: TypeFile, Customer: *c}
	accounts, err := tx.AccountsOf(ctx, customer)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		f.Accounts = append(f.Accounts, *a)
		adopted, err := tx.Adopted(ctx, a.ID)
		switch {
		case err == nil:
			f.Adopted = append(f.Adopted, *adopted)
		case muster.ErrorCode(err) != muster.CodeNotFound:
			return nil, err
		}
		matches, err := tx.MatchesOf(ctx, a.ID)
		if err != nil {
			return nil, err
		}
		f.Matches = append(f.Matches, matches...)
	}
	apps, err := tx.ApplicationsOf(ctx, customer)
	if err != nil {
		return nil, err
	}
	for _, a := range apps {
		f.Applications = append(f.Applications, *a)
	}
	reviews, err := tx.ReviewsOf(ctx, customer)
	if err != nil {
		return nil, err
	}
	for _, r := range reviews {
		f.Reviews = append(f.Reviews, *r)
	}
	g := giving{session: session, keys: map[string]string{}}
	if err := g.subjects(ctx, tx, f); err != nil {
		return nil, err
	}
	if err := g.found(ctx, tx, f); err != nil {
		return nil, err
	}
	return f, g.decisions(ctx, tx, f)
}

// giving opens one file.
type giving struct {
	session *vault.Session
	keys    map[string]string // by subject id
}

// open opens a value that is sealed under a person's key; nil where they are erased.
func (g *giving) open(ctx context.Context, place vault.Place, sealed []byte) (json.RawMessage, error) {
	return g.item(ctx, vault.Item{KeyID: g.keys[place.Subject], Place: place, Sealed: sealed})
}

// item opens a value; nil where its key is destroyed.
func (g *giving) item(ctx context.Context, it vault.Item) (json.RawMessage, error) {
	if len(it.Sealed) == 0 {
		return nil, nil
	}
	data, err := g.session.Open(ctx, it)
	if muster.ErrorCode(err) == muster.CodeGone {
		return nil, nil
	}
	return data, err
}

func (g *giving) subjects(ctx context.Context, tx Tx, f *File) error {
	people, err := tx.Subjects(ctx, f.Customer.ID)
	if err != nil {
		return err
	}
	var ids []string
	for _, p := range people {
		g.keys[p.ID] = p.Key
		ids = append(ids, p.Key)
	}
	if err := g.session.Warm(ctx, ids); err != nil {
		return err
	}
	for _, p := range people {
		x := FiledSubject{SubjectRecord: *p}
		claims, err := tx.ClaimsOf(ctx, p.ID)
		if err != nil {
			return err
		}
		for _, c := range claims {
			data, err := g.open(ctx, claimsPlace(p.ID, c.Revision), c.Sealed)
			if err != nil {
				return err
			}
			if data != nil {
				x.Claims = append(x.Claims, FiledClaims{*c, data})
			}
		}
		f.Subjects = append(f.Subjects, x)
	}
	return nil
}

// found reads what methods and lists found.
func (g *giving) found(ctx context.Context, tx Tx, f *File) error {
	evidence, err := tx.EvidenceOf(ctx, f.Customer.ID)
	if err != nil {
		return err
	}
	if err := g.session.Warm(ctx, evidenceKeys(evidence)); err != nil {
		return err
	}
	for _, e := range evidence {
		details, err := g.item(ctx, detailsItem(e, g.keys[e.Subject]))
		if err != nil {
			return err
		}
		f.Evidence = append(f.Evidence, FiledEvidence{*e, details})
	}
	hits, err := tx.HitsOf(ctx, f.Customer.ID)
	if err != nil {
		return err
	}
	for _, h := range hits {
		x := FiledHit{HitRecord: *h}
		if x.Entry, err = g.open(ctx, hitPlace(h, "found"), h.Found); err != nil {
			return err
		}
		if x.Finding, err = g.open(ctx, hitPlace(h, "finding"), h.Finding); err != nil {
			return err
		}
		f.Hits = append(f.Hits, x)
	}
	return nil
}

func (g *giving) decisions(ctx context.Context, tx Tx, f *File) error {
	for page := (muster.Page{Limit: 500}); ; {
		some, err := tx.DecisionsOf(ctx, f.Customer.ID, "", page)
		if err != nil {
			return err
		}
		for _, d := range some {
			opened, err := g.session.OpenFacts(ctx, d.ID, d.Facts)
			if err != nil {
				return err
			}
			facts, erased, err := journal.Facts(opened)
			if err != nil {
				return err
			}
			if erased == len(opened) {
				facts = nil
			}
			f.Decisions = append(f.Decisions, FiledDecision{*d, d.Body, facts})
		}
		if len(some) < page.Limit {
			return nil
		}
		page.After = some[len(some)-1].ID
	}
}
