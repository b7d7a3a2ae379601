package muster

import "time"

// Limits of an application's shape. Package validate enforces them.
const (
	MaxApplicationBytes = 256 << 10 // body of one application
	MaxNesting          = 32        // depth of JSON
	MaxOwners           = 200       // parties below the customer, all levels together
	MaxOwnerDepth       = 8         // levels of owners of owners
	MaxNameRunes        = 200
	MaxLineRunes        = 200
	MaxLines            = 6
	MaxNationalities    = 10
	MaxProducts         = 50
	MaxTextRunes        = 2000
)

// Application is one request to open an account, as a provider's sign-up page
// posts it (POST /v1/applications) and as an NDJSON line states it.
// Claims are kept as typed; nothing here is normalised.
type Application struct {
	Reference   string      `json:"reference"`                   // the provider's name for this application; idempotency key
	Account     string      `json:"account,omitempty"`           // the provider's name for the account; absent: Reference
	Parent      *Parent     `json:"parent,omitempty"`            // whose customer or sub-lessee this is (REG-07, REG-08)
	Customer    Party       `json:"customer"`                    // who the account is for
	Owners      []Party     `json:"beneficial_owners,omitempty"` // of an entity
	Signatories []Signatory `json:"signatories,omitempty"`       // asked for when doubt remains (REG-19)
	Payment     *Payment    `json:"payment,omitempty"`
	Access      *Access     `json:"access,omitempty"`
	Request     *Request    `json:"request,omitempty"`
	Notice      *Notice     `json:"notice,omitempty"`
	Device      string      `json:"device,omitempty"` // opaque device identifier of the provider's own
	Tag         string      `json:"tag,omitempty"`    // the provider's own word for grouping accounts ([a-z0-9._-]{1,32}), such as a band of revenue
}

// AccountReference names the account that the application asks for.
func (a *Application) AccountReference() string {
	if a.Account != "" {
		return a.Account
	}
	return a.Reference
}

// Relation says what a child account is to its parent.
type Relation string

const (
	RelationResellerCustomer Relation = "reseller_customer"
	RelationSubLessee        Relation = "sublessee"
	RelationDelegate         Relation = "delegate"
)

// Parent names the account above this one.
type Parent struct {
	Account  string   `json:"account"`
	Relation Relation `json:"relation"`
}

// PartyKind is individual or entity.
type PartyKind string

const (
	Individual PartyKind = "individual"
	Entity     PartyKind = "entity"
)

// Party is the claims about one person: the customer or an owner at any level.
type Party struct {
	Kind          PartyKind   `json:"kind,omitempty"` // of an owner: absent means individual
	Name          Name        `json:"name"`
	Address       *Address    `json:"address,omitempty"`
	Nationalities []Country   `json:"nationalities,omitempty"`
	USPersonClaim string      `json:"us_person_claim,omitempty"` // none | citizen | permanent_resident | us_entity | located_in_us; a claim shows nothing
	Email         string      `json:"email,omitempty"`
	Phone         string      `json:"phone,omitempty"`         // E.164, or national with the address's country
	DateOfBirth   string      `json:"date_of_birth,omitempty"` // YYYY-MM-DD
	Formation     *Formation  `json:"formation,omitempty"`     // entities
	NationalID    *NationalID `json:"national_identifier,omitempty"`

	// Of owners only.
	OwnershipPercent *Percent `json:"ownership_percent,omitempty"` // of the level above
	Control          bool     `json:"control,omitempty"`           // substantial control
	Owners           []Party  `json:"owners,omitempty"`            // of an owner that is an entity
}

// IsEntity reports whether p is an entity.
func (p *Party) IsEntity() bool { return p.Kind == Entity }

// Name as typed. Full is the whole legal or business name in Latin or any
// script; Native is the same name in its own script where Full is not.
type Name struct {
	Full   string   `json:"full"`
	Native string   `json:"native,omitempty"`
	Others []string `json:"others,omitempty"` // other names in use, former names, trade names
}

// Address is a postal address. Which parts a country requires and uses is data.
type Address struct {
	Lines             []string `json:"lines,omitempty"`
	DependentLocality string   `json:"dependent_locality,omitempty"`
	Locality          string   `json:"locality,omitempty"`
	Region            string   `json:"region,omitempty"`
	PostalCode        string   `json:"postal_code,omitempty"`
	SortingCode       string   `json:"sorting_code,omitempty"`
	Country           Country  `json:"country"`
}

// Formation is where and how an entity exists.
type Formation struct {
	Country            Country `json:"country"`
	Region             string  `json:"region,omitempty"`
	RegistrationNumber string  `json:"registration_number,omitempty"`
	LEI                string  `json:"lei,omitempty"` // ISO 17442
	OwnershipPattern   string  `json:"ownership_pattern,omitempty"`
}

// NationalID is a national identification number. Collected only where a pack asks for it.
type NationalID struct {
	Type    string  `json:"type"`
	Country Country `json:"country"`
	Value   string  `json:"value"`
}

// Signatory is a person who signs for an entity.
type Signatory struct {
	Name  Name   `json:"name"`
	Role  string `json:"role,omitempty"`
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// Payment is the means and source of payment. A card is its processor's token
// or fingerprint; a whole card number is refused wherever it stands.
type Payment struct {
	Means         string  `json:"means"` // card | bank_account | virtual_currency | processor | invoice | other
	Institution   string  `json:"institution,omitempty"`
	Country       Country `json:"country,omitempty"`
	PayerName     string  `json:"payer_name,omitempty"`
	Token         string  `json:"token,omitempty"`
	Fingerprint   string  `json:"fingerprint,omitempty"`
	BIN           string  `json:"bin,omitempty"`
	Last4         string  `json:"last4,omitempty"`
	IBAN          string  `json:"iban,omitempty"`
	AccountNumber string  `json:"account_number,omitempty"`
	CustomerID    string  `json:"customer_identifier,omitempty"`
	TransactionID string  `json:"transaction_identifier,omitempty"`
	Wallet        *Wallet `json:"wallet,omitempty"`
}

// Wallet is a virtual-currency wallet.
type Wallet struct {
	Network string `json:"network"` // bitcoin | ethereum | ... ; package validate lists those it can check
	Address string `json:"address"`
}

// Access is where the sign-up came from.
type Access struct {
	IP   string    `json:"ip"`
	Port int       `json:"port,omitempty"`
	Time time.Time `json:"time"`
}

// Request is what the customer asks for.
type Request struct {
	Products []string `json:"products,omitempty"` // vm, gpu, bare_metal, cdn, proxy, dns, ... ; the provider's catalogue
	Purpose  string   `json:"purpose,omitempty"`
	Period   *Period  `json:"period,omitempty"`
}

// Period is the period of hire, dates YYYY-MM-DD; Until is absent where open.
type Period struct {
	From  string `json:"from"`
	Until string `json:"until,omitempty"`
}

// Notice says which privacy notice the customer was shown, and when (REG-27).
type Notice struct {
	Version string    `json:"version"`
	Locale  string    `json:"locale,omitempty"`
	ShownAt time.Time `json:"shown_at"`
}
