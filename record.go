package muster

import (
	"slices"
	"time"
)

// Records are what the store keeps, one struct a table. They hold ids, states,
// counts, times, outcomes and sealed bytes; never a clear personal value.
// docs/leakage.md lists each column and what it gives away.

// Meta is the deployment's own record, made at first start and never changed.
type Meta struct {
	Deployment string // random id; part of all associated data
	Mode       string // production | sandbox
	Origin     string // of the log
	Made       time.Time
}

// CustomerRecord is a customer on file.
type CustomerRecord struct {
	ID      string    `json:"id"`
	Kind    PartyKind `json:"kind"`
	Made    time.Time `json:"made,omitzero"`
	Applied []string  `json:"applied,omitempty"` // packs that decided on the file: the first PackMark digits of their digests
	Gone    []string  `json:"gone,omitempty"`    // record classes of the file that went
	Version int64     `json:"-"`                 // goes up with every change; the ETag
}

// PackMark is how many digits of a pack's digest stand in a customer's row.
const PackMark = 12

// Apply notes that these packs decided on the file, and reports whether one is new.
func (c *CustomerRecord) Apply(packs []PackRef) (changed bool) {
	for _, p := range packs {
		if mark := p.Digest[:min(PackMark, len(p.Digest))]; !slices.Contains(c.Applied, mark) {
			c.Applied, changed = append(c.Applied, mark), true
		}
	}
	return changed
}

// ApplicationRecord is an application on file.
type ApplicationRecord struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	MAC       []byte    `json:"-"` // keyed digest of the request as parsed, for idempotency
	Customer  string    `json:"customer"`
	Account   string    `json:"account,omitempty"` // account id
	State     string    `json:"state"`
	Revision  int       `json:"revision"` // of its claims, from 1
	Received  time.Time `json:"received,omitzero"`
	Updated   time.Time `json:"updated,omitzero"`
	Decision  string    `json:"decision,omitempty"` // latest decision id
	Version   int64     `json:"-"`
	Shadow    bool      `json:"shadow,omitempty"` // decided in observe mode: nothing was enforced
}

// AccountRecord is an account on file.
type AccountRecord struct {
	ID           string    `json:"id"`
	Reference    string    `json:"reference"` // the provider's own
	Customer     string    `json:"customer"`
	Parent       string    `json:"parent,omitempty"` // account id, "" for none
	Relation     Relation  `json:"relation"`
	State        string    `json:"state"`
	InterimSince time.Time `json:"interim_since,omitzero"` // zero: never
	Opened       time.Time `json:"opened,omitzero"`        // first active
	Closed       time.Time `json:"closed,omitzero"`
	Decision     string    `json:"decision,omitempty"` // latest decision that moved it
	Version      int64     `json:"-"`
	Tag          string    `json:"tag,omitempty"`     // the provider's own word for grouping accounts, such as a band of revenue
	Beneath      string    `json:"beneath,omitempty"` // the state that it would be in without special measures; "": State
}

// ProfileRecord is what the gate says of one account.
type ProfileRecord struct {
	Hash     [16]byte // keyed, of the account's reference, under the version of the key in use
	Other    [16]byte // the same under another live version, while the key turns
	OtherKey int      // number of that version; 0: there is none
	Account  string   // account id
	Profile  []byte   // canonical
	Decision string   // that it rests on, "" where the profile allows
	Fresh    bool     // the account is made in this transaction: a hash that is taken is CodeConflict
}

// SubjectRecord is a person on one customer's file.
type SubjectRecord struct {
	ID       string         `json:"id"`
	Customer string         `json:"customer"`
	Role     SubjectRole    `json:"role"`
	Pointer  string         `json:"pointer,omitempty"` // into the claims; "" once removed from them
	Key      string         `json:"-"`                 // id in the key store
	Revision int            `json:"revision"`          // of this subject's claims
	Changed  map[string]int `json:"changed,omitempty"` // attribute -> revision at which its claim last changed
	Erased   time.Time      `json:"erased,omitzero"`
}

// ClaimsRecord is one revision of one subject's claims, sealed.
type ClaimsRecord struct {
	Subject  string    `json:"-"`
	Revision int       `json:"revision"`
	At       time.Time `json:"at,omitzero"`
	By       string    `json:"by,omitempty"` // operator id
	Sealed   []byte    `json:"-"`
}

// EvidenceRecord is evidence, and what was seen, sealed.
type EvidenceRecord struct {
	Evidence
	Application string `json:"application,omitempty"`
	Sealed      []byte `json:"-"` // details: document type, issuer, number, dates; nil where none
	Key         string `json:"-"` // id of the key that they are sealed under; "" for their subject's, as v0.1.0 has it

	Dropped time.Time `json:"dropped,omitzero"` // when the details went: dropped after it proved
}

// SealedUnder is the id of the key of e's details; subject is that of the subject's.
func (e *EvidenceRecord) SealedUnder(subject string) string {
	if e.Key != "" {
		return e.Key
	}
	return subject
}

// SharedEvidence is evidence whose details are sealed under its subject's key.
type SharedEvidence struct {
	EvidenceRecord
	Of SubjectRecord // id, customer, role and key alone
}

// EvidenceKey is the key of one piece of evidence's details, as the main store knows it.
type EvidenceKey struct {
	ID       string
	Customer string // "" where the evidence is gone
	Stray    bool   // it is in use, and there is nothing that it opens
}

// DecisionRecord is a decision on file.
type DecisionRecord struct {
	ID          string    `json:"id"`
	About       Ref       `json:"about"`
	Application string    `json:"application,omitempty"`
	Customer    string    `json:"customer"`
	At          time.Time `json:"at,omitzero"`
	Outcome     Outcome   `json:"outcome"`
	Observed    bool      `json:"observed,omitempty"` // decided in observe mode
	Body        []byte    `json:"-"`                  // the decision, stripped, JSON; what C2 commits to
	Facts       []byte    `json:"-"`                  // sealed parts
	Salt        []byte    `json:"-"`                  // of C2, sealed under the compliance key
	Leaf        int64     `json:"-"`                  // index in the log; filled when read
}

// EntryRecord is what a leaf of any type but a decision commits to: a reveal, a
// use, a pack activated, an operator added, ... One row each, ids and words of
// closed vocabularies only.
type EntryRecord struct {
	ID       string
	Type     string // as the leaf's type
	At       time.Time
	Operator string // who, "" for Muster itself
	About    Ref    // what it concerns; both "" where nothing single
	Body     []byte // canonical JSON
	Salt     []byte // sealed under the compliance key
	Leaf     int64  // index in the log; filled when read
}

// IndexRow leads from the digest of a value to a handle (package vault).
type IndexRow struct {
	Kind   string
	Digest []byte
	Handle []byte
	Role   SubjectRole
	Made   time.Time

	// While a key turns: the digests and handles under which the same value of the same
	// subject may be there already. Such a row stays and this one is not added.
	Digests, Handles [][]byte
}

// HandleCount asks how many distinct handles lie under a value's digests.
type HandleCount struct {
	Kind    string
	Digests [][]byte      // of one value, under every live key of its kind
	Roles   []SubjectRole // none: any
	Since   time.Time     // rows made from then on; zero: ever
}

// ReviewRecord is a case that waits for a person.
type ReviewRecord struct {
	ID          string    `json:"id"`
	Application string    `json:"application,omitempty"`
	Customer    string    `json:"customer"`
	Decision    string    `json:"decision,omitempty"` // that opened it
	Rules       []string  `json:"rules,omitempty"`    // "pack/rule" that asked for it
	State       string    `json:"state"`              // open | proposed | resolved | moot
	Opened      time.Time `json:"opened,omitzero"`
	Proposal    []byte    `json:"-"` // JSON of a resolution that waits for a second operator
	Proposer    string    `json:"-"`
	Evidence    string    `json:"evidence,omitempty"` // the resolution
	Version     int64     `json:"-"`
}

// States of a review.
const (
	ReviewOpen     = "open"
	ReviewProposed = "proposed"
	ReviewResolved = "resolved"
	ReviewMoot     = "moot" // a later decision no longer asks for it
)

// ChallengeRecord is a one-time code that was sent.
type ChallengeRecord struct {
	ID          string
	Application string
	Subject     string
	Method      string // contact.email | contact.phone
	Revision    int
	MAC         []byte // keyed hash of the code
	Target      []byte // blind-index digest of the address, for limits
	Made        time.Time
	Expires     time.Time
	Left        int // attempts
	Done        bool
}

// Job is one piece of background work. Rows hold ids, never values.
type Job struct {
	ID        string
	Kind      string // deliver.webhook | send.code | application.due | ...
	Ref       string // what it is about: an id
	Payload   []byte // JSON of ids and outcomes
	RunAt     time.Time
	Attempts  int
	Fence     int64  // of the lease under which it was taken
	LastError string // a code, never a value
}

// Held is what whoever took the job is entitled by.
func (j *Job) Held() Fence { return Fence{Job: j.ID, Fence: j.Fence} }

// WebhookRecord is an endpoint that events go to.
type WebhookRecord struct {
	ID      string
	URL     string
	Events  []string // empty: all
	Secret  []byte   // sealed
	Enabled bool
	Made    time.Time
	Version int64
}

// DeliveryRecord is one attempt to deliver.
type DeliveryRecord struct {
	Message string // webhook-id: the same over retries
	Webhook string
	Event   string
	Ref     string
	At      time.Time
	Attempt int
	Status  int    // HTTP status, 0 where none came
	Error   string // a code
	Took    time.Duration
	Payload []byte // JSON: the Event as it was sent, ids and outcomes; what a replay sends again
}

// OperatorRecord is a named person on staff.
type OperatorRecord struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Made     time.Time `json:"made,omitzero"`
	Disabled time.Time `json:"disabled,omitzero"`
}

// TokenRecord is a token; the secret is kept as a keyed hash only.
type TokenRecord struct {
	ID       string
	Operator string
	Name     string
	MAC      []byte
	Scopes   []Scope
	Made     time.Time
	Expires  time.Time
	Revoked  time.Time
}

// PackRecord is a policy pack's bytes, by digest.
type PackRecord struct {
	Digest  string    `json:"digest,omitempty"`
	ID      string    `json:"id"`
	Edition string    `json:"edition,omitempty"`
	Source  []byte    `json:"-"`
	Made    time.Time `json:"made,omitzero"`
}

// ActivationRecord says that a pack edition decides from an instant on, until
// a later one of the same pack does.
type ActivationRecord struct {
	ID        string    `json:"id"`
	Pack      string    `json:"pack,omitempty"` // pack id
	Digest    string    `json:"digest,omitempty"`
	Effective time.Time `json:"effective,omitzero"`
	Proposer  string    `json:"proposer,omitempty"`
	Approver  string    `json:"approver,omitempty"` // "" until approved
	Observe   bool      `json:"observe,omitempty"`  // decide and record, enforce nothing
	Retire    bool      `json:"retire,omitempty"`   // the pack stops deciding
	Made      time.Time `json:"made,omitzero"`
	Approved  time.Time `json:"approved,omitzero"`
}

// IdempotencyRecord keeps the answer to a write that has no reference.
type IdempotencyRecord struct {
	Operator string
	Key      string
	MAC      []byte // of method, path and body
	Status   int
	Body     []byte // sealed
	Expires  time.Time
}

// CheckpointRecord is a signed head of the log.
type CheckpointRecord struct {
	Size   int64
	Signed []byte // note with our signature and cosignatures
	Made   time.Time
}

// Lease is the right to do one duty, with a fencing token that only goes up.
type Lease struct {
	Name   string
	Holder string
	Fence  int64
	Until  time.Time
}

// Held is what whoever has the lease is entitled by.
func (l *Lease) Held() Fence { return Fence{Lease: l.Name, Fence: l.Fence} }

// Inheritance is what a process had that is gone, and others may take.
type Inheritance struct {
	Process string
	Jobs    int
	Leases  int
}

// Page asks for a part of a list: at most Limit rows after the key After.
type Page struct {
	After string
	Limit int
}

// HitRecord is a pair of somebody on file and an entry of a watch list, with what a
// person found of it. The entry is sealed: its id leads to a published name.
type HitRecord struct {
	ID          string    `json:"id"`
	Customer    string    `json:"customer"`
	Application string    `json:"application,omitempty"` // whose screening opened it
	Subject     string    `json:"subject,omitempty"`     // subject id; of the payer: the customer's
	Of          string    `json:"of,omitempty"`          // HitOfSubject | HitOfPayer
	List        string    `json:"list,omitempty"`
	Listed      []byte    `json:"-"` // keyed digest of list and entry, for look-up
	State       HitState  `json:"state"`
	Score       int       `json:"score,omitempty"` // thousandths, when last compared
	Opened      time.Time `json:"opened,omitzero"`
	Changed     time.Time `json:"changed,omitzero"`   // of the state
	Operator    string    `json:"operator,omitempty"` // whose finding stands, "" where nobody's
	Proposal    HitState  `json:"proposal"`           // a finding that waits for a second operator, "" for none
	Proposer    string    `json:"proposer,omitempty"`
	Proposed    time.Time `json:"proposed,omitzero"`
	Again       string    `json:"again,omitempty"` // why a false one is open again: entry | claims
	Gone        bool      `json:"gone,omitempty"`  // the entry has left its list since
	Due         time.Time `json:"due,omitzero"`    // of a true one: by when it is to be reported; zero: no clock
	Reported    time.Time `json:"reported,omitzero"`
	Keep        time.Time `json:"keep,omitzero"`      // of a true one: until when its own list has its records kept
	Findings    int       `json:"findings,omitempty"` // how many there were
	Found       []byte    `json:"-"`                  // sealed: the entry
	Finding     []byte    `json:"-"`                  // sealed: the reason, and what was compared
	Version     int64     `json:"-"`
}

// Holds reports whether the hit keeps its customer's records from being erased, and
// their money from being sent back, by itself.
func (r *HitRecord) Holds() bool { return r.State == HitTrue }

// Reasons for which a false hit is open again.
const (
	AgainEntry  = "entry"  // the entry changed
	AgainClaims = "claims" // what was stated changed
)

// SweepRecord is a job over everybody on file, and how far it is.
type SweepRecord struct {
	ID       string
	Kind     string // SweepChange | SweepTune
	List     string
	From, To string // digests of snapshots
	Made     time.Time
	Stage    string // of the job: see package watch
	Place    string // the last customer that is done
	Done     int    // customers
	Affected int    // customers that were decided anew
	Total    int    // customers on file when it began
	Result   []byte // JSON, of a tune
	Ended    time.Time
	Version  int64
}

// Kinds of sweep.
const (
	SweepChange = "sweep"
	SweepTune   = "tune"
)

// SweepOrder is the payload of a JobSweep: one list's snapshot takes the place of another.
type SweepOrder struct {
	List string `json:"list"`
	From string `json:"from"` // digest; "" for a list that was not loaded before
	To   string `json:"to"`   // "" for one that no longer is
}

// BookRow is one subject's latest claims, as a job over everybody on file reads them.
type BookRow struct {
	Customer string
	Subject  string
	Pointer  string
	Key      string
	Revision int
	Sealed   []byte
}
