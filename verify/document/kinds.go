package document

import (
	"slices"

	"github.com/muster-cip/muster"
)

// Manual is the name of the method.
const Manual = "document.manual"

// ManualMethod is this room's row of the table of methods.
var ManualMethod = muster.Method{
	Name: Manual, Kind: muster.Documentary, Interactive: false,
	Attributes: []string{
		muster.AttrName, muster.AttrAddress, muster.AttrDateOfBirth, muster.AttrNationality, muster.AttrResidence,
		muster.AttrExistence, muster.AttrFormation, muster.AttrOwnership, muster.AttrLocation,
	},
	Words: "Staff look at an identity document or an entity's papers and record what they saw.",
}

// Types of paper.
const (
	Passport                  = "passport"
	NationalID                = "national_id"
	ResidencePermit           = "residence_permit"
	DrivingLicence            = "driving_licence"
	BirthCertificate          = "birth_certificate"
	NaturalisationCertificate = "naturalisation_certificate"
	CertificateOfInc          = "certificate_of_incorporation"
	Articles                  = "articles"
	BusinessLicence           = "business_licence"
	PartnershipAgreement      = "partnership_agreement"
	TrustInstrument           = "trust_instrument"
	RegisterExtract           = "register_extract"
	Other                     = "other"
)

// paper is what one type of paper is good for.
type paper struct {
	individual, entity bool     // whose paper it is
	identifies         bool     // identification of a person, with a photograph, for a term
	numbered           bool     // one without a number is not this paper
	shows              []string // countries of what
}

var papers = map[string]paper{
	Passport:                  {individual: true, identifies: true, numbered: true, shows: []string{muster.AttrNationality}},
	NationalID:                {individual: true, identifies: true, numbered: true, shows: []string{muster.AttrNationality, muster.AttrResidence, muster.AttrLocation}},
	ResidencePermit:           {individual: true, identifies: true, numbered: true, shows: []string{muster.AttrNationality, muster.AttrResidence, muster.AttrLocation}},
	DrivingLicence:            {individual: true, identifies: true, numbered: true, shows: []string{muster.AttrLocation}},
	BirthCertificate:          {individual: true, shows: []string{muster.AttrNationality}},
	NaturalisationCertificate: {individual: true, numbered: true, shows: []string{muster.AttrNationality}},
	CertificateOfInc:          {entity: true, numbered: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	Articles:                  {entity: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	BusinessLicence:           {entity: true, numbered: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	PartnershipAgreement:      {entity: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	TrustInstrument:           {entity: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	RegisterExtract:           {entity: true, shows: []string{muster.AttrFormation, muster.AttrLocation}},
	Other:                     {individual: true, entity: true, shows: []string{muster.AttrNationality, muster.AttrResidence, muster.AttrFormation, muster.AttrLocation}},
}

// showable are the attributes that stand for countries.
var showable = []string{muster.AttrNationality, muster.AttrResidence, muster.AttrFormation, muster.AttrLocation}

var (
	ofIndividual = []string{muster.AttrName, muster.AttrAddress, muster.AttrDateOfBirth, muster.AttrNationality, muster.AttrResidence, muster.AttrLocation}
	ofEntity     = []string{muster.AttrName, muster.AttrAddress, muster.AttrExistence, muster.AttrFormation, muster.AttrOwnership, muster.AttrLocation}
)

// speaksOf reports whether a paper of this kind of party can bear on attribute.
func speaksOf(kind muster.PartyKind, attribute string) bool {
	if kind == muster.Entity {
		return slices.Contains(ofEntity, attribute)
	}
	return slices.Contains(ofIndividual, attribute)
}

// assurance is what the paper gives. A person's paper needs a photograph or a
// similar safeguard and a term; one that never expires is for the manual path. An
// entity's papers have no such term, and count for what they show of its existence.
func (p paper) assurance(in *input, kind muster.PartyKind) muster.Assurance {
	if kind == muster.Entity {
		shows := in.attributes[muster.AttrExistence] == muster.Supports || in.attributes[muster.AttrFormation] == muster.Supports
		if !p.individual && shows {
			return muster.AssuranceSubstantial
		}
		return muster.AssuranceLow
	}
	if p.identifies && in.hasPhoto && in.expires != "" {
		return muster.AssuranceSubstantial
	}
	return muster.AssuranceLow
}
