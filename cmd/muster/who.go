package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
)

// who asks the ledger about an address, both ways: which account held it, if it is one
// of the provider's own, and which accounts were used from it.
type who struct {
	*remote
	ip       string
	port     uint16
	at       string
	within   time.Duration
	why      api.Why
	identify bool
}

const defaultWithin = 10 * time.Minute

func newWho(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "who IP", Short: "Ask who held an address, and who came from it", Args: cobra.ExactArgs(1),
		Long: "Ask the ledger about an address at an instant: which account held it (leases), and which accounts\n" +
			"were used from it (access records). It says which of both answered. Each question is a reveal: it\n" +
			"names its purpose and its case, and is on the record before anything is opened.",
		Example: "  muster who 198.51.100.7 --at 2026-11-26T14:03:07Z --purpose abuse --case T-1042\n" +
			"  muster who 198.51.100.7 --port 20480 --at 2026-11-26T14:03:07Z --within 1m --purpose court --case 3-Js-17",
	}
	w := &who{remote: remoteFlags(cmd, t)}
	f := cmd.Flags()
	f.Uint16Var(&w.port, "port", 0, "where the address is shared by ranges of ports (default: any)")
	f.StringVar(&w.at, "at", "", "RFC 3339 (default: now)")
	f.DurationVar(&w.within, "within", defaultWithin, "give or take, at most 24h")
	f.StringVar(&w.why.Purpose, "purpose", "", "support, review, examiner, court, subject_access or abuse")
	f.StringVar(&w.why.Case, "case", "", "reference of the case or request; no personal data")
	f.BoolVar(&w.identify, "identify", false, "show who the holder is, as it stood then")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.ip = args[0]
		return w.run(cmd.Context())
	}
	return cmd
}

// whoAnswer is what both questions came to.
type whoAnswer struct {
	IP     string         `json:"ip"`
	At     time.Time      `json:"at"`
	Within string         `json:"within"`
	Leases api.HeldAnswer `json:"leases"`
	Access api.Accesses   `json:"access"`
}

func (w *who) run(ctx context.Context) error {
	ip, err := netip.ParseAddr(w.ip)
	if err != nil || ip.Zone() != "" {
		return usageError{errors.New("IP is an IPv4 or IPv6 address")}
	}
	if w.why.Purpose == "" || w.why.Case == "" {
		return usageError{errors.New("a question to the ledger names its --purpose and its --case")}
	}
	if w.within < 0 || w.within > 24*time.Hour {
		return usageError{errors.New("--within is at most 24h")}
	}
	at := time.Now().UTC()
	if w.at != "" {
		if at, err = time.Parse(time.RFC3339Nano, w.at); err != nil {
			return usageError{errors.New("--at is a time such as 2026-11-26T14:03:07Z")}
		}
	}
	c, err := w.client()
	if err != nil {
		return err
	}
	a := whoAnswer{IP: ip.String(), At: at.UTC(), Within: w.within.String()}
	held := api.WhoHeld{Why: w.why, IP: api.Address(w.ip), Port: w.port, At: a.At, Within: int(w.within / time.Second), Identify: w.identify}
	if _, err := c.call(ctx, http.MethodPost, "/v1/ledger/who-held", held, &a.Leases); err != nil {
		return err
	}
	// An instant is a second: the interval has two ends.
	came := api.WhoCameFrom{Why: w.why, IP: w.ip, Interval: api.Interval{From: a.At.Add(-w.within), Until: a.At.Add(max(w.within, time.Second)), Limit: 1000}}
	if _, err := c.call(ctx, http.MethodPost, "/v1/ledger/who-came-from", came, &a.Access); err != nil {
		return err
	}
	if w.json {
		return printJSON(w.out, a)
	}
	return w.print(&a)
}

func (w *who) print(a *whoAnswer) error {
	fmt.Fprintf(w.out, "%s at %s, give or take %s\n\nHeld by (leases):\n", a.IP, a.At.Format(time.RFC3339Nano), a.Within)
	var rows [][]string
	for _, h := range a.Leases.Holdings {
		until := "now, as far as is known"
		if h.Until != nil {
			until = h.Until.Format(time.RFC3339)
		}
		how := "exactly"
		if !h.Exact {
			how = "give or take"
		}
		ports := "all"
		if h.PortTo != 0 {
			ports = strconv.Itoa(int(h.PortFrom)) + "-" + strconv.Itoa(int(h.PortTo))
		}
		rows = append(rows, []string{h.Holder.Account, h.Holder.Customer, through(h.Holder), h.Prefix, ports, h.From.Format(time.RFC3339), until, h.Source + ", off by " + h.Precision, how})
	}
	if err := table(w.out, "  nobody, as far as is known"+gapOf(a), []string{"ACCOUNT", "CUSTOMER", "THROUGH", "PREFIX", "PORTS", "FROM", "UNTIL", "SAYS", "HOLDS"}, rows); err != nil {
		return err
	}
	for _, h := range a.Leases.Holdings {
		if h.Person != nil {
			fmt.Fprintf(w.out, "\n%s, as it stood then (revision %d):\n", h.Holder.Account, h.Person.Revision)
			if err := printJSON(w.out, h.Person.Application); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(w.out, "\nCame from it (access records):\n")
	names := map[string]*onboard.Traced{}
	for _, t := range a.Access.Accounts {
		names[t.AccountID] = t
	}
	rows = nil
	for _, x := range a.Access.Items {
		t := cmp.Or(names[x.Account], &onboard.Traced{Account: x.Account})
		port := ""
		if x.Port != 0 {
			port = strconv.Itoa(int(x.Port))
		}
		rows = append(rows, []string{x.At.Format(time.RFC3339Nano), t.Account, t.Customer, through(t), x.Action, x.Surface, port, strings.Join(append([]string{string(x.Country)}, x.Network...), " ")})
	}
	if err := table(w.out, "  nobody, as far as is known", []string{"AT", "ACCOUNT", "CUSTOMER", "THROUGH", "ACTION", "SURFACE", "PORT", "COUNTRY"}, rows); err != nil {
		return err
	}
	if a.Access.After != "" {
		fmt.Fprintln(w.out, "There is more: ask for a shorter time (--within).")
	}
	return nil
}

// through is the way up, from the nearest reseller.
func through(t *onboard.Traced) string {
	var names []string
	for _, x := range t.Through {
		names = append(names, x.Account)
	}
	return cmp.Or(strings.Join(names, " < "), "-")
}

// gapOf says how close what is known comes: a gap is stated, not guessed.
func gapOf(a *whoAnswer) string {
	var parts []string
	if t := a.Leases.Before; t != nil {
		parts = append(parts, "the last lease before ended "+t.Format(time.RFC3339))
	}
	if t := a.Leases.After; t != nil {
		parts = append(parts, "the next began "+t.Format(time.RFC3339))
	}
	if parts == nil {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}
