package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/review"
)

func newHit(t terminal) *cobra.Command {
	return group("hit", "Likenesses with entries of watch lists", newHitList(t), newHitShow(t), newHitResolve(t), newHitReport(t))
}

func newHitList(t terminal) *cobra.Command {
	var state, customer string
	cmd := &cobra.Command{Use: "list", Short: "List hits", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&state, "state", string(muster.HitOpen), "open, true, false or moot; \"\" for all")
	cmd.Flags().StringVar(&customer, "customer", "", "of one customer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		for name, v := range map[string]string{"state": state, "customer": customer} {
			if v != "" {
				q.Set(name, v)
			}
		}
		return printList(cmd.Context(), r, "/v1/hits", q, columns[api.Hit]{
			"no hits",
			[]string{"HIT", "STATE", "SCORE", "LIST", "OF", "OPENED", "APPLICATION", "AGAIN", "REPORT BY"},
			func(h *api.Hit) []string {
				return []string{h.Hit, string(h.State), fmt.Sprintf("%.3f", h.Score), h.List, h.Of, when(h.Opened), h.Application, h.Again, when(h.Due)}
			},
		})
	}
	return cmd
}

func newHitShow(t terminal) *cobra.Command {
	var ask onboard.RevealRequest
	cmd := &cobra.Command{
		Use: "show HIT --case REFERENCE", Short: "Show the entry of a hit and how it was compared, on the record", Args: cobra.ExactArgs(1),
		Long: "Show the entry of a hit and how it was compared, word by word. Names are shown: the log says that you looked,\nfor which case, before they are.",
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&ask.Case, "case", "", "reference of the case that you work on; no personal data")
	cmd.Flags().StringVar(&ask.Purpose, "purpose", "review", "why: one that a pack in effect names")
	need(cmd, "case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodPost, "/v1/hits/{}/reveal", ask, func(x *onboard.HitExplained) error {
			return printHit(t, x)
		}, args[0])
	}
	return cmd
}

func printHit(t terminal, x *onboard.HitExplained) error {
	if x.Entry == nil || x.Explanation == nil {
		_, err := fmt.Fprintf(t.out, "%s: entry %s is not in the lists in effect\n", x.Hit, x.EntryID)
		return err
	}
	e := x.Explanation
	fmt.Fprintf(t.out, "entry %s of %s, score %.3f (name alone %.3f)\n  on file: %s\n  listed:  %s (%s)\n",
		x.EntryID, x.Entry.List, e.Candidate.Score, e.Candidate.Name, oneLine(e.Query), oneLine(e.Name), e.Quality)
	var rows [][]string
	for _, p := range e.Pairs {
		rows = append(rows, []string{p.Query, p.Name, p.How, fmt.Sprintf("%.2f", p.Alike), fmt.Sprintf("%.2f", p.Share), fmt.Sprintf("%+.2f", p.Effect)})
	}
	for _, a := range e.QueryOnly {
		rows = append(rows, []string{a.Word, "", "on file only", "", fmt.Sprintf("%.2f", a.Share), fmt.Sprintf("%+.2f", a.Effect)})
	}
	for _, a := range e.NameOnly {
		rows = append(rows, []string{"", a.Word, "listed only", "", fmt.Sprintf("%.2f", a.Share), fmt.Sprintf("%+.2f", a.Effect)})
	}
	for _, g := range e.Candidate.Grounds {
		agrees := "disagrees"
		if g.Agrees {
			agrees = "agrees"
		}
		rows = append(rows, []string{g.Field, "", agrees, "", "", fmt.Sprintf("%+.3f", g.Effect)})
	}
	if err := table(t.out, "nothing was compared", []string{"ON FILE", "LISTED", "HOW", "ALIKE", "SHARE", "EFFECT"}, rows); err != nil {
		return err
	}
	if x.Reason == "" {
		return nil
	}
	_, err := fmt.Fprintln(t.out, "the finding that stands says:", oneLine(x.Reason))
	return err
}

func newHitResolve(t terminal) *cobra.Command {
	var f review.HitFinding
	var finding, reason string
	var seen int64
	cmd := &cobra.Command{
		Use: "resolve HIT --finding true|false --reason-file FILE", Short: "Find a hit true or false, with a reason", Args: cobra.ExactArgs(1),
		Long: "Find a hit true (it is them) or false (it is somebody else). The reason is read from a file, or from the\nstandard input for -: it is sealed, and an argument would stand in the list of processes and the shell's history.",
	}
	r := remoteFlags(cmd, t)
	fl := cmd.Flags()
	fl.StringVar(&finding, "finding", "", "true: it is them; false: it is somebody else")
	fl.StringVar(&reason, "reason-file", "", "file with the reason; - for the standard input")
	fl.Int64Var(&seen, "version", 0, "version of the hit that you saw; 0 takes it as it is now")
	need(cmd, "finding", "reason-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		if f.Finding = muster.HitState(finding); f.Finding != muster.HitTrue && f.Finding != muster.HitFalse {
			return usageError{errors.New("--finding is true or false")}
		}
		if f.Reason, err = t.readText(reason, maxReason); err != nil {
			return err
		}
		var h api.Hit
		if err := r.onHit(cmd, id, seen, "/resolution", f, &h); err != nil {
			return err
		}
		words := string(h.State)
		if h.Proposal != "" {
			words = "still " + words + ": another operator completes it with the same finding"
		}
		if !h.Due.IsZero() {
			words += "; it is to be reported by " + when(h.Due)
		}
		return r.said(h, "%s is %s", h.Hit, words)
	}
	return cmd
}

func newHitReport(t terminal) *cobra.Command {
	var x review.HitReport
	var seen int64
	cmd := &cobra.Command{Use: "report HIT --case REFERENCE", Short: "Record that a true hit was reported, which stops its clock", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&x.Case, "case", "", "reference of the report; no personal data")
	cmd.Flags().Int64Var(&seen, "version", 0, "version of the hit that you saw; 0 takes it as it is now")
	need(cmd, "case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		var h api.Hit
		if err := r.onHit(cmd, id, seen, "/report", x, &h); err != nil {
			return err
		}
		return r.said(h, "%s is reported", h.Hit)
	}
	return cmd
}

// onHit posts body to a part of a hit, at the version that was seen.
func (r *remote) onHit(cmd *cobra.Command, id string, seen int64, part string, body any, h *api.Hit) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	if seen == 0 {
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/hits/"+id, nil, h); err != nil {
			return err
		}
		seen = h.Version
	}
	*h = api.Hit{}
	_, err = c.call(cmd.Context(), http.MethodPost, "/v1/hits/"+id+part, body, h, "If-Match", strconv.Quote(strconv.FormatInt(seen, 10)))
	return err
}
