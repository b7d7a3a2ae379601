package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

var gateSigner = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))

// centre is a gate's centre: it tells two heads and goes.
type centre struct {
	follow func(ctx context.Context, send func(*gate.Message) error) error
}

func gateHead(seq uint64) *gate.Message {
	m, err := (&gate.Head{Deployment: "dep", Epoch: 1, From: seq, Seq: seq, Time: now, Bound: time.Minute}).Seal(gateSigner)
	if err != nil {
		panic(err)
	}
	return m
}

func (c *centre) Head() *gate.Message              { return gateHead(5) }
func (c *centre) Snapshot() (*gate.Message, error) { return gateHead(5), nil }

func (c *centre) Follow(ctx context.Context, epoch, after uint64, send func(*gate.Message) error) error {
	if c.follow != nil {
		return c.follow(ctx, send)
	}
	if epoch != 1 {
		return muster.Errorf(muster.CodeGone, "another epoch")
	}
	return errors.Join(send(gateHead(after)), send(gateHead(after+1)))
}

func TestAStreamIsMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.do("GET", "/v1/gate/changes?epoch=1&after=5", "")
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != gateType {
		t.Fatalf("%d %s", got.StatusCode, got.Header.Get("Content-Type"))
	}
	r := strings.NewReader(string(got.body))
	for want := uint64(5); want < 7; want++ {
		m, err := gate.ReadMessage(r, 0)
		if err != nil || m.Head.Seq != want {
			t.Fatal(m, err)
		}
	}
	if _, err := gate.ReadMessage(r, 0); err != io.EOF {
		t.Error(err)
	}
	for path, status := range map[string]int{
		"/v1/gate/changes?epoch=2&after=5": http.StatusGone, "/v1/gate/changes?epoch=1": http.StatusUnprocessableEntity,
		"/v1/gate/changes?epoch=x&after=1": http.StatusUnprocessableEntity, "/v1/gate/changes?epoch=1&after=5&x=1": http.StatusUnprocessableEntity,
	} {
		if got := b.do("GET", path, ""); got.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, status)
		}
	}
}

// TestAStreamEndsWithItsToken: what is asked once is not asked for ever.
func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	revoked := errors.New("not told")
	b := setup(t, func(c *Config) {
		h := c.Tokens.(*house)
		at := now
		c.Clock = func() time.Time { at = at.Add(cacheFor); return at }
		c.GateCentre = &centre{follow: func(_ context.Context, send func(*gate.Message) error) error {
			if err := send(gateHead(1)); err != nil {
				return err
			}
			h.mu.Lock()
			h.scopes = nil
			h.mu.Unlock()
			revoked = send(gateHead(2))
			return revoked
		}}
	})
	got := b.do("GET", "/v1/gate/changes?epoch=1&after=0", "")
	if got.StatusCode != http.StatusOK || len(got.body) != gateHead(1).Size() {
		t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
	}
	if muster.ErrorCode(revoked) != muster.CodeUnauthorized {
		t.Errorf("a stream whose token is revoked goes on: %v", revoked)
	}
}
