package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
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
