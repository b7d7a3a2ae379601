package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
)

func newImportCohorts(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "cohorts", Short: "Cohorts: how many members, due when, decided how far", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var list struct {
			Items []api.Cohort `json:"items"`
		}
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/cohorts", nil, &list); err != nil {
			return err
		}
		if r.json {
			return printJSON(r.out, list)
		}
		return printCohorts(r, list.Items...)
	}
	return cmd
}

func printCohorts(r *remote, cohorts ...api.Cohort) error {
	var rows [][]string
	for _, x := range cohorts {
		waits := ""
		if x.Change != nil {
			waits = fmt.Sprintf("%s, %d %%", when(x.Change.Due), x.Change.Share)
		}
		rows = append(rows, []string{
			x.Cohort, when(x.Due), strconv.Itoa(x.Share) + " %", strconv.Itoa(x.Adopted), strconv.Itoa(x.Decided), strconv.Itoa(x.Today), waits,
		})
	}
	return table(r.out, "there is no cohort", []string{"COHORT", "DUE", "A DAY", "ADOPTED", "DECIDED", "TODAY", "PROPOSED"}, rows)
}

func newImportChange(t terminal) *cobra.Command {
	var o onboard.CohortOrder
	var due string
	cmd := &cobra.Command{
		Use: "change COHORT --case CASE", Short: "Change from when on a cohort is decided, and how many a day", Args: cobra.ExactArgs(1),
		Long: "Change a cohort. A later date waits until another operator says muster import agree, and the share with it;\n" +
			"anything else is in force at once. What is in force, said again, takes back what waits.",
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&due, "due", "", "from when on its members are decided: a date, or RFC 3339")
	f.IntVar(&o.Share, "share", 0, "per cent of its members that are decided on one day")
	f.StringVar(&o.Case, "case", "", "reference of why; no personal data")
	need(cmd, "case")
	cmd.MarkFlagsOneRequired("due", "share")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if due != "" {
			if o.Due, err = timeOf(due); err != nil {
				return errDue
			}
		}
		x, err := r.cohort(cmd.Context(), http.MethodPatch, args[0], "", o)
		if err != nil || r.json {
			return err
		}
		if x.Change != nil {
			fmt.Fprintf(r.err, "It waits for another operator: muster import agree %s\n", x.Cohort)
		}
		return printCohorts(r, *x)
	}
	return cmd
}

func newImportAgree(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "agree COHORT", Short: "Agree to a later date of a cohort, as another operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		x, err := r.cohort(cmd.Context(), http.MethodPost, args[0], "/agreement", nil)
		if err != nil || r.json {
			return err
		}
		return printCohorts(r, *x)
	}
	return cmd
}

// cohort edits a cohort as it stands now, and prints it where that is for programs.
func (r *remote) cohort(ctx context.Context, method, name, verb string, body any) (*api.Cohort, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	id, err := segment(name)
	if err != nil {
		return nil, err
	}
	x := &api.Cohort{}
	if _, err := c.call(ctx, http.MethodGet, "/v1/cohorts/"+id, nil, x); err != nil {
		return nil, err
	}
	seen := x.Version
	x = &api.Cohort{}
	if _, err := c.call(ctx, method, "/v1/cohorts/"+id+verb, body, x, "If-Match", strconv.Quote(strconv.FormatInt(seen, 10))); err != nil {
		return nil, err
	}
	if r.json {
		return x, printJSON(r.out, x)
	}
	return x, nil
}

func newImportShow(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "show IMPORT", Short: "How far a file is, and which lines were refused", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		var x imported
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/imports/"+id, nil, &x); err != nil {
			return err
		}
		if r.json {
			return printJSON(r.out, x)
		}
		fmt.Fprintf(r.out, "up to line %d: %d taken, %d were there, %d refused\n", x.Place, x.Taken, x.There, x.Refused)
		var rows [][]string
		for _, l := range x.Lines {
			for _, f := range l.Faults {
				rows = append(rows, []string{strconv.Itoa(l.Line), f.Pointer, f.Detail})
			}
		}
		return table(r.out, "no line is refused", []string{"LINE", "FIELD", "WHAT IS WRONG"}, rows)
	}
	return cmd
}
