package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Quarantine: records of accounts that nobody knows wait sealed under the key of the
// day on which they came. They are claimed when the account appears, and go when they
// have waited long enough; the day's key goes with the last of them.

// quarantine seals what waits.
func (h *Hot) quarantine(ctx context.Context, b *Batch, accounts [][16]byte, made time.Time) (*QuarantineRow, error) {
	r := &QuarantineRow{Name: muster.NewID("qua_", made), Made: made, Records: b.Records(), Accounts: accounts}
	key, err := h.Vault.PeriodKey(ctx, vault.PeriodAt(vault.UseQuarantine, made))
	if err != nil {
		return nil, err
	}
	r.Sealed = h.Vault.SealPeriod(key, quarantinePlace(r.Name), EncodeBatch(nil, b))
	return r, nil
}

// claimOverlap is how far back accounts are looked at again: a batch that found its
// account unknown may be committed a little after the account was.
const claimOverlap = 2 * time.Minute

// Claim moves the records of accounts that have appeared from quarantine to the hot
// end, and returns how many. A standing duty: every few seconds.
func (h *Hot) Claim(ctx context.Context) (claimed int, err error) {
	if h.wait.Load() == 0 {
		return 0, h.look(ctx)
	}
	after := h.claimed
	if after == "" { // the first time: everybody since the oldest came
		var c QuarantineCount
		if err := h.DB.View(ctx, func(tx HotTx) error { c, err = tx.QuarantineCount(ctx); return err }); err != nil {
			return 0, err
		}
		after = accountsAt(c.Oldest.Add(-claimOverlap))
	}
	for {
		references, last, err := h.Accounts.NewAccounts(ctx, after, 200)
		if err != nil {
			return claimed, err
		}
		n, err := h.claim(ctx, references)
		claimed += n
		if err != nil {
			return claimed, err
		}
		if len(references) < 200 {
			break
		}
		after = last
	}
	h.claimed = accountsAt(h.Clock().Add(-claimOverlap))
	return claimed, h.look(ctx)
}

// accountsAt is the lowest id of an account made at t.
func accountsAt(t time.Time) string {
	id := muster.NewID(muster.PrefixAccount, t)
	return id[:len(muster.PrefixAccount)+10] // the time
}

func (h *Hot) claim(ctx context.Context, references []string) (claimed int, err error) {
	var digests [][16]byte
	for _, k := range h.Vault.RecordKeys() {
		for _, r := range references {
			var d [16]byte
			k.Digest(&d, "waiting account", []byte(r))
			digests = append(digests, d)
		}
	}
	for {
		var rows []QuarantineRow
		if err := h.DB.View(ctx, func(tx HotTx) error { rows, err = tx.Waiting(ctx, digests, 50); return err }); err != nil || len(rows) == 0 {
			return claimed, err
		}
		ids, err := h.Accounts.AccountIDs(ctx, references)
		if err != nil {
			return claimed, err
		}
		s, err := h.Vault.Use(ctx, vault.Job{Name: "ledger.claim", Purpose: "ledger", Scope: "records that waited for their account"}, h.Recorder)
		if err != nil {
			return claimed, err
		}
		n := 0
		for i := range rows {
			var moved int
			if moved, err = h.split(ctx, s, &rows[i], ids); err != nil {
				break
			}
			n += moved
		}
		claimed += n
		if err := errors.Join(err, s.End(ctx, n)); err != nil {
			return claimed, err
		}
		if n == 0 { // digests without records: a reference that is not theirs
			return claimed, nil
		}
	}
}

// split moves what belongs to known accounts out of one batch of quarantine. What
// stays keeps the day on which it came.
func (h *Hot) split(ctx context.Context, s *vault.Session, row *QuarantineRow, ids map[string]string) (moved int, err error) {
	plain, err := s.OpenPeriod(ctx, vault.PeriodAt(vault.UseQuarantine, row.Made), quarantinePlace(row.Name), row.Sealed)
	if muster.ErrorCode(err) == muster.CodeGone {
		return 0, nil // its time is over
	}
	if err != nil {
		return 0, err
	}
	b, err := DecodeBatch(plain)
	if err != nil {
		return 0, err
	}
	var known, unknown Batch
	for i := range b.Access {
		if id := ids[b.Access[i].Account]; id != "" {
			b.Access[i].Account = id
			known.Access = append(known.Access, b.Access[i])
		} else {
			unknown.Access = append(unknown.Access, b.Access[i])
		}
	}
	for i := range b.Leases {
		if id := ids[b.Leases[i].Account]; id != "" {
			b.Leases[i].Account = id
			known.Leases = append(known.Leases, b.Leases[i])
		} else {
			unknown.Leases = append(unknown.Leases, b.Leases[i])
		}
	}
	var rest *QuarantineRow
	if unknown.Records() > 0 {
		if rest, err = h.quarantine(ctx, &unknown, h.references(&unknown), row.Made); err != nil {
			return 0, err
		}
	}
	if known.Records() == 0 {
		return 0, nil
	}
	now := h.Clock()
	hot := &HotRow{Name: muster.NewID("hot_", now), Hour: hourOf(now), Made: now, Records: known.Records()}
	key, err := h.Vault.PeriodKey(ctx, hotPeriod(hot.Hour))
	if err != nil {
		return 0, err
	}
	hot.Sealed = h.Vault.SealPeriod(key, hotPlace(hot.Name), EncodeBatch(nil, &known))
	err = h.DB.InTx(ctx, func(tx HotTx) error {
		seq, err := tx.TakeTurn(ctx)
		if err != nil {
			return err
		}
		if err := open(ctx, tx, hot.Hour); err != nil {
			return err
		}
		if err := tx.DropQuarantine(ctx, row.Seq); err != nil {
			return err
		}
		hot.Seq = seq
		if err := tx.AddHot(ctx, hot); err != nil {
			return err
		}
		if rest != nil {
			rest.Seq = seq
			if err := tx.AddQuarantine(ctx, rest); err != nil {
				return err
			}
		}
		return tx.AddSeen(ctx, seq, nil)
	})
	if muster.ErrorCode(err) == muster.CodeStale { // another process was first, or the hour ended: the next run sees
		return 0, nil
	}
	return known.Records(), err
}

// Expire ends what has waited long enough, destroys the keys of days that are over
// with it, and forgets digests that are past their time. It returns how many records
// went. A standing duty: hourly.
func (h *Hot) Expire(ctx context.Context) (gone int64, err error) {
	now := h.Clock()
	before := now.Add(-h.Keep)
	if err := h.DB.InTx(ctx, func(tx HotTx) error {
		if gone, err = tx.ExpireQuarantine(ctx, before); err != nil {
			return err
		}
		return tx.ForgetSeen(ctx, now.Add(-2*h.Remember))
	}); err != nil {
		return 0, err
	}
	days, err := h.Vault.Periods(ctx, vault.UseQuarantine)
	if err != nil {
		return gone, err
	}
	last := vault.PeriodAt(vault.UseQuarantine, before).Name
	var over []vault.Period
	for _, d := range days {
		if d.Name < last {
			over = append(over, d)
		}
	}
	if err := h.Vault.DestroyPeriods(ctx, over...); err != nil {
		return gone, err
	}
	return gone, h.look(ctx)
}

// Unsealed is how many records wait for the sealer, as of the last commit or look.
func (h *Hot) Unsealed() int64 { return h.head.Load().Records }

// Standing is how the hot end stands, for doctor and metrics.
func (h *Hot) Standing(ctx context.Context) (head HotHead, waiting QuarantineCount, err error) {
	err = h.DB.View(ctx, func(tx HotTx) error {
		if head, err = tx.HotHead(ctx); err != nil {
			return err
		}
		waiting, err = tx.QuarantineCount(ctx)
		return err
	})
	return head, waiting, err
}
