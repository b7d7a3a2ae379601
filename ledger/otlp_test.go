package ledger

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/muster-cip/muster"
)

// otlpSample is as a collector sends it: hex ids, numbers as strings, members that
// nobody asked for.
const otlpSample = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"panel"}},{"key":"muster.surface","value":{"stringValue":"panel"}}]},
"scopeLogs":[{"scope":{},"logRecords":[
{"timeUnixNano":"1795680000123456789","traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","severityNumber":9,"body":{"stringValue":"login of somebody"},"tomorrow":[1],
 "attributes":[{"key":"muster.account","value":{"stringValue":"A-1"}},{"key":"client.address","value":{"stringValue":"192.0.2.7"}},{"key":"client.port","value":{"intValue":"51234"}},
 {"key":"muster.action","value":{"stringValue":"login"}},{"key":"user.id","value":{"stringValue":"ops"}},{"key":"muster.record.id","value":{"stringValue":"r-1"}}]},
{"observedTimeUnixNano":"1795680001000000000","eventName":"muster.lease",
 "attributes":[{"key":"muster.account","value":{"stringValue":"A-1"}},{"key":"muster.lease.resource","value":{"stringValue":"address"}},{"key":"muster.lease.prefix","value":{"stringValue":"198.51.100.7"}},
 {"key":"muster.lease.from","value":{"stringValue":"2026-11-01T00:00:00Z"}},{"key":"muster.lease.source","value":{"stringValue":"dhcp"}},{"key":"muster.lease.precision","value":{"stringValue":"1s"}}]}
]}]}]}`

func inProtobuf(t testing.TB, text string) []byte {
	var r logs.ExportLogsServiceRequest
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOTLP(t *testing.T) {
	t.Parallel()
	want := &Batch{
		Access: []muster.AccessRecord{{
			ID: "r-1", Account: "A-1", Actor: "ops", IP: netip.MustParseAddr("192.0.2.7"), Port: 51234, At: time.UnixMilli(1795680000123).UTC(), Action: "login", Surface: "panel",
		}},
		Leases: []muster.LeaseRecord{{
			Account: "A-1", Resource: "address", Prefix: netip.MustParsePrefix("198.51.100.7/32"), From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Source: "dhcp", Precision: "1s",
		}},
	}
	for name, c := range map[string]struct {
		body   []byte
		asJSON bool
	}{"JSON": {[]byte(otlpSample), true}, "protobuf": {inProtobuf(t, otlpSample), false}} {
		got, err := ParseOTLP(c.body, c.asJSON, testNow)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(want, got, equalRecords, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestOTLPFaults(t *testing.T) {
	t.Parallel()
	for old, c := range map[string]struct{ with, want string }{
		`"192.0.2.7"`:                           {`"QQ-secret"`, "/1/ip address"},
		`{"intValue":"51234"}`:                  {`{"stringValue":"QQ-secret"}`, "/1/port port"},
		`{"stringValue":"ops"}`:                 {`{"arrayValue":{"values":[{"stringValue":"QQ-secret"}]}}`, "/1/actor empty"},
		`"key":"muster.action"`:                 {`"key":"QQ-secret"`, "/1/action unknown_action"},
		`"timeUnixNano":"1795680000123456789",`: {``, "/1/at time"},
		`"eventName":"muster.lease"`:            {`"eventName":"QQ-secret"`, "/2 unknown_event"},
		`"key":"muster.lease.precision"`:        {`"key":"QQ-secret"`, "/2/precision duration"},
	} {
		text := strings.Replace(otlpSample, old, c.with, 1)
		if text == otlpSample {
			t.Fatalf("the sample has no %s", old)
		}
		_, err := ParseOTLP([]byte(text), true, testNow)
		e, ok := err.(*muster.Error)
		if !ok || len(e.Faults) != 1 || e.Faults[0].Pointer+" "+e.Faults[0].Code != c.want {
			t.Errorf("%s as %s: %v, want %s", old, c.with, err, c.want)
		} else if strings.Contains(e.Error()+e.Faults[0].Detail, "QQ-secret") {
			t.Errorf("the error repeats a value: %v", e)
		}
	}
	deep := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":` + strings.Repeat(`{"arrayValue":{"values":[`, 5000) + strings.Repeat(`]}}`, 5000) + `}]}]}]}`
	for name, body := range map[string]string{"nothing": `{}`, "not JSON": `x`, "nested too deep": deep} {
		if _, err := ParseOTLP([]byte(body), true, testNow); muster.ErrorCode(err) != muster.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOTLP(f *testing.F) {
	f.Add([]byte(otlpSample), true)
	f.Add(inProtobuf(f, otlpSample), false)
	f.Add([]byte(`{"resourceLogs":[{}]}`), true)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		b, err := ParseOTLP(body, asJSON, testNow)
		if err != nil {
			return
		}
		for i := range b.Access {
			if f := b.Access[i].Faults(testNow); f != nil {
				t.Fatalf("taken, and at fault: %v", f)
			}
		}
		for i := range b.Leases {
			if f := b.Leases[i].Faults(testNow); f != nil {
				t.Fatalf("taken, and at fault: %v", f)
			}
		}
	})
}
