package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
)

// openRetain wires what makes records go.
func (h *house) openRetain() (*retain.Service, error) {
	zone, err := time.LoadLocation(h.conf.Keeping.Zone)
	if err != nil {
		return nil, err
	}
	delay, err := time.ParseDuration(h.conf.Keeping.Delay)
	if err != nil {
		return nil, err
	}
	return retain.New(retain.Config{
		DB: store.As[retain.Tx](h.db), Programme: h.programme, Keys: h.vault, Staff: h.staff, Journal: h.journal, Zone: zone,
		Clock: h.clock, Delay: delay, Share: h.conf.Keeping.Share / 100, Accessed: ledgerKeep{h}, Owner: h.onboard,
	}), nil
}

// days is package retain as a day's duty: its cursor as a job keeps it.
type days struct {
	retain *retain.Service
	meters *meters
}

func (d days) Slice(ctx context.Context, cursor []byte, until time.Time) ([]byte, bool, error) {
	var c retain.Cursor
	if cursor != nil {
		if err := json.Unmarshal(cursor, &c); err != nil {
			return nil, false, muster.Errorf(muster.CodeInternal, "a job's payload is not what it should be: %w", err)
		}
	}
	before := c.Swept
	c, done, err := d.retain.Slice(ctx, c, until)
	d.meters.retained(before, c.Swept)
	if err != nil {
		return nil, false, err
	}
	if done {
		return nil, true, nil
	}
	next, err := json.Marshal(c)
	return next, false, err
}

func newRetention(t terminal) *cobra.Command {
	return group("retention", "How long records are kept", newRetentionPreview(t))
}

func newRetentionPreview(t terminal) *cobra.Command {
	var at string
	cmd := &cobra.Command{Use: "preview", Short: "Say what would go when, by record class; nothing is written", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&at, "at", "", "a time or a date (default: now)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		when, err := instant(at, time.Now())
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		path := "/v1/retention/preview"
		if !when.IsZero() {
			path += "?" + url.Values{"at": {when.Format(time.RFC3339)}}.Encode()
		}
		var p retain.Preview
		if _, err := c.slow().call(cmd.Context(), http.MethodGet, path, nil, &p); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, p)
		}
		fmt.Fprintf(t.out, "at %s, of %d files: something of %d would go, a hold keeps something of %d, %d are in use\n\n",
			p.At.UTC().Format(time.RFC3339), p.Files, p.Due, p.Held, p.Live)
		var rows [][]string
		for _, class := range slices.Sorted(maps.Keys(p.Classes)) {
			x := p.Classes[class]
			row := []string{class, strconv.FormatInt(x.Due, 10), strconv.FormatInt(x.Held, 10), ""}
			for i, pack := range slices.Sorted(maps.Keys(x.Packs)) {
				if i > 0 {
					row[3] += ", "
				}
				row[3] += fmt.Sprintf("%s (%d)", pack, x.Packs[pack])
			}
			rows = append(rows, row)
		}
		if err := table(t.out, "nothing would go", []string{"CLASS", "DUE", "HELD", "KEPT LONGEST BY"}, rows); err != nil {
			return err
		}
		if p.Editions > 0 {
			fmt.Fprintf(t.out, "\nand %d editions of watch lists that nothing refers to any more\n", p.Editions)
		}
		if len(p.Silent) > 0 {
			fmt.Fprintf(t.out, "\nno pack says how long these are kept, so they stay: %s\n", strings.Join(p.Silent, ", "))
		}
		if p.Waits {
			fmt.Fprintln(t.out, "\nthat is more than may go on one day: two operators have to agree (muster erasure list)")
		}
		return nil
	}
	return cmd
}

func newHold(t terminal) *cobra.Command {
	return group("hold", "Keep records whatever the clock or the customer says", newHoldPlace(t), newHoldList(t), newHoldReview(t), newHoldLift(t))
}

func newHoldPlace(t terminal) *cobra.Command {
	var h api.HoldScope
	var from, until, next string
	cmd := &cobra.Command{
		Use: "place --ground GROUND --case NUMBER --review DATE", Short: "Place a hold", Args: cobra.NoArgs,
		Long: "Place a hold. GROUND is litigation, investigation, order, request, true_hit or own. Without --customer it\nkeeps every customer's records, without --class those of every class.",
	}
	r := remoteFlags(cmd, t)
	fl := cmd.Flags()
	fl.StringVar(&h.Customer, "customer", "", "customer id: muster application show REFERENCE says it")
	fl.StringVar(&h.Class, "class", "", "record class: identity, claims, evidence, us_proof, hits, decisions, reveals, notices, gate, access, leases, ...")
	fl.StringVar(&from, "from", "", "files made from then on; with --withheld, records")
	fl.StringVar(&until, "until", "", "and before then")
	fl.StringVar(&h.Ground, "ground", "", "why")
	fl.StringVar(&h.Case, "case", "", "file number of the matter; no name")
	fl.BoolVar(&h.Undisclosed, "undisclosed", false, "nobody outside staff may be told")
	fl.BoolVar(&h.Withheld, "withheld", false, "a non-disclosure order: records of the class are left out of copies; with --undisclosed, --customer and --class")
	fl.StringVar(&next, "review", "", "by when somebody looks whether it is still wanted")
	need(cmd, "ground", "case", "review")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for at, text := range map[*time.Time]string{&h.From: from, &h.Until: until, &h.Review: next} {
			var err error
			if *at, err = instant(text, time.Now()); err != nil {
				return err
			}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var v api.Hold
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/holds", h, &v); err != nil {
			return err
		}
		return r.said(v, "%s holds", v.Hold)
	}
	return cmd
}

func newHoldList(t terminal) *cobra.Command {
	var every bool
	cmd := &cobra.Command{Use: "list", Short: "List holds", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().BoolVar(&every, "all", false, "those that were lifted too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if every {
			q.Set("all", "true")
		}
		return printList(cmd.Context(), r, "/v1/holds", q, columns[api.Hold]{
			"no holds",
			[]string{"HOLD", "GROUND", "CASE", "CUSTOMER", "CLASS", "PLACED", "REVIEW BY", "LIFTED"},
			func(h *api.Hold) []string {
				return []string{h.Hold, h.Ground, h.Case, h.Customer, h.Class, when(h.Placed), when(h.Review), when(h.Lifted)}
			},
		})
	}
	return cmd
}

// edit calls a verb on a thing as it is now: it reads its version first.
func edit[T any](cmd *cobra.Command, r *remote, list, id, verb string, version func(T) (string, int64), body any) (out T, err error) {
	if id, err = segment(id); err != nil {
		return out, err
	}
	c, err := r.client()
	if err != nil {
		return out, err
	}
	q := url.Values{}
	if list == "/v1/holds" {
		q.Set("all", "true")
	}
	l, err := all[T](cmd.Context(), c, list, q)
	if err != nil {
		return out, err
	}
	for _, x := range l.Items {
		if name, v := version(x); name == id {
			_, err := c.call(cmd.Context(), http.MethodPost, list+"/"+id+"/"+verb, body, &out, "If-Match", strconv.Quote(strconv.FormatInt(v, 10)))
			return out, err
		}
	}
	return out, &muster.Error{Code: muster.CodeNotFound, Message: "there is none of that id"}
}

func holdVersion(h api.Hold) (string, int64) { return h.Hold, h.Version }

func newHoldReview(t terminal) *cobra.Command {
	var next string
	cmd := &cobra.Command{Use: "review HOLD --review DATE", Short: "Say that a hold is still wanted", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&next, "review", "", "by when somebody looks again")
	need(cmd, "review")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := instant(next, time.Now())
		if err != nil {
			return err
		}
		h, err := edit(cmd, r, "/v1/holds", args[0], "review", holdVersion, map[string]time.Time{"review": at})
		if err != nil {
			return err
		}
		return r.said(h, "%s holds, and is looked at again by %s", h.Hold, when(h.Review))
	}
	return cmd
}

func newHoldLift(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "lift HOLD", Short: "Lift a hold: the clock counts again", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := edit(cmd, r, "/v1/holds", args[0], "lifting", holdVersion, nil)
		if err != nil {
			return err
		}
		return r.said(h, "%s is lifted", h.Hold)
	}
	return cmd
}

func newErasure(t terminal) *cobra.Command {
	return group("erasure", "Erase a file before its time, or let much go on one day: two operators",
		newErasureAsk(t), newErasureList(t), newErasureVerb(t, "agree", "agreement", "Agree to an erasure, as another operator"),
		newErasureVerb(t, "take-back", "taking-back", "Take an erasure back that was not begun"))
}

func newErasureAsk(t terminal) *cobra.Command {
	var ground string
	cmd := &cobra.Command{Use: "ask CUSTOMER --ground request|error", Short: "Propose that a customer's file be erased; CUSTOMER is an id (muster application show REFERENCE)", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&ground, "ground", "", "request: the person asked; error: it should never have been taken")
	need(cmd, "ground")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if ground != muster.GroundRequest && ground != muster.GroundError {
			return usageError{errors.New("--ground is request or error")}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var e api.Erasure
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/erasures", map[string]string{"customer": args[0], "ground": ground}, &e); err != nil {
			return err
		}
		return r.said(e, "%s is %s: another operator agrees to it (muster erasure agree %s)", e.Erasure, e.State, e.Erasure)
	}
	return cmd
}

func newErasureList(t terminal) *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "list", Short: "List erasures", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&state, "state", "", "proposed, approved, begun, done or taken_back (default: all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if state != "" {
			q.Set("state", state)
		}
		return printList(cmd.Context(), r, "/v1/erasures", q, columns[api.Erasure]{
			"no erasures",
			[]string{"ERASURE", "STATE", "GROUND", "CUSTOMER", "FILES", "PROPOSED", "BY", "AGREED BY", "NOT BEFORE", "DONE"},
			func(e *api.Erasure) []string {
				return []string{e.Erasure, e.State, e.Ground, e.Customer, strconv.Itoa(e.Files), when(e.Proposed), e.Proposer, e.Approver, when(e.Due), when(e.Done)}
			},
		})
	}
	return cmd
}

func newErasureVerb(t terminal, name, verb, short string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ERASURE", Short: short, Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := edit(cmd, r, "/v1/erasures", args[0], verb, func(e api.Erasure) (string, int64) { return e.Erasure, e.Version }, nil)
		if err != nil {
			return err
		}
		words := ""
		if e.State == muster.ErasureApproved && !e.Due.IsZero() {
			words = "; it can be taken back until " + when(e.Due)
		}
		return r.said(e, "%s is %s%s", e.Erasure, e.State, words)
	}
	return cmd
}
