package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/onboard"
)

// ledgerAnswer is what the ledger says of an address, as far as the demo shows it.
type ledgerAnswer struct {
	Question string   `json:"question"` // who-held, who-came-from
	IP       string   `json:"ip"`
	Accounts []string `json:"accounts"` // the provider's references
}

// The demo's two addresses: one that the provider hands out, and one of a carrier, whose
// customers share it.
var (
	demoOurs    = netip.MustParseAddr("198.51.100.7")
	demoTheirs  = netip.MustParseAddr("102.89.23.10")
	demoPurpose = api.Why{Purpose: "abuse", Case: "DEMO-1"}
)

// askLedger sends leases and access records of two accounts that the demo met, and asks
// about two addresses: who held the one, who came from the other.
func (d *demo) askLedger(ctx context.Context, c *client, states map[string]string, s *summary) error {
	now := time.Now().UTC().Truncate(time.Second)
	holder, before := states[muster.AccActive], cmp.Or(states[muster.AccLimited], states[muster.AccPending])
	if holder == "" || before == "" {
		return nil // the population had none
	}
	lease := muster.LeaseRecord{Resource: "address", Prefix: netip.PrefixFrom(demoOurs, demoOurs.BitLen()), Source: "dhcp", Precision: "1s"}
	first, second := lease, lease
	first.Account, first.From, first.Until = before, now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	second.Account, second.From = holder, first.Until
	use := func(account, action string, ago time.Duration) muster.AccessRecord {
		return muster.AccessRecord{Account: account, IP: demoTheirs, At: now.Add(-ago), Action: action, Surface: "console"}
	}
	if err := postRecords(ctx, c, "/v1/leases", first, second); err != nil {
		return err
	}
	if err := postRecords(ctx, c, "/v1/access-records", use(holder, "login", 2*time.Hour), use(holder, "order", 110*time.Minute), use(before, "login", time.Hour)); err != nil {
		return err
	}
	if err := d.askWhoHeld(ctx, c, now.Add(-2*time.Hour), s); err != nil {
		return err
	}
	return d.askWhoCame(ctx, c, now, s)
}

// postRecords sends one batch, a record a line.
func postRecords[T any](ctx context.Context, c *client, path string, records ...T) error {
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	for _, r := range records {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	var taken ledger.Taken
	if _, err := c.call(ctx, http.MethodPost, path, body.Bytes(), &taken, "Content-Type", "application/x-ndjson"); err != nil {
		return err
	}
	if taken.Accepted != len(records) || taken.Waiting != 0 {
		return muster.Errorf(muster.CodeInternal, "of %d records %d were accepted, and %d wait", len(records), taken.Accepted, taken.Waiting)
	}
	return nil
}

func (d *demo) askWhoHeld(ctx context.Context, c *client, at time.Time, s *summary) error {
	var held api.HeldAnswer
	if _, err := c.call(ctx, http.MethodPost, "/v1/ledger/who-held", api.WhoHeld{Why: demoPurpose, IP: api.Address(demoOurs.String()), At: at}, &held); err != nil {
		return err
	}
	a := ledgerAnswer{Question: "who-held", IP: demoOurs.String(), Accounts: []string{}}
	for _, h := range held.Holdings {
		a.Accounts = append(a.Accounts, h.Holder.Account)
	}
	s.Ledger = append(s.Ledger, a)
	if d.json {
		return nil
	}
	fmt.Fprintf(d.out, "\nThe ledger, asked who held %s at %s (POST /v1/ledger/who-held):\n", demoOurs, at.Format(time.RFC3339))
	for _, h := range held.Holdings {
		until := "now"
		if h.Until != nil {
			until = h.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(d.out, "  %-12s %s, through %s, from %s until %s (%s, off by %s)\n",
			h.Holder.Account, h.Holder.Customer, through(h.Holder), h.From.Format(time.RFC3339), until, h.Source, h.Precision)
	}
	return nil
}

func (d *demo) askWhoCame(ctx context.Context, c *client, now time.Time, s *summary) error {
	from := now.Add(-3 * time.Hour)
	var came api.Accesses
	q := api.WhoCameFrom{Why: demoPurpose, IP: demoTheirs.String(), Interval: api.Interval{From: from, Until: now}}
	if _, err := c.call(ctx, http.MethodPost, "/v1/ledger/who-came-from", q, &came); err != nil {
		return err
	}
	a := ledgerAnswer{Question: "who-came-from", IP: demoTheirs.String(), Accounts: []string{}}
	names := map[string]*onboard.Traced{}
	for _, t := range came.Accounts {
		names[t.AccountID] = t
		a.Accounts = append(a.Accounts, t.Account)
	}
	s.Ledger = append(s.Ledger, a)
	if d.json {
		return nil
	}
	fmt.Fprintf(d.out, "\nThe ledger, asked who came from %s since %s (POST /v1/ledger/who-came-from):\n", demoTheirs, from.Format(time.RFC3339))
	for _, x := range came.Items {
		t := names[x.Account]
		if t == nil {
			return muster.Errorf(muster.CodeInternal, "an access is of an account that the answer does not name")
		}
		fmt.Fprintf(d.out, "  %-12s %s, %s at %s by %s, from %s\n", t.Account, t.Customer, x.Action, x.At.Format(time.RFC3339), x.Surface, cmp.Or(string(x.Country), "an unknown country"))
	}
	return nil
}
