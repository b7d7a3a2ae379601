package vault

import "context"

// KeyStore keeps wrapped keys, in a store and a directory (or database) of its own:
// backup never writes it to the target of the main store. Nothing in it is a clear key.
//
// Every write is durable and synced when it returns.
type KeyStore interface {
	SetStore
	SubjectKeyStore
}

// SetStore keeps the one set of static and epoch keys.
type SetStore interface {
	// LoadSet returns the set; the zero Set where there is none yet.
	LoadSet(ctx context.Context) (Set, error)
	// SwapSet replaces the whole set, in one transaction. CodeStale where the stored
	// version is not was (0: none stored). CodeConflict, with nothing written, where
	// a subject key is wrapped under an epoch that next does not hold.
	SwapSet(ctx context.Context, was int, next Set) error
}

// SubjectKeyStore keeps one row per subject key.
type SubjectKeyStore interface {
	// AddKeys inserts rows, all or none. CodeStale unless each row's epoch is the
	// stored set's Epoch at commit: otherwise a rotation could miss a row, and its
	// epoch key be destroyed under it (PostgreSQL: lock the set's head FOR SHARE).
	AddKeys(ctx context.Context, rows []KeyRow) error
	// Keys returns the rows of those ids that exist, in any order.
	Keys(ctx context.Context, ids []string) ([]KeyRow, error)
	// ByHandle returns the rows of those handles that exist, in any order.
	ByHandle(ctx context.Context, handles [][16]byte) ([]KeyRow, error)
	// Delete destroys rows; an id that does not exist is no error. The row's bytes
	// must not stay in the live file (SQLite: secure_delete; WAL checkpointed within 5 s).
	Delete(ctx context.Context, ids []string) error
	// Scan returns rows with id > after in rising order, at most limit; of one epoch,
	// or of all where epoch is 0.
	Scan(ctx context.Context, epoch int, after string, limit int) ([]KeyRow, error)
	// Rewrap updates Handle, Epoch and Wrapped of rows that exist with a lower
	// epoch. It never inserts: that would bring a destroyed key back.
	Rewrap(ctx context.Context, rows []KeyRow) error
	// AtOnce is how many rows a Rewrap is best given, where there are many.
	AtOnce() int
}

// Set is every key but the subjects', wrapped by the root key.
type Set struct {
	Version int        // 1, 2, ... one up with every change
	Epoch   int        // the epoch under which new subject keys are wrapped
	Root    string     // KMS.ID of the root key that wraps the rows
	Check   []byte     // 32 bytes over all rows, under a key of the set
	Rows    []NamedRow // about forty
}

// NamedRow is one wrapped key of the set.
type NamedRow struct {
	Name    string // "epoch", "handle", "prf/email", ...; [a-z_/]{1,40}
	Version int    // 1, 2, ...; of an epoch key its number
	Wrapped []byte // as the KMS returned it; at most 1 KiB
}

// KeyRow is one subject key, about 110 bytes.
type KeyRow struct {
	ID      string   // muster.PrefixKey
	Handle  [16]byte // the subject's handle, enciphered under the epoch; unique
	Epoch   int
	Wrapped []byte // 60 bytes: nonce, key, tag
}
