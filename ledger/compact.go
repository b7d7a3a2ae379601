package ledger

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

const (
	mergeRecords  = 128            // young records of an account that are worth a merge while its quarter runs
	settle        = 48 * time.Hour // after a period's end its chunks and runs are merged whatever they are
	slackAccounts = 1000           // accounts of one transaction
	farAhead      = quarter(511)   // the last quarter that a row can name
)

// Compacted is what a compaction did.
type Compacted struct {
	Accounts int // whose chunks were merged
	Runs     int // of the index that were written
	Erased   int // accounts whose key was found destroyed
	Aged     int // accounts and quarters that were kept long enough
	Volumes  int // written
}

// Compact does what is not urgent: it carries open leases into a new month, merges chunks
// and runs upward, takes out what was erased, and ages out what retention says. all
// merges every chunk and run, however young.
func (s *Sealer) Compact(ctx context.Context, all bool) (done Compacted, err error) {
	if done, err = s.compact(ctx, all); err == nil {
		done.Volumes, err = s.tend(ctx)
	}
	return done, err
}

func (s *Sealer) compact(ctx context.Context, all bool) (done Compacted, err error) {
	for _, step := range []func(context.Context) error{
		s.lead, s.carry,
		func(ctx context.Context) error { done.Erased, err = s.sweep(ctx); return err },
		func(ctx context.Context) error { done.Aged, err = s.age(ctx); return err },
		func(ctx context.Context) error { done.Accounts, err = s.mergeChunks(ctx, all); return err },
		func(ctx context.Context) error { done.Runs, err = s.mergeRuns(ctx, all); return err },
		s.forgetPeriods,
	} {
		if err := step(ctx); err != nil {
			return done, err
		}
	}
	return done, nil
}

// quarters are those that have chunks of a kind.
func (s *Sealer) quarters(ctx context.Context, k Kind) (list []quarter, err error) {
	return list, s.DB.View(ctx, func(tx Tx) (err error) {
		list, err = quartersIn(ctx, tx, k)
		return err
	})
}

// accountsIn calls each with slices of the accounts that have chunks in a quarter and
// level, in the order of numbers. Those without a holder are absent: they are erased.
func (s *Sealer) accountsIn(ctx context.Context, k Kind, q quarter, level int, each func([]*owned) error) error {
	from, through := levelRange(k, q, level)
	for {
		var numbers []int64
		if err := s.DB.View(ctx, func(tx Tx) error {
			numbers = nil
			for len(numbers) < slackAccounts {
				id, err := tx.NextChunk(ctx, from)
				if err != nil {
					return err
				}
				if id < 0 || id > through {
					return nil
				}
				n := parseChunkID(id).account
				numbers = append(numbers, n)
				from = chunkID(k, q, level, n, 1<<12-1, maxCounter) + 1
			}
			return nil
		}); err != nil || len(numbers) == 0 {
			return err
		}
		list, err := s.holders(ctx, numbers)
		if err != nil {
			return err
		}
		if err := s.lead(ctx); err != nil {
			return err
		}
		if err := each(list); err != nil {
			return err
		}
	}
}

// holders opens the keys of numbers.
func (s *Sealer) holders(ctx context.Context, numbers []int64) (list []*owned, err error) {
	var rows []Holder
	if err := s.DB.View(ctx, func(tx Tx) error {
		rows, err = tx.HoldersNumbered(ctx, numbers)
		return err
	}); err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].KeyID
	}
	keys, err := s.Vault.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, h := range rows {
		if key, ok := keys[h.KeyID]; ok {
			list = append(list, &owned{holder: h, key: key})
		}
	}
	slices.SortFunc(list, func(a, b *owned) int { return cmp.Compare(a.holder.Number, b.holder.Number) })
	return list, nil
}

// rewrite plans and writes one transaction over some accounts.
func (s *Sealer) rewrite(ctx context.Context, what string, list []*owned, each func(b *builder, o *owned) error) error {
	session, err := s.use(ctx)
	if err != nil {
		return err
	}
	p := &plan{next: s.state}
	p.next.Generation++
	if err := s.Shelf.view(ctx, s.DB, func(tx Tx) error {
		p.drops, p.puts, p.runs = nil, nil, nil
		b := s.builder(ctx, tx, session, p)
		for _, o := range list {
			if err := each(b, o); err != nil {
				return err
			}
		}
		return b.index()
	}); err != nil {
		return err
	}
	if len(p.drops)+len(p.puts)+len(p.runs) == 0 {
		return nil
	}
	return s.tx(ctx, what, p.next, func(tx Tx) error { return p.write(ctx, tx) })
}

// mergeChunks merges young chunks into those that are merged already.
func (s *Sealer) mergeChunks(ctx context.Context, all bool) (accounts int, err error) {
	for _, k := range []Kind{Access, Leases} {
		quarters, err := s.quarters(ctx, k)
		if err != nil {
			return accounts, err
		}
		for _, q := range quarters {
			over := all || s.Clock().After(q.end().Add(settle))
			if err := s.accountsIn(ctx, k, q, young, func(list []*owned) error {
				return s.rewrite(ctx, "merge", list, func(b *builder, o *owned) error {
					merged, err := b.merge(k, q, o, over)
					if merged {
						accounts++
					}
					return err
				})
			}); err != nil {
				return accounts, err
			}
		}
	}
	return accounts, nil
}

// merge joins an account's young chunks with the merged ones that they overlap, and
// with the last one where it is not full.
func (b *builder) merge(k Kind, q quarter, o *owned, over bool) (bool, error) {
	fresh, err := b.rows(k, q, young, o.holder.Number)
	if err != nil || len(fresh) == 0 {
		return false, err
	}
	n := 0
	for _, row := range fresh {
		head, _, err := parseChunkHead(row.blob)
		if err != nil {
			return false, err
		}
		n += head.records
	}
	if !over && n < mergeRecords {
		return false, nil
	}
	old, err := b.rows(k, q, merged, o.holder.Number)
	if err != nil {
		return false, err
	}
	if k == Leases {
		list, err := readLeases(b.ctx, b.tx, b.session, o.holder, q)
		if err != nil {
			return false, err
		}
		for _, row := range append(fresh, old...) {
			b.p.drops = append(b.p.drops, row.id)
		}
		return true, b.cutLeases(o, q, merged, list)
	}
	var records []muster.AccessRecord
	for _, row := range fresh {
		if records, err = b.open(o, row, records); err != nil {
			return false, err
		}
		b.p.drops = append(b.p.drops, row.id)
	}
	first := records[0].At
	for i := range records {
		if records[i].At.Before(first) {
			first = records[i].At
		}
	}
	used := map[int64]bool{}
	for i, row := range old {
		head, _, err := parseChunkHead(row.blob)
		if err != nil {
			return false, err
		}
		end := parseChunkID(row.id).base().Add(time.Duration(head.hours+1) * time.Hour)
		if end.Before(first) && (i < len(old)-1 || head.records >= chunkRecords) {
			used[row.id] = true
			continue
		}
		if records, err = b.open(o, row, records); err != nil {
			return false, err
		}
		b.p.drops = append(b.p.drops, row.id)
	}
	slices.SortFunc(records, func(x, y muster.AccessRecord) int { return compareAccess(&x, &y) })
	return true, b.cut(o, q, merged, records, used)
}
