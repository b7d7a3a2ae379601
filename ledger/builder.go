package ledger

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

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
