package watch_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func TestAnEventArrivesSignedAndThin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.publish("application.decided")
	b.drain()
	got := b.receiver.arrivals(t)
	if len(got) != 1 {
		t.Fatalf("%d arrivals", len(got))
	}
	const want = `{"type":"application.decided","timestamp":"2026-03-01T12:00:00Z","data":{"application":"app_1","account":"acme-1","decision":"dec_1","outcome":"open"}}`
	if string(got[0].body) != want {
		t.Errorf("body\n%s\nwant\n%s", got[0].body, want)
	}
	h := got[0].header
	if h.Get("webhook-id") != e.ID || h.Get("webhook-timestamp") != strconv.FormatInt(b.clock.read().Unix(), 10) || h.Get("muster-attempt") != "1" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	rows := b.log()
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	r := *rows[0]
	if r.Took <= 0 || r.Took > time.Minute || !strings.Contains(string(r.Payload), e.ID) {
		t.Errorf("took %v, payload %s", r.Took, r.Payload)
	}
	r.Took, r.Payload = 0, nil
	if d := cmp.Diff(muster.DeliveryRecord{
		Message: e.ID, Webhook: b.hook.ID, Event: "application.decided", Ref: "app_1", At: b.clock.read(), Attempt: 1, Status: 204,
	}, r); d != "" {
		t.Error(d)
	}
	if at := b.due(); !at.IsZero() && at.Unix() != 0 {
		t.Errorf("more is due at %v", at)
	}
}

func TestOnlyEndpointsThatWantAnEventGetIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, w := range []muster.WebhookRecord{
		{URL: b.receiver.URL + "/other", Events: []string{"review.opened"}, Enabled: true},
		{URL: b.receiver.URL + "/off", Enabled: false},
	} {
		if _, _, err := b.endpoints.AddWebhook(t.Context(), "opr_a", w); err != nil {
			t.Fatal(err)
		}
	}
	b.publish("application.decided")
	b.drain()
	if got := b.receiver.arrivals(t); len(got) != 1 {
		t.Errorf("%d arrivals", len(got))
	}
}

func TestRetriesGoOnForADayWithOneID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusInternalServerError)
	e := b.publish("application.decided")
	start := b.clock.read()
	b.drain()
	var waits []time.Duration
	for len(b.dead()) == 0 {
		at := b.due()
		waits = append(waits, at.Sub(b.clock.read()))
		if len(waits) > 20 {
			t.Fatal("it never ends")
		}
		// Not before it is due.
		b.clock.move(at.Sub(b.clock.read()) - time.Millisecond)
		before := len(b.receiver.arrivals(t))
		b.drain()
		if len(b.receiver.arrivals(t)) != before {
			t.Fatal("sent before it was due")
		}
		b.clock.move(time.Millisecond)
		b.drain()
	}
	schedule := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}
	if len(waits) != len(schedule) {
		t.Fatalf("waits %v", waits)
	}
	exact := 0
	for i, w := range waits {
		if w < schedule[i] || w > schedule[i]+schedule[i]/10+time.Second {
			t.Errorf("wait %d is %v", i, w)
		}
		if w == schedule[i] {
			exact++
		}
	}
	if exact == len(waits) {
		t.Error("no jitter")
	}
	if all := b.clock.read().Sub(start); all < 24*time.Hour {
		t.Errorf("given up after %v", all)
	}
	stamps := map[string]bool{}
	for i, a := range b.receiver.arrivals(t) {
		if a.header.Get("webhook-id") != e.ID || a.header.Get("muster-attempt") != strconv.Itoa(i+1) {
			t.Errorf("arrival %d: %v", i, a.header)
		}
		stamps[a.header.Get("webhook-timestamp")] = true
	}
	if len(stamps) != 11 || len(b.log()) != 11 {
		t.Errorf("%d timestamps, %d rows", len(stamps), len(b.log()))
	}
	if dead := b.dead(); dead[0].LastError != "http_500" || dead[0].Ref != b.hook.ID {
		t.Errorf("dead %+v", dead[0])
	}
	// A replay begins a new round, counts on, and says the same.
	b.receiver.status(http.StatusOK)
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, e.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, e.ID); muster.ErrorCode(err) != muster.CodeConflict {
		t.Errorf("a second replay: %v", err)
	}
	b.drain()
	got := b.receiver.arrivals(t)
	last := got[len(got)-1]
	if len(got) != 12 || last.header.Get("muster-attempt") != "12" || last.header.Get("webhook-id") != e.ID || string(last.body) != string(got[0].body) {
		t.Errorf("%d arrivals, the last %v", len(got), last.header)
	}
	if rows := b.log(); len(rows) != 12 || rows[11].Status != 200 || rows[11].Ref != "app_1" {
		t.Errorf("%d rows", len(rows))
	}
	if len(b.entries.what) != 2 || b.entries.what[1] != `delivery opr_a webhook {"what":"replayed","message":"`+e.ID+`"}` {
		t.Errorf("entries %q", b.entries.what)
	}
}

func TestWhatAReceiverAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   string
		from   time.Duration // earliest next attempt; 0: none
		to     time.Duration
	}{
		"created":   {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }},
		"not found": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, code: "http_404", from: 5 * time.Second, to: 6 * time.Second},
		"redirect": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, code: "redirect", from: 5 * time.Second, to: 6 * time.Second},
		"in a minute": {answer: wait("60"), code: "http_429", from: time.Minute, to: 67 * time.Second},
		"in no time":  {answer: wait("0"), code: "http_429", from: 5 * time.Second, to: 6 * time.Second},
		"at a time":   {answer: wait("Sun, 01 Mar 2026 13:00:00 GMT"), code: "http_429", from: time.Hour, to: 67 * time.Minute},
		"in a year":   {answer: wait("31536000"), code: "http_429", from: 24 * time.Hour, to: 27 * time.Hour},
		"nonsense":    {answer: wait("soon"), code: "http_429", from: 5 * time.Second, to: 6 * time.Second},
		"hangs up": {answer: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		}, code: "connection", from: 5 * time.Second, to: 6 * time.Second},
		"a huge answer": {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("a", 1<<20)) }}, // nobody reads it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receiver.say(c.answer)
			b.publish("application.decided")
			b.drain()
			rows := b.log()
			if len(rows) != 1 || rows[0].Error != c.code {
				t.Fatalf("%d rows, code %q", len(rows), rows[0].Error)
			}
			var next time.Duration
			if at := b.due(); at.Unix() > 0 {
				next = at.Sub(b.clock.read())
			}
			if next < c.from || next > c.to {
				t.Errorf("next attempt after %v", next)
			}
		})
	}
}

func wait(value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func TestGoneSwitchesTheEndpointOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusGone)
	e := b.publish("application.decided")
	b.publish("application.decided")
	b.drain()
	b.tx(func(tx *store.Tx) error {
		w, err := tx.Webhook(t.Context(), b.hook.ID)
		if err == nil && w.Enabled {
			t.Error("it is still enabled")
		}
		return err
	})
	if rows := b.log(); len(rows) == 0 || rows[0].Status != 410 || rows[0].Error != "http_410" {
		t.Errorf("rows %+v", rows)
	}
	n := len(b.receiver.arrivals(t))
	b.clock.move(48 * time.Hour)
	b.publish("application.decided")
	b.drain()
	if len(b.receiver.arrivals(t)) != n || len(b.dead()) != 0 {
		t.Error("a disabled endpoint was called")
	}
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, e.ID); muster.ErrorCode(err) != muster.CodeConflict {
		t.Errorf("replay to a disabled endpoint: %v", err)
	}
}

func TestTwoSecretsSignDuringRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.receiver.secret
	w, fresh, err := b.endpoints.RotateSecret(t.Context(), "opr_a", b.hook.ID, b.hook.Version)
	if err != nil {
		t.Fatal(err)
	}
	b.publish("application.decided")
	b.drain()
	got := b.receiver.arrivals(t) // with the old secret
	got[0].secret = fresh
	if !got[0].genuine() {
		t.Error("the new secret does not sign")
	}
	if _, _, err := b.endpoints.RotateSecret(t.Context(), "opr_a", b.hook.ID, b.hook.Version); muster.ErrorCode(err) != muster.CodeStale {
		t.Errorf("rotation of an old version: %v", err)
	}
	if _, b.receiver.secret, err = b.endpoints.RotateSecret(t.Context(), "opr_a", w.ID, w.Version); err != nil {
		t.Fatal(err)
	}
	b.publish("application.decided")
	b.drain()
	last := b.receiver.got[1]
	if last.secret = old; last.genuine() {
		t.Error("the oldest secret still signs")
	}
	if last.secret = fresh; !last.genuine() {
		t.Error("the one before does not sign")
	}
}

func TestATestEventGoesToOneEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, _, err := b.endpoints.AddWebhook(t.Context(), "opr_a", muster.WebhookRecord{URL: b.receiver.URL + "/second", Enabled: true}); err != nil {
		t.Fatal(err)
	}
	message, err := b.endpoints.Test(t.Context(), "opr_a", b.hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.drain()
	got := b.receiver.arrivals(t)
	if len(got) != 1 || got[0].header.Get("webhook-id") != message || !strings.HasPrefix(string(got[0].body), `{"type":"webhook.test",`) {
		t.Fatalf("%d arrivals", len(got))
	}
	// What was done can be replayed while it is known.
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, message); err != nil {
		t.Error(err)
	}
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, "msg_none"); muster.ErrorCode(err) != muster.CodeNotFound {
		t.Errorf("an unknown message: %v", err)
	}
	if _, err := b.endpoints.Test(t.Context(), "opr_a", "whk_none"); muster.ErrorCode(err) != muster.CodeNotFound {
		t.Errorf("an unknown webhook: %v", err)
	}
}

func TestAReplayOfWhatIsStillTriedIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusBadGateway)
	e := b.publish("application.decided")
	b.drain()
	if err := b.endpoints.Replay(t.Context(), "opr_a", b.hook.ID, e.ID); muster.ErrorCode(err) != muster.CodeConflict {
		t.Errorf("got %v", err)
	}
}

func TestARemovedEndpointGetsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusBadGateway)
	b.publish("application.decided")
	b.drain()
	if err := b.endpoints.RemoveWebhook(t.Context(), "opr_a", b.hook.ID, b.hook.Version+1); muster.ErrorCode(err) != muster.CodeStale {
		t.Errorf("of another version: %v", err)
	}
	if err := b.endpoints.RemoveWebhook(t.Context(), "opr_a", b.hook.ID, b.hook.Version); err != nil {
		t.Fatal(err)
	}
	b.clock.move(time.Hour)
	b.drain()
	if got := b.receiver.arrivals(t); len(got) != 1 {
		t.Errorf("%d arrivals", len(got))
	}
	if len(b.dead()) != 0 || b.due().Unix() > 0 {
		t.Error("its job is still there")
	}
}

func TestEndpointsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for url, events := range map[string][]string{
		"http://hooks.example.org/":                              nil,
		"https://127.0.0.1/":                                     nil,
		"https://169.254.169.254/latest":                         nil,
		"https://a:b@hooks.example.org/":                         nil,
		"https://hooks.example.org/?ok":                          {"Ada Lovelace"},
		"https://hooks.example.org/":                             {"*"},
		"https://hooks.example.org/many":                         make([]string, 51),
		"ftp://hooks.example.org/":                               nil,
		"https://[64:ff9b::a9fe:a9fe]/":                          nil,
		"https://hooks.example.org/" + strings.Repeat("a", 3000): nil,
	} {
		w := muster.WebhookRecord{ID: b.hook.ID, Version: b.hook.Version, URL: url, Events: events}
		_, _, err := b.endpoints.AddWebhook(t.Context(), "opr_a", w)
		_, err2 := b.endpoints.ChangeWebhook(t.Context(), "opr_a", w)
		if muster.ErrorCode(err) != muster.CodeInvalid || muster.ErrorCode(err2) != muster.CodeInvalid {
			t.Errorf("%s %v: %v, %v", url, events, err, err2)
		}
	}
	w, err := b.endpoints.ChangeWebhook(t.Context(), "opr_a", muster.WebhookRecord{
		ID: b.hook.ID, Version: b.hook.Version, URL: "https://hooks.example.org/", Events: []string{"application.decided"}, Enabled: true,
	})
	if err != nil || w.Version != b.hook.Version+1 || string(w.Secret) != string(b.hook.Secret) {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := b.endpoints.ChangeWebhook(t.Context(), "opr_a", muster.WebhookRecord{ID: b.hook.ID, Version: b.hook.Version, URL: "https://hooks.example.org/"}); muster.ErrorCode(err) != muster.CodeStale {
		t.Errorf("an old version: %v", err)
	}
	for _, line := range b.entries.what {
		if strings.Contains(line, "hooks.example.org") || strings.Contains(line, "whsec_") {
			t.Errorf("the record has a URL or a secret: %s", line)
		}
	}
}

func TestDeliveriesAreListedInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusBadGateway)
	for range 3 {
		b.publish("application.decided")
		b.clock.move(time.Second)
	}
	for range 4 {
		b.drain()
		b.clock.move(time.Hour)
	}
	all := b.log()
	if len(all) != 12 {
		t.Fatalf("%d rows", len(all))
	}
	for limit := 1; limit < 6; limit++ {
		var got []*muster.DeliveryRecord
		page := muster.Page{Limit: limit}
		for {
			rows, err := b.endpoints.ListDeliveries(t.Context(), b.hook.ID, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			got = append(got, rows...)
			last := rows[len(rows)-1]
			page.After = last.Message + "." + strconv.Itoa(last.Attempt)
		}
		if d := cmp.Diff(all, got); d != "" {
			t.Errorf("pages of %d: %s", limit, d)
		}
	}
	if _, err := b.endpoints.ListDeliveries(t.Context(), b.hook.ID, muster.Page{After: "msg", Limit: 1}); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func TestRowsOfJobsHoldNoSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.status(http.StatusBadGateway)
	b.publish("application.decided")
	b.drain()
	b.clock.move(time.Hour)
	b.tx(func(tx *store.Tx) error {
		jobs, err := tx.Claim(t.Context(), []string{muster.JobWebhook}, "test", 10, time.Minute)
		if err != nil {
			return err
		}
		if len(jobs) != 1 {
			t.Errorf("%d jobs", len(jobs))
		}
		for _, j := range jobs {
			all, err := json.Marshal(j)
			if err != nil {
				return err
			}
			if s := string(all) + string(j.Payload); strings.Contains(s, "whsec_") || strings.Contains(s, b.receiver.URL) {
				t.Errorf("job %s", s)
			}
		}
		return nil
	})
}
