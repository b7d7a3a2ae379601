package muster

import "time"

// Outcome of a decision, in rising severity. The most severe of all rules that
// held, in all packs, wins.
type Outcome string

const (
	OutcomeOpen    Outcome = "open"
	OutcomeLimit   Outcome = "limit"
	OutcomeCollect Outcome = "collect"
	OutcomeVerify  Outcome = "verify"
	OutcomeReview  Outcome = "review"
	OutcomeSuspend Outcome = "suspend"
	OutcomeRefuse  Outcome = "refuse"
	OutcomeClose   Outcome = "close"
)

// Outcomes lists them in rising severity.
var Outcomes = []Outcome{
	OutcomeOpen, OutcomeLimit, OutcomeCollect, OutcomeVerify, OutcomeReview, OutcomeSuspend, OutcomeRefuse, OutcomeClose,
}

// Severity is the rank of o, 0 for open; -1 for a word that is no outcome.
func (o Outcome) Severity() int {
	for i, x := range Outcomes {
		if x == o {
			return i
		}
	}
	return -1
}

// Decision is outcome, needs, limits and every rule that held, with citation
// and pack edition. Decisions are never edited.
type Decision struct {
	ID          string            `json:"id"`
	About       Ref               `json:"about"`
	At          time.Time         `json:"at"`
	Mode        string            `json:"mode"` // production | sandbox
	Outcome     Outcome           `json:"outcome"`
	Needs       []Need            `json:"needs,omitempty"`
	Limits      Limits            `json:"limits"`
	Interim     bool              `json:"interim,omitempty"` // needs are open, and meanwhile the account may be used within Limits
	Obligations []string          `json:"obligations,omitempty"`
	Reasons     []Reason          `json:"reasons"`
	Observed    []Reason          `json:"observed,omitempty"` // rules in observe mode that held; they changed nothing
	Foreign     map[string]string `json:"foreign"`            // subject id -> presumed | us | foreign
	Packs       []PackRef         `json:"packs"`
	Until       time.Time         `json:"until,omitzero"` // until when the answer holds; zero: until something changes
	Warnings    []string          `json:"warnings,omitempty"`
}

// Status of a subject as to being foreign.
const (
	StatusPresumed = "presumed"
	StatusUS       = "us"
	StatusForeign  = "foreign"
)

// NeedKind says what a need asks for.
type NeedKind string

const (
	NeedSupply NeedKind = "supply" // a claim is absent
	NeedVerify NeedKind = "verify" // evidence on an attribute is wanting
	NeedWait   NeedKind = "wait"   // a person of ours looks; nothing to do
)

// Need is one thing wanted, from whom, and how it can be met.
type Need struct {
	Kind      NeedKind `json:"kind"`
	Subject   string   `json:"subject,omitempty"`   // subject id
	Pointer   string   `json:"pointer,omitempty"`   // JSON Pointer into the claims
	Attribute string   `json:"attribute,omitempty"` // of verify
	Methods   []string `json:"methods,omitempty"`   // any one of them will do
	Rule      string   `json:"rule,omitempty"`      // "pack/rule" that asks, the first where several do
	Words     string   `json:"words,omitempty"`     // for the customer
}

// Reason is one rule that held.
type Reason struct {
	Pack     string   `json:"pack,omitempty"`
	Rule     string   `json:"rule"`
	Outcome  Outcome  `json:"outcome,omitempty"`
	Code     string   `json:"code,omitempty"` // stable, for programs; a hidden ground has the code of a random check
	Citation string   `json:"citation,omitempty"`
	Status   string   `json:"status,omitempty"`   // legal status of the citation's source: in force | proposed | withdrawn | provider's own
	Customer string   `json:"customer,omitempty"` // words for the customer
	Operator string   `json:"operator,omitempty"` // words for the operator
	Hidden   bool     `json:"hidden,omitempty"`
	Subjects []string `json:"subjects,omitempty"` // pointers of the subjects on which it held
	Measure  string   `json:"measure,omitempty"`  // id of the determination that the rule cites
}

// PackRef names a pack edition and the digest of its bytes.
type PackRef struct {
	ID      string `json:"id"`
	Edition string `json:"edition"`
	Digest  string `json:"digest"` // sha256, hex
}
