package muster

import "time"

// FactsFormat is the version of the Facts format. It goes up when a field
// changes meaning; a pack edition names the formats it reads.
const FactsFormat = 1

// Facts is the immutable input of one decision: whatever came from a clock, a
// table, a list or a library is in it, with its edition. It holds what rules
// read (kinds, countries, what is absent, what was shown, counts), never a
// name, a contact or a number. Sealed all the same.
type Facts struct {
	Format      int               `json:"format"`
	At          time.Time         `json:"at"`    // the transaction's time
	Mode        string            `json:"mode"`  // production | sandbox
	Event       string            `json:"event"` // what made us decide: received, corrected, evidence, resolution, due, ...
	About       Ref               `json:"about"` // application, account or customer
	Claims      ClaimsRef         `json:"claims"`
	Application ApplicationFacts  `json:"application"`
	Account     AccountFacts      `json:"account"`
	Subjects    []SubjectFacts    `json:"subjects"` // [0] is the customer; then owners and signatories, every level
	Ownership   OwnershipFacts    `json:"ownership"`
	Payment     PaymentFacts      `json:"payment"`
	Access      AccessFacts       `json:"access"`
	Request     RequestFacts      `json:"request"`
	Notice      NoticeFacts       `json:"notice"`
	Absent      []string          `json:"absent,omitempty"`   // dotted paths of absent parts outside any party: notice, payment, payment.token, request.purpose, ...
	Measures    []MeasureFact     `json:"measures,omitempty"` // special measures that are enacted and match, coming ones too
	Counts      map[string]int64  `json:"counts,omitempty"`   // by the name the pack gave: distinct customers on one card, ...
	Magic       string            `json:"magic,omitempty"`    // sandbox only: the outcome that the applicant asked to see
	Editions    map[string]string `json:"editions,omitempty"` // table -> edition: ip_country, addresses, phones
}

// Ref names what a decision or a leaf is about.
type Ref struct {
	Kind string `json:"kind"` // application | account | customer
	ID   string `json:"id"`
}

// ClaimsRef names the claims that facts were computed from.
type ClaimsRef struct {
	Revision   int    `json:"revision"`
	Commitment []byte `json:"commitment,omitempty"` // salted commitment; the salt is sealed beside the claims
}

// ApplicationFacts is where the application stands.
type ApplicationFacts struct {
	State    string    `json:"state"`
	Received time.Time `json:"received"`
	Relation Relation  `json:"relation,omitempty"` // to the parent account
	Parent   string    `json:"parent,omitempty"`   // state of the parent account
}

// AccountFacts is where the account stands.
type AccountFacts struct {
	State        string    `json:"state"`
	Opened       time.Time `json:"opened,omitzero"`
	InterimSince time.Time `json:"interim_since,omitzero"` // first limited use before identity was shown
}

// SubjectRole says what a subject is on the file.
type SubjectRole string

const (
	RoleCustomer  SubjectRole = "customer"
	RoleOwner     SubjectRole = "owner"
	RoleSignatory SubjectRole = "signatory"
)

// SubjectFacts is about one subject.
type SubjectFacts struct {
	ID            string      `json:"id"`
	Role          SubjectRole `json:"role"`
	Pointer       string      `json:"pointer"` // JSON Pointer into the claims: /customer, /beneficial_owners/1/owners/0
	Kind          PartyKind   `json:"kind"`
	Absent        []string    `json:"absent,omitempty"`  // dotted, below the party: phone, address, address.postal_code, formation.registration_number
	Country       Country     `json:"country,omitempty"` // of address, as claimed
	Area          *Area       `json:"area,omitempty"`    // of address, as claimed: no finer than a town
	Nationalities []Country   `json:"nationalities,omitempty"`
	Formation     Country     `json:"formation,omitempty"`
	USPersonClaim string      `json:"us_person_claim,omitempty"`
	Revision      int         `json:"revision"`           // of this party's claims
	Share         Percent     `json:"share"`              // of the customer, chains multiplied; individuals and entities
	Control       bool        `json:"control,omitempty"`  // substantial control
	Terminal      bool        `json:"terminal,omitempty"` // an owner that is an individual, where chains must end
	Evidence      []Evidence  `json:"evidence,omitempty"`
	Screening     *Screening  `json:"screening,omitempty"` // of the names and identifiers; nil: no list was in effect, or no pack asks
	Hits          []HitFacts  `json:"hits,omitempty"`      // what persons found of its candidates
}

// Area is where in its country an address is, as a measure on a part of a country
// reads it: no finer than a town, of a postal code its first characters.
type Area struct {
	Region string `json:"region,omitempty"`
	Town   string `json:"town,omitempty"`
	Postal string `json:"postal,omitempty"`
}

// AreaPostal is how many characters of a postal code facts hold.
const AreaPostal = 3

// OwnershipFacts sums the owners up.
type OwnershipFacts struct {
	Stated  Percent  `json:"stated"`         // sum of shares that end in individuals
	Unknown Percent  `json:"unknown"`        // the rest
	Open    []string `json:"open,omitempty"` // pointers of entities whose chain names nobody below
}

// PaymentFacts is the means of payment without its numbers.
type PaymentFacts struct {
	Means   string  `json:"means,omitempty"`
	Country Country `json:"country,omitempty"`
	Network string  `json:"network,omitempty"` // of a wallet

	Screening *Screening `json:"screening,omitempty"` // of the payer's name, where it is somebody else's
	Hits      []HitFacts `json:"hits,omitempty"`
}

// AccessFacts is where the sign-up came from; an unknown country is "".
type AccessFacts struct {
	Country Country   `json:"country,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// RequestFacts is what was asked for.
type RequestFacts struct {
	Products []string `json:"products,omitempty"`
}

// NoticeFacts is about the privacy notice.
type NoticeFacts struct {
	Shown   bool   `json:"shown"`
	Version string `json:"version,omitempty"`
}
