package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// GateCentre is what edges of the gate follow: signed messages (docs/formats/gate.md).
type GateCentre interface {
	// Head is the latest, nil before there is one.
	Head() *gate.Message
	// Snapshot is a whole state from which Follow leads on. CodeUnavailable: not loaded yet.
	Snapshot() (*gate.Message, error)
	// Follow gives send what leads on from a state, until ctx or the centre ends, or
	// send fails. CodeGone: it does not lead on from there.
	Follow(ctx context.Context, epoch, after uint64, send func(*gate.Message) error) error
}

const gateType = "application/vnd.muster.gate"

func (a *API) getGateHead(c *call, _ *http.Request) error {
	m := a.GateCentre.Head()
	if m == nil {
		return errGateNotLoaded
	}
	return c.gateMessage(m)
}

var errGateNotLoaded = &muster.Error{Code: muster.CodeUnavailable, Message: "the gate is not loaded yet", RetryAfter: time.Second}

func (a *API) getGateSnapshot(c *call, _ *http.Request) error {
	m, err := a.GateCentre.Snapshot()
	if err != nil {
		return err
	}
	return c.gateMessage(m)
}

// gateMessage answers with one message. A large one on a slow line has the time that
// it needs at 1 MB a second.
func (c *call) gateMessage(m *gate.Message) error {
	c.Header().Set("Content-Type", gateType)
	c.Header().Set("Content-Length", strconv.Itoa(m.Size()))
	c.until(time.Minute + time.Duration(m.Size())*time.Microsecond)
	_, err := m.WriteTo(c)
	return err
}

// until gives the answer that long to be written, from now.
func (c *call) until(d time.Duration) {
	_ = http.NewResponseController(c).SetWriteDeadline(time.Now().Add(d)) // a recorder in a test has none
}

// followGate streams until the client goes, its token is revoked, or the server
// drains. Each message has its own time to be written: a follower that does not read
// is let go.
func (a *API) followGate(c *call, r *http.Request) error {
	epoch, bad1 := strconv.ParseUint(r.URL.Query().Get("epoch"), 10, 64)
	after, bad2 := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if bad1 != nil || bad2 != nil {
		return muster.Invalid(muster.Fault{Code: "unknown_state", Detail: "epoch and after are the numbers of the state that is held"})
	}
	control := http.NewResponseController(c)
	header := r.Header.Get("Authorization")
	c.Header().Set("Content-Type", gateType)
	err := a.GateCentre.Follow(r.Context(), epoch, after, func(m *gate.Message) error {
		if _, err := a.auth.principal(r.Context(), header); err != nil {
			return err
		}
		c.until(gateWrite)
		if _, err := m.WriteTo(c); err != nil {
			return err
		}
		return control.Flush()
	})
	if c.status != 0 { // it has begun: its end says enough
		return nil
	}
	return err
}

// gateWrite is how long one message of a stream may take.
const gateWrite = 30 * time.Second

func gateDoc(_ huma.Registry, o *huma.Operation) {
	gives(o, http.StatusOK, gateType, &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "One signed message: docs/formats/gate.md."})
}

func gateChangesDoc(_ huma.Registry, o *huma.Operation) {
	for _, name := range []string{"epoch", "after"} {
		o.Parameters = append(o.Parameters, &huma.Param{
			Name: name, In: "query", Required: true, Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64"},
			Description: map[string]string{"epoch": "of the state that is held", "after": "its sequence number"}[name],
		})
	}
	gives(o, http.StatusOK, gateType, &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "Signed messages, one after the other, a head at least every second; 410: begin with a snapshot."})
}
