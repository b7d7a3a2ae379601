package onboard

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// What the gate says of an account is composed and written in the very transaction
// that moves it: an answer that lags behind a decision lags by the way to the gate,
// and is never left behind by a crash.

// PutProfile composes what the gate says of an account from its state, its latest
// decision and what special measures do to it, and writes it. The account is read,
// or written, in tx.
func (s *Service) PutProfile(ctx context.Context, tx Tx, a *muster.AccountRecord, measures []muster.Transition) error {
	var d *muster.Decision
	r, err := tx.Decision(ctx, a.Decision)
	switch {
	case err == nil:
		if d, err = s.fill(ctx, r); err != nil {
			return err
		}
	case muster.ErrorCode(err) != muster.CodeNotFound:
		return err
	}
	profile, err := s.profileOf(bare(a), d, measures, false)
	if err != nil {
		return err
	}
	return tx.PutGate(ctx, profile)
}

// bare is an account without what measures did to it: that comes in by their instants.
func bare(a *muster.AccountRecord) *muster.AccountRecord {
	b := *a
	if a.Beneath != "" {
		b.State = a.Beneath
	}
	return &b
}

// profileOf is what the gate says of an account.
func (s *Service) profileOf(a *muster.AccountRecord, d *muster.Decision, measures []muster.Transition, fresh bool) (*muster.ProfileRecord, error) {
	r, err := composed(a, d, measures)
	if err != nil {
		return nil, err
	}
	r.Fresh = fresh
	s.hashed(r, a.Reference)
	return r, nil
}

// composed is what the gate says of an account, before its hash.
func composed(a *muster.AccountRecord, d *muster.Decision, measures []muster.Transition) (*muster.ProfileRecord, error) {
	p := gate.Compose(a, d, measures)
	raw, _, err := gate.EncodeProfile(p)
	if err != nil {
		return nil, err
	}
	r := &muster.ProfileRecord{Account: a.ID, Profile: raw}
	if slices.ContainsFunc(p.Steps, func(s muster.ProfileStep) bool { return s.Status != muster.GateAllow }) {
		r.Decision = a.Decision // what is asked about later: a plain yes stays the same yes
	}
	return r, nil
}

// hashed gives a profile the hash of its account's reference.
func (s *Service) hashed(r *muster.ProfileRecord, reference string) {
	r.OtherKey = 0
	keys, use := s.Vault.GateKeys()
	for version, k := range keys { // which of two is in force is seen when the row is written
		h := (*gate.Key)(&k).Hash(reference)
		if version == use {
			r.Hash = h
		} else {
			r.Other, r.OtherKey = h, version
		}
	}
}

// gateFilled is past the id of every account.
const gateFilled = muster.PrefixAccount + "~"

// FillGate composes profiles for accounts that were made before the gate had any, a
// page in each transaction, and says how many it did. It goes on where it was; where
// nothing is left it costs one read.
func (s *Service) FillGate(ctx context.Context) (filled int, err error) {
	for {
		done, at := 0, ""
		err := s.DB.View(ctx, func(tx Tx) error { at, err = tx.GateFilled(ctx); return err })
		if err != nil || at == gateFilled {
			return filled, err
		}
		err = s.DB.InTx(ctx, func(tx Tx) error {
			done = 0
			if at, err = tx.GateFilled(ctx); err != nil || at == gateFilled {
				return err
			}
			accounts, err := tx.AccountsToFill(ctx, muster.Page{After: at, Limit: gatePage})
			if err != nil {
				return err
			}
			at = gateFilled
			for _, a := range accounts {
				ts, err := s.transitionsOf(ctx, tx, a)
				if err != nil {
					return err
				}
				if err := s.PutProfile(ctx, tx, a, ts); err != nil {
					return err
				}
				at, done = a.ID, done+1
			}
			return tx.SetGateFilled(ctx, at)
		})
		if err != nil {
			return filled, err
		}
		filled += done
	}
}

// gatePage is how many accounts one transaction fills: others wait for it.
const gatePage = 200
