package contact

import (
	"time"

	"github.com/muster-cip/muster"
)

// Names of the methods.
const (
	Email = "contact.email"
	Phone = "contact.phone"
)

// EmailMethod and PhoneMethod are this room's rows of the table of methods.
var (
	EmailMethod = muster.Method{
		Name: Email, Kind: muster.NonDocumentary, Attributes: []string{muster.AttrEmail}, Interactive: true,
		Words: "A code is sent to the e-mail address and typed back.",
	}
	PhoneMethod = muster.Method{
		Name: Phone, Kind: muster.NonDocumentary, Attributes: []string{muster.AttrPhone}, Interactive: true,
		Words: "A code is sent to the telephone number and typed back.",
	}
)

// Evidence is what a right code shows: somebody in this application reads what is
// sent to the address of that revision of the claims. It stands until a pack wants
// it anew. Errors: not_found for a method that is not of this room.
func Evidence(method, subject string, revision int, now time.Time) (*muster.Evidence, error) {
	var attribute string
	switch method {
	case Email:
		attribute = muster.AttrEmail
	case Phone:
		attribute = muster.AttrPhone
	default:
		return nil, muster.Errorf(muster.CodeNotFound, "no such method of contact")
	}
	return &muster.Evidence{
		ID: muster.NewID(muster.PrefixEvidence, now), Subject: subject, Method: method, Kind: muster.NonDocumentary,
		Revision: revision, Attributes: map[string]muster.Finding{attribute: muster.Supports},
		Assurance: muster.AssuranceSubstantial, At: now, Producer: "muster",
	}, nil
}
