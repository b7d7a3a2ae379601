package store

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

// The sealed end of the ledger. Rows are read by ranges of their numbers, which say
// where they belong: see package ledger.

var _ ledger.DB = LedgerAs[ledger.Tx](nil)

// ClosedHour is the last hour whose key may be gone; it stays so until this
// transaction ends.
func (tx *LedgerTx) ClosedHour(ctx context.Context) (int64, error) {
	return one(ctx, tx.tx, "state of the ledger", scanInt, `SELECT closed_hour FROM ledger_state WHERE one = 1`+forShare)
}

// OldestHot is the lowest hour of a batch.
func (tx *LedgerTx) OldestHot(ctx context.Context) (int64, error) {
	return one(ctx, tx.tx, "count", scanInt, `SELECT coalesce(min(hour), ?) FROM hot`, int64(math.MaxInt64))
}

// State reads the bookkeeping.
func (tx *LedgerTx) State(ctx context.Context) (ledger.State, error) {
	return one(ctx, tx.tx, "state of the ledger", func(r row) (s ledger.State, err error) {
		var six int64
		err = r.scan(&s.Fence, &s.ClosedHour, &s.Generation, &s.NextNumber, &s.Carried, &s.Lengths4, &six, &s.Erased, &s.Holder)
		s.Lengths6 = uint64(six)
		return s, err
	}, `SELECT fence, closed_hour, generation, next_number, carried, lengths4, lengths6, erased, holder FROM ledger_state WHERE one = 1`)
}

// PutState writes it; CodeStale where the fence is another's.
func (tx *LedgerTx) PutState(ctx context.Context, s ledger.State) error {
	return tx.tx.exec(ctx, errStale, `UPDATE ledger_state SET closed_hour = ?, generation = ?, next_number = ?, carried = ?, lengths4 = ?, lengths6 = ?
		WHERE one = 1 AND fence = ?`, s.ClosedHour, s.Generation, s.NextNumber, s.Carried, s.Lengths4, int64(s.Lengths6), s.Fence)
}

// PutErased notes since when an erasure waits for compaction.
func (tx *LedgerTx) PutErased(ctx context.Context, at time.Time) error {
	return tx.tx.exec(ctx, nil, `UPDATE ledger_state SET erased = ? WHERE one = 1`, at)
}

// Lease takes or keeps the right to seal and compact. Where gone has it, nobody waits for its end.
func (tx *LedgerTx) Lease(ctx context.Context, holder, gone string, until time.Time) (fence int64, err error) {
	taken := false
	err = tx.tx.change(ctx, func(r row) error { taken = true; return r.scan(&fence) }, `UPDATE ledger_state
		SET fence = CASE WHEN holder = ? THEN fence ELSE fence + 1 END, holder = ?, lease_until = ?
		WHERE one = 1 AND (holder IN (?, ?) OR lease_until < ?) RETURNING fence`, holder, holder, until, holder, gone, tx.tx.now)
	if err == nil && !taken {
		err = muster.Errorf(muster.CodeConflict, "another process seals the ledger")
	}
	return fence, err
}

const readHolder = `SELECT number, account, subject, sealed_under FROM holders`

func scanHolder(r row) (h ledger.Holder, err error) {
	return h, r.scan(&h.Number, &h.Account, &h.Subject, &h.KeyID)
}

// HoldersOf are the holders of accounts; unknown ones are absent.
func (tx *LedgerTx) HoldersOf(ctx context.Context, accounts []string) (found []ledger.Holder, err error) {
	return found, inLists(accounts, func(marks string, args []any) error {
		rows, err := all(ctx, tx.tx, scanHolder, readHolder+` WHERE account IN `+marks, args...)
		found = append(found, rows...)
		return err
	})
}

// HoldersNumbered are the holders of numbers; those that lead nowhere are absent.
func (tx *LedgerTx) HoldersNumbered(ctx context.Context, numbers []int64) (found []ledger.Holder, err error) {
	return found, inLists(numbers, func(marks string, args []any) error {
		rows, err := all(ctx, tx.tx, scanHolder, readHolder+` WHERE number IN `+marks, args...)
		found = append(found, rows...)
		return err
	})
}

// HoldersAfter are holders past a number, in rising order, at most limit.
func (tx *LedgerTx) HoldersAfter(ctx context.Context, number int64, limit int) ([]ledger.Holder, error) {
	return all(ctx, tx.tx, scanHolder, readHolder+` WHERE number > ? ORDER BY number LIMIT ?`, number, limit)
}

// AddHolder gives an account its number.
func (tx *LedgerTx) AddHolder(ctx context.Context, h ledger.Holder) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO holders (number, account, subject, sealed_under) VALUES (?, ?, ?, ?)`, h.Number, h.Account, h.Subject, h.KeyID)
}

// DropHolder makes a number lead nowhere.
func (tx *LedgerTx) DropHolder(ctx context.Context, number int64) error {
	return tx.tx.exec(ctx, nil, `DELETE FROM holders WHERE number = ?`, number)
}

func blobs(each func(int64, []byte) error) func(row) error {
	return func(r row) error {
		var id int64
		var blob []byte
		if err := r.scan(&id, &blob); err != nil {
			return err
		}
		return each(id, blob)
	}
}

const readChunk = `SELECT id, blob, coalesce(volume, 0), coalesce(start, 0), coalesce(size, 0) FROM chunks`

func chunkRows(each func(ledger.Chunk) error) func(row) error {
	return func(r row) error {
		var c ledger.Chunk
		if err := r.scan(&c.ID, &c.Blob, &c.Volume, &c.Start, &c.Size); err != nil {
			return err
		}
		return each(c)
	}
}

// Chunks reads chunks by a range of ids, rising.
func (tx *LedgerTx) Chunks(ctx context.Context, from, through int64, each func(ledger.Chunk) error) error {
	return tx.tx.query(ctx, chunkRows(each), readChunk+` WHERE id BETWEEN ? AND ? ORDER BY id`, from, through)
}

// NextChunk is the lowest id from one on; -1 where there is none.
func (tx *LedgerTx) NextChunk(ctx context.Context, from int64) (int64, error) {
	return one(ctx, tx.tx, "count", scanInt, `SELECT coalesce(min(id), -1) FROM chunks WHERE id >= ?`, from)
}

// PutChunk writes a chunk.
func (tx *LedgerTx) PutChunk(ctx context.Context, id int64, blob []byte) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO chunks (id, blob) VALUES (?, ?)`, id, blob)
}

// DropChunk deletes one; CodeStale where it is gone.
func (tx *LedgerTx) DropChunk(ctx context.Context, id int64) error {
	return tx.tx.exec(ctx, errStale, `DELETE FROM chunks WHERE id = ?`, id)
}

// DropChunks deletes a range.
func (tx *LedgerTx) DropChunks(ctx context.Context, from, through int64) error {
	return tx.tx.exec(ctx, nil, `DELETE FROM chunks WHERE id BETWEEN ? AND ?`, from, through)
}

// Runs are the runs of a range of ids, rising.
func (tx *LedgerTx) Runs(ctx context.Context, from, through int64) ([]ledger.Run, error) {
	return all(ctx, tx.tx, func(r row) (x ledger.Run, err error) { return x, r.scan(&x.ID, &x.Bits, &x.Postings) },
		`SELECT id, bits, postings FROM index_runs WHERE id BETWEEN ? AND ? ORDER BY id`, from, through)
}

// PutRun writes a run.
func (tx *LedgerTx) PutRun(ctx context.Context, x ledger.Run) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO index_runs (id, bits, postings) VALUES (?, ?, ?)`, x.ID, x.Bits, x.Postings)
}

// DropRun deletes a run; CodeStale where it is gone.
func (tx *LedgerTx) DropRun(ctx context.Context, id int64) error {
	return tx.tx.exec(ctx, errStale, `DELETE FROM index_runs WHERE id = ?`, id)
}

// Block is the row with the highest id in a range; id is -1 where there is none.
func (tx *LedgerTx) Block(ctx context.Context, from, through int64) (id int64, blob []byte, err error) {
	id = -1
	err = tx.tx.query(ctx, blobs(func(n int64, b []byte) error { id, blob = n, b; return nil }),
		`SELECT id, blob FROM index_blocks WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1`, from, through)
	return id, blob, err
}

// Blocks reads blocks by a range of ids, rising.
func (tx *LedgerTx) Blocks(ctx context.Context, from, through int64, each func(int64, []byte) error) error {
	return tx.tx.query(ctx, blobs(each), `SELECT id, blob FROM index_blocks WHERE id BETWEEN ? AND ? ORDER BY id`, from, through)
}

// PutBlock writes a block.
func (tx *LedgerTx) PutBlock(ctx context.Context, id int64, blob []byte) error {
	return tx.tx.exec(ctx, nil, `INSERT INTO index_blocks (id, blob) VALUES (?, ?)`, id, blob)
}

// DropBlocks deletes a range.
func (tx *LedgerTx) DropBlocks(ctx context.Context, from, through int64) error {
	return tx.tx.exec(ctx, nil, `DELETE FROM index_blocks WHERE id BETWEEN ? AND ?`, from, through)
}

// AccountHolders says whose key each account's records are sealed under: its
// customer's own. Accounts that are erased or unknown are absent.
func (a LedgerAccounts) AccountHolders(ctx context.Context, accounts []string) (found []ledger.Holder, err error) {
	err = a.db.View(ctx, func(tx *Tx) error {
		of := map[string][]string{} // accounts, by customer
		if err := tx.pairs(ctx, accounts, "id", `SELECT id, customer FROM accounts WHERE %s`, func(id, customer string) {
			of[customer] = append(of[customer], id)
		}); err != nil {
			return err
		}
		// Not joined: while PostgreSQL has no statistics of subjects, it goes through all of
		// them for each account.
		var q []asked
		about(&q, slices.Sorted(maps.Keys(of)), "customer", `SELECT customer, id, sealed_under FROM subjects WHERE role = 'customer' AND erased = 0 AND %s`,
			func(r row) (h ledger.Holder, err error) { return h, r.scan(&h.Account, &h.Subject, &h.KeyID) },
			func(h ledger.Holder) {
				for _, id := range of[h.Account] {
					found = append(found, ledger.Holder{Account: id, Subject: h.Subject, KeyID: h.KeyID})
				}
			})
		return tx.ask(ctx, q)
	})
	return found, err
}

// AccountCustomers leads from accounts to their customers; unknown ones are absent.
func (a LedgerAccounts) AccountCustomers(ctx context.Context, accounts []string) (map[string]string, error) {
	found := make(map[string]string, len(accounts))
	return found, a.db.View(ctx, func(tx *Tx) error {
		return tx.pairs(ctx, accounts, "id", `SELECT id, customer FROM accounts WHERE %s`, func(id, customer string) { found[id] = customer })
	})
}

// CustomerAccounts leads from customers to all their accounts.
func (a LedgerAccounts) CustomerAccounts(ctx context.Context, customers []string) (map[string][]string, error) {
	found := make(map[string][]string, len(customers))
	return found, a.db.View(ctx, func(tx *Tx) error {
		return tx.pairs(ctx, customers, "customer", `SELECT customer, id FROM accounts WHERE %s`, func(customer, id string) {
			found[customer] = append(found[customer], id)
		})
	})
}

// pairs asks for two columns of the rows in which column is one of keys.
func (tx *Tx) pairs(ctx context.Context, keys []string, column, text string, each func(string, string)) error {
	var q []asked
	keys = slices.Compact(slices.Sorted(slices.Values(keys))) // a row must not come twice
	about(&q, keys, column, text, func(r row) (x [2]string, err error) { return x, r.scan(&x[0], &x[1]) }, func(x [2]string) { each(x[0], x[1]) })
	return tx.ask(ctx, q)
}
