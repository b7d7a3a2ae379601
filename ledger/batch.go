package ledger

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Batch is what one or more posts brought together: records of known accounts, with
// the account's id in Account and without an ID of their own.
type Batch struct {
	Access []muster.AccessRecord
	Leases []muster.LeaseRecord
}

// Records is how many it holds.
func (b *Batch) Records() int { return len(b.Access) + len(b.Leases) }

// The encoding of a batch lives for minutes, under an hour's key: it is made to be
// quick. Version; the strings, each once; the access records; the leases. Numbers are
// varints, times differences in milliseconds.
const (
	batchVersion = 1
	minAccess    = 12 // bytes that a record takes at least
	minLease     = 11
)

// EncodeBatch appends the encoding of b to dst.
func EncodeBatch(dst []byte, b *Batch) []byte {
	w := batchWriter{index: make(map[string]uint64, 64)}
	w.body = make([]byte, 0, 24*b.Records()+16)
	w.body = binary.AppendUvarint(w.body, uint64(len(b.Access)))
	for i := range b.Access {
		r := &b.Access[i]
		w.text(r.Account)
		w.time(r.At)
		w.addr(r.IP)
		w.body = binary.LittleEndian.AppendUint16(w.body, r.Port)
		w.text(r.Actor)
		w.text(r.Action)
		w.text(r.Surface)
		w.text(r.Device)
		w.text(string(r.Country))
		w.body = append(w.body, byte(r.Network))
	}
	w.body = binary.AppendUvarint(w.body, uint64(len(b.Leases)))
	for i := range b.Leases {
		r := &b.Leases[i]
		w.text(r.Account)
		w.text(r.Resource)
		w.addr(r.Prefix.Addr())
		w.body = append(w.body, byte(r.Prefix.Bits()+1))
		w.text(r.Name)
		w.body = binary.AppendUvarint(w.body, uint64(r.PortFrom))
		w.body = binary.AppendUvarint(w.body, uint64(r.PortTo))
		w.time(r.From)
		if r.Until.IsZero() {
			w.body = append(w.body, 0)
		} else {
			w.body = append(w.body, 1)
			w.time(r.Until)
		}
		w.text(r.Source)
		w.text(r.Precision)
	}
	dst = append(dst, batchVersion)
	dst = binary.AppendUvarint(dst, uint64(len(w.words)))
	for _, s := range w.words {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return append(dst, w.body...)
}

type batchWriter struct {
	body   []byte
	words  []string
	index  map[string]uint64
	recent [1024]struct {
		s string
		n uint64
	}
	last int64
}

// text writes the number of s; 0 is the empty string.
func (w *batchWriter) text(s string) {
	if s == "" {
		w.body = append(w.body, 0)
		return
	}
	// Most strings were there a moment ago: a small table in front of the map.
	h := uint64(len(s))
	for i := max(0, len(s)-8); i < len(s); i++ {
		h = h<<8 ^ h>>56 ^ uint64(s[i])
	}
	slot := &w.recent[h*0x9e3779b97f4a7c15>>54]
	if slot.s != s {
		n, ok := w.index[s]
		if !ok {
			w.words = append(w.words, s)
			n = uint64(len(w.words))
			w.index[s] = n
		}
		slot.s, slot.n = s, n
	}
	w.body = binary.AppendUvarint(w.body, slot.n)
}

func (w *batchWriter) time(t time.Time) {
	ms := t.UnixMilli()
	w.body = binary.AppendVarint(w.body, ms-w.last)
	w.last = ms
}

func (w *batchWriter) addr(a netip.Addr) {
	switch {
	case !a.IsValid():
		w.body = append(w.body, 0)
	case a.Is4():
		b := a.As4()
		w.body = append(append(w.body, 4), b[:]...)
	default:
		b := a.As16()
		w.body = append(append(w.body, 16), b[:]...)
	}
}

// DecodeBatch is the other half. It accepts any input, and bounds what it makes by
// the input's length.
func DecodeBatch(data []byte) (*Batch, error) {
	r := batchReader{data: data}
	if r.byte() != batchVersion {
		return nil, errBatch()
	}
	n := r.count(1)
	r.words = make([]string, 1, n+1)
	var text strings.Builder
	text.Grow(len(data))
	for range n {
		size := r.count(1)
		start := text.Len()
		text.Write(r.take(size))
		r.words = append(r.words, text.String()[start:])
	}
	b := &Batch{}
	if n := r.count(minAccess); n > 0 {
		b.Access = make([]muster.AccessRecord, n)
	}
	for i := range b.Access {
		a := &b.Access[i]
		a.Account = r.text()
		a.At = r.time()
		a.IP = r.addr()
		if p := r.take(2); len(p) == 2 {
			a.Port = binary.LittleEndian.Uint16(p)
		}
		a.Actor = r.text()
		a.Action = r.text()
		a.Surface = r.text()
		a.Device = r.text()
		a.Country = muster.Country(r.text())
		a.Network = muster.Network(r.byte())
		if r.bad {
			return nil, errBatch()
		}
	}
	if n := r.count(minLease); n > 0 {
		b.Leases = make([]muster.LeaseRecord, n)
	}
	for i := range b.Leases {
		l := &b.Leases[i]
		l.Account = r.text()
		l.Resource = r.text()
		l.Prefix = netip.PrefixFrom(r.addr(), int(r.byte())-1)
		if !l.Prefix.IsValid() {
			l.Prefix = netip.Prefix{}
		}
		l.Name = r.text()
		l.PortFrom, l.PortTo = r.port(), r.port()
		l.From = r.time()
		if r.byte() != 0 {
			l.Until = r.time()
		}
		l.Source = r.text()
		l.Precision = r.text()
		if r.bad {
			return nil, errBatch()
		}
	}
	if r.bad || r.at != len(data) {
		return nil, errBatch()
	}
	return b, nil
}

func errBatch() error { return muster.Errorf(muster.CodeMalformed, "a batch of records is damaged") }

// batchReader reads; after the first fault everything is zero and bad is set.
type batchReader struct {
	data  []byte
	at    int
	words []string
	last  int64
	bad   bool
}

func (r *batchReader) fail() { r.bad, r.at = true, len(r.data) }

func (r *batchReader) byte() byte {
	if r.at >= len(r.data) {
		r.fail()
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *batchReader) uvarint() uint64 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return uint64(r.data[r.at-1])
	}
	x, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return x
}

// count reads how many things of at least size bytes follow.
func (r *batchReader) count(size int) int {
	n := r.uvarint()
	if n > uint64((len(r.data)-r.at)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *batchReader) take(n int) []byte {
	if n > len(r.data)-r.at {
		r.fail()
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *batchReader) text() string {
	n := r.uvarint()
	if n >= uint64(len(r.words)) {
		r.fail()
		return ""
	}
	return r.words[n]
}

func (r *batchReader) time() time.Time {
	d, n := binary.Varint(r.data[r.at:])
	if n <= 0 {
		r.fail()
		return time.Time{}
	}
	r.at += n
	r.last += d
	return time.UnixMilli(r.last).UTC()
}

func (r *batchReader) port() uint16 {
	n := r.uvarint()
	if n > 0xffff {
		r.fail()
	}
	return uint16(n)
}

func (r *batchReader) addr() netip.Addr {
	switch r.byte() {
	case 0:
	case 4:
		if b := r.take(4); len(b) == 4 {
			return netip.AddrFrom4([4]byte(b))
		}
	case 16:
		if b := r.take(16); len(b) == 16 {
			return netip.AddrFrom16([16]byte(b))
		}
	default:
		r.fail()
	}
	return netip.Addr{}
}
