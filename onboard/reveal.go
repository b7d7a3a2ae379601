package onboard

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Reveal shows an application's clear values to an operator, for a purpose. The
// leaf that says so is durable before a value is opened.
func (s *Service) Reveal(ctx context.Context, by muster.Principal, id string, r RevealRequest) (*Revealed, error) {
	return s.RevealAt(ctx, by, id, time.Time{}, r)
}

// RevealAt is Reveal of the claims as they stood at an instant; the zero time is now.
// Somebody who was not on file then is left out.
func (s *Service) RevealAt(ctx context.Context, by muster.Principal, id string, at time.Time, r RevealRequest) (*Revealed, error) {
	if err := s.mayReveal(r.Purpose); err != nil {
		return nil, err
	}
	type row struct {
		record *muster.SubjectRecord
		claims *muster.ClaimsRecord
	}
	var rows []row
	var withheld []string
	var app *muster.ApplicationRecord
	err := s.DB.View(ctx, func(tx Tx) error {
		f, err := s.load(ctx, tx, id)
		if err != nil {
			return err
		}
		app = f.app
		for _, sr := range f.subjects {
			if _, ok := f.keys[sr.ID]; !ok {
				withheld = append(withheld, sr.Pointer)
				continue
			}
			c, err := claimsAt(ctx, tx, sr.ID, at)
			if muster.ErrorCode(err) == muster.CodeNotFound && !at.IsZero() {
				continue
			}
			if err != nil {
				return err
			}
			rows = append(rows, row{sr, c})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var items []vault.Item
	for _, x := range rows {
		items = append(items, vault.Item{KeyID: x.record.Key, Place: claimsPlace(x.record.ID, x.claims.Revision), Sealed: x.claims.Sealed})
	}
	values, err := s.Vault.Reveal(ctx, vault.RevealRequest{Operator: by.Operator, Purpose: vault.Purpose(r.Purpose), Case: r.Case, Items: items}, s.Journal)
	if err != nil {
		return nil, err
	}
	var places []place
	for i, data := range values {
		if data == nil {
			withheld = append(withheld, rows[i].record.Pointer)
			continue
		}
		var p piece
		if err := decodePiece(data, &p); err != nil {
			return nil, err
		}
		places = append(places, place{rows[i].record.Pointer, p})
	}
	whole, err := unite(places)
	if err != nil {
		return nil, err
	}
	slices.Sort(withheld)
	revision := app.Revision
	if !at.IsZero() {
		revision = 0
		for _, x := range rows {
			revision = max(revision, x.claims.Revision)
		}
	}
	return &Revealed{Application: whole, Revision: revision, Withheld: withheld}, nil
}

// MayReveal is asked before a reveal that another room makes: a question to the ledger.
func (s *Service) MayReveal(purpose string) error { return s.mayReveal(purpose) }

// mayReveal holds the programme's word: a purpose that no pack in effect names is
// no ground to look.
func (s *Service) mayReveal(purpose string) error {
	enforce, observe := s.Programme.At(s.Clock())
	for _, p := range slices.Concat(enforce, observe) {
		for _, row := range p.Document().Reveal {
			if slices.Contains(row.Purposes, purpose) {
				return nil
			}
		}
	}
	return muster.Errorf(muster.CodeForbidden, "no pack in effect names this purpose as a ground to see personal values")
}
