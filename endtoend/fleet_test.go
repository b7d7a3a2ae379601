package endtoend

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/tlog"
)

// fleet is three processes of one deployment under load, of which any may be killed,
// stopped or replaced.
type fleet struct {
	testing.TB
	d      *deployment
	slots  [3]atomic.Pointer[process]
	all    []*process // also those that are gone
	second string     // token of another operator

	patience time.Duration // of a caller who has another process to turn to

	hooks  *hooks
	people *synthetic.Population

	stop chan struct{}
	work sync.WaitGroup
	next atomic.Int64 // application

	mu       sync.Mutex
	acks     map[int]*onboard.Answer // application -> its first acknowledgement
	order    []int                   // of acks
	records  map[string]int          // account -> access records that were acknowledged
	lines    map[string][]string     // application -> address lines that corrections put there; the first was acknowledged last
	erased   []string                // customers whose erasure was agreed to
	gone     map[string]bool         // applications and accounts of erasures
	lists    int                     // snapshots of the list that took effect
	heads    []tlog.Checkpoint
	faults   []fault
	longest  time.Duration // that an answer took
	disturbs int           // kills and pauses
}

// fault is an answer of the 500s, or none.
type fault struct {
	of     *process
	at     time.Time
	status int // 0: no answer
	what   string
}

// lease of duties in the fleet's processes: the shortest that the configuration takes.
const lease = 10 * time.Second

// newFleet makes a deployment with a second operator and a webhook, and no process yet.
func newFleet(t testing.TB, seed uint64, s setup) *fleet {
	f := &fleet{
		TB: t, hooks: newHooks(t), people: synthetic.New(seed), acks: map[int]*onboard.Answer{}, records: map[string]int{},
		lines: map[string][]string{}, gone: map[string]bool{}, patience: 3 * time.Second,
	}
	s.postgres, s.solo = true, "1s"
	if s.settings == nil {
		s.settings = map[string]any{}
	}
	s.settings["out"] = map[string]any{"allow": []string{f.hooks.Listener.Addr().String()}}
	s.settings["keeping"] = map[string]any{"delay": "0s", "daily_share": 100}
	f.d = s.make(t)
	return f
}

// begin starts the processes, and has a second operator and a webhook made.
func (f *fleet) begin() {
	f.Helper()
	for n := range f.slots {
		f.start(n)
	}
	c := f.slots[0].Load().client
	var o api.Operator
	c.do("POST", "/v1/operators", map[string]any{"name": "Bo Nilsson"}, &o, http.StatusCreated)
	var me api.Me
	c.get("/v1/me", &me)
	var tok api.Token
	c.do("POST", "/v1/tokens", map[string]any{"operator": o.Operator, "name": "second", "scopes": me.Scopes, "days": 2}, &tok, http.StatusCreated)
	f.second = tok.Secret
	c.do("POST", "/v1/webhooks", map[string]any{"url": f.hooks.URL + "/hook"}, nil, http.StatusCreated)
	// Each process learns of a webhook within a second; what is decided before has no listener.
	for n := range f.slots {
		for try := 0; ; try++ {
			a := f.apply(n, int(f.next.Add(1)-1), f.slots[n].Load().client)
			if a == nil {
				continue
			}
			heard, from := false, time.Now()
			eventually(f, serving, "an event, or time for the next", func() bool {
				heard = f.hooks.told(a.Decision.ID)
				return heard || time.Since(from) > time.Second
			})
			if heard {
				break
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.acks) // some of them before anybody listened
	f.order = nil
}

// start starts the n-th process.
func (f *fleet) start(n int) {
	f.Helper()
	p := f.d.beside(n)
	f.slots[n].Store(p)
	f.all = append(f.all, p)
}

// nextOf is the next application of a class: how many come before it is chance.
func (f *fleet) nextOf(class synthetic.Class) int {
	for {
		if i := int(f.next.Add(1) - 1); f.people.Class(i) == class {
			return i
		}
	}
}

// at is the n-th process as a caller with little patience sees it.
func (f *fleet) at(n int) *client { return f.hasty(f.slots[n].Load()) }

// hasty is a process as a caller with little patience sees it: one that is stopped takes
// a connection and says nothing.
func (f *fleet) hasty(p *process) *client {
	c, patient := *p.client, *p.http
	patient.Timeout = f.patience
	c.http = &patient
	return &c
}

// ask has one process answer after the other until one does: not with one of the 500s.
func (f *fleet) ask(n int, token, method, path string, body []byte, headers ...string) *answer {
	for {
		p := f.slots[n%len(f.slots)].Load()
		c := f.hasty(p)
		if token != "" {
			c = c.as(token)
		}
		began := time.Now()
		x, err := c.try(method, path, body, headers...)
		took := time.Since(began)
		f.mu.Lock()
		f.longest = max(f.longest, took)
		switch {
		case err != nil:
			f.faults = append(f.faults, fault{p, time.Now(), 0, method + " " + path})
		case x.status >= 500:
			f.faults = append(f.faults, fault{p, time.Now(), x.status, method + " " + path + " " + string(x.body)})
		}
		f.mu.Unlock()
		if err == nil && x.status < 500 {
			return x
		}
		if f.stopped() {
			return nil
		}
		n++
		if n%len(f.slots) == 0 {
			<-time.After(100 * time.Millisecond) // all of them are away
		}
	}
}

func (f *fleet) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// apply posts application i: to c alone, or beginning with the n-th process.
func (f *fleet) apply(n, i int, c *client) *onboard.Answer {
	body, err := json.Marshal(f.people.Next(i))
	if err != nil {
		f.Fatal(err)
	}
	var x *answer
	if c != nil {
		if x, err = c.try("POST", "/v1/applications", body); err != nil {
			f.Fatal(err)
		}
	} else if x = f.ask(n, "", "POST", "/v1/applications", body); x == nil {
		return nil
	}
	switch x.status {
	case http.StatusOK, http.StatusCreated:
	case http.StatusUnprocessableEntity:
		return nil
	default:
		f.Errorf("application %d: %d %s", i, x.status, x.body)
		return nil
	}
	a := &onboard.Answer{}
	if err := json.Unmarshal(x.body, a); err != nil {
		f.Error(err)
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if was := f.acks[i]; was != nil && was.Application != a.Application {
		f.Errorf("application %d was acknowledged as %s and as %s", i, was.Application, a.Application)
	}
	f.acks[i] = a
	f.order = append(f.order, i)
	return a
}

// acked is how many applications were acknowledged.
func (f *fleet) acked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.order)
}

// pick is an application of a class that was acknowledged, the nth from the last, and
// is not erased.
func (f *fleet) pick(nth int, class synthetic.Class) *onboard.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range slices.Backward(f.order) {
		a := f.acks[i]
		if f.people.Class(i) != class || f.gone[a.Application] || f.lines[a.Application] != nil {
			continue
		}
		if nth--; nth < 0 {
			return a
		}
	}
	return nil
}

// again runs fn again and again, after a pause, until the load ends.
func (f *fleet) again(pause time.Duration, fn func(turn int)) {
	f.work.Go(func() {
		for turn := 0; !f.stopped(); turn++ {
			fn(turn)
			select {
			case <-f.stop:
			case <-time.After(pause):
			}
		}
	})
}

// load begins: applications, corrections, access records, questions to each gate, and
// looks at each checkpoint.
func (f *fleet) load() {
	f.stop = make(chan struct{})
	for n := range f.slots {
		for range 2 {
			f.again(30*time.Millisecond, func(int) { f.apply(n, int(f.next.Add(1)-1), nil) })
		}
		f.again(100*time.Millisecond, func(turn int) { f.look(n); f.mayPass(n, turn) })
		f.again(50*time.Millisecond, func(turn int) { f.sendRecords(n, turn) })
	}
	f.again(200*time.Millisecond, f.correct)
}

// end ends the load. From now on nobody is away: whoever asks waits for the answer.
func (f *fleet) end() {
	close(f.stop)
	f.work.Wait()
	f.patience = time.Minute
}

// look reads a process's checkpoint. One that is away is passed over.
func (f *fleet) look(n int) {
	x, err := f.at(n).try("GET", "/checkpoint", nil)
	if err != nil || x.status != http.StatusOK {
		return
	}
	c, err := readCheckpoint(x.body)
	if err != nil {
		f.Error(err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heads = append(f.heads, c)
}

// mayPass asks a process's gate about somebody.
func (f *fleet) mayPass(n, turn int) {
	if a := f.pick(turn%50, synthetic.Complete); a != nil {
		_, _, _ = f.gate(n, a.Reference)
	}
}

// gate is what a process's gate says of an account.
func (f *fleet) gate(n int, account string) (yes bool, why string, err error) {
	body := mustJSON(f, map[string]any{"subject": map[string]any{"type": "account", "id": account}, "action": map[string]any{"name": "use"}, "resource": map[string]any{"type": "account", "id": account}})
	x, err := f.at(n).try("POST", "/access/v1/evaluation", body)
	if err != nil {
		return false, "", err
	}
	var says struct {
		Decision bool
		Context  struct{ Status, ID string }
	}
	if x.status != http.StatusOK {
		return false, "", fmt.Errorf("%d: %s", x.status, x.body)
	}
	return says.Decision, says.Context.Status + " " + says.Context.ID, func() error {
		err := json.Unmarshal(x.body, &says)
		return err
	}()
}

// recordsFrom is the time of the first access record.
var recordsFrom = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// sendRecords sends a batch of records with ids; one that got no answer goes again, to
// another process.
func (f *fleet) sendRecords(n, turn int) {
	a := f.pick(turn%7, synthetic.Entity)
	if a == nil {
		return
	}
	const batch = 5
	var b bytes.Buffer
	for i := range batch {
		at := recordsFrom.Add(time.Duration(turn*batch+i)*time.Second + time.Duration(n)*time.Millisecond)
		fmt.Fprintf(&b, `{"id":"r-%d-%d-%d","account":%q,"ip":"192.0.2.7","at":%q,"action":"login"}`+"\n", n, turn, i, a.Account, at.Format(time.RFC3339Nano))
	}
	x := f.ask(n, "", "POST", "/v1/access-records", b.Bytes(), "Content-Type", "application/x-ndjson")
	switch {
	case x == nil: // the load ended, and nobody knows whether they are there
		f.mu.Lock()
		f.gone[a.Account] = true
		f.mu.Unlock()
	case x.status == http.StatusOK:
		f.mu.Lock()
		f.records[a.Account] += batch
		f.mu.Unlock()
	default:
		f.Errorf("records: %d %s", x.status, x.body)
	}
}

// correct corrects an application's address. Whether a correction without an answer was
// made, the next look shows.
func (f *fleet) correct(turn int) {
	a := f.pick(turn%20, synthetic.NoPhone)
	if a == nil {
		return
	}
	var v onboard.View
	x := f.ask(turn, "", "GET", "/v1/applications/"+a.Application, nil)
	if x == nil || x.status != http.StatusOK || json.Unmarshal(x.body, &v) != nil {
		return
	}
	line := fmt.Sprintf("%d Corrected Street", turn+1)
	body := mustJSON(f, map[string]any{"customer": map[string]any{"address": map[string]any{"lines": []string{line}}}})
	x = f.ask(turn+1, "", "PATCH", "/v1/applications/"+a.Application+"/claims", body,
		"Content-Type", "application/merge-patch+json", "If-Match", fmt.Sprintf(`"%d"`, v.Version))
	f.mu.Lock()
	defer f.mu.Unlock()
	if x == nil || x.status == http.StatusPreconditionFailed || x.status == http.StatusConflict { // it may be there by an earlier try
		f.lines[a.Application] = append(f.lines[a.Application], line, a.Application)
		return
	}
	if x.status == http.StatusOK {
		f.lines[a.Application] = []string{line}
	}
}

// importList puts a list of the provider's own into effect that names so many of those
// who applied, and has everybody on file screened against it.
func (f *fleet) importList(n, names int) {
	f.Helper()
	var csv strings.Builder
	csv.WriteString("id,action,owner,reason,kind,names\n")
	f.mu.Lock()
	fmt.Fprintf(&csv, "n-%d,deny,abuse desk,no two snapshots are the same,individual,Zzyzx Qwrtplk\n", f.lists)
	for _, i := range f.order {
		if names == 0 {
			break
		}
		if f.people.Class(i) != synthetic.USClaim {
			continue
		}
		names--
		fmt.Fprintf(&csv, "b-%d,deny,abuse desk,took payments and vanished,individual,%q\n", i, f.people.Next(i).Customer.Name.Full)
	}
	f.mu.Unlock()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "blocked.csv", Mode: 0o600, Size: int64(csv.Len())}); err != nil {
		f.Fatal(err)
	}
	io.WriteString(w, csv.String())
	w.Close()
	x := f.ask(n, "", "POST", "/v1/lists/imports", b.Bytes(), "Content-Type", "application/x-tar")
	var out api.ImportOutcome
	if x == nil || x.status != http.StatusOK || json.Unmarshal(x.body, &out) != nil || len(out.Items) != 1 {
		f.Fatalf("import: %+v", x)
	}
	if s := out.Items[0].State; s != "applied" && s != "unchanged" { // by an earlier try
		f.Fatalf("import: %s", x.body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
}

// enact has two operators put a special measure into force, and returns from when on every
// process decides by it.
func (f *fleet) enact(n int, country string) (binds time.Time) {
	f.Helper()
	source := fmt.Sprintf(`format: 1
id: example-1
title: No accounts in a country of the example
kind: jurisdiction
authority: An authority of the example
citation: Example Determination 1
status: in force
measure: prohibit
targets: [{country: %s}]
by: [address, nationality, ip]
published: %s
effective: %[2]s
until: %s
words:
  customer: A government measure does not let us serve this account.
  appeal: If this is a mistake, write to appeals@provider.example.
`, country, time.Now().UTC().Format(time.DateOnly), time.Now().UTC().AddDate(0, 6, 0).Format(time.DateOnly))
	var act muster.MeasureAct
	x := f.ask(n, "", "POST", "/v1/measures", mustJSON(f, map[string]any{"kind": "enact", "source": source}), "Idempotency-Key", "enact-1")
	if x == nil || x.status != http.StatusAccepted || json.Unmarshal(x.body, &act) != nil {
		f.Fatalf("enact: %d %s", x.status, x.body)
	}
	if x = f.ask(n+1, f.second, "POST", "/v1/measures/acts/"+act.ID+"/approval", nil, "Idempotency-Key", "approve-1"); x == nil || x.status != http.StatusOK || json.Unmarshal(x.body, &act) != nil || act.Binds.IsZero() {
		f.Fatalf("approve: %d %s", x.status, x.body)
	}
	return act.Binds
}

// erase withdraws an application and has two operators agree that its file goes.
func (f *fleet) erase(n int) {
	f.Helper()
	a := f.withdraw(n)
	f.mu.Lock()
	f.gone[a.Application], f.gone[a.Account] = true, true
	f.mu.Unlock()
	var customer api.Account
	for customer.State != "closed" {
		x := f.ask(n, "", "GET", "/v1/accounts/"+a.Account, nil)
		if x == nil || json.Unmarshal(x.body, &customer) != nil {
			f.Fatalf("%+v", x)
		}
		if customer.State == "closing" {
			f.ask(n, "", "POST", "/v1/accounts/"+a.Account+"/moves", []byte(`{"to":"closed","reason":"T-1"}`), "If-Match", fmt.Sprintf(`"%d"`, customer.Version))
		}
	}
	var e api.Erasure
	x := f.ask(n, "", "POST", "/v1/erasures", mustJSON(f, map[string]any{"customer": customer.Customer, "ground": "request"}), "Idempotency-Key", "erase-"+a.Reference)
	if x == nil || x.status != http.StatusCreated || json.Unmarshal(x.body, &e) != nil {
		f.Fatalf("erasure: %d %s", x.status, x.body)
	}
	x = f.ask(n+1, f.second, "POST", "/v1/erasures/"+e.Erasure+"/agreement", nil, "If-Match", fmt.Sprintf(`"%d"`, e.Version))
	if x == nil || x.status != http.StatusOK && x.status != http.StatusPreconditionFailed { // it was agreed to by an earlier try
		f.Fatalf("agreement: %d %s", x.status, x.body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.erased = append(f.erased, customer.Customer)
}

// withdraw withdraws one of the last applications that can be: a measure may have
// refused some.
func (f *fleet) withdraw(n int) *onboard.Answer {
	f.Helper()
	for nth := 3; ; nth++ {
		a := f.pick(nth, synthetic.Complete)
		if a == nil {
			f.Fatal("nobody to erase")
		}
		for {
			var v onboard.View
			x := f.ask(n, "", "GET", "/v1/applications/"+a.Application, nil)
			if x == nil || json.Unmarshal(x.body, &v) != nil {
				f.Fatalf("%+v", x)
			}
			if v.State == "withdrawn" { // by an earlier try
				return a
			}
			x = f.ask(n, "", "POST", "/v1/applications/"+a.Application+"/withdrawal", nil, "If-Match", fmt.Sprintf(`"%d"`, v.Version))
			if x != nil && x.status == http.StatusOK {
				return a
			}
			if x == nil || x.status != http.StatusPreconditionFailed {
				break
			}
		}
	}
}

// retainNow has the day's run of retention begin now.
func (f *fleet) retainNow() {
	f.Helper()
	pgtest.Exec(f, f.d.dsn, `UPDATE jobs SET run_at = 1 WHERE kind = $1 AND holder = ''`, muster.JobRetain)
}

// said is what the processes' logs say of an answer.
func (f *fleet) said(answer string) string {
	var p struct {
		ID string `json:"request_id"`
	}
	if i := strings.IndexByte(answer, '{'); i < 0 || json.Unmarshal([]byte(answer[i:]), &p) != nil || p.ID == "" {
		return ""
	}
	for _, process := range f.all {
		for line := range strings.Lines(string(process.log.bytes())) {
			if strings.Contains(line, p.ID) && strings.Contains(line, "cause") {
				return process.cmd.Path + ": " + line
			}
		}
	}
	return ""
}

// signal reaches one process, and not its children, of which it has none.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// hooks is a receiver of webhooks that looks at how messages come.
type hooks struct {
	*httptest.Server
	testing.TB

	mu    sync.Mutex
	seen  map[string][]delivery // by message
	about map[string]bool       // decisions of messages
}

// delivery is one arrival of a message.
type delivery struct {
	at      time.Time
	signed  time.Time // as it says
	attempt int
	event   muster.Event
}

func newHooks(t testing.TB) *hooks {
	h := &hooks{TB: t, seen: map[string][]delivery{}, about: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.take))
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) take(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // it broke off: nothing came
	}
	d := delivery{at: time.Now()}
	id := r.Header.Get("webhook-id")
	seconds, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	d.signed = time.Unix(seconds, 0)
	attempt, err2 := strconv.Atoi(r.Header.Get("muster-attempt"))
	d.attempt = attempt
	if err := cmp.Or(err, err2, json.Unmarshal(data, &d.event)); err != nil {
		h.Errorf("a message that cannot be read: %v", err)
	}
	h.mu.Lock()
	h.seen[id] = append(h.seen[id], d)
	h.about[d.event.Data.Decision] = true
	h.mu.Unlock()
	<-time.After(20 * time.Millisecond) // so that some are always under way
	w.WriteHeader(http.StatusNoContent)
}

// told reports whether a message about a decision came.
func (h *hooks) told(decision string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.about[decision]
}

func (h *hooks) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}
