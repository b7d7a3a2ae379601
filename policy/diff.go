package policy

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/muster-cip/muster"
)

// Diff says in plain words what changes from old to new, one line each, in the
// order of the written programme. Equal packs: "Nothing changes."
func Diff(old, new *Pack) string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	a, b := &old.doc, &new.doc
	if a.ID != b.ID {
		say("These are two packs: %s and %s.", a.ID, b.ID)
	}
	if a.Edition != b.Edition {
		say("Edition %s becomes %s.", a.Edition, b.Edition)
	}
	compare(say, "", one(items(a)), one(items(b)))
	for i, section := range sections(a) {
		compare(say, section.name, section.items, sections(b)[i].items)
	}
	if len(out) == 0 {
		return "Nothing changes.\n"
	}
	return strings.Join(out, "\n") + "\n"
}

type item struct {
	id    string
	lines map[string]string // label -> value
}

type section struct {
	name  string
	items []item
}

func one(lines map[string]string) []item { return []item{{lines: lines}} }

// items are the settings that stand alone.
func items(d *Document) map[string]string {
	reach := "above"
	if d.Ownership.Inclusive {
		reach = "at or above"
	}
	return map[string]string{
		"Title":                        d.Title,
		"Applies when":                 d.AppliesWhen.Source,
		"Beneficial owner":             fmt.Sprintf("%s %s per cent", reach, d.Ownership.Threshold),
		"A person in control":          yesNo(d.Ownership.ControlRequired),
		"A US person is shown by":      d.Status.US.Source,
		"A foreign person is shown by": d.Status.Foreign.Source,
		"Assurance demanded":           d.Assurance,
		"Interim service":              yesNo(d.Interim.Enabled) + limitWords(d.Interim.Limits),
		"No account opens":             d.Unverified.NoOpen,
		"Interim terms":                d.Unverified.Interim,
		"Closing":                      d.Unverified.Close,
		"Redress":                      d.Unverified.Redress,
		"Applications expire after":    d.Unverified.After,
		"Redress is answered within":   d.Unverified.Answer,
		"Verified again every":         d.Reverify.Every,
		"Grace of re-verification":     d.Reverify.Grace,
		"Two people are needed for":    strings.Join(sorted(d.FourEyes), ", "),
		"Privacy notice":               d.Notice.Text + strings.Join(d.Notice.Versions, ", "),
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func sections(d *Document) []section {
	var out []section
	put := func(name string, n int, at func(int) item) {
		s := section{name: name}
		for i := range n {
			s.items = append(s.items, at(i))
		}
		out = append(out, s)
	}
	put("Source", len(d.Sources), func(i int) item {
		s := d.Sources[i]
		return item{s.ID, map[string]string{"title": s.Title, "citation": s.Citation, "legal status": s.Status, "as of": s.AsOf, "note": s.Note}}
	})
	put("Field", len(d.Fields), func(i int) item {
		f := d.Fields[i]
		asked := "required"
		if f.Optional {
			asked = "kept where given"
		}
		return item{f.ID, map[string]string{
			"asked of": plain(f.For) + " " + plain(f.Kinds), "when": f.When.Source, "asked for": asked, "parts": yesNo(f.Parts),
			"citation": cited(f.Cite), "lawful basis": f.LawfulBasis, "read by": plain(f.ReadBy), "why": f.Why, "words for the customer": f.Words.Customer,
		}}
	})
	put("Method", len(d.Methods), func(i int) item {
		m := d.Methods[i]
		var gives []string
		for _, a := range muster.Attributes {
			if m.Gives[a] != "" {
				gives = append(gives, a+" "+string(m.Gives[a]))
			}
		}
		return item{m.ID, map[string]string{"gives": strings.Join(gives, ", "), "kind": string(m.Kind), "asks at least": string(m.AtLeast), "holds for": m.ValidFor, "text": m.Text}}
	})
	put("Requirement", len(d.Verify), func(i int) item {
		q := d.Verify[i]
		return item{q.ID, map[string]string{
			"asked of": plain(q.For) + " " + plain(q.Kinds), "when": q.When.Source, "attribute": strings.Join(append([]string{q.Attribute}, q.Or...), " or "),
			"methods": plain(q.Methods), "assurance": string(q.Assurance), "outcome": string(q.Outcome), "clearable": yesNo(q.Clearable), "citation": cited(q.Cite),
			"words for the customer": q.Words.Customer, "words for the operator": q.Words.Operator,
		}}
	})
	put("Situation", len(d.NonDocumentary), func(i int) item {
		s := d.NonDocumentary[i]
		return item{s.ID, map[string]string{"text": s.Text, "methods": plain(s.Methods)}}
	})
	put("Count", len(d.Counts), func(i int) item {
		c := d.Counts[i]
		return item{c.Name, map[string]string{"counts": c.Count + " of one " + c.Of, "window": c.Window, "roles": fmt.Sprint(c.Roles)}}
	})
	for _, r := range []struct {
		name string
		list []Rule
	}{{"Rule", d.Rules}, {"Opening rule", d.Opening}} {
		put(r.name, len(r.list), func(i int) item { return r.list[i].item() })
	}
	put("Obligation", len(d.Obligations), func(i int) item {
		o := d.Obligations[i]
		return item{o.ID, map[string]string{"when": o.When.Source, "text": o.Text, "citation": cited(o.Cite)}}
	})
	put("Retention of", len(d.Retention), func(i int) item {
		r := d.Retention[i]
		return item{r.Class, map[string]string{"period": r.Period, "from": plain(r.From), "place": r.Place, "basis": r.Basis, "citation": cited(r.Cite)}}
	})
	put("Who may see: ", len(d.Reveal), func(i int) item {
		r := d.Reveal[i]
		return item{r.Role, map[string]string{"values": plain(r.Values), "purposes": plain(r.Purposes)}}
	})
	put("Role", len(d.Roles), func(i int) item { return item{d.Roles[i].ID, map[string]string{"text": d.Roles[i].Text}} })
	put("Gate's answer where it does not know:", len(d.Fail), func(i int) item {
		return item{d.Fail[i].Action, map[string]string{"answer": d.Fail[i].Answer, "unknown account": d.Fail[i].Unknown}}
	})
	put("Section", len(d.Programme), func(i int) item {
		s := d.Programme[i]
		return item{s.Heading, map[string]string{"text": s.Text, "records": s.Records, "citation": cited(s.Cite)}}
	})
	return out
}

func (r *Rule) item() item {
	var needs []string
	for _, n := range r.Needs {
		needs = append(needs, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s: %s", n.Kind, n.At, n.Pointer, n.Attribute, n.Words)), " "))
	}
	clearable := "by default"
	if r.Clearable != nil {
		clearable = yesNo(*r.Clearable)
	}
	return item{r.ID, map[string]string{
		"title": r.Title, "scope": r.Scope, "condition": r.When.Source, "outcome": string(r.Outcome), "code": r.Code, "hidden": yesNo(r.Hidden),
		"mode": or(r.Mode, "enforce"), "limits": strings.TrimPrefix(limitWords(r.Limits), ": "), "obligations": plain(r.Obligations), "asks for": strings.Join(needs, "; "),
		"citation": cited(r.Cite), "clearable": clearable, "words for the customer": r.Words.Customer, "words for the operator": r.Words.Operator,
	}}
}

func cited(c Cite) string { return strings.TrimSpace(c.Source + " " + c.At + " " + c.Reg) }

func compare(say func(string, ...any), name string, old, new []item) {
	find := func(list []item, id string) *item {
		for i := range list {
			if list[i].id == id {
				return &list[i]
			}
		}
		return nil
	}
	for _, o := range old {
		if find(new, o.id) == nil {
			say("%s %s goes.", name, o.id)
		}
	}
	for _, n := range new {
		o := find(old, n.id)
		if o == nil {
			say("%s %s is new%s.", name, n.id, gist(n))
			continue
		}
		if reflect.DeepEqual(o.lines, n.lines) {
			continue
		}
		labels := make([]string, 0, len(n.lines))
		for l := range n.lines {
			labels = append(labels, l)
		}
		sort.Strings(labels)
		for _, l := range labels {
			if was, is := squash(o.lines[l]), squash(n.lines[l]); was != is {
				subject := strings.TrimSpace(name + " " + n.id)
				if subject != "" {
					subject += ": "
				}
				say("%s%s was %s and becomes %s.", subject, l, quote(was), quote(is))
			}
		}
	}
}

// gist is what matters of something new.
func gist(n item) string {
	for _, l := range []string{"outcome", "period", "asked of", "legal status", "attribute", "counts", "gives"} {
		if v := squash(n.lines[l]); v != "" {
			s := ": " + l + " " + v
			if c := squash(n.lines["condition"]); c != "" {
				s += " when " + c
			}
			return s
		}
	}
	return ""
}

func squash(s string) string { return strings.Join(strings.Fields(s), " ") }

func quote(s string) string {
	if s == "" {
		return "nothing"
	}
	return "“" + s + "”"
}
