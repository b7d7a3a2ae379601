package muster

import "time"

// ListedKind says what a list entry is; "" where its publisher does not say.
type ListedKind string

const (
	ListedIndividual ListedKind = "individual"
	ListedEntity     ListedKind = "entity"
	ListedVessel     ListedKind = "vessel"
	ListedAircraft   ListedKind = "aircraft"
)

// ListEntry is one entry of a watch list, whoever publishes it: the one model
// that every reader below lists/ maps to.
type ListEntry struct {
	List        string             `json:"list"`           // id of the list: ofac.sdn, un.consolidated, own.blocked, ...
	ID          string             `json:"id"`             // the publisher's own id; unique within the list
	Kind        ListedKind         `json:"kind,omitempty"` //
	Names       []ListedName       `json:"names,omitempty"`
	Addresses   []ListedAddress    `json:"addresses,omitempty"`
	Births      []PartialDate      `json:"births,omitempty"` // alternatives; of an entity, its formation
	BirthPlaces []string           `json:"birth_places,omitempty"`
	Nations     []Country          `json:"nations,omitempty"` // nationality and citizenship, of a vessel its flag
	Gender      string             `json:"gender,omitempty"`  // male | female
	Identifiers []ListedIdentifier `json:"identifiers,omitempty"`
	Programmes  []string           `json:"programmes,omitempty"`
	Titles      []string           `json:"titles,omitempty"` // positions that its publisher names
	Linked      []string           `json:"linked,omitempty"` // names of others that its publisher links it to
	Vessel      *ListedShip        `json:"vessel,omitempty"`
	Remarks     string             `json:"remarks,omitempty"`
	Listed      PartialDate        `json:"listed,omitzero"` // when it was put on the list, where stated
	Ends        PartialDate        `json:"ends,omitzero"`   // when its publisher says that it ends, where stated
	Own         *OwnEntry          `json:"own,omitempty"`   // of the provider's own lists
}

// NameQuality is what the publisher says of a name.
type NameQuality string

const (
	NameStrong NameQuality = "strong"
	NameWeak   NameQuality = "weak" // the publisher calls it weak, or of low quality
)

// NameRole says what a name is to its entry.
type NameRole string

const (
	NamePrimary NameRole = "primary"
	NameAlias   NameRole = "alias"  // also known as
	NameFormer  NameRole = "former" // formerly known as
	NameNative  NameRole = "native" // the primary name in its own script
)

// ListedName is one name of an entry, in reading order (given name first where the
// list keeps parts apart). Parts are kept where the publisher has them apart.
type ListedName struct {
	Full    string      `json:"full"`
	Given   string      `json:"given,omitempty"`
	Family  string      `json:"family,omitempty"`
	Role    NameRole    `json:"role"`
	Quality NameQuality `json:"quality"`
	Script  string      `json:"script,omitempty"` // ISO 15924, Latn where absent
}

// ListedAddress is an address of an entry.
type ListedAddress struct {
	Text    string  `json:"text,omitempty"` // all but the country
	City    string  `json:"city,omitempty"`
	Region  string  `json:"region,omitempty"`
	Postal  string  `json:"postal,omitempty"`
	Country Country `json:"country,omitempty"`
}

// PartialDate is a date of which the year at least is known. Month and Day are 0
// where they are not; Until is the last year of a range, else 0.
type PartialDate struct {
	Year  int  `json:"year"`
	Month int  `json:"month,omitempty"`
	Day   int  `json:"day,omitempty"`
	Until int  `json:"until,omitempty"`
	About bool `json:"about,omitempty"` // "circa"
}

// IsZero reports whether nothing is known.
func (d PartialDate) IsZero() bool { return d.Year == 0 }

// Kinds of a ListedIdentifier. A list's own words stay in Label.
const (
	IdentPassport     = "passport"
	IdentNationalID   = "national_id"
	IdentRegistration = "registration" // of an entity: company, tax, licence
	IdentLEI          = "lei"
	IdentIBAN         = "iban"
	IdentSWIFT        = "swift"
	IdentWallet       = "wallet"
	IdentIMO          = "imo"      // vessel
	IdentMMSI         = "mmsi"     // vessel
	IdentCallSign     = "callsign" // vessel
	IdentTail         = "tail"     // aircraft
	IdentEmail        = "email"
	IdentPhone        = "phone"
	IdentWebsite      = "website"
	IdentMailDomain   = "mail_domain" // own lists, and the four below
	IdentIPRange      = "ip_range"    // CIDR
	IdentNetwork      = "network"     // autonomous system: AS64496
	IdentCardBIN      = "card_bin"
	IdentDocument     = "document_digest" // the provider's digest of a document
	IdentOther        = "other"
)

// ListedIdentifier is a number, address or name that belongs to one person or
// thing: what an exact look-up can find.
type ListedIdentifier struct {
	Kind    string  `json:"kind"`
	Value   string  `json:"value"`             // as published
	Country Country `json:"country,omitempty"` // that issued it
	Label   string  `json:"label,omitempty"`   // the publisher's word for it: "Digital Currency Address - XBT"
}

// ListedShip is what a list says of a ship besides its names and numbers.
type ListedShip struct {
	Type         string `json:"type,omitempty"`
	Tonnage      string `json:"tonnage,omitempty"`
	GrossTonnage string `json:"gross_tonnage,omitempty"`
	Owner        string `json:"owner,omitempty"`
}

// OwnEntry is what the provider's own lists say besides.
type OwnEntry struct {
	Action  string    `json:"action"` // allow | deny
	Owner   string    `json:"owner"`  // who answers for the row
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires,omitzero"`
}

// ListRef names one snapshot of one list. A list's snapshots are immutable.
type ListRef struct {
	List   string    `json:"list"`
	Digest string    `json:"digest"`         // sha256 of its entries' canonical form, hex
	AsOf   time.Time `json:"as_of,omitzero"` // when it was last known to be what its publisher has
}
