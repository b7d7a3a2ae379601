package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"

	"github.com/muster-cip/muster"
)

// Pack is a compiled policy pack. It is immutable and safe for concurrent use.
type Pack struct {
	doc    Document
	src    []byte
	digest string

	conds       []cond
	applies     int
	us, foreign int
	threshold   muster.Percent
	fields      []field
	reqs        []requirement
	rules       []rule
	opening     []rule
	obligations []obligation
	methods     map[string]*method
	countKeys   map[string]string // "counts.name" -> name
	texts       map[string]*text  // rule id -> what is said when it holds
	interimDays int

	known map[string]ref.Val // values that facts often hold, boxed once
	empty ref.Val            // list
}

type cond struct {
	program cel.Program
	subject bool // reads "subject."
	where   string
}

// text is what is said of a rule that held.
type text struct {
	outcome  muster.Outcome
	code     string
	citation string
	status   string
	words    Words
	hidden   bool
	observe  bool
	needs    []RuleNeed   // of a rule
	req      *requirement // of a requirement
	field    *field       // of a field
	party    bool         // a rule that holds on subjects
}

type field struct {
	*Field
	id    string
	cond  int
	app   bool // for the application, not for a party
	prefx string
}

type requirement struct {
	*Requirement
	cond  int
	any   []string // attribute and its alternatives
	least int
}

// scope is what a rule is asked about.
type scope int

const (
	scopeApplication scope = iota
	scopeCustomer
	scopeBeneficial
	scopeOwner
	scopeSubject
)

type rule struct {
	*Rule
	cond    int
	scope   scope
	observe bool
	clear   bool
	defers  bool // waits until nothing is left to collect
}

type obligation struct {
	*Obligation
	cond int
}

type method struct {
	*Method
	gives map[string]int
	least int
	valid Period
}

// AnsweredBy is what answers a rule, "" where the case that it opens does.
func (p *Pack) AnsweredBy(rule string) string {
	for i := range p.rules {
		if p.rules[i].ID == rule {
			return p.rules[i].AnsweredBy
		}
	}
	return ""
}

// ID names the regime.
func (p *Pack) ID() string { return p.doc.ID }

// Edition names this text of it.
func (p *Pack) Edition() string { return p.doc.Edition }

// Digest is the SHA-256 of the pack's bytes, hex.
func (p *Pack) Digest() string { return p.digest }

// Source is the pack's bytes. The caller must not change them.
func (p *Pack) Source() []byte { return p.src }

// Ref names the pack in a decision.
func (p *Pack) Ref() muster.PackRef {
	return muster.PackRef{ID: p.doc.ID, Edition: p.doc.Edition, Digest: p.digest}
}

// Document is the pack as written. The caller must not change it.
func (p *Pack) Document() *Document { return &p.doc }

// Rules is how many rules the pack has: of collecting, of verifying and its own.
func (p *Pack) Rules() int { return len(p.texts) }
