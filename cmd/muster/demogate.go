package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
)

// gateAnswer is what the gate says of an account, as far as the demo shows it.
type gateAnswer struct {
	Account  string `json:"account"`
	Action   string `json:"action"`
	Decision bool   `json:"decision"`
	Context  struct {
		Status      string            `json:"status"`
		ID          string            `json:"id,omitempty"`
		Known       *bool             `json:"known,omitempty"`
		WouldDeny   bool              `json:"would_deny,omitempty"`
		Obligations json.RawMessage   `json:"obligations,omitempty"`
		User        map[string]string `json:"reason_user,omitempty"`
		Admin       map[string]string `json:"reason_admin,omitempty"`
	} `json:"context"`
}

// askGate asks the gate about three accounts: one that may, one that may within
// limits, one that may not. states is an account of each state that the demo met.
func (d *demo) askGate(ctx context.Context, api *client, h *house, states map[string]string, s *summary) error {
	if err := heard(ctx, h); err != nil {
		return err
	}
	denied := cmp.Or(states[muster.AccSuspended], states[muster.AccClosed], states[muster.AccPending])
	for _, account := range []string{states[muster.AccActive], states[muster.AccLimited], denied} {
		if account == "" {
			continue // the population had none
		}
		a, err := askOne(ctx, api, account, muster.ActionAddResources)
		if err != nil {
			return err
		}
		s.Gate = append(s.Gate, a)
	}
	if d.json {
		return nil
	}
	fmt.Fprintf(d.out, "\nThe gate, asked before %s (POST %s):\n", muster.ActionAddResources, ask.EvaluationPath)
	for _, a := range s.Gate {
		answer := "allowed"
		switch {
		case !a.Decision:
			answer = "denied: " + a.Context.ID
		case a.Context.WouldDeny:
			answer = "allowed, would be denied: " + a.Context.ID
		case len(a.Context.Obligations) > 0:
			answer = "allowed within " + string(a.Context.Obligations)
		}
		fmt.Fprintf(d.out, "  %-12s %s\n", a.Account, answer)
		for _, words := range []struct{ whose, text string }{
			{"customer", a.Context.User["en"]}, {"operator", a.Context.Admin["en"]}, {"rule", a.Context.Admin["rule"]}, {"unblock", a.Context.Admin["unblock"]},
		} {
			if words.text != "" {
				fmt.Fprintf(d.out, "    %s: %s\n", words.whose, words.text)
			}
		}
	}
	return nil
}

// heard waits until the gate has all that was decided: that takes it some tens of
// milliseconds, and until then it answers by what was so before.
func heard(ctx context.Context, h *house) error {
	epoch, seq, err := h.centre.Store.GateState(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s, _ := h.centre.Gate().Load(); s != nil && s.Epoch == epoch && s.Seq >= seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func askOne(ctx context.Context, api *client, account, action string) (gateAnswer, error) {
	a := gateAnswer{Account: account, Action: action}
	_, err := api.call(ctx, http.MethodPost, ask.EvaluationPath, map[string]any{
		"subject": map[string]string{"type": "account", "id": account}, "action": map[string]string{"name": action},
		"resource": map[string]string{"type": "instance", "id": "new"},
	}, &a)
	return a, err
}
