package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares got with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// caseFile is one folder pair: testdata/cases/<name>.yaml -> <name>.json.
type caseFile struct {
	Packs []string `yaml:"packs"`
	Given Given    `yaml:"given"`
}

func TestCases(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/cases/*.yaml")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c caseFile
			if err := decode(string(src), &c); err != nil {
				t.Fatal(err, faults(err))
			}
			f, err := c.Given.Facts()
			if err != nil {
				t.Fatal(err)
			}
			var ps []*Pack
			for _, id := range c.Packs {
				ps = append(ps, load(t, id))
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", pretty(t, undigested(Decide(ps, f))))
		})
	}
}

// undigested leaves out what changes with every letter of a pack.
func undigested(d muster.Decision) muster.Decision {
	d.Packs = slices.Clone(d.Packs)
	for i := range d.Packs {
		d.Packs[i].Digest = ""
	}
	return d
}

func pretty(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// Released editions decide as they did when they were released: the pack's bytes
// and the decisions on its examples are kept under testdata/golden.
func TestReleasedEditionsDecideAsTheyDid(t *testing.T) {
	t.Parallel()
	if *update {
		for _, id := range []string{packs.Default, "in-cert-in"} {
			p := load(t, id)
			dir := filepath.Join("testdata", "golden", p.ID(), p.Edition())
			golden(t, filepath.Join(dir, "pack.yaml"), string(p.Source()))
		}
	}
	dirs, _ := filepath.Glob("testdata/golden/*/*")
	if len(dirs) == 0 {
		t.Fatal("no released edition")
	}
	for _, dir := range dirs {
		src, err := os.ReadFile(filepath.Join(dir, "pack.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		p := compile(t, string(src))
		if want := filepath.Join("testdata", "golden", p.ID(), p.Edition()); want != dir {
			t.Errorf("%s holds %s", dir, want)
		}
		type one struct {
			Example  string          `json:"example"`
			Decision muster.Decision `json:"decision"`
		}
		var all []one
		for i := range p.doc.Examples {
			e := &p.doc.Examples[i]
			all = append(all, one{e.Name, Strip(Decide([]*Pack{p}, facts(t, e)))})
		}
		golden(t, filepath.Join(dir, "decisions.json"), pretty(t, all))
	}
}

// An embedded edition is never edited once it was released.
func TestEmbeddedEditionsAreTheReleasedOnes(t *testing.T) {
	t.Parallel()
	for _, id := range []string{packs.Default, "in-cert-in"} {
		p := load(t, id)
		kept, err := os.ReadFile(filepath.Join("testdata", "golden", p.ID(), p.Edition(), "pack.yaml"))
		if err != nil {
			t.Errorf("edition %s of %s is not kept: go test ./policy -update", p.Edition(), id)
			continue
		}
		if string(kept) != string(p.Source()) {
			t.Errorf("edition %s of %s was edited after its release: give it a new edition", p.Edition(), id)
		}
	}
}

// anyFacts draws facts of every shape, sensible or not.
func anyFacts(t *rapid.T) *muster.Facts {
	country := rapid.SampledFrom([]muster.Country{"", "US", "PR", "DE", "NG", "CN", "XK", "XXA"})
	party := func(role muster.SubjectRole) GivenParty {
		p := GivenParty{
			Kind: rapid.SampledFrom([]muster.PartyKind{"", muster.Individual, muster.Entity}).Draw(t, "kind"), Country: country.Draw(t, "country"),
			Absent:  rapid.SliceOfDistinct(rapid.SampledFrom([]string{"name", "email", "phone", "address", "address.lines", "formation", "device"}), rapid.ID).Draw(t, "absent"),
			Control: rapid.Bool().Draw(t, "control"), Share: fmt.Sprint(rapid.IntRange(0, 100).Draw(t, "share")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "evidence") {
			p.Evidence = append(p.Evidence, GivenEvidence{
				Method:      rapid.SampledFrom([]string{"contact.email", "contact.phone", "document.manual", "resolution", "eid.mitid"}).Draw(t, "method"),
				Supports:    rapid.SliceOf(rapid.SampledFrom(muster.Attributes)).Draw(t, "supports"),
				Contradicts: rapid.SliceOfN(rapid.SampledFrom(muster.Attributes), 0, 1).Draw(t, "contradicts"),
				Shows:       map[string][]muster.Country{muster.AttrNationality: {country.Draw(t, "shows")}},
				Rules:       rapid.SliceOf(rapid.SampledFrom([]string{"us-iaas-cip/three_countries", "contradicted", "us-iaas-cip/verify_name"})).Draw(t, "rules"),
				DaysAgo:     rapid.IntRange(0, 800).Draw(t, "days"),
			})
		}
		return p
	}
	g := Given{
		Customer: party(muster.RoleCustomer), Access: country.Draw(t, "access"), NoNotice: rapid.Bool().Draw(t, "notice"),
		Payment: GivenPayment{Country: country.Draw(t, "payment")}, InterimDays: rapid.IntRange(0, 40).Draw(t, "interim"),
		State:   rapid.SampledFrom([]string{"received", "needs", "review", "approved"}).Draw(t, "state"),
		Account: rapid.SampledFrom([]string{"pending", "limited", "active"}).Draw(t, "account"),
		Counts:  map[string]int64{"customers_per_card": rapid.Int64Range(0, 9).Draw(t, "cards")},
	}
	for range rapid.IntRange(0, 4).Draw(t, "owners") {
		g.Owners = append(g.Owners, party(muster.RoleOwner))
	}
	f, err := g.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDecideProperties(t *testing.T) {
	t.Parallel()
	us, in := load(t, packs.Default), load(t, "in-cert-in")
	rapid.Check(t, func(t *rapid.T) {
		f := anyFacts(t)
		alone, other, both := Decide([]*Pack{us}, f), Decide([]*Pack{in}, f), Decide([]*Pack{us, in}, f)
		if diff := cmp.Diff(both, Decide([]*Pack{us, in}, f)); diff != "" {
			t.Fatal("not deterministic", diff)
		}
		if rev := Decide([]*Pack{in, us}, f); rev.Outcome != both.Outcome || !slices.Equal(needLines(rev.Needs), needLines(both.Needs)) {
			t.Fatal("the order of packs matters")
		}
		// A second pack never makes the outcome milder, but that verifying waits for collecting.
		if s := both.Outcome.Severity(); s < alone.Outcome.Severity() && both.Outcome != muster.OutcomeCollect {
			t.Fatalf("%s alone, %s with another pack (%s)", alone.Outcome, both.Outcome, other.Outcome)
		}
		if len(both.Warnings) > 0 {
			t.Fatal(both.Warnings)
		}
		if both.Outcome == muster.OutcomeOpen && len(both.Needs) > 0 {
			t.Fatal("open with needs", both.Needs)
		}
		if both.Outcome.Severity() >= muster.OutcomeCollect.Severity() && len(both.Reasons) == 0 {
			t.Fatal("an outcome without a reason")
		}
		// Nobody is refused or suspended without a person's resolution against them.
		if both.Outcome.Severity() >= muster.OutcomeSuspend.Severity() {
			against := false
			for _, s := range f.Subjects {
				for _, e := range s.Evidence {
					against = against || e.Kind == muster.Resolution && e.Attributes[muster.AttrIdentity] == muster.Contradicts
				}
			}
			if !against {
				t.Fatal(both.Outcome, "without a person")
			}
		}
		// Claimed nationality and us_person_claim change nothing at all.
		g := *f
		g.Subjects = slices.Clone(f.Subjects)
		for i := range g.Subjects {
			g.Subjects[i].Nationalities, g.Subjects[i].USPersonClaim = []muster.Country{"US"}, "citizen"
		}
		if diff := cmp.Diff(both, Decide([]*Pack{us, in}, &g)); diff != "" {
			t.Fatal("a claim changed the decision", diff)
		}
	})
}

func TestThresholdIsExact(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	for share, want := range map[string]bool{"25": true, "25.000000": true, "24.999999": false, "0": false, "100": true} {
		v, err := muster.ParsePercent(share)
		if err != nil {
			t.Fatal(err)
		}
		s := muster.SubjectFacts{Role: muster.RoleOwner, Kind: muster.Individual, Terminal: true, Share: v}
		if got := p.isBeneficial(&s); got != want {
			t.Errorf("%s: %v", share, got)
		}
	}
}

func TestConditionThatCannotBeComputedHolds(t *testing.T) {
	t.Parallel()
	p := compile(t, ruleWhen("1 / owners.open == 1"))
	var g Given
	f, _ := g.Facts()
	d := Decide([]*Pack{p}, f)
	if d.Outcome != muster.OutcomeReview || len(d.Warnings) != 1 {
		t.Errorf("%s %v", d.Outcome, d.Warnings)
	}
}

func TestObservedRulesChangeNothing(t *testing.T) {
	t.Parallel()
	p := compile(t, strings.Replace(ruleWhen("true"), "mode: enforce", "mode: observe", 1))
	var g Given
	f, _ := g.Facts()
	d := Decide([]*Pack{p}, f)
	if d.Outcome != muster.OutcomeOpen || len(d.Reasons) != 0 || len(d.Observed) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestResolutionIsVoidOnceEvidenceContradictsAfterIt(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	decide := func(contradicted int) muster.Outcome {
		g := Given{Customer: GivenParty{Country: "DE", Evidence: []GivenEvidence{
			{Method: "document.manual", Supports: []string{"nationality"}, Contradicts: []string{"name"}, DaysAgo: contradicted},
			{Method: "resolution", Supports: []string{"identity"}, Rules: []string{"us-iaas-cip/contradicted"}, DaysAgo: 5},
		}}}
		f, _ := g.Facts()
		return Decide([]*Pack{p}, f).Outcome
	}
	if o := decide(6); o != muster.OutcomeVerify {
		t.Error("settled, and still", o)
	}
	if o := decide(4); o != muster.OutcomeReview {
		t.Error("contradicted after it was settled, and yet", o)
	}
}

func TestAppealTakesARefusalBack(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	g := Given{Customer: GivenParty{Country: "DE", Evidence: []GivenEvidence{
		{Method: "resolution", Contradicts: []string{"identity"}, Rules: []string{"us-iaas-cip/three_countries"}, DaysAgo: 5},
		{Method: "resolution", Supports: []string{"identity"}, Rules: []string{"us-iaas-cip/identity_refused"}, DaysAgo: 2},
	}}}
	f, _ := g.Facts()
	if d := Decide([]*Pack{p}, f); d.Outcome != muster.OutcomeVerify {
		t.Errorf("%s", d.Outcome)
	}
}

func TestSandboxGivesTheOutcomeAskedFor(t *testing.T) {
	t.Parallel()
	p, us := load(t, "sandbox"), load(t, packs.Default)
	for _, f := range Check(p).Findings {
		t.Error(f)
	}
	for _, o := range muster.Outcomes {
		var g Given
		f, _ := g.Facts()
		f.Magic = string(o)
		if d := Decide([]*Pack{us}, f); d.Outcome != muster.OutcomeVerify {
			t.Errorf("the default pack reads magic: %s", d.Outcome)
		}
		d := Decide([]*Pack{p}, f)
		if d.Outcome != o || len(d.Reasons) != 1 {
			t.Errorf("%s: %s", o, d.Outcome)
		}
		if diff := cmp.Diff(d, Fill(Strip(d), []*Pack{p}), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
	var g Given
	f, _ := g.Facts()
	if d := Decide([]*Pack{p}, f); len(d.Packs) != 0 {
		t.Error("the sandbox's pack decides where nobody asked it to")
	}
}

func TestCountsWanted(t *testing.T) {
	t.Parallel()
	us := load(t, packs.Default)
	other := compile(t, strings.Replace(ruleWhen("counts.customers_per_card > 1"), "rules:", "counts: [{name: customers_per_card, of: card, count: customers, window: 7 days}]\nrules:", 1))
	got := CountsWanted([]*Pack{us, us, other})
	if len(got) != len(us.doc.Counts)+1 || got[len(got)-1].Key != "small/customers_per_card" {
		t.Errorf("%+v", got)
	}
	var g Given
	g.Counts = map[string]int64{"customers_per_card": 9, "small/customers_per_card": 1}
	f, _ := g.Facts()
	if d := Decide([]*Pack{other}, f); d.Outcome != muster.OutcomeOpen {
		t.Error("the pack read another's count")
	}
	now := time.Date(2026, 11, 8, 0, 0, 0, 0, time.UTC)
	if s := got[len(got)-1].Since(now); !s.Equal(now.AddDate(0, 0, -7)) {
		t.Error(s)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	draft := compile(t, strings.Replace(string(p.Source()), "when: counts.customers_per_card > 5", "when: counts.customers_per_card > 2", 1))
	recorded := func(n int) iter.Seq[Recorded] {
		return func(yield func(Recorded) bool) {
			for i := range n {
				g := p.doc.Examples[i%len(p.doc.Examples)].Given
				g.Counts = map[string]int64{"customers_per_card": int64(i % 4)}
				f, err := g.Facts()
				if err != nil {
					t.Error(err)
				}
				d := Strip(Decide([]*Pack{p}, f))
				d.ID = fmt.Sprintf("dec_%06d", i)
				if i%10 == 9 {
					f.Subjects = nil // erased
				}
				if !yield(Recorded{Facts: f, Decision: d}) {
					return
				}
			}
		}
	}
	const n = 2000
	r := Replay([]*Pack{draft}, recorded(n))
	if r.OutOfReach != n/10 || r.Decided != n-n/10 || r.Same+r.Different != r.Decided {
		t.Errorf("%+v", r)
	}
	if r.RulesNew["us-iaas-cip/card_of_many"] == 0 || r.RulesGone["us-iaas-cip/verify_email"] != 0 || r.RulesGone["us-iaas-cip/us_persons"] == 0 || r.Moves["verify -> review"] == 0 || r.ByCountry["NG"]["open"].Was == 0 {
		t.Errorf("new %v gone %v moves %v", r.RulesNew, r.RulesGone, r.Moves)
	}
	if !slices.IsSortedFunc(r.Changed, func(a, b Changed) int { return strings.Compare(a.Decision, b.Decision) }) || len(r.Changed) != r.Different {
		t.Error("changed decisions are not named in order")
	}
	if again := Replay([]*Pack{p}, recorded(n)); again.Different != 0 {
		t.Errorf("the same pack decides otherwise: %v %v", again.RulesNew, again.RulesGone)
	}
}

func BenchmarkReplay(b *testing.B) {
	p := load(b, packs.Default)
	f := facts(b, &p.doc.Examples[0])
	d := Decide([]*Pack{p}, f)
	for b.Loop() {
		Replay([]*Pack{p}, func(yield func(Recorded) bool) {
			for range 20_000 {
				if !yield(Recorded{Facts: f, Decision: d}) {
					return
				}
			}
		})
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

func TestWhatTheProviderAddsObservesUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	var g Given
	f, err := g.Facts()
	if err != nil {
		t.Fatal(err)
	}
	stated := ruleWhen("true")
	for pack, want := range map[string]struct {
		outcome  muster.Outcome
		observed int
	}{
		stated: {muster.OutcomeReview, 0},
		strings.Replace(stated, "    mode: enforce\n", "", 1):                                                   {muster.OutcomeOpen, 1},
		strings.Replace(strings.Replace(stated, "    mode: enforce\n", "", 1), "provider's own", "in force", 1): {muster.OutcomeReview, 0},
	} {
		if d := Decide([]*Pack{compile(t, pack)}, f); d.Outcome != want.outcome || len(d.Observed) != want.observed {
			t.Errorf("%s, %d observed; want %s, %d", d.Outcome, len(d.Observed), want.outcome, want.observed)
		}
	}
}
