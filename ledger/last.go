package ledger

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// LastAccess answers when an account was used last; the zero time where no record is.
func (q *Questions) LastAccess(ctx context.Context, ask Ask, account string) (time.Time, error) {
	s, err := q.session(ctx, ask, "last_access", account)
	if err != nil {
		return time.Time{}, err
	}
	last, err := q.LastAccesses(ctx, s, []string{account})
	return last[account], err
}

// LastAccesses is LastAccess for a job: the clock of retention. Accounts without a
// record are absent.
func (q *Questions) LastAccesses(ctx context.Context, s *vault.Session, accounts []string) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		clear(last)
		holders, err := tx.HoldersOf(ctx, accounts)
		if err != nil {
			return err
		}
		for _, h := range holders {
			t, err := q.last(ctx, tx, s, h)
			if err != nil {
				return err
			}
			if !t.IsZero() {
				last[h.Account] = t
			}
		}
		want := Want{}
		if len(accounts) == 1 {
			want.Account = accounts[0]
		}
		asked := make(map[string]bool, len(accounts))
		for _, a := range accounts {
			asked[a] = true
		}
		unsealed := map[string]time.Time{}
		if err := q.Tail.Tail(ctx, s, tx, want, func(b *Batch) error {
			for i := range b.Access {
				if r := &b.Access[i]; asked[r.Account] && r.At.After(unsealed[r.Account]) {
					unsealed[r.Account] = r.At
				}
			}
			return nil
		}); err != nil {
			return err
		}
		here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
		for account, t := range unsealed {
			if here[account] && t.After(last[account]) {
				last[account] = t
			}
		}
		return err
	})
	return last, err
}

// last is the time of the last sealed record: from the latest quarter that has chunks
// of the account, those that can hold it.
func (q *Questions) last(ctx context.Context, tx Tx, s *vault.Session, h Holder) (last time.Time, err error) {
	for at := quarterOf(q.Clock().Add(muster.MaxAhead)); at >= 0; at-- {
		var rows []chunkRow
		before := missing(tx)
		for level := range 2 {
			from, through := chunkRange(Access, at, level, h.Number)
			if err := chunks(ctx, tx, from, through, func(id int64, blob []byte) error {
				rows = append(rows, chunkRow{id, blob})
				return nil
			}); err != nil {
				return last, err
			}
		}
		if missing(tx) > before {
			return last, nil
		}
		if len(rows) == 0 {
			first, err := tx.NextChunk(ctx, chunkID(Access, 0, 0, 0, 0, 0))
			if err != nil || first < 0 || parseChunkID(first).kind != Access || parseChunkID(first).quarter >= at {
				return last, err
			}
			continue
		}
		for _, row := range rows {
			head, _, err := parseChunkHead(row.blob)
			if err != nil {
				return last, err
			}
			key := parseChunkID(row.id)
			if !key.base().Add(time.Duration(head.hours+1) * time.Hour).After(last) {
				continue
			}
			plain, _, err := openChunk(ctx, s, h, row)
			if muster.ErrorCode(err) == muster.CodeGone {
				return last, nil
			}
			if err != nil {
				return last, err
			}
			records, err := decodeAccess(nil, key.base(), plain, window{})
			if err != nil {
				return last, err
			}
			if n := len(records); n > 0 && records[n-1].At.After(last) {
				last = records[n-1].At
			}
		}
		return last, nil
	}
	return last, nil
}
