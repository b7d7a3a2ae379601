package onboard

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// HitFinding is a person's finding on a hit, agreed on by as many as it takes.
type HitFinding struct {
	State  muster.HitState // true | false
	Reason string          // sealed
	Report time.Time       // by when a true one is to be reported; zero: no clock
	Keep   time.Time       // until when its records stay
}

// eventHit is the event of a decision after a finding on a hit.
const eventHit = "hit"

// ResolveHit writes a person's finding on a hit and decides anew, all in tx. A true
// one suspends, by the pack; the account moves through the table like any other.
func (s *Service) ResolveHit(ctx context.Context, tx Tx, r *muster.HitRecord, by muster.Principal, x HitFinding) error {
	f, err := s.load(ctx, tx, r.Application)
	if err != nil {
		return err
	}
	facts, err := s.lastFacts(ctx, tx, f)
	if err != nil {
		return err
	}
	enforce, observe, err := s.packs(facts, tx.Now())
	if err != nil {
		return err
	}
	if err := s.screen(ctx, tx, f, facts, slices.Concat(enforce, observe), true); err != nil {
		return err
	}
	i := slices.IndexFunc(f.hits, func(h *hit) bool { return h.ID == r.ID })
	if i < 0 {
		return muster.Errorf(muster.CodeGone, "the person of this hit is erased")
	}
	h := f.hits[i]
	h.HitRecord, h.dirty, h.moved = r, true, true
	first := r.Proposer
	r.State, r.Again, r.Operator, r.Changed, r.Due, r.Keep = x.State, "", by.Operator, tx.Now(), x.Report, x.Keep
	r.Proposal, r.Proposer, r.Proposed, r.Reported = "", "", time.Time{}, time.Time{}
	r.Findings++
	h.finding = &found{Reason: x.Reason}
	if f.watch != nil {
		h.finding.Entry = material(f.watch.Index.Entry(h.List, h.entry))
	}
	who := h.Subject
	if h.Of == muster.HitOfPayer {
		who = h.Of
	}
	h.finding.Query = f.compared[who]
	if r.Finding, err = s.sealHit(f, r, "finding", h.finding); err != nil {
		return err
	}
	if _, err := s.Journal.Enter(ctx, tx, tlog.Resolution, by.Operator, muster.Ref{Kind: "hit", ID: r.ID}, struct {
		Finding muster.HitState `json:"finding"`
		List    string          `json:"list"`
		First   string          `json:"first,omitempty"` // the operator who proposed, where it took two
	}{x.State, r.List, first}); err != nil {
		return err
	}
	if !r.Due.IsZero() {
		if err := tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobHitDue, Ref: r.ID, RunAt: r.Due}); err != nil {
			return err
		}
	}
	if f.mustBeLive(eventHit) != nil { // it came to nothing: the finding is kept, and there is nothing to decide
		return saveHits(ctx, tx, f)
	}
	_, err = s.redecide(ctx, tx, f, eventHit, nil)
	return err
}

// EventHitOverdue tells listeners that the reporting clock of a hit has run out.
const EventHitOverdue = "hit.overdue"

// HitOverdue tells listeners that a hit which is true was not reported in time.
func (s *Service) HitOverdue(ctx context.Context, id string) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		h, err := tx.Hit(ctx, id)
		if err != nil || h.State != muster.HitTrue || !h.Reported.IsZero() || tx.Now().Before(h.Due) || !s.Listeners.Any() {
			return err
		}
		id := muster.NewID(muster.PrefixMessage, tx.Now())
		payload, err := json.Marshal(muster.Event{ID: id, Type: EventHitOverdue, At: tx.Now(), Data: muster.EventData{
			Application: h.Application, Customer: h.Customer, Hit: h.ID,
		}})
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "an event cannot be written: %w", err)
		}
		return tx.Enqueue(ctx, &muster.Job{ID: id, Kind: muster.JobPublish, Ref: h.Application, Payload: payload, RunAt: tx.Now()})
	})
}

// eventScreened is the event of a decision that a change of a list caused.
const eventScreened = "screened"

// Rescreen compares everybody on a customer's file with the lists in effect. Where
// a hit comes of it, or one no longer holds, the packs decide anew; otherwise
// nothing is written.
func (s *Service) Rescreen(ctx context.Context, customer string) (decided bool, err error) {
	var app string
	if err := s.DB.View(ctx, func(tx Tx) error {
		apps, err := tx.ApplicationsOf(ctx, customer)
		if err != nil || len(apps) == 0 {
			return err
		}
		app = apps[len(apps)-1].ID
		return nil
	}); err != nil || app == "" {
		return false, err
	}
	_, err = s.change(ctx, app, func(tx Tx, f *file) (*Answer, error) {
		decided = false
		if f.mustBeLive(eventScreened) != nil || len(f.subjects) == 0 || f.keys[f.subjects[0].ID].ID() == "" {
			return nil, nil
		}
		facts, err := s.lastFacts(ctx, tx, f)
		if err != nil {
			return nil, err
		}
		enforce, observe, err := s.packs(facts, tx.Now())
		if err != nil {
			return nil, err
		}
		packs := slices.Concat(enforce, observe)
		if err := s.screen(ctx, tx, f, facts, packs, true); err != nil {
			return nil, err
		}
		if err := s.judgeHits(f, facts, packs, tx.Now()); err != nil {
			return nil, err
		}
		if !f.moved() {
			return nil, saveHits(ctx, tx, f) // a score may have changed
		}
		decided = true
		return s.redecide(ctx, tx, f, eventScreened, nil)
	})
	return decided && err == nil, err
}

// RescreenFacts compares everybody in recorded facts, as they were stated then, with
// the lists in effect, and puts that in the place of what the facts say. Findings stay.
func (s *Service) RescreenFacts(ctx context.Context, session *vault.Session, customer string, facts *muster.Facts, packs []*policy.Pack) error {
	w, wanted := s.watching(packs)
	if w == nil {
		return muster.Errorf(muster.CodeUnavailable, "no watch list is loaded, so nothing can be compared")
	}
	var items []vault.Item
	var at []string
	if err := s.DB.View(ctx, func(tx Tx) error {
		subjects, err := tx.Subjects(ctx, customer)
		if err != nil {
			return err
		}
		for i := range facts.Subjects {
			x := &facts.Subjects[i]
			k := slices.IndexFunc(subjects, func(r *muster.SubjectRecord) bool { return r.ID == x.ID })
			if k < 0 {
				return muster.Errorf(muster.CodeInternal, "a subject of recorded facts is not on file")
			}
			c, err := tx.Claims(ctx, x.ID, x.Revision)
			if err != nil {
				return err
			}
			items = append(items, vault.Item{KeyID: subjects[k].Key, Place: claimsPlace(x.ID, c.Revision), Sealed: c.Sealed})
			at = append(at, x.Pointer)
		}
		return nil
	}); err != nil {
		return err
	}
	var places []place
	for i, it := range items {
		data, err := session.Open(ctx, it)
		if err != nil {
			return err
		}
		var p piece
		if err := decodePiece(data, &p); err != nil {
			return err
		}
		places = append(places, place{at[i], p})
	}
	app, err := unite(places)
	if err != nil {
		return err
	}
	screenOn(w, wanted, &file{claims: app}, facts)
	return nil
}

// HitExplained is a hit with what only somebody who may see the names sees: the
// entry, and how it was compared with what is on file.
type HitExplained struct {
	Hit         string              `json:"hit"`
	Entry       *muster.ListEntry   `json:"entry,omitempty" doc:"as it is published now; absent where it has left its list"`
	EntryID     string              `json:"entry_id" doc:"the publisher's own id"`
	Explanation *screen.Explanation `json:"explanation,omitempty" doc:"word by word; absent where the entry has left its list"`
	Reason      string              `json:"reason,omitempty" doc:"of the finding that stands"`
}

// ExplainHit shows an operator a hit in full, for a purpose. The leaf that says so
// is durable before a value is opened. Nothing of it is kept: it is computed from
// the sealed claims and the lists in effect.
func (s *Service) ExplainHit(ctx context.Context, by muster.Principal, id string, r RevealRequest) (*HitExplained, error) {
	if err := s.mayReveal(r.Purpose); err != nil {
		return nil, err
	}
	var h *muster.HitRecord
	var items []vault.Item
	pointer := ""
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		if h, err = tx.Hit(ctx, id); err != nil {
			return err
		}
		subjects, err := tx.Subjects(ctx, h.Customer)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(subjects, func(x *muster.SubjectRecord) bool { return x.ID == h.Subject })
		if i < 0 || !subjects[i].Erased.IsZero() {
			return muster.Errorf(muster.CodeGone, "the person of this hit is erased")
		}
		pointer = subjects[i].Pointer
		c, err := tx.Claims(ctx, h.Subject, 0)
		if err != nil {
			return err
		}
		key := subjects[i].Key
		items = append(items,
			vault.Item{KeyID: key, Place: hitPlace(h, "found"), Sealed: h.Found},
			vault.Item{KeyID: key, Place: claimsPlace(h.Subject, c.Revision), Sealed: c.Sealed})
		if h.Finding != nil {
			items = append(items, vault.Item{KeyID: key, Place: hitPlace(h, "finding"), Sealed: h.Finding})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	values, err := s.Vault.Reveal(ctx, vault.RevealRequest{Operator: by.Operator, Purpose: vault.Purpose(r.Purpose), Case: r.Case, Items: items}, s.Journal)
	if err != nil {
		return nil, err
	}
	if values[0] == nil {
		return nil, muster.Errorf(muster.CodeGone, "the person of this hit is erased")
	}
	var saw seen
	var p piece
	if err := json.Unmarshal(values[0], &saw); err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a sealed hit is not what it should be: %w", err)
	}
	if err := decodePiece(values[1], &p); err != nil {
		return nil, err
	}
	out := &HitExplained{Hit: h.ID, EntryID: saw.Entry}
	if len(values) > 2 {
		var f found
		if err := json.Unmarshal(values[2], &f); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "a sealed finding is not what it should be: %w", err)
		}
		out.Reason = f.Reason
	}
	s.explain(h, &p, pointer, out)
	return out, nil
}

// explain compares again, by the lists in effect.
func (s *Service) explain(h *muster.HitRecord, p *piece, pointer string, out *HitExplained) {
	enforce, observe := s.Programme.At(s.Clock())
	w, wanted := s.watching(slices.Concat(enforce, observe))
	if w == nil {
		return
	}
	q := queryOf(p)
	if h.Of == muster.HitOfPayer {
		app, err := unite([]place{{pointer, *p}})
		if err != nil {
			return
		}
		payer, ok := payerOf(app, nil)
		if !ok {
			return
		}
		q = payer.Query
	}
	out.Entry = w.Index.Entry(h.List, out.EntryID)
	if x, ok := w.Index.Explain(&q, h.List, out.EntryID, options(wanted)); ok {
		out.Explanation = &x
	}
}
