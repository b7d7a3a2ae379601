package endtoend

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
)

const (
	posters    = 16
	roundsMost = 120                   // acknowledgements in a round before the kill, at most
	killWithin = 20 * time.Millisecond // and then a little later, so that it falls anywhere in a commit
	roundLasts = 5 * time.Minute       // before it is called stuck
)

// load is posters that post a synthetic population and remember what was acknowledged.
type load struct {
	testing.TB
	people *synthetic.Population
	next   atomic.Int64
	acks   atomic.Int64

	mu    sync.Mutex
	known map[int]*onboard.Answer // application number -> its first acknowledgement
	open  map[int]bool            // posted, and no answer came: it may be there or not
}

func newLoad(t testing.TB, seed uint64) *load {
	return &load{TB: t, people: synthetic.New(seed), known: map[int]*onboard.Answer{}, open: map[int]bool{}}
}

// post posts application i and remembers what came of it.
func (l *load) post(c *client, i int) error {
	a, err := c.apply(l.people.Next(i))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errRefused):
		delete(l.open, i)
		return nil
	case err != nil:
		l.open[i] = true
		return err
	}
	delete(l.open, i)
	if was := l.known[i]; was != nil && was.Application != a.Application {
		l.Errorf("application %d was acknowledged as %s and as %s", i, was.Application, a.Application)
	}
	if l.known[i] == nil {
		l.known[i] = a
	}
	l.acks.Add(1)
	return nil
}

// run posts to the servers in turn until stop is closed. A poster whose server went
// away posts the same once more elsewhere, where there is another.
func (l *load) run(stop <-chan struct{}, servers ...*client) *sync.WaitGroup {
	var group sync.WaitGroup
	for n := range posters {
		group.Go(func() {
			for turn := n; ; turn++ {
				select {
				case <-stop:
					return
				default:
				}
				i := int(l.next.Add(1) - 1)
				at := turn % len(servers)
				err := l.post(servers[at], i)
				if err == nil {
					continue
				}
				if len(servers) == 1 {
					return
				}
				if err := l.post(servers[(at+1)%len(servers)], i); err != nil {
					select {
					case <-stop:
					default:
						l.Errorf("the server that was left alone does not serve: %v", err)
					}
					return
				}
			}
		})
	}
	return &group
}

// settle posts again what got no answer: now it has to get one.
func (l *load) settle(c *client) {
	l.Helper()
	l.mu.Lock()
	var again []int
	for i := range l.open {
		again = append(again, i)
	}
	l.mu.Unlock()
	for _, i := range again {
		if err := l.post(c, i); err != nil {
			l.Fatalf("application %d, posted again after the kill: %v", i, err)
		}
	}
}

// check holds the store, as its API shows it, against what was acknowledged: all of
// it is there, with its decision and its leaf, none twice, and nothing else.
func (l *load) check(d *deployment, c *client) {
	l.Helper()
	type row struct {
		Application, Reference, Customer, State string
	}
	at := map[string]row{}
	for _, r := range walk[row](c, "/v1/applications") {
		if was, twice := at[r.Reference]; twice {
			l.Errorf("%s is there twice: %s and %s", r.Reference, was.Application, r.Application)
		}
		at[r.Reference] = r
	}
	leaves := map[int64]string{}
	var mu sync.Mutex
	queue := make(chan *onboard.Answer)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for a := range queue {
				var rows struct{ Items []api.DecisionRow }
				if err := c.read("/v1/applications/"+a.Application+"/decisions", &rows); err != nil {
					l.Errorf("%s was acknowledged: %v", a.Reference, err)
					continue
				}
				found := false
				mu.Lock()
				for _, r := range rows.Items {
					found = found || r.Decision == a.Decision.ID && r.Outcome == a.Decision.Outcome
					if other, taken := leaves[r.Leaf]; taken || r.Leaf < 0 {
						l.Errorf("%s has leaf %d, as has %q", r.Decision, r.Leaf, other)
					}
					leaves[r.Leaf] = r.Decision
				}
				mu.Unlock()
				if !found || len(rows.Items) != 1 {
					l.Errorf("%s was acknowledged with decision %s; there are %d and it is among them: %v", a.Reference, a.Decision.ID, len(rows.Items), found)
				}
			}
		})
	}
	for i, a := range l.known {
		if r := at[l.people.Reference(i)]; r.Application != a.Application {
			l.Errorf("%s was acknowledged as %s and is %q now", a.Reference, a.Application, r.Application)
		}
		queue <- a
	}
	close(queue)
	readers.Wait()
	if len(at) != len(l.known) {
		l.Errorf("%d applications are there, %d were acknowledged", len(at), len(l.known))
	}
	if n := len(walk[struct{}](c, "/v1/customers")); n != len(at) {
		l.Errorf("%d customers for %d applications", n, len(at))
	}
	// Facts open, so their keys are there: data without a key never.
	shown := 0
	for _, a := range l.known {
		if shown++; shown > 20 {
			break
		}
		if err := c.read("/v1/decisions/"+a.Decision.ID+"/bundle?audience=examiner", nil); err != nil {
			l.Errorf("the bundle of %s: %v", a.Decision.ID, err)
		}
	}
}

func rounds() int {
	if soak() {
		return 50
	}
	return 6
}

// dice are the random points of the kills; KILL_SEED repeats a run's.
func dice(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("KILL_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("KILL_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// killed waits for a random point in the load and kills p there.
func (l *load) killed(r *rand.Rand, p *process) {
	l.Helper()
	target := l.acks.Load() + 1 + r.Int64N(roundsMost)
	eventually(l, roundLasts, "enough acknowledgements before the kill", func() bool { return l.acks.Load() >= target || l.Failed() })
	<-time.After(time.Duration(r.Int64N(int64(killWithin)))) // any point of a commit
	p.kill()
}

func TestKilledOnSQLite(t *testing.T) {
	t.Parallel()
	d := setup{}.make(t)
	l, r := newLoad(t, 7), dice(t)
	p := d.start(nil)
	for range rounds() {
		stop := make(chan struct{})
		group := l.run(stop, p.client)
		l.killed(r, p)
		close(stop)
		group.Wait()
		d.audit() // of what the kill left, before anything serves again
		p = d.start(nil)
		l.settle(p.client)
	}
	l.check(d, p.client)
	p.stop()
	a := d.audit()
	if a.ByType["decision"] != len(l.known) {
		t.Errorf("%d decisions in the log, %d applications acknowledged", a.ByType["decision"], len(l.known))
	}
	t.Logf("%d rounds, %d applications, %d leaves", rounds(), len(l.known), a.Size)
}

func TestOneOfTwoKilledOnPostgreSQL(t *testing.T) {
	t.Parallel()
	d := setup{postgres: true}.make(t)
	l, r := newLoad(t, 8), dice(t)
	servers := []*process{d.beside(0), d.beside(1)}
	for n := range rounds() {
		stop := make(chan struct{})
		group := l.run(stop, servers[0].client, servers[1].client)
		victim := r.IntN(2)
		l.killed(r, servers[victim])
		if n%8 == 0 {
			d.auditLive() // beside a server under load
		}
		alone := l.acks.Load() + posters
		eventually(l, roundLasts, "the server that was left alone serves", func() bool { return l.acks.Load() >= alone || l.Failed() })
		close(stop)
		group.Wait()
		servers[victim] = d.beside(victim)
		l.settle(servers[victim].client)
	}
	for _, s := range servers {
		l.check(d, s.client)
		s.stop()
	}
	a := d.audit()
	if a.ByType["decision"] != len(l.known) {
		t.Errorf("%d decisions in the log, %d applications acknowledged", a.ByType["decision"], len(l.known))
	}
	t.Logf("%d rounds, %d applications, %d leaves", rounds(), len(l.known), a.Size)
}

// beside starts one of several processes, as on machines of their own: they share
// the databases and the root key, and no directory of data.
func (d *deployment) beside(n int) *process {
	d.Helper()
	data := filepath.Join(d.dir, "machine"+strconv.Itoa(n))
	if err := os.MkdirAll(data, 0o700); err != nil {
		d.Fatal(err)
	}
	return d.start(nil, "MUSTER_DATA="+data)
}
