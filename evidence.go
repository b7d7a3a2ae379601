package muster

import "time"

// Finding is what evidence says of one attribute.
type Finding string

const (
	Supports    Finding = "supports"
	Contradicts Finding = "contradicts"
	Open        Finding = "open"
)

// EvidenceKind is documentary, non-documentary (REG-17, REG-18) or a person's resolution.
type EvidenceKind string

const (
	Documentary    EvidenceKind = "documentary"
	NonDocumentary EvidenceKind = "non_documentary"
	Resolution     EvidenceKind = "resolution"
)

// Assurance that evidence gives, rising.
type Assurance string

const (
	AssuranceLow         Assurance = "low"
	AssuranceSubstantial Assurance = "substantial"
	AssuranceHigh        Assurance = "high"
)

// Attributes that evidence speaks of. A method names a subset.
const (
	AttrName        = "name"
	AttrAddress     = "address"
	AttrEmail       = "email"
	AttrPhone       = "phone"
	AttrDateOfBirth = "date_of_birth"
	AttrNationality = "nationality"
	AttrResidence   = "residence" // lawful permanent residence
	AttrExistence   = "existence" // of an entity
	AttrFormation   = "formation" // where an entity was organised
	AttrOwnership   = "ownership"
	AttrLocation    = "location" // where the person is
	AttrIdentity    = "identity" // a person's finding on the whole
)

// Attributes lists them all.
var Attributes = []string{
	AttrName, AttrAddress, AttrEmail, AttrPhone, AttrDateOfBirth, AttrNationality, AttrResidence,
	AttrExistence, AttrFormation, AttrOwnership, AttrLocation, AttrIdentity,
}

// Evidence is what one verification method found, on named attributes and on a
// named revision of the claims. It holds no personal value: what was seen
// (document number and the like) is sealed beside it.
type Evidence struct {
	ID         string               `json:"id"`
	Subject    string               `json:"subject"`  // subject id
	Method     string               `json:"method"`   // a row of the table of methods: contact.email, ...
	Kind       EvidenceKind         `json:"kind"`     //
	Revision   int                  `json:"revision"` // of the application's claims
	Attributes map[string]Finding   `json:"attributes"`
	Shows      map[string][]Country `json:"shows,omitempty"` // countries that it showed: nationality, residence, formation, location
	Rules      []string             `json:"rules,omitempty"` // of a resolution: the rules it speaks on, "pack/rule"
	Assurance  Assurance            `json:"assurance"`
	At         time.Time            `json:"at"`
	Expires    time.Time            `json:"expires,omitzero"`
	Producer   string               `json:"producer"` // operator id, or "muster"
}

// InForce reports whether e counts at time t.
func (e *Evidence) InForce(t time.Time) bool {
	return !e.At.After(t) && (e.Expires.IsZero() || t.Before(e.Expires))
}
