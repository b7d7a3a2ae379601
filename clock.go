package muster

import "time"

// Clock tells the time. There is one per process; tests pass their own.
// Everything recorded is UTC, cut to the microsecond (what both stores keep).
type Clock func() time.Time

// SystemClock reads the machine's clock.
func SystemClock() time.Time { return Instant(time.Now()) }

// Instant cuts t to what is recorded: UTC, microseconds.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
