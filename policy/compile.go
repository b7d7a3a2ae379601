package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/muster-cip/muster"
)

// Bounds of a pack.
const (
	PackFormat   = 1         // the format that Compile reads
	MaxPackBytes = 128 << 10 //
	maxFaults    = 10        // reported; the work stops there
	maxRules     = 400
	maxMembers   = 200 // fields, requirements, counts, methods, each
)

// always is the index of a condition that is absent: it holds.
const always = -1

// AnsweredByHits is what a rule is answered by that waits for hits to be resolved.
const AnsweredByHits = "hits"

// Compile reads a pack: strict YAML, every condition type-checked and its cost
// bounded. Errors are *muster.Error: malformed where the text is not YAML of the
// shape, too_large past the bounds, invalid otherwise; each fault's detail
// begins with "line:column: ".
func Compile(src []byte) (p *Pack, err error) {
	defer func() {
		// The YAML and CEL parsers are fuzzed elsewhere and here; a panic of theirs
		// must not take the process down with an operator's draft.
		if r := recover(); r != nil {
			p, err = nil, muster.Errorf(muster.CodeMalformed, "the pack cannot be read")
		}
	}()
	if len(src) > MaxPackBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a pack is at most %d bytes", MaxPackBytes)
	}
	sum := sha256.Sum256(src)
	p = &Pack{src: slices.Clone(src), digest: hex.EncodeToString(sum[:])}
	if err := decode(string(p.src), &p.doc); err != nil {
		return nil, err
	}
	c := compiler{p: p, index: map[string]int{}}
	c.compile()
	if len(c.faults) > 0 {
		return nil, &muster.Error{
			Code: muster.CodeInvalid, Message: "the pack is at fault", Faults: c.faults,
			Hint: "run muster policy check on the file",
		}
	}
	return p, nil
}

// compiler collects all faults of one pack.
type compiler struct {
	p        *Pack
	app, sub *cel.Env
	index    map[string]int
	bytes    int
	faults   []muster.Fault
	stop     bool
}

func (c *compiler) fault(code, format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, muster.Fault{Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	c.stop = len(c.faults) >= maxFaults
}

var (
	packID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	ruleID = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,63}$`)
	name   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

	nameOfWeight = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)
	listPattern  = regexp.MustCompile(`^[a-z0-9*][a-z0-9._*-]{0,63}$`)
)

func (c *compiler) compile() {
	d := &c.p.doc
	if d.Format != PackFormat {
		c.fault("format", "1:1: format is %d", PackFormat)
		return
	}
	if !packID.MatchString(d.ID) || d.Edition == "" || d.Title == "" {
		c.fault("identity", "1:1: a pack has id ([a-z0-9-]), edition and title")
	}
	if d.Kind != "cip" && d.Kind != "register" && d.Kind != KindSandbox {
		c.fault("kind", "1:1: kind is cip, register or sandbox")
	}
	if len(d.Rules)+len(d.Opening) > maxRules || len(d.Fields) > maxMembers || len(d.Verify) > maxMembers ||
		len(d.Counts) > maxMembers || len(d.Methods) > maxMembers || len(d.Obligations) > maxMembers {
		c.fault("bounds", "1:1: at most %d rules and %d fields, requirements, counts, methods, obligations", maxRules, maxMembers)
		return
	}
	c.sources()
	c.counts()
	c.methods()
	c.screening()
	var err error
	if c.app, c.sub, err = environments(d.Format, d.Counts); err != nil {
		c.fault("counts", "1:1: the counts do not make an environment")
		return
	}
	c.p.texts = map[string]*text{}
	c.p.applies = c.cond(d.AppliesWhen, false)
	c.status()
	c.ownership()
	c.fields()
	c.requirements()
	c.ruleset()
	c.terms()
	c.values()
}

func (c *compiler) sources() {
	seen := map[string]bool{}
	for _, s := range c.p.doc.Sources {
		if s.ID == "" || seen[s.ID] {
			c.fault("source", "1:1: sources: each has an id of its own")
		}
		seen[s.ID] = true
		if !slices.Contains([]string{InForce, Proposed, Withdrawn, ProvidersOwn}, s.Status) {
			c.fault("source", "1:1: source %q: status is in force, proposed, withdrawn or provider's own", s.ID)
		}
		if s.AsOf == "" || s.Title == "" || s.Citation == "" {
			c.fault("source", "1:1: source %q has title, citation and as_of", s.ID)
		}
	}
}

// cite returns the citation and its legal status.
func (c *compiler) cite(what string, at Cite) (string, string) {
	for _, s := range c.p.doc.Sources {
		if s.ID == at.Source {
			return strings.TrimSpace(s.Citation + " " + at.At), s.Status
		}
	}
	c.fault("citation", "1:1: %s cites a source that is not listed", what)
	return "", ""
}

func (c *compiler) counts() {
	c.p.countKeys = map[string]string{}
	for _, k := range c.p.doc.Counts {
		if !name.MatchString(k.Name) || c.p.countKeys["counts."+k.Name] != "" {
			c.fault("counts", "1:1: counts: each has a name of its own ([a-z0-9_])")
			continue
		}
		c.p.countKeys["counts."+k.Name] = k.Name
		if !slices.Contains([]string{"card", "phone", "email", "document", "device", "wallet", "ip"}, k.Of) ||
			!slices.Contains([]string{"customers", "applications", CountAbusers}, k.Count) {
			c.fault("counts", "1:1: count %q: of is card, phone, email, document, device, wallet or ip; count is customers, applications or abusers", k.Name)
		}
		for _, r := range k.Roles {
			if !slices.Contains([]muster.SubjectRole{muster.RoleCustomer, muster.RoleOwner, muster.RoleSignatory}, r) {
				c.fault("counts", "1:1: count %q: roles are customer, owner, signatory", k.Name)
			}
		}
		if k.Window != "" {
			c.period("count "+k.Name, k.Window)
		}
	}
}

func (c *compiler) period(what, s string) Period {
	p, err := ParsePeriod(s)
	if err != nil {
		c.fault("period", "1:1: %s: a period is a number and hours, days, months or years", what)
	}
	return p
}

func (c *compiler) methods() {
	c.p.methods = map[string]*method{}
	for i := range c.p.doc.Methods {
		m := &c.p.doc.Methods[i]
		out := &method{Method: m, gives: map[string]int{}, least: assurance(m.AtLeast)}
		if m.ID == "" || c.p.methods[m.ID] != nil {
			c.fault("methods", "1:1: methods: each has an id of its own")
		}
		if m.Kind != muster.Documentary && m.Kind != muster.NonDocumentary {
			c.fault("methods", "1:1: method %q: kind is documentary or non_documentary", m.ID)
		}
		for attr, a := range m.Gives {
			if !slices.Contains(muster.Attributes, attr) || assurance(a) <= 0 {
				c.fault("methods", "1:1: method %q: gives maps attributes to low, substantial or high", m.ID)
			}
			out.gives[attr] = assurance(a)
		}
		if out.least < 0 {
			c.fault("methods", "1:1: method %q: at_least is low, substantial or high", m.ID)
		}
		if m.ValidFor != "" {
			out.valid = c.period("method "+m.ID, m.ValidFor)
		}
		c.p.methods[m.ID] = out
	}
}

// assurance ranks a; 0 for none, -1 for no such word.
func assurance(a muster.Assurance) int {
	switch a {
	case "":
		return 0
	case muster.AssuranceLow:
		return 1
	case muster.AssuranceSubstantial:
		return 2
	case muster.AssuranceHigh:
		return 3
	}
	return -1
}

// cond compiles e once for all places that say the same.
func (c *compiler) cond(e Expr, subject bool) int {
	if e.Source == "" || e.Source == "true" || c.stop {
		return always
	}
	subject = subject && strings.Contains(e.Source, "subject.")
	key := fmt.Sprint(subject, e.Source)
	if i, ok := c.index[key]; ok {
		return i
	}
	if c.bytes += len(e.Source); len(e.Source) > maxExprBytes || c.bytes > maxExprsBytes {
		c.fault("condition", "%d:%d: a condition is at most %d bytes, all of them %d", e.Line, e.Column, maxExprBytes, maxExprsBytes)
		c.stop = true
		return always
	}
	env := c.app
	if subject {
		env = c.sub
	}
	checked, iss := env.Compile(e.Source)
	if iss != nil && iss.Err() != nil {
		for i, x := range iss.Errors() {
			if i == 3 {
				break
			}
			line, column := e.Line+x.Location.Line()-1, x.Location.Column()
			if x.Location.Line() <= 1 {
				column += e.Column
			}
			c.fault("condition", "%d:%d: %s", line, column, firstLine(x.Message))
		}
		return always
	}
	if checked.OutputType() != cel.BoolType {
		c.fault("condition", "%d:%d: a condition is true or false", e.Line, e.Column)
		return always
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil || estimate.Max > maxCost {
		c.fault("cost", "%d:%d: the condition could cost too much", e.Line, e.Column)
		return always
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if estimate.Max > freeCost {
		options = append(options, cel.CostLimit(maxCost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		c.fault("condition", "%d:%d: the condition cannot be planned", e.Line, e.Column)
		return always
	}
	c.p.conds = append(c.p.conds, cond{program: program, subject: subject, where: fmt.Sprintf("%d:%d", e.Line, e.Column)})
	c.index[key] = len(c.p.conds) - 1
	return c.index[key]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = s[:200]
	}
	return s
}

func (c *compiler) status() {
	s := &c.p.doc.Status
	for _, e := range []Expr{s.US, s.Foreign} {
		for _, word := range []string{".foreign", "owners.us", "owners.presumed"} {
			if strings.Contains(e.Source, word) {
				c.fault("status", "%d:%d: a status cannot rest on a status", e.Line, e.Column)
			}
		}
	}
	c.p.us, c.p.foreign = c.cond(s.US, true), c.cond(s.Foreign, true)
}

func (c *compiler) ownership() {
	o := &c.p.doc.Ownership
	c.p.threshold = -1
	if o.Threshold == "" {
		return
	}
	t, err := muster.ParsePercent(o.Threshold)
	if err != nil || t > muster.WholePercent {
		c.fault("ownership", "1:1: ownership: threshold is per cent, 0 to 100")
	}
	c.p.threshold = t
}

// say registers what is said when the rule id holds.
func (c *compiler) say(id string, t *text, at Cite) {
	if !ruleID.MatchString(id) {
		c.fault("rules", "1:1: %q is no rule id ([a-z0-9_])", id)
	}
	if c.p.texts[id] != nil {
		c.fault("rules", "1:1: two rules have the id %q", id)
	}
	t.citation, t.status = c.cite("rule "+id, at)
	if t.outcome.Severity() < 0 {
		c.fault("rules", "1:1: rule %q: no such outcome", id)
	}
	if strings.TrimSpace(t.words.Customer) == "" {
		c.fault("words", "1:1: rule %q has no words for the customer", id)
	}
	if t.words.Operator == "" {
		t.words.Operator = t.words.Customer
	}
	c.p.texts[id] = t
}

func (c *compiler) among(what string, have []string, allowed ...string) {
	for _, h := range have {
		if !slices.Contains(allowed, h) {
			c.fault("vocabulary", "1:1: %s: %q is none of %s", what, h, strings.Join(allowed, ", "))
		}
	}
}

const (
	forApplication = "application"
	forCustomer    = "customer"
	forBeneficial  = "beneficial_owner"
	forSignatory   = "signatory"
)

func (c *compiler) fields() {
	for i := range c.p.doc.Fields {
		f := &c.p.doc.Fields[i]
		if f.ID == "" {
			f.ID = "collect_" + strings.ReplaceAll(f.Field, ".", "_")
		}
		c.among("field "+f.Field, f.For, forApplication, forCustomer, forBeneficial, forSignatory)
		c.among("field "+f.Field, f.Kinds, string(muster.Individual), string(muster.Entity))
		if len(f.For) == 0 || f.Field == "" {
			c.fault("fields", "1:1: field %q says whom it is asked of", f.Field)
			continue
		}
		app := slices.Contains(f.For, forApplication)
		if app && len(f.For) > 1 {
			c.fault("fields", "1:1: field %q: of the application or of parties, not both", f.Field)
		}
		c.p.fields = append(c.p.fields, field{Field: f, id: f.ID, app: app, prefx: f.Field + ".", cond: c.cond(f.When, !app)})
	}
	// The most specific field of a path decides: sort the longest first.
	sort.SliceStable(c.p.fields, func(i, j int) bool { return len(c.p.fields[i].Field.Field) > len(c.p.fields[j].Field.Field) })
	for i := range c.p.fields {
		f := &c.p.fields[i]
		if !f.Optional {
			c.say(f.id, &text{outcome: muster.OutcomeCollect, code: f.id, words: f.Words, field: f}, f.Cite)
		} else {
			c.cite("field "+f.Field.Field, f.Cite)
		}
	}
}

func (c *compiler) requirements() {
	for i := range c.p.doc.Verify {
		r := &c.p.doc.Verify[i]
		if r.Outcome == "" {
			r.Outcome = muster.OutcomeVerify
		}
		c.among("requirement "+r.ID, r.For, forCustomer, forBeneficial, forSignatory)
		c.among("requirement "+r.ID, r.Kinds, string(muster.Individual), string(muster.Entity))
		c.among("requirement "+r.ID, append([]string{r.Attribute}, r.Or...), muster.Attributes...)
		if len(r.For) == 0 || len(r.Methods) == 0 {
			c.fault("verify", "1:1: requirement %q says of whom, and by which methods", r.ID)
		}
		for _, m := range r.Methods {
			if c.p.methods[m] == nil {
				c.fault("verify", "1:1: requirement %q: method %q is not listed", r.ID, m)
			}
		}
		least := assurance(r.Assurance)
		if least < 0 {
			c.fault("verify", "1:1: requirement %q: assurance is low, substantial or high", r.ID)
		}
		c.p.reqs = append(c.p.reqs, requirement{
			Requirement: r, cond: c.cond(r.When, true),
			any: append([]string{r.Attribute}, r.Or...), least: least,
		})
	}
	for i := range c.p.reqs {
		r := &c.p.reqs[i]
		c.say(r.ID, &text{outcome: r.Outcome, code: r.ID, words: r.Words, req: r}, r.Cite)
	}
}

func (c *compiler) ruleset() {
	c.p.rules = c.rulesOf(c.p.doc.Rules)
	sort.SliceStable(c.p.rules, func(i, j int) bool { return c.p.rules[i].Cost < c.p.rules[j].Cost })
	c.p.opening = c.rulesOf(c.p.doc.Opening)
	for _, r := range c.p.opening {
		if r.Outcome != muster.OutcomeOpen {
			c.fault("opening", "1:1: rule %q: an opening rule opens", r.ID)
		}
	}
	for i := range c.p.doc.Obligations {
		o := &c.p.doc.Obligations[i]
		c.cite("obligation "+o.ID, o.Cite)
		c.p.obligations = append(c.p.obligations, obligation{o, c.cond(o.When, false)})
	}
}

func (c *compiler) rulesOf(in []Rule) []rule {
	out := make([]rule, 0, len(in))
	for i := range in {
		r := &in[i]
		if r.Code == "" {
			r.Code = r.ID
		}
		if r.Mode == "" {
			r.Mode = c.defaultMode(r)
		}
		x := rule{Rule: r, observe: r.Mode == "observe", clear: r.Outcome == muster.OutcomeReview, defers: r.Outcome == muster.OutcomeVerify}
		if r.Clearable != nil {
			x.clear = *r.Clearable
		}
		c.among("rule "+r.ID, []string{r.Mode}, "", "enforce", "observe")
		c.among("rule "+r.ID, []string{r.AnsweredBy}, "", AnsweredByHits)
		x.clear = x.clear && r.AnsweredBy == ""
		if c.p.doc.Screening == nil && strings.Contains(r.When.Source, "screening.") {
			c.fault("screening", "%d:%d: rule %q reads a screening, and the pack asks for none", r.When.Line, r.When.Column, r.ID)
		}
		switch r.Scope {
		case "", forApplication:
			x.scope = scopeApplication
		case forCustomer:
			x.scope = scopeCustomer
		case forBeneficial:
			x.scope = scopeBeneficial
		case "owner":
			x.scope = scopeOwner
		case "subject":
			x.scope = scopeSubject
		default:
			c.fault("rules", "%d:%d: rule %q: no such scope", r.When.Line, r.When.Column, r.ID)
		}
		c.among("rule "+r.ID, []string{r.Measure}, append([]string{""}, measureKinds...)...)
		if r.Measure != "" && x.scope != scopeApplication {
			c.fault("rules", "%d:%d: rule %q: a rule on special measures has scope application", r.When.Line, r.When.Column, r.ID)
		}
		for _, n := range r.Needs {
			c.among("needs of rule "+r.ID, []string{string(n.Kind)}, string(muster.NeedSupply), string(muster.NeedVerify), string(muster.NeedWait))
			c.among("needs of rule "+r.ID, []string{n.At}, "", "open_owners")
		}
		c.limits("rule "+r.ID, r.Limits)
		x.cond = c.cond(r.When, x.scope != scopeApplication)
		c.say(r.ID, &text{outcome: r.Outcome, code: r.Code, words: r.Words, hidden: r.Hidden, observe: x.observe, needs: r.Needs, party: x.scope != scopeApplication}, r.Cite)
		out = append(out, x)
	}
	return out
}

// defaultMode: what a law or a rule asks for enforces; what the provider adds on
// its own word observes, until the pack says otherwise.
func (c *compiler) defaultMode(r *Rule) string {
	if _, status := c.cite("rule "+r.ID, r.Cite); status == ProvidersOwn && r.Outcome != muster.OutcomeOpen {
		return "observe"
	}
	return "enforce"
}

func (c *compiler) limits(what string, l muster.Limits) {
	c.among(what, []string{l.GPU}, append([]string{""}, muster.GPUClasses...)...)
	c.among(what, []string{l.OutboundMail}, "", "closed", "open")
	if (l.Instances != nil && *l.Instances < 0) || (l.Days != nil && *l.Days < 0) {
		c.fault("limits", "1:1: %s: limits are not negative", what)
	}
}

// terms are the parts that others read: interim service, retention, periods.
func (c *compiler) terms() {
	d := &c.p.doc
	c.limits("interim", d.Interim.Limits)
	if d.Interim.Limits.Days != nil {
		c.p.interimDays = *d.Interim.Limits.Days
	}
	for what, s := range map[string]string{
		"unverified": d.Unverified.After, "redress": d.Unverified.Answer,
		"measures lead": d.Measures.Lead, "measures longest": d.Measures.Longest, "measures appeal": d.Measures.Appeal,
		"reverify": d.Reverify.Every, "reverify grace": d.Reverify.Grace,
	} {
		if s != "" {
			c.period(what, s)
		}
	}
	for _, r := range d.Retention {
		if r.Class == "" || len(r.From) == 0 {
			c.fault("retention", "1:1: retention has class and from")
		}
		c.period("retention of "+r.Class, r.Period)
		c.cite("retention of "+r.Class, r.Cite)
	}
	for _, s := range d.NonDocumentary {
		c.cite("situation "+s.ID, s.Cite)
		for _, m := range s.Methods {
			if c.p.methods[m] == nil && m != string(muster.Resolution) {
				c.fault("non_documentary", "1:1: situation %q: method %q is not listed", s.ID, m)
			}
		}
	}
	for _, f := range d.Fail {
		c.among("fail "+f.Action, []string{f.Answer, f.Unknown}, "", "allow", "deny")
		if f.Answer == "" {
			c.fault("fail", "1:1: action %q has no answer", f.Action)
		}
		c.among("fail", []string{f.Action}, muster.GateActions...)
	}
	for _, s := range d.Programme {
		c.among("programme "+s.Heading, []string{s.Records}, "", "approval", "training", "review")
	}
}

// values boxes what facts often hold, so that evaluation need not.
func (c *compiler) values() {
	p := c.p
	p.known = map[string]ref.Val{}
	put := func(list ...string) {
		for _, s := range list {
			p.known[s] = types.String(s)
		}
	}
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			put(string([]byte{a, b}))
		}
	}
	put(muster.Attributes...)
	put("", string(muster.Individual), string(muster.Entity), muster.StatusPresumed, muster.StatusUS, muster.StatusForeign,
		string(muster.RoleCustomer), string(muster.RoleOwner), string(muster.RoleSignatory), "XXA", "XXB",
		muster.AppReceived, muster.AppNeeds, muster.AppReview, muster.AppApproved, muster.AppRefused, muster.AppExpired, muster.AppWithdrawn,
		muster.AccPending, muster.AccActive, muster.AccLimited, muster.AccSuspended, muster.AccClosing, muster.AccClosed,
		muster.ModeProduction, muster.ModeSandbox, "card", "bank_account", "virtual_currency", "processor", "invoice", "other",
		"none", "citizen", "permanent_resident", "us_entity", "located_in_us")
	for id := range p.methods {
		put(id)
	}
	p.empty = types.NewRefValList(types.DefaultTypeAdapter, nil)
}
