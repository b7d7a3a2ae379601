package store

import (
	"context"
	"time"
)

// Ledger is the store of access records and leases: a file or schema of its own, whose
// transactions share nothing with a decision's. Transactions are DB's: groups, one
// commit, synced.
type Ledger struct{ db *DB }

// LedgerTx is one transaction's view of it.
type LedgerTx struct{ tx *Tx }

// ledgerPage is the page size of the SQLite file: a chunk of some kilobytes wastes the
// rest of a small page.
const ledgerPage = 32 << 10

// OpenLedger opens it. Config is as for Open, with another Path, or another Schema.
func OpenLedger(ctx context.Context, c Config) (*Ledger, error) {
	db, err := open(ctx, c, migrations{folder: "migrations/ledger", table: "ledger_schema_version", page: ledgerPage, caches: caches{write: 64 << 10, read: 8 << 10}})
	if err != nil {
		return nil, err
	}
	return &Ledger{db}, nil
}

// Close closes it.
func (l *Ledger) Close() error { return l.db.Close() }

// TableSizes is the bytes of each table with its indexes, by name.
func (l *Ledger) TableSizes(ctx context.Context) (map[string]int64, error) {
	return l.db.TableSizes(ctx)
}

// InTx is DB.InTx.
func (l *Ledger) InTx(ctx context.Context, fn func(*LedgerTx) error) error {
	return l.db.InTx(ctx, func(tx *Tx) error { return fn(&LedgerTx{tx}) })
}

// View is DB.View.
func (l *Ledger) View(ctx context.Context, fn func(*LedgerTx) error) error {
	return l.db.View(ctx, func(tx *Tx) error { return fn(&LedgerTx{tx}) })
}

// Now is the time of everything in this transaction.
func (tx *LedgerTx) Now() time.Time { return tx.tx.now }

// LedgerAs gives a Ledger the type of a room's own, as As does for a DB.
func LedgerAs[T any](l *Ledger) LedgerRoom[T] {
	_ = any((*LedgerTx)(nil)).(T)
	return LedgerRoom[T]{l}
}

// LedgerRoom is a Ledger as one room sees it.
type LedgerRoom[T any] struct{ l *Ledger }

// InTx is Ledger.InTx.
func (r LedgerRoom[T]) InTx(ctx context.Context, fn func(T) error) error {
	return r.l.InTx(ctx, func(tx *LedgerTx) error { return fn(any(tx).(T)) })
}

// View is Ledger.View.
func (r LedgerRoom[T]) View(ctx context.Context, fn func(T) error) error {
	return r.l.View(ctx, func(tx *LedgerTx) error { return fn(any(tx).(T)) })
}
