package endtoend

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/synthetic"
)

// TestPostgreSQLAway: the database crashes under three processes; in the long version it is
// away for a minute, so that everybody's presence and leases end, and is silent for another.
// Meanwhile callers get a problem that says so, within a bound; afterwards all goes on by
// itself, and nothing that was acknowledged is lost.
func TestPostgreSQLAway(t *testing.T) {
	t.Parallel()
	own := pgtest.NewOwn(t)
	f := newFleet(t, 44, setup{database: own.Database, settings: map[string]any{"lease": lease.String()}})
	f.begin()
	f.load()
	f.await(200, "a book to work with")
	f.importList(0, 8)
	f.erase(1)
	f.retainNow()

	own.Crash()
	took := f.refused(10 * time.Second)
	f.away()
	own.Start()
	f.await(40, "something after the crash")
	t.Logf("crashed: refused after %v", took)
	f.corrected()

	f.disturbs = len(f.slots)
	if soak() { // a silence is noticed after half a minute, and longer on a busy machine
		f.importList(1, 10)
		own.Stop()
		took = f.refused(50 * time.Second)
		f.away()
		own.Continue()
		f.await(40, "something after the silence")
		t.Logf("silent: refused after %v", took)
		f.disturbs += len(f.slots)
	}

	f.end()
	f.check()
	for n := range f.slots {
		f.slots[n].Load().stop()
	}
	a := f.d.audit()
	t.Logf("%d applications, %d leaves", len(f.acks), a.Size)
}

// away lets a minute pass in the long version.
func (f *fleet) away() {
	if soak() {
		<-time.After(time.Minute)
	}
}

// TestPostgreSQLFailsOver: under three processes and load the server is lost, and its
// standby, which has every commit before it is acknowledged, is promoted. They find it by a
// DSN that names both, and nothing that was acknowledged is lost.
func TestPostgreSQLFailsOver(t *testing.T) {
	t.Parallel()
	first := pgtest.NewOwn(t)
	second := first.Standby()
	f := newFleet(t, 48, setup{
		database: func() string { return first.Either(second, first.Database()) }, settings: map[string]any{"lease": lease.String()},
	})
	f.begin()
	f.load()
	f.await(100, "a book to work with")
	f.importList(0, 8)
	f.erase(1)
	f.retainNow()

	first.Crash()
	since := time.Now()
	took := f.refused(10 * time.Second)
	second.Promote()
	f.await(40, "something after the standby was promoted")
	t.Logf("refused after %v, 40 applications after %s", took, time.Since(since))
	f.corrected()
	f.disturbs = len(f.slots)

	f.end()
	f.check()
	for n := range f.slots {
		f.slots[n].Load().stop()
	}
	a := f.d.audit()
	t.Logf("%d applications, %d leaves", len(f.acks), a.Size)
}

// TestPostgreSQLFallsSilent: the first of two servers closes nothing and answers nothing,
// and its standby is promoted. A process that starts goes to the second as soon as the
// first has had its time to take a connection; in the long version one goes on that has
// connections to the first. Nothing that was acknowledged is lost.
func TestPostgreSQLFallsSilent(t *testing.T) {
	t.Parallel()
	first := pgtest.NewOwn(t)
	second := first.Standby()
	d := setup{postgres: true, database: func() string { return first.Either(second, first.Database()) }}.make(t)
	p, l := d.start(nil), newLoad(t, 63)
	hasty := *p.client
	hasty.http = &http.Client{Timeout: 3 * time.Second}
	stop := make(chan struct{})
	var posting sync.WaitGroup
	posting.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = l.post(&hasty, i) // what was not taken is posted again at the end
			}
		}
	})
	eventually(t, roundLasts, "a book to work with", func() bool { return l.acks.Load() > 30 })

	first.Stop()
	since, was := time.Now(), l.acks.Load()
	second.Promote()
	if soak() { // a silence is noticed after half a minute
		eventually(t, roundLasts, "applications on the second server", func() bool { return l.acks.Load() > was+30 })
	}
	close(stop)
	posting.Wait()
	if !soak() {
		p.kill()
		p = d.start(nil)
	}
	l.settle(p.client)
	t.Logf("on the second server %s after the silence began", time.Since(since))
	first.Crash()

	l.check(d, p.client)
	p.stop()
	if a := d.audit(); a.ByType["decision"] != len(l.known) {
		t.Errorf("%d decisions in the log, %d applications acknowledged", a.ByType["decision"], len(l.known))
	}
}

// TestPostgreSQLFull: the disk of the database has no room for more rows, and then none for
// PostgreSQL's own log, which ends the server. Callers are told which of both it is, nothing
// is kept by half, and all goes on once there is room again.
func TestPostgreSQLFull(t *testing.T) {
	t.Parallel()
	own := pgtest.NewSmall(t, 256<<20)
	d := setup{postgres: true, database: own.Database}.make(t)
	p, l := d.start(nil), newLoad(t, 62)
	said := map[string]int{}
	p.seen = func(method, path string, status int, body []byte) {
		if status >= http.StatusInternalServerError {
			var x struct{ Code string }
			unmarshal(t, body, &x)
			said[x.Code]++
		}
	}
	posted := 0
	post := func() {
		_ = l.post(p.client, posted) // what was not taken is posted again
		posted++
	}
	for l.acks.Load() < 30 {
		post()
	}

	own.Fill()
	eventually(t, roundLasts, "there is no room for a row", func() bool { post(); return said["no_space"] >= 5 })
	p.get("/v1/customers", nil)
	own.FillLog()
	eventually(t, roundLasts, "the server is away", func() bool { post(); return said["unavailable"] >= 2 })
	for code := range said {
		if code != "no_space" && code != "unavailable" {
			t.Errorf("a full disk is %s", code)
		}
	}
	t.Logf("%d applications of %d were taken; the others: %v", l.acks.Load(), posted, said)

	own.Free()
	own.Start()
	eventually(t, roundLasts, "it takes applications again", func() bool { was := l.acks.Load(); post(); return l.acks.Load() > was })
	l.settle(p.client)
	l.check(d, p.client)
	p.stop()
	if a := d.audit(); a.ByType["decision"] != len(l.known) {
		t.Errorf("%d decisions in the log, %d applications acknowledged", a.ByType["decision"], len(l.known))
	}
}

// refused asks each process for what needs the database, to write and to read, and wants
// a problem of code unavailable within the time. It returns how long each took.
func (f *fleet) refused(within time.Duration) (took []time.Duration) {
	f.Helper()
	var group sync.WaitGroup
	took = make([]time.Duration, 2*len(f.slots))
	body := mustJSON(f, f.people.Next(f.nextOf(synthetic.Complete))) // one that is refused for its own faults needs no database
	for i := range took {
		group.Go(func() {
			c := *f.slots[i/2].Load().client
			c.http = &http.Client{Timeout: within + 10*time.Second}
			began := time.Now()
			method, path, data := "POST", "/v1/applications", body
			if i%2 == 1 {
				method, path, data = "GET", "/v1/customers", nil
			}
			x, err := c.try(method, path, data)
			took[i] = time.Since(began)
			if err != nil {
				f.Errorf("process %d: %v", i/2, err)
				return
			}
			var p struct{ Code string }
			if x.status != http.StatusServiceUnavailable || !strings.HasPrefix(x.header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(x.body, &p) != nil || p.Code != "unavailable" {
				f.Errorf("process %d answers %d %s", i/2, x.status, x.body)
			}
			if took[i] > within {
				f.Errorf("process %d took %s to say so", i/2, took[i])
			}
		})
	}
	group.Wait()
	return took
}
