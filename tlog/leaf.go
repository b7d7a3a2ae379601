package tlog

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/muster-cip/muster"
)

// LeafType says what a leaf records. The numbers are the format: they are never
// reused. 15 disclosure is set aside.
type LeafType uint8

const (
	Decision   LeafType = 1  // C1 = CommitFacts, C2 = CommitDecision
	Reveal     LeafType = 2  // a personal value left the process or was shown
	UseStart   LeafType = 3  // a job began to compute on personal values
	UseEnd     LeafType = 4  // it ended; the count is committed to
	Pack       LeafType = 5  // a policy pack was activated
	Operator   LeafType = 6  // an operator came, changed or went
	Token      LeafType = 7  // a token was made or revoked
	Key        LeafType = 8  // an epoch or another key was made, rotated or destroyed
	Hold       LeafType = 9  // a legal hold was set or lifted
	Tombstone  LeafType = 10 // the records of the leaves in Covers were erased
	Repair     LeafType = 11 // a crash was put right; Covers names the leaves concerned, if any
	Resolution LeafType = 12 // a person's finding
	Delivery   LeafType = 13 // something was sent outside
	BreakGlass LeafType = 14 // four eyes were gone round
	Measure    LeafType = 16 // an act on the register of special measures, or an account's notice of one
	List       LeafType = 17 // a watch list's snapshot took effect, was held or given up
	Erasure    LeafType = 18 // an erasure was asked for, agreed, begun, done or taken back
	Import     LeafType = 19 // a provider's book began to be taken in, or ended; each customer of it has a decision
	Export     LeafType = 20 // an export of everything was asked for or agreed to
)

// leafNames is the one table from types to names.
var leafNames = [...]string{
	Decision: "decision", Reveal: "reveal", UseStart: "use_start", UseEnd: "use_end", Pack: "pack",
	Operator: "operator", Token: "token", Key: "key", Hold: "hold", Tombstone: "tombstone", Repair: "repair",
	Resolution: "resolution", Delivery: "delivery", BreakGlass: "break_glass",
	Measure: "measure", List: "list",
	Erasure: "erasure", Import: "import", Export: "export",
}

// String is the name of t, "" for a number that is no type.
func (t LeafType) String() string {
	if int(t) < len(leafNames) {
		return leafNames[t]
	}
	return ""
}

// ParseLeafType is the type of that name.
func ParseLeafType(name string) (LeafType, error) {
	for t, n := range leafNames {
		if n != "" && n == name {
			return LeafType(t), nil
		}
	}
	return 0, muster.Errorf(muster.CodeInvalid, "no such type of leaf")
}

// Limits of a leaf.
const (
	MaxCovers            = 1024      // ranges in one leaf; more take another leaf
	MaxWordBytes         = 64        // of Ground and of each of Operators
	MaxOperators         = 4         //
	MaxSize        int64 = 1 << 48   // leaves of one log; what is past it is refused before any arithmetic
	leafVersion          = 1         //
	plainLeafBytes       = 70        // version, type, hour, C1, C2
	MaxLeafBytes         = 1<<16 - 1 // an entry bundle has a 16-bit length
)

// Leaf is one line of the record. It holds no personal data.
type Leaf struct {
	Type LeafType
	Hour int64 // whole hours since 1970-01-01T00:00Z, 0 to 2^32-1
	C1   [32]byte
	C2   [32]byte

	// Of tombstone and repair only.
	Covers    [][2]int64 // half-open ranges [from, to) of leaf indexes, rising, neither overlapping nor touching
	Ground    string     // code of the ground, [a-z0-9_./:-], at most 64
	Operators []string   // ids of the operators who did it, same characters, at most 4
}

// HourOf is the hour of t.
func HourOf(t time.Time) int64 { return int64(math.Floor(float64(t.Unix()) / 3600)) }

// Time is the beginning of the leaf's hour.
func (l Leaf) Time() time.Time { return time.Unix(l.Hour*3600, 0).UTC() }

// covering reports whether leaves of t carry covers, ground and operators.
func (t LeafType) covering() bool { return t == Tombstone || t == Repair }

// Validate reports what keeps l from being written, as an error of code invalid.
func (l Leaf) Validate() error {
	switch {
	case l.Type.String() == "":
		return badLeaf("unknown type")
	case l.Hour < 0 || l.Hour > math.MaxUint32:
		return badLeaf("hour out of range")
	case !l.Type.covering() && (len(l.Covers) > 0 || l.Ground != "" || len(l.Operators) > 0):
		return badLeaf("covers, ground and operators are of tombstone and repair only")
	case l.Type == Tombstone && len(l.Covers) == 0:
		return badLeaf("a tombstone that covers nothing")
	case l.Type.covering() && !isWord(l.Ground):
		return badLeaf("ground is not a code")
	case len(l.Covers) > MaxCovers:
		return badLeaf("too many ranges")
	case len(l.Operators) > MaxOperators:
		return badLeaf("too many operators")
	}
	last := int64(-1)
	for _, c := range l.Covers {
		// Ranges that touch are one range: there is one way to write a set.
		if c[0] <= last || c[1] <= c[0] || c[1] > MaxSize {
			return badLeaf("ranges are not rising and apart")
		}
		last = c[1]
	}
	for _, o := range l.Operators {
		if !isWord(o) {
			return badLeaf("operator is not an id")
		}
	}
	return nil
}

func badLeaf(what string) error { return muster.Errorf(muster.CodeInvalid, "leaf: %s", what) }

// isWord holds the clear text of a leaf to codes and ids, in which no name,
// contact or address can stand.
func isWord(s string) bool {
	if len(s) == 0 || len(s) > MaxWordBytes {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == '/', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

// Marshal writes l, in the one way there is. It panics on a leaf that Validate
// refuses: a leaf is made by our own code, and one that cannot be read back
// would spoil the log for good.
func (l Leaf) Marshal() []byte {
	if err := l.Validate(); err != nil {
		panic(err)
	}
	b := make([]byte, 0, plainLeafBytes)
	b = append(b, leafVersion, byte(l.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(l.Hour))
	b = append(b, l.C1[:]...)
	b = append(b, l.C2[:]...)
	if !l.Type.covering() {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Covers)))
	for _, c := range l.Covers {
		b = binary.BigEndian.AppendUint64(b, uint64(c[0]))
		b = binary.BigEndian.AppendUint64(b, uint64(c[1]))
	}
	b = append(b, byte(len(l.Ground)))
	b = append(b, l.Ground...)
	b = append(b, byte(len(l.Operators)))
	for _, o := range l.Operators {
		b = append(b, byte(len(o)))
		b = append(b, o...)
	}
	return b
}

// ParseLeaf reads what Marshal writes and nothing else: marshalling the result
// gives b again. Errors are of code malformed.
func ParseLeaf(b []byte) (Leaf, error) {
	r := leafReader{rest: b}
	version := r.byte()
	var l Leaf
	l.Type = LeafType(r.byte())
	if h := r.take(4); h != nil {
		l.Hour = int64(binary.BigEndian.Uint32(h))
	}
	copy(l.C1[:], r.take(32))
	copy(l.C2[:], r.take(32))
	if r.short || version != leafVersion {
		return Leaf{}, muster.Errorf(muster.CodeMalformed, "not a leaf of version %d", leafVersion)
	}
	if l.Type.covering() {
		var n int
		if c := r.take(2); c != nil {
			n = int(binary.BigEndian.Uint16(c))
		}
		if n > MaxCovers {
			return Leaf{}, muster.Errorf(muster.CodeMalformed, "leaf: too many ranges")
		}
		for range n {
			c := r.take(16)
			if c == nil {
				break
			}
			l.Covers = append(l.Covers, [2]int64{int64(binary.BigEndian.Uint64(c)), int64(binary.BigEndian.Uint64(c[8:]))})
		}
		l.Ground = string(r.take(int(r.byte())))
		for range min(int(r.byte()), MaxOperators+1) {
			l.Operators = append(l.Operators, string(r.take(int(r.byte()))))
		}
	}
	if r.short || len(r.rest) > 0 {
		return Leaf{}, muster.Errorf(muster.CodeMalformed, "leaf: wrong length")
	}
	if err := l.Validate(); err != nil {
		return Leaf{}, muster.Errorf(muster.CodeMalformed, "leaf with values out of range: %w", err)
	}
	return l, nil
}

// leafReader takes bytes off the front and remembers when there were too few.
type leafReader struct {
	rest  []byte
	short bool
}

func (r *leafReader) take(n int) []byte {
	if len(r.rest) < n {
		r.short = true
		r.rest = nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *leafReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}
