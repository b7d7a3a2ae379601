package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
)

// TestThreeProcessesKilledAndStopped: of three processes under load one is killed and
// another stopped past its leases, again and again, while a list is swept, a measure
// applied and files erased. Nothing is lost, doubled, forked or sent by who has lost the
// right to.
func TestThreeProcessesKilledAndStopped(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 41, setup{settings: map[string]any{"lease": lease.String()}})
	f.begin()
	f.load()
	r := dice(t)
	f.await(60, "a book to work with")
	rounds := 2
	if soak() {
		rounds = 25
	}
	for n := range rounds {
		killed := r.IntN(3)
		stopped := (killed + 1 + r.IntN(2)) % 3
		left := 3 - killed - stopped
		f.importList(left, 3+n)
		f.erase(left)
		f.retainNow()
		if n == 0 {
			f.enact(left, "DE")
		}
		f.await(10+r.IntN(40), "something after the orders")
		p := f.slots[stopped].Load()
		p.signal(syscall.SIGSTOP)
		since := time.Now()
		f.await(5+r.IntN(20), "something beside the process that is stopped")
		f.slots[killed].Load().kill()
		f.await(5+r.IntN(20), "something by the process that is left alone")
		f.start(killed)
		f.disturbs += 2
		eventually(t, time.Minute, "the leases of the process that is stopped are over", func() bool { return time.Since(since) > lease+2*time.Second })
		p.signal(syscall.SIGCONT)
		f.await(20, "something by all three")
	}
	f.end()
	f.check()
	for n := range f.slots {
		f.slots[n].Load().stop()
	}
	a := f.d.audit()
	if n := a.ByType["erasure"]; n != 4*len(f.erased) { // proposed, agreed, begun, done
		t.Errorf("%d entries of %d erasures", n, len(f.erased))
	}
	t.Logf("%d rounds, %d applications, %d leaves; the longest answer took %s, %d faults", rounds, len(f.acks), a.Size, f.longest, len(f.faults))
}

// await waits for so many more applications to be acknowledged.
func (f *fleet) await(more int, what string) {
	f.Helper()
	target := f.acked() + more
	eventually(f, roundLasts, what, func() bool { return f.acked() >= target || f.Failed() })
}

// corrected waits until a correction was acknowledged.
func (f *fleet) corrected() {
	f.Helper()
	eventually(f, roundLasts, "a correction", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.lines) > 0 || f.Failed()
	})
}

// check holds all that there is against what was acknowledged, once the load has ended.
func (f *fleet) check() {
	f.Helper()
	f.drained()
	f.retainNow() // what was agreed to while a day's run was under way is the next one's
	f.drained()
	f.applications()
	f.deliveries()
	f.accessRecords()
	f.corrections()
	f.gates()
	f.files()
	f.screened()
	w := &watcher{T: f.TB.(*testing.T), heads: f.heads}
	for n := range f.slots {
		w.servers = append(w.servers, f.slots[n].Load().client)
	}
	w.look()
	w.oneLog()
}

// drained waits until nobody has anything to do that is due, nor anything to tell, also
// where that failed and was put off. What waits for its time, such as the end of a sweep,
// is not due.
func (f *fleet) drained() {
	f.Helper()
	var left int64
	eventually(f, roundLasts, "no job is due or taken", func() bool {
		left = pgtest.One[int64](f, f.d.dsn, `SELECT count(*) FROM jobs WHERE dead = 0 AND (holder <> '' OR run_at <= $1 OR kind IN ($2, $3))`,
			time.Now().UnixMicro(), muster.JobPublish, muster.JobWebhook)
		return left == 0
	})
	if dead := pgtest.One[int64](f, f.d.dsn, `SELECT count(*) FROM jobs WHERE dead = 1`); dead > 0 {
		f.Errorf("%d jobs were set aside", dead)
	}
}

// applications: all that were acknowledged are there, and none twice.
func (f *fleet) applications() {
	f.Helper()
	c := f.slots[0].Load().client
	type row struct{ Application, Reference string }
	at := map[string]string{}
	for _, r := range walk[row](c, "/v1/applications") {
		if was, twice := at[r.Reference]; twice {
			f.Errorf("%s is there twice: %s and %s", r.Reference, was, r.Application)
		}
		at[r.Reference] = r.Application
	}
	for i, a := range f.acks {
		if at[f.people.Reference(i)] != a.Application {
			f.Errorf("%s was acknowledged as %s and is %q now", a.Reference, a.Application, at[f.people.Reference(i)])
		}
	}
	if n := len(walk[struct{}](c, "/v1/customers")); n != len(at) {
		f.Errorf("%d customers for %d applications", n, len(at))
	}
}

// deliveries: every decision was told of, under one id, and nothing was sent by a
// process that had lost the right to.
func (f *fleet) deliveries() {
	f.Helper()
	f.hooks.mu.Lock()
	defer f.hooks.mu.Unlock()
	for _, a := range f.acks {
		if !f.hooks.about[a.Decision.ID] {
			f.Errorf("nobody was told of %s, the decision on %s", a.Decision.ID, a.Reference)
		}
	}
	// What was sent and got no answer in time goes again, and that is written down.
	failed := map[string]bool{}
	for _, try := range strings.Fields(pgtest.One[string](f, f.d.dsn, `SELECT coalesce(string_agg(message || '/' || attempt, ' '), '') FROM deliveries WHERE error <> ''`)) {
		failed[try] = true
	}
	doubled, notices := 0, map[string]int{}
	for id, all := range f.hooks.seen {
		for _, d := range all[:len(all)-1] {
			if !failed[fmt.Sprintf("%s/%d", id, d.attempt)] {
				doubled++
			}
		}
		if e := all[0].event; e.Type == "measure.notice" {
			notices[e.Data.Account+" "+e.Data.Measure]++
		}
		for n, d := range all {
			// It is signed as it is sent. Who sleeps in between is stopped for longer than its lease.
			if late := d.at.Sub(d.signed); late > lease {
				f.Errorf("%s was sent %s after it was signed: its sender had slept", id, late)
			}
			if n > 0 && d.attempt <= all[n-1].attempt {
				f.Errorf("%s: attempt %d came after attempt %d", id, d.attempt, all[n-1].attempt)
			}
		}
	}
	for what, n := range notices {
		if n != 1 {
			f.Errorf("%d notices of %s", n, what)
		}
	}
	// Sent, and killed or stopped before that was written down: each has four at once.
	if most := 4 * f.disturbs; doubled > most {
		f.Errorf("%d messages came twice, and at most %d were under way when somebody was disturbed", doubled, most)
	}
	f.Logf("%d messages, %d came twice, %d tries failed, %d notices", len(f.hooks.seen), doubled, len(failed), len(notices))
}

// accessRecords: each that was acknowledged is there once.
func (f *fleet) accessRecords() {
	f.Helper()
	c := f.slots[1].Load().client
	for account, want := range f.records {
		if f.gone[account] {
			continue
		}
		seen, n := map[time.Time]bool{}, 0
		for after := ""; ; {
			var page struct {
				Items []api.AccessSeen
				After string
			}
			c.do("POST", "/v1/ledger/where-used", map[string]any{
				"purpose": "abuse", "case": "T-1", "account": account, "from": recordsFrom.AddDate(0, 0, -1), "until": recordsFrom.AddDate(0, 1, 0), "limit": 1000, "after": after,
			}, &page, http.StatusOK)
			for _, x := range page.Items {
				seen[x.At] = true
				n++
			}
			if after = page.After; after == "" {
				break
			}
		}
		if n != want || len(seen) != want {
			f.Errorf("%s: %d access records, %d different, %d acknowledged", account, n, len(seen), want)
		}
	}
}

// corrections: what was acknowledged last is on file.
func (f *fleet) corrections() {
	f.Helper()
	c := f.slots[2].Load().client
	for application, lines := range f.lines {
		if f.gone[application] || len(lines) != 1 {
			continue
		}
		var r onboard.Revealed
		c.do("POST", "/v1/applications/"+application+"/reveal", map[string]any{"purpose": "support", "case": "T-1"}, &r, http.StatusOK)
		if got := r.Application.Customer.Address.Lines; !slices.Equal(got, lines) {
			f.Errorf("%s: %q is on file, %q was acknowledged", application, got, lines)
		}
	}
	if len(f.lines) == 0 {
		f.Error("nothing was corrected")
	}
}

// gates: each process's gate comes to say what the account is, and all for one reason.
func (f *fleet) gates() {
	f.Helper()
	opened := map[bool]int{}
	for n, i := range f.order {
		if n%5 != 0 {
			continue
		}
		account := f.acks[i].Account
		var a api.Account
		f.slots[n/5%3].Load().get("/v1/accounts/"+account, &a)
		want := a.State == "active" || a.State == "limited"
		eventually(f, serving, fmt.Sprintf("%s is %s, and every gate says so", account, a.State), func() bool {
			reasons := map[string]bool{}
			for n := range f.slots {
				yes, why, err := f.gate(n, account)
				if err != nil || yes != want {
					return false
				}
				reasons[why] = true
			}
			return len(reasons) == 1
		})
		opened[want]++
	}
	f.Logf("gates: %d open, %d not", opened[true], opened[false])
}

// files: whoever was to be erased is, on every process.
func (f *fleet) files() {
	f.Helper()
	all := walk[api.Erasure](f.slots[0].Load().client, "/v1/erasures")
	done := 0
	for _, e := range all {
		if e.Ground != "request" {
			continue
		}
		if e.State != "done" {
			f.Errorf("erasure %s of %s is %s", e.Erasure, e.Customer, e.State)
		}
		done++
	}
	if done != len(f.erased) {
		f.Errorf("%d erasures, %d were agreed to", done, len(f.erased))
	}
	for a := range f.gone {
		if !strings.HasPrefix(a, muster.PrefixApplication) {
			continue
		}
		for n := range f.slots {
			if name, err := f.reveals(n, a); name != "" || err != nil {
				f.Errorf("process %d still opens %s: %q %v", n, a, name, err)
			}
		}
	}
}

// screened: each list that took effect was swept once, and raised each hit once.
func (f *fleet) screened() {
	f.Helper()
	c := f.slots[1].Load().client
	var swept map[string]int
	eventually(f, roundLasts, "every sweep has been through the book", func() bool {
		swept = map[string]int{}
		through := true
		for _, s := range walk[api.Sweep](c, "/v1/sweeps") {
			through = through && (s.Stage == "tail" || s.Stage == "done")
			swept[s.To]++
		}
		return through
	})
	if len(swept) != f.lists {
		f.Errorf("%d sweeps of %d snapshots", len(swept), f.lists)
	}
	for to, n := range swept {
		if n != 1 {
			f.Errorf("%d sweeps for %s", n, to)
		}
	}
	hits := map[string]int{}
	for _, h := range walk[api.Hit](c, "/v1/hits") {
		hits[h.Subject+h.Of]++
	}
	if len(hits) < 3 {
		f.Errorf("only %d people were met", len(hits))
	}
	f.Logf("%d sweeps, %d people met", len(swept), len(hits))
}

// reveals is the customer's name as a process opens it, "" where it does not.
func (f *fleet) reveals(n int, application string) (string, error) {
	x, err := f.slots[n].Load().try("POST", "/v1/applications/"+application+"/reveal", mustJSON(f, map[string]any{"purpose": "support", "case": "T-1"}))
	switch {
	case err != nil:
		return "", err
	case x.status >= http.StatusInternalServerError:
		return "", fmt.Errorf("%d: %s", x.status, x.body)
	case x.status != http.StatusOK:
		return "", nil
	}
	var r onboard.Revealed
	err = json.Unmarshal(x.body, &r)
	if r.Application == nil {
		return "", err
	}
	return r.Application.Customer.Name.Full, err
}

// TestErasedOnOneGoneOnAll: a person erased by one process is not opened any more by
// another, which had the key in its memory, five seconds later.
func TestErasedOnOneGoneOnAll(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 42, setup{})
	f.begin()
	for range 60 {
		f.apply(0, int(f.next.Add(1)-1), nil)
	}
	opens := func(n int, application string) bool {
		t.Helper()
		name, err := f.reveals(n, application)
		if err != nil {
			t.Fatal(err)
		}
		return name != ""
	}
	gone := func(what string, since time.Time, opens func(n int, what string) bool) {
		t.Helper()
		took := map[int]time.Duration{}
		for len(took) < len(f.slots) {
			for n := range f.slots {
				if took[n] != 0 {
					continue
				}
				// What is asked later than that is not answered, however long the answer takes.
				began := time.Now()
				if !opens(n, what) {
					took[n] = time.Since(since)
				} else if began.Sub(since) > 5*time.Second {
					t.Fatalf("process %d, asked %s later, opens %s; before: %v", n, began.Sub(since), what, took)
				}
			}
		}
		t.Logf("%s is not opened any more after %v", what, took)
	}

	{ // By the erasure of the file.
		a := f.pick(3, synthetic.Complete)
		f.erase(0)
		for n := range f.slots {
			if !opens(n, a.Application) {
				t.Fatalf("process %d does not open a file that is there", n)
			}
		}
		f.retainNow()
		eventually(t, time.Minute, "the erasure is done", func() bool {
			for n := range f.slots {
				opens(n, a.Application) // it stays in the memory of each for as long as it may
			}
			return pgtest.One[int64](t, f.d.dsn, `SELECT count(*) FROM erasures WHERE state = 'done'`) == 1
		})
		gone(a.Application, time.Now(), opens)
	}

	// By the key alone, as in the first half of an erasure: what goes with a file hides what is in memory.
	// On a machine that pauses the key may be gone from there before anybody asks.
	still := 0
	for nth := 7; nth < 11 && still == 0; nth++ {
		a := f.pick(nth, synthetic.Complete)
		key := pgtest.One[string](t, f.d.dsn, `SELECT s.sealed_under FROM subjects s JOIN applications a ON a.customer = s.customer WHERE a.id = $1 LIMIT 1`, a.Application)
		for n := range f.slots {
			if !opens(n, a.Application) {
				t.Fatalf("process %d does not open a file that is there", n)
			}
		}
		pgtest.Exec(t, f.d.keyDSN, `DELETE FROM subject_keys WHERE id = $1`, key)
		since := time.Now()
		for n := range f.slots {
			if opens(n, a.Application) {
				still++
			}
		}
		gone(a.Application, since, opens)
	}
	if still == 0 {
		t.Error("no process had the key in its memory: this shows nothing")
	}

	{ // What was seen of one who stays, by its key alone.
		a := f.pick(11, synthetic.Complete)
		x := f.ask(0, "", "POST", "/v1/applications/"+a.Application+"/evidence", mustJSON(f, map[string]any{
			"method": "document.manual", "input": json.RawMessage(roomtest.Passport("NG", "C01X00T47")),
		}), "Idempotency-Key", "seen-1")
		if x.status != http.StatusCreated {
			t.Fatalf("evidence: %d %s", x.status, x.body)
		}
		customer := pgtest.One[string](t, f.d.dsn, `SELECT customer FROM applications WHERE id = $1`, a.Application)
		key := pgtest.One[string](t, f.d.dsn, `SELECT sealed_under FROM evidence WHERE application = $1 AND sealed_under <> ''`, a.Application)
		seen := func(n int, customer string) bool {
			t.Helper()
			x, err := f.slots[n].Load().try("GET", "/v1/customers/"+customer+"/copy?case=T-2", nil)
			if err != nil || x.status != http.StatusOK {
				t.Fatalf("%+v, %v", x, err)
			}
			return bytes.Contains(x.body, []byte("C01X00T47"))
		}
		for n := range f.slots {
			if !seen(n, customer) {
				t.Fatalf("process %d does not open what was seen", n)
			}
		}
		pgtest.Exec(t, f.d.keyDSN, `DELETE FROM subject_keys WHERE id = $1`, key)
		gone(customer, time.Now(), seen)
		for n := range f.slots {
			if !opens(n, a.Application) {
				t.Errorf("process %d does not open the person", n)
			}
		}
	}
}
