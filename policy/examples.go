package policy

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/muster-cip/muster"
)

// Run decides one example by its own pack and says what came out otherwise than
// expected, one line each.
func (p *Pack) Run(e *Example) []string {
	f, err := e.Given.Facts()
	if err != nil {
		return []string{"given: " + err.Error()}
	}
	d := Decide([]*Pack{p}, f)
	var out []string
	differ := func(what string, want, got any) {
		out = append(out, fmt.Sprintf("%s: expected %v, came out as %v", what, want, got))
	}
	if d.Outcome != e.Expect.Outcome {
		differ("outcome", e.Expect.Outcome, d.Outcome)
	}
	if e.Expect.Needs != nil {
		if got := needLines(d.Needs); !slices.Equal(sorted(e.Expect.Needs), got) {
			differ("needs", sorted(e.Expect.Needs), got)
		}
	}
	if e.Expect.Rules != nil {
		var got []string
		for _, r := range d.Reasons {
			got = append(got, r.Rule)
		}
		if got = sorted(got); !slices.Equal(sorted(e.Expect.Rules), got) {
			differ("rules", sorted(e.Expect.Rules), got)
		}
	}
	for _, s := range f.Subjects {
		if want, ok := e.Expect.Foreign[s.Pointer]; ok && want != d.Foreign[s.ID] {
			differ("status of "+s.Pointer, want, d.Foreign[s.ID])
		}
	}
	for _, w := range d.Warnings {
		out = append(out, "warning: "+w)
	}
	return out
}

// needLines writes needs as examples do.
func needLines(needs []muster.Need) []string {
	var out []string
	for _, n := range needs {
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %s %s", n.Kind, n.Pointer, n.Attribute), " "))
	}
	return sorted(out)
}

func sorted(in []string) []string {
	out := append([]string{}, in...)
	sort.Strings(out)
	return out
}
