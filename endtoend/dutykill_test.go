package endtoend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/synthetic"
)

// TestDutiesAreKilled: the server ends the session of a duty in the middle of a
// transaction, and then every process is killed at once in the same place: a cohort's day, a sweep, a measure that is applied, an erasure before its
// keys go and after. Whether that transaction lands is chance. What was begun goes on,
// once, and nothing is there twice or by half.
func TestDutiesAreKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 46, setup{settings: map[string]any{"lease": lease.String()}})
	f.begin()
	r := dice(t)
	for named := 0; named < 4 || len(f.order) < 60; { // the list names four
		i := int(f.next.Add(1) - 1)
		if f.people.Class(i) == synthetic.USClaim {
			named++
		} else if len(f.order) >= 60 {
			continue
		}
		f.apply(0, i, nil)
	}
	for n := 0; len(f.lines) == 0 && n < 20; n++ {
		f.correct(n)
	}

	file := filepath.Join(t.TempDir(), "book.ndjson")
	good, bad := writeBook(t, file, 120)
	c := f.d.importing(f.slots[0].Load(), file, "--due", "2090-01-01", "--share", "40")
	if exit := (&exec.ExitError{}); !errors.As(c.Wait(), &exit) || exit.ExitCode() != 1 || bad == 0 {
		t.Fatalf("the import of a book with %d lines at fault: %s", bad, c.Stderr)
	}
	share := int64(good*40+99) / 100
	pgtest.Exec(t, f.d.dsn, `UPDATE cohorts SET due = 1`)
	day := func() { pgtest.Exec(t, f.d.dsn, `UPDATE jobs SET run_at = 1 WHERE kind = $1`, muster.JobCohort) }
	// Nobody goes on with it before the day is called again, however long those that follow take to start.
	night := func() {
		pgtest.Exec(t, f.d.dsn, `UPDATE jobs SET run_at = $1, holder = '' WHERE kind = $2`, time.Now().Add(time.Hour).UnixMicro(), muster.JobCohort)
	}
	for range 2 { // at the twelfth member from where it is
		f.killedBehind(r, f.d.dsn, `SELECT 1 FROM adopted WHERE account = (SELECT account FROM adopted WHERE decided = 0 ORDER BY account OFFSET 12 LIMIT 1) FOR UPDATE`, day, night)
		if n, _ := f.turns(); n == 0 || n >= share {
			t.Errorf("killed at member %d of %d, which is not in the middle", n, share)
		}
	}
	day()
	f.leasesOver()
	eventually(t, time.Minute, "the share of the day is decided", func() bool { _, most := f.turns(); return most >= share })
	f.drained()
	turns, most := f.turns()
	if most != share {
		t.Errorf("%d members of the cohort had their turn on one day, its share is %d", most, share)
	}
	const again = `SELECT count(*) FROM (SELECT count(*) AS n FROM applications a JOIN decisions d ON d.application = a.id WHERE a.reference LIKE 'old-%' GROUP BY a.id) x WHERE n `
	if twice, more := pgtest.One[int64](t, f.d.dsn, again+`= 2`), pgtest.One[int64](t, f.d.dsn, again+`> 2`); twice != turns || more != 0 {
		t.Errorf("%d members were decided again, %d more than once, %d had their turn", twice, more, turns)
	}

	// Whom it looks for was found, and that it was is not written down.
	f.killedBehind(r, f.d.dsn, `LOCK TABLE sweeps IN SHARE MODE`, func() { f.importList(0, 4) })
	f.leasesOver()
	f.killedBehind(r, f.d.dsn, `LOCK TABLE measure_matches IN SHARE MODE`, func() { f.enact(0, "DE") })
	f.leasesOver()

	// The intent is written and no key is gone; then keys are gone and rows are not.
	erase := func() {
		f.erase(0)
		f.retainNow()
		eventually(t, time.Minute, "an erasure is begun", func() bool {
			return pgtest.One[int64](t, f.d.dsn, `SELECT count(*) FROM erasures WHERE state = 'begun'`) > 0
		})
	}
	f.killedBehind(r, f.d.keyDSN, `LOCK TABLE subject_keys IN SHARE MODE`, erase)
	f.leasesOver()
	f.drained()
	f.killedBehind(r, f.d.dsn, `LOCK TABLE claims IN SHARE MODE`, erase)
	f.leasesOver()

	f.check()
	for n := range f.slots {
		f.slots[n].Load().stop()
	}
	a := f.d.audit()
	if n := a.ByType["erasure"]; n != 4*len(f.erased) { // proposed, agreed, begun, done
		t.Errorf("%d entries of %d erasures", n, len(f.erased))
	}
}

// turns is how many members of the cohort its date decided: in all, which midnight may
// part, and on the day (UTC) of most.
func (f *fleet) turns() (all, most int64) {
	f.Helper()
	x := pgtest.One[[]int64](f, f.d.dsn, `SELECT ARRAY[coalesce(sum(n), 0), coalesce(max(n), 0)]::bigint[] FROM (SELECT count(*) AS n FROM adopted
		WHERE decided > 0 AND beside = 0 GROUP BY decided / 86400000000) days`)
	return x[0], x[1]
}

// leasesOver has what the dead took be due for others, as time would.
func (f *fleet) leasesOver() {
	f.Helper()
	pgtest.Exec(f, f.d.dsn, `UPDATE jobs SET run_at = 1 WHERE holder <> ''`)
	pgtest.Exec(f, f.d.dsn, `UPDATE leases SET expires = 1 WHERE holder <> ''`)
}

// killedBehind takes a lock, gives an order, waits until a writer stands behind the lock
// in the middle of its transaction, and has the server end that session. Once somebody
// stands there again it kills every process. What waits is then ended, or
// goes on by itself as far as it was sent; meanwhile is done. Other processes start, and
// the dead hold their leases.
func (f *fleet) killedBehind(r *rand.Rand, dsn, lock string, order func(), meanwhile ...func()) {
	f.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := tx.Exec(ctx, lock); err != nil {
		f.Fatal(err)
	}
	order()
	const behind = `FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))`
	self := int64(conn.PgConn().PID())
	ended := []int32{}
	for _, again := range []bool{false, true} {
		waits := []int32{}
		eventually(f, roundLasts, fmt.Sprintf("somebody who waits behind %s; again: %v", lock, again), func() bool {
			waits = pgtest.One[[]int32](f, dsn, `SELECT coalesce(array_agg(pid), '{}') `+behind+` AND NOT pid = ANY ($2)`, self, ended)
			return len(waits) > 0
		})
		if !again {
			ended = waits
			pgtest.Exec(f, dsn, `SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid`, ended)
		}
	}
	for n := range f.slots {
		f.slots[n].Load().kill()
	}
	f.disturbs += len(f.slots)
	if r.IntN(2) == 0 {
		pgtest.Exec(f, dsn, `SELECT pg_terminate_backend(pid) `+behind, self)
	}
	if err := tx.Rollback(ctx); err != nil {
		f.Fatal(err)
	}
	conn.Close(ctx)
	for _, dsn := range []string{f.d.dsn, f.d.keyDSN} {
		eventually(f, roundLasts, "the connections of the dead are gone", func() bool {
			return pgtest.One[int64](f, dsn, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`) == 0
		})
	}
	for _, fn := range meanwhile {
		fn()
	}
	f.d.auditLive()
	for n := range f.slots {
		f.start(n)
	}
}
