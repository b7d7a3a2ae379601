package gate_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func encode(t interface{ Fatal(...any) }, p muster.Profile) []byte {
	raw, _, err := gate.EncodeProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func always(s muster.GateStatus, code string) muster.Profile {
	return muster.Profile{Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: s, Code: code}}}}
}

// TestSnapshotsFollowAMap: whatever is changed in whatever portions, a snapshot
// says what a map of the same changes says; its digest is that of a snapshot built
// at once; and an older one still says what it said.
func TestSnapshotsFollowAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := gate.Key{7}
		profiles := make([][]byte, 5)
		for i := range profiles {
			profiles[i] = encode(t, always(muster.GateDeny, fmt.Sprint(i)))
		}
		model := map[string]int{}
		build := func(seq uint64) *gate.Snapshot {
			b := gate.NewBuilder("dep", key)
			for name, p := range model {
				i, err := b.Profile(profiles[p])
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Add(key.Hash(name), gate.DecisionID{byte(p)}, i); err != nil {
					t.Fatal(err)
				}
			}
			return b.Snapshot(1, seq)
		}
		for i := range rapid.IntRange(0, 3000).Draw(t, "begin") {
			model[fmt.Sprint("a", i)] = i % len(profiles)
		}
		s := build(0)
		names := rapid.OneOf(rapid.Map(rapid.IntRange(0, 3500), func(i int) string { return fmt.Sprint("a", i) }), rapid.StringN(1, 64, 64))
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			before, digest := s, s.Digest()
			var changes []gate.Change
			for range rapid.IntRange(0, 40).Draw(t, "changes") {
				name, p := names.Draw(t, "name"), rapid.IntRange(-1, len(profiles)-1).Draw(t, "profile")
				c := gate.Change{Hash: key.Hash(name)}
				delete(model, name)
				if p >= 0 {
					model[name] = p
					c.Profile, c.Decision = profiles[p], gate.DecisionID{byte(p)}
				}
				changes = append(changes, c)
			}
			var err error
			if s, err = s.With(uint64(step+1), changes); err != nil {
				t.Fatal(err)
			}
			if before.Digest() != digest {
				t.Fatal("an old snapshot has another digest")
			}
			if want := build(s.Seq); want.Digest() != s.Digest() || want.Len() != s.Len() || s.Len() != len(model) {
				t.Fatalf("%d accounts after changes, %d built at once, %d in the model; digests equal: %v", s.Len(), want.Len(), len(model), want.Digest() == s.Digest())
			}
			for name, p := range model {
				got, d, ok := s.Lookup(name)
				if !ok || got.Steps[0].Code != fmt.Sprint(p) || d != (gate.DecisionID{byte(p)}) {
					t.Fatalf("%q: %v %+v, want profile %d", name, ok, got, p)
				}
			}
			for range 50 {
				name := names.Draw(t, "other")
				if _, _, ok := s.Lookup(name); ok != has(model, name) {
					t.Fatalf("%q is known: %v", name, ok)
				}
			}
		}
	})
}

func has(m map[string]int, k string) bool { _, ok := m[k]; return ok }

// TestATableThatGrowsIsCutAnew: from nothing to many, in small portions.
func TestATableThatGrowsIsCutAnew(t *testing.T) {
	t.Parallel()
	key := gate.Key{1}
	s := gate.NewBuilder("dep", key).Snapshot(1, 0)
	raw := encode(t, always(muster.GateAllow, ""))
	const n = 60_000
	for at := 0; at < n; at += 500 {
		var changes []gate.Change
		for i := range 500 {
			changes = append(changes, gate.Change{Hash: key.Hash(fmt.Sprint(at + i)), Profile: raw})
		}
		var err error
		if s, err = s.With(s.Seq+500, changes); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if _, _, ok := s.Lookup(fmt.Sprint(i)); !ok {
			t.Fatalf("account %d of %d is gone", i, n)
		}
	}
}

func setupGate(t testing.TB, profiles map[string]muster.Profile) *gate.Gate {
	t.Helper()
	key := gate.Key{3}
	b := gate.NewBuilder("dep", key)
	for name, p := range profiles {
		i, err := b.Profile(encode(t, p))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(key.Hash(name), gate.ParseDecision("dec_01hf0000000000000000000000"), i); err != nil {
			t.Fatal(err)
		}
	}
	g := &gate.Gate{}
	s := b.Snapshot(1, 9)
	g.Set(s, &gate.Head{Deployment: "dep", Epoch: 1, Seq: 9, Digest: s.Digest(), Time: noon, Bound: time.Minute, Fail: gate.Fail{
		Stale: gate.Actions(muster.ActionUse, muster.ActionExportData, muster.ActionFirstOrder), Unknown: gate.Actions(muster.ActionOpenAccount),
	}})
	return g
}

func TestDecide(t *testing.T) {
	t.Parallel()
	two := 2
	g := setupGate(t, map[string]muster.Profile{
		"good": always(muster.GateAllow, ""),
		"held": {Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: muster.GateDeny, Code: "suspended", Except: []string{muster.ActionExportData}}}}},
		"small": {Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: muster.GateLimited, Code: "interim", Limits: muster.Limits{
			Products: []string{"vm", "dns"}, Deny: []string{"mail"}, GPU: "shared", Regions: []string{"eu"}, Instances: &two, OutboundMail: "closed", Spend: &muster.Money{Amount: 100, Currency: "EUR"},
		}}}}},
		"ends": {Steps: []muster.ProfileStep{
			{Verdict: muster.Verdict{Status: muster.GateAllow}},
			{From: noon.Add(10 * time.Second), Verdict: muster.Verdict{Status: muster.GateDeny, Code: "measure", Measure: true}},
			{From: noon.Add(20 * time.Second), Verdict: muster.Verdict{Status: muster.GateAllow}},
		}},
		"watched": {Steps: []muster.ProfileStep{{Verdict: muster.Verdict{Status: muster.GateDeny, Code: "refuse", Observed: true}}}},
	})
	const fresh, later, past, stale = time.Second, 10 * time.Second, 20 * time.Second, time.Hour
	for _, c := range []struct {
		name  string
		r     gate.Request
		after time.Duration
		allow bool
		code  string
		until time.Duration
	}{
		{"an account in good standing", gate.Request{Account: "good", Action: "use"}, fresh, true, "", time.Minute},
		{"a word of the provider's own", gate.Request{Account: "good", Action: "vm.resize"}, fresh, true, "", time.Minute},
		{"suspended", gate.Request{Account: "held", Action: "use"}, fresh, false, "suspended", time.Minute},
		{"suspended, data", gate.Request{Account: "held", Action: "export_data"}, fresh, true, "suspended", time.Minute},
		{"unknown, sign-up", gate.Request{Account: "new", Action: "open_account"}, fresh, true, "unknown_account", time.Minute},
		{"unknown, order", gate.Request{Account: "new", Action: "first_order"}, fresh, false, "unknown_account", time.Minute},
		{"within limits", gate.Request{Account: "small", Action: "add_resources", Product: "vm", GPU: "shared", Region: "eu", Instances: 2, Spend: muster.Money{Amount: 100, Currency: "EUR"}}, fresh, true, "interim", time.Minute},
		{"product", gate.Request{Account: "small", Product: "cdn"}, fresh, false, "limit_product", time.Minute},
		{"gpu", gate.Request{Account: "small", GPU: "multi"}, fresh, false, "limit_gpu", time.Minute},
		{"gpu of no known class", gate.Request{Account: "small", GPU: "huge"}, fresh, false, "limit_gpu", time.Minute},
		{"region", gate.Request{Account: "small", Region: "us"}, fresh, false, "limit_region", time.Minute},
		{"instances", gate.Request{Account: "small", Instances: 3}, fresh, false, "limit_instances", time.Minute},
		{"mail", gate.Request{Account: "small", OutboundMail: true}, fresh, false, "limit_outbound_mail", time.Minute},
		{"spend", gate.Request{Account: "small", Spend: muster.Money{Amount: 101, Currency: "EUR"}}, fresh, false, "limit_spend", time.Minute},
		{"spend in another currency", gate.Request{Account: "small", Spend: muster.Money{Amount: 1, Currency: "USD"}}, fresh, false, "limit_spend", time.Minute},
		{"before a measure", gate.Request{Account: "ends", Action: "use"}, later - time.Microsecond, true, "", later},
		{"at its instant", gate.Request{Account: "ends", Action: "use"}, later, false, "measure", past},
		{"after it", gate.Request{Account: "ends", Action: "use"}, past, true, "", time.Minute},
		{"observed", gate.Request{Account: "watched", Action: "use"}, fresh, true, "refuse", time.Minute},
		{"stale, use", gate.Request{Account: "good", Action: "use"}, stale, true, "", 0},
		{"stale, create", gate.Request{Account: "good", Action: "add_resources"}, stale, false, "stale", 0},
		{"stale, a word of the provider's own", gate.Request{Account: "good", Action: "vm.resize"}, stale, false, "stale", 0},
		{"stale, what was denied", gate.Request{Account: "held", Action: "use"}, stale, false, "suspended", 0},
		{"stale, an order of an account that a measure names", gate.Request{Account: "ends", Action: "first_order"}, stale, false, "stale", 0},
		{"stale, an order of another", gate.Request{Account: "good", Action: "first_order"}, stale, true, "", 0},
		{"stale, unknown", gate.Request{Account: "new", Action: "open_account"}, stale, false, "stale", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := g.Decide(&c.r, noon.Add(c.after))
			if a.Allow != c.allow || a.Code != c.code {
				t.Errorf("allow %v, code %q; want %v, %q", a.Allow, a.Code, c.allow, c.code)
			}
			var until time.Time
			if c.until > 0 {
				until = noon.Add(c.until)
			}
			if !a.Until.Equal(until) {
				t.Errorf("holds until %v, want %v", a.Until, until)
			}
			if a.WouldDeny != (c.name == "observed") {
				t.Errorf("would deny: %v", a.WouldDeny)
			}
			if !a.Allow && a.Status != muster.GateDeny {
				t.Errorf("denied with status %q", a.Status)
			}
		})
	}
	if a := new(gate.Gate).Decide(&gate.Request{Account: "good", Action: "add_resources"}, noon); a.Allow || a.Code != "no_snapshot" {
		t.Errorf("a gate without a snapshot: %+v", a)
	}
	if a := g.Decide(&gate.Request{Account: "held"}, noon); a.Decision.String() != "dec_01hf0000000000000000000000" {
		t.Errorf("decision %q", a.Decision)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	g := setupGate(t, map[string]muster.Profile{
		"good": always(muster.GateAllow, ""), "held": always(muster.GateDeny, "suspended"),
	})
	for _, name := range []string{"good", "held", "a-reference-of-the-longest-kind-that-there-may-be-0123456789-0123"} {
		for _, at := range []time.Time{noon, noon.Add(time.Hour)} {
			r := &gate.Request{Account: name, Action: muster.ActionAddGPU, GPU: "multi"}
			if n := testing.AllocsPerRun(100, func() { g.Decide(r, at) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

// TestProfilesThatNobodyHasAreForgotten: accounts pass through profiles of their own
// for ever; what is held stays bounded, and what is said stays right.
func TestProfilesThatNobodyHasAreForgotten(t *testing.T) {
	t.Parallel()
	s := setupSnapshot(t, 50)
	key := s.Key()
	shared, _ := gate.New(s, noon).Verdict("3")
	const changes, each = 120, 200
	for i := range changes {
		var portion []gate.Change
		for j := range each {
			p := always(muster.GateDeny, "own")
			p.Steps = append(p.Steps, muster.ProfileStep{From: noon.Add(time.Duration(i*each+j) * time.Second), Verdict: muster.Verdict{Status: muster.GateAllow}})
			portion = append(portion, gate.Change{Hash: key.Hash(fmt.Sprint("x", j%20)), Profile: encode(t, p)})
		}
		var err error
		if s, err = s.With(s.Seq+1, portion); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Profiles(); n > changes*each/2 {
		t.Errorf("%d profiles are held for %d accounts", n, s.Len())
	}
	for j := range 20 {
		p, _, ok := s.Lookup(fmt.Sprint("x", j))
		if want := noon.Add(time.Duration((changes-1)*each+each-20+j) * time.Second); !ok || len(p.Steps) != 2 || !p.Steps[1].From.Equal(want) {
			t.Fatalf("account x%d: %+v", j, p)
		}
	}
	if v, ok := gate.New(s, noon).Verdict("3"); !ok || v != shared {
		t.Error("a verdict has moved: who keeps something by it keeps it for ever")
	}
	if unused := s.Unused(5); len(unused) != 5 {
		t.Errorf("%d unused profiles", len(unused))
	}
}
