package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/tlog"
)

func newApplication(t terminal) *cobra.Command {
	return group("application", "Applications on file, redacted", newApplicationList(t), newApplicationShow(t))
}

func newApplicationList(t terminal) *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "list", Short: "List applications", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&state, "state", "", "received, needs, review, approved, refused, expired or withdrawn (default: all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if state != "" {
			q.Set("state", state)
		}
		return printList(cmd.Context(), r, "/v1/applications", q, columns[api.ApplicationRow]{
			"no applications",
			[]string{"REFERENCE", "STATE", "RECEIVED", "APPLICATION", "DECISION"},
			func(a *api.ApplicationRow) []string {
				return []string{a.Reference, a.State, when(a.Received), a.Application, a.Decision}
			},
		})
	}
	return cmd
}

func newApplicationShow(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "show REFERENCE", Short: "Show an application, by reference or id, with what it waits for", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodGet, "/v1/applications/{}", nil, func(v *onboard.View) error {
			return printApplication(t, v)
		}, args[0])
	}
	return cmd
}

func printApplication(t terminal, v *onboard.View) error {
	rows := [][]string{
		{"application", v.Application},
		{"state", v.State},
		{"account", v.Account + " (" + v.AccountState + ")"},
		{"customer", v.Customer},
		{"received", when(v.Received)},
		{"claims", fmt.Sprintf("revision %d, version %d", v.Revision, v.Version)},
	}
	if v.Review != "" {
		rows = append(rows, []string{"review", v.Review})
	}
	if err := table(t.out, "", []string{"reference", v.Reference}, rows); err != nil {
		return err
	}
	rows = nil
	for _, s := range v.Subjects {
		seen := make([]string, len(s.Evidence))
		for i, e := range s.Evidence {
			seen[i] = e.Method
		}
		rows = append(rows, []string{s.ID, string(s.Role), s.Pointer, s.Foreign, strings.Join(seen, " ")})
	}
	fmt.Fprintln(t.out)
	if err := table(t.out, "no subjects", []string{"SUBJECT", "ROLE", "AT", "FOREIGN", "EVIDENCE"}, rows); err != nil {
		return err
	}
	return printDecision(t, v.Decision)
}

// printDecision explains a decision: rule, citation, reason, needs.
func printDecision(t terminal, d *muster.Decision) error {
	if d == nil {
		return nil
	}
	fmt.Fprintf(t.out, "\n%s: %s at %s\n", d.ID, d.Outcome, when(d.At))
	for _, r := range d.Reasons {
		fmt.Fprintf(t.out, "  %s/%s -> %s\n    %s (%s)\n    customer: %s\n    operator: %s\n",
			r.Pack, r.Rule, r.Outcome, printable(r.Citation), r.Status, printable(r.Customer), printable(r.Operator))
	}
	for _, r := range d.Observed {
		fmt.Fprintf(t.out, "  observed only: %s/%s -> %s\n", r.Pack, r.Rule, r.Outcome)
	}
	for _, n := range d.Needs {
		fmt.Fprintf(t.out, "  needs: %s\n", strings.TrimSpace(strings.Join([]string{string(n.Kind), printable(n.Pointer), n.Attribute, strings.Join(n.Methods, " or ")}, " ")))
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(t.out, "  warning: %s\n", printable(w))
	}
	for _, p := range d.Packs {
		fmt.Fprintf(t.out, "  under %s %s (%s)\n", p.ID, p.Edition, short(p.Digest))
	}
	return nil
}

func newDecision(t terminal) *cobra.Command {
	return group("decision", "Decisions, explained and proven", newDecisionShow(t), newDecisionBundle(t))
}

func newDecisionShow(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "show DECISION", Short: "Explain a decision: every rule that held, with citation", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printOne(cmd.Context(), r, http.MethodGet, "/v1/decisions/{}", nil, func(d *muster.Decision) error {
			return printDecision(t, d)
		}, args[0])
	}
	return cmd
}

func newDecisionBundle(t terminal) *cobra.Command {
	var audience, out, checkpointOut string
	cmd := &cobra.Command{
		Use: "bundle DECISION --out FILE", Short: "Fetch what proves a decision offline; it reveals facts, on the record", Args: cobra.ExactArgs(1),
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&audience, "audience", tlog.AudienceExaminer, "examiner, customer or court: who may see which facts")
	f.StringVar(&out, "out", "", "file for the bundle")
	f.StringVar(&checkpointOut, "checkpoint-out", "", "file for the checkpoint that it is proven against")
	need(cmd, "out")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var data []byte
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/decisions/"+id+"/bundle?audience="+url.QueryEscape(audience), nil, &data); err != nil {
			return err
		}
		b, err := tlog.ParseBundle(data)
		if err != nil {
			return err
		}
		if err := t.write(out, data); err != nil {
			return err
		}
		if checkpointOut == "" {
			return nil
		}
		if err := t.write(checkpointOut, []byte(b.Checkpoint)); err != nil {
			return err
		}
		fmt.Fprintf(t.err, "Check it, offline:\n\n  muster log verify --bundle %s --checkpoint %s\n", out, checkpointOut)
		return nil
	}
	return cmd
}
