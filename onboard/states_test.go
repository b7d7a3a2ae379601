package onboard_test

import (
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

var update = flag.Bool("update", false, "write docs/states.md anew")

func TestPageOfStatesIsDrawnFromTheTables(t *testing.T) {
	t.Parallel()
	const path = "../docs/states.md"
	if *update {
		if err := os.WriteFile(path, []byte(onboard.StatesPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(page), onboard.StatesPage()); d != "" {
		t.Errorf("go test ./onboard -run Page -update\n%s", d)
	}
}

var (
	applicationStates = []string{muster.AppReceived, muster.AppNeeds, muster.AppReview, muster.AppApproved, muster.AppRefused, muster.AppExpired, muster.AppWithdrawn}
	accountStates     = []string{muster.AccPending, muster.AccActive, muster.AccLimited, muster.AccSuspended, muster.AccClosing, muster.AccClosed}
)

func events() (list []string) {
	for _, o := range muster.Outcomes {
		list = append(list, string(o))
	}
	return append(list, onboard.EventWithdraw, onboard.EventExpire, onboard.EventAppeal, onboard.EventInterim, onboard.EventHold, onboard.EventLeave, onboard.EventEnd)
}

func TestTablesAreWhole(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]struct {
		moves  []onboard.StateMove
		states []string
	}{"application": {onboard.ApplicationMoves, applicationStates}, "account": {onboard.AccountMoves, accountStates}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[[2]string]bool{}
			for _, m := range table.moves {
				if seen[[2]string{m.From, m.On}] {
					t.Errorf("%s on %s has two rows", m.From, m.On)
				}
				seen[[2]string{m.From, m.On}] = true
				if !slices.Contains(table.states, m.From) || !slices.Contains(table.states, m.To) || !slices.Contains(events(), m.On) || m.Who == "" || m.Must == "" {
					t.Errorf("%+v", m)
				}
				if m.From == muster.AccClosed && m.To != muster.AccClosed || m.From == muster.AccClosing && m.To != muster.AccClosing && m.To != muster.AccClosed {
					t.Errorf("a way out of %s: %+v", m.From, m)
				}
			}
		})
	}
	// A decision is never an illegal move of an account, whatever its state, and
	// neither is the end of an application.
	for _, from := range accountStates {
		for _, on := range append(events()[:0:0], "open", "limit", onboard.EventInterim, onboard.EventHold, "review", "suspend", "refuse", "close", onboard.EventWithdraw, onboard.EventExpire) {
			if from == muster.AccActive && on == onboard.EventExpire {
				continue // what nothing was enforced on does not expire
			}
			if !slices.ContainsFunc(onboard.AccountMoves, func(m onboard.StateMove) bool { return m.From == from && m.On == on }) {
				t.Errorf("an account that is %s has no move on %s", from, on)
			}
		}
	}
	for _, from := range []string{muster.AppReceived, muster.AppNeeds, muster.AppReview} {
		for _, o := range muster.Outcomes {
			if !slices.ContainsFunc(onboard.ApplicationMoves, func(m onboard.StateMove) bool { return m.From == from && m.On == string(o) }) {
				t.Errorf("an application that is %s has no move on %s", from, o)
			}
		}
	}
}

// Every pair of state and event is a row of the table or an illegal move, and a
// walk along the rows never leaves the states.
func TestEveryPairIsAMoveOrIllegal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		for name, table := range map[string]struct {
			moves  []onboard.StateMove
			states []string
			move   func(from, on string) (string, error)
		}{
			"application": {onboard.ApplicationMoves, applicationStates, onboard.MoveApplication},
			"account":     {onboard.AccountMoves, accountStates, onboard.MoveAccount},
		} {
			at := rapid.SampledFrom(table.states).Draw(rt, name)
			for range 20 {
				on := rapid.OneOf(rapid.SampledFrom(events()), rapid.String()).Draw(rt, "on")
				to, err := table.move(at, on)
				i := slices.IndexFunc(table.moves, func(m onboard.StateMove) bool { return m.From == at && m.On == on })
				switch {
				case i < 0 && muster.ErrorCode(err) != muster.CodeIllegalMove:
					rt.Fatalf("%s: %s on %q gives %q, %v", name, at, on, to, err)
				case i >= 0 && (err != nil || to != table.moves[i].To):
					rt.Fatalf("%s: %s on %q gives %q, %v", name, at, on, to, err)
				case i >= 0:
					at = to
				}
			}
		}
	})
}
