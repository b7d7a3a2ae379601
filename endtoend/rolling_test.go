package endtoend

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/previous"
)

// window is when a process was being replaced, and which.
type window struct {
	slot        int
	old         *process
	from, until time.Time
}

// TestUpgradeAtOnce: three new processes start at once on the databases of the release
// before. One brings them up, and none takes the others for a reason not to serve.
func TestUpgradeAtOnce(t *testing.T) {
	t.Parallel()
	next := built.Program(t)
	d := setup{binary: previous.Build(t), postgres: true}.make(t)
	was := pgtest.One[int64](t, d.dsn, `SELECT max(version_id) FROM schema_version`)
	d.binary = next
	var started sync.WaitGroup
	for n := range 3 {
		started.Go(func() { d.beside(n) })
	}
	started.Wait()
	if now := pgtest.One[int64](t, d.dsn, `SELECT max(version_id) FROM schema_version`); now <= was {
		t.Errorf("schema %d to %d", was, now)
	}
}

// TestRollingUpgrade: three processes of the release before are replaced one by one
// under load. The first of the new ones brings the schema up, and those that are left go
// on working on it. Nobody is answered with one of the 500s, and nothing is lost.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next := built.Program(t)
	f := newFleet(t, 43, setup{binary: previous.Build(t)})
	f.patience = time.Minute // nobody is stopped: whoever does not answer is at fault
	f.begin()
	was := pgtest.One[int64](t, f.d.dsn, `SELECT max(version_id) FROM schema_version`)
	// Work of a kind that only a later program knows.
	pgtest.Exec(t, f.d.dsn, `INSERT INTO jobs (id, kind, ref, payload, run_at, attempts, fence, holder, last_error, dead) VALUES ('later', 'later.kind', '', '', 1, 0, 0, '', '', 0)`)
	f.load()
	f.await(60, "a book to work with")
	f.enact(2, "DE")
	f.d.binary = next
	var windows []window
	for n := range f.slots {
		w := window{slot: n, old: f.slots[n].Load(), from: time.Now()}
		w.old.stop()
		f.start(n)
		w.until = time.Now()
		windows = append(windows, w)
		f.disturbs++               // on a slow machine what is under way may end too late to be written down
		f.importList((n+1)%3, 3+n) // by an old process, an old one, a new one
		f.erase((n + 2) % 3)
		f.retainNow()
		f.await(40, "something by old and new processes together")
	}
	f.end()
	if n := pgtest.One[int64](t, f.d.dsn, `SELECT attempts + dead + fence FROM jobs WHERE id = 'later'`); n != 0 {
		t.Error("a job of a kind that nobody knows was taken")
	}
	pgtest.Exec(t, f.d.dsn, `DELETE FROM jobs WHERE id = 'later'`)
	f.check()
	for _, w := range windows {
		t.Logf("process %d was replaced from %s to %s", w.slot, w.from.Format(time.TimeOnly), w.until.Format(time.TimeOnly))
	}
	for _, x := range f.faults {
		replaced := false
		for _, w := range windows {
			replaced = replaced || x.of == w.old && !x.at.Before(w.from)
		}
		said := f.said(x.what)
		// A process of v0.1.0 that stops takes down what shares a group with its duties.
		if x.status == http.StatusServiceUnavailable && replaced && strings.HasPrefix(said, f.all[0].cmd.Path+": ") && strings.Contains(said, "the store failed: *fmt.wrapError") {
			t.Logf("a fault of the release before: %s", said)
			continue
		}
		if x.status != 0 || !replaced {
			t.Errorf("process %d, %s: %d %s\n%s", x.of.cmd.Process.Pid, x.at.Format(time.TimeOnly), x.status, x.what, said)
		}
	}
	for n := range f.slots {
		f.slots[n].Load().stop()
	}
	a := f.d.audit()
	t.Logf("schema %d to %d, %d applications, %d leaves, %d requests met a process that was away, the longest answer took %s",
		was, pgtest.One[int64](t, f.d.dsn, `SELECT max(version_id) FROM schema_version`), len(f.acks), a.Size, len(f.faults), f.longest)
}
