package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/onboard"
)

func zipped(t *testing.T, s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// asks stands for the ledger's questions.
type asks struct{ h *house }

func (q asks) page() ledger.AccessPage {
	return ledger.AccessPage{Next: "1.1", Records: []muster.AccessRecord{
		{Account: "acc_1", IP: netip.MustParseAddr("192.0.2.1"), At: now, Action: "login", Country: "DE", Network: muster.NetworkTor},
		{Account: "acc_1", IP: netip.MustParseAddr("192.0.2.1"), At: now, Action: "api"},
	}}
}

func (q asks) CameFrom(_ context.Context, a ledger.Ask, c ledger.CameFrom) (ledger.AccessPage, error) {
	return q.page(), q.h.did(a, c)
}

func (q asks) Used(_ context.Context, a ledger.Ask, u ledger.Used) (ledger.AccessPage, error) {
	return q.page(), q.h.did(a, u)
}

func (q asks) Places(_ context.Context, a ledger.Ask, u ledger.Used) ([]ledger.Place, error) {
	return []ledger.Place{{Network: netip.MustParsePrefix("192.0.2.1/32"), Country: "DE", Records: 2, First: now, Last: now}}, q.h.did(a, u)
}

func (q asks) Held(_ context.Context, a ledger.Ask, x ledger.Held) (ledger.HeldAnswer, error) {
	return ledger.HeldAnswer{Before: now, Holdings: []ledger.Holding{{Exact: true, Lease: muster.LeaseRecord{
		Account: "acc_1", Resource: "address", Prefix: netip.MustParsePrefix("198.51.100.1/32"), From: now, Source: "dhcp", Precision: "1s",
	}}}}, q.h.did(a, x)
}

func (q asks) Shares(_ context.Context, a ledger.Ask, c ledger.Shares) (ledger.SharesAnswer, error) {
	return ledger.SharesAnswer{Common: 3, Shared: []ledger.Shared{{Account: "acc_2", Addresses: []ledger.SharedAddress{
		{Network: netip.MustParsePrefix("192.0.2.1/32"), Accounts: 2, SameDays: 1, Last: now},
	}}}}, q.h.did(a, c)
}

func (q asks) LastAccess(_ context.Context, a ledger.Ask, account string) (time.Time, error) {
	return now, q.h.did(a, account)
}

func (h *house) MayReveal(purpose string) error {
	if purpose == "support" {
		return muster.Errorf(muster.CodeForbidden, "no pack names it")
	}
	return nil
}

func (h *house) Trace(_ context.Context, account string, _ time.Time) (*onboard.Traced, error) {
	return &onboard.Traced{Account: "A-1", AccountID: account, Customer: "cus_1", Application: "app_1", Through: []onboard.Through{{Account: "R-1", Customer: "cus_2", Relation: "reseller"}}}, nil
}

func (h *house) RevealAt(_ context.Context, _ muster.Principal, _ string, _ time.Time, _ onboard.RevealRequest) (*onboard.Revealed, error) {
	return &onboard.Revealed{Revision: 2}, nil
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for id, want := range map[string]string{
		"whoHeld":         `{"holdings":[{"holder":{"account":"A-1","account_id":"acc_1","state":"","customer":"cus_1","kind":"","application":"app_1","through":[{"account":"R-1","customer":"cus_2","relation":"reseller"}]},"person":{"application":null,"revision":2},"resource":"address","prefix":"198.51.100.1/32","from":"2026-07-01T12:00:00Z","source":"dhcp","precision":"1s","exact":true}],"known_before":"2026-07-01T12:00:00Z"}`,
		"sharedAddresses": `"addresses":[{"network":"192.0.2.1/32","accounts":2,"same_days":1,"last":"2026-07-01T12:00:00Z"}]}],"common":3,"cut":false}`,
		"placesUsed":      `{"items":[{"network":"192.0.2.1/32","country":"DE","records":2,"first":"2026-07-01T12:00:00Z","last":"2026-07-01T12:00:00Z"}]}`,
		"lastAccess":      `{"at":"2026-07-01T12:00:00Z"}`,
		"whoCameFrom":     `"network":["tor"]}`,
		"whereUsed":       `"after":"1.1"`,
	} {
		path := ""
		for _, rt := range b.api.routes() {
			if rt.id == id {
				path = rt.path
			}
		}
		got := b.do("POST", path, examples[id])
		if got.StatusCode != http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", id, got.StatusCode, got.body)
		}
		if ask := b.saw[0].(ledger.Ask); ask != (ledger.Ask{Operator: "opr_1", Purpose: "abuse", Case: "c-1"}) {
			t.Errorf("%s: the ledger was asked by %+v", id, ask)
		}
		if got := b.do("POST", path, strings.Replace(examples[id], "abuse", "support", 1)); got.StatusCode != http.StatusForbidden {
			t.Errorf("%s for a purpose that no pack names: %d", id, got.StatusCode)
		}
		for _, old := range []string{"192.0.2.1", "198.51.100.1"} {
			if body := strings.Replace(examples[id], old, "QQ-secret", 1); body != examples[id] {
				if got := b.do("POST", path, body); got.StatusCode != http.StatusUnprocessableEntity || strings.Contains(got.body, "QQ") {
					t.Errorf("%s about no address: %d %s", id, got.StatusCode, got.body)
				}
			}
		}
	}
}

func TestIntake(t *testing.T) {
	t.Parallel()
	netbox, err := ledger.EmbeddedMapper("netbox")
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(c *Config) { c.Mappers = map[string]*ledger.Mapper{"netbox": netbox} })
	record := examples["addAccessRecords"]
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"plain":   {record + "\n" + record, []string{"Content-Type", "application/x-ndjson", "Idempotency-Key", "k-1"}},
		"in gzip": {zipped(t, record+"\n"+record), []string{"Content-Type", "application/x-ndjson", "Idempotency-Key", "k-1", "Content-Encoding", "gzip"}},
	} {
		got := b.do("POST", "/v1/access-records", c.body, c.headers...)
		if got.StatusCode != http.StatusOK || got.body != `{"accepted":2,"duplicates":0,"waiting":0}` {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		a := b.saw[0].(ledger.Arrival)
		if a.Key != "k-1" || a.From != "opr_1" || a.Body != record+"\n"+record || !a.Access[1].At.Equal(time.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: the ledger got %+v", name, a)
		}
	}
	for name, c := range map[string]struct {
		body   string
		header string
		value  string
		code   muster.Code
	}{
		"a line at fault":        {record + "\n{}", "", "", muster.CodeInvalid},
		"another encoding":       {record, "Content-Encoding", "br", muster.CodeMalformed},
		"no gzip":                {record, "Content-Encoding", "gzip", muster.CodeMalformed},
		"gzip cut off":           {zipped(t, record)[:30], "Content-Encoding", "gzip", muster.CodeMalformed},
		"gzip that swells":       {zipped(t, strings.Repeat(" ", muster.MaxBatchBytes+1)), "Content-Encoding", "gzip", muster.CodeTooLarge},
		"a key with a telephone": {record, "Idempotency-Key", "+49 123", muster.CodeInvalid},
		"another type":           {record, "Content-Type", "text/csv", muster.CodeMalformed},
	} {
		headers := []string{"Content-Type", "application/x-ndjson"}
		if c.header != "" {
			headers = append(headers, c.header, c.value)
		}
		if got := b.do("POST", "/v1/access-records", c.body, headers...).problem(t); got.Code != c.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := b.do("POST", "/v1/logs", examples["addLogs"]); got.StatusCode != http.StatusOK || got.body != "{}" {
		t.Errorf("OTLP: %d %s", got.StatusCode, got.body)
	}
	hook := `{"event":"created","request_id":"r","data":{"id":1},"snapshots":{"postchange":{"last_updated":"2026-07-01T11:00:00Z","address":"198.51.100.1/24","tenant":7}}}`
	for path, want := range map[string]string{
		"/v1/leases?mapper=netbox":         `{"accepted":1,"duplicates":0,"waiting":0}`,
		"/v1/access-records?mapper=netbox": "unknown_mapper",
		"/v1/leases?mapper=nothing":        "unknown_mapper",
		"/v1/leases?maper=netbox":          "unknown_parameter",
	} {
		if got := b.do("POST", path, hook); !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	if got := b.do("POST", "/v1/leases?mapper=netbox", `{"event":"created","data":{"id":1},"snapshots":{}}`); got.body != `{"accepted":0,"duplicates":0,"waiting":0}` {
		t.Errorf("a webhook about something else: %d %s", got.StatusCode, got.body)
	}
	b.err = &muster.Error{Code: muster.CodeNoSpace, Message: "full", RetryAfter: 30 * time.Second}
	got := b.do("POST", "/v1/access-records", record)
	if got.StatusCode != http.StatusInsufficientStorage || got.Header.Get("Retry-After") != "30" {
		t.Errorf("a full disk: %d, Retry-After %q", got.StatusCode, got.Header.Get("Retry-After"))
	}
}
