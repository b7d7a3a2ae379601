package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

// A decoder that was written from docs/formats/ledger.md alone: it shares nothing
// with the package but the nouns, and has the page's numbers, not its constants.

type specCoder struct {
	in   []byte
	rng  uint32
	code uint32
	p    []uint32
	n    []uint32
	over int
}

func newSpecCoder(in []byte, contexts int, start []byte) *specCoder {
	c := &specCoder{in: in, rng: 0xffffffff, p: make([]uint32, contexts), n: make([]uint32, contexts)}
	for i := range c.p {
		c.p[i] = 1 << 21
		if start != nil {
			x := binary.LittleEndian.Uint16(start[2*i:])
			c.p[i], c.n[i] = max(uint32(x>>4), 1)<<10, uint32(x&15)*2
		}
	}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

func (c *specCoder) next() byte {
	if len(c.in) == 0 {
		if c.over++; c.over > 8 {
			panic("read past the end")
		}
		return 0
	}
	b := c.in[0]
	c.in = c.in[1:]
	return b
}

func (c *specCoder) normal() {
	for c.rng < 1<<24 {
		c.rng <<= 8
		c.code = c.code<<8 | uint32(c.next())
	}
}

func (c *specCoder) bit(ctx int) int {
	q := max(c.p[ctx]>>10, 1)
	bound := (c.rng >> 12) * q
	r := uint64(655360 / (10*c.n[ctx] + 16))
	b := 0
	if c.code < bound {
		c.rng = bound
		c.p[ctx] += uint32(uint64(1<<22-1-c.p[ctx]) * r >> 16)
	} else {
		b = 1
		c.code -= bound
		c.rng -= bound
		c.p[ctx] -= uint32(uint64(c.p[ctx]) * r >> 16)
	}
	if c.n[ctx] < 30 {
		c.n[ctx]++
	}
	c.normal()
	return b
}

func (c *specCoder) direct(k int) (v uint64) {
	for k > 0 {
		g := min(k, 8)
		k -= g
		c.rng >>= g
		x := min(c.code/c.rng, 1<<g-1)
		c.code -= x * c.rng
		c.normal()
		v = v<<g | uint64(x)
	}
	return v
}

func (c *specCoder) tree(base, k int) int {
	at := 1
	for range k {
		at = 2*at + c.bit(base+at)
	}
	return at - 1<<k
}

func (c *specCoder) numberAt(lengths, mantissas int) uint64 {
	n := c.tree(lengths, 6)
	if n < 2 {
		return uint64(n)
	}
	v, at := uint64(1), 1
	for range min(n-1, 2) {
		b := c.bit(mantissas + 4*n + at)
		at = 2*at + b
		v = 2*v + uint64(b)
	}
	rest := n - 1 - min(n-1, 2)
	return v<<rest | c.direct(rest)
}

func (c *specCoder) number(ctx int) uint64 { return c.numberAt(ctx, ctx+64) }

func specSigned(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func (c *specCoder) text(ctx int) string {
	var b strings.Builder
	for range c.number(ctx) {
		b.WriteByte(byte(c.tree(ctx+320, 8)))
	}
	return b.String()
}

type specWords struct {
	list []string
	hit  int
}

func (w *specWords) word(c *specCoder, ctx, text int) string {
	if w.list == nil {
		w.list = []string{""}
	}
	w.hit = c.bit(ctx + w.hit)
	if w.hit == 0 {
		return w.list[0]
	}
	var s string
	if c.bit(ctx+2) == 0 {
		rank := int(c.number(ctx + 4))
		s = w.list[rank]
		w.list = slices.Delete(w.list, rank, rank+1)
	} else {
		s = c.text(text)
	}
	w.list = slices.Insert(w.list, 0, s)
	return s
}

type specEntry struct {
	addr    netip.Addr
	raw     [16]byte
	country string
	hints   int
	device  *uint64
}

func specAccess(data, start []byte, base int64) (out []muster.AccessRecord) {
	head, size := binary.Uvarint(data)
	n, mode := int(head>>2), int(head&3)
	c := newSpecCoder(data[size:], 7203, start)
	times, classes := make([]int64, n), make([]int, n)
	var b uint64
	l := func() uint64 {
		b = c.numberAt((12*mode+min(bits.Len64(b)/3, 11))*64, 3072+256*mode)
		return b
	}
	var anchor, period, least, t, step int64
	k := int64(-1)
	switch mode {
	case 2:
		anchor, period = int64(c.direct(33)), int64(c.direct(33))
	case 3:
		least = int64(c.direct(33))
	}
	for i := range times {
		was := t
		switch {
		case mode == 2:
			k += 1 + specSigned(c.number(4096))
			t = anchor + k*period + int64(l())
		case mode == 0 || i == 0:
			step = int64(l())
			t += step
		case mode == 1:
			step += specSigned(l())
			t += step
		case mode == 3:
			t += least + int64(l())
		}
		times[i] = t
		for _, edge := range []int64{1e3, 60e3, 900e3, 3 * 3600e3, 12 * 3600e3} {
			if t-was >= edge {
				classes[i]++
			}
		}
	}
	var list []*specEntry
	entries := make([]*specEntry, n)
	h := 0
	for i := range entries {
		if len(list) > 0 {
			o := c.bit(4416 + 6*h + classes[i])
			h = (2*h + o) % 4
			if o == 0 {
				entries[i] = list[0]
				continue
			}
		}
		if len(list) > 1 && c.bit(4440+min(bits.Len(uint(len(list)))-1, 7)) == 0 {
			rank := 1 + int(c.number(4448))
			entries[i] = list[rank]
			list = slices.Insert(slices.Delete(list, rank, rank+1), 0, entries[i])
			continue
		}
		e, near := &specEntry{}, &specEntry{}
		f := 2
		if len(list) > 0 {
			near, f = list[0], 0
			if near.addr.Is6() {
				f = 1
			}
		}
		family := c.bit(4768 + f)
		shared := c.tree(4771+16*family, 4)
		if shared > 0 {
			near = list[c.number(4803)]
			copy(e.raw[:shared], near.raw[:shared])
		}
		for j := shared; j < 4+4*family; j++ {
			e.raw[j] = byte(c.direct(8))
		}
		if family == 1 {
			from := 14
			if c.bit(5123) == 1 {
				from = 8
			}
			for j := from; j < 16; j++ {
				e.raw[j] = byte(c.direct(8))
			}
			e.addr = netip.AddrFrom16(e.raw)
		} else {
			e.addr = netip.AddrFrom4([4]byte(e.raw[:4]))
		}
		e.country, e.hints = near.country, near.hints
		if c.bit(5125+min(shared, 1)) == 1 {
			e.country = c.text(6627)
			e.hints = c.tree(5127, 3)
		}
		entries[i] = e
		list = slices.Insert(list, 0, e)
	}
	devices := []uint64{0}
	of := make([]uint64, n)
	var before uint64
	m := 0
	for i, e := range entries {
		guess, u := before, 1
		if e.device != nil {
			guess, u = *e.device, 0
		}
		some := 0
		if guess != 0 {
			some = 1
		}
		m = c.bit(5135 + 4*m + 2*u + some)
		d := guess
		switch {
		case m == 0:
			rank := slices.Index(devices, d)
			devices = slices.Delete(devices, rank, rank+1)
		case c.bit(5143+min(len(devices)-1, 1)) == 0:
			rank := int(c.number(5145))
			d = devices[rank]
			devices = slices.Delete(devices, rank, rank+1)
		default:
			d = c.direct(32)<<32 | c.direct(32)
		}
		devices = slices.Insert(devices, 0, d)
		e.device, before, of[i] = &d, d, d
	}
	out = make([]muster.AccessRecord, n)
	action := 0
	for i := range out {
		v := 0
		if i == 0 || entries[i] != entries[i-1] {
			v = 1
		}
		if action = c.tree(5465+256*v+16*min(action, 15), 4); action == 15 {
			action += int(c.direct(8))
		}
		e := entries[i]
		out[i] = muster.AccessRecord{
			At: time.UnixMilli(base + times[i]).UTC(), IP: e.addr, Country: muster.Country(e.country), Network: muster.Network(e.hints),
			Action: []string{"other", "login", "api", "console", "ssh", "sftp", "panel", "order", "change", "support"}[action],
		}
		if of[i] != 0 {
			out[i].Device = fmt.Sprintf("%016x", of[i])
		}
	}
	var surfaces, actors specWords
	for i := range out {
		out[i].Surface = surfaces.word(c, 5977, 6627)
	}
	for i := range out {
		out[i].Actor = actors.word(c, 6301, 6627)
	}
	port := 0
	for i := range out {
		if port = c.bit(6625 + port); port == 1 {
			out[i].Port = uint16(c.direct(16))
		}
	}
	return out
}

func specLeases(data []byte, base int64) (out []muster.LeaseRecord) {
	n, size := binary.Uvarint(data)
	c := newSpecCoder(data[size:], 3411, nil)
	var raw [16]byte
	var names, sources, precisions specWords
	from := base
	for range n {
		var l muster.LeaseRecord
		kind := c.tree(641, 2)
		l.Resource = []string{"address", "prefix", "host", "other"}[kind]
		from += specSigned(c.number(0))
		l.From = time.UnixMilli(from).UTC()
		if c.bit(640) == 1 {
			l.Until = time.UnixMilli(from + int64(c.number(320))).UTC()
		}
		if kind < 2 {
			family := c.bit(645)
			length := c.tree(646+256*family, 8)
			shared := c.tree(1158+32*family, 5)
			var next [16]byte
			copy(next[:shared], raw[:shared])
			for j := shared; j < 4+12*family; j++ {
				next[j] = byte(c.direct(8))
			}
			raw = next
			if family == 1 {
				l.Prefix = netip.PrefixFrom(netip.AddrFrom16(raw), length)
			} else {
				l.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte(raw[:4])), length)
			}
			if c.bit(1222) == 1 {
				l.PortFrom = uint16(c.number(1223))
				l.PortTo = l.PortFrom + uint16(c.number(1543))
			}
		}
		l.Name = names.word(c, 1863, 2835)
		l.Source = sources.word(c, 2187, 2835)
		l.Precision = precisions.word(c, 2511, 2835)
		out = append(out, l)
	}
	return out
}

func specBlock(data []byte) (out []posting) {
	n, size := binary.Uvarint(data[1:])
	at := 1 + size
	numberBits, k := int(data[at+1]), int(data[at+2])
	tag, size := binary.Uvarint(data[at+3:])
	body := data[at+3+size:]
	pos := 0
	bit := func() uint64 {
		b := body[pos/8] >> (7 - pos%8) & 1
		pos++
		return uint64(b)
	}
	many := func(k int) (v uint64) {
		for range k {
			v = 2*v + bit()
		}
		return v
	}
	out = make([]posting, n)
	for i := range out {
		out[i].number = uint32(many(numberBits))
	}
	for i := range out {
		q := uint64(0)
		for bit() == 1 {
			q++
		}
		tag += q<<k | many(k)
		out[i].tag = tag
	}
	c := newSpecCoder(body[(pos+7)/8:], 70, nil)
	for i := range out {
		if c.bit(0) == 0 {
			out[i].days = 1 << c.tree(2, 5)
			continue
		}
		d := c.tree(34, 5)
		out[i].days = 1 << d
		two := 1
		for d++; d < 31; d++ {
			b := c.bit(66 + two)
			out[i].days |= uint32(b) << d
			two = (2*two + b) % 4
		}
	}
	return out
}

func TestSpecification(t *testing.T) {
	t.Parallel()
	start, err := os.ReadFile("access.v1")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/formats/ledger.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(start); !strings.Contains(string(page), hex.EncodeToString(sum[:])) {
		t.Error("the page has another digest of access.v1: a new file is a new version of the format")
	}
	if got := len(muster.AccessActions); got < 10 || muster.AccessActions[9] != "support" {
		t.Error("the actions are another list: places in it are kept in chunks")
	}
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		if d := cmp.Diff(records, specAccess(EncodeAccess(nil, quarterStart, slices.Clone(records)), start, quarterStart.UnixMilli()), same...); len(records) > 0 && d != "" {
			t.Fatal(d)
		}
		leases := drawLeases(t)
		if d := cmp.Diff(leases, specLeases(encodeLeases(nil, quarterStart, leases), quarterStart.UnixMilli()), same...); len(leases) > 0 && d != "" {
			t.Fatal(d)
		}
		postings := drawPostings(t, 40)
		if d := cmp.Diff(postings, specBlock(encodeBlock(nil, postings, 40)), samePosting); d != "" {
			t.Fatal(d)
		}
	})
}
