package ledger

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/bits"
	"net/netip"
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

// SealerConfig of the sealer. All but Retention, Shelf, Slice, Lease and Fault are required.
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
	s := &Sealer{SealerConfig: c, holder: "alone"}
	if !c.Alone {
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
	return s.DB.InTx(ctx, func(tx Tx) error {
		fence, err := tx.Lease(ctx, s.holder, tx.Now().Add(s.Lease))
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

// chunkRow waits to be written.
type chunkRow struct {
	id   int64
	blob []byte
}

// plan is what one transaction writes.
type plan struct {
	next    State
	holders []Holder
	drops   []int64
	puts    []chunkRow
	runs    []*newRun
}

func (p *plan) write(ctx context.Context, tx Tx) error {
	for _, h := range p.holders {
		if err := tx.AddHolder(ctx, h); err != nil {
			return err
		}
	}
	for _, id := range p.drops {
		if err := tx.DropChunk(ctx, id); err != nil {
			return err
		}
	}
	for i := range p.puts {
		if err := tx.PutChunk(ctx, p.puts[i].id, p.puts[i].blob); err != nil {
			return err
		}
	}
	for _, r := range p.runs {
		if err := r.write(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// owned is what belongs to one account.
type owned struct {
	holder Holder
	key    vault.Key
	access []muster.AccessRecord
	leases []muster.LeaseRecord
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

// indexed is where a posting belongs.
type indexed struct {
	kind  Kind
	month month
}

// builder collects what a plan writes.
type builder struct {
	s        *Sealer
	ctx      context.Context //nolint:containedctx // of one call
	tx       Tx
	session  *vault.Session
	p        *plan
	quarters map[vault.Period]vault.PeriodKey
	months   map[indexed]vault.PeriodKey
	postings map[indexed][]posting
	now      time.Time
}

func (s *Sealer) builder(ctx context.Context, tx Tx, session *vault.Session, p *plan) *builder {
	return &builder{
		s: s, ctx: ctx, tx: tx, session: session, p: p, now: s.Clock(),
		quarters: map[vault.Period]vault.PeriodKey{}, months: map[indexed]vault.PeriodKey{}, postings: map[indexed][]posting{},
	}
}

// build makes the rows of the records of list.
func (s *Sealer) build(ctx context.Context, tx Tx, session *vault.Session, p *plan, list []*owned) error {
	b := s.builder(ctx, tx, session, p)
	for _, o := range list {
		if len(o.access) > 0 {
			if err := b.access(o); err != nil {
				return err
			}
		}
		if len(o.leases) > 0 {
			if err := b.leases(o); err != nil {
				return err
			}
		}
	}
	return b.index()
}

func (b *builder) span(o *owned, k Kind, q quarter) (vault.SpanKey, error) {
	period := q.period(k)
	key, ok := b.quarters[period]
	if !ok {
		var err error
		if key, err = b.s.Vault.PeriodKey(b.ctx, period); err != nil {
			return vault.SpanKey{}, err
		}
		b.quarters[period] = key
	}
	return b.s.Vault.Span(o.key, key)
}

// tags is the key of an index, opened once for a plan.
func (b *builder) tags(at indexed) (vault.PeriodKey, error) {
	key, ok := b.months[at]
	if !ok {
		var err error
		if key, err = b.s.Vault.PeriodKey(b.ctx, at.month.period(at.kind)); err != nil {
			return key, err
		}
		b.months[at] = key
	}
	return key, nil
}

func (b *builder) post(o *owned, at indexed, p netip.Prefix, days uint32) error {
	key, err := b.tags(at)
	if err != nil {
		return err
	}
	b.postings[at] = append(b.postings[at], posting{key.Tag(indexBlock(p)) >> (64 - wideBits), uint32(o.holder.Number), days})
	return nil
}

// rows reads an account's chunks of a quarter and level.
func (b *builder) rows(k Kind, q quarter, level int, number int64) (rows []chunkRow, err error) {
	from, through := chunkRange(k, q, level, number)
	return rows, chunks(b.ctx, b.tx, from, through, func(id int64, blob []byte) error {
		rows = append(rows, chunkRow{id, blob})
		return nil
	})
}

// access puts records into young chunks, with those of small young chunks that are there.
func (b *builder) access(o *owned) error {
	slices.SortFunc(o.access, func(x, y muster.AccessRecord) int { return compareAccess(&x, &y) })
	if err := b.postAccess(o); err != nil {
		return err
	}
	for list := o.access; len(list) > 0; {
		q := quarterOf(list[0].At)
		end := q.end()
		n, _ := slices.BinarySearchFunc(list, end, func(r muster.AccessRecord, t time.Time) int {
			if r.At.Before(t) {
				return -1
			}
			return 1
		})
		records := list[:n:n]
		list = list[n:]
		there, err := b.rows(Access, q, young, o.holder.Number)
		if err != nil {
			return err
		}
		used := map[int64]bool{}
		for _, row := range there {
			head, _, err := parseChunkHead(row.blob)
			if err != nil {
				return err
			}
			if head.records >= youngRecords {
				used[row.id] = true
				continue
			}
			if records, err = b.open(o, row, records); err != nil {
				return err
			}
			b.p.drops = append(b.p.drops, row.id)
		}
		slices.SortFunc(records, func(x, y muster.AccessRecord) int { return compareAccess(&x, &y) })
		if err := b.cut(o, q, young, records, used); err != nil {
			return err
		}
	}
	return nil
}

// open appends the records of a chunk of access records.
func (b *builder) open(o *owned, row chunkRow, dst []muster.AccessRecord) ([]muster.AccessRecord, error) {
	key := parseChunkID(row.id)
	plain, _, err := openChunk(b.ctx, b.session, o.holder, row)
	if err != nil {
		return dst, err
	}
	return decodeAccess(dst, key.base(), plain, window{})
}

// openChunk opens a row of its holder's.
func openChunk(ctx context.Context, session *vault.Session, h Holder, row chunkRow) ([]byte, chunkHead, error) {
	key := parseChunkID(row.id)
	head, size, err := parseChunkHead(row.blob)
	if err != nil {
		return nil, head, err
	}
	opener, err := session.OpenSpans(ctx, h.KeyID, key.quarter.period(key.kind))
	if err != nil {
		return nil, head, err
	}
	plain, err := opener.Open(nil, vault.SpanPlace{Subject: h.Subject, Row: row.id, Header: row.blob[:size]}, row.blob)
	return plain, head, err
}

// postAccess makes the postings of sorted records: one a month for each address.
func (b *builder) postAccess(o *owned) error {
	type key struct {
		month  month
		prefix netip.Prefix
	}
	days := map[key]uint32{}
	var last netip.Addr
	var lastDay int64
	for i := range o.access {
		r := &o.access[i]
		day := r.At.Unix() / 86400
		if r.IP == last && day == lastDay {
			continue
		}
		last, lastDay = r.IP, day
		days[key{monthOf(r.At), hostPrefix(r.IP)}] |= 1 << (r.At.UTC().Day() - 1)
	}
	for k, d := range days {
		if err := b.post(o, indexed{Access, k.month}, k.prefix, d); err != nil {
			return err
		}
	}
	return nil
}

// cut seals sorted records of one quarter as chunks.
func (b *builder) cut(o *owned, q quarter, level int, records []muster.AccessRecord, used map[int64]bool) error {
	if len(records) == 0 {
		return nil
	}
	span, err := b.span(o, Access, q)
	if err != nil {
		return err
	}
	// A burst of one account must not use up the numbers of its hour.
	size := chunkRecords
	for len(records)/size > maxCounter/2 && size < maxChunk/2 {
		size *= 2
	}
	var plain []byte
	for len(records) > 0 {
		n := min(size, len(records))
		part := records[:n]
		records = records[n:]
		id, err := freeID(Access, q, level, o.holder.Number, part[0].At, used)
		if err != nil {
			return err
		}
		base := parseChunkID(id).base()
		plain = EncodeAccess(plain[:0], base, part)
		b.put(o, span, id, part[n-1].At, n, plain)
	}
	return nil
}

func freeID(k Kind, q quarter, level int, number int64, first time.Time, used map[int64]bool) (int64, error) {
	hour := max(0, int(first.Sub(q.start())/time.Hour))
	for counter := range maxCounter + 1 {
		id := chunkID(k, q, level, number, hour, counter)
		if !used[id] {
			used[id] = true
			return id, nil
		}
	}
	return 0, muster.Errorf(muster.CodeInternal, "an account has too many chunks of one hour")
}

func (b *builder) put(o *owned, span vault.SpanKey, id int64, last time.Time, records int, plain []byte) {
	head := chunkHead{
		generation: uint64(b.p.next.Generation), records: records,
		hours: max(0, int(last.Sub(parseChunkID(id).base())/time.Hour)),
	}
	place := vault.SpanPlace{Subject: o.holder.Subject, Row: id, Header: head.append(nil)}
	b.p.puts = append(b.p.puts, chunkRow{id, b.s.Vault.SealSpan(span, place, plain)})
}

// leases puts each lease into every quarter that it overlaps, so that each quarter
// can be asked, and can go, by itself.
func (b *builder) leases(o *owned) error {
	byQuarter := map[quarter][]muster.LeaseRecord{}
	now := quarterOf(b.now)
	for _, l := range o.leases {
		from, until := leaseBounds(&l, b.now)
		first, last := quarterOf(from), quarterOf(until)
		for q := first; q <= last; q++ {
			byQuarter[q] = append(byQuarter[q], l)
		}
		// What was taken to be open in later quarters is not.
		for q := last + 1; q <= now && !l.Until.IsZero(); q++ {
			there, err := readLeases(b.ctx, b.tx, b.session, o.holder, q)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(there, func(x muster.LeaseRecord) bool { return compareLeases(&x, &l) == 0 }) {
				byQuarter[q] = append(byQuarter[q], l)
			}
		}
		if err := b.postLease(o, &l, monthOf(from), monthOf(until)); err != nil {
			return err
		}
	}
	for _, q := range slices.Sorted(maps.Keys(byQuarter)) {
		if err := b.leasesOf(o, q, byQuarter[q]); err != nil {
			return err
		}
	}
	return nil
}

// leaseBounds are the first and the last instant at which a lease can hold as far as
// is known by now, its imprecision included.
func leaseBounds(l *muster.LeaseRecord, now time.Time) (from, until time.Time) {
	until = now
	if !l.Until.IsZero() && l.Until.Before(now) {
		until = l.Until
	}
	if until.Before(l.From) {
		until = l.From
	}
	slack, _ := time.ParseDuration(l.Precision)
	return l.From.Add(-slack), until.Add(slack)
}

// leasesOf writes leases of one quarter, joined with the young ones that are there.
func (b *builder) leasesOf(o *owned, q quarter, list []muster.LeaseRecord) error {
	there, err := b.rows(Leases, q, young, o.holder.Number)
	if err != nil {
		return err
	}
	var all []muster.LeaseRecord
	for _, row := range there {
		old, err := b.openLeases(o, row)
		if err != nil {
			return err
		}
		all = append(all, old...)
		b.p.drops = append(b.p.drops, row.id)
	}
	return b.cutLeases(o, q, young, joinLeases(append(all, list...)))
}

func (b *builder) openLeases(o *owned, row chunkRow) ([]muster.LeaseRecord, error) {
	plain, _, err := openChunk(b.ctx, b.session, o.holder, row)
	if err != nil {
		return nil, err
	}
	return decodeLeases(parseChunkID(row.id).base(), plain)
}

func (b *builder) cutLeases(o *owned, q quarter, level int, list []muster.LeaseRecord) error {
	if len(list) == 0 {
		return nil
	}
	span, err := b.span(o, Leases, q)
	if err != nil {
		return err
	}
	used := map[int64]bool{}
	for len(list) > 0 {
		n := min(maxChunk/4, len(list))
		id, err := freeID(Leases, q, level, o.holder.Number, list[0].From, used)
		if err != nil {
			return err
		}
		b.put(o, span, id, q.end(), n, encodeLeases(nil, parseChunkID(id).base(), list[:n]))
		list = list[n:]
	}
	return nil
}

// postLease makes the postings of a lease in the months from first to last.
func (b *builder) postLease(o *owned, l *muster.LeaseRecord, first, last month) error {
	if !l.Prefix.IsValid() {
		return nil
	}
	if l.Prefix.Addr().Is4() {
		b.p.next.Lengths4 |= 1 << l.Prefix.Bits()
	} else {
		b.p.next.Lengths6 |= 1 << (min(l.Prefix.Bits(), 64) - 1)
	}
	for m := first; m <= last; m++ {
		if err := b.post(o, indexed{Leases, m}, l.Prefix, leaseDays(l, m)); err != nil {
			return err
		}
	}
	return nil
}

// leaseDays are the days of a month on which a lease can hold, its imprecision included.
func leaseDays(l *muster.LeaseRecord, m month) uint32 {
	from, until := leaseBounds(l, m.end().Add(-1))
	return daysBetween(m, from, until)
}

// daysBetween are the days of a month that an interval touches, ends included.
func daysBetween(m month, from, until time.Time) uint32 {
	if from.Before(m.start()) {
		from = m.start()
	}
	if !until.Before(m.end()) {
		until = m.end().Add(-1)
	}
	if until.Before(from) {
		until = from
	}
	low, high := from.UTC().Day()-1, until.UTC().Day()-1
	return uint32(math.MaxUint32) >> (31 - (high - low)) << low
}

// index turns the postings of the plan into runs, each joined with those that are
// not much larger.
func (b *builder) index() error {
	for _, at := range slices.SortedFunc(maps.Keys(b.postings), func(x, y indexed) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.month, y.month)) }) {
		list := sortPostings(b.postings[at])
		runs, err := runsOf(b.ctx, b.tx, at.kind, at.month)
		if err != nil {
			return err
		}
		slices.SortFunc(runs, func(x, y Run) int { return cmp.Compare(x.Postings, y.Postings) })
		var drop, stay []Run
		for i, r := range runs {
			if r.Bits == wideBits && (r.Postings <= 2*int64(len(list)) || len(runs)-i > manyRuns) {
				if list, err = readRun(b.ctx, b.tx, b.session, at.kind, at.month, r, list); err != nil {
					return err
				}
				drop = append(drop, r)
			} else {
				stay = append(stay, r)
			}
		}
		if len(drop) > 0 {
			list = sortPostings(list)
		}
		key, err := b.tags(at)
		if err != nil {
			return err
		}
		run, err := makeRun(b.s.Vault, key, at.kind, at.month, list, wideBits, stay, drop)
		if err != nil {
			return err
		}
		b.p.runs = append(b.p.runs, run)
	}
	return nil
}

// readLeases are an account's leases of a quarter, the last word on each.
func readLeases(ctx context.Context, tx Tx, session *vault.Session, h Holder, q quarter) ([]muster.LeaseRecord, error) {
	type word struct {
		generation uint64
		list       []muster.LeaseRecord
	}
	var words []word
	for level := range 2 {
		from, through := chunkRange(Leases, q, level, h.Number)
		if err := chunks(ctx, tx, from, through, func(id int64, blob []byte) error {
			plain, head, err := openChunk(ctx, session, h, chunkRow{id, blob})
			if err != nil {
				return err
			}
			list, err := decodeLeases(parseChunkID(id).base(), plain)
			words = append(words, word{head.generation, list})
			return err
		}); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(words, func(a, b word) int { return cmp.Compare(a.generation, b.generation) })
	var all []muster.LeaseRecord
	for _, w := range words {
		all = append(all, w.list...)
	}
	return joinLeases(all), nil
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

// lengths are the prefixes under which a lease of an address can be indexed.
func (s State) lengths(a netip.Addr) (list []netip.Prefix) {
	a = a.Unmap()
	set := s.Lengths6 << 1
	most := 64
	if a.Is4() {
		set, most = uint64(s.Lengths4), 32
	} else if s.Lengths6>>63 == 1 {
		p, _ := a.Prefix(64)
		list = append(list, p)
	}
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		if n == 0 || n > most {
			continue
		}
		p, _ := a.Prefix(n)
		list = append(list, p)
	}
	return list
}
