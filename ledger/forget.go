package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster/vault"
)

// Erase takes out accounts, whoever holds the lease: their numbers lead nowhere from
// here on, their chunks are deleted, and nobody else's bytes are touched. Their postings,
// which name a number of nobody, go with the next compaction. Destroying the subject's
// key is the caller's; what is in the tail goes with the sealer's next pass.
func Erase(ctx context.Context, db DB, accounts []string) error {
	return db.InTx(ctx, func(tx Tx) error {
		list, err := tx.HoldersOf(ctx, accounts)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, h := range list {
			if err := dropHolder(ctx, tx, h.Number); err != nil {
				return err
			}
		}
		return noteErased(ctx, tx)
	})
}

// noteErased notes that an erasure waits, since the first of them. Each one changes
// the note, so that whoever works on an older state finds out.
func noteErased(ctx context.Context, tx Tx) error {
	st, err := tx.State(ctx)
	if err != nil {
		return err
	}
	at := tx.Now()
	if !st.Erased.IsZero() {
		at = st.Erased.Add(time.Microsecond)
	}
	return tx.PutErased(ctx, at)
}

// dropHolder deletes an account's holder and chunks.
func dropHolder(ctx context.Context, tx Tx, number int64) error {
	if err := tx.DropHolder(ctx, number); err != nil {
		return err
	}
	for k := range Leases + 1 {
		for from := chunkID(k, 0, 0, 0, 0, 0); ; {
			id, err := tx.NextChunk(ctx, from)
			if err != nil {
				return err
			}
			key := parseChunkID(id)
			if id < 0 || key.kind != k {
				break
			}
			for level := range 2 {
				a, b := chunkRange(k, key.quarter, level, number)
				if err := tx.DropChunks(ctx, a, b); err != nil {
					return err
				}
			}
			if key.quarter == farAhead {
				break
			}
			from = chunkID(k, key.quarter+1, 0, 0, 0, 0)
		}
	}
	return nil
}

// sweep erases the accounts whose key is destroyed, whether or not anybody called Erase.
func (s *Sealer) sweep(ctx context.Context) (erased int, err error) {
	for after := int64(0); ; {
		var rows []Holder
		if err := s.DB.View(ctx, func(tx Tx) error {
			rows, err = tx.HoldersAfter(ctx, after, slackAccounts)
			return err
		}); err != nil {
			return erased, err
		}
		if len(rows) == 0 {
			return erased, s.lead(ctx)
		}
		after = rows[len(rows)-1].Number
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].KeyID
		}
		keys, err := s.Vault.Keys(ctx, ids)
		if err != nil {
			return erased, err
		}
		var gone []string
		for _, h := range rows {
			if _, ok := keys[h.KeyID]; !ok {
				gone = append(gone, h.Account)
			}
		}
		if len(gone) > 0 {
			if err := Erase(ctx, s.DB, gone); err != nil {
				return erased, err
			}
			erased += len(gone)
		}
	}
}

// age deletes the chunks of quarters that ended before what retention keeps.
func (s *Sealer) age(ctx context.Context) (aged int, err error) {
	if s.Retention == nil {
		return 0, s.lead(ctx)
	}
	for _, k := range []Kind{Access, Leases} {
		quarters, err := s.quarters(ctx, k)
		if err != nil {
			return aged, err
		}
		for _, q := range quarters {
			if !q.end().Before(s.Clock()) {
				continue
			}
			for level := range 2 {
				if err := s.accountsIn(ctx, k, q, level, func(list []*owned) error {
					accounts := make([]string, len(list))
					for i, o := range list {
						accounts[i] = o.holder.Account
					}
					gone, err := s.Retention.MayGo(ctx, k, q.end(), accounts)
					if err != nil {
						return err
					}
					list = slices.DeleteFunc(list, func(o *owned) bool { return !gone[o.holder.Account] })
					if len(list) == 0 {
						return nil
					}
					// The index is to be cleaned: noted first, so that it is whatever comes.
					if err := s.DB.InTx(ctx, func(tx Tx) error { return noteErased(ctx, tx) }); err != nil {
						return err
					}
					if err := s.lead(ctx); err != nil {
						return err
					}
					aged += len(list)
					return s.tx(ctx, "age", s.state, func(tx Tx) error {
						for _, o := range list {
							from, through := chunkRange(k, q, level, o.holder.Number)
							if err := tx.DropChunks(ctx, from, through); err != nil {
								return err
							}
						}
						return nil
					})
				}); err != nil {
					return aged, err
				}
			}
		}
	}
	return aged, s.lead(ctx)
}

// forgetPeriods destroys the keys of quarters and months that are over and of which
// nothing is left.
func (s *Sealer) forgetPeriods(ctx context.Context) error {
	now := s.Clock()
	for _, k := range []Kind{Access, Leases} {
		quarters, err := s.quarters(ctx, k)
		if err != nil {
			return err
		}
		kept := map[vault.Period]bool{}
		for _, q := range quarters {
			kept[q.period(k)] = true
		}
		months, err := s.months(ctx, k)
		if err != nil {
			return err
		}
		for _, m := range months {
			kept[m.period(k)] = true
		}
		for _, use := range []vault.PeriodUse{k.quarterUse(), k.indexUse()} {
			periods, err := s.Vault.Periods(ctx, use)
			if err != nil {
				return err
			}
			present := vault.PeriodAt(use, now)
			var past []vault.Period
			for _, p := range periods {
				if !kept[p] && p.Name < present.Name {
					past = append(past, p)
				}
			}
			if err := s.Vault.DestroyPeriods(ctx, past...); err != nil {
				return err
			}
		}
	}
	return nil
}
