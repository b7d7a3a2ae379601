package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"

	"github.com/muster-cip/muster"
)

// The gate's rows get their sequence numbers at the commit of their group, in order,
// as leaves get their indexes: who reads past a number sees every change up to it.

// sameGateAccount ends the insert of a row that may be there. What did not change is
// left, with its number; a row of another account under this hash is left too.
const sameGateAccount = ` ON CONFLICT (hash) DO UPDATE SET seq = excluded.seq, profile = excluded.profile, decision = excluded.decision
	WHERE gate_accounts.account = excluded.account
		AND (gate_accounts.profile <> excluded.profile OR gate_accounts.decision <> excluded.decision)`

// gateProfileID names a profile by its content, as package gate does.
func gateProfileID(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:16]
}

// PutGate writes what the gate says of an account from now on. Where the account is
// fresh and another has its hash, the commit fails with CodeConflict.
func (tx *Tx) PutGate(ctx context.Context, r *muster.ProfileRecord) error {
	if err := tx.check(ctx, true); err != nil {
		return err
	}
	row := gateRow{
		hash: bytes.Clone(r.Hash[:]), profile: gateProfileID(r.Profile), body: r.Profile,
		account: r.Account, decision: r.Decision, fresh: r.Fresh,
	}
	if r.OtherKey != 0 {
		row.other, row.otherKey = bytes.Clone(r.Other[:]), int64(r.OtherKey)
	}
	tx.tail.gate = append(tx.tail.gate, row)
	return nil
}

// profiles are those of rows, each once, in the order of their names: who writes in one
// order waits for nobody who waits for it.
func profiles(rows []gateRow) []gateRow {
	named := func(a, b gateRow) int { return bytes.Compare(a.profile, b.profile) }
	return slices.CompactFunc(slices.SortedFunc(slices.Values(rows), named), func(a, b gateRow) bool { return named(a, b) == 0 })
}

// GateKey is the version of the gate's key that the accounts' hashes are made with.
func (tx *Tx) GateKey(ctx context.Context) (version int, err error) {
	return one(ctx, tx, "gate", func(r row) (n int, err error) { return n, r.scan(&n) }, `SELECT keyed FROM gate_state WHERE one = 1`)
}

// TurnGate puts every account's hash under another version of the gate's key and
// begins a new epoch: all of it or nothing, in this transaction, for whose end all others
// that move accounts wait. hash is of a reference, under the version before and the
// new one; rows of accounts that are not on file any more go. Where the version is in
// force already it does nothing.
func (tx *Tx) TurnGate(ctx context.Context, version int, hash func(reference string) (was, is [16]byte)) (accounts int, err error) {
	turned := false
	if err := tx.change(ctx, func(r row) error {
		turned = true
		var n int64
		return r.scan(&n)
	}, `UPDATE gate_state SET keyed = ? WHERE one = 1 AND keyed < ? RETURNING keyed`, version, version); err != nil || !turned {
		return 0, err
	}
	type account struct {
		row       []byte
		reference string
	}
	all, err := all(ctx, tx, func(r row) (a account, err error) { return a, r.scan(&a.row, &a.reference) },
		`SELECT g.hash, coalesce(a.reference, '') FROM gate_accounts g LEFT JOIN accounts a ON a.id = g.account`)
	if err != nil {
		return 0, err
	}
	for _, a := range all {
		if a.reference == "" {
			if err := tx.exec(ctx, nil, `DELETE FROM gate_accounts WHERE hash = ?`, a.row); err != nil {
				return 0, err
			}
			continue
		}
		_, is := hash(a.reference)
		if err := tx.exec(ctx, nil, `UPDATE gate_accounts SET hash = ? WHERE hash = ?`, is[:], a.row); err != nil {
			return 0, err
		}
		accounts++
	}
	if _, err := tx.RehashGateRecords(ctx, hash); err != nil {
		return 0, err
	}
	_, err = tx.NextGateEpoch(ctx)
	return accounts, err
}

// RehashGateRecords puts what was recorded of accounts on file under another version
// of the gate's key: hash is as in TurnGate. It returns how many records there were.
func (tx *Tx) RehashGateRecords(ctx context.Context, hash func(reference string) (was, is [16]byte)) (records int, err error) {
	recorded := map[[16]byte]bool{}
	if err := tx.query(ctx, func(r row) error {
		var h []byte
		err := r.scan(&h)
		if len(h) == 16 {
			recorded[[16]byte(h)] = true
		}
		return err
	}, `SELECT DISTINCT account FROM gate_records`); err != nil || len(recorded) == 0 {
		return 0, err
	}
	references, err := all(ctx, tx, func(r row) (s string, err error) { return s, r.scan(&s) }, `SELECT reference FROM accounts`)
	if err != nil {
		return 0, err
	}
	for _, reference := range references {
		was, is := hash(reference)
		if !recorded[was] || was == is {
			continue
		}
		if err := tx.change(ctx, func(r row) error { records++; var s string; return r.scan(&s) },
			`UPDATE gate_records SET account = ? WHERE account = ? RETURNING id`, is[:], was[:]); err != nil {
			return records, err
		}
	}
	return records, nil
}

// GateState is the epoch and the latest sequence number.
func (tx *Tx) GateState(ctx context.Context) (epoch, seq uint64, err error) {
	_, err = one(ctx, tx, "gate", func(r row) (struct{}, error) {
		var e, s int64
		err := r.scan(&e, &s)
		epoch, seq = uint64(e), uint64(s)
		return struct{}{}, err
	}, `SELECT epoch, seq FROM gate_state WHERE one = 1`)
	return epoch, seq, err
}

// NextGateEpoch begins a new epoch, as a restore does: what followers hold of the
// old one is void. It is past every epoch that was, also where the same backup is
// restored a second time: not below the seconds since 1970.
func (tx *Tx) NextGateEpoch(ctx context.Context) (epoch uint64, err error) {
	err = tx.change(ctx, func(r row) error {
		var n int64
		err := r.scan(&n)
		epoch = uint64(n)
		return err
	}, `UPDATE gate_state SET epoch = CASE WHEN epoch >= ? THEN epoch + 1 ELSE ? END WHERE one = 1 RETURNING epoch`,
		tx.now.Unix(), tx.now.Unix())
	return epoch, err
}

// GateProfiles reads every profile.
func (tx *Tx) GateProfiles(ctx context.Context, each func(body []byte) error) error {
	return tx.query(ctx, func(r row) error {
		var body []byte
		if err := r.scan(&body); err != nil {
			return err
		}
		return each(body)
	}, `SELECT body FROM gate_profiles`)
}

// GateAccounts reads every account, in the order of their hashes. profile is the
// name of one of GateProfiles.
func (tx *Tx) GateAccounts(ctx context.Context, each func(hash, profile []byte, decision string) error) error {
	return tx.query(ctx, func(r row) error {
		var hash, profile []byte
		var decision string
		if err := r.scan(&hash, &profile, &decision); err != nil {
			return err
		}
		return each(hash, profile, decision)
	}, `SELECT hash, profile, decision FROM gate_accounts ORDER BY hash`)
}

// GateChanges reads what changed past a sequence number, oldest first.
func (tx *Tx) GateChanges(ctx context.Context, after uint64, each func(hash, body []byte, decision string) error) error {
	return tx.query(ctx, func(r row) error {
		var hash, body []byte
		var decision string
		if err := r.scan(&hash, &body, &decision); err != nil {
			return err
		}
		return each(hash, body, decision)
	}, `SELECT a.hash, p.body, a.decision FROM gate_accounts a JOIN gate_profiles p ON p.id = a.profile
		WHERE a.seq > ? ORDER BY a.seq`, int64(after))
}

// GateFilled is the id of the account up to which those made before the gate had
// tables have been given their rows.
func (tx *Tx) GateFilled(ctx context.Context) (string, error) {
	return one(ctx, tx, "gate", func(r row) (s string, err error) { return s, r.scan(&s) }, `SELECT filled FROM gate_state WHERE one = 1`)
}

// SetGateFilled moves that mark.
func (tx *Tx) SetGateFilled(ctx context.Context, account string) error {
	return tx.exec(ctx, nil, `UPDATE gate_state SET filled = ? WHERE one = 1`, account)
}

// AccountsToFill lists accounts in the order of their ids and keeps them as they are
// until the transaction ends: what is composed of them is theirs.
func (tx *Tx) AccountsToFill(ctx context.Context, p muster.Page) ([]*muster.AccountRecord, error) {
	return all(ctx, tx, scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE id > ? ORDER BY id LIMIT ?`+forShare, p.After, p.Limit)
}

// SweepGateProfiles removes profiles that no account had when the state had a sequence
// number, and none was given since; it says how many. Who is about to give one to an
// account is waited for: it found it there.
func (tx *Tx) SweepGateProfiles(ctx context.Context, ids [][]byte, seq uint64) (removed int, err error) {
	if _, shared := tx.c.(*postgresConn); shared {
		if err := tx.exec(ctx, nil, `LOCK TABLE gate_profiles IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return 0, err
		}
	}
	for _, id := range ids {
		if err := tx.change(ctx, func(row) error { removed++; return nil }, `DELETE FROM gate_profiles WHERE id = ?
			AND NOT EXISTS (SELECT 1 FROM gate_accounts WHERE seq > ? AND profile = ?) RETURNING id`, id, int64(seq), id); err != nil {
			return 0, err
		}
	}
	return removed, nil
}

// Gate is the gate's state as package gate reads it, each call in a view of its own.
type Gate struct{ db *DB }

// Gate returns the gate's own view of db.
func (db *DB) Gate() Gate { return Gate{db} }

// GateState is Tx.GateState.
func (g Gate) GateState(ctx context.Context) (epoch, seq uint64, err error) {
	err = g.db.View(ctx, func(tx *Tx) error { epoch, seq, err = tx.GateState(ctx); return err })
	return epoch, seq, err
}

// LoadGate reads everything there is, as of one instant.
func (g Gate) LoadGate(ctx context.Context, begin func(epoch, seq uint64, key int), profile func(raw []byte) error, account func(hash, profile []byte, decision string) error) error {
	return g.db.View(ctx, func(tx *Tx) error {
		epoch, seq, err := tx.GateState(ctx)
		if err != nil {
			return err
		}
		key, err := tx.GateKey(ctx)
		if err != nil {
			return err
		}
		begin(epoch, seq, key)
		if err := tx.GateProfiles(ctx, profile); err != nil {
			return err
		}
		return tx.GateAccounts(ctx, account)
	})
}

// GateChanges is Tx.GateChanges, with the state that it leads to.
func (g Gate) GateChanges(ctx context.Context, after uint64, change func(hash, profile []byte, decision string) error) (epoch, seq uint64, err error) {
	err = g.db.View(ctx, func(tx *Tx) error {
		if epoch, seq, err = tx.GateState(ctx); err != nil {
			return err
		}
		return tx.GateChanges(ctx, after, change)
	})
	return epoch, seq, err
}
