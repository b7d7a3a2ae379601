package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Whole is everything on file of some accounts, record by record: what a person's own
// copy and an export are made of. Records come account by account in the order of the
// pages, access records in the order of time, then leases.
type Whole struct {
	Next        func() ([]string, error) // the next page of account ids; empty at the end
	From, Until time.Time                // access records in [From, Until); zero: no bound. Leases that were held then
	Access      func(*muster.AccessRecord) error
	Lease       func(*muster.LeaseRecord) error
}

// Whole reads it in one snapshot, under one leaf. scope says in words without personal
// data which accounts these are. What is held in memory is what is not sealed yet, one
// account's leases and a week of its access records.
func (q *Questions) Whole(ctx context.Context, ask Ask, scope string, w Whole) error {
	s, err := q.session(ctx, ask, "whole", scope)
	if err != nil {
		return err
	}
	if w.Until.IsZero() {
		w.Until = q.Clock().Add(muster.MaxAhead)
	}
	return q.Shelf.stream(ctx, q.DB, func(tx Tx) error {
		unsealed := map[string]*Batch{}
		of := func(account string) *Batch {
			if unsealed[account] == nil {
				unsealed[account] = &Batch{}
			}
			return unsealed[account]
		}
		if err := q.Tail.Tail(ctx, s, tx, Want{}, func(b *Batch) error {
			for i := range b.Access {
				u := of(b.Access[i].Account)
				u.Access = append(u.Access, b.Access[i])
			}
			for i := range b.Leases {
				u := of(b.Leases[i].Account)
				u.Leases = append(u.Leases, b.Leases[i])
			}
			return nil
		}); err != nil {
			return err
		}
		access, err := quartersIn(ctx, tx, Access)
		if err != nil {
			return err
		}
		leases, err := quartersIn(ctx, tx, Leases)
		if err != nil {
			return err
		}
		for {
			page, err := w.Next()
			if err != nil || len(page) == 0 {
				return err
			}
			here, err := q.present(ctx, slices.Clone(page))
			if err != nil {
				return err
			}
			all, err := tx.HoldersOf(ctx, page)
			if err != nil {
				return err
			}
			holders := make(map[string]*Holder, len(all))
			for i := range all {
				holders[all[i].Account] = &all[i]
			}
			for _, account := range page {
				if !here[account] {
					continue // erased
				}
				if err := q.wholeAccess(ctx, tx, s, &w, account, holders[account], access, of(account).Access); err != nil {
					return err
				}
				if err := q.wholeLeases(ctx, tx, s, &w, account, holders[account], leases, of(account).Leases); err != nil {
					return err
				}
				delete(unsealed, account)
			}
		}
	})
}

// quartersIn are those of which a chunk of a kind is there, rising.
func quartersIn(ctx context.Context, tx Tx, k Kind) (list []quarter, err error) {
	for from := chunkID(k, 0, 0, 0, 0, 0); ; {
		id, err := tx.NextChunk(ctx, from)
		if err != nil {
			return nil, err
		}
		key := parseChunkID(id)
		if id < 0 || key.kind != k {
			return list, nil
		}
		if list = append(list, key.quarter); key.quarter == farAhead {
			return list, nil
		}
		from = chunkID(k, key.quarter+1, 0, 0, 0, 0)
	}
}

// wholeAccess gives one account's access records. Where holder is nil none are sealed.
// The unsealed ones are few, and are put where their time is.
func (q *Questions) wholeAccess(ctx context.Context, tx Tx, s *vault.Session, w *Whole, account string, holder *Holder, quarters []quarter, unsealed []muster.AccessRecord) error {
	if w.Access == nil {
		return nil
	}
	slices.SortFunc(unsealed, func(a, b muster.AccessRecord) int { return compareAccess(&a, &b) })
	give := func(list []muster.AccessRecord, until time.Time) error {
		for len(unsealed) > 0 && unsealed[0].At.Before(until) {
			if r := unsealed[0]; !r.At.Before(w.From) && r.At.Before(w.Until) {
				list = append(list, r)
			}
			unsealed = unsealed[1:]
		}
		slices.SortStableFunc(list, func(a, b muster.AccessRecord) int { return compareAccess(&a, &b) })
		for i := range list {
			if err := w.Access(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	const week = 7 * 24 * time.Hour
	var list []muster.AccessRecord
	for _, at := range quarters {
		if holder == nil || !at.start().Before(w.Until) || !w.From.Before(at.end()) {
			continue
		}
		for from := at.start(); from.Before(at.end()); {
			step := week
			until := from.Add(step)
			for {
				if until.After(at.end()) {
					until = at.end()
				}
				part := window{from: later(from, w.From), until: earlier(until, w.Until)}
				if !part.from.Before(part.until) {
					list = list[:0]
					break
				}
				var err error
				list, err = q.records(ctx, tx, s, *holder, at, part, list[:0])
				if muster.ErrorCode(err) != muster.CodeTooLarge || step < time.Minute {
					if err != nil {
						return err
					}
					break
				}
				step /= 8 // a busy account
				until = from.Add(step)
			}
			if err := give(list, until); err != nil {
				return err
			}
			from = until
		}
	}
	return give(nil, w.Until)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wholeLeases gives one account's leases. An open one is carried from quarter to
// quarter, and is one lease.
func (q *Questions) wholeLeases(ctx context.Context, tx Tx, s *vault.Session, w *Whole, account string, holder *Holder, quarters []quarter, unsealed []muster.LeaseRecord) error {
	if w.Lease == nil {
		return nil
	}
	var list []muster.LeaseRecord
	if holder != nil {
		for _, at := range quarters {
			some, err := readLeases(ctx, tx, s, *holder, at)
			if muster.ErrorCode(err) == muster.CodeGone {
				continue
			}
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
	}
	for _, l := range joinLeases(append(list, unsealed...)) {
		if !l.From.Before(w.Until) || !l.Until.IsZero() && !w.From.Before(l.Until) {
			continue
		}
		l.Account = account
		if err := w.Lease(&l); err != nil {
			return err
		}
	}
	return nil
}
