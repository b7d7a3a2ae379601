package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// Report is what Check found. A pack with findings is not activated.
type Report struct {
	Pack     muster.PackRef `json:"pack"`
	Findings []Finding      `json:"findings"`
	Examples int            `json:"examples"` // that were run
}

// Finding is one ground to refuse a pack.
type Finding struct {
	Code   string `json:"code"`  // stable
	Where  string `json:"where"` // "rule three_countries", "example ...", ...
	Detail string `json:"detail"`
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Check refuses what a compiled pack may still not do, and runs its examples.
func Check(p *Pack) Report {
	c := checker{p: p, r: Report{Pack: p.Ref(), Findings: []Finding{}, Examples: len(p.doc.Examples)}}
	c.minimal()
	// A sandbox's pack shows outcomes to developers: it refuses who asks to be refused.
	if p.doc.Kind != KindSandbox {
		c.fair()
	}
	c.spoken()
	c.honest()
	if p.doc.Kind == "cip" {
		c.programme()
	}
	if len(p.doc.Examples) == 0 && p.doc.Kind != KindSandbox {
		c.find("examples", "examples", "a pack has examples")
	}
	for i := range p.doc.Examples {
		e := &p.doc.Examples[i]
		for _, line := range p.Run(e) {
			c.find("example", "example "+e.Name, "%s", line)
		}
	}
	return c.r
}

type checker struct {
	p *Pack
	r Report
}

func (c *checker) find(code, where, format string, args ...any) {
	c.r.Findings = append(c.r.Findings, Finding{code, where, fmt.Sprintf(format, args...)})
}

func (c *checker) status(at Cite) string {
	for _, s := range c.p.doc.Sources {
		if s.ID == at.Source {
			return s.Status
		}
	}
	return ""
}

// minimal: nothing is collected or counted for nothing.
func (c *checker) minimal() {
	d := &c.p.doc
	known := func(id string) bool {
		return c.p.texts[id] != nil || slices.ContainsFunc(d.Counts, func(k Count) bool { return k.Name == id })
	}
	for _, f := range d.Fields {
		where := "field " + f.Field
		for _, id := range f.ReadBy {
			if !known(id) {
				c.find("read_by", where, "read_by names %q, which is no rule, requirement or count", id)
			}
		}
		if len(f.ReadBy) == 0 && c.status(f.Cite) == ProvidersOwn {
			c.find("unread_field", where, "no rule reads it and no source asks for it")
		}
		if f.LawfulBasis == "" || f.Why == "" {
			c.find("lawful_basis", where, "says neither why nor on what basis")
		}
	}
	for _, k := range d.Counts {
		if !slices.ContainsFunc(d.Rules, func(r Rule) bool { return reads(r.When.Source, "counts."+k.Name) }) {
			c.find("unread_count", "count "+k.Name, "no rule reads it")
		}
	}
}

// reads reports whether a condition names a variable.
func reads(src, variable string) bool {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_.])` + regexp.QuoteMeta(variable) + `($|[^A-Za-z0-9_])`).MatchString(src)
}

var origins = []string{"nationalities", "country", "country_claimed", "formation", "shows_nationality", "shows_residence", "shows_formation", "shows_location"}

// fair: nobody is refused for where they come from, and nobody without a person having looked.
func (c *checker) fair() {
	for _, r := range c.p.doc.Rules {
		if r.Outcome.Severity() < muster.OutcomeSuspend.Severity() {
			continue
		}
		where := "rule " + r.ID
		for _, o := range origins {
			if reads(r.When.Source, "customer."+o) || reads(r.When.Source, "subject."+o) {
				c.find("refuses_by_origin", where, "refuses or suspends by %s; only a measure in force may", o)
			}
		}
		for _, v := range []string{"access.country", "payment.country"} {
			if reads(r.When.Source, v) {
				c.find("refuses_by_network", where, "refuses or suspends by %s, which alone may only ask for more", v)
			}
		}
		if r.Measure == "prohibit" {
			continue // a measure in force takes effect by itself
		}
		if !reads(r.When.Source, "review.refused") && !reads(r.When.Source, "screening.confirmed") && !reads(r.When.Source, "subject.screening.confirmed") {
			c.find("refuses_without_person", where, "refuses or suspends without a person's resolution (review.refused, or screening.confirmed)")
		}
	}
}

// unsaid are stems that words for customers do not contain.
var unsaid = regexp.MustCompile(`(?i)\b(watch ?list|block ?list|black ?list|sanction|scor(e|ing)|threshold|investigat|suspicio|fraud|other customers?|another customer|per ?cent|screening|hit)|%`)

const randomCheck = "random_check"

// spoken: words for customers give nothing away.
func (c *checker) spoken() {
	hidden := ""
	say := func(where, words string) {
		if m := unsaid.FindString(words); m != "" {
			c.find("words", where, "words for the customer say %q", m)
		}
	}
	d := &c.p.doc
	for _, r := range slices.Concat(d.Rules, d.Opening) {
		where := "rule " + r.ID
		say(where, r.Words.Customer)
		all := r.Words.Customer
		for _, n := range r.Needs {
			say(where, n.Words)
			all += "\n" + n.Words
		}
		if !r.Hidden {
			continue
		}
		if r.Code != randomCheck {
			c.find("hidden", where, "a hidden rule has the code %s", randomCheck)
		}
		if hidden == "" {
			hidden = all
		}
		if all != hidden {
			c.find("hidden", where, "hidden rules have the same words, or they can be told apart")
		}
	}
	for _, f := range d.Fields {
		say("field "+f.Field, f.Words.Customer)
	}
	for _, q := range d.Verify {
		say("requirement "+q.ID, q.Words.Customer)
	}
}

var boast = regexp.MustCompile(`(?i)\b(compliant|required by law|legally required)\b`)

// honest: no text claims more than its source does.
func (c *checker) honest() {
	d := &c.p.doc
	say := func(where, text string, at Cite) {
		if m := boast.FindString(text); m != "" && c.status(at) != InForce {
			c.find("claims", where, "says %q of a source that is not in force", m)
		}
	}
	for _, s := range d.Programme {
		say("programme "+s.Heading, s.Text, s.Cite)
	}
	for _, f := range d.Fields {
		say("field "+f.Field, f.Why+" "+f.LawfulBasis+" "+f.Words.Customer, f.Cite)
	}
	for _, r := range slices.Concat(d.Rules, d.Opening) {
		say("rule "+r.ID, r.Title+" "+r.Words.Customer+" "+r.Words.Operator, r.Cite)
	}
	for _, q := range d.Verify {
		say("requirement "+q.ID, q.Words.Customer+" "+q.Words.Operator, q.Cite)
	}
	for _, r := range d.Retention {
		say("retention "+r.Class, r.Basis, r.Cite)
	}
	for _, t := range []struct {
		where, text string
		at          Cite
	}{
		{"ownership", d.Ownership.Text, d.Ownership.Cite},
		{"status", d.Status.Text, d.Status.Cite},
		{"interim", d.Interim.Text, d.Interim.Cite},
		{"unverified", strings.Join([]string{d.Unverified.NoOpen, d.Unverified.Interim, d.Unverified.Close, d.Unverified.Redress}, " "), d.Unverified.Cite},
		{"reverify", d.Reverify.Text, d.Reverify.Cite},
		{"notice", d.Notice.Text, d.Notice.Cite},
		{"title", d.Title, Cite{}},
		{"authority", d.Authority, Cite{}},
	} {
		say(t.where, t.text, t.at)
	}
}

// programme: what a customer identification programme answers in writing.
func (c *checker) programme() {
	d := &c.p.doc
	for _, id := range situations {
		ok := slices.ContainsFunc(d.NonDocumentary, func(s Situation) bool {
			return s.ID == id && strings.TrimSpace(s.Text) != "" && len(s.Methods) > 0
		})
		if !ok {
			c.find("situation", "non_documentary", "does not say what is done in the situation %s (REG-18)", id)
		}
	}
	for name, text := range map[string]string{
		"no_open": d.Unverified.NoOpen, "interim": d.Unverified.Interim,
		"close": d.Unverified.Close, "redress": d.Unverified.Redress,
	} {
		if strings.TrimSpace(text) == "" {
			c.find("unverified", "unverified", "does not say %s (REG-20)", name)
		}
	}
	if d.Interim.Enabled && d.Interim.Limits.Days == nil {
		c.find("interim", "interim", "interim service has an end: limits.days")
	}
	if c.p.threshold < 0 {
		c.find("ownership", "ownership", "has no threshold (REG-06)")
	}
	if d.Ownership.ControlRequired && !slices.ContainsFunc(d.Rules, func(r Rule) bool { return reads(r.When.Source, "owners.control") }) {
		c.find("ownership", "ownership", "requires a person in control, and no rule reads owners.control (REG-06)")
	}
	if d.Status.US.Source == "" {
		c.find("status", "status", "does not say who is shown to be a US person (REG-11)")
	}
	for _, attr := range []string{muster.AttrName, muster.AttrExistence} {
		if !slices.ContainsFunc(c.p.reqs, func(q requirement) bool { return contains(q.any, attr) }) {
			c.find("verify", "verify", "does not require %s to be shown (REG-16)", attr)
		}
	}
	if !slices.ContainsFunc(d.Fields, func(f Field) bool { return f.Field == "notice" && !f.Optional }) {
		c.find("notice", "fields", "does not ask for the privacy notice (REG-27)")
	}
	for _, class := range []string{"identity", "evidence", "decisions", "access"} {
		if !slices.ContainsFunc(d.Retention, func(r Retention) bool { return r.Class == class }) {
			c.find("retention", "retention", "does not say how long %s is kept (REG-24)", class)
		}
	}
	slices.SortStableFunc(c.r.Findings, func(a, b Finding) int { return strings.Compare(a.Code+a.Where+a.Detail, b.Code+b.Where+b.Detail) })
}
