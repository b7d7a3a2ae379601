package main

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/review"
)

func newReview(t terminal) *cobra.Command {
	return group("review", "Cases that wait for a person", newReviewList(t), newReviewResolve(t))
}

func newReviewList(t terminal) *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "list", Short: "List cases", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&state, "state", muster.ReviewOpen, "open, proposed, resolved or moot; \"\" for all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if state != "" {
			q.Set("state", state)
		}
		return printList(cmd.Context(), r, "/v1/reviews", q, columns[api.Review]{
			"no cases",
			[]string{"REVIEW", "STATE", "OPENED", "APPLICATION", "RULES", "PROPOSER"},
			func(v *api.Review) []string {
				return []string{v.Review, v.State, when(v.Opened), v.Application, strings.Join(v.Rules, " "), v.Proposer}
			},
		})
	}
	return cmd
}

const maxReason = 64 << 10

func newReviewResolve(t terminal) *cobra.Command {
	var f review.Finding
	var reason, expires string
	var seen int64
	cmd := &cobra.Command{
		Use: "resolve REVIEW --finding clear|confirm --reason-file FILE", Short: "Resolve a case, with a reason", Args: cobra.ExactArgs(1),
		Long: "Resolve a case. The reason is read from a file, or from the standard input for -: it is sealed,\nand an argument would stand in the list of processes and the shell's history.",
	}
	r := remoteFlags(cmd, t)
	fl := cmd.Flags()
	fl.StringVar(&f.Finding, "finding", "", "clear: the ground does not stand; confirm: it does")
	fl.StringVar(&reason, "reason-file", "", "file with the reason; - for the standard input")
	fl.StringSliceVar(&f.Rules, "rule", nil, "pack/rule that it answers (default: all that opened the case)")
	fl.StringVar(&expires, "expires", "", "until when it holds, RFC 3339")
	fl.Int64Var(&seen, "version", 0, "version of the case that you saw; 0 takes it as it is now")
	need(cmd, "finding", "reason-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		if f.Finding != review.Clear && f.Finding != review.Confirm {
			return usageError{errors.New("--finding is clear or confirm")}
		}
		if expires != "" {
			if f.Expires, err = time.Parse(time.RFC3339, expires); err != nil {
				return usageError{errors.New("--expires is a time such as 2027-01-01T00:00:00Z")}
			}
		}
		if f.Reason, err = t.readText(reason, maxReason); err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var v api.Review
		if seen == 0 {
			if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/reviews/"+id, nil, &v); err != nil {
				return err
			}
			seen = v.Version
		}
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/reviews/"+id+"/resolution", f, &v, "If-Match", strconv.Quote(strconv.FormatInt(seen, 10))); err != nil {
			return err
		}
		words := v.State
		if v.State == muster.ReviewProposed {
			words = "proposed: another operator completes it with the same finding"
		}
		return r.said(v, "%s is %s", v.Review, words)
	}
	return cmd
}

// readText reads a person's words from a file, or from the standard input for -.
func (t terminal) readText(path string, most int64) (string, error) {
	if path != "-" {
		b, err := readFile(path, most)
		return strings.TrimSpace(string(b)), err
	}
	b, err := io.ReadAll(io.LimitReader(t.in, most+1))
	if err == nil && int64(len(b)) > most {
		err = muster.Errorf(muster.CodeTooLarge, "more than %d bytes came", most)
	}
	return strings.TrimSpace(string(b)), err
}
