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

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/measure"
	"github.com/muster-cip/muster/register"
)

func newMeasure(t terminal) *cobra.Command {
	return group("measure", "Special measures: who would be touched, enact, license, lift",
		newMeasureCheck(t), newMeasurePreview(t), newMeasureEnact(t), newMeasureApprove(t), newMeasureList(t), newMeasureShow(t),
		newMeasureAccounts(t), newMeasureRenew(t), newMeasureLift(t), newMeasureLicense(t), newMeasureNotice(t), newMeasureAppeal(t))
}

const determinationWords = "FILE is a determination: YAML or JSON, as docs/formats/measure.md says."

// readDetermination reads a file and says what is wrong with it here, with its place.
func readDetermination(path string) ([]byte, *muster.Determination, error) {
	source, err := readFile(path, muster.MaxDeterminationBytes)
	if err != nil {
		return nil, nil, err
	}
	d, err := measure.Parse(source)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return source, d, nil
}

func newMeasureCheck(t terminal) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Read a determination and say what it says; no server", Args: cobra.ExactArgs(1), Long: determinationWords,
		RunE: func(_ *cobra.Command, args []string) error {
			_, d, err := readDetermination(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(t.out, "%s: %s of a %s, %d targets, matches by %s\n", d.ID, d.Measure, d.Kind, len(d.Targets), strings.Join(d.By, ", "))
			return err
		},
	}
}

func newMeasurePreview(t terminal) *cobra.Command {
	var list int
	cmd := &cobra.Command{
		Use: "preview FILE", Short: "Who would be touched; nothing is written", Args: cobra.ExactArgs(1),
		Long: "Try a determination on every account on file: how many would be touched, by outcome, country and tag,\nwith a list. Nothing is written but that somebody looked. " + determinationWords,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().IntVar(&list, "list", 20, "how many accounts to list; the counts cover all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source, _, err := readDetermination(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var p register.MeasurePreview
		if _, err := c.slow().call(cmd.Context(), http.MethodPost, "/v1/measures/previews", register.MeasureDraft{Source: string(source), List: list}, &p); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, p)
		}
		return printPreview(t, &p)
	}
	return cmd
}

func printPreview(t terminal, p *register.MeasurePreview) error {
	fmt.Fprintf(t.out, "%s would hold from %s to %s\n", p.Measure, when(p.Starts), when(p.Ends))
	if p.GraceUntil.After(p.Starts) {
		fmt.Fprintf(t.out, "for accounts that are there already, from %s\n", when(p.GraceUntil))
	}
	for _, w := range p.Warnings {
		fmt.Fprintln(t.out, "note:", w)
	}
	fmt.Fprintf(t.out, "\n%d accounts looked at in %s: %d touched, %d doubtful (network or payment alone), %d licensed\n", p.Accounts, p.Took, p.Touched, p.Doubtful, p.Licensed)
	if p.Unread > 0 {
		fmt.Fprintf(t.out, "%d out of reach: somebody on the file is erased\n", p.Unread)
	}
	if p.NoArea > 0 {
		fmt.Fprintf(t.out, "%d in the country of a region were decided before areas were kept: nobody can say where in it they are\n", p.NoArea)
	}
	var err error
	for _, s := range []struct {
		title, none string
		counts      map[string]int
	}{
		{"OUTCOME", "", p.ByOutcome},
		{"COUNTRY", "none stated", p.ByCountry},
		{"TAG", "no tag", p.ByTag},
		{"STATE", "", p.ByState},
		{"FACT", "", p.ByFact},
		{"THROUGH", "direct", p.ByParent},
	} {
		if len(s.counts) == 0 {
			continue
		}
		var rows [][]string
		for _, k := range slices.SortedFunc(maps.Keys(s.counts), func(a, b string) int { return cmp.Or(s.counts[b]-s.counts[a], strings.Compare(a, b)) }) {
			rows = append(rows, []string{cmp.Or(k, s.none), strconv.Itoa(s.counts[k])})
		}
		fmt.Fprintln(t.out)
		err = errors.Join(err, table(t.out, "", []string{s.title, "ACCOUNTS"}, rows))
	}
	var rows [][]string
	for i := range p.Items {
		m := &p.Items[i]
		rows = append(rows, []string{m.Account, m.State, string(m.Was) + " -> " + string(m.Outcome), string(m.Country), strings.Join(m.By, " "), m.Tag, m.Parent, when(m.From)})
	}
	if len(rows) > 0 {
		fmt.Fprintln(t.out)
		err = errors.Join(err, table(t.out, "", []string{"ACCOUNT", "STATE", "OUTCOME", "COUNTRY", "BY", "TAG", "THROUGH", "FROM"}, rows))
	}
	if more := p.Touched + p.Doubtful + p.Licensed - len(rows); more > 0 && err == nil {
		_, err = fmt.Fprintf(t.out, "and %d more: --list says how many\n", more)
	}
	return err
}

// measureAct posts a proposal or an approval, and prints the act that comes back.
func (r *remote) measureAct(ctx context.Context, path string, body any) (*muster.MeasureAct, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	var a muster.MeasureAct
	if _, err := c.call(ctx, http.MethodPost, path, body, &a); err != nil {
		return nil, err
	}
	switch {
	case r.json:
		err = printJSON(r.out, a)
	case a.Approver == "":
		_, err = fmt.Fprintf(r.out, "%s proposed: to %s %s waits for another operator\nNext, as that operator:\n\n  muster measure approve %s\n", a.ID, a.Kind, a.Determination, a.ID)
	case a.Kind == muster.ActEnact:
		_, err = fmt.Fprintf(r.out, "%s approved: %s holds from %s to %s; accounts are brought up to it: muster measure show %s\n", a.ID, a.Determination, when(a.From), when(a.Until), a.Determination)
	default:
		_, err = fmt.Fprintf(r.out, "%s approved: %s %s binds from %s on\n", a.ID, a.Kind, a.Determination, when(a.Binds))
	}
	return &a, err
}

// propose posts a proposal.
func (r *remote) propose(ctx context.Context, p register.MeasureProposal) error {
	_, err := r.measureAct(ctx, "/v1/measures", p)
	return err
}

func newMeasureEnact(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "enact FILE", Short: "Propose to enact a determination; another operator approves", Args: cobra.ExactArgs(1),
		Long: "Enter a determination in the register and propose to enact it. Look at muster measure preview first.\n" + determinationWords,
	}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source, _, err := readDetermination(args[0])
		if err != nil {
			return err
		}
		return r.propose(cmd.Context(), register.MeasureProposal{Kind: muster.ActEnact, Source: string(source)})
	}
	return cmd
}

func newMeasureApprove(t terminal) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{Use: "approve ACT", Short: "Complete what was proposed, as another operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().BoolVar(&wait, "wait", false, "until the accounts that are there are brought up to it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		a, err := r.measureAct(cmd.Context(), "/v1/measures/acts/"+id+"/approval", nil)
		if err != nil || !wait {
			return err
		}
		return r.waitFor(cmd.Context(), a)
	}
	return cmd
}

// waitFor waits until accounts are brought up to an act.
func (r *remote) waitFor(ctx context.Context, a *muster.MeasureAct) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var m register.MeasureStanding
		if _, err := c.call(ctx, http.MethodGet, "/v1/measures/"+a.Determination, nil, &m); err != nil {
			return err
		}
		for _, x := range m.Acts {
			if x.ID == a.ID && !x.Done.IsZero() {
				_, err := fmt.Fprintf(r.err, "%d of %d accounts match\n", x.Matched, x.Seen)
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func newMeasureList(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List measures", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return printList(cmd.Context(), r, "/v1/measures", nil, columns[register.MeasureStanding]{
			"no measures",
			[]string{"MEASURE", "STATE", "ACTION", "FROM", "UNTIL", "ACCOUNTS", "CITATION"},
			func(m *register.MeasureStanding) []string {
				return []string{m.Measure, m.State, string(m.Action), when(m.Starts), when(m.Ends), strconv.Itoa(m.Accounts), m.Citation}
			},
		})
	}
	return cmd
}

func newMeasureShow(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "show MEASURE", Short: "A measure as it stands, and the acts on it", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodGet, "/v1/measures/{}", nil, func(m *register.MeasureStanding) error {
			return printMeasure(t, m)
		}, args[0])
	}
	return cmd
}

func printMeasure(t terminal, m *register.MeasureStanding) error {
	fmt.Fprintf(t.out, "%s: %s\n%s (%s)\n%s, %s to %s\n%d accounts come under it, %d licences\n\n", m.Measure, printable(m.Title), printable(m.Citation), m.Status, m.State, when(m.Starts), when(m.Ends), m.Accounts, m.Licences)
	var rows [][]string
	for _, a := range m.Acts {
		state := "waits for another operator"
		switch {
		case !a.Done.IsZero():
			state = fmt.Sprintf("done: %d of %d accounts match", a.Matched, a.Seen)
		case !a.Approved.IsZero():
			state = fmt.Sprintf("at work: %d accounts seen, %d match", a.Seen, a.Matched)
		}
		rows = append(rows, []string{a.ID, a.Kind, state, when(cmp.Or(a.From, a.At)), when(a.Until), a.Proposer, a.Approver})
	}
	return table(t.out, "no acts", []string{"ACT", "KIND", "STATE", "FROM", "UNTIL", "PROPOSER", "APPROVER"}, rows)
}

func newMeasureAccounts(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "accounts MEASURE", Short: "Accounts that come under a measure, and on which facts", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		return printList(cmd.Context(), r, "/v1/measures/"+id+"/accounts", nil, columns[register.MeasureAccount]{
			"no accounts",
			[]string{"ACCOUNT", "STATE", "PHASE", "BY", "FROM", "UNTIL", "TAG", "THROUGH", "DECISION"},
			func(m *register.MeasureAccount) []string {
				return []string{m.Account, m.State, m.Phase, strings.Join(m.By, " "), when(m.From), when(m.Until), m.Tag, m.Parent, m.Decision}
			},
		})
	}
	return cmd
}

func newMeasureRenew(t terminal) *cobra.Command {
	var until string
	cmd := &cobra.Command{Use: "renew MEASURE", Short: "Propose a later end; another operator approves", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&until, "until", "", "the new end (default: the longest that the packs in effect allow)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		p := register.MeasureProposal{Kind: muster.ActRenew, Measure: args[0]}
		if p.Until, err = ahead("--until", until); err != nil {
			return err
		}
		return r.propose(cmd.Context(), p)
	}
	return cmd
}

func newMeasureLift(t terminal) *cobra.Command {
	var at string
	cmd := &cobra.Command{Use: "lift MEASURE", Short: "Propose that a measure end; another operator approves", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&at, "at", "", "from when on (default: as soon as it is approved)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		p := register.MeasureProposal{Kind: muster.ActLift, Measure: args[0]}
		if p.At, err = ahead("--at", at); err != nil {
			return err
		}
		return r.propose(cmd.Context(), p)
	}
	return cmd
}

func newMeasureLicense(t terminal) *cobra.Command {
	var l muster.Licence
	var from, until string
	cmd := &cobra.Command{
		Use: "license MEASURE --reference TEXT", Short: "Propose a licence; another operator approves", Args: cobra.ExactArgs(1),
		Long: "Propose a licence: a customer, or an account, may be served though the measure matches, in all products or\nin some, until a date or as long as the measure. Without customer and account it is for everybody, in some products.",
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&l.Reference, "reference", "", "the authority's number or name of the licence")
	f.StringVar(&l.Customer, "customer", "", "id of the customer")
	f.StringVar(&l.Account, "account", "", "your reference of the account")
	f.StringSliceVar(&l.Products, "product", nil, "only these products (default: all)")
	f.StringVar(&from, "from", "", "from when on (default: at once)")
	f.StringVar(&until, "until", "", "until when (default: as long as the measure)")
	need(cmd, "reference")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if l.From, err = ahead("--from", from); err != nil {
			return err
		}
		if l.Until, err = ahead("--until", until); err != nil {
			return err
		}
		return r.propose(cmd.Context(), register.MeasureProposal{Kind: muster.ActLicense, Measure: args[0], Licence: &l})
	}
	return cmd
}

func newMeasureNotice(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "notice ACCOUNT", Short: "What a customer is told of measures on an account", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodGet, "/v1/accounts/{}/measures", nil, func(l *list[register.MeasureNotice]) error {
			return printNotices(t, l.Items)
		}, args[0])
	}
	return cmd
}

func printNotices(t terminal, all []register.MeasureNotice) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(t.out, "no measures")
		return err
	}
	for _, n := range all {
		fmt.Fprintf(t.out, "%s, %s, %s to %s\n%s (%s)\n", n.Measure, n.Phase, when(n.From), when(n.Until), printable(n.Citation), n.Status)
		for line := range strings.Lines(n.Words) {
			fmt.Fprintln(t.out, printable(strings.TrimSuffix(line, "\n")))
		}
		fmt.Fprintln(t.out)
	}
	return nil
}

func newMeasureAppeal(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "appeal ACCOUNT MEASURE", Short: "A customer asks a person to look again: opens a case", Args: cobra.ExactArgs(2),
		Long: "Open a case on a measure and an account, as the customer asks. What holds goes on holding meanwhile.\nmuster review resolve with --finding clear ends the measure for this customer.",
	}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodPost, "/v1/accounts/{}/appeals", map[string]string{"measure": args[1]}, func(v *api.Review) error {
			_, err := fmt.Fprintf(t.out, "%s waits for a person\n", v.Review)
			return err
		}, args[0])
	}
	return cmd
}

// ahead reads an instant that a person typed: RFC 3339, or a date, its start in UTC.
func ahead(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, usageError{errors.New(flag + " is a date or a time, such as 2027-03-01 or 2027-03-01T12:00:00Z")}
}
