package watch_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/watch"
)

// hands is a clock that is moved by hand.
type hands struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hands) read() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// sealer is the vault's place, with a mark that shows what was sealed.
type sealer struct{}

func (sealer) SealWebhookSecret(id string, secret []byte) []byte {
	return append([]byte("sealed "+id+" "), secret...)
}

func (sealer) OpenWebhookSecret(id string, sealed []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(sealed), "sealed "+id+" ")
	if !ok {
		return nil, muster.Errorf(muster.CodeMalformed, "not sealed for this webhook")
	}
	return []byte(plain), nil
}

// entries counts what was entered into the record.
type entries struct {
	mu   sync.Mutex
	what []string
}

func (e *entries) Enter(_ context.Context, _ journal.Tx, t tlog.LeafType, by string, about muster.Ref, body any) (*muster.EntryRecord, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := json.Marshal(body)
	e.what = append(e.what, t.String()+" "+by+" "+about.Kind+" "+string(b))
	return &muster.EntryRecord{}, err
}

// arrival is a request that a receiver got.
type arrival struct {
	header http.Header
	body   []byte
	secret string // that the receiver holds
}

// genuine checks the signature as a receiver would, from the specification alone.
func (a arrival) genuine() bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, a.header.Get("webhook-id")+"."+a.header.Get("webhook-timestamp")+"."+string(a.body))
	for _, s := range strings.Fields(a.header.Get("webhook-signature")) {
		if given, ok := strings.CutPrefix(s, "v1,"); ok {
			if sum, err := base64.StdEncoding.DecodeString(given); err == nil && hmac.Equal(sum, mac.Sum(nil)) {
				return true
			}
		}
	}
	return false
}

// receiver is an endpoint over HTTP that answers as it is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []arrival
	answer http.HandlerFunc // nil: 204
	secret string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.got = append(r.got, arrival{req.Header, body, r.secret})
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) say(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func (r *receiver) status(code int) {
	r.say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// arrivals are what came, each checked for its signature.
func (r *receiver) arrivals(t *testing.T) []arrival {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, a := range r.got {
		if !a.genuine() {
			t.Errorf("arrival %d is not signed by the webhook's secret", i)
		}
	}
	return r.got
}

// bundle is a store, a receiver and everything between.
type bundle struct {
	*testing.T
	db        *store.DB
	clock     *hands
	receiver  *receiver
	runner    *watch.Runner
	endpoints *watch.Endpoints
	entries   *entries
	hook      *muster.WebhookRecord
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{T: t, clock: &hands{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, receiver: newReceiver(t), entries: &entries{}}
	var err error
	if b.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "muster.db"), Clock: b.clock.read}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.db.Close() })
	client, err := outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(b.receiver.URL, "http://"), "127.0.0.1:1"}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	db := store.As[watch.Tx](b.db)
	outbox := &watch.Outbox{DB: db, Secrets: sealer{}, Client: client, Clock: b.clock.read}
	b.endpoints = &watch.Endpoints{DB: db, Secrets: sealer{}, Client: client, Entries: b.entries}
	if b.runner, err = watch.NewRunner(watch.Config{DB: db, Holder: "test", Clock: b.clock.read, Duties: map[string]watch.Duty{
		muster.JobPublish: {Handle: outbox.Publish},
		muster.JobWebhook: {Handle: outbox.Deliver},
	}}); err != nil {
		t.Fatal(err)
	}
	b.hook, b.receiver.secret, err = b.endpoints.AddWebhook(t.Context(), "opr_a", muster.WebhookRecord{URL: b.receiver.URL + "/hook", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// publish enqueues an event as package onboard does.
func (b *bundle) publish(kind string) muster.Event {
	b.Helper()
	e := muster.Event{
		ID: muster.NewID(muster.PrefixMessage, b.clock.read()), Type: kind, At: b.clock.read(),
		Data: muster.EventData{Application: "app_1", Account: "acme-1", Decision: "dec_1", Outcome: muster.OutcomeOpen},
	}
	payload, err := json.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	b.tx(func(tx *store.Tx) error {
		return tx.Enqueue(b.Context(), &muster.Job{ID: e.ID, Kind: muster.JobPublish, Ref: "app_1", Payload: payload})
	})
	return e
}

func (b *bundle) tx(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.db.InTx(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

// drain does what is due.
func (b *bundle) drain() {
	b.Helper()
	b.runner.Drain(b.Context())
}

// log are the attempts on record for the bundle's webhook.
func (b *bundle) log() []*muster.DeliveryRecord {
	b.Helper()
	rows, err := b.endpoints.ListDeliveries(b.Context(), b.hook.ID, muster.Page{Limit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// due is when the next delivery is.
func (b *bundle) due() (at time.Time) {
	b.Helper()
	b.tx(func(tx *store.Tx) (err error) {
		at, err = tx.NextDue(b.Context(), muster.JobWebhook)
		return err
	})
	return at
}

func (b *bundle) dead() (jobs []*muster.Job) {
	b.Helper()
	b.tx(func(tx *store.Tx) (err error) {
		jobs, err = tx.DeadJobs(b.Context(), muster.Page{Limit: 100})
		return err
	})
	return jobs
}
