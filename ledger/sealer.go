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

// Directory knows whose key an account's records are sealed under.
type Directory interface {
	// AccountHolders returns Account, Subject and KeyID. Accounts that are erased or
	// unknown are absent.
	AccountHolders(ctx context.Context, accounts []string) ([]Holder, error)
}

// Retention says what has to go. The periods are the packs'.
type Retention interface {
	// MayGo reports of which accounts the records of a kind, of which the last is before
	// end, are not kept any more.
	MayGo(ctx context.Context, k Kind, end time.Time, accounts []string) (map[string]bool, error)
}

// SealerConfig of the sealer. DB, Vault, Recorder, Directory and Clock are required.
type SealerConfig struct {
	DB        DB
	Vault     *vault.Vault
	Recorder  vault.Recorder
	Directory Directory
	Clock     muster.Clock
	Retention Retention // nil: everything is kept
	Shelf     *Shelf    // nil: all chunks stay in the store

	Slice int           // records of one transaction, about. 0: 250,000
	Lease time.Duration // 0: a minute
	Alone bool          // no other process has this store (SQLite): a lease from before a crash is not waited for

	// Holder names a process that says to the others that it is there; "": one that does
	// not, whose lease they wait for. Gone reports that a holder said so, and does no more;
	// nil: every lease is waited for.
	Holder string
	Gone   func(ctx context.Context, holder string) (bool, error)

	// Fault, where set, is asked before and after each transaction, and its error is the
	// pass's: for tests of crashes.
	Fault func(what string, after bool) error
}

const (
	chunkRecords = 512 // of a merged chunk
	youngRecords = 256 // a young chunk below this is rewritten with what is new
	manyRuns     = 8   // of a month; past it they are merged
)

// Sealer turns batches into chunks and the index, merges them upward, and takes away
// what has to go. One process at a time has the lease; a pass of one that lost it fails at
// its fence and leaves nothing. Its methods are for one goroutine.
type Sealer struct {
	SealerConfig
	holder string

	state   State
	renew   time.Time // the lease
	session *vault.Session
	hour    time.Time // that session is for
	opened  int
	tendAt  time.Time // when volumes are looked after next; zero: with the next compaction
}

// NewSealer checks its configuration.
func NewSealer(c SealerConfig) (*Sealer, error) {
	for _, m := range []struct {
		missing bool
		what    string
	}{{c.DB == nil, "DB"}, {c.Vault == nil, "Vault"}, {c.Recorder == nil, "Recorder"}, {c.Directory == nil, "Directory"}, {c.Clock == nil, "Clock"}} {
		if m.missing {
			return nil, muster.Errorf(muster.CodeInvalid, "ledger: SealerConfig.%s is missing", m.what)
		}
	}
	if c.Slice == 0 {
		c.Slice = 250_000
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
	}
	s := &Sealer{SealerConfig: c, holder: c.Holder}
	switch {
	case c.Alone:
		s.holder = "alone"
	case c.Holder == "":
		s.holder = muster.NewID("slr_", c.Clock())
	}
	return s, nil
}

// Close ends the session. The lease runs out by itself.
func (s *Sealer) Close(ctx context.Context) error { return s.endSession(ctx) }

func (s *Sealer) endSession(ctx context.Context) error {
	if s.session == nil {
		return nil
	}
	err := s.session.End(ctx, s.opened)
	if err == nil {
		s.session, s.opened = nil, 0
	}
	return err
}

// use returns the session of this hour: two leaves an hour, not two a pass.
func (s *Sealer) use(ctx context.Context) (*vault.Session, error) {
	hour := s.Clock().Truncate(time.Hour)
	if s.session != nil && s.hour.Equal(hour) {
		return s.session, nil
	}
	if err := s.endSession(ctx); err != nil {
		return nil, err
	}
	session, err := s.Vault.Use(ctx, vault.Job{Name: "ledger.seal", Purpose: "ledger", Scope: "batches and chunks of the hour " + hour.UTC().Format("2006-01-02T15")}, s.Recorder)
	if err != nil {
		return nil, err
	}
	s.session, s.hour = session, hour
	return session, nil
}

// tx runs fn in a transaction under the fence.
func (s *Sealer) tx(ctx context.Context, what string, next State, fn func(Tx) error) error {
	if s.Fault != nil {
		if err := s.Fault(what, false); err != nil {
			return err
		}
	}
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		// Last, so that the hot end waits as short as can be for these rows.
		if err := tx.PutState(ctx, next); err != nil {
			return err
		}
		st, err := tx.State(ctx)
		if err == nil && !st.Erased.Equal(next.Erased) {
			// Chunks of an account that is erased meanwhile would come back.
			err = muster.Errorf(muster.CodeStale, "an account was erased meanwhile")
		}
		return err
	}); err != nil {
		return err
	}
	s.state = next
	if s.Fault != nil {
		return s.Fault(what, true)
	}
	return nil
}

// lead takes or keeps the lease, and reads the state under it. While more than half of
// the lease is left, reading is enough.
func (s *Sealer) lead(ctx context.Context) error {
	if s.Clock().Before(s.renew) {
		err := s.DB.View(ctx, func(tx Tx) error {
			st, err := tx.State(ctx)
			if err == nil && st.Fence == s.state.Fence {
				s.state = st
				return nil
			}
			s.renew = time.Time{}
			return err
		})
		if err != nil || !s.renew.IsZero() {
			return err
		}
	}
	gone, err := s.gone(ctx)
	if err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx Tx) error {
		fence, err := tx.Lease(ctx, s.holder, gone, tx.Now().Add(s.Lease))
		if err != nil {
			return err
		}
		if s.state, err = tx.State(ctx); err != nil {
			return err
		}
		s.state.Fence = fence
		s.renew = tx.Now().Add(s.Lease / 2)
		return nil
	})
}

// gone is who has the lease, where that is a process that is there no more: what it
// writes, should it come back, its fence refuses. "" where the lease has to be waited for.
func (s *Sealer) gone(ctx context.Context) (string, error) {
	if s.Gone == nil {
		return "", nil
	}
	var st State
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		st, err = tx.State(ctx)
		return err
	}); err != nil || st.Holder == s.holder {
		return "", err
	}
	if gone, err := s.Gone(ctx, st.Holder); err != nil || !gone {
		return "", err
	}
	return st.Holder, nil
}

// Sealed is what a pass did.
type Sealed struct {
	Records int // sealed
	Gone    int // of accounts erased since
}

// Seal passes over every batch that is there. CodeConflict where another process has
// the lease.
func (s *Sealer) Seal(ctx context.Context) (total Sealed, err error) {
	for {
		if err := s.lead(ctx); err != nil {
			return total, err
		}
		done, err := s.pass(ctx)
		total.Records += done.Records
		total.Gone += done.Gone
		if err != nil {
			return total, err
		}
		if done.Records+done.Gone == 0 {
			return total, s.closeHours(ctx)
		}
	}
}

// pass seals one slice of the tail.
func (s *Sealer) pass(ctx context.Context) (done Sealed, err error) {
	session, err := s.use(ctx)
	if err != nil {
		return done, err
	}
	var head HotHead
	var rows []HotRow
	if err := s.DB.View(ctx, func(tx Tx) error {
		if head, err = tx.HotHead(ctx); err != nil {
			return err
		}
		rows = nil
		for n, after := 0, head.Sealed; n < s.Slice; {
			more, err := tx.HotRows(ctx, after, 64)
			if err != nil {
				return err
			}
			if len(more) == 0 {
				break
			}
			for _, r := range more {
				rows, n, after = append(rows, r), n+int(r.Records), r.Seq
				if n >= s.Slice {
					break
				}
			}
		}
		return nil
	}); err != nil || len(rows) == 0 {
		return done, err
	}
	by := map[string]*owned{}
	of := func(account string) *owned {
		o := by[account]
		if o == nil {
			o = &owned{}
			by[account] = o
		}
		return o
	}
	for i := range rows {
		b, err := OpenHot(ctx, session, &rows[i])
		if err != nil {
			return done, err
		}
		var last string
		var o *owned
		for j := range b.Access {
			if a := b.Access[j].Account; o == nil || a != last {
				o, last = of(a), a
			}
			o.access = append(o.access, b.Access[j])
		}
		for j := range b.Leases {
			o := of(b.Leases[j].Account)
			o.leases = append(o.leases, b.Leases[j])
		}
		s.opened++
		done.Records += b.Records()
	}
	p := &plan{next: s.state}
	p.next.Generation++
	list, gone, err := s.claim(ctx, p, by)
	if err != nil {
		return done, err
	}
	done.Records -= gone
	done.Gone = gone
	if err := s.Shelf.view(ctx, s.DB, func(tx Tx) error {
		p.drops, p.puts, p.runs = nil, nil, nil
		return s.build(ctx, tx, session, p, list)
	}); err != nil {
		return done, err
	}
	through := rows[len(rows)-1].Seq
	return done, s.tx(ctx, "seal", p.next, func(tx Tx) error {
		if err := p.write(ctx, tx); err != nil {
			return err
		}
		return tx.DropHot(ctx, head.Sealed, through)
	})
}

// claim finds number and key of each account, new numbers for new ones, in the order
// of numbers. What belongs to an account that is erased is gone: its records are counted.
func (s *Sealer) claim(ctx context.Context, p *plan, by map[string]*owned) (list []*owned, gone int, err error) {
	accounts := slices.Sorted(maps.Keys(by))
	var have []Holder
	if err := s.DB.View(ctx, func(tx Tx) error {
		have, err = tx.HoldersOf(ctx, accounts)
		return err
	}); err != nil {
		return nil, 0, err
	}
	numbers := map[string]Holder{}
	for _, h := range have {
		numbers[h.Account] = h
	}
	var fresh []string
	for _, a := range accounts {
		if _, ok := numbers[a]; !ok {
			fresh = append(fresh, a)
		}
	}
	found, err := s.Directory.AccountHolders(ctx, fresh)
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(found, func(a, b Holder) int { return cmp.Compare(a.Account, b.Account) })
	var keyIDs []string
	for _, h := range have {
		keyIDs = append(keyIDs, h.KeyID)
	}
	for _, h := range found {
		keyIDs = append(keyIDs, h.KeyID)
	}
	keys, err := s.Vault.Keys(ctx, keyIDs)
	if err != nil {
		return nil, 0, err
	}
	for _, h := range found {
		if _, ok := keys[h.KeyID]; !ok {
			continue
		}
		if _, twice := numbers[h.Account]; twice {
			continue
		}
		if p.next.NextNumber > maxNumber {
			return nil, 0, muster.Errorf(muster.CodeInternal, "the ledger has had all its account numbers")
		}
		h.Number = p.next.NextNumber
		p.next.NextNumber++
		p.holders = append(p.holders, h)
		numbers[h.Account] = h
	}
	for _, a := range accounts {
		o := by[a]
		h, ok := numbers[a]
		if ok {
			o.holder = h
			o.key, ok = keys[h.KeyID]
		}
		if !ok {
			gone += len(o.access) + len(o.leases)
			continue
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b *owned) int { return cmp.Compare(a.holder.Number, b.holder.Number) })
	return list, gone, nil
}

// closeHours destroys the keys of hours that are over and of which no batch is left.
// First the hour is closed in the store, so that no late batch comes under such a key.
func (s *Sealer) closeHours(ctx context.Context) error {
	next := s.state
	if err := s.DB.View(ctx, func(tx Tx) error {
		oldest, err := tx.OldestHot(ctx)
		next.ClosedHour = max(next.ClosedHour, min(hourOf(s.Clock())-1, oldest-1))
		return err
	}); err != nil {
		return err
	}
	if next.ClosedHour > s.state.ClosedHour {
		if err := s.tx(ctx, "close", next, func(tx Tx) error {
			// First the lock, then the look: a batch that has read the old hour is either
			// there by now, or will read the new one.
			if err := tx.PutState(ctx, next); err != nil {
				return err
			}
			oldest, err := tx.OldestHot(ctx)
			if err == nil && oldest <= next.ClosedHour {
				err = muster.Errorf(muster.CodeStale, "a batch of that hour came")
			}
			return err
		}); err != nil {
			return err
		}
	}
	periods, err := s.Vault.Periods(ctx, vault.UseHot)
	if err != nil {
		return err
	}
	past := slices.DeleteFunc(periods, func(p vault.Period) bool { return p.Name > hotPeriod(s.state.ClosedHour).Name })
	return s.Vault.DestroyPeriods(ctx, past...)
}

const (
	sealEvery    = time.Minute
	lookEvery    = 5 * time.Second  // whether the process that seals is still there
	eraseWithin  = 12 * time.Hour   // an erasure waits for compaction at most
	compactEvery = 24 * time.Hour   // between two compactions
	tendAgain    = 10 * time.Minute // after volumes could not be looked after
)

// Run seals and compacts until ctx ends: every minute, sooner where full says that the
// tail grows, and once a day or after an erasure what is not urgent. failed hears of
// errors; the next turn tries again.
func (s *Sealer) Run(ctx context.Context, full func() bool, failed func(error)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var next, compacted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.Clock()
		if now.Before(next) && !(full != nil && full()) {
			continue
		}
		next = now.Add(sealEvery)
		switch err := s.turn(ctx, now, &compacted); {
		case err == nil || ctx.Err() != nil:
		case muster.ErrorCode(err) == muster.CodeConflict:
			next = now.Add(lookEvery)
		default:
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
