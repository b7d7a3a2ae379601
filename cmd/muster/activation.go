package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
)

// instant reads a time that a person typed: RFC 3339, a date (its start, UTC), or
// an age such as 720h or 30d.
func instant(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usageError{errors.New("a time is 2026-11-02, 2026-11-02T09:15:00Z, 720h ago as 720h, or 30 days ago as 30d")}
}

func newPolicyReplay(t terminal) *cobra.Command {
	var since string
	var rescreen bool
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Decide past applications again under a draft: who would come out differently", Args: cobra.ExactArgs(1),
		Long: "Decide recorded facts again under a draft, beside the other packs in effect. Nothing is changed;\nthe look itself is on the record. " + packWords,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().BoolVar(&rescreen, "rescreen", false, "compare names with the watch lists in effect anew: for a draft that changes weights or goes below the floor")
	cmd.Flags().StringVar(&since, "since", "", "decisions from then on: a time, a date, or an age such as 30d (default: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := instant(since, time.Now())
		if err != nil {
			return err
		}
		source, err := packSource(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var report policy.ReplayReport
		if _, err := c.slow().call(cmd.Context(), http.MethodPost, "/v1/packs/replays", programme.Draft{Source: string(source), Since: from, Rescreen: rescreen}, &report); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, report)
		}
		return printReplay(t, report)
	}
	return cmd
}

const replayShown = 20 // changed decisions that are printed; --json has them all

func printReplay(t terminal, p policy.ReplayReport) error {
	fmt.Fprintf(t.out, "%d decisions decided again: %d the same, %d different; %d out of reach, erased\n", p.Decided, p.Same, p.Different, p.OutOfReach)
	section := func(title string, head []string, rows [][]string) error {
		if len(rows) == 0 {
			return nil
		}
		fmt.Fprintf(t.out, "\n%s\n", title)
		return table(t.out, "", head, rows)
	}
	counted := func(m map[string]int) (rows [][]string) {
		for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(m[b]-m[a], strings.Compare(a, b)) }) {
			rows = append(rows, []string{k, strconv.Itoa(m[k])})
		}
		return rows
	}
	var changed, rates [][]string
	for _, c := range p.Changed[:min(len(p.Changed), replayShown)] {
		changed = append(changed, []string{c.Decision, c.About.ID, string(c.Was), string(c.Is), strings.Join(c.New, " "), strings.Join(c.Gone, " ")})
	}
	for _, country := range slices.Sorted(maps.Keys(p.ByCountry)) {
		by := p.ByCountry[country]
		was, is := 0, 0
		for _, r := range by {
			was, is = was+r.Was, is+r.Is
		}
		for _, o := range slices.Sorted(maps.Keys(by)) {
			rates = append(rates, []string{cmp.Or(country, "none seen"), o, share(by[o].Was, was), share(by[o].Is, is)})
		}
	}
	err := errors.Join(
		section("Outcomes that change", []string{"FROM -> TO", "DECISIONS"}, counted(p.Moves)),
		section("Rules that would hold and did not", []string{"RULE", "DECISIONS"}, counted(p.RulesNew)),
		section("Rules that held and would not", []string{"RULE", "DECISIONS"}, counted(p.RulesGone)),
		section("Outcomes by country of document", []string{"COUNTRY", "OUTCOME", "WAS", "WOULD BE"}, rates),
		section("Decisions that change", []string{"DECISION", "ABOUT", "WAS", "WOULD BE", "NEW RULES", "GONE RULES"}, changed),
	)
	if more := len(p.Changed) - len(changed); more > 0 && err == nil {
		_, err = fmt.Fprintf(t.out, "and %d more: --json lists them\n", more)
	}
	return err
}

// share is n of all, with its part of a hundred.
func share(n, all int) string {
	if all == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.1f%%)", n, 100*float64(n)/float64(all))
}

func newPolicyActivate(t terminal) *cobra.Command {
	var effective string
	var p programme.Proposal
	cmd := &cobra.Command{
		Use: "activate FILE", Short: "Propose that a pack decide from an instant on; another operator approves", Args: cobra.ExactArgs(1),
		Long: "Upload a pack and propose its activation. It decides once another operator has approved it with\nmuster policy approve; a solo operator approves after the deployment's delay.\n" + packWords,
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&effective, "effective", "", "from when on, RFC 3339 (default: as soon as it is approved)")
	f.BoolVar(&p.Observe, "observe", false, "decide and record, enforce nothing")
	f.BoolVar(&p.Retire, "retire", false, "the pack stops deciding")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if effective != "" {
			at, err := time.Parse(time.RFC3339, effective)
			if err != nil {
				return usageError{errors.New("--effective is a time such as 2026-12-01T00:00:00Z")}
			}
			p.Effective = at.UTC()
		}
		pack, err := readPack(args[0]) // what is wrong with it is said here, with line and column
		if err != nil {
			return err
		}
		p.Source = string(pack.Source())
		return r.activation(cmd.Context(), "/v1/packs", p)
	}
	return cmd
}

func newPolicyApprove(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "approve ACTIVATION", Short: "Approve an activation, as another operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return r.activation(cmd.Context(), "/v1/packs/activations/{}/approval", nil, args[0])
	}
	return cmd
}

// activation posts, and prints the activation that comes back.
func (r *remote) activation(ctx context.Context, path string, body any, names ...string) error {
	return printOne(ctx, r, http.MethodPost, path, body, func(a *api.Activation) (err error) {
		if a.Approver == "" {
			_, err = fmt.Fprintf(r.out, "%s proposed: %s waits for another operator\nNext, as that operator:\n\n  muster policy approve %s\n", a.Activation, a.Pack, a.Activation)
		} else {
			_, err = fmt.Fprintf(r.out, "%s approved: %s %s from %s on\n", a.Activation, a.Pack, does(*a), when(a.Effective))
		}
		return err
	}, names...)
}

// does is what a pack does under an activation.
func does(a api.Activation) string {
	switch {
	case a.Retire:
		return "stops deciding"
	case a.Observe:
		return "observes"
	}
	return "decides"
}

func newPolicyList(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List packs and their activations", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		l, err := all[api.PackRow](cmd.Context(), c, "/v1/packs", nil)
		if err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, l)
		}
		type row struct {
			at    time.Time
			cells []string
		}
		var rows []row
		now := time.Now()
		latest := inEffect(l.Items, now)
		for _, p := range l.Items {
			for _, a := range p.Activations {
				var state string
				switch {
				case a.Approver == "":
					state = "waits for approval"
				case a.Effective.After(now):
					state = "will be: " + does(a)
				case a.Activation != latest[p.ID].Activation:
					state = "superseded"
				default:
					state = does(a)
				}
				rows = append(rows, row{a.Made, []string{p.ID, p.Edition, short(p.Digest), state, when(a.Effective), a.Activation}})
			}
			if len(p.Activations) == 0 {
				rows = append(rows, row{p.Made, []string{p.ID, p.Edition, short(p.Digest), "never active", "", ""}})
			}
		}
		slices.SortStableFunc(rows, func(a, b row) int { return a.at.Compare(b.at) })
		var cells [][]string
		for _, x := range rows {
			cells = append(cells, x.cells)
		}
		return table(t.out, "no packs", []string{"PACK", "EDITION", "DIGEST", "STATE", "FROM", "ACTIVATION"}, cells)
	}
	return cmd
}

// inEffect is the activation of each pack that stands at a time.
func inEffect(packs []api.PackRow, now time.Time) map[string]api.Activation {
	latest := map[string]api.Activation{}
	for _, p := range packs {
		for _, a := range p.Activations {
			if a.Approver == "" || a.Effective.After(now) {
				continue
			}
			was, ok := latest[p.ID]
			if !ok || a.Effective.After(was.Effective) || a.Effective.Equal(was.Effective) && a.Activation > was.Activation {
				latest[p.ID] = a
			}
		}
	}
	return latest
}

func short(digest string) string { return digest[:min(len(digest), 12)] }
