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
	ID      string
	Kind    PartyKind
	Made    time.Time
	Applied []string // packs that decided on the file: the first PackMark digits of their digests
	Gone    []string // record classes of the file that went
	Version int64    // goes up with every change; the ETag
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
	ID        string
	Reference string
	MAC       []byte // keyed digest of the request as parsed, for idempotency
	Customer  string
	Account   string // account id
	State     string
	Revision  int // of its claims, from 1
	Received  time.Time
	Updated   time.Time
	Decision  string // latest decision id
	Version   int64
	Shadow    bool // decided in observe mode: nothing was enforced
}

// AccountRecord is an account on file.
type AccountRecord struct {
	ID           string
	Reference    string // the provider's own
	Customer     string
	Parent       string // account id, "" for none
	Relation     Relation
	State        string
	InterimSince time.Time // zero: never
	Opened       time.Time // first active
	Closed       time.Time
	Decision     string // latest decision that moved it
	Version      int64
	Tag          string // the provider's own word for grouping accounts, such as a band of revenue
	Beneath      string // the state that it would be in without special measures; "": State
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
	ID       string
	Customer string
	Role     SubjectRole
	Pointer  string         // into the claims; "" once removed from them
	Key      string         // id in the key store
	Revision int            // of this subject's claims
	Changed  map[string]int // attribute -> revision at which its claim last changed
	Erased   time.Time
}

// ClaimsRecord is one revision of one subject's claims, sealed.
type ClaimsRecord struct {
	Subject  string
	Revision int
	At       time.Time
	By       string // operator id
	Sealed   []byte
}

// EvidenceRecord is evidence, and what was seen, sealed.
type EvidenceRecord struct {
	Evidence
	Application string
	Sealed      []byte // details: document type, issuer, number, dates; nil where none
}

// DecisionRecord is a decision on file.
type DecisionRecord struct {
	ID          string
	About       Ref
	Application string
	Customer    string
	At          time.Time
	Outcome     Outcome
	Observed    bool   // decided in observe mode
	Body        []byte // the decision, stripped, JSON; what C2 commits to
	Facts       []byte // sealed parts
	Salt        []byte // of C2, sealed under the compliance key
	Leaf        int64  // index in the log; filled when read
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
	ID          string
	Application string
	Customer    string
	Decision    string   // that opened it
	Rules       []string // "pack/rule" that asked for it
	State       string   // open | proposed | resolved | moot
	Opened      time.Time
	Proposal    []byte // JSON of a resolution that waits for a second operator
	Proposer    string
	Evidence    string // the resolution
	Version     int64
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
	ID       string
	Name     string
	Made     time.Time
	Disabled time.Time
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
	Digest  string
	ID      string
	Edition string
	Source  []byte
	Made    time.Time
}

// ActivationRecord says that a pack edition decides from an instant on, until
// a later one of the same pack does.
type ActivationRecord struct {
	ID        string
	Pack      string // pack id
	Digest    string
	Effective time.Time
	Proposer  string
	Approver  string // "" until approved
	Observe   bool   // decide and record, enforce nothing
	Retire    bool   // the pack stops deciding
	Made      time.Time
	Approved  time.Time
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

// Page asks for a part of a list: at most Limit rows after the key After.
type Page struct {
	After string
	Limit int
}

// HitRecord is a pair of somebody on file and an entry of a watch list, with what a
// person found of it. The entry is sealed: its id leads to a published name.
type HitRecord struct {
	ID          string
	Customer    string
	Application string // whose screening opened it
	Subject     string // subject id; of the payer: the customer's
	Of          string // HitOfSubject | HitOfPayer
	List        string
	Listed      []byte // keyed digest of list and entry, for look-up
	State       HitState
	Score       int // thousandths, when last compared
	Opened      time.Time
	Changed     time.Time // of the state
	Operator    string    // whose finding stands, "" where nobody's
	Proposal    HitState  // a finding that waits for a second operator, "" for none
	Proposer    string
	Proposed    time.Time
	Again       string    // why a false one is open again: entry | claims
	Gone        bool      // the entry has left its list since
	Due         time.Time // of a true one: by when it is to be reported; zero: no clock
	Reported    time.Time
	Keep        time.Time // of a true one: until when its own list has its records kept
	Findings    int       // how many there were
	Found       []byte    // sealed: the entry
	Finding     []byte    // sealed: the reason, and what was compared
	Version     int64
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
