package ledger

import (
	"context"
	"time"

	"github.com/muster-cip/muster/vault"
)

// HotHead is how far the hot end is. What is not sealed yet is the batches after
// Sealed, up to Seq.
type HotHead struct {
	Seq     int64 // of the last turn
	Sealed  int64 // the sealer has passed up to there
	Batches int64 // not sealed yet
	Records int64 // in them
}

// HotRow is a batch that is not sealed yet: what shared one commit.
type HotRow struct {
	Seq     int64  // number of the turn that wrote it: dense, rising in the order of commits
	Name    string // its place
	Hour    int64  // hours since 1970, UTC: names the key
	Made    time.Time
	Records int
	Sealed  []byte
}

// SeenRow is what one turn has seen: digests of 16 bytes of record ids and of batches.
type SeenRow struct {
	Seq     int64
	Made    time.Time
	Digests []byte
}

// QuarantineRow is a batch of records whose accounts are not known.
type QuarantineRow struct {
	Seq      int64
	Name     string
	Made     time.Time // names the key: that of the day
	Records  int
	Sealed   []byte
	Accounts [][16]byte // digests of the references in it; not filled when read
}

// QuarantineCount is how much waits.
type QuarantineCount struct {
	Records  int64
	Accounts int64 // distinct references
	Oldest   time.Time
}

// hourOf is the hour of t as HotRow has it.
func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// hotPeriod is the key of an hour.
func hotPeriod(hour int64) vault.Period {
	return vault.PeriodAt(vault.UseHot, time.Unix(hour*3600, 0))
}

func hotPlace(name string) vault.Place        { return vault.Place{Record: name, Field: "hot"} }
func quarantinePlace(name string) vault.Place { return vault.Place{Record: name, Field: "quarantine"} }

// OpenHot opens a batch that is not sealed yet.
func OpenHot(ctx context.Context, s *vault.Session, r *HotRow) (*Batch, error) {
	plain, err := s.OpenPeriod(ctx, hotPeriod(r.Hour), hotPlace(r.Name), r.Sealed)
	if err != nil {
		return nil, err
	}
	return DecodeBatch(plain)
}
