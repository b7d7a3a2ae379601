package ledger

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// Leases are few beside access records: their chunk is by rows, with the same coder
// and even starting chances. docs/formats/ledger.md, "Leases".

const (
	ctxLeaseFrom   = 0
	ctxLeaseFor    = ctxLeaseFrom + lengthContexts + mantissaContexts
	ctxLeaseOpen   = ctxLeaseFor + lengthContexts + mantissaContexts
	ctxLeaseKind   = ctxLeaseOpen + 1
	ctxLeaseFamily = ctxLeaseKind + 4
	ctxLeaseBits   = ctxLeaseFamily + 1
	ctxLeaseShared = ctxLeaseBits + 2*256
	ctxLeasePorts  = ctxLeaseShared + 2*32
	ctxPortFrom    = ctxLeasePorts + 1
	ctxPortFor     = ctxPortFrom + lengthContexts + mantissaContexts
	ctxLeaseName   = ctxPortFor + lengthContexts + mantissaContexts
	ctxLeaseSource = ctxLeaseName + wordContexts
	ctxPrecision   = ctxLeaseSource + wordContexts
	ctxLeaseText   = ctxPrecision + wordContexts // as ctxText, for these words
	leaseContexts  = ctxLeaseText + textContexts
)

// compareLeases is the order of leases in a chunk.
func compareLeases(a, b *muster.LeaseRecord) int {
	return cmp.Or(a.From.Compare(b.From), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		cmp.Compare(a.PortFrom, b.PortFrom), cmp.Compare(a.PortTo, b.PortTo), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name))
}

// joinLeases sorts, and of several words on one lease keeps the one that came last.
func joinLeases(list []muster.LeaseRecord) []muster.LeaseRecord {
	slices.SortStableFunc(list, func(a, b muster.LeaseRecord) int { return compareLeases(&a, &b) })
	n := 0
	for i := range list {
		if i > 0 && compareLeases(&list[n-1], &list[i]) == 0 {
			list[n-1] = list[i]
			continue
		}
		list[n] = list[i]
		n++
	}
	return list[:n]
}

func evenStart(n int) []uint32 {
	probs := make([]uint32, n)
	for i := range probs {
		probs[i] = half
	}
	return probs
}

// encodeLeases appends the chunk of leases in order.
func encodeLeases(dst []byte, base time.Time, list []muster.LeaseRecord) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	c := writer(evenStart(leaseContexts), dst)
	codeLeases(&c, base, list)
	return c.finish(len(dst))
}

// decodeLeases reads it, without the account.
func decodeLeases(base time.Time, data []byte) ([]muster.LeaseRecord, error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > maxChunk || n > uint64(64+64*len(data)) {
		return nil, errChunk()
	}
	list := make([]muster.LeaseRecord, n)
	c := reader(evenStart(leaseContexts), data[size:])
	if !codeLeases(&c, base, list) {
		return nil, errChunk()
	}
	return list, nil
}

func codeLeases(c *coder, base time.Time, list []muster.LeaseRecord) (ok bool) {
	var buf [maxText]byte
	bad := false
	var names, sources, precisions words
	for _, w := range []*words{&names, &sources, &precisions} {
		w.reset(c, buf[:])
		w.text = ctxLeaseText
	}
	last := base.UnixMilli()
	var before [16]byte
	for i := range list {
		l := &list[i]
		kind := slices.Index(muster.LeaseResources, l.Resource)
		kind = c.tree(ctxLeaseKind, 2, max(kind, 0))
		d := unzigzag(c.number(ctxLeaseFrom, ctxLeaseFrom+lengthContexts, zigzag(l.From.UnixMilli()-last)))
		last += d
		ended := 0
		if !l.Until.IsZero() {
			ended = 1
		}
		ended = c.bit(ctxLeaseOpen, ended)
		length := int64(0)
		if ended == 1 {
			length = int64(c.number(ctxLeaseFor, ctxLeaseFor+lengthContexts, uint64(l.Until.UnixMilli()-l.From.UnixMilli())))
		}
		if c.read {
			if last < -1<<45 || last > 1<<45 || length < 0 || length > 1<<45 {
				return false
			}
			l.Resource = muster.LeaseResources[kind]
			l.From = time.UnixMilli(last).UTC()
			if ended == 1 {
				l.Until = time.UnixMilli(last + length).UTC()
			}
		}
		if kind < 2 { // an address or a prefix
			l.Prefix = codePrefix(c, l.Prefix, &before, &bad)
			ports := 0
			if l.PortFrom != 0 || l.PortTo != 0 {
				ports = 1
			}
			if c.bit(ctxLeasePorts, ports) == 1 {
				from := c.number(ctxPortFrom, ctxPortFrom+lengthContexts, uint64(l.PortFrom))
				more := c.number(ctxPortFor, ctxPortFor+lengthContexts, uint64(l.PortTo-l.PortFrom))
				if from > 0xffff || from+more > 0xffff {
					return false
				}
				l.PortFrom, l.PortTo = uint16(from), uint16(from+more)
			}
		}
		l.Name = names.code(ctxLeaseName, l.Name)
		l.Source = sources.code(ctxLeaseSource, l.Source)
		l.Precision = precisions.code(ctxPrecision, l.Precision)
		if bad || names.bad || sources.bad || precisions.bad || c.read && c.spent() {
			return false
		}
	}
	return true
}

// codePrefix codes a prefix by the bytes that it shares with the one before.
func codePrefix(c *coder, p netip.Prefix, before *[16]byte, bad *bool) netip.Prefix {
	six, bits := 0, 0
	var raw [16]byte
	if !c.read {
		bits = p.Bits()
		if p.Addr().Is6() {
			six, raw = 1, p.Addr().As16()
		} else {
			four := p.Addr().As4()
			copy(raw[:], four[:])
		}
	}
	six = c.bit(ctxLeaseFamily, six)
	size := 4 + 12*six
	bits = c.tree(ctxLeaseBits+six*256, 8, bits)
	shared := 0
	for !c.read && shared < size && raw[shared] == before[shared] {
		shared++
	}
	shared = c.tree(ctxLeaseShared+six*32, 5, shared)
	if shared > size || bits > 8*size {
		*bad = true
		return netip.Prefix{}
	}
	copy(raw[:shared], before[:shared])
	for i := shared; i < size; i++ {
		raw[i] = byte(c.direct(8, uint64(raw[i])))
	}
	*before = raw
	if six == 1 {
		return netip.PrefixFrom(netip.AddrFrom16(raw), bits)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(raw[:4])), bits)
}
