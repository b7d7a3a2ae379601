package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func individual() Seen {
	return Seen{Subject: "sub_x", Kind: muster.Individual, Revision: 2, Operator: "opr_x", Now: now}
}

func entity() Seen {
	s := individual()
	s.Kind = muster.Entity
	return s
}

const passport = `{"type":"passport","issuer":"NG","place_of_issue":"Lagos","number":"a-0123 4567","issued_on":"2022-03-01",
 "expires_on":"2026-03-01","has_photo":true,"attributes":{"name":"supports","nationality":"supports","date_of_birth":"open"},
 "shows":{"nationality":["NG","XXA"]},"note":"seen\nby video <call>"}`

func TestPassportIsEvidenceUntilItsLastDayEnds(t *testing.T) {
	t.Parallel()
	seen := individual()
	seen.Zone = time.FixedZone("Lagos", 3600)
	got, err := Take(seen, []byte(passport))
	if err != nil {
		t.Fatal(err)
	}
	e := got.Evidence
	if !strings.HasPrefix(e.ID, muster.PrefixEvidence) {
		t.Error("id", e.ID)
	}
	e.ID = ""
	want := muster.Evidence{
		Subject: "sub_x", Method: "document.manual", Kind: muster.Documentary, Revision: 2,
		Attributes: map[string]muster.Finding{"name": "supports", "nationality": "supports", "date_of_birth": "open"},
		Shows:      map[string][]muster.Country{"nationality": {"NG", "XXA"}},
		Assurance:  muster.AssuranceSubstantial, At: now, Expires: time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC), Producer: "opr_x",
	}
	if d := cmp.Diff(want, e); d != "" {
		t.Error(d)
	}
	const details = `{"expires_on":"2026-03-01","has_photo":true,"issued_on":"2022-03-01","issuer":"NG","note":"seen\nby video <call>","number":"a-0123 4567","place_of_issue":"Lagos","type":"passport"}`
	if string(got.Details) != details {
		t.Errorf("details\n%s\nwant\n%s", got.Details, details)
	}
	if got.Identity != "NG|passport|A01234567" {
		t.Error("identity", got.Identity)
	}
}

func TestExpiryGoesByTheProvidersDay(t *testing.T) {
	t.Parallel()
	input := strings.Replace(passport, `"expires_on":"2026-03-01"`, `"expires_on":"2026-02-28"`, 1)
	if f := faultsOf(t, individual(), input); f != "/input/expires_on expired" {
		t.Error(f)
	}
	// At half past midnight in London it is still yesterday in Honolulu.
	seen := individual()
	seen.Now = time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC)
	seen.Zone = time.FixedZone("Honolulu", -10*3600)
	if f := faultsOf(t, seen, input); f != "" {
		t.Error(f)
	}
}

// faultsOf are pointers and codes of the faults, one a line.
func faultsOf(t *testing.T, seen Seen, input string) string {
	t.Helper()
	_, err := Take(seen, []byte(input))
	if err == nil {
		return ""
	}
	var e *muster.Error
	if !errors.As(err, &e) {
		t.Fatalf("not our error: %v", err)
	}
	if e.Code != muster.CodeInvalid {
		return string(e.Code)
	}
	var lines []string
	for _, f := range e.Faults {
		lines = append(lines, f.Pointer+" "+f.Code)
	}
	return strings.Join(lines, "\n")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	with := func(old, new string) string {
		if !strings.Contains(passport, old) {
			t.Fatalf("no %s in the base", old)
		}
		return strings.Replace(passport, old, new, 1)
	}
	for name, c := range map[string]struct {
		seen  Seen
		input string
		want  string
	}{
		"nothing":                             {individual(), `{}`, "/input/attributes required\n/input/issuer required\n/input/type required"},
		"no JSON":                             {individual(), `{"type":`, "malformed"},
		"no object":                           {individual(), `[]`, "/input wrong_type"},
		"two values":                          {individual(), `{}{}`, "malformed"},
		"no UTF-8":                            {individual(), "{\"type\":\"\xff\"}", "malformed"},
		"twice":                               {individual(), `{"type":"passport","type":"other"}`, "malformed"},
		"deep":                                {individual(), `{"shows":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "malformed"},
		"large":                               {individual(), `{"note":"` + strings.Repeat("a", maxBytes) + `"}`, "too_large"},
		"unknown member":                      {individual(), with(`"note"`, `"remark"`), "/input/remark unknown_member"},
		"unknown member that could be a name": {individual(), with(`"note"`, `"Ada Lovelace"`), "/input unknown_member"},
		"unknown type":                        {individual(), with(`"passport"`, `"library_card"`), "/input/type unknown_value"},
		"types": {
			individual(), `{"type":1,"issuer":[],"number":{},"issued_on":2,"expires_on":true,"has_photo":"yes","attributes":[],"shows":"US","note":3,"place_of_issue":4}`,
			"/input/attributes wrong_type\n/input/expires_on wrong_type\n/input/has_photo wrong_type\n/input/issued_on wrong_type\n/input/issuer wrong_type\n/input/note wrong_type\n/input/number wrong_type\n/input/place_of_issue wrong_type\n/input/shows wrong_type\n/input/type wrong_type",
		},
		"lower-case issuer":                      {individual(), with(`"issuer":"NG"`, `"issuer":"ng"`), "/input/issuer unknown_country"},
		"no number":                              {individual(), with(`"number":"a-0123 4567",`, ``), "/input/number required"},
		"number of dashes":                       {individual(), with(`a-0123 4567`, `---`), "/input/number document_number"},
		"override in number":                     {individual(), with(`a-0123`, "a\u202e0123"), "/input/number bad_character"},
		"no such day":                            {individual(), with(`2022-03-01`, `2022-02-30`), "/input/issued_on date"},
		"issued tomorrow":                        {individual(), with(`"issued_on":"2022-03-01"`, `"issued_on":"2026-03-02"`), "/input/expires_on ends_before_start\n/input/issued_on in_future"},
		"no attributes":                          {individual(), with(`{"name":"supports","nationality":"supports","date_of_birth":"open"}`, `{}`), "/input/attributes required"},
		"attribute of nobody":                    {individual(), with(`"name":`, `"shoe_size":`), "/input/attributes/shoe_size unknown_member"},
		"a resolution is not ours":               {individual(), with(`"name":`, `"identity":`), "/input/attributes/identity unknown_member"},
		"finding":                                {individual(), with(`"open"`, `"maybe"`), "/input/attributes/date_of_birth unknown_value"},
		"existence of a person":                  {individual(), with(`"name":`, `"existence":`), "/input/attributes/existence not_of_individual"},
		"passport of an entity":                  {entity(), passport, "/input/attributes/date_of_birth not_of_entity\n/input/attributes/nationality not_of_entity\n/input/shows/nationality not_of_entity\n/input/type not_of_entity"},
		"certificate of a person":                {individual(), with(`"passport"`, `"certificate_of_incorporation"`), "/input/shows/nationality cannot_show\n/input/type not_of_individual"},
		"a driving licence shows no nationality": {individual(), with(`"passport"`, `"driving_licence"`), "/input/shows/nationality cannot_show"},
		"shows what is open":                     {individual(), with(`"nationality":"supports"`, `"nationality":"open"`), "/input/shows/nationality cannot_show"},
		"shows nothing":                          {individual(), with(`["NG","XXA"]`, `[]`), "/input/shows/nationality required"},
		"shows many":                             {individual(), with(`["NG","XXA"]`, `["NG","DE","FR","ES","IT","AT","CH","PL","CZ","SK","HU"]`), "/input/shows/nationality too_many"},
		"shows one twice":                        {individual(), with(`"XXA"`, `"NG"`), "/input/shows/nationality/1 twice"},
		"shows no country":                       {individual(), with(`"XXA"`, `"EU"`), "/input/shows/nationality/1 unknown_country"},
		"shows a number":                         {individual(), with(`"XXA"`, `7`), "/input/shows/nationality/1 wrong_type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := faultsOf(t, c.seen, c.input); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAssurance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seen  Seen
		input string
		want  muster.Assurance
	}{
		"passport":                    {individual(), passport, "substantial"},
		"passport without photograph": {individual(), strings.Replace(passport, "true", "false", 1), "low"},
		"passport without expiry":     {individual(), strings.Replace(passport, `"expires_on":"2026-03-01",`, "", 1), "low"},
		"birth certificate":           {individual(), `{"type":"birth_certificate","issuer":"US","attributes":{"nationality":"supports"},"shows":{"nationality":["US"]},"has_photo":true}`, "low"},
		"something else":              {individual(), `{"type":"other","issuer":"US","expires_on":"2030-01-01","has_photo":true,"attributes":{"name":"supports"}}`, "low"},
		"certificate":                 {entity(), `{"type":"certificate_of_incorporation","issuer":"NO","number":"1","attributes":{"existence":"supports"},"shows":{"formation":["NO"]}}`, "substantial"},
		"certificate of another":      {entity(), `{"type":"certificate_of_incorporation","issuer":"NO","number":"1","attributes":{"existence":"contradicts"}}`, "low"},
		"articles, name only":         {entity(), `{"type":"articles","issuer":"NO","attributes":{"name":"supports"}}`, "low"},
		"something else of an entity": {entity(), `{"type":"other","issuer":"NO","attributes":{"existence":"supports"}}`, "low"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Take(c.seen, []byte(c.input))
			if err != nil {
				t.Fatal(err)
			}
			if got.Evidence.Assurance != c.want {
				t.Errorf("got %s, want %s", got.Evidence.Assurance, c.want)
			}
		})
	}
}

func TestCountriesAreThoseOfISO3166(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../validate/tables/countries.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[muster.Country]bool{"XK": true}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			want[muster.Country(line)] = true
		}
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if c := muster.Country([]rune{a, b}); isCountry(c) != want[c] {
				t.Errorf("%s: got %v, want %v", c, isCountry(c), want[c])
			}
		}
	}
}

func TestSeparatorsDoNotChangeTheIdentity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`[A-Z0-9]{1,20}`).Draw(t, "number")
		var spelled strings.Builder
		for _, r := range number {
			spelled.WriteString(rapid.SampledFrom([]string{"", " ", "-", "/", ".", "\u00a0"}).Draw(t, "separator"))
			c := string(r)
			if rapid.Bool().Draw(t, "lower") {
				c = strings.ToLower(c)
			}
			if rapid.Bool().Draw(t, "wide") {
				c = string([]rune(c)[0] - ' ' + 0xFF00)
			}
			spelled.WriteString(c)
		}
		in, err := json.Marshal(map[string]any{"type": "other", "issuer": "DE", "number": spelled.String(), "attributes": map[string]string{"name": "supports"}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Take(individual(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got.Identity != "DE|other|"+number {
			t.Fatalf("%q became %q", spelled.String(), got.Identity)
		}
	})
}

func FuzzTake(f *testing.F) {
	f.Add([]byte(passport), false)
	f.Add([]byte(`{"type":"articles","issuer":"NO","attributes":{"formation":"supports"},"shows":{"formation":["NO"]}}`), true)
	f.Add([]byte(`{"type":"other","issuer":"QQ","note":"CANARY","number":"\ud800","expires_on":"9999-12-31"}`), false)
	f.Add([]byte(`[[[[[[[[[[[[`), true)
	f.Fuzz(func(t *testing.T, raw []byte, ofEntity bool) {
		seen := individual()
		if ofEntity {
			seen = entity()
		}
		got, err := Take(seen, raw)
		if err != nil {
			var e *muster.Error
			if !errors.As(err, &e) {
				t.Fatalf("not our error: %v", err)
			}
			for _, fault := range e.Faults {
				if !strings.HasPrefix(fault.Pointer, "/input") {
					t.Errorf("pointer %q", fault.Pointer)
				}
				if strings.Contains(fault.Pointer+fault.Detail+e.Error(), "CANARY") {
					t.Error("an error repeats a value")
				}
			}
			return
		}
		if !json.Valid(got.Details) || !got.Evidence.InForce(now) || len(got.Evidence.Attributes) == 0 {
			t.Errorf("finding %+v", got.Evidence)
		}
		// What was sealed can be read again and says the same.
		var again map[string]any
		if err := json.Unmarshal(got.Details, &again); err != nil {
			t.Fatal(err)
		}
		canonical, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(got.Details, []byte("&")) && !bytes.ContainsAny(got.Details, "<>") && !bytes.Equal(canonical, got.Details) {
			t.Errorf("not canonical:\n%s\n%s", got.Details, canonical)
		}
		once := strings.Split(got.Identity, "|")
		if got.Identity != "" && compact(once[len(once)-1]) != once[len(once)-1] {
			t.Errorf("identity is not its own normal form")
		}
	})
}
