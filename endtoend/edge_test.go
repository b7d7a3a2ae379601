package endtoend

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
)

// edgeBound is past which age an edge's knowledge is old: the shortest there is.
const edgeBound = 10 * time.Second

// edgeAnswer is one answer of the edge, from its question to its arrival.
type edgeAnswer struct {
	account     string
	asked, came time.Time
	yes, stale  bool
	id          string
	until       time.Time
}

// edgeLoad asks an edge without a pause and keeps every answer.
type edgeLoad struct {
	*testing.T
	at   atomic.Pointer[client]
	stop chan struct{}
	work sync.WaitGroup

	mu  sync.Mutex
	all []edgeAnswer
}

// ask asks whether an account may have more; nil: no answer came.
func (l *edgeLoad) ask(account string) *edgeAnswer {
	body := mustJSON(l, map[string]any{
		"subject": map[string]any{"type": "account", "id": account}, "action": map[string]any{"name": muster.ActionAddResources}, "resource": map[string]any{"type": "instance", "id": "i-1"},
	})
	a := edgeAnswer{account: account, asked: time.Now()}
	x, err := l.at.Load().try("POST", "/access/v1/evaluation", body)
	if err != nil || x.status != http.StatusOK {
		return nil
	}
	a.came = time.Now()
	var says struct {
		Decision bool
		Context  struct {
			ID    string
			Stale bool
			Until time.Time
		}
	}
	if err := json.Unmarshal(x.body, &says); err != nil {
		l.Error(err)
		return nil
	}
	a.yes, a.stale, a.id, a.until = says.Decision, says.Context.Stale, says.Context.ID, says.Context.Until
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
	return &a
}

// until asks until the answer is what is waited for.
func (l *edgeLoad) until(what, account string, fits func(*edgeAnswer) bool) {
	l.Helper()
	eventually(l, time.Minute, what, func() bool { a := l.ask(account); return a != nil && fits(a) })
}

// TestAnEdgeIsKilledAndStopped: an edge under load is killed and started again, with its
// centre and without, and stopped past the age that its knowledge may have. What it allows
// it allows for no longer than it says, and never by knowledge that is older than promised.
func TestAnEdgeIsKilledAndStopped(t *testing.T) {
	t.Parallel()
	d := setup{mode: "sandbox", packs: []string{"us-iaas-cip", "sandbox"}, settings: map[string]any{"gate_bound": edgeBound.String()}}.make(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "gate.key")
	if err := os.WriteFile(key, d.muster("gate", "key", "--config", d.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	centre := d.start(nil)
	var behind atomic.Pointer[url.URL] // where the centre is at present
	move := func(p *process) {
		u, err := url.Parse(p.base)
		if err != nil {
			t.Fatal(err)
		}
		behind.Store(u)
	}
	move(centre)
	front := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(behind.Load()) }})
	t.Cleanup(front.Close)

	var me api.Me
	var made api.Token
	centre.get("/v1/me", &me)
	centre.do("POST", "/v1/tokens", map[string]any{"operator": me.Operator, "name": "edge", "scopes": []string{"gate:follow"}, "days": 1}, &made, http.StatusCreated)
	token := filepath.Join(dir, "edge.token")
	if err := os.WriteFile(token, []byte(made.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	people := synthetic.New(61)
	var open []*onboard.Answer
	for i := 0; len(open) < 2 && i < 200; i++ {
		if people.Class(i) != synthetic.Complete {
			continue
		}
		app := people.Next(i)
		app.Customer.Email = "open@sandbox.muster.example" // by which the sandbox decides
		a, err := centre.apply(app)
		if err != nil {
			t.Fatal(err)
		}
		if a.Decision.Outcome == muster.OutcomeOpen {
			open = append(open, a)
		}
	}
	if len(open) < 2 {
		t.Fatal("nobody was let in")
	}
	stays, leaves := open[0].Reference, open[1].Reference

	launch := func() *process {
		return d.launch([]string{d.binary, "gate", "--from", front.URL, "--token-file", token, "--key", key, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "edge")})
	}
	l := &edgeLoad{T: t, stop: make(chan struct{})}
	edge := launch()
	l.at.Store(edge.client)
	allowed := func(a *edgeAnswer) bool { return a.yes && !a.stale }
	denied := func(a *edgeAnswer) bool { return !a.yes && !a.stale }
	l.until("the edge knows who stays", stays, allowed)
	l.until("the edge knows who leaves", leaves, allowed)
	for n := range 4 {
		l.work.Go(func() {
			for turn := n; ; turn++ {
				select {
				case <-l.stop:
					return
				default:
				}
				if l.ask([]string{stays, leaves}[turn%2]) == nil {
					<-time.After(5 * time.Millisecond) // it is away
				}
			}
		})
	}

	// Killed beside its centre: it goes on from its cache, and follows.
	edge.kill()
	edge = launch()
	l.at.Store(edge.client)
	l.until("an answer after the kill", stays, allowed)

	// Stopped while somebody leaves and the centre goes away too, until what it knows is
	// older than promised. What waits in its socket is answered first.
	edge.signal(syscall.SIGSTOP)
	closing(centre, open[1].Account)
	left := time.Now()
	centre.kill()
	eventually(t, time.Minute, "what the edge knows is older than promised", func() bool { return time.Since(left) > edgeBound+time.Second })
	edge.signal(syscall.SIGCONT)
	l.until("who stays is answered by the fail table", stays, func(a *edgeAnswer) bool { return !a.yes && a.stale })

	// Killed while the centre is away: its cache is as old as it was.
	edge.kill()
	edge = launch()
	l.at.Store(edge.client)
	l.until("who stays is answered by the fail table after a start", stays, func(a *edgeAnswer) bool { return !a.yes && a.stale })

	back := d.start(nil)
	move(back)
	l.until("who stays, once the centre is back", stays, allowed)
	l.until("who leaves, once the centre is back", leaves, denied)
	close(l.stop)
	l.work.Wait()

	for _, a := range l.all {
		switch {
		case a.yes && (a.stale || a.until.Before(a.asked)):
			t.Errorf("%s was allowed from %s on until %s, stale: %v", a.account, a.asked, a.until, a.stale)
		case a.yes && a.until.After(a.came.Add(edgeBound)):
			t.Errorf("%s was allowed at %s until %s, which is longer than %s", a.account, a.came, a.until, edgeBound)
		case a.yes && a.account == leaves && a.asked.After(left.Add(edgeBound)):
			t.Errorf("%s was allowed %s after it left", a.account, a.asked.Sub(left))
		}
	}
	t.Logf("%d answers", len(l.all))
	edge.stop()
	back.stop()
	d.audit()
}

// closing has an account begin to close.
func closing(p *process, account string) {
	p.t.Helper()
	x := p.get("/v1/accounts/"+account, nil)
	p.do("POST", "/v1/accounts/"+account+"/moves", map[string]any{"to": "closing", "reason": "left"}, nil, http.StatusOK, "If-Match", x.header.Get("ETag"))
}
