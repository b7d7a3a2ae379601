package muster

import "time"

// GateStatus is what the gate says of an account from an instant on.
type GateStatus string

const (
	GateAllow   GateStatus = "allow"
	GateLimited GateStatus = "limited" // allowed within the limits
	GateDeny    GateStatus = "deny"
)

// Actions that a provider asks the gate about. The pack's fail table has a row for
// each that it answers without knowledge of the account. A word that is none of
// these is decided by the account's status, and denied where there is no knowledge.
const (
	ActionUse            = "use"              // what is there already
	ActionOpenAccount    = "open_account"     // the sign-up page
	ActionFirstOrder     = "first_order"      // of an account
	ActionAddResources   = "add_resources"    // create
	ActionAddGPU         = "add_gpu"          // create with an accelerator
	ActionAddLarge       = "add_large"        // a large order, by the provider's own measure
	ActionOpenSubAccount = "open_sub_account" // by a reseller, for its customer
	ActionOrderByMeasure = "order_by_measure" // an order of an account that a special measure names
	ActionExportData     = "export_data"      // the customer takes its data out
)

// GateActions lists them, in the order in which the wire has them: append only.
var GateActions = []string{
	ActionUse, ActionOpenAccount, ActionFirstOrder, ActionAddResources, ActionAddGPU, ActionAddLarge, ActionOpenSubAccount,
	ActionOrderByMeasure, ActionExportData,
}

// Profile is what the gate knows of an account: a list of instants in rising
// order, each with what holds from then on. Accounts with equal profiles share
// one. No personal data.
type Profile struct {
	Steps []ProfileStep `json:"steps"` // the first holds from the beginning of time
}

// ProfileStep is what holds from From until the next step.
type ProfileStep struct {
	From time.Time `json:"from,omitzero"`
	Verdict
}

// Verdict is what the gate says of an account, and why. The decision that it rests
// on stands beside the account: verdicts are shared by many.
type Verdict struct {
	Status   GateStatus `json:"status"`
	Observed bool       `json:"observed,omitempty"` // nothing is enforced: allowed, and Status is advice
	Except   []string   `json:"except,omitempty"`   // of a denial: actions that are allowed all the same
	Limits   Limits     `json:"limits,omitzero"`    // obligations, where limited
	Code     string     `json:"code,omitempty"`     // reason code, for programs
	Rule     string     `json:"rule,omitempty"`     // "pack/rule", or the determination
	Measure  bool       `json:"measure,omitempty"`  // because of a special measure
	Customer string     `json:"customer,omitempty"` // words fit for the customer
	Operator string     `json:"operator,omitempty"` // words for the provider's own staff
	Unblock  string     `json:"unblock,omitempty"`  // for staff: where it gets unblocked
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
