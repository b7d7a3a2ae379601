package validate

import (
	"net/netip"

	"github.com/muster-cip/muster"
)

// Checked is an application without faults, and what was computed from it.
type Checked struct {
	Application   *muster.Application   // as typed; not copied
	Normal        Normalised            // for look-ups and comparison
	Absent        []string              // dotted paths outside any party, sorted: notice, payment.token, request.purpose, beneficial_owners, ...
	Subjects      []Subject             // [0] is the customer; then owners, depth first; then signatories
	Ownership     muster.OwnershipFacts // zero for an individual
	AccessCountry muster.Country        // of Normal.IP; "" is unknown
	Editions      map[string]string     // table -> edition: addresses, countries, iban, ip_country, phones; shared, not to be changed
}

// Subject is one person on the application, in the words of muster.SubjectFacts.
type Subject struct {
	Pointer       string // JSON Pointer: /customer, /beneficial_owners/1/owners/0, /signatories/0
	Role          muster.SubjectRole
	Kind          muster.PartyKind
	Depth         int            // 0 the customer and signatories, 1 an owner of the customer, ...
	Share         muster.Percent // an owner's part of the customer, shares along the chain multiplied; 0 of all others
	Control       bool
	Terminal      bool             // an owner that is an individual
	Absent        []string         // dotted, below the party, sorted: phone, address, address.postal_code, formation.registration_number, ...
	Country       muster.Country   // of the address, as claimed
	Area          *muster.Area     // of the address: nil where it says nothing finer than the country
	Nationalities []muster.Country // as claimed
	Formation     muster.Country   // of the entity
	USPersonClaim string
}

// Normalised holds values in the one spelling that blind indexes and
// comparisons use. Every "" means that the claim is absent.
type Normalised struct {
	Subjects []NormalSubject // parallel to Checked.Subjects
	Payment  NormalPayment
	IP       netip.Addr // of the access, IPv4-mapped unmapped; the zero Addr where access is absent
	Device   string
}

// NormalSubject is one person's values.
type NormalSubject struct {
	Names              []string // Full, Native, Others: NFC, invisible marks removed, runs of space joined
	Email              string   // deliverable: local part NFC, domain in ASCII lower case
	EmailKey           string   // Email with its local part case-folded, for look-up
	Phone              string   // E.164
	PostalCode         string   // upper case
	NationalID         string   // upper case, letters and digits only
	RegistrationNumber string   // likewise
	LEI                string   // upper case
}

// NormalPayment is the means of payment's values.
type NormalPayment struct {
	Payer         string // as a name
	Token         string // trimmed; case counts
	Fingerprint   string // likewise
	IBAN          string // electronic form
	AccountNumber string // upper case, letters and digits only
	CustomerID    string
	TransactionID string
	Network       string // of the wallet, lower case
	Wallet        string // canonical: bech32 and hexadecimal in lower case, base58 as it is
	WalletChecked bool   // the address passed a checksum of its network
}
