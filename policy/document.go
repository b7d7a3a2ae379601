package policy

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/muster-cip/muster"
)

// Document is a policy pack as its author wrote it. It is read only: a Pack
// hands out its own.
type Document struct {
	Format         int           `yaml:"format"`          // of packs; pins the CEL extension set
	ID             string        `yaml:"id"`              // the regime, stable over editions: [a-z0-9-]
	Edition        string        `yaml:"edition"`         // of this text
	Kind           string        `yaml:"kind"`            // cip | register | sandbox; what check demands
	Title          string        `yaml:"title"`           //
	Authority      string        `yaml:"authority"`       // who asks for it, in words
	AppliesWhen    Expr          `yaml:"applies_when"`    // scope application
	Zone           string        `yaml:"zone,omitempty"`  // proposed zone of legal periods; the deployment's wins
	Sources        []Source      `yaml:"sources"`         //
	Fields         []Field       `yaml:"fields"`          // what is collected
	Ownership      Ownership     `yaml:"ownership"`       // who is a beneficial owner
	Status         Status        `yaml:"status"`          // who is us, who is foreign
	Assurance      string        `yaml:"assurance"`       // that makes an attribute "shown" to rules; absent: any
	Methods        []Method      `yaml:"methods"`         // accepted ways of verification
	Verify         []Requirement `yaml:"verify"`          // what has to be shown
	NonDocumentary []Situation   `yaml:"non_documentary"` // when papers are not the way
	Counts         []Count       `yaml:"counts"`          // wanted from blind indexes
	Screening      *Screening    `yaml:"screening"`       // against watch lists
	Rules          []Rule        `yaml:"rules"`           //
	Opening        []Rule        `yaml:"opening"`         // say why, where nothing else held
	Obligations    []Obligation  `yaml:"obligations"`     //
	Interim        Interim       `yaml:"interim"`         // service while identity is not yet shown
	Unverified     Unverified    `yaml:"unverified"`      // what happens when it stays unknown
	Reverify       Reverify      `yaml:"reverify"`        //
	Retention      []Retention   `yaml:"retention"`       //
	Reveal         []Reveal      `yaml:"reveal"`          // who may see what
	Roles          []Role        `yaml:"roles"`           //
	FourEyes       []string      `yaml:"four_eyes"`       // acts that need two operators
	Notice         Notice        `yaml:"notice"`          // privacy notice
	Measures       Measures      `yaml:"measures"`        // bounds of special measures
	Fail           []FailRow     `yaml:"fail"`            // the gate past its snapshot's age
	Programme      []Section     `yaml:"programme"`       // text of the written programme
	Examples       []Example     `yaml:"examples"`        // run by Check
}

// KindSandbox is the kind of pack that alone decides, in a sandbox, for an
// applicant who asked to see an outcome.
const KindSandbox = "sandbox"

// Source is a text that is cited, with its legal status.
type Source struct {
	ID       string `yaml:"id"`
	Title    string `yaml:"title"`
	Citation string `yaml:"citation"` // short form, before the section
	Status   string `yaml:"status"`   // in force | proposed | withdrawn | provider's own
	AsOf     string `yaml:"as_of"`    // date on which the status was looked up
	Note     string `yaml:"note,omitempty"`
}

// Legal statuses of a source.
const (
	InForce      = "in force"
	Proposed     = "proposed"
	Withdrawn    = "withdrawn"
	ProvidersOwn = "provider's own"
)

// Cite names a place in a source.
type Cite struct {
	Source string `yaml:"source"`
	At     string `yaml:"at,omitempty"`  // section, paragraph
	Reg    string `yaml:"reg,omitempty"` // identifier in the requirements: REG-12
}

// Words are what people are told.
type Words struct {
	Customer string `yaml:"customer"`
	Operator string `yaml:"operator,omitempty"`
}

// Field is one thing that is collected.
type Field struct {
	Field       string   `yaml:"field"`              // dotted path
	ID          string   `yaml:"id,omitempty"`       // of its rule; default collect_<field>
	For         []string `yaml:"for"`                // customer | beneficial_owner | signatory | application
	Kinds       []string `yaml:"kinds,omitempty"`    // individual | entity; absent: both
	When        Expr     `yaml:"when,omitempty"`     // scope subject, or application
	Parts       bool     `yaml:"parts,omitempty"`    // covers everything below the path that has no field of its own
	Optional    bool     `yaml:"optional,omitempty"` // kept where given, never asked for
	Cite        Cite     `yaml:"cite"`               // what asks for it
	LawfulBasis string   `yaml:"lawful_basis"`       //
	ReadBy      []string `yaml:"read_by,omitempty"`  // rules, requirements or counts that read it
	Why         string   `yaml:"why"`                // for the programme
	Words       Words    `yaml:"words"`
}

// Ownership says who is a beneficial owner.
type Ownership struct {
	Threshold       string `yaml:"threshold,omitempty"` // per cent of the customer, chains multiplied
	Inclusive       bool   `yaml:"inclusive,omitempty"` // a share equal to the threshold counts
	ControlRequired bool   `yaml:"control_required,omitempty"`
	Cite            Cite   `yaml:"cite,omitempty"`
	Text            string `yaml:"text,omitempty"`
}

// Status says when a subject counts as shown to be a US person or foreign.
// Neither: presumed. Where both hold, US stands.
type Status struct {
	US      Expr   `yaml:"us,omitempty"`
	Foreign Expr   `yaml:"foreign,omitempty"`
	Cite    Cite   `yaml:"cite,omitempty"`
	Text    string `yaml:"text,omitempty"`
}

// Method is one accepted way of verification.
type Method struct {
	ID       string                      `yaml:"id"`
	Kind     muster.EvidenceKind         `yaml:"kind"` // documentary | non_documentary
	Gives    map[string]muster.Assurance `yaml:"gives"`
	AtLeast  muster.Assurance            `yaml:"at_least,omitempty"`  // that the evidence itself must state
	ValidFor string                      `yaml:"valid_for,omitempty"` // from when it was made; a period
	Text     string                      `yaml:"text"`
	Cite     Cite                        `yaml:"cite,omitempty"`
}

// Requirement is one attribute that has to be shown.
type Requirement struct {
	ID        string           `yaml:"id"`
	For       []string         `yaml:"for"` // customer | beneficial_owner | signatory
	Kinds     []string         `yaml:"kinds,omitempty"`
	When      Expr             `yaml:"when,omitempty"` // scope subject
	Attribute string           `yaml:"attribute"`
	Or        []string         `yaml:"or,omitempty"` // any of these will do instead
	Assurance muster.Assurance `yaml:"assurance,omitempty"`
	Methods   []string         `yaml:"methods"`
	Clearable bool             `yaml:"clearable,omitempty"` // a person's resolution that names it meets it
	Outcome   muster.Outcome   `yaml:"outcome,omitempty"`   // default verify
	Cite      Cite             `yaml:"cite"`
	Words     Words            `yaml:"words"`
}

// Situation says what is done where papers are not the way.
type Situation struct {
	ID      string   `yaml:"id"`
	Methods []string `yaml:"methods"`
	Text    string   `yaml:"text"`
	Cite    Cite     `yaml:"cite"`
}

// Situations that a customer identification programme answers.
var situations = []string{"no_unexpired_photo_id", "unfamiliar_document", "no_document", "never_in_person", "higher_risk"}

// Count is one number wanted from the blind indexes.
type Count struct {
	Name   string               `yaml:"name"`
	Of     string               `yaml:"of"`               // card | phone | email | document | device | wallet | ip
	Count  string               `yaml:"count"`            // customers | applications
	Roles  []muster.SubjectRole `yaml:"roles,omitempty"`  // whose values count; default customer
	Window string               `yaml:"window,omitempty"` // a period back from now; absent: ever
	Text   string               `yaml:"text"`
}

// Rule is one rule.
type Rule struct {
	ID          string         `yaml:"id"`
	Title       string         `yaml:"title"`
	Scope       string         `yaml:"scope,omitempty"` // application | customer | beneficial_owner | owner | subject; default application
	When        Expr           `yaml:"when"`
	Outcome     muster.Outcome `yaml:"outcome"`
	Code        string         `yaml:"code,omitempty"` // default the id
	Hidden      bool           `yaml:"hidden,omitempty"`
	Mode        string         `yaml:"mode,omitempty"`        // enforce | observe
	Cost        int            `yaml:"cost,omitempty"`        // order of evaluation: cheap before dear
	Outside     bool           `yaml:"outside,omitempty"`     // reads an answer from outside the claims (an index)
	AnsweredBy  string         `yaml:"answered_by,omitempty"` // hits: resolving them answers it, and not the case that it opened
	Measure     string         `yaml:"measure,omitempty"`     // held once for each special measure: prohibit | conditions | verify | doubtful | coming
	Clearable   *bool          `yaml:"clearable,omitempty"`   // by a person's resolution; default: outcome review
	Needs       []RuleNeed     `yaml:"needs,omitempty"`
	Limits      muster.Limits  `yaml:"limits,omitempty"`
	Obligations []string       `yaml:"obligations,omitempty"`
	Cite        Cite           `yaml:"cite"`
	Words       Words          `yaml:"words"`
}

// RuleNeed is a need that a rule states.
type RuleNeed struct {
	Kind      muster.NeedKind `yaml:"kind"`
	Pointer   string          `yaml:"pointer,omitempty"` // absent: the subject on which the rule held
	At        string          `yaml:"at,omitempty"`      // open_owners: one need for each open chain; Pointer is appended
	Attribute string          `yaml:"attribute,omitempty"`
	Methods   []string        `yaml:"methods,omitempty"`
	Words     string          `yaml:"words"`
}

// Obligation is a duty that goes with the account.
type Obligation struct {
	ID   string `yaml:"id"`
	When Expr   `yaml:"when,omitempty"`
	Text string `yaml:"text"`
	Cite Cite   `yaml:"cite"`
}

// Interim is service while identity is not yet shown.
type Interim struct {
	Enabled bool          `yaml:"enabled"`
	Limits  muster.Limits `yaml:"limits,omitempty"`
	Text    string        `yaml:"text,omitempty"`
	Cite    Cite          `yaml:"cite,omitempty"`
}

// Unverified is what happens when identity stays unknown: four answers.
type Unverified struct {
	NoOpen  string `yaml:"no_open,omitempty"`
	Interim string `yaml:"interim,omitempty"`
	Close   string `yaml:"close,omitempty"`
	Redress string `yaml:"redress,omitempty"`
	After   string `yaml:"after,omitempty"`  // of unanswered needs, the application expires: a period
	Answer  string `yaml:"answer,omitempty"` // to a redress request: a period
	Cite    Cite   `yaml:"cite,omitempty"`
}

// Reverify is looking again.
type Reverify struct {
	Every string `yaml:"every,omitempty"`
	Grace string `yaml:"grace,omitempty"`
	Text  string `yaml:"text,omitempty"`
	Cite  Cite   `yaml:"cite,omitempty"`
}

// Retention is one record class.
type Retention struct {
	Class  string   `yaml:"class"`
	From   []string `yaml:"from"` // anchors: closed, last_accessed, last_event, made, refused, ...; the latest counts
	Period string   `yaml:"period"`
	Place  string   `yaml:"place,omitempty"`
	Basis  string   `yaml:"basis"`
	Cite   Cite     `yaml:"cite"`
}

// Reveal says who may see what, for what.
type Reveal struct {
	Role     string   `yaml:"role"`
	Values   []string `yaml:"values"`
	Purposes []string `yaml:"purposes"`
}

// Role is a role of the programme.
type Role struct {
	ID   string `yaml:"id"`
	Text string `yaml:"text"`
}

// Notice is the privacy notice.
type Notice struct {
	Versions []string `yaml:"versions,omitempty"` // accepted; absent: any
	Text     string   `yaml:"text,omitempty"`
	Cite     Cite     `yaml:"cite,omitempty"`
}

// Measures are the bounds that the law sets to special measures.
type Measures struct {
	Lead    string `yaml:"lead,omitempty"`    // from publication; sooner no measure needs to be followed: a period
	Longest string `yaml:"longest,omitempty"` // that one lasts unless it is renewed: a period
	Appeal  string `yaml:"appeal,omitempty"`  // how long an appeal may wait for its answer: a period
	Text    string `yaml:"text,omitempty"`
	Cite    Cite   `yaml:"cite,omitempty"`
}

// FailRow says what the gate answers to an action where it does not know: once its
// snapshot is too old, and about an account that it has never heard of.
type FailRow struct {
	Action  string `yaml:"action"`            // muster.GateActions
	Answer  string `yaml:"answer"`            // allow | deny: on old knowledge. What that knowledge denies stays denied
	Unknown string `yaml:"unknown,omitempty"` // allow | deny: about an unknown account; absent: as Answer
	Text    string `yaml:"text,omitempty"`
}

// Section is text of the written programme. Where Records is set, the text
// claims that a record of that kind exists; it is printed only with one.
type Section struct {
	Heading string `yaml:"heading"`
	Text    string `yaml:"text"`
	Records string `yaml:"records,omitempty"` // approval | training | review
	Cite    Cite   `yaml:"cite,omitempty"`
}

// Example is facts in short form and what is to come of them.
type Example struct {
	Name   string `yaml:"name"`
	Given  Given  `yaml:"given"`
	Expect Expect `yaml:"expect"`
}

// Expect is what an example expects. Absent members are not compared.
type Expect struct {
	Outcome muster.Outcome    `yaml:"outcome"`
	Needs   []string          `yaml:"needs,omitempty"` // "supply /customer/phone", "verify /customer email"; all of them
	Rules   []string          `yaml:"rules,omitempty"` // rule ids of this pack; all of them
	Foreign map[string]string `yaml:"foreign,omitempty"`
}

// Expr is a CEL expression and where it stands in the pack.
type Expr struct {
	Source       string
	Line, Column int
}

// UnmarshalYAML takes a scalar and remembers its place.
func (e *Expr) UnmarshalYAML(n ast.Node) error {
	at := n.GetToken().Position
	e.Line, e.Column = at.Line, at.Column
	switch v := n.(type) {
	case *ast.StringNode:
		e.Source = v.Value
	case *ast.LiteralNode:
		e.Source = v.Value.Value
		e.Line++ // the text begins below the block indicator
		e.Column = v.Value.GetToken().Position.Column
	case *ast.BoolNode:
		e.Source = fmt.Sprint(v.Value)
	default:
		return fmt.Errorf("a condition is a string")
	}
	e.Source = strings.TrimSpace(e.Source)
	return nil
}

// MarshalYAML is the text.
func (e Expr) MarshalYAML() (any, error) { return e.Source, nil }
