package ledger

import "math/bits"

// coder is an adaptive binary range coder that runs both ways: the same model code
// writes a chunk and reads it, so that the two cannot come apart. Written down in
// docs/formats/ledger.md, "The coder".
//
// Reading accepts any input: what comes out is then nonsense of a bounded size. A chunk is
// authenticated before it is read.
type coder struct {
	probs []uint32 // state of each context: probability of a 0 (22 bits), how often it was seen (10)
	read  bool

	rng   uint32
	low   uint64 // writing
	cache byte
	held  int // bytes that a carry may still change: cache, then 0xff
	begun bool
	out   []byte

	code uint32 // reading
	in   []byte
	at   int

	seen [][2]uint32 // training: how often each context had a 0 and a 1
}

const (
	half      = 1 << 31 // an even chance, never seen
	leftOut   = 8       // zeros that are left out at the end, at most
	seenLimit = 30      // how far a context looks back
	top       = 1 << 24
)

// rates[n] is how far a context that was seen n times moves towards what it sees,
// in 1/65536.
var rates = func() (r [seenLimit + 1]uint32) {
	for n := range r {
		r[n] = 65536 * 10 / (uint32(n)*10 + 16)
	}
	return r
}()

func writer(probs []uint32, dst []byte) coder {
	return coder{probs: probs, rng: 0xffffffff, held: 1, out: dst}
}

func reader(probs []uint32, in []byte) coder {
	c := coder{probs: probs, read: true, rng: 0xffffffff, in: in}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

// next is the next byte; past the end there are zeros, as finish leaves them out.
func (c *coder) next() byte {
	c.at++
	if c.at > len(c.in) {
		return 0
	}
	return c.in[c.at-1]
}

// spent reports whether more was read than any writer can have left out.
func (c *coder) spent() bool { return c.at > len(c.in)+leftOut }

// bit codes one bit in its context.
func (c *coder) bit(ctx int, b int) int {
	state := c.probs[ctx]
	p := state >> 20
	if p == 0 {
		p = 1
	}
	bound := c.rng >> 12 * p
	if c.read {
		if c.code < bound {
			c.rng, b = bound, 0
		} else {
			c.code -= bound
			c.rng -= bound
			b = 1
		}
	} else {
		if b == 0 {
			c.rng = bound
		} else {
			c.low += uint64(bound)
			c.rng -= bound
		}
		if c.seen != nil {
			c.seen[ctx][b]++
		}
	}
	n := state & 0x3ff
	p22 := state >> 10
	if b == 0 {
		p22 += uint32(uint64(1<<22-1-p22) * uint64(rates[n]) >> 16)
	} else {
		p22 -= uint32(uint64(p22) * uint64(rates[n]) >> 16)
	}
	if n < seenLimit {
		n++
	}
	c.probs[ctx] = p22<<10 | n
	for c.rng < top {
		c.rng <<= 8
		if c.read {
			c.code = c.code<<8 | uint32(c.next())
		} else {
			c.shift()
		}
	}
	return b
}

// direct codes n bits, highest first, that nothing is known of, eight at a time.
func (c *coder) direct(n int, v uint64) uint64 {
	var got uint64
	for n > 0 {
		k := min(n, 8)
		n -= k
		c.rng >>= k
		var b uint32
		if c.read {
			b = min(c.code/c.rng, 1<<k-1)
			c.code -= b * c.rng
		} else {
			b = uint32(v>>n) & (1<<k - 1)
			c.low += uint64(b) * uint64(c.rng)
		}
		got = got<<k | uint64(b)
		for c.rng < top {
			c.rng <<= 8
			if c.read {
				c.code = c.code<<8 | uint32(c.next())
			} else {
				c.shift()
			}
		}
	}
	return got
}

// shift moves the highest byte of low out; a byte 0xff waits for a carry.
func (c *coder) shift() {
	if uint32(c.low) < 0xff000000 || c.low>>32 != 0 {
		carry := byte(c.low >> 32)
		if c.begun { // the first byte is always 0, and no carry reaches it: it is left out
			c.out = append(c.out, c.cache+carry)
		}
		c.begun = true
		for ; c.held > 1; c.held-- {
			c.out = append(c.out, 0xff+carry)
		}
		c.cache = byte(c.low >> 24)
		c.held = 0
	}
	c.held++
	c.low = uint64(uint32(c.low) << 8)
}

// finish ends writing with as few bytes as tell the rest, from n bytes of out on.
func (c *coder) finish(n int) []byte {
	for k := 32; k >= 0; k-- {
		mask := uint64(1)<<k - 1
		if v := (c.low + mask) &^ mask; v < c.low+uint64(c.rng) {
			c.low = v
			break
		}
	}
	for range 5 {
		c.shift()
	}
	for range leftOut {
		if len(c.out) > n && c.out[len(c.out)-1] == 0 {
			c.out = c.out[:len(c.out)-1]
		}
	}
	return c.out
}

// tree codes n bits, highest first, each in the context of those before it: 1<<n
// contexts from base on.
func (c *coder) tree(base, n, v int) int {
	at := 1
	for i := n - 1; i >= 0; i-- {
		at = at<<1 | c.bit(base+at, v>>i&1)
	}
	return at - 1<<n
}

// A number is coded as its length in bits (a tree of 6), the two bits below the highest
// in the context of the length, and the rest direct.
const (
	lengthContexts   = 64
	mantissaContexts = 64 * 4
)

func (c *coder) number(lengths, mantissas int, v uint64) uint64 {
	n := c.tree(lengths, 6, bits.Len64(v))
	if n <= 1 {
		return uint64(n)
	}
	x := uint64(1)
	at := 1
	shown := min(n-1, 2)
	for i := range shown {
		b := c.bit(mantissas+n*4+at, int(v>>(n-2-i)&1))
		at = at<<1 | b
		x = x<<1 | uint64(b)
	}
	if rest := n - 1 - shown; rest > 0 {
		x = x<<rest | c.direct(rest, v&(1<<rest-1))
	}
	return x
}

func zigzag(x int64) uint64   { return uint64(x)<<1 ^ uint64(x>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
