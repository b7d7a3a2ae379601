package muster

import "time"

// Cohort is a part of the customers who were there before, and from when on they are
// decided: until then what their identity wants is recorded and enforced on nobody.
type Cohort struct {
	Name    string    `json:"name,omitempty"` // as of a tag
	Due     time.Time `json:"due,omitzero"`
	Share   int       `json:"share,omitempty"` // per cent of its members that are decided on one day (UTC), rounded up
	Made    time.Time `json:"made,omitzero"`
	By      string    `json:"by,omitempty"` // operator
	Version int64     `json:"-"`

	Change *CohortChange `json:"-"` // what waits for a second operator; nil: nothing
}

// CohortChange is another due date and share of a cohort that one operator proposed.
type CohortChange struct {
	Due   time.Time `json:"due"`
	Share int       `json:"share"`
	Case  string    `json:"case"` // reference of why, as IsReference has it
	By    string    `json:"by"`   // operator
	At    time.Time `json:"at"`
}

// CohortCount is how far a cohort is.
type CohortCount struct {
	Cohort
	Adopted int // members
	Decided int // of these
	Today   int // of these, because it is due and since the day began: what the share bounds
}

// AdoptedRecord says that an account was taken over from the provider's book. A
// customer's further accounts go with the first.
type AdoptedRecord struct {
	Account string    `json:"account,omitempty"` // id
	Cohort  string    `json:"cohort,omitempty"`
	Import  string    `json:"import,omitempty"`
	Ground  string    `json:"ground,omitempty"` // why it was closed, "" for one in use
	Decided time.Time `json:"decided,omitzero"` // when the packs decided it for good; zero: nothing of it is enforced
	Beside  bool      `json:"beside,omitempty"` // by something else than the date of the cohort
	Version int64     `json:"-"`
}

// ImportRecord is one file of a provider's book on its way in. It holds no value.
type ImportRecord struct {
	ID      string
	Cohort  string
	Source  string // digest of the file, hex
	By      string // operator
	Made    time.Time
	Ended   time.Time
	Place   int // the last line up to which all lines are done
	Taken   int // lines whose content is on file because of it
	There   int // lines that were on file before
	Refused int // lines at fault
	Report  ImportReport
	Version int64
}

// ImportReport says which lines were refused.
type ImportReport struct {
	Lines []RefusedLine `json:"lines"` // the first MaxRefusedLines
	Later int           `json:"later"` // of all refused, those whose parent is not there
}

// MaxRefusedLines is how many refused lines an import remembers one by one.
const MaxRefusedLines = 1000

// RefusedLine is a line of a book that is at fault.
type RefusedLine struct {
	Line   int     `json:"line"`
	Faults []Fault `json:"faults"` // pointers into the line; no values
}

// ReferenceUse is what a reference names.
type ReferenceUse struct {
	Reference string
	MAC       []byte // of the application of that reference; nil where there is none
	Account   string // id of the account of that reference; "" where there is none
}
