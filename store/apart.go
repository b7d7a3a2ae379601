package store

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Apart is how far the process's clock is ahead of the database's, negative where it is
// behind; 0 where the two differ by less than the question took. SQLite has no clock of
// its own.
func (db *DB) Apart(ctx context.Context) (time.Duration, error) {
	p, ok := db.driver.(*postgres)
	if !ok {
		return 0, nil
	}
	c, err := p.read.Acquire(ctx)
	if err != nil {
		return 0, postgresError(err)
	}
	defer c.Release()
	var micros int64
	before := muster.Instant(db.conf.Clock())
	if err := c.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&micros); err != nil {
		return 0, postgresError(err)
	}
	after := muster.Instant(db.conf.Clock())
	switch theirs := time.UnixMicro(micros); {
	case theirs.Before(before):
		return before.Sub(theirs), nil
	case theirs.After(after):
		return after.Sub(theirs), nil
	}
	return 0, nil
}
