package endtoend

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/tlog"
)

// TestTwoProcessesOnPostgreSQL: two servers on one pair of databases are one
// deployment, whichever is asked.
func TestTwoProcessesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	d := setup{postgres: true, solo: "1s"}.make(t)
	a, b := d.beside(0), d.beside(1)
	w := &watcher{T: t, servers: []*client{a.client, b.client}}

	t.Run("what is posted to one is seen on the other", func(t *testing.T) {
		l := newLoad(t, 31)
		for i := range 40 {
			if err := l.post(w.servers[i%2], i); err != nil {
				t.Fatal(err)
			}
		}
		for i, x := range l.known {
			var seen onboard.View
			w.servers[(i+1)%2].get("/v1/applications/"+x.Reference, &seen)
			if seen.Application != x.Application || seen.Decision.ID != x.Decision.ID {
				t.Errorf("%s is %s on one and %s on the other", x.Reference, x.Application, seen.Application)
			}
		}
	})

	t.Run("one reference posted to both at once is one application", func(t *testing.T) {
		l := newLoad(t, 32)
		for i := range 20 {
			var group sync.WaitGroup
			for n := range 8 {
				group.Go(func() {
					if err := l.post(w.servers[n%2], i); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait() // post fails where two answers name two applications
		}
	})

	t.Run("both publish one log", func(t *testing.T) {
		l := newLoad(t, 33)
		stop := make(chan struct{})
		group := l.run(stop, a.client, b.client)
		eventually(t, roundLasts, "a log of several tiles, seen growing on both", func() bool {
			w.look()
			return l.acks.Load() > 600 && w.grown(0) > 3 && w.grown(1) > 3 || t.Failed()
		})
		close(stop)
		group.Wait()
		w.oneLog()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, x := range l.known { // one bundle, proved against the head that the other shows
			var rows struct{ Items []api.DecisionRow }
			a.get("/v1/applications/"+x.Application+"/decisions", &rows)
			b.get("/v1/decisions/"+x.Decision.ID+"/bundle?audience=court", nil)
			for _, path := range []string{"tile/0/000", "tile/entries/000"} {
				if one, two := a.get("/"+path, nil).body, b.get("/"+path, nil).body; !bytes.Equal(one, two) || len(one) == 0 {
					t.Errorf("%s differs", path)
				}
			}
			break
		}
	})

	t.Run("a pack activated on one decides on the other at its time", func(t *testing.T) {
		source, _ := packs.Source("in-cert-in")
		var draft api.Activation
		effective := time.Now().Add(4 * time.Second).UTC()
		a.do("POST", "/v1/packs", map[string]any{"source": string(source), "effective": effective}, &draft, http.StatusAccepted)
		l := newLoad(t, 34)
		type decided struct {
			at   time.Time
			both bool // packs
		}
		var all []decided
		turn := 0
		decide := func() {
			turn++
			x, err := w.servers[turn%2].apply(l.people.Next(turn))
			if err == nil {
				all = append(all, decided{x.Decision.At, slices.ContainsFunc(x.Decision.Packs, func(p muster.PackRef) bool { return p.ID == "in-cert-in" })})
			}
		}
		for len(all) == 0 { // one at least is before its time, however long the approval takes
			decide()
		}
		eventually(t, time.Minute, "the approval of a solo operator, after the delay", func() bool {
			x, err := a.try("POST", "/v1/packs/activations/"+draft.Activation+"/approval", nil)
			if err != nil {
				t.Fatal(err)
			}
			return x.status == http.StatusOK && unmarshal(t, x.body, &draft)
		})
		before, after := 0, 0
		for checked := 0; after < 10 && turn < 20_000; decide() {
			for ; checked < len(all); checked++ {
				switch x := all[checked]; {
				case x.at.Before(draft.Effective) == x.both:
					t.Fatalf("decided at %s with the pack: %v; it is in effect from %s", x.at, x.both, draft.Effective)
				case x.both:
					after++
				default:
					before++
				}
			}
		}
		if before == 0 || after == 0 {
			t.Errorf("%d decisions before its time and %d after", before, after)
		}
	})

	t.Run("a token revoked on one is refused on the other within 5 s", func(t *testing.T) {
		var me api.Me
		a.get("/v1/me", &me)
		var made api.Token
		a.do("POST", "/v1/tokens", map[string]any{"operator": me.Operator, "name": "to be revoked", "scopes": []string{"read"}, "days": 1}, &made, http.StatusCreated)
		other := b.as(made.Secret)
		other.get("/v1/status", nil)
		a.do("POST", "/v1/tokens/"+made.Token+"/revocation", nil, nil, http.StatusNoContent)
		since := time.Now()
		eventually(t, time.Minute, "the token is refused on the other", func() bool {
			began := time.Now()
			x, err := other.try("GET", "/v1/status", nil)
			refused := err == nil && x.status == http.StatusUnauthorized
			if late := began.Sub(since); !refused && late > 5*time.Second { // however long the answer takes
				t.Fatalf("asked %s after it was revoked: %+v, %v", late, x, err)
			}
			return refused
		})
	})

	a.stop()
	b.stop()
	d.audit()
}

// watcher follows the checkpoints of several servers of one log.
type watcher struct {
	*testing.T
	servers []*client
	heads   []tlog.Checkpoint
	sizes   map[int]map[int64]bool // by server
}

// look reads each server's checkpoint.
func (w *watcher) look() {
	w.Helper()
	for n, s := range w.servers {
		x, err := s.try("GET", "/checkpoint", nil)
		if err != nil {
			w.Fatal(err)
		}
		if x.status == http.StatusNotFound {
			continue // nothing published yet
		}
		c, err := readCheckpoint(x.body)
		if err != nil {
			w.Fatal(err)
		}
		if w.sizes == nil {
			w.sizes = map[int]map[int64]bool{}
		}
		if w.sizes[n] == nil {
			w.sizes[n] = map[int64]bool{}
		}
		if !w.sizes[n][c.Size] {
			w.sizes[n][c.Size] = true
			w.heads = append(w.heads, c)
		}
	}
}

func (w *watcher) grown(n int) int { return len(w.sizes[n]) }

// readCheckpoint reads size and root; the audit checks the signature.
func readCheckpoint(signed []byte) (c tlog.Checkpoint, err error) {
	if n, err := note.Open(signed, note.VerifierList()); n == nil && err != nil {
		if _, unverified := err.(*note.UnverifiedNoteError); !unverified {
			return c, err
		}
	}
	lines := strings.Split(string(signed), "\n")
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return c, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	copy(c.Root[:], root)
	return c, err
}

// oneLog proves each head that was seen to be the beginning of the next, from tiles
// that the servers serve by turns.
func (w *watcher) oneLog() {
	w.Helper()
	slices.SortFunc(w.heads, func(a, b tlog.Checkpoint) int { return int(a.Size - b.Size) })
	prover := tlog.NewProver(&served{servers: w.servers})
	for i := 1; i < len(w.heads); i++ {
		old, next := w.heads[i-1], w.heads[i]
		if old.Size == next.Size {
			if old.Root != next.Root {
				w.Errorf("two heads of size %d", old.Size)
			}
			continue
		}
		proof, err := prover.Consistency(w.Context(), old.Size, next.Size)
		if err == nil {
			err = tlog.CheckConsistency(proof, old.Size, old.Root, next.Size, next.Root)
		}
		if err != nil {
			w.Errorf("size %d to %d: %v", old.Size, next.Size, err)
		}
	}
	w.Logf("%d heads, the last of size %d", len(w.heads), w.heads[len(w.heads)-1].Size)
}
