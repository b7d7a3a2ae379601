package onboard

import (
	"fmt"
	"strings"

	"github.com/muster-cip/muster"
)

// Events that move an application. The outcome of a decision is an event under
// its own name; these are the others.
const (
	EventWithdraw = "withdraw" // the customer or the provider takes it back
	EventExpire   = "expire"   // its needs were not met in time
	EventAppeal   = "appeal"   // a refused customer asks a person to look again
)

// Events that move an account, beside the outcomes of decisions. Outcomes that
// wait for the customer are split in two by the pack: interim service, or none.
const (
	EventInterim = "interim" // collect or verify, and the pack grants interim service
	EventHold    = "hold"    // collect or verify, and it grants none (or its term has run out)
	EventLeave   = "leave"   // the provider says that the customer leaves
	EventEnd     = "end"     // the provider says that the account is gone
)

// StateMove is one row of the state tables.
type StateMove struct {
	From, On, To string
	Who          string // who causes it
	Must         string // what must hold
}

const (
	byDecision = "a decision"
	byCustomer = "customer or provider"
	byProvider = "provider"
	byTime     = "time"
)

// ApplicationMoves is the whole table of an application's life. A pair of state
// and event that is not here is an illegal move.
var ApplicationMoves = join(
	decided(muster.AppReceived),
	decided(muster.AppNeeds),
	decided(muster.AppReview),
	[]StateMove{
		{muster.AppNeeds, EventWithdraw, muster.AppWithdrawn, byCustomer, "application open"},
		{muster.AppReview, EventWithdraw, muster.AppWithdrawn, byCustomer, "application open"},
		{muster.AppNeeds, EventExpire, muster.AppExpired, byTime, "the pack's term for meeting needs has passed"},
		{muster.AppRefused, EventAppeal, muster.AppReview, byCustomer, "within the pack's appeal window"},
	},
)

// decided are the moves that a decision on an open application makes.
func decided(from string) []StateMove {
	row := func(on muster.Outcome, to, must string) StateMove {
		return StateMove{from, string(on), to, byDecision, must}
	}
	return []StateMove{
		row(muster.OutcomeOpen, muster.AppApproved, "no rule asks for anything"),
		row(muster.OutcomeLimit, muster.AppApproved, "identity shown; some rule sets limits"),
		row(muster.OutcomeCollect, muster.AppNeeds, "a required claim is absent"),
		row(muster.OutcomeVerify, muster.AppNeeds, "evidence is wanting"),
		row(muster.OutcomeReview, muster.AppReview, "a person has to look"),
		row(muster.OutcomeSuspend, muster.AppReview, "a person has to look; nothing may be used meanwhile"),
		row(muster.OutcomeRefuse, muster.AppRefused, "a measure in force, or a person's resolution"),
		row(muster.OutcomeClose, muster.AppRefused, "a measure in force, or a person's resolution"),
	}
}

// AccountMoves is the whole table of an account's life. Decisions about a
// customer move each of their accounts through it in the deciding transaction.
var AccountMoves = join(
	account(muster.AccPending, muster.AccActive, muster.AccLimited, muster.AccLimited, muster.AccPending, muster.AccPending, muster.AccSuspended, muster.AccClosed),
	account(muster.AccLimited, muster.AccActive, muster.AccLimited, muster.AccLimited, muster.AccSuspended, muster.AccLimited, muster.AccSuspended, muster.AccClosing),
	account(muster.AccActive, muster.AccActive, muster.AccLimited, muster.AccLimited, muster.AccSuspended, muster.AccActive, muster.AccSuspended, muster.AccClosing),
	account(muster.AccSuspended, muster.AccActive, muster.AccLimited, muster.AccLimited, muster.AccSuspended, muster.AccSuspended, muster.AccSuspended, muster.AccClosing),
	// What is closing or closed stays so, whatever is decided: there is no way back but a new application.
	account(muster.AccClosing, muster.AccClosing, muster.AccClosing, muster.AccClosing, muster.AccClosing, muster.AccClosing, muster.AccClosing, muster.AccClosing),
	account(muster.AccClosed, muster.AccClosed, muster.AccClosed, muster.AccClosed, muster.AccClosed, muster.AccClosed, muster.AccClosed, muster.AccClosed),
	[]StateMove{
		{muster.AccPending, EventLeave, muster.AccClosed, byProvider, "never used"},
		{muster.AccLimited, EventLeave, muster.AccClosing, byProvider, "notice and data export for the pack's grace"},
		{muster.AccActive, EventLeave, muster.AccClosing, byProvider, "notice and data export for the pack's grace"},
		{muster.AccSuspended, EventLeave, muster.AccClosing, byProvider, "notice and data export for the pack's grace"},
		{muster.AccClosing, EventEnd, muster.AccClosed, byProvider, "the provider has ended the service"},
		{muster.AccPending, EventWithdraw, muster.AccClosed, byCustomer, "its application was withdrawn"},
		{muster.AccLimited, EventWithdraw, muster.AccClosing, byCustomer, "its application was withdrawn"},
		{muster.AccSuspended, EventWithdraw, muster.AccClosing, byCustomer, "its application was withdrawn"},
		{muster.AccActive, EventWithdraw, muster.AccClosing, byCustomer, "its application was withdrawn; it was open because nothing was enforced"},
		{muster.AccClosing, EventWithdraw, muster.AccClosing, byCustomer, "its application was withdrawn"},
		{muster.AccClosed, EventWithdraw, muster.AccClosed, byCustomer, "its application was withdrawn"},
		{muster.AccPending, EventExpire, muster.AccClosed, byTime, "its application expired"},
		{muster.AccLimited, EventExpire, muster.AccClosing, byTime, "its application expired"},
		{muster.AccSuspended, EventExpire, muster.AccClosing, byTime, "its application expired"},
		{muster.AccClosing, EventExpire, muster.AccClosing, byTime, "its application expired"},
		{muster.AccClosed, EventExpire, muster.AccClosed, byTime, "its application expired"},
	},
)

// account are the moves of decisions on an account in one state.
func account(from, open, limit, interim, hold, review, suspend, refuse string) []StateMove {
	row := func(on, to, must string) StateMove { return StateMove{from, on, to, byDecision, must} }
	return []StateMove{
		row(string(muster.OutcomeOpen), open, "no rule asks for anything"),
		row(string(muster.OutcomeLimit), limit, "limits of the decision apply"),
		row(EventInterim, interim, "needs are open; limits of the pack's interim service apply"),
		row(EventHold, hold, "needs are open; no interim service, or its term is over"),
		row(string(muster.OutcomeReview), review, "a person looks; what may be used stays as it was"),
		row(string(muster.OutcomeSuspend), suspend, "nothing may be used until a person has looked"),
		row(string(muster.OutcomeRefuse), refuse, "notice and data export for the pack's grace"),
		row(string(muster.OutcomeClose), refuse, "notice and data export for the pack's grace"),
	}
}

func join(parts ...[]StateMove) []StateMove {
	var all []StateMove
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

type arrow struct{ from, on string }

func index(moves []StateMove) map[arrow]string {
	m := make(map[arrow]string, len(moves))
	for _, v := range moves {
		m[arrow{v.From, v.On}] = v.To
	}
	return m
}

// states looks moves up.
type states struct{ application, account map[arrow]string }

func newStates() states {
	return states{index(ApplicationMoves), index(AccountMoves)}
}

func (s states) moveApplication(from, on string) (string, error) {
	if to, ok := s.application[arrow{from, on}]; ok {
		return to, nil
	}
	return "", muster.Errorf(muster.CodeIllegalMove, "an application that is %s does not take %q", from, on)
}

func (s states) moveAccount(from, on string) (string, error) {
	if to, ok := s.account[arrow{from, on}]; ok {
		return to, nil
	}
	return "", muster.Errorf(muster.CodeIllegalMove, "an account that is %s does not take %q", from, on)
}

// accountEvent is what a decision is to an account. While a person looks, what may
// be used stays as it was, but interim service has an end all the same.
func accountEvent(d *muster.Decision, f *muster.Facts) string {
	switch d.Outcome {
	case muster.OutcomeCollect, muster.OutcomeVerify:
		if d.Interim {
			return EventInterim
		}
		return EventHold
	case muster.OutcomeReview:
		interim := f.Account.State == muster.AccLimited && !f.Account.InterimSince.IsZero() && f.Application.State != muster.AppApproved
		if interim && !d.Interim {
			return EventHold
		}
	}
	return string(d.Outcome)
}

// StatesPage draws the tables as Markdown: docs/states.md is its output, held by a test.
func StatesPage() string {
	var b strings.Builder
	b.WriteString("# States\n\nDrawn from `onboard/states.go`; a test keeps the two the same. A pair that is not listed is an illegal move and answers 409.\n")
	for _, t := range []struct {
		title string
		moves []StateMove
	}{{"Application", ApplicationMoves}, {"Account", AccountMoves}} {
		fmt.Fprintf(&b, "\n## %s\n\n```mermaid\nstateDiagram-v2\n", t.title)
		seen := map[string][]string{}
		var order []string
		for _, m := range t.moves {
			if m.From == m.To {
				continue
			}
			k := "  " + m.From + " --> " + m.To
			if seen[k] == nil {
				order = append(order, k)
			}
			seen[k] = append(seen[k], m.On)
		}
		for _, k := range order {
			fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(seen[k], ", "))
		}
		b.WriteString("```\n\n| from | on | to | who moves it | what must hold |\n| --- | --- | --- | --- | --- |\n")
		for _, m := range t.moves {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", m.From, m.On, m.To, m.Who, m.Must)
		}
	}
	return b.String()
}
