package ledger

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

const (
	mergeRecords  = 128              // young records of an account that are worth a merge while its quarter runs
	settle        = 48 * time.Hour   // after a period's end its chunks and runs are merged whatever they are
	slackAccounts = 1000             // accounts of one transaction
	eraseWithin   = 12 * time.Hour   // an erasure waits for compaction at most
	compactEvery  = 24 * time.Hour   // between two compactions
	tendAgain     = 10 * time.Minute // after volumes could not be looked after
	farAhead      = quarter(511)     // the last quarter that a row can name
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

// carry brings open leases into the index of a month that has begun, and into the
// chunks of its quarter.
func (s *Sealer) carry(ctx context.Context) error {
	now := monthOf(s.Clock())
	if s.state.Carried == 0 {
		next := s.state
		next.Carried = int64(now)
		return s.tx(ctx, "carried", next, func(Tx) error { return nil })
	}
	for m := month(s.state.Carried + 1); m <= now; m++ {
		from := (m - 1).quarter()
		for level := range 2 {
			if err := s.accountsIn(ctx, Leases, from, level, func(list []*owned) error {
				return s.rewrite(ctx, "carry", list, func(b *builder, o *owned) error { return b.carry(o, from, m) })
			}); err != nil {
				return err
			}
		}
		next := s.state
		next.Carried = int64(m)
		if err := s.tx(ctx, "carried", next, func(Tx) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) carry(o *owned, from quarter, m month) error {
	list, err := readLeases(b.ctx, b.tx, b.session, o.holder, from)
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(list, func(l muster.LeaseRecord) bool {
		return !l.Until.IsZero() && !l.Until.After(m.start()) || !l.From.Before(m.start())
	})
	if len(open) == 0 {
		return nil
	}
	for i := range open {
		if err := b.postLease(o, &open[i], m, m); err != nil {
			return err
		}
	}
	if m.quarter() == from {
		return nil
	}
	// What the new quarter has already of these leases is the later word.
	there, err := readLeases(b.ctx, b.tx, b.session, o.holder, m.quarter())
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(l muster.LeaseRecord) bool {
		return slices.ContainsFunc(there, func(x muster.LeaseRecord) bool { return compareLeases(&x, &l) == 0 })
	})
	if len(open) == 0 {
		return nil
	}
	return b.leasesOf(o, m.quarter(), open)
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

// Run seals and compacts until ctx ends: every minute, sooner where full says that the
// tail grows, and once a day or after an erasure what is not urgent. failed hears of
// errors; the next turn tries again.
func (s *Sealer) Run(ctx context.Context, full func() bool, failed func(error)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var sealed, compacted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.Clock()
		if now.Sub(sealed) < time.Minute && !(full != nil && full()) {
			continue
		}
		sealed = now
		if err := s.turn(ctx, now, &compacted); err != nil && ctx.Err() == nil && muster.ErrorCode(err) != muster.CodeConflict {
			failed(err)
		}
	}
}

func (s *Sealer) turn(ctx context.Context, now time.Time, compacted *time.Time) error {
	ahead := []vault.Period{vault.PeriodAt(vault.UseHot, now), vault.PeriodAt(vault.UseHot, now.Add(time.Hour)), vault.PeriodAt(vault.UseQuarantine, now.Add(24*time.Hour))}
	for k := range Leases + 1 {
		next := quarterOf(now) + 1
		ahead = append(ahead, next.period(k), (monthOf(now) + 1).period(k))
	}
	if err := s.Vault.MakePeriods(ctx, ahead...); err != nil {
		return err
	}
	if _, err := s.Seal(ctx); err != nil {
		return err
	}
	waits := !s.state.Erased.IsZero() && now.Sub(s.state.Erased) > eraseWithin
	if now.Sub(*compacted) >= compactEvery || waits {
		if _, err := s.compact(ctx, false); err != nil {
			return err
		}
		*compacted, s.tendAt = now, now
	}
	if s.tendAt.IsZero() || now.Before(s.tendAt) {
		return nil
	}
	// By itself: while a storage is away, not everything else is done again each minute.
	s.tendAt = now.Add(tendAgain)
	if _, err := s.tend(ctx); err != nil {
		return err
	}
	s.tendAt = time.Time{}
	return nil
}
