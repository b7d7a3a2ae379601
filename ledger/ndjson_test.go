package ledger

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

var testNow = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

var equalRecords = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

const usual = `{"id":"r-1","account":"A-1","actor":"ops","ip":"192.0.2.7","port":51234,"at":"2026-11-26T07:59:59.123Z","action":"login","surface":"panel","device":"00112233445566ff"}`

func TestAccessOfTheUsualShape(t *testing.T) {
	t.Parallel()
	var fast muster.AccessRecord
	if !scan(usual, &fast, accessFields) {
		t.Fatal("the usual shape is not read the quick way")
	}
	want := muster.AccessRecord{
		ID: "r-1", Account: "A-1", Actor: "ops", IP: netip.MustParseAddr("192.0.2.7"), Port: 51234,
		At: time.Date(2026, 11, 26, 7, 59, 59, 123e6, time.UTC), Action: "login", Surface: "panel", Device: "00112233445566ff",
	}
	got, err := ParseAccess(usual+"\n\n  \r\n"+usual, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]muster.AccessRecord{want, want}, got, equalRecords); diff != "" {
		t.Error(diff)
	}
}

func TestAccessUnusualAndTaken(t *testing.T) {
	t.Parallel()
	base := muster.AccessRecord{Account: "A-1", IP: netip.MustParseAddr("192.0.2.7"), At: time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC), Action: "api"}
	for name, c := range map[string]struct {
		line string
		want func(r *muster.AccessRecord)
	}{
		"escapes":             {`{"account":"A\u002d1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"a\u0070i","actor":"J\u00f6rg \"J\""}`, func(r *muster.AccessRecord) { r.Actor = `Jörg "J"` }},
		"an escaped name":     {`{"acc\u006funt":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`, nil},
		"letters past ASCII":  {`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","actor":"Jörg"}`, func(r *muster.AccessRecord) { r.Actor = "Jörg" }},
		"a zone of its own":   {`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T09:00:00+02:00","action":"api"}`, nil},
		"nanoseconds are cut": {`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00.000999999Z","action":"api"}`, nil},
		"IPv4 in IPv6":        {`{"account":"A-1","ip":"::ffff:192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`, nil},
		"white space":         {" {\t\"account\" : \"A-1\",\"ip\":\"192.0.2.7\" , \"at\":\"2026-11-26T07:00:00Z\",\"action\":\"api\" } \r", nil},
	} {
		want := base
		if c.want != nil {
			c.want(&want)
		}
		got, err := ParseAccess(c.line, testNow)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([]muster.AccessRecord{want}, got, equalRecords); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestFaultsNameLineAndFieldAndNoValue(t *testing.T) {
	t.Parallel()
	const secret = "QQ-secret-QQ"
	good := `{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`
	for _, c := range []struct{ line, want string }{
		{`{"account":"QQ-secret-QQ!","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/account format"},
		{`{"account":"A-1","ip":"QQ-secret-QQ","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/ip address"},
		{`{"account":"A-1","ip":"fe80::1%QQ-secret-QQ","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/ip address"},
		{`{"account":"A-1","ip":"0.0.0.0","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/ip address"},
		{`{"account":"A-1","ip":1,"at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/ip type"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"QQ-secret-QQ","action":"api"}`, "/2/at time"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00","action":"api"}`, "/2/at time"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-02-30T07:00:00Z","action":"api"}`, "/2/at time"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-28T07:00:00Z","action":"api"}`, "/2/at time"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"1999-11-28T07:00:00Z","action":"api"}`, "/2/at time"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"QQ-secret-QQ"}`, "/2/action unknown_action"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z"}`, "/2/action unknown_action"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","port":0}`, "/2/port port"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","port":65536}`, "/2/port port"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","port":"22"}`, "/2/port port"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","port":1.5}`, "/2/port port"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","device":"QQ-secret-QQ"}`, "/2/device format"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","surface":"QQ-secret-QQ"}`, "/2/surface format"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","actor":"QQ-secret-QQ\u0000"}`, "/2/actor format"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","QQ-secret-QQ":"x"}`, "/2 unknown_field"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","country":"DE"}`, "/2 unknown_field"},
		{`{"Account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2 unknown_field, /2/account format"},
		{`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api","action":"api"}`, "/2/action twice"},
		{`{"account":null,"ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/account type"},
		{`{"account":["QQ-secret-QQ"],"ip":{"a":[{}]},"at":"2026-11-26T07:00:00Z","action":"api"}`, "/2/account type, /2/ip type"},
		{`{"account":"A-1"`, "/2 json"},
		{`{"account":"A-1"} {"account":"A-1"}`, "/2 json"},
		{`["QQ-secret-QQ"]`, "/2 json"},
		{`"QQ-secret-QQ"`, "/2 json"},
		{`QQ-secret-QQ`, "/2 json"},
		{"{\"account\":\"QQ-secret-QQ\xff\"}", "/2 utf8"},
		{`{"account":"` + strings.Repeat("Q", muster.MaxRecordBytes) + `"}`, "/2 length"},
		{strings.Repeat(`[`, 4000), "/2 json"},
		{`{"id":` + strings.Repeat(`[`, 2000) + strings.Repeat(`]`, 2000) + `}`, "/2/id type, /2/account format, /2/ip address, /2/at time, /2/action unknown_action"},
	} {
		got, err := ParseAccess(good+"\n"+c.line+"\n"+good, testNow)
		if err == nil {
			t.Errorf("%.60s: taken as %v", c.line, got)
			continue
		}
		var said []string
		for _, f := range err.(*muster.Error).Faults {
			said = append(said, f.Pointer+" "+f.Code)
			if strings.Contains(fmt.Sprint(f), secret) {
				t.Errorf("%.60s: a fault repeats the value: %v", c.line, f)
			}
		}
		if s := strings.Join(said, ", "); s != c.want {
			t.Errorf("%.60s: %s, want %s", c.line, s, c.want)
		}
	}
}

func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	line := `{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T07:00:00Z","action":"api"}` + "\n"
	if got, err := ParseAccess(strings.Repeat(line, muster.MaxBatchRecords), testNow); err != nil || len(got) != muster.MaxBatchRecords {
		t.Error(len(got), err)
	}
	for name, c := range map[string]struct {
		text string
		code muster.Code
	}{
		"a record too many": {strings.Repeat(line, muster.MaxBatchRecords+1), muster.CodeTooLarge},
		"a byte too many":   {strings.Repeat(" ", muster.MaxBatchBytes+1), muster.CodeTooLarge},
		"nothing":           {"\n\n", muster.CodeMalformed},
	} {
		if _, err := ParseAccess(c.text, testNow); muster.ErrorCode(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ParseAccess(strings.Repeat("x\n", 1000), testNow)
	if e, ok := err.(*muster.Error); !ok || len(e.Faults) != maxFaults {
		t.Error("the faults are not bounded:", err)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	got, err := ParseLeases(`{"account":"A-1","resource":"address","prefix":"192.0.2.7","from":"2026-11-01T00:00:00Z","source":"dhcp","precision":"1s"}
{"account":"A-1","resource":"address","prefix":"192.0.2.7/32","port_from":1024,"port_to":2047,"from":"2026-11-01T00:00:00Z","until":"2026-11-02T00:00:00Z","source":"nat","precision":"0s"}
{"account":"A-1","resource":"prefix","prefix":"2001:db8:1::/48","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}
{"account":"A-1","resource":"host","name":"vm-17","from":"2026-11-01T00:00:00Z","source":"hypervisor","precision":"1s"}`, testNow)
	if err != nil {
		t.Fatal(err)
	}
	one := netip.MustParsePrefix("192.0.2.7/32")
	want := []muster.LeaseRecord{
		{Account: "A-1", Resource: "address", Prefix: one, From: from, Source: "dhcp", Precision: "1s"},
		{Account: "A-1", Resource: "address", Prefix: one, PortFrom: 1024, PortTo: 2047, From: from, Until: from.Add(24 * time.Hour), Source: "nat", Precision: "0s"},
		{Account: "A-1", Resource: "prefix", Prefix: netip.MustParsePrefix("2001:db8:1::/48"), From: from, Source: "ipam", Precision: "5m"},
		{Account: "A-1", Resource: "host", Name: "vm-17", From: from, Source: "hypervisor", Precision: "1s"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for line, want := range map[string]string{
		`{"account":"A-1","resource":"prefix","prefix":"192.0.2.7/24","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                              "/1/prefix address",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.0/24","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                             "/1/prefix address",
		`{"account":"A-1","resource":"prefix","prefix":"0.0.0.0/0","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                                 "/1/prefix address",
		`{"account":"A-1","resource":"host","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                                                        "/1/name required",
		`{"account":"A-1","resource":"host","name":"a","prefix":"192.0.2.7","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                        "/1/prefix not_here",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.7","port_from":9,"from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                  "/1/port_from range",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.7","port_from":9,"port_to":8,"from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:      "/1/port_from range",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.7","from":"2026-11-01T00:00:00Z","until":"2026-10-01T00:00:00Z","source":"ipam","precision":"5m"}`: "/1/until time",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.7","from":"2026-11-01T00:00:00Z","source":"ipam"}`:                                                 "/1/precision duration",
		`{"account":"A-1","resource":"address","prefix":"192.0.2.7","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"-5m"}`:                               "/1/precision duration",
		`{"account":"A-1","resource":"car","from":"2026-11-01T00:00:00Z","source":"ipam","precision":"5m"}`:                                                         "/1/resource unknown_resource",
	} {
		_, err := ParseLeases(line, testNow)
		e, ok := err.(*muster.Error)
		if !ok || len(e.Faults) != 1 || e.Faults[0].Pointer+" "+e.Faults[0].Code != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	r := muster.LeaseRecord{Prefix: netip.MustParsePrefix("192.0.2.0/24"), PortFrom: 100, PortTo: 200, From: from, Until: from.Add(time.Hour), Precision: "1m"}
	in := netip.MustParseAddr("192.0.2.9")
	for _, c := range []struct {
		addr         string
		port         uint16
		at           time.Duration
		holds, exact bool
	}{
		{"192.0.2.9", 0, 0, true, true},
		{"192.0.2.9", 100, 59 * time.Minute, true, true},
		{"192.0.2.9", 201, 0, false, false},
		{"192.0.3.9", 0, 0, false, false},
		{"192.0.2.9", 0, -time.Minute, true, false},
		{"192.0.2.9", 0, -time.Minute - 1, false, false},
		{"192.0.2.9", 0, time.Hour, true, false},
		{"192.0.2.9", 0, time.Hour + time.Minute, false, false},
	} {
		holds, exact := r.Holds(netip.MustParseAddr(c.addr), c.port, from.Add(c.at), 0)
		if holds != c.holds || exact != c.exact {
			t.Errorf("%v: %v %v", c, holds, exact)
		}
	}
	r.Until = time.Time{}
	if holds, exact := r.Holds(in, 0, from.AddDate(0, 0, 90), 0); !holds || !exact {
		t.Error("a lease that has not ended does not hold")
	}
}

// oracle reads a line with encoding/json alone.
func oracle(line string) (r muster.AccessRecord, err error) {
	var o struct {
		ID, Account, Actor, Action, Surface, Device string
		IP                                          netip.Addr
		Port                                        uint16
		At                                          time.Time
	}
	err = json.Unmarshal([]byte(line), &o)
	return muster.AccessRecord{
		ID: o.ID, Account: o.Account, Actor: o.Actor, IP: o.IP.Unmap(), Port: o.Port,
		At: o.At.UTC().Truncate(time.Millisecond), Action: o.Action, Surface: o.Surface, Device: o.Device,
	}, err
}

// agree holds the two readers to each other and to encoding/json.
func agree(t interface{ Fatalf(string, ...any) }, line string) {
	var fast, slow muster.AccessRecord
	took := scan(line, &fast, accessFields)
	faults := reread(line, &slow, testNow, accessFields, (*muster.AccessRecord).Faults)
	if took && fast.Faults(testNow) == nil {
		if faults != nil || !cmp.Equal(fast, slow, equalRecords) {
			t.Fatalf("%q: the quick reader took %v, the other %v with %v", line, fast, slow, faults)
		}
	}
	if faults == nil {
		want, err := oracle(line)
		if err != nil || !cmp.Equal(want, slow, equalRecords) {
			t.Fatalf("%q: taken as %v; encoding/json says %v %v", line, slow, want, err)
		}
	}
}

func TestReadersAgree(t *testing.T) {
	t.Parallel()
	text := func(t *rapid.T, usual ...string) string {
		if rapid.IntRange(0, 3).Draw(t, "usual") > 0 {
			return rapid.SampledFrom(usual).Draw(t, "value")
		}
		return rapid.StringN(0, 30, 60).Draw(t, "any")
	}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("{")
		for i, name := range rapid.Permutation([]string{"id", "account", "actor", "ip", "port", "at", "action", "surface", "device"}).Draw(t, "order") {
			if rapid.IntRange(0, 9).Draw(t, "left out") == 0 {
				continue
			}
			if i > 0 && b.Len() > 1 {
				b.WriteString(rapid.SampledFrom([]string{",", ", ", " ,\t"}).Draw(t, "comma"))
			}
			value := ""
			switch name {
			case "port":
				value = fmt.Sprint(rapid.SampledFrom([]string{"1", "22", "65535", "65536", "0", "1e2", "-1", "022", `"22"`, "1.0"}).Draw(t, "port"))
			case "at":
				at := time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "ms")).UTC()
				layout := rapid.SampledFrom([]string{time.RFC3339, time.RFC3339Nano, "2006-01-02T15:04:05.000Z07:00", "2006-01-02 15:04:05Z", "2006-01-02T15:04:05,000Z", "2006-01-02T15:04:05.00Z"}).Draw(t, "layout")
				value = `"` + at.Format(layout) + `"`
			case "ip":
				value = text(t, "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "192.0.2.01", "fe80::1%eth0", "256.1.1.1", "::")
			case "action":
				value = text(t, muster.AccessActions...)
			case "device":
				value = text(t, "0011223344556677", "001122334455667G")
			default:
				value = text(t, "A-1", "x", "ops")
			}
			if name != "port" && name != "at" {
				quoted, _ := json.Marshal(value)
				value = string(quoted)
			}
			b.WriteString(`"` + name + `":` + value)
		}
		b.WriteString(rapid.SampledFrom([]string{"}", "} ", "", "}x", ",}"}).Draw(t, "end"))
		agree(t, b.String())
	})
}

func TestTimesAgreeWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", rapid.IntRange(0, 9999).Draw(t, "y"), rapid.IntRange(0, 13).Draw(t, "m"), rapid.IntRange(0, 32).Draw(t, "d"),
			rapid.IntRange(0, 24).Draw(t, "h"), rapid.IntRange(0, 60).Draw(t, "min"), rapid.IntRange(0, 60).Draw(t, "s"), rapid.IntRange(0, 999).Draw(t, "ms"))
		if rapid.Bool().Draw(t, "whole seconds") {
			s = s[:19] + "Z"
		}
		got, ok := utc(s)
		want, err := time.Parse(time.RFC3339Nano, s)
		if ok && (err != nil || !got.Equal(want)) || !ok && err == nil && want.Year() > 0 {
			t.Fatalf("%s: %v %v, the standard library says %v %v", s, got, ok, want, err)
		}
	})
}

func FuzzAccess(f *testing.F) {
	f.Add(usual)
	f.Add(`{"account":"A\u002d1","ip":"::ffff:192.0.2.7","at":"2026-11-26T07:00:00.5+01:00","action":"api","port":1}`)
	f.Add(`{"account":"A-1","account":"A-1","x":[{"y":null}]}`)
	f.Add("{\"account\":\"\xff\"}")
	f.Add(`{"account":"A-1","ip":"192.0.2.7","at":"2026-11-26T24:00:00Z","action":"api"} `)
	f.Fuzz(func(t *testing.T, line string) {
		if !strings.Contains(line, "\n") {
			agree(t, line)
		}
		_, _ = ParseAccess(line, testNow)
		_, _ = ParseLeases(line, testNow)
	})
}

func FuzzLease(f *testing.F) {
	f.Add(`{"account":"A-1","resource":"address","prefix":"192.0.2.7","port_from":1024,"port_to":2047,"from":"2026-11-01T00:00:00Z","until":"2026-11-02T00:00:00Z","source":"nat","precision":"0s"}`)
	f.Add(`{"account":"A-1","resource":"host","name":"vm-17","from":"2026-11-01T00:00:00Z","source":"hypervisor","precision":"1s"}`)
	f.Fuzz(func(t *testing.T, line string) {
		var fast, slow muster.LeaseRecord
		took := scan(line, &fast, leaseFields)
		faults := reread(line, &slow, testNow, leaseFields, (*muster.LeaseRecord).Faults)
		if took && fast.Faults(testNow) == nil && (faults != nil || !reflect.DeepEqual(fast, slow)) {
			t.Fatalf("%q: the quick reader took %v, the other %v with %v", line, fast, slow, faults)
		}
	})
}

func BenchmarkParseAccess(b *testing.B) {
	text := strings.Repeat(`{"account":"acct-00012345","ip":"192.0.2.7","at":"2026-11-26T07:59:59.123Z","action":"login","device":"00112233445566ff"}`+"\n", 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAccess(text, testNow); err != nil {
			b.Fatal(err)
		}
	}
}
