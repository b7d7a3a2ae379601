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
