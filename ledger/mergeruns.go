package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
)

// months are those that have runs of a kind.
func (s *Sealer) months(ctx context.Context, k Kind) (list []month, err error) {
	return list, s.DB.View(ctx, func(tx Tx) error {
		list = nil
		runs, err := tx.Runs(ctx, runID(k, 0, 0), runID(k, 1<<12-1, maxRun))
		for _, r := range runs {
			if m := month(r.ID >> 18 & (1<<12 - 1)); len(list) == 0 || list[len(list)-1] != m {
				list = append(list, m)
			}
		}
		return err
	})
}

// mergeRuns merges the runs of each month into one, without the postings of accounts
// that were erased or have no chunk of that quarter any more.
func (s *Sealer) mergeRuns(ctx context.Context, all bool) (written int, err error) {
	began := s.state.Erased
	erased := !began.IsZero()
	for _, k := range []Kind{Access, Leases} {
		months, err := s.months(ctx, k)
		if err != nil {
			return written, err
		}
		for _, m := range months {
			if err := s.lead(ctx); err != nil {
				return written, err
			}
			did, err := s.mergeMonth(ctx, k, m, all, erased)
			if err != nil {
				return written, err
			}
			if did {
				written++
			}
		}
	}
	if !erased {
		return written, nil
	}
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		st, err := tx.State(ctx)
		if err != nil || !st.Erased.Equal(began) { // another erasure came meanwhile
			return err
		}
		return tx.PutErased(ctx, time.Time{})
	}); err != nil {
		return written, err
	}
	return written, s.lead(ctx)
}

func (s *Sealer) mergeMonth(ctx context.Context, k Kind, m month, all, erased bool) (bool, error) {
	session, err := s.use(ctx)
	if err != nil {
		return false, err
	}
	p := &plan{next: s.state}
	if err := s.DB.View(ctx, func(tx Tx) error {
		p.runs = nil
		runs, err := runsOf(ctx, tx, k, m)
		if err != nil {
			return err
		}
		over := all || s.Clock().After(m.end().Add(settle))
		narrowed := slices.ContainsFunc(runs, func(r Run) bool { return r.Bits != wideBits })
		if len(runs) == 0 || len(runs) == 1 && !erased && (narrowed || !over) {
			return nil
		}
		width := wideBits
		for _, r := range runs {
			width = min(width, r.Bits)
		}
		var list []posting
		for _, r := range runs {
			var part []posting
			if part, err = readRun(ctx, tx, session, k, m, r, nil); err != nil {
				return err
			}
			narrow(part, r.Bits, width)
			list = append(list, part...)
		}
		if erased {
			if list, err = s.withoutErased(ctx, tx, k, m, list); err != nil {
				return err
			}
		}
		list = sortPostings(list)
		if over && !narrowed {
			due := dueBits(len(list))
			narrow(list, width, due)
			width = due
			list = sortPostings(list)
		}
		key, err := s.Vault.PeriodKey(ctx, m.period(k))
		if err != nil {
			return err
		}
		run, err := makeRun(s.Vault, key, k, m, list, width, nil, runs)
		p.runs = append(p.runs, run)
		return err
	}); err != nil || len(p.runs) == 0 {
		return false, err
	}
	return true, s.tx(ctx, "index", p.next, func(tx Tx) error { return p.write(ctx, tx) })
}

// withoutErased keeps the postings whose number has a holder and chunks of the quarter.
func (s *Sealer) withoutErased(ctx context.Context, tx Tx, k Kind, m month, list []posting) ([]posting, error) {
	numbers := map[int64]bool{}
	for i := range list {
		numbers[int64(list[i].number)] = false
	}
	holders, err := tx.HoldersNumbered(ctx, slices.Collect(maps.Keys(numbers)))
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		for level := range 2 {
			from, through := chunkRange(k, m.quarter(), level, h.Number)
			id, err := tx.NextChunk(ctx, from)
			if err != nil {
				return nil, err
			}
			if id >= 0 && id <= through {
				numbers[h.Number] = true
			}
		}
	}
	return slices.DeleteFunc(list, func(p posting) bool { return !numbers[int64(p.number)] }), nil
}
