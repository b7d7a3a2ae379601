package vault

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"sync"

	"github.com/muster-cip/muster"
)

// Purpose of a reveal. The list is closed: a pack says who may reveal for which.
type Purpose string

const (
	PurposeSupport       Purpose = "support"        // a customer asks for help
	PurposeReview        Purpose = "review"         // a case in the queue
	PurposeExaminer      Purpose = "examiner"       // a disclosure to an examiner
	PurposeCourt         Purpose = "court"          // an order or subpoena
	PurposeSubjectAccess Purpose = "subject_access" // the person asks for their own data
	PurposeDelivery      Purpose = "delivery"       // an address is opened to send a message to it
	PurposeAbuse         Purpose = "abuse"          // an investigation of abuse, with its case
	PurposeExport        Purpose = "export"         // everything is given out, sealed, by two operators
)

// Purposes lists them all.
var Purposes = []Purpose{
	PurposeSupport, PurposeReview, PurposeExaminer, PurposeCourt, PurposeSubjectAccess, PurposeDelivery, PurposeAbuse, PurposeExport,
}

// EntryType says which leaf an entry is.
type EntryType string

const (
	EntryReveal   EntryType = "reveal"
	EntryLookup   EntryType = "lookup" // a reveal that begins with a value instead of a record
	EntryUseStart EntryType = "use_start"
	EntryUseEnd   EntryType = "use_end"
)

// Entry is what is recorded of one look. It holds ids and counts, no personal data.
type Entry struct {
	Type     EntryType `json:"type"`
	ID       string    `json:"id"` // of the reveal or session; use_start and use_end have the same
	Operator string    `json:"operator,omitempty"`
	Purpose  Purpose   `json:"purpose,omitempty"`
	Case     string    `json:"case,omitempty"`
	Job      string    `json:"job,omitempty"`
	Scope    string    `json:"scope,omitempty"`
	Kind     Kind      `json:"kind,omitempty"`   // of a lookup
	Places   []Place   `json:"places,omitempty"` // of a reveal: what was opened
	Subjects int       `json:"subjects"`         // distinct
	Count    int       `json:"count"`            // of a use_end: what the job reports
	Opened   int       `json:"opened"`           // of a use_end: values opened
}

// Canonical is the one encoding of e, to be committed to: JSON in the order of the
// struct's fields.
func (e Entry) Canonical() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic("vault: an entry of strings and numbers always encodes: " + err.Error())
	}
	return b
}

// Recorder makes looks durable.
type Recorder interface {
	// Record returns nil only once the entry's leaf is durable. On an error nothing
	// is opened.
	Record(ctx context.Context, e Entry) error
}

// Item is one sealed value, and the key that the subject's row names.
type Item struct {
	Place  Place
	KeyID  string
	Sealed []byte
}

// RevealRequest says who looks at what, and why. One request, with one leaf, may
// cover a page.
type RevealRequest struct {
	Operator string  // operator id; "muster" for PurposeDelivery
	Purpose  Purpose //
	Case     string  // reference of the case, review or request; [A-Za-z0-9._-]{1,64}, never free text
	Items    []Item
}

var (
	operatorID = regexp.MustCompile(`^(opr_[0-9a-hjkmnp-tv-z]{26}|muster)$`)
	word       = regexp.MustCompile(`^[a-z0-9_.:/-]{1,64}$`)
	scopeText  = regexp.MustCompile(`^[A-Za-z0-9 _.,:/=<>-]{1,200}$`)
)

const maxReveal = 1000 // values under one leaf

func (r *RevealRequest) check() error {
	var faults []muster.Fault
	fault := func(bad bool, pointer, code, detail string) {
		if bad {
			faults = append(faults, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
		}
	}
	fault(!operatorID.MatchString(r.Operator), "/operator", "required", "a reveal names an operator")
	fault(!slices.Contains(Purposes, r.Purpose), "/purpose", "unknown_purpose", "a reveal names its purpose, one of the list")
	fault(!muster.IsReference(r.Case), "/case", "required", "a reveal names its case by a reference")
	fault(r.Operator == "muster" && r.Purpose != PurposeDelivery, "/operator", "required", "only delivery is Muster's own")
	fault(len(r.Items) > maxReveal, "/items", "too_many", "one reveal covers at most 1000 values")
	if faults != nil {
		return muster.Invalid(faults...)
	}
	return nil
}

// Reveal opens values that leave the process or are shown. The entry is durable
// before the first is opened. The result has the order of the items; nil where the
// subject's key is destroyed. Whether the operator may is the caller's to ask before.
func (v *Vault) Reveal(ctx context.Context, r RevealRequest, rec Recorder) ([][]byte, error) {
	places := make([]Place, len(r.Items))
	for i, it := range r.Items {
		places[i] = it.Place
	}
	if err := v.recordReveal(ctx, r, EntryReveal, "", places, rec); err != nil {
		return nil, err
	}
	keys, err := v.Keys(ctx, keyIDs(r.Items))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(r.Items))
	for i, it := range r.Items {
		if k, ok := keys[it.KeyID]; ok {
			if out[i], err = v.open(k.o, it.Place, it.Sealed); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// RevealFacts opens the facts of one decision for a bundle that leaves the house.
// r.Items is empty. Parts whose subject is erased come back as such.
func (v *Vault) RevealFacts(ctx context.Context, r RevealRequest, decisionID string, blob []byte, rec Recorder) ([]OpenedPart, error) {
	raw, err := parseFacts(blob)
	if err != nil {
		return nil, err
	}
	if len(r.Items) > 0 {
		return nil, muster.Errorf(muster.CodeInternal, "a reveal of facts has no items")
	}
	var places []Place
	for _, p := range raw {
		place := Place{Record: decisionID, Field: "facts"}
		if p.KeyID != "" {
			place.Subject = p.Name
		}
		places = append(places, place)
	}
	if err := v.recordReveal(ctx, r, EntryReveal, "", places, rec); err != nil {
		return nil, err
	}
	keys, err := v.Keys(ctx, factsKeys(raw))
	if err != nil {
		return nil, err
	}
	return v.openFacts(decisionID, raw, keys)
}

// Lookup is the digests of a value that an operator searches for, newest key version
// first. It is a reveal even when nothing is found: who asks "is this person with
// you?" learns something either way. The limit per operator is the caller's.
func (v *Vault) Lookup(ctx context.Context, r RevealRequest, kind Kind, normaliser uint8, value string, rec Recorder) ([][]byte, error) {
	if !slices.Contains(Kinds, kind) {
		return nil, muster.Invalid(muster.Fault{Pointer: "/kind", Code: "unknown_kind", Detail: "there is no index of this kind"})
	}
	if err := v.recordReveal(ctx, r, EntryLookup, kind, nil, rec); err != nil {
		return nil, err
	}
	return v.Digests(kind, normaliser, value), nil
}

func (v *Vault) recordReveal(ctx context.Context, r RevealRequest, typ EntryType, kind Kind, places []Place, rec Recorder) error {
	if err := r.check(); err != nil {
		return err
	}
	if rec == nil {
		return muster.Errorf(muster.CodeInternal, "a reveal has no recorder")
	}
	return rec.Record(ctx, Entry{
		Type: typ, ID: muster.NewID(muster.PrefixRequest, v.clock()), Operator: r.Operator,
		Purpose: r.Purpose, Case: r.Case, Kind: kind, Places: places, Subjects: distinctSubjects(places),
	})
}

func distinctSubjects(places []Place) int {
	seen := make(map[string]bool, len(places))
	for _, p := range places {
		if p.Subject != "" {
			seen[p.Subject] = true
		}
	}
	return len(seen)
}

func keyIDs(items []Item) []string {
	ids := make([]string, 0, len(items))
	for _, it := range items {
		if !slices.Contains(ids, it.KeyID) {
			ids = append(ids, it.KeyID)
		}
	}
	return ids
}

func factsKeys(raw []rawPart) []string {
	var ids []string
	for _, p := range raw {
		if p.KeyID != "" && !p.Erased {
			ids = append(ids, p.KeyID)
		}
	}
	return ids
}

// Job says what a use is for.
type Job struct {
	Name    string   // [a-z0-9_.:/-]{1,64}: "screening.sweep", "policy.replay", ...
	Purpose string   // likewise
	Scope   string   // over which records, in words without personal data: "customers opened since 2026-01-01"
	Starter string   // operator id where a person started it, "" where time did
	_       struct{} // fields by name
}

// Session opens values inside the process. They must not leave it: what comes out
// of a job is ids, scores and counts. Nothing can enforce that but review, which is why
// each use is in the log with its name and scope. Safe for concurrent use.
type Session struct {
	v     *Vault
	rec   Recorder
	start Entry

	mu       sync.Mutex
	opened   int
	ended    bool
	recorded bool
}

// Use begins a job: its start is durable before this returns.
func (v *Vault) Use(ctx context.Context, j Job, rec Recorder) (*Session, error) {
	if !word.MatchString(j.Name) || !word.MatchString(j.Purpose) || !scopeText.MatchString(j.Scope) ||
		j.Starter != "" && !operatorID.MatchString(j.Starter) || rec == nil {
		return nil, muster.Errorf(muster.CodeInternal, "a use states its name, purpose and scope, and has a recorder")
	}
	s := &Session{v: v, rec: rec, start: Entry{
		Type: EntryUseStart, ID: muster.NewID(muster.PrefixRequest, v.clock()), Operator: j.Starter,
		Purpose: Purpose(j.Purpose), Job: j.Name, Scope: j.Scope,
	}}
	if err := rec.Record(ctx, s.start); err != nil {
		return nil, err
	}
	return s, nil
}

// Disclose begins a reveal of more than one request can cover: what it opens leaves the
// house. Its start, a reveal with its scope, is durable before this returns; End says
// how much it was. That two operators agreed is the caller's to ask before.
func (v *Vault) Disclose(ctx context.Context, r RevealRequest, name, scope string, rec Recorder) (*Session, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if rec == nil || len(r.Items) > 0 || !word.MatchString(name) || !scopeText.MatchString(scope) {
		return nil, muster.Errorf(muster.CodeInternal, "a disclosure states its name and scope, and has a recorder")
	}
	s := &Session{v: v, rec: rec, start: Entry{
		Type: EntryReveal, ID: muster.NewID(muster.PrefixRequest, v.clock()), Operator: r.Operator, Purpose: r.Purpose, Case: r.Case, Job: name, Scope: scope,
	}}
	if err := rec.Record(ctx, s.start); err != nil {
		return nil, err
	}
	return s, nil
}

// UseForDecision is the session in which one decision is made: the claims of about
// are opened, and what comes out is the decision. Its record is the decision's own
// leaf, written in the same transaction as the decision: that leaf commits to the
// facts and so to everything that was read, and without it nothing came out. Two
// leaves more for each decision would triple the log and say nothing that it does not.
func (v *Vault) UseForDecision(about muster.Ref) *Session {
	return &Session{v: v, start: Entry{Type: EntryUseStart, Job: "decision", Scope: about.Kind + " " + about.ID}}
}

// Open opens one value. CodeGone where its subject's key is destroyed.
func (s *Session) Open(ctx context.Context, it Item) ([]byte, error) {
	if err := s.count(1); err != nil {
		return nil, err
	}
	k, err := s.v.Key(ctx, it.KeyID)
	if err != nil {
		return nil, err
	}
	return s.v.open(k.o, it.Place, it.Sealed)
}

// OpenFacts opens the facts of one decision; parts whose subject is erased come
// back as such, with their commitment.
func (s *Session) OpenFacts(ctx context.Context, decisionID string, blob []byte) ([]OpenedPart, error) {
	raw, err := parseFacts(blob)
	if err != nil {
		return nil, err
	}
	if err := s.count(len(raw)); err != nil {
		return nil, err
	}
	keys, err := s.v.Keys(ctx, factsKeys(raw))
	if err != nil {
		return nil, err
	}
	return s.v.openFacts(decisionID, raw, keys)
}

// Warm loads keys with one read of the key store: a job over many records warms
// them by the hundred. Those that would have to be looked at again in a moment are too,
// or each would be read for itself in the middle of the work.
func (s *Session) Warm(ctx context.Context, keyIDs []string) error {
	if err := s.count(0); err != nil {
		return err
	}
	oldest := s.v.oldest()
	if s.v.shared {
		oldest = oldest.Add(recheck / 2)
	}
	_, err := s.v.keysSeen(ctx, keyIDs, oldest)
	return err
}

// End closes the session and records its end with the job's own count. A session
// that is not ended shows in the log as a start without an end. After an error End is
// called again; after a success it does nothing more.
func (s *Session) End(ctx context.Context, count int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.rec == nil || s.recorded {
		return nil
	}
	e := s.start
	e.Type, e.Count, e.Opened = EntryUseEnd, count, s.opened
	if err := s.rec.Record(ctx, e); err != nil {
		return err
	}
	s.recorded = true
	return nil
}

func (s *Session) count(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return muster.Errorf(muster.CodeInternal, "the session has ended")
	}
	s.opened += n
	return nil
}
