package gate_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// A service asks before it creates a machine.
func ExampleGate_Decide() {
	g := exampleGate() // kept up to date as in the example of the package
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

	for _, r := range []gate.Request{
		{Account: "customer-17", Action: muster.ActionAddResources, Product: "vm", Instances: 2},
		{Account: "customer-17", Action: muster.ActionAddGPU, GPU: "single"},
		{Account: "customer-99", Action: muster.ActionAddResources},
	} {
		a := g.Decide(&r, now)
		fmt.Println(r.Account, r.Action, a.Allow, a.Code)
		if !a.Allow {
			fmt.Println("  to the customer:", a.Customer)
		}
	}
	// Output:
	// customer-17 add_resources true new_account
	// customer-17 add_gpu false limit_gpu
	//   to the customer: This is more than your account may use at present. Our support can tell you how to change that.
	// customer-99 add_resources false unknown_account
	//   to the customer: We do not know this account yet. Please finish signing up, or ask our support.
}

// A Go service embeds the gate and follows the centre itself. (muster gate --from does
// the same and more: it keeps a sealed copy on disk and refuses what is rolled back.)
func Example() {
	follow := func(ctx context.Context, g *gate.Gate, centre, token string, key ed25519.PublicKey) error {
		get := func(path string) (io.ReadCloser, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, centre+path, nil)
			if err != nil {
				return nil, err
			}
			req.Header.Set("Authorization", "Bearer "+token) // of scope gate:follow
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return nil, err
			}
			if res.StatusCode != http.StatusOK {
				res.Body.Close()
				return nil, errors.New(res.Status)
			}
			return res.Body, nil
		}
		body, err := get("/v1/gate/snapshot")
		if err != nil {
			return err
		}
		defer body.Close()
		m, err := gate.ReadMessage(body, 0)
		if err != nil {
			return err
		}
		if err := m.Verify(key, ""); err != nil {
			return err
		}
		s, err := m.Snapshot()
		if err != nil {
			return err
		}
		g.Set(s, &m.Head)
		changes, err := get(fmt.Sprintf("/v1/gate/changes?epoch=%d&after=%d", s.Epoch, s.Seq))
		if err != nil {
			return err
		}
		defer changes.Close()
		for {
			m, err := gate.ReadMessage(changes, 0)
			if err != nil {
				return err // begin again with a snapshot
			}
			if err := m.Verify(key, s.Deployment); err != nil {
				return err
			}
			if m.Kind == gate.KindDelta {
				if s, err = s.Apply(m); err != nil {
					return err
				}
				g.Set(s, &m.Head)
			} else if !g.Hear(&m.Head) {
				return errors.New("a head of another state")
			}
		}
	}
	_ = follow
}

func exampleGate() *gate.Gate {
	key := gate.Key{1}
	two := 2
	raw, _, err := gate.EncodeProfile(muster.Profile{Steps: []muster.ProfileStep{{Verdict: muster.Verdict{
		Status: muster.GateLimited, Code: "new_account", Limits: muster.Limits{GPU: "none", Instances: &two},
	}}}})
	if err != nil {
		panic(err)
	}
	b := gate.NewBuilder("dep", key)
	p, err := b.Profile(raw)
	if err != nil {
		panic(err)
	}
	if err := b.Add(key.Hash("customer-17"), gate.DecisionID{}, p); err != nil {
		panic(err)
	}
	g := &gate.Gate{}
	g.Set(b.Snapshot(1, 1), &gate.Head{Time: noon, Bound: time.Minute})
	return g
}
