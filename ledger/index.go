package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// The index leads from an address to the accounts that had it, by month, with the days.
// A posting is (tag, number of the account, days): the tag is a digest of the address
// under the month's key, cut to as many bits as the month needs. Postings lie in sorted
// runs; a run is cut into blocks, each sealed under the month's key: without it nobody
// sees even which accounts share a tag. Written down in docs/formats/ledger.md.

// posting says that an account had an address on some days of a month.
type posting struct {
	tag    uint64 // cut to the run's bits
	number uint32
	days   uint32 // bit 0 is the first of the month
}

const (
	blockFormat = 1
	wideBits    = 40  // of the tags of a month that is not over
	spareBits   = 10  // past the logarithm of the postings: one look-up in 1,000 finds a wrong account
	blockSize   = 256 // postings of a block, about
	maxBlock    = 1 << 20
	maxRun      = 1<<18 - 1
)

// indexBlock is the input of a tag: family, length, and up to 64 bits of the address.
// IPv6 is known by its /64; the whole address is in the chunk.
func indexBlock(p netip.Prefix) (b [16]byte) {
	a := p.Addr()
	if a.Is4() {
		b[0], b[1] = 4, byte(min(p.Bits(), 32))
		four := a.As4()
		copy(b[8:], four[:])
		return b
	}
	b[0], b[1] = 6, byte(min(p.Bits(), 64))
	six := a.As16()
	copy(b[8:], six[:8])
	return b
}

// hostPrefix is the prefix under which a single address is indexed.
func hostPrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	p, _ := a.Prefix(min(a.BitLen(), 64))
	return p
}

// sortPostings sorts, and joins those of one account and tag.
func sortPostings(list []posting) []posting {
	slices.SortFunc(list, func(a, b posting) int { return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.number, b.number)) })
	n := 0
	for i, p := range list {
		if i > 0 && list[n-1].tag == p.tag && list[n-1].number == p.number {
			list[n-1].days |= p.days
			continue
		}
		list[n] = p
		n++
	}
	return list[:n]
}

func runID(k Kind, m month, run int) int64 { return int64(k)<<30 | int64(m)<<18 | int64(run) }

func runRange(k Kind, m month) (from, through int64) { return runID(k, m, 0), runID(k, m, maxRun) }

func blockID(run int64, key uint32) int64 { return run<<32 | int64(key) }

// tagKey is the part of a tag that stands in the number of its block.
func tagKey(tag uint64, width int) uint32 {
	if width > 32 {
		return uint32(tag >> (width - 32))
	}
	return uint32(tag << (32 - width))
}

// cutBlocks cuts a sorted run where the key changes, so that a tag is in one block.
func cutBlocks(list []posting, width int, each func(key uint32, block []posting) error) error {
	for from := 0; from < len(list); {
		to := min(from+blockSize, len(list))
		for to < len(list) && tagKey(list[to].tag, width) == tagKey(list[to-1].tag, width) {
			to++
		}
		key := tagKey(list[from].tag, width)
		if from == 0 {
			key = 0 // what is before the first tag is looked for here
		}
		if err := each(key, list[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// Contexts of the days.
const (
	ctxSeveral    = 0
	ctxDay        = 2             // of one day
	ctxFirst      = ctxDay + 32   // of several
	ctxNextDay    = ctxFirst + 32 // by the two days before
	blockContexts = ctxNextDay + 4
)

// encodeBlock appends a block: format, count, bits of tags and numbers, Rice
// parameter; numbers, fixed width; tags as differences, Rice coded; days, range coded.
func encodeBlock(dst []byte, list []posting, width int) []byte {
	dst = append(dst, blockFormat)
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	var most uint32
	for i := range list {
		most = max(most, list[i].number)
	}
	rice := 0
	if spread := (list[len(list)-1].tag - list[0].tag) / uint64(len(list)); spread > 0 {
		rice = bits.Len64(spread) - 1
	}
	numberBits := bits.Len32(most)
	dst = append(dst, byte(width), byte(numberBits), byte(rice))
	dst = binary.AppendUvarint(dst, list[0].tag)
	w := bitWriter{out: dst}
	for i := range list {
		w.put(uint64(list[i].number), numberBits)
	}
	tag := list[0].tag
	for i := range list {
		d := list[i].tag - tag
		tag = list[i].tag
		for range d >> rice {
			w.put(1, 1)
		}
		w.put(0, 1)
		w.put(d&(1<<rice-1), rice)
	}
	dst = w.flush()
	c := writer(evenStart(blockContexts), dst)
	from := len(dst)
	for i := range list {
		codeDays(&c, list[i].days)
	}
	return c.finish(from)
}

func codeDays(c *coder, days uint32) uint32 {
	several := 0
	if bits.OnesCount32(days) > 1 {
		several = 1
	}
	if c.bit(ctxSeveral, several) == 0 {
		return 1 << c.tree(ctxDay, 5, bits.TrailingZeros32(days)&31)
	}
	first := c.tree(ctxFirst, 5, bits.TrailingZeros32(days)&31)
	got, before := uint32(1)<<first, 1
	for d := first + 1; d < 31; d++ {
		b := c.bit(ctxNextDay+before, int(days>>d&1))
		got |= uint32(b) << d
		before = before<<1&3 | b
	}
	return got
}

// decodeBlock calls each for the postings of one tag, or of all where only is nil.
func decodeBlock(data []byte, only func(width int) uint64, each func(posting)) error {
	bad := muster.Errorf(muster.CodeMalformed, "a block of the index is damaged")
	if len(data) < 6 || data[0] != blockFormat {
		return bad
	}
	n64, used := binary.Uvarint(data[1:])
	if used <= 0 || n64 > maxBlock || n64 > uint64(8*len(data)) {
		return bad
	}
	n, at := int(n64), 1+used
	if len(data) < at+4 {
		return bad
	}
	width, numberBits, rice := int(data[at]), int(data[at+1]), int(data[at+2])
	tag, used := binary.Uvarint(data[at+3:])
	if used <= 0 || width > 64 || numberBits > 32 || rice > 56 {
		return bad
	}
	body := data[at+3+used:]
	numbers := bitReader{in: body}
	tags := bitReader{in: body, at: n * numberBits}
	if tags.at > 8*len(body) {
		return bad
	}
	low, high := 0, n
	var wanted uint64
	all := make([]uint64, 0, n)
	if only != nil {
		wanted = only(width)
		low, high = n, n
	}
	for i := range n {
		var q uint64
		for tags.get(1) == 1 {
			if q++; tags.spent() {
				return bad
			}
		}
		tag += q<<rice | tags.get(rice)
		all = append(all, tag)
		if only != nil && tag == wanted && low == n {
			low = i
		}
		if only != nil && tag > wanted && high == n {
			high = i
		}
	}
	if tags.spent() {
		return bad
	}
	if low >= high {
		return nil
	}
	c := reader(evenStart(blockContexts), body[(tags.at+7)/8:])
	numbers.at = low * numberBits
	for i := range high {
		days := codeDays(&c, 0)
		if i >= low {
			each(posting{all[i], uint32(numbers.get(numberBits)), days})
		}
	}
	if c.spent() {
		return bad
	}
	return nil
}

// bitWriter writes the highest bit first.
type bitWriter struct {
	out []byte
	acc uint64
	n   int
}

func (w *bitWriter) put(v uint64, n int) {
	for n > 0 {
		k := min(n, 8)
		n -= k
		w.acc = w.acc<<k | v>>n&(1<<k-1)
		w.n += k
		for w.n >= 8 {
			w.n -= 8
			w.out = append(w.out, byte(w.acc>>w.n))
		}
	}
}

func (w *bitWriter) flush() []byte {
	if w.n > 0 {
		w.out = append(w.out, byte(w.acc<<(8-w.n)))
		w.n = 0
	}
	return w.out
}

// bitReader reads them; past the end there are zeros.
type bitReader struct {
	in []byte
	at int // bits
}

func (r *bitReader) get(n int) (v uint64) {
	for n > 0 {
		i, free := r.at>>3, 8-r.at&7
		k := min(n, free)
		var b byte
		if i < len(r.in) {
			b = r.in[i]
		}
		v = v<<k | uint64(b>>(free-k))&(1<<k-1)
		r.at += k
		n -= k
	}
	return v
}

func (r *bitReader) spent() bool { return r.at > 8*len(r.in) }

func blockPlace(id int64) vault.Place {
	return vault.Place{Record: strconv.FormatInt(id, 10), Field: "index"}
}

// find calls each for the postings of the addresses in a month: the way of every
// question that begins with an address.
func find(ctx context.Context, tx Tx, s *vault.Session, k Kind, m month, prefixes []netip.Prefix, each func(prefix int, p posting)) error {
	runs, err := runsOf(ctx, tx, k, m)
	if err != nil || len(runs) == 0 {
		return err
	}
	period := m.period(k)
	key, err := s.PeriodKey(ctx, period)
	if muster.ErrorCode(err) == muster.CodeGone {
		return nil // the month is destroyed
	}
	if err != nil {
		return err
	}
	for i, prefix := range prefixes {
		full := key.Tag(indexBlock(prefix))
		for _, r := range runs {
			tag := full >> (64 - r.Bits)
			id, blob, err := tx.Block(ctx, blockID(r.ID, 0), blockID(r.ID, tagKey(tag, r.Bits)))
			if err != nil {
				return err
			}
			if id < 0 {
				continue
			}
			plain, err := s.OpenPeriod(ctx, period, blockPlace(id), blob)
			if err != nil {
				return err
			}
			if err := decodeBlock(plain, func(width int) uint64 { return full >> (64 - width) }, func(p posting) { each(i, p) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func runsOf(ctx context.Context, tx Tx, k Kind, m month) ([]Run, error) {
	from, through := runRange(k, m)
	return tx.Runs(ctx, from, through)
}

// readRun appends the postings of a run.
func readRun(ctx context.Context, tx Tx, s *vault.Session, k Kind, m month, r Run, dst []posting) ([]posting, error) {
	err := tx.Blocks(ctx, blockID(r.ID, 0), blockID(r.ID, 1<<32-1), func(id int64, blob []byte) error {
		plain, err := s.OpenPeriod(ctx, m.period(k), blockPlace(id), blob)
		if err != nil {
			return err
		}
		return decodeBlock(plain, nil, func(p posting) { dst = append(dst, p) })
	})
	return dst, err
}

// newRun is a run that waits to be written in place of others.
type newRun struct {
	run    Run
	blocks []blockRow
	drop   []Run
}

type blockRow struct {
	id   int64
	blob []byte
}

// makeRun seals sorted postings as a run of a month, under a number that is free
// beside the runs that stay.
func makeRun(v *vault.Vault, key vault.PeriodKey, k Kind, m month, list []posting, width int, stay, drop []Run) (*newRun, error) {
	taken := map[int64]bool{}
	for _, r := range stay {
		taken[r.ID] = true
	}
	for _, r := range drop {
		taken[r.ID] = true
	}
	n := &newRun{drop: drop}
	if len(list) == 0 {
		return n, nil
	}
	run := 0
	for taken[runID(k, m, run)] {
		run++
	}
	n.run = Run{ID: runID(k, m, run), Bits: width, Postings: int64(len(list))}
	var plain []byte
	err := cutBlocks(list, width, func(key32 uint32, block []posting) error {
		plain = encodeBlock(plain[:0], block, width)
		id := blockID(n.run.ID, key32)
		n.blocks = append(n.blocks, blockRow{id, v.SealPeriod(key, blockPlace(id), plain)})
		return nil
	})
	return n, err
}

// write puts the run in the place of those that it replaces.
func (n *newRun) write(ctx context.Context, tx Tx) error {
	for _, r := range n.drop {
		if err := tx.DropRun(ctx, r.ID); err != nil {
			return err
		}
		if err := tx.DropBlocks(ctx, blockID(r.ID, 0), blockID(r.ID, 1<<32-1)); err != nil {
			return err
		}
	}
	if n.run.Postings == 0 {
		return nil
	}
	if err := tx.PutRun(ctx, n.run); err != nil {
		return err
	}
	for i := range n.blocks {
		if err := tx.PutBlock(ctx, n.blocks[i].id, n.blocks[i].blob); err != nil {
			return err
		}
	}
	return nil
}

// narrow cuts tags to fewer bits; the order stays.
func narrow(list []posting, from, to int) {
	if from > to {
		for i := range list {
			list[i].tag >>= from - to
		}
	}
}

// dueBits is how many bits the tags of a month that is over have.
func dueBits(postings int) int {
	return min(max(bits.Len(uint(postings))+spareBits, 16), wideBits)
}
