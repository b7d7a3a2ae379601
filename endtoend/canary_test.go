package endtoend

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
)

// Personal data is nowhere but under a seal (design § 6): every personal field gets a
// value that occurs nowhere else, the system is used in every way that touches one,
// and then everything that it wrote is searched, in every spelling.

func TestNoPersonalDataInTheClear(t *testing.T) {
	t.Parallel()
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, "clear "+name, setup{postgres: postgres}).mustHideAll()
		})
	}
}

// TestSearchFindsAllWhereNothingIsSealed is the control: the same program with a
// sealer that does nothing, the same play, the same search, and every value is found.
func TestSearchFindsAllWhereNothingIsSealed(t *testing.T) {
	t.Parallel()
	binary := unsealed(t)
	for name, postgres := range map[string]bool{"sqlite": false, "postgres": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, "open "+name, setup{postgres: postgres, binary: binary}).mustShowAll()
		})
	}
}

// unsealed builds the program with the one cipher of the vault exchanged for none.
func unsealed(t *testing.T) string {
	t.Helper()
	source, err := filepath.Abs("../vault/keyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const cipher = "return cipher.NewGCMWithRandomNonce(block)"
	if strings.Count(string(text), cipher) != 1 {
		t.Fatalf("%s: the vault's cipher is made elsewhere by now", source)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "keyfile.go")
	none := strings.Replace(string(text), cipher, "_ = block\n\treturn none{}, nil", 1) + `
type none struct{}

func (none) NonceSize() int { return 0 }
func (none) Overhead() int  { return 28 }

func (none) Seal(dst, _, plain, _ []byte) []byte {
	dst = append(dst, make([]byte, 12)...)
	dst = append(dst, plain...)
	return append(dst, make([]byte, 16)...)
}

func (none) Open(dst, _, sealed, _ []byte) ([]byte, error) {
	return append(dst, sealed[12:len(sealed)-16]...), nil
}
`
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err == nil {
		err = os.WriteFile(changed, []byte(none), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	binary, err := built.Build(dir, "-overlay", filepath.Join(dir, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// stage is one run of the play, with everything that came out of it.
type stage struct {
	testing.TB
	d        *deployment
	p        *process
	own      *pgtest.Own // PostgreSQL, alone: all of its files are searched
	canaries *canaries
	outside  *outside
	temp     string

	places []place
	clear  []place // answers whose purpose is to show values: reveals, bundles
}

// collect keeps what the system wrote.
func (s *stage) collect(places ...place) { s.places = append(s.places, places...) }

// play uses a deployment in every way that touches a personal value.
func play(t testing.TB, seed string, conf setup) *stage {
	s := &stage{TB: t, canaries: canariesOf(seed), outside: newOutside(t), temp: t.TempDir()}
	conf.mode, conf.solo = "sandbox", "1ms"
	conf.settings = map[string]any{
		"out":   map[string]any{"allow": []string{s.outside.hooks.Listener.Addr().String()}},
		"trace": s.outside.traces.URL + "/v1/traces", "local_metrics": true,
		"mail":         map[string]any{"server": s.outside.mail.Addr().String(), "from": "codes@provider.example", "tls": "none"},
		"customer_url": "https://provider.example/needs/{application}",
	}
	if conf.postgres {
		s.own = pgtest.NewOwn(t)
		conf.database = s.own.Database
	}
	s.d = conf.make(t)
	s.p = s.d.start(nil, "TMPDIR="+s.temp)
	s.p.seen = func(method, path string, status int, body []byte) {
		x := place{fmt.Sprintf("answer %d to %s %s", status, method, path), body}
		if status == http.StatusOK && (strings.HasSuffix(path, "/reveal") || strings.Contains(path, "/bundle?")) {
			s.clear = append(s.clear, x)
		} else {
			s.collect(x)
		}
	}
	s.p.do("POST", "/v1/webhooks", map[string]any{"url": s.outside.hooks.URL + "/hook"}, nil, http.StatusCreated)
	warm := *s.canaries.applications["warm-up"]
	for tries := 0; ; tries++ { // processes learn of a webhook within a second: some event is the first
		warm.Reference = fmt.Sprintf("warm-up-%d", tries)
		if _, err := s.p.apply(&warm); err != nil {
			t.Fatal(err)
		}
		got, before := false, time.Now()
		eventually(t, time.Minute, "an event, or time for the next", func() bool {
			got = s.outside.hookCount() > 0
			return got || time.Since(before) > 500*time.Millisecond
		})
		if got {
			break
		}
	}
	s.customer()
	s.reviewed()
	s.entity()
	s.imported()
	s.faults()
	s.reads()
	s.ends()
	return s
}

// apply posts one of the canaries' applications.
func (s *stage) apply(reference string) *onboard.Answer {
	s.Helper()
	a, err := s.p.apply(s.canaries.applications[reference])
	if err != nil {
		s.Fatalf("%s: %v", reference, err)
	}
	return a
}

// customer is an individual with codes, a document, a correction and reveals.
func (s *stage) customer() {
	a := s.apply("individual")
	path := "/v1/applications/" + a.Application
	corrected := map[string]any{"customer": map[string]any{"address": map[string]any{"lines": []string{s.canaries.of("corrected line")}}}}
	body, err := json.Marshal(corrected)
	if err != nil {
		s.Fatal(err)
	}
	s.p.do("PATCH", path+"/claims", body, nil, http.StatusOK, "Content-Type", "application/merge-patch+json", "If-Match", fmt.Sprintf(`"%d"`, a.Version))
	for _, method := range []string{"contact.email", "contact.phone"} {
		var c onboard.ChallengeAnswer
		s.p.do("POST", path+"/challenges", onboard.ChallengeRequest{Method: method}, &c, http.StatusCreated, "Idempotency-Key", "challenge-"+method)
		code := s.code(method, c.Challenge)
		wrong := map[string]string{"code": fmt.Sprintf("%06d", (atoi(code)+1)%1_000_000)}
		if wrong["code"] != "000000" {
			s.p.do("POST", "/v1/challenges/"+c.Challenge+"/response", wrong, nil, http.StatusUnprocessableEntity)
		}
		s.p.do("POST", "/v1/challenges/"+c.Challenge+"/response", map[string]string{"code": code}, nil, http.StatusOK)
	}
	for range 2 { // the second is answered from what is kept under the key
		s.p.do("POST", path+"/evidence", onboard.EvidenceInput{Method: "document.manual", Input: s.canaries.document()}, nil, http.StatusCreated, "Idempotency-Key", "document-1")
	}
	for _, purpose := range []string{"support", "subject_access"} {
		s.p.do("POST", path+"/reveal", onboard.RevealRequest{Purpose: purpose, Case: "case-1"}, nil, http.StatusOK)
	}
	var rows struct{ Items []api.DecisionRow }
	s.p.get(path+"/decisions", &rows)
	for _, audience := range []string{"examiner", "customer", "court"} {
		s.p.get("/v1/decisions/"+rows.Items[0].Decision+"/bundle?audience="+audience, nil)
	}
}

// code waits for a code, in the mailbox or in the sandbox's file.
func (s *stage) code(method, challenge string) (code string) {
	s.Helper()
	eventually(s, time.Minute, "the code of "+method, func() bool {
		if method == "contact.email" {
			code = s.outside.mailedCode()
			return code != ""
		}
		data, err := os.ReadFile(filepath.Join(s.d.dir, "data", "codes.ndjson"))
		if err != nil {
			return false
		}
		for line := range bytes.Lines(data) {
			var m struct{ Code, Reference string }
			if json.Unmarshal(line, &m) == nil && m.Reference == challenge {
				code = m.Code
			}
		}
		return code != ""
	})
	return code
}

// reviewed is one that a person looks at.
func (s *stage) reviewed() {
	a := s.apply("reviewed")
	var v onboard.View
	s.p.get("/v1/applications/"+a.Application, &v)
	if v.Review == "" {
		s.Fatalf("the application is %s, not in review", v.State)
	}
	var r api.Review
	got := s.p.get("/v1/reviews/"+v.Review, &r)
	s.p.do("POST", "/v1/reviews/"+v.Review+"/resolution", map[string]any{"finding": "clear", "reason": s.canaries.of("resolution reason")}, nil,
		http.StatusOK, "If-Match", got.header.Get("ETag"))
	var acc struct{ Version int64 }
	s.p.get("/v1/accounts/"+v.Account, &acc)
	// A reason to move an account is not kept today; if ever it is, not like this.
	x, err := s.p.try("POST", "/v1/accounts/"+v.Account+"/moves", mustJSON(s, map[string]string{"to": "closing", "reason": s.canaries.of("move reason")}),
		"If-Match", fmt.Sprintf(`"%d"`, acc.Version))
	if err != nil || x.status >= 500 {
		s.Errorf("move: %v %s", err, x.body)
	}
}

// entity is one with owners, a signatory and a wallet; it is withdrawn.
func (s *stage) entity() {
	a := s.apply("entity")
	s.p.do("POST", "/v1/applications/"+a.Application+"/withdrawal", nil, nil, http.StatusOK, "If-Match", fmt.Sprintf(`"%d"`, a.Version))
}

// imported is somebody of the provider's existing book, beside lines that are at fault.
func (s *stage) imported() {
	var r struct {
		Import string `json:"import"`
	}
	s.p.do("POST", "/v1/imports", map[string]any{"cohort": "all", "due": "2090-01-01T00:00:00Z", "source": strings.Repeat("ab", 32)}, &r, http.StatusOK)
	value := s.canaries.of("faulty value")
	lines := [][]byte{
		mustJSON(s, map[string]any{"type": "customer", "customer": map[string]any{
			"application": s.canaries.applications["imported"], "state": "closed", "closed": "2024-02-29", "ground": "abuse",
			"evidence": []any{map[string]any{
				"method": "document.manual", "kind": "documentary", "attributes": map[string]any{"name": "supports"}, "assurance": "high", "at": "2020-01-01",
				"details": map[string]any{"seen": s.canaries.of("imported evidence")},
			}},
		}}),
		[]byte(value), []byte(`{"type":"` + value + `"}`), []byte(`{"` + value + `":1}`),
		[]byte(`{"type":"lease","lease":{"account":"imported","resource":"` + value + `"}}`),
		[]byte(`{"type":"customer","customer":{"application":{"reference":"` + value + `@"},"state":"` + value + `"}}`),
		[]byte(`{"type":"customer","customer":{"application":{"reference":"imported","customer":{"kind":"individual","name":{"full":"` + value + `"}}}}}`), // a conflict
	}
	x, err := s.p.try("POST", "/v1/imports/"+r.Import+"/lines", bytes.Join(lines, []byte("\n")))
	if err != nil || x.status != http.StatusOK || !bytes.Contains(x.body, []byte(`"taken":1,`)) {
		s.Errorf("import: %v %d %s", err, x.status, x.body)
	}
	s.p.do("POST", "/v1/imports/"+r.Import+"/end", nil, nil, http.StatusOK)
	s.p.do("GET", "/v1/imports/"+r.Import, nil, nil, http.StatusOK)
	s.p.do("GET", "/v1/applications/imported", nil, nil, http.StatusOK)
}

// faults are requests that go wrong with a value in every part of them.
func (s *stage) faults() {
	value := s.canaries.of("faulty value")
	good := func(change func(m map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(mustJSON(s, s.canaries.applications["individual"]), &m); err != nil {
			s.Fatal(err)
		}
		m["reference"] = "faulty-1"
		change(m)
		return mustJSON(s, m)
	}
	party := func(m map[string]any) map[string]any { return m["customer"].(map[string]any) }
	bodies := [][]byte{
		[]byte(value), []byte(`{"` + value + `":`), []byte(`{"reference":"` + value + `@x","customer":"` + value + `"}`), []byte(`["` + value + `"]`),
		good(func(m map[string]any) { m[value] = value }),
		good(func(m map[string]any) { m["reference"] = s.canaries.of("e-mail") }),
		good(func(m map[string]any) { party(m)["email"] = value }),
		good(func(m map[string]any) { party(m)["phone"] = value }),
		good(func(m map[string]any) { party(m)["name"] = map[string]any{"full": value + "\u202e"} }),
		good(func(m map[string]any) { party(m)["address"].(map[string]any)["country"] = value }),
		good(func(m map[string]any) { party(m)["address"].(map[string]any)["postal_code"] = value }),
		good(func(m map[string]any) { party(m)["date_of_birth"] = value }),
		good(func(m map[string]any) {
			m["payment"] = map[string]any{"means": "bank_account", "iban": "DE00 " + value}
		}),
		good(func(m map[string]any) {
			m["payment"] = map[string]any{"means": "card", "token": s.canaries.of("card number")}
		}),
		good(func(m map[string]any) {
			party(m)["address"].(map[string]any)["lines"] = []string{"my card is " + s.canaries.of("card number")}
		}),
		good(func(m map[string]any) { m["access"].(map[string]any)["ip"] = value }),
		good(func(m map[string]any) { m["access"].(map[string]any)["time"] = value }),
		good(func(m map[string]any) {
			m["reference"] = "individual"
			party(m)["name"] = map[string]any{"full": value}
		}), // a conflict
	}
	for i, body := range bodies {
		x, err := s.p.try("POST", "/v1/applications", body)
		if err != nil || x.status < 400 || x.status >= 500 {
			s.Errorf("faulty application %d: %v %d %s", i, err, x.status, x.body)
		}
	}
	var v onboard.View
	s.p.get("/v1/applications/individual", &v)
	path, match := "/v1/applications/"+v.Application, fmt.Sprintf(`"%d"`, v.Version)
	escaped := url.PathEscape(value)
	for _, r := range []struct {
		method, path string
		body         []byte
		headers      []string
	}{
		{"GET", "/v1/applications/" + escaped, nil, nil},
		{"GET", "/v1/applications?after=" + escaped, nil, nil},
		{"GET", "/v1/applications?state=" + escaped, nil, nil},
		{"GET", "/v1/" + escaped + "/../" + escaped, nil, nil},
		{"GET", "/" + escaped + "?" + escaped + "=" + escaped, nil, nil},
		{"GET", "/v1/accounts/" + url.PathEscape(s.canaries.of("e-mail")), nil, nil},
		{"GET", "/v1/me", nil, []string{"Authorization", "Bearer " + value}},
		{"GET", "/v1/me", nil, []string{"X-Request-Id", s.canaries.of("device"), "User-Agent", value, "X-Forwarded-For", s.canaries.of("access ip"), "Traceparent", value, "Tracestate", "a=" + s.canaries.of("device"), "Baggage", "a=" + s.canaries.of("device")}},
		{"PATCH", path + "/claims", mustJSON(s, map[string]any{"customer": map[string]any{"phone": value}}), []string{"Content-Type", "application/merge-patch+json", "If-Match", match}},
		{"PATCH", path + "/claims", []byte(`{"` + value), []string{"Content-Type", "application/merge-patch+json", "If-Match", match}},
		{"POST", path + "/evidence", mustJSON(s, map[string]any{"method": value, "input": map[string]any{"number": value}}), nil},
		{"POST", path + "/evidence", mustJSON(s, map[string]any{"method": "document.manual", "input": map[string]any{"type": "passport", "number": value + "\u202e", "issuer": value, value: value, "note": "card " + s.canaries.of("card number")}}), nil},
		{"POST", path + "/challenges", mustJSON(s, map[string]any{"method": value}), []string{"Idempotency-Key", value}},
		{"POST", path + "/reveal", mustJSON(s, map[string]any{"purpose": value}), nil},
		{"POST", "/v1/challenges/" + escaped + "/response", mustJSON(s, map[string]any{"code": value}), nil},
	} {
		x, err := s.p.try(r.method, r.path, r.body, r.headers...)
		if err != nil || x.status >= 500 {
			s.Errorf("%s %s: %v %+v", r.method, r.path, err, x)
		}
	}
}

// reads asks every list and view that shows no personal value.
func (s *stage) reads() {
	source, _ := packs.Source("us-iaas-cip")
	s.p.do("POST", "/v1/packs/replays", map[string]any{"source": string(source)}, nil, http.StatusOK)
	for _, path := range []string{
		"/v1/applications", "/v1/customers", "/v1/reviews", "/v1/packs", "/v1/webhooks", "/v1/operators", "/v1/tokens", "/v1/me", "/v1/methods", "/v1/status",
		"/openapi.json", "/healthz", "/metrics",
	} {
		s.p.get(path, nil)
	}
	eventually(s, time.Minute, "every part answers", func() bool {
		x, err := s.p.try("GET", "/readyz", nil)
		return err == nil && x.status == http.StatusOK
	})
	for _, reference := range []string{"individual", "reviewed", "entity"} {
		var v onboard.View
		s.p.get("/v1/applications/"+reference, &v)
		s.p.get("/v1/accounts/"+v.Account, nil)
		s.p.get("/v1/decisions/"+v.Decision.ID, nil)
	}
	type customer struct{ Customer string }
	for _, c := range walk[customer](s.p.client, "/v1/customers") {
		s.p.get("/v1/customers/"+c.Customer, nil)
	}
	for _, h := range walk[api.Webhook](s.p.client, "/v1/webhooks") {
		s.p.get("/v1/webhooks/"+h.Webhook+"/deliveries", nil)
	}
	var last onboard.View
	s.p.get("/v1/applications/entity", &last)
	eventually(s, time.Minute, "the last event is delivered and all leaves are published", func() bool {
		return bytes.Contains(bytes.Join(s.outside.hookBodies(), nil), []byte(last.Decision.ID))
	})
	eventually(s, time.Minute, "a checkpoint", func() bool {
		x, err := s.p.try("GET", "/checkpoint", nil)
		return err == nil && x.status == http.StatusOK
	})
	for _, tile := range []string{"0/000", "entries/000"} {
		if _, err := s.p.try("GET", "/tile/"+tile, nil); err != nil {
			s.Error(err)
		}
	}
	s.p.get("/metrics", nil)
}

// ends takes everything that was written: while the server runs, with the
// write-ahead log as it is, and after its end.
func (s *stage) ends() {
	files := func(when string) {
		s.collect(filesBelow(s, "data "+when, filepath.Join(s.d.dir, "data"), "codes.ndjson")...)
		s.collect(filesBelow(s, "keys "+when, filepath.Join(s.d.dir, "keys"))...)
	}
	if s.d.dsn == "" {
		files("while it serves")
	}
	s.p.stop()
	if s.d.dsn == "" {
		files("after its end")
	} else {
		s.collect(place{"pg_dump of the data", s.own.Dump(s.d.dsn)}, place{"pg_dump of the keys", s.own.Dump(s.d.keyDSN)})
		s.collect(filesBelow(s, "cluster", s.own.Files())...)
	}
	out, errs, err := s.d.try("log", "audit", "--config", s.d.config())
	if err != nil {
		s.Errorf("log audit: %v\n%s%s", err, out, errs)
	}
	s.collect(place{"log audit", slices.Concat(out, errs)}, place{"log and output", s.p.log.bytes()})
	s.collect(s.outside.places()...)
	if entries, err := os.ReadDir(s.temp); err != nil {
		s.Error(err)
	} else if len(entries) > 0 {
		s.collect(filesBelow(s, "temporary files", s.temp)...)
	}
	config, err := os.ReadFile(s.d.config())
	if err != nil {
		s.Error(err)
	}
	s.collect(place{"muster.yaml", config})
}

// search looks through places and says where each canary was found. Forms of few bits
// count where they are found of two: what writes one writes the other.
func (s *stage) search(places []place) map[string][]string {
	found, few := map[string][]string{}, map[string][]string{}
	finder := newSearcher(s.canaries.list)
	bytes := 0
	for _, p := range places {
		bytes += len(p.data)
		finder.find(p.data, func(f form, at int) {
			field, in := finder.canaries[f.canary].field, found
			if f.few {
				in = few
			}
			if f.likely(p) && len(in[field]) < 3 {
				in[field] = append(in[field], fmt.Sprintf("%s at %d of %s", f.name, at, p.name))
			}
		})
	}
	if len(few) > 1 {
		for field, at := range few {
			found[field] = append(found[field], at...)
		}
	}
	s.Logf("%d forms of %d values in %d bytes of %d places", len(finder.forms), len(s.canaries.list), bytes, len(places))
	return found
}

// mustHideAll: nothing is found but where it belongs.
func (s *stage) mustHideAll() {
	s.Helper()
	for field, at := range s.search(s.places) {
		s.Errorf("%s is in the clear: %s", field, strings.Join(at, "; "))
	}
	s.mustBeSearched()
	// Where values belong, they are, and no others: the address and its code.
	codes, err := os.ReadFile(filepath.Join(s.d.dir, "data", "codes.ndjson"))
	if err != nil {
		s.Fatal(err)
	}
	for name, c := range map[string]struct {
		place place
		only  string
	}{
		"the sandbox's file of codes": {place{"codes", codes}, "phone"},
		"mail":                        {place{"mail", s.outside.mailed()}, "e-mail"},
	} {
		found := s.search([]place{c.place})
		if found[c.only] == nil || len(found) != 1 {
			s.Errorf("%s has %v, and should have %s alone", name, found, c.only)
		}
	}
	if shown := s.search(s.clear); shown["name"] == nil || shown["e-mail"] == nil {
		s.Errorf("reveals and bundles show %v", shown)
	}
}

// mustBeSearched fails where a kind of output is missing from the places: a search of
// nothing finds nothing.
func (s *stage) mustBeSearched() {
	s.Helper()
	wants := []string{"answer 201 to POST /v1/applications", "answer 422 ", "answer 400 ", "answer 409 ", "/metrics", "/checkpoint", "/tile/entries/", "log and output", "webhook", "trace", "log audit"}
	if s.d.dsn == "" {
		wants = append(wants, "data while it serves: muster.db-wal", "data after its end: muster.db", "data after its end: log/tile/", "keys after its end: keys.db")
	} else {
		wants = append(wants, "pg_dump of the data", "pg_dump of the keys", "cluster: base/", "cluster: pg_wal/")
	}
	for _, want := range wants {
		if !slices.ContainsFunc(s.places, func(p place) bool { return strings.Contains(p.name, want) && len(p.data) > 0 }) {
			s.Errorf("nothing was searched of %q", want)
		}
	}
}

// mustShowAll: every value that is kept is found in what the store wrote.
func (s *stage) mustShowAll() {
	s.Helper()
	var written []place
	for _, p := range s.places {
		if strings.HasPrefix(p.name, "data") || strings.HasPrefix(p.name, "pg_dump") {
			written = append(written, p)
		}
	}
	found := s.search(written)
	for _, c := range s.canaries.list {
		if c.kept() && found[c.field] == nil {
			s.Errorf("%s is not found, though nothing was sealed", c.field)
		}
	}
}

// kept reports whether the system keeps the value at all.
func (c canary) kept() bool {
	return !slices.Contains([]string{"faulty value", "card number", "move reason"}, c.field)
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return cmp.Or(n, 0)
}
