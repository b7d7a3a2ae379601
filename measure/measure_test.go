package measure_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/measure"
)

var (
	enacted = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	starts  = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	grace   = time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC)
	ends    = time.Date(2028, 5, 31, 0, 0, 0, 0, time.UTC)
)

func parse(t testing.TB, file string) *muster.Determination {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	d, err := measure.Parse(src)
	if err != nil {
		var e *muster.Error
		errors.As(err, &e)
		t.Fatalf("%s: %v %+v", file, err, e.Faults)
	}
	return d
}

// enact is a determination as it stands after it was enacted, and what else was done.
func enact(d *muster.Determination, more ...muster.MeasureAct) *muster.Measure {
	until := d.Until
	if until.IsZero() {
		until = ends
	}
	acts := append([]muster.MeasureAct{{ID: "msa_1", Determination: d.ID, Kind: muster.ActEnact, From: d.Effective, Until: until, Approved: enacted, Binds: enacted}}, more...)
	return measure.Fold(d, "digest", enacted, acts)
}

// facts are of a customer that nothing matches, received after the measure was enacted.
func facts(change ...func(*muster.Facts)) *muster.Facts {
	f := &muster.Facts{
		At: starts, Application: muster.ApplicationFacts{Received: enacted.Add(time.Hour)}, Access: muster.AccessFacts{Country: "DE"},
		Payment:  muster.PaymentFacts{Country: "DE"},
		Subjects: []muster.SubjectFacts{{ID: "sub_1", Role: muster.RoleCustomer, Pointer: "/customer", Kind: muster.Individual, Country: "DE", Nationalities: []muster.Country{"DE"}}},
	}
	for _, c := range change {
		c(f)
	}
	return f
}

var account = &muster.AccountRecord{ID: "acc_1", Reference: "acct-1", Customer: "cus_1"}

func shows(attribute string, c muster.Country) muster.Evidence {
	return muster.Evidence{Kind: muster.Documentary, Shows: map[string][]muster.Country{attribute: {c}}, At: enacted}
}

func TestWhatMatchesAndOnWhichFacts(t *testing.T) {
	t.Parallel()
	d := parse(t, "jurisdiction.yaml")
	customer := func(fn func(*muster.SubjectFacts)) func(*muster.Facts) {
		return func(f *muster.Facts) { fn(&f.Subjects[0]) }
	}
	owner := func(pointer string, share string, control bool, fn func(*muster.SubjectFacts)) func(*muster.Facts) {
		return func(f *muster.Facts) {
			p, err := muster.ParsePercent(share)
			if err != nil {
				t.Fatal(err)
			}
			s := muster.SubjectFacts{ID: pointer, Role: muster.RoleOwner, Pointer: pointer, Kind: muster.Individual, Share: p, Control: control}
			fn(&s)
			f.Subjects = append(f.Subjects, s)
		}
	}
	there := func(s *muster.SubjectFacts) { s.Country = "KP" }
	for name, c := range map[string]struct {
		by    string // "": no match
		phase string
		facts []func(*muster.Facts)
	}{
		"nothing":                           {"", "", nil},
		"the address":                       {"address", muster.PhaseInForce, []func(*muster.Facts){customer(there)}},
		"a nationality that is claimed":     {"nationality", muster.PhaseInForce, []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.Nationalities = []muster.Country{"DE", "KP"} })}},
		"a nationality that a paper shows":  {"nationality", muster.PhaseInForce, []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.Evidence = []muster.Evidence{shows("nationality", "KP")} })}},
		"a residence that a paper shows":    {"residence", muster.PhaseInForce, []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.Evidence = []muster.Evidence{shows("residence", "KP")} })}},
		"where a paper shows that they are": {"residence", muster.PhaseInForce, []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.Evidence = []muster.Evidence{shows("location", "KP")} })}},
		"a paper that has expired shows nothing": {"", "", []func(*muster.Facts){customer(func(s *muster.SubjectFacts) {
			e := shows("residence", "KP")
			e.Expires = starts
			s.Evidence = []muster.Evidence{e}
		})}},
		"a claim of being a US person shows nothing":         {"", "", []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.USPersonClaim = "none" })}},
		"the place of formation":                             {"formation", muster.PhaseInForce, []func(*muster.Facts){customer(func(s *muster.SubjectFacts) { s.Kind, s.Formation = muster.Entity, "KP" })}},
		"an owner of half":                                   {"ownership", muster.PhaseInForce, []func(*muster.Facts){owner("/beneficial_owners/0", "50", false, there)}},
		"an owner of less than half":                         {"", "", []func(*muster.Facts){owner("/beneficial_owners/0", "49.999999", false, there)}},
		"an owner in control":                                {"ownership", muster.PhaseInForce, []func(*muster.Facts){owner("/beneficial_owners/0", "1", true, there)}},
		"two owners who are half together":                   {"ownership", muster.PhaseInForce, []func(*muster.Facts){owner("/beneficial_owners/0", "25", false, there), owner("/beneficial_owners/1", "25", false, there)}},
		"one who stands behind another is not counted twice": {"", "", []func(*muster.Facts){owner("/beneficial_owners/0", "30", false, there), owner("/beneficial_owners/0/owners/0", "30", false, there)}},
		"an owner by nationality":                            {"ownership", muster.PhaseInForce, []func(*muster.Facts){owner("/beneficial_owners/0", "60", false, func(s *muster.SubjectFacts) { s.Nationalities = []muster.Country{"KP"} })}},
		"the network alone is doubtful":                      {"ip", muster.PhaseDoubtful, []func(*muster.Facts){func(f *muster.Facts) { f.Access.Country = "KP" }}},
		"payment alone is doubtful":                          {"payment", muster.PhaseDoubtful, []func(*muster.Facts){func(f *muster.Facts) { f.Payment.Country = "KP" }}},
		"network and payment are doubtful":                   {"ip payment", muster.PhaseDoubtful, []func(*muster.Facts){func(f *muster.Facts) { f.Payment.Country, f.Access.Country = "KP", "KP" }}},
		"address and network":                                {"address ip", muster.PhaseInForce, []func(*muster.Facts){customer(there), func(f *muster.Facts) { f.Access.Country = "KP" }}},
		"a signatory does not count": {"", "", []func(*muster.Facts){func(f *muster.Facts) {
			f.Subjects = append(f.Subjects, muster.SubjectFacts{Role: muster.RoleSignatory, Pointer: "/signatories/0", Country: "KP"})
		}}},
		"cleared by a person": {"address", muster.PhaseCleared, []func(*muster.Facts){customer(there), customer(func(s *muster.SubjectFacts) {
			s.Evidence = []muster.Evidence{{Kind: muster.Resolution, Rules: []string{"measure/example-kp"}, Attributes: map[string]muster.Finding{muster.AttrIdentity: muster.Supports}, At: enacted}}
		})}},
		"cleared of another measure": {"address", muster.PhaseInForce, []func(*muster.Facts){customer(there), customer(func(s *muster.SubjectFacts) {
			s.Evidence = []muster.Evidence{{Kind: muster.Resolution, Rules: []string{"measure/other"}, Attributes: map[string]muster.Finding{muster.AttrIdentity: muster.Supports}, At: enacted}}
		})}},
		"a doubt that a person confirmed": {"ip", muster.PhaseInForce, []func(*muster.Facts){func(f *muster.Facts) { f.Access.Country = "KP" }, customer(func(s *muster.SubjectFacts) {
			s.Evidence = []muster.Evidence{{Kind: muster.Resolution, Rules: []string{"measure/example-kp"}, Attributes: map[string]muster.Finding{muster.AttrIdentity: muster.Contradicts}, At: enacted}}
		})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := enact(d)
			m.Licences = nil
			x, ok := measure.Match(m, facts(c.facts...), account, starts)
			if got := strings.Join(x.By, " "); ok != (c.by != "") || got != c.by || x.Phase != c.phase {
				t.Errorf("matches %v on %q, %q; want %q, %q", ok, got, x.Phase, c.by, c.phase)
			}
		})
	}
}

// Nationality matches only where the determination says so; so does every other fact.
func TestOnlyNamedFactsMatch(t *testing.T) {
	t.Parallel()
	all := facts(func(f *muster.Facts) {
		s := &f.Subjects[0]
		s.Country, s.Nationalities, s.Formation = "KP", []muster.Country{"KP"}, "KP"
		s.Evidence = []muster.Evidence{shows("residence", "KP")}
		f.Subjects = append(f.Subjects, muster.SubjectFacts{Role: muster.RoleOwner, Pointer: "/beneficial_owners/0", Country: "KP", Nationalities: []muster.Country{"KP"}, Formation: "KP", Share: muster.WholePercent})
		f.Access.Country, f.Payment.Country = "KP", "KP"
	})
	d := parse(t, "jurisdiction.yaml")
	rapid.Check(t, func(t *rapid.T) {
		m := enact(d)
		m.By = rapid.SliceOfDistinct(rapid.SampledFrom(muster.MeasureFacts), rapid.ID).Draw(t, "by")
		x, _ := measure.Match(m, all, account, starts)
		for _, by := range x.By {
			if !slices.Contains(m.By, by) {
				t.Fatalf("named %v, matched on %s", m.By, by)
			}
		}
		for _, by := range m.By {
			// An owner brings nobody in without a fact of the owner's own that is named.
			own := by != muster.ByOwnership || slices.ContainsFunc(m.By, func(b string) bool {
				return b == muster.ByAddress || b == muster.ByNationality || b == muster.ByFormation
			})
			if own && !slices.Contains(x.By, by) {
				t.Fatalf("named %v, and did not match on %s", m.By, by)
			}
		}
	})
}

func TestRegionsBelowACountry(t *testing.T) {
	t.Parallel()
	m := enact(parse(t, "crimea.yaml"))
	for _, c := range []struct {
		country muster.Country
		area    muster.Area
		want    bool
	}{
		{"UA", muster.Area{Region: "Автономна Республіка Крим"}, true},
		{"UA", muster.Area{Region: "AR  KRYM"}, true},
		{"RU", muster.Area{Region: "Республика Крым"}, true},
		{"RU", muster.Area{Town: "г. Севастополь"}, true},
		{"UA", muster.Area{Town: "Simferopol'"}, true},
		{"UA", muster.Area{Town: "SÍMFEROPOL"}, true},
		{"RU", muster.Area{Postal: "298"}, true},
		{"UA", muster.Area{Postal: "986"}, true},
		{"UA", muster.Area{Region: "Kyiv", Town: "Kyiv", Postal: "010"}, false},
		{"RU", muster.Area{Region: "Краснодарский край", Town: "Крымск", Postal: "353"}, false}, // Krymsk is a town on the mainland
		{"RU", muster.Area{Postal: "986"}, false},
		{"DE", muster.Area{Region: "Crimea", Town: "Simferopol", Postal: "298"}, false},
		{"UA", muster.Area{}, false},
	} {
		f := facts(func(f *muster.Facts) { f.Subjects[0].Country, f.Subjects[0].Area = c.country, &c.area })
		x, ok := measure.Match(m, f, account, starts)
		if ok != c.want || ok && !slices.Equal(x.By, []string{muster.ByRegion}) {
			t.Errorf("%s %+v: %v %v", c.country, c.area, ok, x.By)
		}
	}
	if _, ok := measure.Match(m, facts(func(f *muster.Facts) { f.Subjects[0].Country = "UA" }), account, starts); ok {
		t.Error("the whole country matches")
	}
}

func TestPersons(t *testing.T) {
	t.Parallel()
	d := parse(t, "jurisdiction.yaml")
	d.Kind, d.By = muster.MeasurePerson, []string{muster.ByOwnership}
	d.Targets = []muster.MeasureTarget{{List: "ofac.sdn", Entry: "42"}, {Customer: "cus_9"}}
	m := enact(d)
	hit := func(state muster.HitState) func(*muster.Facts) {
		return func(f *muster.Facts) {
			f.Subjects[0].Hits = []muster.HitFacts{{Hit: "hit_1", List: "ofac.sdn", Entry: "42", State: state}}
		}
	}
	if x, ok := measure.Match(m, facts(hit(muster.HitTrue)), account, starts); !ok || x.By[0] != muster.ByPerson || x.Phase != muster.PhaseInForce {
		t.Errorf("a true hit: %v %+v", ok, x)
	}
	if _, ok := measure.Match(m, facts(hit(muster.HitFalse)), account, starts); ok {
		t.Error("a false hit matches")
	}
	if _, ok := measure.Match(m, facts(), account, starts); ok {
		t.Error("nobody matches")
	}
	if _, ok := measure.Match(m, facts(), &muster.AccountRecord{ID: "acc_2", Customer: "cus_9"}, starts); !ok {
		t.Error("the customer that is named does not match")
	}
}

func TestBeginsEndsAndGrace(t *testing.T) {
	t.Parallel()
	d := parse(t, "jurisdiction.yaml")
	d.Exceptions = nil
	m := enact(d)
	fresh := facts(func(f *muster.Facts) { f.Subjects[0].Country = "KP" })
	old := facts(func(f *muster.Facts) { f.Subjects[0].Country, f.Application.Received = "KP", enacted.Add(-time.Hour) })
	for _, c := range []struct {
		facts *muster.Facts
		at    time.Time
		want  string
	}{
		{fresh, enacted, muster.PhaseComing},
		{fresh, starts.Add(-time.Microsecond), muster.PhaseComing},
		{fresh, starts, muster.PhaseInForce},
		{old, starts, muster.PhaseComing},
		{old, grace.Add(-time.Microsecond), muster.PhaseComing},
		{old, grace, muster.PhaseInForce},
		{fresh, ends.Add(-time.Microsecond), muster.PhaseInForce},
		{fresh, ends, ""},
	} {
		if x, _ := measure.Match(m, c.facts, account, c.at); x.Phase != c.want {
			t.Errorf("at %s: %q, want %q", c.at, x.Phase, c.want)
		}
	}
	// The clock went back: what was decided stays decided.
	m.High = grace
	if x, _ := measure.Match(m, old, account, starts); x.Phase != muster.PhaseInForce {
		t.Errorf("a clock that went back: %q", x.Phase)
	}
	m.High = ends
	if x, ok := measure.Match(m, fresh, account, starts); ok {
		t.Errorf("a measure that was over is back: %+v", x)
	}
}

func transitions(m *muster.Measure, f *muster.Facts, a *muster.AccountRecord) []string {
	x, ok := measure.Match(m, f, a, enacted)
	if !ok {
		return nil
	}
	var out []string
	for _, t := range measure.Transitions(m, &x, a) {
		out = append(out, strings.TrimSpace(t.From.Format(time.DateOnly)+" "+t.Until.Format(time.DateOnly)+" "+string(t.Status)+" "+strings.Join(t.Limits.Products, ",")+t.Limits.GPU))
	}
	return out
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	kp := facts(func(f *muster.Facts) { f.Subjects[0].Country = "KP" })
	d := parse(t, "jurisdiction.yaml")
	plain := *d
	plain.Exceptions = nil
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	act := func(kind string, a muster.MeasureAct) muster.MeasureAct {
		a.Kind, a.Determination, a.Approved = kind, d.ID, enacted.Add(time.Hour)
		return a
	}
	for name, c := range map[string]struct {
		m    *muster.Measure
		f    *muster.Facts
		want []string
	}{
		"prohibited":               {enact(&plain), kp, []string{"2027-06-01 2028-05-31 deny"}},
		"with an exception":        {enact(d), kp, []string{"2027-06-01 2028-05-31 limited dns"}},
		"existing":                 {enact(&plain), facts(func(f *muster.Facts) { f.Subjects[0].Country, f.Application.Received = "KP", enacted.Add(-time.Hour) }), []string{"2027-07-01 2028-05-31 deny"}},
		"lifted":                   {enact(&plain, act(muster.ActLift, muster.MeasureAct{At: day("2027-08-01")})), kp, []string{"2027-06-01 2027-08-01 deny"}},
		"renewed":                  {enact(&plain, act(muster.ActRenew, muster.MeasureAct{Until: day("2029-05-01")})), kp, []string{"2027-06-01 2029-05-01 deny"}},
		"licensed for a while":     {enact(&plain, act(muster.ActLicense, muster.MeasureAct{Licence: &muster.Licence{Account: "acct-1", From: day("2027-09-01"), Until: day("2027-10-01")}})), kp, []string{"2027-06-01 2027-09-01 deny", "2027-10-01 2028-05-31 deny"}},
		"licensed for a product":   {enact(&plain, act(muster.ActLicense, muster.MeasureAct{Licence: &muster.Licence{Customer: "cus_1", Products: []string{"vm"}, Until: day("2027-10-01")}})), kp, []string{"2027-06-01 2027-10-01 limited vm", "2027-10-01 2028-05-31 deny"}},
		"another one's licence":    {enact(&plain, act(muster.ActLicense, muster.MeasureAct{Licence: &muster.Licence{Account: "acct-2"}})), kp, []string{"2027-06-01 2028-05-31 deny"}},
		"conditions":               {enact(parse(t, "conditions.json")), kp, []string{"2027-06-01 2028-05-31 limited none"}},
		"doubtful":                 {enact(&plain), facts(func(f *muster.Facts) { f.Access.Country = "KP" }), nil},
		"not yet approved changes": {enact(&plain, muster.MeasureAct{Kind: muster.ActLift, Determination: d.ID, At: day("2027-08-01")}), kp, []string{"2027-06-01 2028-05-31 deny"}},
	} {
		if diff := cmp.Diff(c.want, transitions(c.m, c.f, account)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever licences there are: transitions rise, do not overlap, and lie within the
// measure; at every instant they say what Match says.
func TestTransitionsAgreeWithMatch(t *testing.T) {
	t.Parallel()
	d := parse(t, "jurisdiction.yaml")
	rapid.Check(t, func(t *rapid.T) {
		when := func(label string) time.Time { return starts.AddDate(0, 0, rapid.IntRange(-30, 400).Draw(t, label)) }
		plain := *d
		plain.Exceptions = nil
		m := enact(&plain)
		for range rapid.IntRange(0, 4).Draw(t, "licences") {
			l := muster.Licence{Account: rapid.SampledFrom([]string{"acct-1", "acct-2"}).Draw(t, "account"), From: when("from"), Until: when("until")}
			if rapid.Bool().Draw(t, "some") {
				l.Products = []string{rapid.SampledFrom([]string{"vm", "dns"}).Draw(t, "product")}
			}
			m.Licences = append(m.Licences, l)
		}
		f := facts(func(f *muster.Facts) { f.Subjects[0].Country = "KP" })
		x, ok := measure.Match(m, f, account, enacted)
		if !ok {
			t.Fatal("no match")
		}
		list := measure.Transitions(m, &x, account)
		for i, tr := range list {
			if !tr.From.Before(tr.Until) || tr.From.Before(m.Starts) || tr.Until.After(m.Ends) || i > 0 && tr.From.Before(list[i-1].Until) {
				t.Fatalf("%+v", list)
			}
		}
		at := when("at")
		y, ok := measure.Match(m, f, account, at)
		i := slices.IndexFunc(list, func(tr muster.Transition) bool { return !at.Before(tr.From) && at.Before(tr.Until) })
		switch {
		case !ok || y.Phase == muster.PhaseComing || y.Phase == muster.PhaseLicensed:
			if i >= 0 {
				t.Fatalf("at %s nothing holds and the gate is told %+v", at, list[i])
			}
		case i < 0:
			t.Fatalf("at %s it is %s and the gate is told nothing", at, y.Phase)
		case (list[i].Status == muster.GateDeny) != (y.Measure == muster.MeasureProhibit):
			t.Fatalf("at %s: %s, and the gate is told %s", at, y.Measure, list[i].Status)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/jurisdiction.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown member":       {"title:", "titel:", "malformed"},
		"another format":          {"format: 1", "format: 2", "/format"},
		"an id with capitals":     {"id: example-kp", "id: Example", "/id"},
		"place of birth":          {"by: [address,", "by: [birth_place,", "/by/0"},
		"language":                {"by: [address,", "by: [language,", "/by/0"},
		"a fact twice":            {"by: [address,", "by: [address, address,", "/by/1"},
		"an end before the start": {"until: 2028-05-31", "until: 2027-05-31", "/until"},
		"a date that is none":     {"published: 2026-11-02", "published: soon", "malformed"},
		"no words of appeal":      {"  appeal:", "  # appeal:", "/words/appeal"},
		"an alias":                {"title: No accounts of Examplestan", "title: &a No accounts", "malformed"},
		"a licence for all":       {"products: [dns]", "products: []", "/exceptions/0/products"},
		"a share of letters":      {`share: "50"`, `share: "half"`, "/ownership/share"},
		"a country in words":      {"country: KP", "country: Examplestan", "/targets/0/country"},
		"two documents":           {"format: 1", "format: 1\n---\nformat: 1", "malformed"},
		"conditions of a ban":     {"measure: prohibit", "measure: prohibit\nconditions: {verify: [address]}", "/conditions"},
	} {
		src := strings.Replace(string(good), c.from, c.to, 1)
		if src == string(good) {
			t.Fatalf("%s: nothing was changed", name)
		}
		_, err := measure.Parse([]byte(src))
		var e *muster.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := string(e.Code) == c.want
		for _, f := range e.Faults {
			found = found || f.Pointer == c.want
		}
		if !found {
			t.Errorf("%s: %v %+v", name, err, e.Faults)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"crimea.yaml", "jurisdiction.yaml", "conditions.json"} {
		src, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("format: [[[[[["))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := measure.Parse(src)
		if err != nil {
			if muster.ErrorCode(err) == muster.CodeInternal {
				t.Fatal(err)
			}
			return
		}
		if faults := measure.Check(d); len(faults) > 0 {
			t.Fatalf("it was taken with faults: %+v", faults)
		}
		m := enact(d)
		x, ok := measure.Match(m, facts(func(f *muster.Facts) { f.Subjects[0].Country = "KP" }), account, starts)
		if ok {
			measure.Transitions(m, &x, account)
		}
	})
}
