package ledger

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// tail keeps batches that are not sealed yet in this process's memory, so that a
// question need not open each of them: their encoding, and small hashes of the
// addresses and accounts in it. What is missing here (after a start, and of other
// processes) is read from the store.
type tail struct {
	mu      sync.Mutex
	batches []tailBatch // by seq, rising
}

type tailBatch struct {
	seq    int64
	plain  []byte
	hashes []uint32 // of addresses and accounts, sorted, each once
	all    bool     // holds a prefix: may answer for any address
}

// tailSeed keeps the hashes this process's own.
var tailSeed = maphash.MakeSeed()

// networkOf is the address as it is indexed: IPv6 by /64.
func networkOf(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func hashAddr(a netip.Addr) uint32 {
	b := networkOf(a).As16()
	return uint32(binary.LittleEndian.Uint64(b[:8])*0x9e3779b97f4a7c15>>32) ^ uint32(binary.LittleEndian.Uint64(b[8:])*0xff51afd7ed558ccd>>32)
}

func hashAccount(s string) uint32 { return uint32(maphash.String(tailSeed, s)) }

func newTailBatch(seq int64, plain []byte, b *Batch) tailBatch {
	t := tailBatch{seq: seq, plain: plain, hashes: make([]uint32, 0, 64)}
	var lastAccount string
	var lastIP netip.Addr
	add := func(account string, ip netip.Addr) {
		if account != lastAccount {
			t.hashes = append(t.hashes, hashAccount(account))
			lastAccount = account
		}
		if ip != lastIP {
			t.hashes = append(t.hashes, hashAddr(ip))
			lastIP = ip
		}
	}
	for i := range b.Access {
		add(b.Access[i].Account, b.Access[i].IP)
	}
	for i := range b.Leases {
		p := b.Leases[i].Prefix
		if p.IsValid() && !p.IsSingleIP() {
			t.all = true
		}
		add(b.Leases[i].Account, p.Addr())
	}
	slices.Sort(t.hashes)
	t.hashes = slices.Clip(slices.Compact(t.hashes))
	return t
}

func (t *tail) add(seq int64, plain []byte, b *Batch) {
	batch := newTailBatch(seq, plain, b)
	t.mu.Lock()
	defer t.mu.Unlock()
	at, there := slices.BinarySearchFunc(t.batches, seq, func(x tailBatch, seq int64) int { return int(x.seq - seq) })
	if !there {
		t.batches = slices.Insert(t.batches, at, batch)
	}
}

// drop forgets what is sealed.
func (t *tail) drop(sealed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.batches) && t.batches[n].seq <= sealed {
		n++
	}
	if n > 0 {
		t.batches = append([]tailBatch(nil), t.batches[n:]...)
	}
}

// between returns the batches that it has of a range.
func (t *tail) between(after, through int64) []tailBatch {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []tailBatch
	for _, b := range t.batches {
		if b.seq > after && b.seq <= through {
			out = append(out, b)
		}
	}
	return out
}

// Want says what a question is about: an address, or an account. Neither: everything.
type Want struct {
	IP      netip.Addr // IPv6: its /64
	Account string     // id
}

// Tail calls each for every batch that is not sealed yet, in the order of commits, and
// may hold what is wanted. tx is the snapshot in which the sealed records are read too,
// so that a record is in one of both. s opens what this process has not in memory.
func (h *Hot) Tail(ctx context.Context, s *vault.Session, tx HotTx, want Want, each func(*Batch) error) error {
	head, err := tx.HotHead(ctx)
	if err != nil {
		return err
	}
	h.tail.drop(head.Sealed)
	have := h.tail.between(head.Sealed, head.Seq)
	if int64(len(have)) < head.Batches {
		if have, err = h.fill(ctx, s, tx, head, have); err != nil {
			return err
		}
	}
	for i := range have {
		if !have[i].mayHold(want) {
			continue
		}
		b, err := DecodeBatch(have[i].plain)
		if err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return nil
}

func (b *tailBatch) mayHold(w Want) bool {
	holds := func(h uint32) bool {
		_, there := slices.BinarySearch(b.hashes, h)
		return there
	}
	switch {
	case w.IP.IsValid() && !b.all && !holds(hashAddr(w.IP)):
		return false
	case w.Account != "" && !holds(hashAccount(w.Account)):
		return false
	}
	return true
}

// fill reads what is missing.
func (h *Hot) fill(ctx context.Context, s *vault.Session, tx HotTx, head HotHead, have []tailBatch) ([]tailBatch, error) {
	var out []tailBatch
	for after := head.Sealed; after < head.Seq; {
		// Numbers without a batch are turns that brought none: a gap says nothing.
		rows, err := tx.HotRows(ctx, after, 100)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			after = rows[i].Seq
			for len(have) > 0 && have[0].seq < after {
				have = have[1:]
			}
			if len(have) > 0 && have[0].seq == after {
				out = append(out, have[0])
				continue
			}
			plain, err := s.OpenPeriod(ctx, hotPeriod(rows[i].Hour), hotPlace(rows[i].Name), rows[i].Sealed)
			if err != nil {
				return nil, err
			}
			b, err := DecodeBatch(plain)
			if err != nil {
				return nil, err
			}
			h.tail.add(after, plain, b)
			out = append(out, newTailBatch(after, plain, b))
		}
		if len(rows) < 100 {
			break
		}
	}
	if int64(len(out)) != head.Batches {
		return nil, muster.Errorf(muster.CodeInternal, "the unsealed records do not add up: %d batches of %d", len(out), head.Batches)
	}
	return out, nil
}
