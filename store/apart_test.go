package store_test

import (
	"testing"
	"time"

	"github.com/muster-cip/muster"
)

func TestApart(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{0, time.Hour, -time.Hour} {
		db := openPostgresAt(t, func() time.Time { return muster.SystemClock().Add(by) })
		got, err := db.Apart(t.Context())
		if err != nil || got.Round(time.Hour) != by || by == 0 && got.Abs() > time.Minute {
			t.Errorf("a clock that is %s ahead is said to be %s, %v", by, got, err)
		}
	}
	if got, err := openSQLite(t).Apart(t.Context()); got != 0 || err != nil {
		t.Errorf("SQLite: %s, %v", got, err)
	}
}
