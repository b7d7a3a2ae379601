package muster

import "time"

// GateStatus is what the gate says of an account from an instant on.
type GateStatus string

const (
	GateAllow   GateStatus = "allow"
	GateLimited GateStatus = "limited" // allowed within the limits
	GateDeny    GateStatus = "deny"
)

// Profile is what the gate knows of an account: a list of instants in rising
// order, each with what holds from then on. Accounts with equal profiles share
// one. No personal data.
type Profile struct {
	Steps []ProfileStep `json:"steps"` // the first holds from the beginning of time
}

// ProfileStep is what holds from From until the next step.
type ProfileStep struct {
	From     time.Time  `json:"from,omitzero"`
	Status   GateStatus `json:"status"`
	Limits   Limits     `json:"limits"` // obligations, where limited
	Code     string     `json:"code"`   // reason code, for programs
	Customer string     `json:"customer,omitempty"`
	Operator string     `json:"operator,omitempty"`
	Rule     string     `json:"rule,omitempty"`     // "pack/rule", or the determination
	Decision string     `json:"decision,omitempty"` // left out where profiles are shared by many accounts
}

// Transition is what a special measure does to one account between two instants.
// The account's profile is composed from its state, its decision and these.
type Transition struct {
	Account       string     `json:"account"` // account id
	Determination string     `json:"determination"`
	From          time.Time  `json:"from"`
	Until         time.Time  `json:"until"`
	Status        GateStatus `json:"status"`
	Limits        Limits     `json:"limits"` // of conditions
	Code          string     `json:"code"`
	Rule          string     `json:"rule"`
	Customer      string     `json:"customer,omitempty"`
	Operator      string     `json:"operator,omitempty"`
	Facts         []string   `json:"facts"` // on which the account matched: address, nationality, residence, ...
}
