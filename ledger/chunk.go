package ledger

import (
	"cmp"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// A chunk holds access records of one account and quarter, in the order of time, column
// by column, so that a reader who finds nothing in the times stops there. What it
// is byte by byte: docs/formats/ledger.md. Changing anything here changes every chunk
// that was written: a change is a new format version beside this one.

const (
	chunkFormat = 1

	maxChunk = 1 << 16 // records that a decoder takes
	maxText  = 256     // bytes of one string
)

// Ways to write the times.
const (
	timeDeltas = iota // what has passed since the one before
	timeSteps         // how that differs from the step before
	timeGrid          // where on a grid of a fixed period it is, and how late
	timeOver          // what has passed since the one before, beyond the least of it
	timeModes
)

// Contexts of the columns.
const (
	timeBefore = 12 // classes of the length of the number before
	gapClasses = 6

	ctxTimeLength   = 0
	ctxTimeMantissa = ctxTimeLength + timeModes*timeBefore*lengthContexts
	ctxSkip         = ctxTimeMantissa + timeModes*mantissaContexts
	ctxAddrSame     = ctxSkip + lengthContexts + mantissaContexts
	ctxAddrNew      = ctxAddrSame + 4*gapClasses
	ctxAddrRank     = ctxAddrNew + 8
	ctxFamily       = ctxAddrRank + lengthContexts + mantissaContexts
	ctxShared       = ctxFamily + 3
	ctxSharedRank   = ctxShared + 2*16
	ctxHost         = ctxSharedRank + lengthContexts + mantissaContexts
	ctxPlaceSame    = ctxHost + 2
	ctxNetwork      = ctxPlaceSame + 2
	ctxDeviceHit    = ctxNetwork + 8
	ctxDeviceNew    = ctxDeviceHit + 8
	ctxDeviceRank   = ctxDeviceNew + 2
	ctxAction       = ctxDeviceRank + lengthContexts + mantissaContexts
	ctxSurface      = ctxAction + 2*16*16
	ctxActor        = ctxSurface + wordContexts
	ctxPort         = ctxActor + wordContexts
	ctxText         = ctxPort + 2
	accessContexts  = ctxText + textContexts

	wordContexts = 4 + lengthContexts + mantissaContexts
	textContexts = lengthContexts + mantissaContexts + 256
)

//go:embed access.v1
var accessStart []byte

// starting unpacks starting probabilities: 12 bits of probability, 4 bits that say
// how sure they are.
func starting(packed []byte, n int) []uint32 {
	probs := evenStart(n)
	for i := range probs {
		if 2*i+1 < len(packed) {
			x := binary.LittleEndian.Uint16(packed[2*i:])
			probs[i] = uint32(max(x>>4, 1))<<20 | uint32(x&15)*2
		}
	}
	return probs
}

var accessProbs = sync.OnceValue(func() []uint32 { return starting(accessStart, accessContexts) })

// accessCoder is the working memory of one chunk, used again and again.
type accessCoder struct {
	coder
	probs   [accessContexts]uint32
	times   []int64
	gaps    []uint8 // class of the time since the record before
	addrs   []addrEntry
	byAddr  map[addrKey]int32
	order   []int32 // of addrs, the one used last first
	which   []int32 // entry of each record
	devices []uint64
	byDev   map[uint64]int32
	devOrd  []int32
	dev     []int32 // device of each record; 0 is none
	actions []byte
	texts   words
	buf     [maxText]byte
	bad     bool

	from, until int64 // which times are wanted, for reading
	none        bool  // there is none
}

type addrKey struct {
	addr    netip.Addr
	country muster.Country
	network muster.Network
}

type addrEntry struct {
	addrKey
	raw    [16]byte
	device int32 // that was used with it last
}

var accessCoders = sync.Pool{New: func() any {
	return &accessCoder{byAddr: map[addrKey]int32{}, byDev: map[uint64]int32{}}
}}

func (a *accessCoder) reset(n int) {
	copy(a.probs[:], accessProbs())
	a.times = slices.Grow(a.times[:0], n)[:n]
	a.gaps = slices.Grow(a.gaps[:0], n)[:n]
	a.which = slices.Grow(a.which[:0], n)[:n]
	a.dev = slices.Grow(a.dev[:0], n)[:n]
	a.actions = slices.Grow(a.actions[:0], n)[:n]
	a.addrs, a.order = a.addrs[:0], a.order[:0]
	a.devices, a.devOrd = append(a.devices[:0], 0), append(a.devOrd[:0], 0)
	clear(a.byAddr)
	clear(a.byDev)
	a.bad, a.none = false, false
	a.from, a.until = math.MinInt64, math.MaxInt64
}

// compareAccess is the order of records in a chunk.
func compareAccess(a, b *muster.AccessRecord) int {
	return cmp.Or(a.At.Compare(b.At), a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Device, b.Device),
		cmp.Compare(a.Action, b.Action), cmp.Compare(a.Surface, b.Surface), cmp.Compare(a.Actor, b.Actor),
		cmp.Compare(a.Country, b.Country), cmp.Compare(a.Network, b.Network))
}

// EncodeAccess appends the chunk of records, which are in order and not before base.
func EncodeAccess(dst []byte, base time.Time, records []muster.AccessRecord) []byte {
	a := accessCoders.Get().(*accessCoder)
	defer accessCoders.Put(a)
	return a.encode(dst, base, records, nil)
}

func (a *accessCoder) encode(dst []byte, base time.Time, records []muster.AccessRecord, seen [][2]uint32) []byte {
	n := len(records)
	a.reset(n)
	start := base.UnixMilli()
	for i := range records {
		a.times[i] = records[i].At.UnixMilli() - start
	}
	mode, anchor, period := chooseTimes(a.times)
	dst = binary.AppendUvarint(dst, uint64(n)<<2|uint64(mode))
	from := len(dst)
	a.coder = writer(a.probs[:], dst)
	a.seen = seen
	a.codeTimes(mode, anchor, period)
	a.codeAddresses(records)
	a.codeDevices(records)
	a.codeActions(records)
	a.texts.reset(&a.coder, a.buf[:])
	for i := range records {
		records[i].Surface = a.texts.code(ctxSurface, records[i].Surface)
	}
	a.texts.reset(&a.coder, a.buf[:])
	for i := range records {
		records[i].Actor = a.texts.code(ctxActor, records[i].Actor)
	}
	a.codePorts(records)
	out := a.finish(from)
	a.coder = coder{}
	return out
}

// window says which records of a chunk are wanted. The zero window wants all.
type window struct {
	from, until time.Time               // until is exclusive; zero: no bound
	addr        func(a netip.Addr) bool // nil: any
}

// decodeAccess appends the records of a chunk that are wanted, without their account.
func decodeAccess(dst []muster.AccessRecord, base time.Time, data []byte, w window) ([]muster.AccessRecord, error) {
	head, size := binary.Uvarint(data)
	n, mode := int(head>>2), int(head&3)
	if size <= 0 || head>>2 > maxChunk || n > 64+64*len(data) {
		return dst, errChunk()
	}
	a := accessCoders.Get().(*accessCoder)
	defer accessCoders.Put(a)
	a.reset(n)
	a.coder = reader(a.probs[:], data[size:])
	start := base.UnixMilli()
	if !w.from.IsZero() {
		a.from = w.from.UnixMilli() - start
	}
	if !w.until.IsZero() {
		a.until = w.until.UnixMilli() - start
	}
	a.codeTimes(mode, 0, 0)
	if a.bad || a.spent() {
		return dst, errChunk()
	}
	if a.none {
		return dst, nil
	}
	low, _ := slices.BinarySearch(a.times, a.from)
	high, _ := slices.BinarySearch(a.times, a.until)
	if low >= high {
		return dst, nil
	}
	a.codeAddresses(nil)
	if a.bad || a.spent() {
		return dst, errChunk()
	}
	if w.addr != nil {
		hit := false
		for i := low; i < high && !hit; i++ {
			hit = w.addr(a.addrs[a.which[i]].addr)
		}
		if !hit {
			return dst, nil
		}
	}
	a.codeDevices(nil)
	a.codeActions(nil)
	first := len(dst)
	dst = append(dst, make([]muster.AccessRecord, n)...)
	records := dst[first:]
	a.texts.reset(&a.coder, a.buf[:])
	for i := range records {
		records[i].Surface = a.texts.code(ctxSurface, "")
	}
	a.bad = a.bad || a.texts.bad
	a.texts.reset(&a.coder, a.buf[:])
	for i := range records {
		records[i].Actor = a.texts.code(ctxActor, "")
	}
	a.codePorts(records)
	if a.bad || a.texts.bad || a.spent() {
		return dst[:first], errChunk()
	}
	names := make([]string, len(a.devices))
	for i, d := range a.devices[1:] {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], d)
		names[i+1] = hex.EncodeToString(b[:])
	}
	kept := dst[:first]
	for i := low; i < high; i++ {
		e := &a.addrs[a.which[i]]
		if w.addr != nil && !w.addr(e.addr) {
			continue
		}
		r := records[i]
		r.At = time.UnixMilli(start + a.times[i]).UTC()
		r.IP, r.Country, r.Network = e.addr, e.country, e.network
		r.Device = names[a.dev[i]]
		r.Action = muster.AccessActions[a.actions[i]]
		kept = append(kept, r)
	}
	return kept, nil
}

func errChunk() error { return muster.Errorf(muster.CodeMalformed, "a chunk of records is damaged") }

// chooseTimes finds the way that takes fewest bits, roughly.
func chooseTimes(t []int64) (mode int, anchor, period int64) {
	if len(t) < 4 {
		return timeDeltas, 0, 0
	}
	deltas := make([]int64, len(t)-1)
	cost := [timeModes]int{}
	for i := range deltas {
		deltas[i] = t[i+1] - t[i]
		cost[timeDeltas] += bits.Len64(uint64(deltas[i]))
		if i > 0 {
			cost[timeSteps] += bits.Len64(zigzag(deltas[i] - deltas[i-1]))
		}
	}
	cost[timeSteps] += bits.Len64(uint64(deltas[0]))
	slices.Sort(deltas)
	least := deltas[0]
	cost[timeOver] = 32
	for _, d := range deltas {
		cost[timeOver] += bits.Len64(uint64(d - least))
	}
	// Half a second below the middle of the middle: jitter is late more than early.
	period = (deltas[len(deltas)/2] + 500) / 1000 * 1000
	cost[timeGrid] = 1 << 60
	if period > 0 && len(t) >= 6 {
		// The anchor is so early that nothing is before its point of the grid.
		early := int64(0)
		for _, x := range t {
			d := x - t[0]
			early = min(early, d-(d+period/2)/period*period)
		}
		anchor = max(t[0]+early, 0)
		cost[timeGrid] = 48
		k := int64(0)
		for _, x := range t {
			next := (x - anchor) / period
			cost[timeGrid] += bits.Len64(uint64(x-anchor-next*period)) + 2*bits.Len64(zigzag(next-k-1))
			k = next
		}
	}
	for m := range timeModes {
		if cost[m] < cost[mode] {
			mode = m
		}
	}
	if mode == timeOver {
		period = least
	}
	return mode, anchor, period
}

// codeTimes codes a.times, and the classes of the gaps between them.
func (a *accessCoder) codeTimes(mode int, anchor, period int64) {
	lengths := func(mode int, before uint64) int {
		return ctxTimeLength + (mode*timeBefore+min(bits.Len64(before)/3, timeBefore-1))*lengthContexts
	}
	mantissas := ctxTimeMantissa + mode*mantissaContexts
	var t, step, k int64
	var before uint64
	if mode == timeGrid {
		anchor = int64(a.direct(33, uint64(anchor)))
		period = int64(a.direct(33, uint64(period)))
		if period == 0 {
			a.bad = true
			return
		}
		k = -1
	}
	if mode == timeOver {
		period = int64(a.direct(33, uint64(period)))
	}
	for i := range a.times {
		x := a.times[i]
		switch {
		case mode == timeGrid:
			var next, late int64
			if !a.read {
				next = (x - anchor) / period
				late = x - anchor - next*period
			}
			next = k + 1 + unzigzag(a.number(ctxSkip, ctxSkip+lengthContexts, zigzag(next-k-1)))
			before = a.number(lengths(mode, before), mantissas, uint64(late))
			late = int64(before)
			x, k = anchor+next*period+late, next
		case mode == timeDeltas || i == 0:
			before = a.number(lengths(mode, before), mantissas, uint64(x-t))
			x, step = t+int64(before), int64(before)
		case mode == timeOver:
			before = a.number(lengths(mode, before), mantissas, uint64(x-t-period))
			x = t + period + int64(before)
		default:
			before = a.number(lengths(mode, before), mantissas, zigzag(x-t-step))
			step += unzigzag(before)
			x = t + step
		}
		if a.read && (x < t || x > 1<<33) { // a quarter has less than 2^33 ms
			a.bad = true
			return
		}
		a.times[i] = x
		if x >= a.until && t < a.from { // it went past without one: nothing else is read
			a.none = true
			return
		}
		gap := x - t
		class := uint8(0)
		for _, edge := range [...]int64{1000, 60_000, 900_000, 3 * 3_600_000, 12 * 3_600_000} {
			if gap >= edge {
				class++
			}
		}
		a.gaps[i] = class
		t = x
	}
}

// toFront moves the entry of a rank to the front.
func toFront(order []int32, rank int) int32 {
	e := order[rank]
	copy(order[1:rank+1], order[:rank])
	order[0] = e
	return e
}

// codeAddresses codes which address each record has; a new one where it first comes.
func (a *accessCoder) codeAddresses(records []muster.AccessRecord) {
	history := 0
	for i := range a.which {
		var want int32
		var key addrKey
		known := false
		if !a.read {
			key = addrKey{records[i].IP, records[i].Country, records[i].Network}
			want, known = a.byAddr[key]
		}
		other := 1
		if len(a.order) > 0 {
			if !a.read && known && a.order[0] == want {
				other = 0
			}
			other = a.bit(ctxAddrSame+history*gapClasses+int(a.gaps[i]), other)
			history = history<<1&3 | other
		}
		if other == 0 {
			a.which[i] = a.order[0]
			continue
		}
		fresh := 1
		if len(a.order) > 1 {
			if known {
				fresh = 0
			}
			fresh = a.bit(ctxAddrNew+min(bits.Len(uint(len(a.order)))-1, 7), fresh)
		}
		if fresh == 0 {
			rank := 0
			if !a.read {
				rank = slices.Index(a.order, want) - 1
			}
			rank = int(a.number(ctxAddrRank, ctxAddrRank+lengthContexts, uint64(rank)))
			if rank+1 >= len(a.order) || rank < 0 {
				a.bad = true
				return
			}
			a.which[i] = toFront(a.order, rank+1)
			continue
		}
		e := a.codeNewAddress(key)
		if a.bad || a.read && a.spent() {
			a.bad = true
			return
		}
		n := int32(len(a.addrs))
		a.addrs = append(a.addrs, e)
		if !a.read {
			a.byAddr[key] = n
		}
		a.order = append(a.order, 0)
		copy(a.order[1:], a.order)
		a.order[0] = n
		a.which[i] = n
	}
}

// codeNewAddress codes an address by the longest beginning that it shares with one
// of those used last, and the rest. Of IPv6 that is the network part; the host part
// follows.
func (a *accessCoder) codeNewAddress(key addrKey) addrEntry {
	e := addrEntry{addrKey: key}
	six, last := 0, 2
	if !a.read {
		if key.addr.Is6() {
			six = 1
			e.raw = key.addr.As16()
		} else {
			b := key.addr.As4()
			copy(e.raw[:], b[:])
		}
	}
	if len(a.order) > 0 {
		last = 0
		if a.addrs[a.order[0]].addr.Is6() {
			last = 1
		}
	}
	six = a.bit(ctxFamily+last, six)
	size := 4 + 4*six
	shared, rank := 0, 0
	if !a.read {
		for r, n := range a.order[:min(len(a.order), 256)] {
			o := &a.addrs[n]
			if o.addr.Is6() != key.addr.Is6() {
				continue
			}
			l := 0
			for l < size && o.raw[l] == e.raw[l] {
				l++
			}
			if l > shared {
				shared, rank = l, r
			}
		}
		if shared == 1 {
			shared = 0 // a byte saved would cost as much to point at
		}
	}
	shared = a.tree(ctxShared+six*16, 4, shared)
	if shared > size {
		a.bad = true
		return e
	}
	near := -1 // the entry it is near to
	if shared > 0 {
		rank = int(a.number(ctxSharedRank, ctxSharedRank+lengthContexts, uint64(rank)))
		if rank >= len(a.order) || rank < 0 {
			a.bad = true
			return e
		}
		near = int(a.order[rank])
		if a.read {
			copy(e.raw[:shared], a.addrs[near].raw[:shared])
		}
	} else if len(a.order) > 0 {
		near = int(a.order[0])
	}
	for i := shared; i < size; i++ {
		e.raw[i] = byte(a.direct(8, uint64(e.raw[i])))
	}
	if six == 1 {
		small := 0
		if !a.read && [6]byte(e.raw[8:14]) != [6]byte{} {
			small = 1
		}
		small = a.bit(ctxHost, small)
		for i := 14 - 6*small; i < 16; i++ {
			e.raw[i] = byte(a.direct(8, uint64(e.raw[i])))
		}
		e.addr = netip.AddrFrom16(e.raw)
		if e.addr.Is4In6() { // no record has one
			a.bad = a.bad || a.read
		}
	} else {
		e.addr = netip.AddrFrom4([4]byte(e.raw[:4]))
	}
	var o addrKey
	if near >= 0 {
		o = a.addrs[near].addrKey
	}
	differs := 1
	if o.country == e.country && o.network == e.network {
		differs = 0
	}
	ctx := ctxPlaceSame
	if shared > 0 {
		ctx++
	}
	if a.bit(ctx, differs) == 0 {
		e.country, e.network = o.country, o.network
	} else {
		e.country = muster.Country(codeText(&a.coder, ctxText, string(e.country), a.buf[:], &a.bad))
		e.network = muster.Network(a.tree(ctxNetwork, 3, int(e.network)&7))
	}
	e.device = -1
	return e
}

// codeDevices codes which device each record has: most often the one that was used
// with the same address last, or the one of the record before.
func (a *accessCoder) codeDevices(records []muster.AccessRecord) {
	before, hits := int32(0), 0
	for i := range a.dev {
		var want int32
		var number uint64
		known := true
		if !a.read {
			want = 0
			if d := records[i].Device; d != "" {
				number = deviceNumber(d)
				if want, known = a.byDev[number]; !known {
					want = -1
				}
			}
		}
		e := &a.addrs[a.which[i]]
		guess, ctx := e.device, ctxDeviceHit+hits*4
		if guess < 0 {
			guess, ctx = before, ctx+2
		}
		if guess != 0 {
			ctx++
		}
		miss := 1
		if !a.read && known && guess == want {
			miss = 0
		}
		miss = a.bit(ctx, miss)
		hits = miss
		switch {
		case miss == 0:
			a.dev[i] = guess
			if r := slices.Index(a.devOrd, guess); r > 0 {
				toFront(a.devOrd, r)
			}
		default:
			fresh := 1
			if known {
				fresh = 0
			}
			if a.bit(ctxDeviceNew+min(len(a.devOrd)-1, 1), fresh) == 0 {
				rank := 0
				if !a.read {
					rank = slices.Index(a.devOrd, want)
				}
				rank = int(a.number(ctxDeviceRank, ctxDeviceRank+lengthContexts, uint64(rank)))
				if rank >= len(a.devOrd) || rank < 0 {
					a.bad = true
					return
				}
				a.dev[i] = toFront(a.devOrd, rank)
			} else {
				number = a.direct(32, number>>32)<<32 | a.direct(32, number&0xffffffff)
				n := int32(len(a.devices))
				a.devices = append(a.devices, number)
				if !a.read {
					a.byDev[number] = n
				} else if a.spent() {
					a.bad = true
					return
				}
				a.devOrd = append(a.devOrd, 0)
				copy(a.devOrd[1:], a.devOrd)
				a.devOrd[0] = n
				a.dev[i] = n
			}
		}
		e.device, before = a.dev[i], a.dev[i]
	}
}

// deviceNumber reads 16 hexadecimal digits.
func deviceNumber(s string) (n uint64) {
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			d = s[i] - 'a' + 10
		}
		n = n<<4 | uint64(d&15)
	}
	return n
}

// codeActions codes the action in the context of the one before.
func (a *accessCoder) codeActions(records []muster.AccessRecord) {
	before := 0
	for i := range a.actions {
		x := 0
		if !a.read {
			x = max(slices.Index(muster.AccessActions, records[i].Action), 0)
		}
		moved := 0
		if i == 0 || a.which[i] != a.which[i-1] {
			moved = 1
		}
		ctx := ctxAction + moved*256 + min(before, 15)*16
		if y := a.tree(ctx, 4, min(x, 15)); y < 15 {
			x = y
		} else {
			x = 15 + int(a.direct(8, uint64(x-15)))
		}
		if x >= len(muster.AccessActions) {
			a.bad, x = true, 0
		}
		a.actions[i] = byte(x)
		before = x
	}
}

func (a *accessCoder) codePorts(records []muster.AccessRecord) {
	before := 0
	for i := range records {
		some := 0
		if records[i].Port != 0 {
			some = 1
		}
		some = a.bit(ctxPort+before, some)
		if some == 1 {
			records[i].Port = uint16(a.direct(16, uint64(records[i].Port)))
		}
		before = some
	}
}

// words codes a column of few different strings: as before, one of those seen, or a
// new one.
type words struct {
	c    *coder
	buf  []byte
	list []string // used last first
	text int      // contexts of new words
	hit  int
	bad  bool
}

func (w *words) reset(c *coder, buf []byte) {
	w.c, w.buf, w.hit, w.bad, w.text = c, buf, 0, false, ctxText
	w.list = append(w.list[:0], "")
}

func (w *words) code(ctx int, s string) string {
	if w.bad {
		return ""
	}
	rank := -1
	if !w.c.read {
		rank = slices.Index(w.list, s)
	}
	differs := 1
	if rank == 0 {
		differs = 0
	}
	differs = w.c.bit(ctx+w.hit, differs)
	w.hit = differs
	if differs == 0 {
		return w.list[0]
	}
	fresh := 0
	if rank < 0 {
		fresh = 1
	}
	if w.c.bit(ctx+2, fresh) == 0 {
		rank = int(w.c.number(ctx+4, ctx+4+lengthContexts, uint64(max(rank, 0))))
		if rank >= len(w.list) || rank < 0 {
			w.bad = true
			return ""
		}
		s = w.list[rank]
		copy(w.list[1:rank+1], w.list[:rank])
		w.list[0] = s
		return s
	}
	s = codeText(w.c, w.text, s, w.buf, &w.bad)
	if w.c.read && w.c.spent() {
		w.bad = true
	}
	w.list = append(w.list, "")
	copy(w.list[1:], w.list)
	w.list[0] = s
	return s
}

// codeText codes one string.
func codeText(c *coder, ctx int, s string, buf []byte, bad *bool) string {
	n := int(c.number(ctx, ctx+lengthContexts, uint64(len(s))))
	if n > len(buf) || n < 0 {
		*bad = true
		return ""
	}
	for i := range n {
		b := 0
		if !c.read {
			b = int(s[i])
		}
		buf[i] = byte(c.tree(ctx+lengthContexts+mantissaContexts, 8, b))
	}
	if !c.read {
		return s
	}
	return strings.Clone(string(buf[:n]))
}

// TrainAccess makes starting probabilities from chunks of records: what the file
// access.v1 was made with. A new file is a new format version.
func TrainAccess(base func(chunk int) time.Time, chunks [][]muster.AccessRecord) []byte {
	a := accessCoders.Get().(*accessCoder)
	defer accessCoders.Put(a)
	sum := make([][2]uint32, accessContexts)
	own := make([][2]uint32, accessContexts)
	chunksWith := make([]uint32, accessContexts)
	for i, records := range chunks {
		clear(own)
		a.encode(nil, base(i), records, own)
		for c, n := range own {
			if n[0]+n[1] > 0 {
				// A context counts by chunk, and not more for being used often in one:
				// what is wanted is where the next chunk begins.
				total := n[0] + n[1]
				sum[c][0] += 1 + 64*n[0]/total
				sum[c][1] += 1 + 64*n[1]/total
				chunksWith[c]++
			}
		}
	}
	out := make([]byte, 2*accessContexts)
	for c, n := range sum {
		p, sure := uint32(2048), uint32(0)
		if chunksWith[c] > 0 {
			p = min(max(uint32(uint64(n[0])*4096/uint64(n[0]+n[1])), 24), 4072)
			sure = min(uint32(bits.Len32(chunksWith[c])), 6)
		}
		binary.LittleEndian.PutUint16(out[2*c:], uint16(p<<4|sure))
	}
	return out
}
