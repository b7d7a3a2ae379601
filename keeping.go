package muster

import "time"

// Record classes: records with one rule of how long they are kept. A pack says
// from which event and for how long; package retain carries it out.
const (
	ClassIdentity  = "identity"               // who the people on a file are: the latest claims, and what is looked up by them
	ClassClaims    = "claims"                 // earlier revisions of claims
	ClassEvidence  = "evidence"               // what methods found, and what was seen
	ClassImages    = "images"                 // pictures of documents
	ClassUSProof   = "us_proof"               // what was seen only to show that somebody is a US person; what it showed is evidence
	ClassHits      = "hits"                   // list entries that a name came close to, and what persons found
	ClassDecisions = "decisions"              // what was decided, without personal data
	ClassReveals   = "reveals"                // who saw what, and for what
	ClassNotices   = "notices"                // messages that were sent, and those that were given up
	ClassGate      = "gate"                   // what the gate answered: denials, samples, counts
	ClassAccess    = "access"                 // access records
	ClassLeases    = "leases"                 // which account held which address
	ClassRefused   = "refused_applications"   // files of whom no account was ever opened: refused,
	ClassAbandoned = "abandoned_applications" // expired, or withdrawn
)

// RecordClasses lists them all.
var RecordClasses = []string{
	ClassIdentity, ClassClaims, ClassEvidence, ClassUSProof, ClassImages, ClassHits, ClassDecisions, ClassReveals, ClassNotices, ClassGate,
	ClassAccess, ClassLeases, ClassRefused, ClassAbandoned,
}

// Proof is evidence that may have done what it was for: who is shown to be whom.
type Proof struct {
	Customer, Evidence, Subject string // ids
	Under                       string // id of the key of its details; "" for the subject's
	Taken                       time.Time
}

// Key is the place of p in the order of proofs.
func (p *Proof) Key() string { return p.Subject + " " + p.Evidence }

// FileAge is what retention reads of one customer's file: times and states alone.
type FileAge struct {
	Customer string
	Made     time.Time
	Applied  []string  // as of the CustomerRecord
	Gone     []string  // likewise
	Opened   bool      // an account was in use at some time
	Live     bool      // an account is not closed, or an application not ended
	Closed   time.Time // the last account's end; zero where none ended
	Refused  bool      // the last application was refused
	Last     time.Time // the last application's last change
	Hit      bool      // somebody on it is listed, as a person found: nothing of it goes
	HitUntil time.Time // before then; zero: as long as that stands
}

// Hold keeps records from going, whatever the clock or the customer says.
type Hold struct {
	ID          string    `json:"id"`
	Customer    string    `json:"customer"`        // "": every customer's
	Class       string    `json:"class,omitempty"` // "": every class
	From        time.Time `json:"from,omitzero"`
	Until       time.Time `json:"until,omitzero"`        // files made in [From, Until); zero: no bound
	Ground      string    `json:"ground,omitempty"`      // HoldLitigation, ...
	Case        string    `json:"case,omitempty"`        // reference of the matter, [A-Za-z0-9._/-]{1,64}
	Undisclosed bool      `json:"undisclosed,omitempty"` // nobody outside staff is told
	Withheld    bool      `json:"withheld,omitempty"`    // and what is in its scope is left out of copies: a non-disclosure order, see Withholds
	Placed      time.Time `json:"placed,omitzero"`
	By          string    `json:"by,omitempty"`    // operator
	Review      time.Time `json:"review,omitzero"` // by when somebody looks whether it is still wanted
	Lifted      time.Time `json:"lifted,omitzero"` // zero: it holds
	LiftedBy    string    `json:"lifted_by,omitempty"`
	Version     int64     `json:"-"`
}

// Grounds of a hold.
const (
	HoldLitigation    = "litigation"
	HoldInvestigation = "investigation"
	HoldOrder         = "order"   // of a court or an authority
	HoldRequest       = "request" // preservation that was asked for
	HoldHit           = "true_hit"
	HoldOwn           = "own"
)

// HoldGrounds lists them.
var HoldGrounds = []string{HoldLitigation, HoldInvestigation, HoldOrder, HoldRequest, HoldHit, HoldOwn}

// Holds reports whether h keeps records of that class on a file.
func (h *Hold) Holds(f *FileAge, class string) bool {
	if !h.Lifted.IsZero() || h.Customer != "" && h.Customer != f.Customer || h.Class != "" && h.Class != class {
		return false
	}
	return h.Withheld || // its period is of records, and what it covers is kept with the rest of its class
		(h.From.IsZero() || !f.Made.Before(h.From)) && (h.Until.IsZero() || f.Made.Before(h.Until))
}

// Withholds reports whether a record of that class, made then, is left out of what a
// customer is given: it is under a non-disclosure order.
func (h *Hold) Withholds(customer, class string, made time.Time) bool {
	return h.Withheld && h.Lifted.IsZero() && h.Customer == customer && h.Class == class &&
		!made.Before(h.From) && (h.Until.IsZero() || made.Before(h.Until))
}

// WithheldClasses are the record classes that a copy is made of, and so those that a
// non-disclosure order can keep out of it.
var WithheldClasses = []string{ClassClaims, ClassEvidence, ClassDecisions, ClassAccess, ClassLeases}

// Erasure is one act of making records go: of the clock, or of a request.
type Erasure struct {
	ID       string        `json:"id"`
	State    string        `json:"state"`
	Ground   string        `json:"ground,omitempty"` // GroundExpired, GroundRequest, ...
	Items    []ErasureItem `json:"items,omitempty"`
	Proposed time.Time     `json:"proposed,omitzero"`
	Proposer string        `json:"proposer,omitempty"` // operator; "" for the clock
	Approver string        `json:"approver,omitempty"` //
	Due      time.Time     `json:"due,omitzero"`       // of an approved one: not before
	Done     time.Time     `json:"done,omitzero"`
	Version  int64         `json:"-"`
}

// ErasureItem is one file's part in an erasure.
type ErasureItem struct {
	Customer string   `json:"customer"`
	Classes  []string `json:"classes"`
	Pack     string   `json:"pack,omitempty"` // whose period was the longest
}

// States of an erasure. What is approved can be taken back until it is begun.
const (
	ErasureProposed = "proposed"
	ErasureApproved = "approved"
	ErasureBegun    = "begun" // the intent, durable before anything goes
	ErasureDone     = "done"
	ErasureTaken    = "taken_back"
)

// Grounds of an erasure.
const (
	GroundExpired = "expired" // its time is over
	GroundRequest = "request" // the person asked
	GroundError   = "error"   // it should never have been taken
	GroundMass    = "mass"    // allows a day on which much expires; erases nothing by itself
)
