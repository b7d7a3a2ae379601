package ledger

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Kind of record. Each has keys, chunks and an index of its own: they are kept for
// different times.
type Kind uint8

const (
	Access Kind = iota
	Leases
)

func (k Kind) String() string { return [...]string{"access", "lease"}[k] }

func (k Kind) quarterUse() vault.PeriodUse {
	return [...]vault.PeriodUse{vault.UseAccess, vault.UseLease}[k]
}

func (k Kind) indexUse() vault.PeriodUse {
	return [...]vault.PeriodUse{vault.UseAccessIndex, vault.UseLeaseIndex}[k]
}

// A quarter and a month count from the year 2000.
type (
	quarter int
	month   int
)

func quarterOf(t time.Time) quarter {
	t = t.UTC()
	return quarter((t.Year()-2000)*4 + (int(t.Month())-1)/3)
}

func (q quarter) start() time.Time {
	return time.Date(2000, time.Month(1+3*int(q)), 1, 0, 0, 0, 0, time.UTC)
}
func (q quarter) end() time.Time             { return (q + 1).start() }
func (q quarter) period(k Kind) vault.Period { return vault.PeriodAt(k.quarterUse(), q.start()) }

func monthOf(t time.Time) month {
	t = t.UTC()
	return month((t.Year()-2000)*12 + int(t.Month()) - 1)
}

func (m month) start() time.Time {
	return time.Date(2000, time.Month(1+int(m)), 1, 0, 0, 0, 0, time.UTC)
}
func (m month) end() time.Time             { return (m + 1).start() }
func (m month) quarter() quarter           { return quarter(m / 3) }
func (m month) period(k Kind) vault.Period { return vault.PeriodAt(k.indexUse(), m.start()) }

// The number of a chunk's row says where it belongs, so that the rows of an account and
// quarter lie together: kind (1 bit), quarter (9), level (1), account (31), hour of the
// quarter that no record of it is before (12), and what tells chunks of one hour apart
// (9). Young chunks (level 0) of all accounts lie apart from those that were merged, for
// each pass of the sealer touches them.
const (
	young  = 0
	merged = 1

	maxCounter = 1<<9 - 1
	maxNumber  = 1<<31 - 1
)

func chunkID(k Kind, q quarter, level int, account int64, hour, counter int) int64 {
	return int64(k)<<62 | int64(q&511)<<53 | int64(level)<<52 | account<<21 | int64(hour)<<9 | int64(counter)
}

// chunkRange holds every chunk of an account, quarter and level.
func chunkRange(k Kind, q quarter, level int, account int64) (from, through int64) {
	return chunkID(k, q, level, account, 0, 0), chunkID(k, q, level, account, 1<<12-1, maxCounter)
}

// levelRange holds every chunk of a quarter and level.
func levelRange(k Kind, q quarter, level int) (from, through int64) {
	return chunkID(k, q, level, 0, 0, 0), chunkID(k, q, level, maxNumber, 1<<12-1, maxCounter)
}

type chunkKey struct {
	kind    Kind
	quarter quarter
	level   int
	account int64
	hour    int
	counter int
}

func parseChunkID(id int64) chunkKey {
	return chunkKey{
		kind: Kind(id >> 62 & 1), quarter: quarter(id >> 53 & 511), level: int(id >> 52 & 1),
		account: id >> 21 & maxNumber, hour: int(id >> 9 & (1<<12 - 1)), counter: int(id & maxCounter),
	}
}

func (k chunkKey) base() time.Time { return k.quarter.start().Add(time.Duration(k.hour) * time.Hour) }

// chunkHead lies in front of a sealed chunk in the clear: what has to be known before
// it is opened. It is associated data.
type chunkHead struct {
	generation uint64 // of the pass that wrote it: the later word of two on one lease holds
	hours      int    // that its records span, from its row's hour on
	records    int
}

func (h chunkHead) append(dst []byte) []byte {
	dst = append(dst, chunkFormat)
	dst = binary.AppendUvarint(dst, h.generation)
	dst = binary.AppendUvarint(dst, uint64(h.hours))
	return binary.AppendUvarint(dst, uint64(h.records))
}

// parseChunkHead returns the head and its length.
func parseChunkHead(blob []byte) (h chunkHead, size int, err error) {
	if len(blob) == 0 || blob[0] != chunkFormat {
		return h, 0, muster.Errorf(muster.CodeMalformed, "a chunk has a format that this program does not know")
	}
	size = 1
	for _, to := range []func(uint64){
		func(n uint64) { h.generation = n }, func(n uint64) { h.hours = int(n) }, func(n uint64) { h.records = int(n) },
	} {
		n, used := binary.Uvarint(blob[size:])
		if used <= 0 || n > 1<<40 {
			return h, 0, errChunk()
		}
		to(n)
		size += used
	}
	return h, size, nil
}

// Holder is an account as the ledger knows it: a number, and whose key its records
// are sealed under. The row is deleted when the account is erased: then its number leads
// nowhere, wherever it still stands. Numbers are not used again.
type Holder struct {
	Number  int64
	Account string // id
	Subject string // the customer's own
	KeyID   string
}

// State is the one row of the ledger's bookkeeping. The holder of the lease alone
// writes it.
type State struct {
	Fence      int64     // of the lease: who holds an older one writes no more
	ClosedHour int64     // see HotTx.ClosedHour
	Generation int64     // up with each pass
	NextNumber int64     // of the next account
	Carried    int64     // month up to which open leases are in the index
	Lengths4   int64     // bit n: leases have prefixes of n bits...
	Lengths6   uint64    // ...and bit n-1 of IPv6
	Erased     time.Time // since when an erasure waits for compaction; zero: none does
	Holder     string    // who had the lease last
}

// Run is one sorted run of the index of a month.
type Run struct {
	ID       int64 // kind (1 bit), month (12), run (18)
	Bits     int   // that its tags have
	Postings int64
}

// Tx is what the sealed end needs of a transaction of the ledger's store.
type Tx interface {
	HotTx
	// DropHot drops the batches up to through, in the transaction that writes what they
	// became. CodeStale unless those up to from, and no more, were dropped before.
	DropHot(ctx context.Context, from, through int64) error
	// OldestHot is the lowest hour of a batch; far in the future where there is none.
	OldestHot(ctx context.Context) (hour int64, err error)

	State(ctx context.Context) (State, error)
	// PutState is CodeStale where the fence is another's now. It leaves Erased and Holder alone.
	PutState(ctx context.Context, s State) error
	// PutErased sets Erased.
	PutErased(ctx context.Context, at time.Time) error
	// Lease takes or keeps the lease, and does not wait for it where gone has it;
	// CodeConflict where another holds it.
	Lease(ctx context.Context, holder, gone string, until time.Time) (fence int64, err error)

	HoldersOf(ctx context.Context, accounts []string) ([]Holder, error)
	HoldersNumbered(ctx context.Context, numbers []int64) ([]Holder, error)
	HoldersAfter(ctx context.Context, number int64, limit int) ([]Holder, error)
	AddHolder(ctx context.Context, h Holder) error
	DropHolder(ctx context.Context, number int64) error

	// Chunks calls each for rows from <= id <= through, rising. See chunks, which knows
	// of volumes.
	Chunks(ctx context.Context, from, through int64, each func(Chunk) error) error
	// NextChunk is the lowest id >= from; -1 where there is none.
	NextChunk(ctx context.Context, from int64) (int64, error)
	PutChunk(ctx context.Context, id int64, blob []byte) error
	DropChunk(ctx context.Context, id int64) error // CodeStale where it is gone
	DropChunks(ctx context.Context, from, through int64) error

	Runs(ctx context.Context, from, through int64) ([]Run, error)
	PutRun(ctx context.Context, r Run) error
	DropRun(ctx context.Context, id int64) error
	// Block is the row with the highest id in the range; id is -1 where there is none.
	Block(ctx context.Context, from, through int64) (id int64, blob []byte, err error)
	Blocks(ctx context.Context, from, through int64, each func(id int64, blob []byte) error) error
	PutBlock(ctx context.Context, id int64, blob []byte) error
	DropBlocks(ctx context.Context, from, through int64) error

	VolumeTx
}

// DB opens transactions: see store.Ledger.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}
