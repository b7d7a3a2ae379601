// Package onboard tells the way of an application from first byte to decision:
// take, verify, decide, open, renew, close. Read story.go first.
//
// Rules of this room:
//   - A public verb opens the transaction, a private one of the same story takes it.
//   - Every move of an application or an account goes through the table in states.go.
//   - A decision is durable with its sealed facts, its leaf and its outgoing
//     notifications in one transaction.
//   - Clear personal values pass through to the vault and nowhere else: not into
//     errors, logs, jobs or rows.
package onboard

import (
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
)

// Answer is what a provider gets back, in one round trip, for an application.
type Answer struct {
	Application  string           `json:"application"` // id
	Reference    string           `json:"reference"`
	State        string           `json:"state" enum:"received,needs,review,approved,refused,expired,withdrawn"`
	Account      string           `json:"account"` // the provider's own reference
	AccountState string           `json:"account_state" enum:"pending,active,limited,suspended,closing,closed"`
	Revision     int              `json:"revision"` // of the claims
	Version      int64            `json:"version"`  // the ETag, for If-Match
	Decision     *muster.Decision `json:"decision"`
	Next         string           `json:"next,omitempty"` // where to send the customer for the needs
	Observe      bool             `json:"observe"`        // true: the decision was recorded and nothing is enforced
	Created      bool             `json:"-"`              // false: the same application was there already
}

// ChallengeRequest asks to send a one-time code.
type ChallengeRequest struct {
	Method  string `json:"method" enum:"contact.email,contact.phone"`
	Subject string `json:"subject,omitempty" doc:"subject id; absent: the customer"`
}

// ChallengeAnswer says that a code is on its way. It reads the same whatever became of the sending.
type ChallengeAnswer struct {
	Challenge string    `json:"challenge"`
	Method    string    `json:"method"`
	Expires   time.Time `json:"expires"`
	Attempts  int       `json:"attempts"`
}

// EvidenceInput is what staff record, or a method takes: the method's own input beside its name.
type EvidenceInput struct {
	Method  string          `json:"method" doc:"a method of the table: document.manual"`
	Subject string          `json:"subject,omitempty" doc:"subject id; absent: the customer"`
	Input   json.RawMessage `json:"input" doc:"the method's own input"`
}

// SubjectView is a subject without personal values.
type SubjectView struct {
	ID       string             `json:"id"`
	Role     muster.SubjectRole `json:"role"`
	Pointer  string             `json:"pointer"`
	Revision int                `json:"revision"`
	Foreign  string             `json:"foreign" enum:"presumed,us,foreign"`
	Erased   bool               `json:"erased"`
	Evidence []muster.Evidence  `json:"evidence"`
}

// View is an application as it may be seen without a purpose: redacted.
type View struct {
	Answer
	Customer string        `json:"customer" doc:"id of whose file it is: for holds, erasures and copies"`
	Received time.Time     `json:"received"`
	Updated  time.Time     `json:"updated"`
	Subjects []SubjectView `json:"subjects"`
	Review   string        `json:"review,omitempty"` // id of the open case
	Adopted  *Adopted      `json:"adopted,omitempty" doc:"of a customer who was taken over from the provider's book"`
}

// Adopted says how a customer was taken over, and from when on they are decided.
type Adopted struct {
	Cohort  string    `json:"cohort"`
	Due     time.Time `json:"due" doc:"until then what identity wants is recorded and enforced on nobody"`
	Import  string    `json:"import"`
	Decided time.Time `json:"decided,omitzero" doc:"when that was"`
	Ground  string    `json:"ground,omitempty" enum:"left,abuse" doc:"why the account was closed before"`
}

// RevealRequest names why clear values are wanted.
type RevealRequest struct {
	Purpose string `json:"purpose" doc:"support | review | examiner | court | subject_access | abuse; one that a pack in effect names"`
	Case    string `json:"case" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"reference of the case or request; no personal data"`
}

// Revealed is an application with its clear values.
type Revealed struct {
	Application *muster.Application `json:"application"`
	Revision    int                 `json:"revision"`
	Withheld    []string            `json:"withheld,omitempty"` // pointers of erased subjects
}

// Move is an operator's or the provider's own move of an account.
type Move struct {
	To     string `json:"to" enum:"closing,closed,suspended,active"`
	Reason string `json:"reason"`
}
