package muster

import "time"

// Limits of a determination's shape. Package measure enforces them.
const (
	MaxDeterminationBytes = 256 << 10
	MaxMeasureTargets     = 200
	MaxMeasureLicences    = 1000
	MaxMeasurePlaces      = 500 // names, towns and postal codes of one region
)

// MeasureKind says whom a determination is about.
type MeasureKind string

const (
	MeasureJurisdiction MeasureKind = "jurisdiction"
	MeasurePerson       MeasureKind = "person"
)

// MeasureAction says what a determination does to the accounts that it matches.
type MeasureAction string

const (
	MeasureProhibit   MeasureAction = "prohibit"
	MeasureConditions MeasureAction = "conditions"
)

// Facts on which a determination may match, and no others: place of birth and
// language are not among them.
const (
	ByAddress     = "address"     // where the customer says they live, or the entity is; with a region below the country
	ByNationality = "nationality" // claimed, or shown by evidence
	ByResidence   = "residence"   // shown by evidence: lawful residence, or where the person is
	ByFormation   = "formation"   // under whose law the entity was organised
	ByOwnership   = "ownership"   // an owner matches by one of the facts above
	ByIP          = "ip"          // where the sign-up came from; alone it is doubtful
	ByPayment     = "payment"     // country of the means of payment; alone it is doubtful
)

// ByRegion and ByPerson are grounds of a match, and not named in By: a target says them.
const (
	ByRegion = "region"
	ByPerson = "person"
)

// MeasureFacts lists what By may name.
var MeasureFacts = []string{ByAddress, ByNationality, ByResidence, ByFormation, ByOwnership, ByIP, ByPayment}

// Determination is the written act of an authority that prohibits accounts of a
// jurisdiction or a person, or puts conditions on them: a special measure. It is
// what the file of docs/formats/measure.md says.
type Determination struct {
	Format     int              `json:"format" yaml:"format"`
	ID         string           `json:"id" yaml:"id"` // [a-z0-9._-]{1,64}, chosen by who enters it
	Title      string           `json:"title" yaml:"title"`
	Kind       MeasureKind      `json:"kind" yaml:"kind"`
	Authority  string           `json:"authority" yaml:"authority"`
	Citation   string           `json:"citation" yaml:"citation"`
	Status     string           `json:"status" yaml:"status"` // in force | proposed | provider's own
	Measure    MeasureAction    `json:"measure" yaml:"measure"`
	Targets    []MeasureTarget  `json:"targets" yaml:"targets"`
	By         []string         `json:"by,omitempty" yaml:"by,omitempty"`
	Ownership  MeasureOwnership `json:"ownership,omitzero" yaml:"ownership,omitempty"`
	Conditions MeasureTerms     `json:"conditions,omitzero" yaml:"conditions,omitempty"`
	Published  time.Time        `json:"published" yaml:"published"`
	Effective  time.Time        `json:"effective,omitzero" yaml:"effective,omitempty"`     // absent: as the packs in effect say, from Published
	GraceUntil time.Time        `json:"grace_until,omitzero" yaml:"grace_until,omitempty"` // from when accounts that were there before come under it; absent: Effective
	Until      time.Time        `json:"until,omitzero" yaml:"until,omitempty"`             // absent: the longest that the packs in effect allow
	Exceptions []Licence        `json:"exceptions,omitempty" yaml:"exceptions,omitempty"`  //
	Words      MeasureWords     `json:"words" yaml:"words"`                                //
}

// MeasureTarget is a jurisdiction, a part of one, or a person. One of Country,
// List and Customer is set.
type MeasureTarget struct {
	Country Country  `json:"country,omitempty" yaml:"country,omitempty"`
	Region  string   `json:"region,omitempty" yaml:"region,omitempty"` // its name, for readers; the target is a part of Country where set
	Names   []string `json:"names,omitempty" yaml:"names,omitempty"`   // of the region, as addresses have them, in any script
	Towns   []string `json:"towns,omitempty" yaml:"towns,omitempty"`   // in the region
	Postal  []string `json:"postal,omitempty" yaml:"postal,omitempty"` // beginnings of postal codes in the region, at most three characters

	List  string `json:"list,omitempty" yaml:"list,omitempty"` // the person is this entry of a watch list: matches where a person found the hit true
	Entry string `json:"entry,omitempty" yaml:"entry,omitempty"`

	Customer string `json:"customer,omitempty" yaml:"customer,omitempty"` // the person is this customer (id)
}

// MeasureOwnership says when owners bring their entity under a determination.
type MeasureOwnership struct {
	Share   string `json:"share,omitempty" yaml:"share,omitempty"`     // per cent that matching owners hold together, at least; absent: any share
	Control bool   `json:"control,omitempty" yaml:"control,omitempty"` // an owner with substantial control is enough, whatever the share
}

// MeasureTerms are what a determination of conditions asks for.
type MeasureTerms struct {
	Limits      Limits   `json:"limits,omitzero" yaml:"limits,omitempty"`
	Verify      []string `json:"verify,omitempty" yaml:"verify,omitempty"`           // attributes that have to be shown besides
	Obligations []string `json:"obligations,omitempty" yaml:"obligations,omitempty"` // duties such as closer monitoring, by name
}

// MeasureWords are what people are told.
type MeasureWords struct {
	Customer string `json:"customer" yaml:"customer"`                     // the reason
	Appeal   string `json:"appeal" yaml:"appeal"`                         // how to have it looked at again
	Operator string `json:"operator,omitempty" yaml:"operator,omitempty"` //
}

// Licence lets accounts be used though a determination matches. Without Customer
// and Account it is for everybody who matches, and then names products.
type Licence struct {
	Reference string    `json:"reference" yaml:"reference"` // the authority's number of it
	Customer  string    `json:"customer,omitempty" yaml:"customer,omitempty"`
	Account   string    `json:"account,omitempty" yaml:"account,omitempty"` // the provider's reference
	Products  []string  `json:"products,omitempty" yaml:"products,omitempty"`
	From      time.Time `json:"from,omitzero" yaml:"from,omitempty"`
	Until     time.Time `json:"until,omitzero" yaml:"until,omitempty"` // absent: as long as the measure
}

// Acts on the register.
const (
	ActEnact   = "enact"
	ActRenew   = "renew"
	ActLift    = "lift"
	ActLicense = "license"
)

// MeasureAct is one act on the register: proposed by one operator, completed by another.
type MeasureAct struct {
	ID            string    `json:"act"`
	Determination string    `json:"measure"`
	Kind          string    `json:"kind" enum:"enact,renew,lift,license"`
	At            time.Time `json:"at,omitzero"`    // of lift: from when on
	Until         time.Time `json:"until,omitzero"` // of enact and renew: the end that was agreed
	From          time.Time `json:"from,omitzero"`  // of enact: the beginning that was agreed
	Licence       *Licence  `json:"licence,omitempty"`
	Proposer      string    `json:"proposer"`
	Approver      string    `json:"approver,omitempty"`
	Made          time.Time `json:"made"`
	Approved      time.Time `json:"approved,omitzero"`
	Binds         time.Time `json:"binds,omitzero"` // when every process knows of it: accounts made or changed from then on come under it at once

	// How far accounts that were there before were brought up to it.
	Cursor  string    `json:"-"`
	Seen    int       `json:"seen"`
	Matched int       `json:"matched"`
	Done    time.Time `json:"done,omitzero"`
}

// DeterminationRecord is a determination in the register.
type DeterminationRecord struct {
	ID     string    `json:"id"`
	Digest string    `json:"digest,omitempty"` // sha256 of Source, hex
	Source []byte    `json:"-"`                // the file as it came
	Made   time.Time `json:"made,omitzero"`
	High   time.Time `json:"high,omitzero"` // the latest instant at which its accounts were decided: a clock that goes back behind it is not believed
}

// Measure is a determination as it stands: its approved acts folded into it.
type Measure struct {
	Determination
	Digest   string
	Enacted  time.Time // when it began to bind; zero: it is proposed only
	Starts   time.Time
	Ends     time.Time // after renewals and lifting
	Lifted   time.Time // zero: not
	Licences []Licence // exceptions of the text among them
	High     time.Time // see DeterminationRecord
}

// Phases of a measure, for one account.
const (
	PhaseComing   = "coming"
	PhaseInForce  = "in_force"
	PhaseLicensed = "licensed" // in force, and a licence lets this account be used
	PhaseCleared  = "cleared"  // a person found that it does not concern this customer
	PhaseDoubtful = "doubtful" // only network or payment speak for it: a person asks for more
)

// MeasureFact is a special measure that an account matches, as its decision saw it.
type MeasureFact struct {
	ID         string        `json:"id"`
	Digest     string        `json:"digest"` // of the determination's text
	Measure    MeasureAction `json:"measure"`
	Phase      string        `json:"phase"`
	By         []string      `json:"by"`                 // the facts on which it matched
	Subjects   []string      `json:"subjects,omitempty"` // pointers of those who matched
	From       time.Time     `json:"from"`               // for this account
	Until      time.Time     `json:"until"`
	Citation   string        `json:"citation"`
	Status     string        `json:"status"`
	Customer   string        `json:"customer"` // words
	Operator   string        `json:"operator,omitempty"`
	Conditions MeasureTerms  `json:"conditions,omitzero"`
}

// MeasureMatch is one account of a preview or of a measure's list.
type MeasureMatch struct {
	Account  string    `json:"account"` // the provider's reference
	ID       string    `json:"id"`
	Customer string    `json:"customer"`
	Parent   string    `json:"parent,omitempty"` // account id of the reseller or lessor above
	Tag      string    `json:"tag,omitempty"`
	State    string    `json:"state"`   // of the account now
	Phase    string    `json:"phase"`   // coming | in_force | licensed | cleared | doubtful
	Outcome  Outcome   `json:"outcome"` // that the packs in effect would decide while the measure holds
	Was      Outcome   `json:"was"`     // that they decide without it
	Country  Country   `json:"country"` // of address
	By       []string  `json:"by"`
	From     time.Time `json:"from,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

// AccountMeasure is one measure that an account comes under.
type AccountMeasure struct {
	Fact        MeasureFact  `json:"fact"`
	Transitions []Transition `json:"transitions,omitempty"` // what it does at the gate
}

// MatchRecord says that an account comes under a determination, and from when to
// when. On which facts is not kept here: that is of the customer's own file.
type MatchRecord struct {
	Account       string    `json:"account,omitempty"`
	Determination string    `json:"determination,omitempty"`
	Phase         string    `json:"phase,omitempty"` // as its decision, or the job, saw it
	From          time.Time `json:"from,omitzero"`   //
	Until         time.Time `json:"until,omitzero"`  //
	Next          time.Time `json:"next,omitzero"`   // when the account is to be decided anew; zero: not by time
	Told          string    `json:"told,omitempty"`  // the phase of which a notice was given last
}

// FactsRecord is an account with what its latest decision saw, sealed.
type FactsRecord struct {
	AccountRecord
	Application string // state of its application
	Facts       []byte
}
