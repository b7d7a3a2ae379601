package onboard

import (
	"context"
	"encoding/json"
	"time"

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

// giveShare is how many files of a page one core opens at a time.
const giveShare = 16

// GiveLines reads customers' whole files and opens them in a session, on all cores:
// lines, in the order of the customers.
func (s *Service) GiveLines(ctx context.Context, tx Tx, session *vault.Session, customers []string) ([][]byte, error) {
	records, err := tx.FileRecords(ctx, customers...)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, r := range records {
		for _, p := range r.Subjects {
			keys = append(keys, p.Key)
		}
		keys = append(keys, evidenceKeys(r.Evidence)...)
	}
	if err := session.Warm(ctx, keys); err != nil {
		return nil, err
	}
	lines := make([][]byte, len(records))
	return lines, spread(ctx, len(records), giveShare, func(i int) error {
		f, err := s.give(ctx, session, records[i])
		if err != nil {
			return err
		}
		if lines[i], err = json.Marshal(f); err != nil {
			return muster.Errorf(muster.CodeInternal, "a file cannot be written: %w", err)
		}
		return nil
	})
}

// give opens one file.
func (s *Service) give(ctx context.Context, session *vault.Session, r *muster.FileRecord) (*File, error) {
	f := &File{
		Type: TypeFile, Customer: *r.Customer, Accounts: values(r.Accounts), Applications: values(r.Applications),
		Reviews: values(r.Reviews), Adopted: values(r.Adopted), Matches: r.Matches,
	}
	g := giving{session: session, now: s.Clock(), keys: map[string]string{}}
	if err := g.subjects(ctx, r, f); err != nil {
		return nil, err
	}
	if err := g.found(ctx, r, f); err != nil {
		return nil, err
	}
	return f, g.decisions(ctx, r, f)
}

// values are what pointers lead to; nil of none.
func values[T any](pointers []*T) (all []T) {
	for _, p := range pointers {
		all = append(all, *p)
	}
	return all
}

// giving opens one file.
type giving struct {
	session *vault.Session
	now     time.Time
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

func (g *giving) subjects(ctx context.Context, r *muster.FileRecord, f *File) error {
	for _, p := range r.Subjects {
		g.keys[p.ID] = p.Key
		x := FiledSubject{SubjectRecord: *p}
		for _, c := range r.Claims[p.ID] {
			data, err := g.open(ctx, claimsPlace(p.ID, c.Revision), c.Sealed)
			if err != nil {
				return err
			}
			if data != nil {
				x.Claims = append(x.Claims, FiledClaims{*c, data})
			}
		}
		if len(x.Claims) < len(r.Claims[p.ID]) { // erased since the snapshot was taken
			x.Erased, x.Changed = g.now, nil
		}
		f.Subjects = append(f.Subjects, x)
	}
	return nil
}

// found opens what methods and lists found.
func (g *giving) found(ctx context.Context, r *muster.FileRecord, f *File) error {
	for _, e := range r.Evidence {
		details, err := g.item(ctx, detailsItem(e, g.keys[e.Subject]))
		if err != nil {
			return err
		}
		f.Evidence = append(f.Evidence, FiledEvidence{*e, details})
	}
	for _, h := range r.Hits {
		x := FiledHit{HitRecord: *h}
		var err error
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

func (g *giving) decisions(ctx context.Context, r *muster.FileRecord, f *File) error {
	for _, d := range r.Decisions {
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
	return nil
}
