package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/muster-cip/muster"
)

// write is the writer: it takes what waits and commits it together.
func (h *Hot) write() {
	for {
		select {
		case <-h.stop:
			return
		case first := <-h.queue:
			group := []*post{first}
			for n := first.records(); n < maxGroup; {
				select {
				case p := <-h.queue:
					group = append(group, p)
					n += p.records()
					continue
				default:
				}
				break
			}
			if err := h.commit(group); err != nil {
				for _, p := range group {
					if p.err == nil {
						p.receipt, p.err = Taken{}, err
					}
				}
			}
			for _, p := range group {
				close(p.done)
			}
		}
	}
}

// longestCommit is how long the writer waits for the store.
const longestCommit = time.Minute

// errOvertaken: another process had a turn since ours; its digests are read now.
var errOvertaken = errors.New("ledger: another process had a turn")

// commit writes a group. An error is of all that are not refused already.
func (h *Hot) commit(group []*post) error {
	// Not a caller's context: one that ends must not undo the others.
	ctx, cancel := context.WithTimeout(context.Background(), longestCommit)
	defer cancel()
	for tries := 0; ; tries++ {
		u := h.unite(group)
		if len(u.digests) == 0 { // all of it was there
			return nil
		}
		err := h.put(ctx, u)
		switch {
		case err == nil:
			for _, d := range u.digests {
				h.seen.add(d, u.now)
			}
			h.last = u.seq
			return nil
		case errors.Is(err, errOvertaken):
			if err := h.recall(ctx); err != nil {
				return err
			}
		case muster.ErrorCode(err) == muster.CodeStale: // the hour was closed: the next try is in another
		default:
			return err
		}
		if tries == 20 {
			return &muster.Error{Code: muster.CodeUnavailable, Message: "too many others write to the ledger", RetryAfter: time.Second, Cause: err}
		}
	}
}

// union is what a group adds to the ledger.
type union struct {
	known, unknown Batch
	wait           [][16]byte
	digests        [][16]byte
	now            time.Time
	seq            int64
}

// unite leaves out what was there already, and gives each post its receipt.
func (h *Hot) unite(group []*post) *union {
	u := &union{now: h.Clock()}
	fresh := map[[16]byte]bool{}
	there := func(p *post, d [16]byte) bool {
		if fresh[d] || h.seen.has(d) {
			return true
		}
		for _, other := range p.also[d] {
			if fresh[other] || h.seen.has(other) {
				return true
			}
		}
		return false
	}
	first := func(p *post, d [16]byte) bool {
		if there(p, d) {
			return false
		}
		fresh[d] = true
		u.digests = append(u.digests, d)
		return true
	}
	for _, p := range group {
		p.receipt, p.err = Taken{}, nil
		if there(p, p.body) {
			p.receipt.Duplicates = p.records()
			continue
		}
		if p.key != ([16]byte{}) {
			if there(p, p.key) {
				p.err = muster.Invalid(muster.Fault{Code: "idempotency_key", Detail: "this Idempotency-Key was used with another batch"})
				continue
			}
			first(p, p.key)
		}
		first(p, p.body)
		known, unknown := u.known.Records(), u.unknown.Records()
		if p.ids == nil {
			u.known.append(&p.known)
			u.unknown.append(&p.unknown)
		} else {
			ids := p.ids
			keep := func() bool {
				d := ids[0]
				ids = ids[1:]
				return d == ([16]byte{}) || first(p, d)
			}
			u.known.appendIf(&p.known, keep)
			u.unknown.appendIf(&p.unknown, keep)
		}
		if u.unknown.Records() > unknown {
			u.wait = append(u.wait, p.wait...)
		}
		p.receipt.Waiting = u.unknown.Records() - unknown
		p.receipt.Accepted = u.known.Records() - known + p.receipt.Waiting
		p.receipt.Duplicates = p.records() - p.receipt.Accepted
	}
	return u
}

// put writes a union: synced when it returns nil.
func (h *Hot) put(ctx context.Context, u *union) error {
	var hot *HotRow
	var plain []byte
	if n := u.known.Records(); n > 0 {
		plain = EncodeBatch(nil, &u.known)
		hot = &HotRow{Name: muster.NewID("hot_", u.now), Hour: hourOf(u.now), Made: u.now, Records: n}
		key, err := h.Vault.PeriodKey(ctx, hotPeriod(hot.Hour))
		if err != nil {
			return err
		}
		hot.Sealed = h.Vault.SealPeriod(key, hotPlace(hot.Name), plain)
	}
	var row *QuarantineRow
	if u.unknown.Records() > 0 {
		var err error
		if row, err = h.quarantine(ctx, &u.unknown, u.wait, u.now); err != nil {
			return err
		}
	}
	digests := make([]byte, 0, 16*len(u.digests))
	for i := range u.digests {
		digests = append(digests, u.digests[i][:]...)
	}
	var head HotHead
	err := h.DB.InTx(ctx, func(tx HotTx) (err error) {
		if u.seq, err = tx.TakeTurn(ctx); err != nil {
			return err
		}
		if u.seq != h.last+1 {
			return muster.Errorf(muster.CodeStale, "it was overtaken: %w", errOvertaken)
		}
		if hot != nil {
			if err := open(ctx, tx, hot.Hour); err != nil {
				return err
			}
			hot.Seq = u.seq
			if err := tx.AddHot(ctx, hot); err != nil {
				return err
			}
		}
		if row != nil {
			row.Seq = u.seq
			if err := tx.AddQuarantine(ctx, row); err != nil {
				return err
			}
		}
		if err := tx.AddSeen(ctx, u.seq, digests); err != nil {
			return err
		}
		head, err = tx.HotHead(ctx)
		return err
	})
	if err != nil {
		return err
	}
	h.head.Store(&head)
	if hot != nil {
		h.tail.add(u.seq, plain, &u.known)
	}
	h.tail.drop(head.Sealed)
	if row != nil {
		h.wait.Add(int64(row.Records))
	}
	return nil
}

// open refuses an hour whose key may be gone.
func open(ctx context.Context, tx HotTx, hour int64) error {
	closed, err := tx.ClosedHour(ctx)
	if err != nil {
		return err
	}
	if closed >= hour {
		return muster.Errorf(muster.CodeStale, "the hour was closed")
	}
	return nil
}

// recall reads the digests of turns that this process has not seen.
func (h *Hot) recall(ctx context.Context) error {
	since := h.Clock().Add(-2 * h.Remember)
	for {
		var rows []SeenRow
		if err := h.DB.View(ctx, func(tx HotTx) (err error) {
			rows, err = tx.SeenSince(ctx, h.last, 200)
			return err
		}); err != nil {
			return err
		}
		for i := range rows {
			h.last = rows[i].Seq
			if rows[i].Made.Before(since) {
				continue
			}
			for d := rows[i].Digests; len(d) >= 16; d = d[16:] {
				h.seen.add([16]byte(d), rows[i].Made)
			}
		}
		if len(rows) < 200 {
			break
		}
	}
	return nil
}
