package watch_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/watch"
)

const origin = "log.example/book"

// shelf is a store as the log's leaves and heads.
type shelf struct{ db *store.DB }

func (s shelf) Leaves(ctx context.Context, from, to int64) (list [][]byte, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = tx.Leaves(ctx, from, to)
		return err
	})
	return list, err
}

func (s shelf) Head(ctx context.Context) (signed []byte, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		signed, err = tx.Head(ctx)
		return err
	})
	return signed, err
}

func (s shelf) SetHead(ctx context.Context, old, next []byte) error {
	return s.db.InTx(ctx, func(tx *store.Tx) error { return tx.SetHead(ctx, old, next) })
}

// desk is a book over a real store, and a real witness.
type desk struct {
	*testing.T
	db      *store.DB
	clock   *hands
	book    *watch.Book
	config  watch.BookConfig
	witness string // public key
	away    bool
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, clock: &hands{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	var err error
	if d.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "muster.db"), Clock: d.clock.read}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	private, public, err := tlog.GenerateLogKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := tlog.NewLogVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	server := d.newWitness(verifier)
	client, err := outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(server.URL, "http://")}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	publisher, err := tlog.NewPublisher(tlog.PublisherConfig{
		Leaves: shelf{d.db}, Tiles: tlog.NewDirTiles(t.TempDir()), Heads: shelf{d.db}, Keys: tlog.OneKey(signer, verifier),
	})
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := tlog.NewCosignatureVerifier(d.witness)
	if err != nil {
		t.Fatal(err)
	}
	d.config = watch.BookConfig{
		Publisher: publisher, Key: func() (string, error) { return public, nil }, Clock: d.clock.read, Client: client,
		Witnesses: []tlog.WitnessClient{{Prefix: server.URL, Witness: cosigner, HTTP: client}},
		SendTo:    filepath.Join(t.TempDir(), "sent"),
	}
	d.book = watch.NewBook(d.config)
	return d
}

func (d *desk) newWitness(log note.Verifier) *httptest.Server {
	d.Helper()
	private, public, err := tlog.GenerateWitnessKey("witness.example/w")
	if err != nil {
		d.Fatal(err)
	}
	d.witness = public
	cosigner, err := tlog.NewCosigner(private, d.clock.read)
	if err != nil {
		d.Fatal(err)
	}
	state, err := tlog.NewDirState(d.TempDir())
	if err != nil {
		d.Fatal(err)
	}
	w, err := tlog.NewWitness(tlog.WitnessConfig{Cosigner: cosigner, Logs: map[string][]note.Verifier{origin: {log}}, State: state})
	if err != nil {
		d.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if d.away {
			http.Error(rw, "away", http.StatusServiceUnavailable)
			return
		}
		w.ServeHTTP(rw, r)
	}))
	d.Cleanup(server.Close)
	return server
}

// leaves appends n leaves.
func (d *desk) leaves(n int) {
	d.Helper()
	for i := range n {
		l := tlog.Leaf{Type: tlog.Operator, Hour: tlog.HourOf(d.clock.read()), C1: [32]byte{byte(i)}}
		if err := d.db.InTx(d.Context(), func(tx *store.Tx) error { return tx.Append(d.Context(), l.Marshal(), "") }); err != nil {
			d.Fatal(err)
		}
	}
}

func (d *desk) publish() {
	d.Helper()
	if _, err := d.book.Publish(d.Context()); err != nil {
		d.Fatal(err)
	}
}

// cosigned reports whether the head carries the witness's cosignature.
func (d *desk) cosigned() bool {
	d.Helper()
	policy, err := tlog.NewPolicy(1, d.witness)
	if err != nil {
		d.Fatal(err)
	}
	head, err := d.book.Checkpoint(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	return policy.Check(head) == nil
}

func TestWitnessCosignsEachHead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, n := range []int{3, 300} { // the second needs a consistency proof from the first
		d.leaves(n)
		d.publish()
		if d.cosigned() {
			t.Fatal("a head is cosigned before the witness was asked")
		}
		if err := d.book.Cosign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !d.cosigned() {
			t.Fatal("the witness's cosignature is not on the head")
		}
	}
	if err := watch.NewBook(d.config).Cosign(t.Context()); err != nil {
		t.Fatalf("another process, which does not know what the witness saw: %v", err)
	}
}

func TestWitnessAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.leaves(2)
	d.publish()
	d.away = true
	if err := d.book.Cosign(t.Context()); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Fatalf("a witness that is away: %v", err)
	}
	if d.cosigned() {
		t.Fatal("cosigned by nobody")
	}
	d.away = false
	if err := d.book.Cosign(t.Context()); err != nil || !d.cosigned() {
		t.Fatalf("the witness came back: %v", err)
	}
	d.leaves(1)
	d.publish()
	if d.cosigned() {
		t.Fatal("a cosignature of the head before stands on this one")
	}
}

func TestHeadIsSentOutOnceADay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if err := d.book.SendOut(t.Context()); err != nil {
		t.Fatalf("nothing is published yet, so there is nothing to send: %v", err)
	}
	sent := func() int {
		data, err := os.ReadFile(d.config.SendTo)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte(origin+"\n"))
	}
	d.leaves(1)
	d.publish()
	for day := 1; day <= 3; day++ {
		for range 5 {
			if err := d.book.SendOut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := sent(); got != day {
			t.Fatalf("day %d: %d heads were sent", day, got)
		}
		d.clock.move(24 * time.Hour)
	}
}

func TestHeadThatCannotBeSentIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.leaves(1)
	d.publish()
	d.config.SendTo = filepath.Join(t.TempDir(), "missing", "sent")
	book := watch.NewBook(d.config)
	if err := book.SendOut(t.Context()); muster.ErrorCode(err) != muster.CodeUnavailable {
		t.Fatalf("the folder is missing: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(d.config.SendTo), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := book.SendOut(t.Context()); err != nil {
		t.Fatal(err)
	}
}
