package watchlist_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/watchlist"
)

// publisher is a site that publishes files.
type publisher struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte // by path
	answer   http.HandlerFunc  // instead of a file, where not nil
	requests []string
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{files: map[string][]byte{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		data := p.files[r.URL.Path]
		etag := `"` + strings.Repeat("e", len(data)%50+1) + `"`
		p.requests = append(p.requests, r.URL.Path+" "+r.Header.Get("If-None-Match"))
		switch {
		case p.answer != nil:
			p.answer(w, r)
		case data == nil:
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") == etag:
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", etag)
			w.Write(data)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) put(path string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = data
}

func (p *publisher) answers(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = h
}

func (p *publisher) asked() (requests []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests, p.requests = p.requests, nil
	return requests
}

func fetching(t *testing.T, p *publisher, src watchlist.Source, paths ...string) *bundle {
	for _, path := range paths {
		src.URLs = append(src.URLs, p.URL+path)
	}
	return setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{Sources: []watchlist.Source{src}}, strings.TrimPrefix(p.URL, "http://"))
}

func (b *bundle) look() watchlist.SourceStanding {
	b.Helper()
	if err := b.Look(b.Context()); err != nil {
		b.Fatal(err)
	}
	_, sources, err := b.Status(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return sources[0]
}

func TestAListIsFetchedWhenItIsDueAndOnlyWhereItChanged(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.put("/sdn.csv", sdn(1, 100).Data)
	p.put("/alt.csv", []byte("1,1,\"aka\",\"ROE, Jane\",-0- \n"))
	b := fetching(t, p, watchlist.Source{Name: "ofac", Every: time.Hour}, "/sdn.csv", "/alt.csv")
	if s := b.look(); s.Failures != 0 || s.Reason != "" || len(s.Lists) != 1 {
		t.Fatalf("%+v", s)
	}
	if _, n := b.inEffect(b.Service, "ofac.sdn"); n != 100 {
		t.Fatal(n)
	}
	p.asked()
	b.move(59 * time.Minute)
	if b.look(); len(p.asked()) != 0 {
		t.Fatal("fetched before it was due")
	}
	b.move(time.Minute)
	if b.look(); len(p.asked()) != 2 {
		t.Fatal("both files are asked for, with a condition")
	}
	all, _, err := b.Status(t.Context())
	if err != nil || all[0].Age != 0 || all[0].Stale {
		t.Fatalf("what the publisher still has is fresh: %+v %v", all, err)
	}
	// One file changes: the other is fetched whole too, for a set is of one moment.
	p.put("/sdn.csv", sdn(1, 101).Data)
	if err := b.Ask(t.Context(), "ofac"); err != nil {
		t.Fatal(err)
	}
	if b.look(); len(p.asked()) != 4 {
		t.Error("not fetched when asked for, or not both files")
	}
	if _, n := b.inEffect(b.Service, "ofac.sdn"); n != 101 {
		t.Fatal(n)
	}
	code(t, b.Ask(t.Context(), "other"), muster.CodeNotFound)
}

func TestAFetchThatFailsLeavesTheListAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		reason string
	}{
		"an HTML page": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>maintenance</html>")) }, "HTML page"},
		"an error":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "answered 502"},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		}, "redirect"},
		"a body past its bound": {func(w http.ResponseWriter, _ *http.Request) {
			w.Write(make([]byte, 2<<20))
		}, "larger than a list"},
		"a body that breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(sdn(1, 200).Data[:1000])
		}, "broke off"},
		"a packed answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("\x1f\x8b"))
		}, "packed"},
		"a list cut off":       {func(w http.ResponseWriter, _ *http.Request) { d := sdn(1, 200).Data; w.Write(d[:len(d)-9]) }, "cut off"},
		"fewer than plausible": {func(w http.ResponseWriter, _ *http.Request) { w.Write(sdn(1, 40).Data) }, "at least 50 are plausible"},
		"text of no list":      {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("come back later")) }, "no list that is known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t)
			p.put("/sdn.csv", sdn(1, 100).Data)
			b := fetching(t, p, watchlist.Source{Name: "ofac", Every: time.Hour, MinEntries: 50}, "/sdn.csv")
			b.look()
			was, _ := b.inEffect(b.Service, "ofac.sdn")
			p.answers(c.answer)
			b.move(time.Hour)
			s := b.look()
			if s.Failures != 1 || !strings.Contains(s.Reason, c.reason) || strings.Contains(s.Reason, p.URL) {
				t.Fatalf("%+v", s)
			}
			if is, n := b.inEffect(b.Service, "ofac.sdn"); is != was || n != 100 {
				t.Fatal("the list changed")
			}
			p.asked()
			if b.look(); len(p.asked()) != 0 {
				t.Error("tried again at once")
			}
			p.answers(nil)
			b.move(5 * time.Minute)
			if s := b.look(); s.Failures != 0 {
				t.Errorf("%+v", s)
			}
			b.move(73 * time.Hour)
			if stale := b.Stale(b.clock()); len(stale) != 1 {
				t.Error("a list that nobody fetched for three days is not stale")
			}
		})
	}
}

// TestARollbackIsNotFetchedAwayAgain: what an operator gave up does not come back with
// the next fetch, and what is in effect instead does not pass for the publisher's.
func TestARollbackIsNotFetchedAwayAgain(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.put("/sdn.csv", sdn(1, 100).Data)
	b := fetching(t, p, watchlist.Source{Name: "ofac", Every: time.Hour}, "/sdn.csv")
	b.look()
	first, _ := b.inEffect(b.Service, "ofac.sdn")
	p.put("/sdn.csv", sdn(1, 101).Data)
	b.move(time.Hour)
	b.look()
	if _, err := b.Rollback(t.Context(), "opr_1", "ofac.sdn", "", "wrong"); err != nil {
		t.Fatal(err)
	}
	b.move(time.Hour)
	if s := b.look(); s.Failures != 1 || !strings.Contains(s.Reason, "rolled it back") {
		t.Fatalf("%+v", s)
	}
	if is, _ := b.inEffect(b.Service, "ofac.sdn"); is != first {
		t.Fatal("the fetch undid the rollback")
	}
	if all, _, err := b.Status(t.Context()); err != nil || all[0].Age == 0 {
		t.Fatalf("what was rolled back to is fresh: %+v %v", all, err)
	}
	p.put("/sdn.csv", sdn(1, 102).Data)
	b.move(time.Hour)
	if s := b.look(); s.Failures != 0 {
		t.Fatalf("%+v", s)
	}
	if _, n := b.inEffect(b.Service, "ofac.sdn"); n != 102 {
		t.Error("the next edition did not take effect")
	}
}

func TestOneProcessFetchesAtATime(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	b := fetching(t, p, watchlist.Source{Name: "ofac"}, "/sdn.csv")
	err := b.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Acquire(t.Context(), "lists", "another", time.Hour)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.look(); len(p.asked()) != 0 {
		t.Error("two processes fetch at once")
	}
}

// TestNothingIsHalfApplied ends the context between what is read and what is
// committed: either all of an arrival's lists took effect, with leaf and sweep, or none.
func TestNothingIsHalfApplied(t *testing.T) {
	t.Parallel()
	b := setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Import(ctx, "opr_1", []lists.File{sdn(1, 30)}); err == nil {
		t.Fatal("imported after its end")
	}
	all, _, err := b.Status(t.Context())
	if err != nil || len(all) != 0 || len(b.sweeps()) != 0 {
		t.Fatalf("%+v %v", all, err)
	}
}
