package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/muster-cip/muster"
)

// ProgrammeRecord is a record that stands behind a sentence of the programme.
type ProgrammeRecord struct {
	Kind string    // approval | training | review
	At   time.Time //
	By   string    // role or operator, as it is to be printed
	Text string    //
}

const notProvided = "**Not provided**: no record stands behind this."

// Render writes the programme of p as Markdown, for an examiner. A sentence that
// claims a record is printed only with one; what has none says "not provided".
func Render(p *Pack, records []ProgrammeRecord) string {
	w := &writer{p: p}
	d := &p.doc
	w.line("# %s", d.Title)
	w.line("Pack `%s`, edition %s, SHA-256 `%s`.", d.ID, d.Edition, p.digest)
	w.line("%s", d.Authority)
	w.sources()
	for _, s := range d.Programme {
		w.section(s, records)
	}
	w.fields()
	w.status()
	w.methods()
	w.screening()
	w.rules()
	w.unknown()
	w.retention()
	w.people()
	return strings.TrimRight(w.b.String(), "\n") + "\n"
}

type writer struct {
	p *Pack
	b strings.Builder
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n\n", args...) }

func (w *writer) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", "\\|")
	}
	fmt.Fprintf(&w.b, "| %s |\n", strings.Join(cells, " | "))
}

func (w *writer) head(cells ...string) {
	w.row(cells...)
	w.b.WriteString("|" + strings.Repeat(" --- |", len(cells)) + "\n")
}

// cite prints a citation with the legal status of its source, always.
func (w *writer) cite(c Cite) string {
	for _, s := range w.p.doc.Sources {
		if s.ID != c.Source {
			continue
		}
		text := strings.TrimSpace(s.Citation+" "+c.At) + " (" + s.Status
		if s.Status == Proposed || s.Status == Withdrawn {
			text += ", not in force"
		}
		if c.Reg != "" {
			text += "; " + c.Reg
		}
		return text + ")"
	}
	return ""
}

func (w *writer) sources() {
	w.line("## Sources and their legal status")
	w.head("source", "cited as", "status", "looked up", "note")
	for _, s := range w.p.doc.Sources {
		status := s.Status
		if s.Status == Proposed || s.Status == Withdrawn {
			status += ", not in force"
		}
		w.row(s.Title, s.Citation, status, s.AsOf, s.Note)
	}
	w.line("")
}

func (w *writer) section(s Section, records []ProgrammeRecord) {
	w.line("## %s", s.Heading)
	if s.Records == "" {
		w.line("%s", s.Text)
	} else {
		var lines []string
		for _, r := range records {
			if r.Kind == s.Records {
				lines = append(lines, strings.TrimSpace(fmt.Sprintf("- %s, %s: %s", r.At.UTC().Format(time.DateOnly), r.By, r.Text)))
			}
		}
		if len(lines) == 0 {
			w.line("%s", notProvided)
		} else {
			sort.Strings(lines)
			w.line("%s", s.Text)
			w.line("%s", strings.Join(lines, "\n"))
		}
	}
	if c := w.cite(s.Cite); c != "" {
		w.line("Source: %s.", c)
	}
}

func (w *writer) fields() {
	d := &w.p.doc
	w.line("## What is collected, of whom and why")
	w.head("what", "of whom", "asked for", "why", "lawful basis", "read by", "source")
	for _, f := range d.Fields {
		asked := "required"
		if f.Optional {
			asked = "kept where given, never asked for"
		}
		whom := plain(f.For)
		if len(f.Kinds) > 0 {
			whom += " (" + plain(f.Kinds) + ")"
		}
		w.row(strings.ReplaceAll(f.Field, "_", " "), whom, asked, f.Why, f.LawfulBasis, plain(f.ReadBy), w.cite(f.Cite))
	}
	w.line("")
	if d.Ownership.Text != "" {
		w.line("### Beneficial owners")
		w.line("%s Source: %s.", d.Ownership.Text, w.cite(d.Ownership.Cite))
	}
	w.line("### Privacy notice")
	w.line("%s", or(d.Notice.Text, notProvided))
	if len(d.Counts) > 0 {
		w.line("### What is counted")
		w.line("Numbers only, from keyed digests; no value is read. A count shows nothing by itself.")
		for _, c := range d.Counts {
			fmt.Fprintf(&w.b, "- %s\n", c.Text)
		}
		w.line("")
	}
}

func plain(list []string) string {
	return strings.ReplaceAll(strings.Join(list, ", "), "_", " ")
}

func (w *writer) status() {
	if s := w.p.doc.Status; s.Text != "" {
		w.line("## Who counts as a United States person")
		w.line("%s Source: %s.", s.Text, w.cite(s.Cite))
	}
}

func (w *writer) methods() {
	d := &w.p.doc
	w.line("## How identity is verified")
	w.head("method", "kind", "shows", "how", "holds for", "source")
	for _, m := range d.Methods {
		var gives []string
		for _, a := range muster.Attributes {
			if level, ok := m.Gives[a]; ok {
				gives = append(gives, strings.ReplaceAll(a, "_", " ")+" ("+string(level)+")")
			}
		}
		w.row(m.ID, strings.ReplaceAll(string(m.Kind), "_", "-"), strings.Join(gives, ", "), m.Text, or(m.ValidFor, "as long as the evidence says"), w.cite(m.Cite))
	}
	w.line("")
	w.line("### What has to be shown")
	w.head("requirement", "of whom", "attribute", "any one of", "source")
	for _, q := range d.Verify {
		whom := plain(q.For)
		if len(q.Kinds) > 0 {
			whom += " (" + plain(q.Kinds) + ")"
		}
		w.row(strings.ReplaceAll(q.ID, "_", " "), whom, strings.ReplaceAll(strings.Join(append([]string{q.Attribute}, q.Or...), " or "), "_", " "),
			strings.Join(q.Methods, ", "), w.cite(q.Cite))
	}
	w.line("")
	if len(d.NonDocumentary) > 0 {
		w.line("### Where papers are not the way")
		for _, s := range d.NonDocumentary {
			fmt.Fprintf(&w.b, "- **%s**: %s By: %s. Source: %s.\n", strings.ReplaceAll(s.ID, "_", " "), strings.Join(strings.Fields(s.Text), " "), strings.Join(s.Methods, ", "), w.cite(s.Cite))
		}
		w.line("")
	}
}

// screening says against what names are compared, and what follows.
func (w *writer) screening() {
	s := w.p.doc.Screening
	if s == nil {
		return
	}
	w.line("## Watch lists")
	w.line("%s Source: %s.", s.Text, w.cite(s.Cite))
	w.line("From a score of %g on a likeness is a hit; an identifier that is the same is one by itself. Likenesses down to %g are kept with the decision.", s.Threshold, s.Floor)
	w.head("list", "hit from", "bound of age", "operators to confirm, to clear", "report", "records of a true hit", "source")
	for _, l := range s.Lists {
		threshold := s.Threshold
		if l.Threshold > 0 {
			threshold = l.Threshold
		}
		report := "none"
		if l.Report.Within != "" {
			report = strings.TrimSpace(fmt.Sprintf("within %s, to %s. %s Source: %s", l.Report.Within, or(l.Report.To, "the authority"), l.Report.Text, w.cite(l.Report.Cite)))
		}
		name := l.List
		if l.Required {
			name += " (required)"
		}
		w.row(name, fmt.Sprintf("%g", threshold), or(l.MaxAge, "none"), fmt.Sprintf("%d, %d", max(1, l.Confirm), max(1, l.Clear)), report, or(l.Keep, "as hits"), w.cite(l.Cite))
	}
	w.line("")
}

var outcomeWords = map[muster.Outcome]string{
	muster.OutcomeOpen: "the account opens", muster.OutcomeLimit: "the account opens with limits", muster.OutcomeCollect: "what is missing is asked for",
	muster.OutcomeVerify: "verification is asked for", muster.OutcomeReview: "a person looks", muster.OutcomeSuspend: "the account is suspended",
	muster.OutcomeRefuse: "the application is refused", muster.OutcomeClose: "the account is closed",
}

func (w *writer) rules() {
	d := &w.p.doc
	w.line("## The rules in force")
	w.line("The most severe outcome of all rules that hold wins; what they ask for and their limits add up.")
	w.head("rule", "what it says", "what follows", "mode", "condition", "source")
	for _, r := range slices.Concat(d.Rules, d.Opening) {
		mode := or(r.Mode, "enforce")
		if r.Mode == "observe" {
			mode = "observe: recorded, enforces nothing"
		}
		w.row(r.ID, r.Title+". "+r.Words.Operator, outcomeWords[r.Outcome]+limitWords(r.Limits), mode, "`"+r.When.Source+"`", w.cite(r.Cite))
	}
	w.line("")
	if len(d.Obligations) > 0 {
		w.line("### Duties that go with an account")
		for _, o := range d.Obligations {
			fmt.Fprintf(&w.b, "- %s Source: %s.\n", strings.Join(strings.Fields(o.Text), " "), w.cite(o.Cite))
		}
		w.line("")
	}
}

func limitWords(l muster.Limits) string {
	var out []string
	if l.Instances != nil {
		out = append(out, fmt.Sprintf("at most %d instances", *l.Instances))
	}
	if l.GPU != "" {
		out = append(out, "GPU class "+l.GPU)
	}
	if len(l.Products) > 0 {
		out = append(out, "only "+plain(l.Products))
	}
	if len(l.Deny) > 0 {
		out = append(out, "not "+plain(l.Deny))
	}
	if len(l.Regions) > 0 {
		out = append(out, "regions "+plain(l.Regions))
	}
	if l.OutboundMail != "" {
		out = append(out, "outbound mail "+l.OutboundMail)
	}
	if l.Spend != nil {
		out = append(out, fmt.Sprintf("at most %d %s (minor units) a month", l.Spend.Amount, l.Spend.Currency))
	}
	if l.Days != nil {
		out = append(out, fmt.Sprintf("for %d days", *l.Days))
	}
	if out == nil {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

func (w *writer) unknown() {
	d := &w.p.doc
	u := d.Unverified
	w.line("## What happens when identity stays unknown")
	for _, x := range []struct{ head, text string }{
		{"When no account opens", u.NoOpen},
		{"On what terms an account may be used meanwhile", u.Interim},
		{"When it is closed, and what comes before", u.Close},
		{"How a customer is heard", u.Redress},
	} {
		w.line("### %s", x.head)
		w.line("%s", or(x.text, notProvided))
	}
	if d.Interim.Enabled {
		w.line("Interim service%s. Source: %s.", limitWords(d.Interim.Limits), w.cite(d.Interim.Cite))
	} else {
		w.line("Interim service is switched off.")
	}
	if u.After != "" {
		w.line("An application whose needs stay unanswered expires after %s.", u.After)
	}
	if u.Answer != "" {
		w.line("A request to look again is answered within %s.", u.Answer)
	}
	w.line("### Looking again")
	if d.Reverify.Every == "" {
		w.line("%s", or(d.Reverify.Text, notProvided))
	} else {
		w.line("Every %s, with %s of grace. %s Source: %s.", d.Reverify.Every, or(d.Reverify.Grace, "no time"), d.Reverify.Text, w.cite(d.Reverify.Cite))
	}
}

func (w *writer) retention() {
	w.line("## How long records are kept")
	w.line("Where several packs apply, the longest period wins and is named. The day that triggers a period is not counted.")
	w.head("records", "kept for", "from", "where", "why", "source")
	for _, r := range w.p.doc.Retention {
		from := strings.Join(r.From, " or ")
		if len(r.From) > 1 {
			from += ", the later"
		}
		w.row(strings.ReplaceAll(r.Class, "_", " "), r.Period, strings.ReplaceAll(from, "_", " "), or(r.Place, "anywhere the provider keeps records"), r.Basis, w.cite(r.Cite))
	}
	w.line("")
}

func (w *writer) people() {
	d := &w.p.doc
	w.line("## Who may see what")
	if len(d.Reveal) == 0 {
		w.line("%s", notProvided)
	} else {
		w.line("Every look names its purpose and is recorded before anything is shown. Who is not listed sees nothing.")
		w.head("role", "values", "purposes")
		for _, r := range d.Reveal {
			w.row(plain([]string{r.Role}), plain(r.Values), plain(r.Purposes))
		}
		w.line("")
	}
	w.line("## Roles")
	for _, r := range d.Roles {
		fmt.Fprintf(&w.b, "- **%s**: %s\n", strings.ReplaceAll(r.ID, "_", " "), r.Text)
	}
	if len(d.Roles) == 0 {
		w.b.WriteString(notProvided + "\n")
	}
	w.line("")
	if len(d.FourEyes) > 0 {
		w.line("Two people are needed for: %s.", plain(d.FourEyes))
	}
	if len(d.Fail) > 0 {
		w.line("## What the gate answers where it does not know")
		w.head("action", "when its knowledge is too old", "about an unknown account", "why")
		for _, f := range d.Fail {
			w.row(plain([]string{f.Action}), f.Answer, cmp.Or(f.Unknown, f.Answer), f.Text)
		}
		w.line("")
	}
}

// style is plain and self-contained: the page asks the network for nothing.
const style = `body{font:16px/1.5 Georgia,serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1,h2,h3{font-family:Arial,sans-serif;line-height:1.2}h2{border-bottom:1px solid #999;margin-top:2em}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{border:1px solid #bbb;padding:.35em .5em;text-align:left;vertical-align:top}
th{background:#eee}code{font:13px/1.4 monospace;overflow-wrap:anywhere}@media print{body{margin:0;max-width:none}tr{break-inside:avoid}}`

// RenderHTML is Render as one page. Text of the pack is never markup.
func RenderHTML(p *Pack, records []ProgrammeRecord) (string, error) {
	var body bytes.Buffer
	md := goldmark.New(goldmark.WithExtensions(extension.Table))
	if err := md.Convert([]byte(Render(p, records)), &body); err != nil {
		return "", muster.Errorf(muster.CodeInternal, "the programme cannot be rendered: %w", err)
	}
	return fmt.Sprintf("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>%s</title>\n<style>\n%s\n</style>\n</head>\n<body>\n%s</body>\n</html>\n",
		html.EscapeString(p.doc.Title), style, body.String()), nil
}
