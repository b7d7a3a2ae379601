package gate_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

func decided(o muster.Outcome, change ...func(*muster.Decision)) *muster.Decision {
	d := &muster.Decision{Outcome: o, Reasons: []muster.Reason{
		{Pack: "p", Rule: "minor", Outcome: muster.OutcomeOpen, Code: "minor"},
		{Pack: "p", Rule: "led", Outcome: o, Code: "led_" + string(o), Customer: "Words.", Operator: "Why."},
	}}
	for _, f := range change {
		f(d)
	}
	return d
}

func hidden(d *muster.Decision) { d.Reasons[1].Hidden = true }

func interim(days int) func(*muster.Decision) {
	return func(d *muster.Decision) { d.Interim, d.Limits.Days = true, &days }
}

func TestComposeOfStatesAndDecisions(t *testing.T) {
	t.Parallel()
	watched := func(d *muster.Decision) {
		d.Observed = []muster.Reason{{Pack: "q", Rule: "later", Outcome: muster.OutcomeRefuse, Code: "later"}}
	}
	for _, c := range []struct {
		name   string
		state  string
		d      *muster.Decision
		status muster.GateStatus
		advice bool
		code   string
		except []string
	}{
		{"in good standing", muster.AccActive, decided(muster.OutcomeOpen), muster.GateAllow, false, "", nil},
		{"a person looks, it stays as it was", muster.AccActive, decided(muster.OutcomeReview), muster.GateAllow, false, "", nil},
		{"no decision", muster.AccActive, nil, muster.GateAllow, false, "", nil},
		{"opened in observe mode, would be refused", muster.AccActive, decided(muster.OutcomeRefuse), muster.GateDeny, true, "led_refuse", nil},
		{"opened in observe mode, would be limited", muster.AccActive, decided(muster.OutcomeLimit), muster.GateLimited, true, "led_limit", nil},
		{"opened in observe mode, would have interim service", muster.AccActive, decided(muster.OutcomeVerify, interim(3)), muster.GateLimited, true, "led_verify", nil},
		{"a pack that observes would refuse", muster.AccActive, decided(muster.OutcomeOpen, watched), muster.GateDeny, true, "later", nil},
		{"limited", muster.AccLimited, decided(muster.OutcomeLimit), muster.GateLimited, false, "led_limit", nil},
		{"limited, no decision", muster.AccLimited, nil, muster.GateLimited, false, "limited", nil},
		{"pending", muster.AccPending, decided(muster.OutcomeVerify), muster.GateDeny, false, "led_verify", nil},
		{"pending, no decision", muster.AccPending, nil, muster.GateDeny, false, "pending", nil},
		{"suspended", muster.AccSuspended, decided(muster.OutcomeSuspend), muster.GateDeny, false, "led_suspend", []string{"export_data"}},
		{"leaving", muster.AccClosing, decided(muster.OutcomeOpen), muster.GateDeny, false, "closing", []string{"use", "export_data"}},
		{"refused later", muster.AccClosing, decided(muster.OutcomeRefuse), muster.GateDeny, false, "closing", []string{"export_data"}},
		{"expired", muster.AccClosing, decided(muster.OutcomeVerify), muster.GateDeny, false, "closing", []string{"export_data"}},
		{"closed", muster.AccClosed, decided(muster.OutcomeClose), muster.GateDeny, false, "closed", nil},
		{"a state of a later program", "frozen", decided(muster.OutcomeOpen), muster.GateDeny, false, "closed", nil},
	} {
		p := gate.Compose(&muster.AccountRecord{State: c.state}, c.d, nil)
		v := p.Steps[0].Verdict
		if len(p.Steps) != 1 || v.Status != c.status || v.Observed != c.advice || v.Code != c.code || !slices.Equal(v.Except, c.except) {
			t.Errorf("%s: %+v", c.name, p.Steps)
		}
		if v.Status != muster.GateAllow && !v.Observed && c.d != nil && v.Unblock == "" && v.Status == muster.GateDeny {
			t.Errorf("%s: it does not say where it gets unblocked", c.name)
		}
		if _, _, err := gate.EncodeProfile(p); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestHiddenGroundsStayHidden: at the gate as in an answer.
func TestHiddenGroundsStayHidden(t *testing.T) {
	t.Parallel()
	v := gate.Compose(&muster.AccountRecord{State: muster.AccSuspended}, decided(muster.OutcomeSuspend, hidden), nil).Steps[0]
	if v.Operator != "" || v.Rule != "led_suspend" {
		t.Errorf("%+v", v)
	}
}

func TestInterimServiceEndsInTheProfile(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, time.Microsecond, time.Minute - time.Microsecond} { // all have one profile
		p := gate.Compose(&muster.AccountRecord{State: muster.AccLimited, InterimSince: noon.Add(late)}, decided(muster.OutcomeVerify, interim(14)), nil)
		if len(p.Steps) != 2 || p.Steps[0].Status != muster.GateLimited || p.Steps[1].Status != muster.GateDeny || !p.Steps[1].From.Equal(noon.Add(14*24*time.Hour)) {
			t.Errorf("begun %v past the minute: %+v", late, p.Steps)
		}
	}
}

// TestMeasuresJoinAtEveryInstant: whatever measures there are, at every instant the
// profile's status is the strictest of what holds then, and its limits the tightest.
func TestMeasuresJoinAtEveryInstant(t *testing.T) {
	t.Parallel()
	rank := map[muster.GateStatus]int{muster.GateAllow: 0, muster.GateLimited: 1, muster.GateDeny: 2}
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	rapid.Check(t, func(t *rapid.T) {
		a := &muster.AccountRecord{State: rapid.SampledFrom([]string{muster.AccActive, muster.AccLimited, muster.AccSuspended, muster.AccPending}).Draw(t, "state"), InterimSince: noon}
		days, five := 1, 5
		d := decided(muster.OutcomeVerify)
		base := func(time.Time) (muster.GateStatus, int) { return muster.GateDeny, 1 << 30 }
		switch a.State {
		case muster.AccActive:
			d.Outcome = muster.OutcomeOpen
			base = func(time.Time) (muster.GateStatus, int) { return muster.GateAllow, 1 << 30 }
		case muster.AccLimited:
			d.Interim, d.Limits = true, muster.Limits{Days: &days, Instances: &five}
			base = func(at time.Time) (muster.GateStatus, int) {
				if at.Before(hour(24)) {
					return muster.GateLimited, five
				}
				return muster.GateDeny, 1 << 30
			}
		}
		var ts []muster.Transition
		for range rapid.IntRange(0, 5).Draw(t, "measures") {
			from := rapid.IntRange(-5, 40).Draw(t, "from")
			x := muster.Transition{Determination: "det", From: hour(from), Status: rapid.SampledFrom([]muster.GateStatus{muster.GateLimited, muster.GateDeny}).Draw(t, "status")}
			if long := rapid.IntRange(0, 20).Draw(t, "long"); long > 0 {
				x.Until = hour(from + long)
			}
			if x.Status == muster.GateLimited {
				n := rapid.IntRange(0, 9).Draw(t, "instances")
				x.Limits.Instances = &n
			}
			ts = append(ts, x)
		}
		p := gate.Compose(a, d, ts)
		if _, _, err := gate.EncodeProfile(p); err != nil {
			t.Fatal(err)
		}
		for half := -20; half < 130; half++ {
			at := noon.Add(time.Duration(half) * 30 * time.Minute)
			want, instances := base(at)
			measured := false
			for _, x := range ts {
				if x.From.After(at) || !x.Until.IsZero() && !x.Until.After(at) {
					continue
				}
				measured = true
				if rank[x.Status] > rank[want] {
					want = x.Status
				}
				if x.Limits.Instances != nil {
					instances = min(instances, *x.Limits.Instances)
				}
			}
			i := len(p.Steps) - 1
			for i > 0 && p.Steps[i].From.After(at) {
				i--
			}
			got := p.Steps[i]
			if half < -10 { // before everything, the first step holds
				continue
			}
			if got.Status != want || got.Measure != measured {
				t.Fatalf("at %v: %s, measure %v; want %s, %v (%+v)", at, got.Status, got.Measure, want, measured, p.Steps)
			}
			if want == muster.GateLimited && (got.Limits.Instances == nil || *got.Limits.Instances != instances) {
				t.Fatalf("at %v: limits %+v, want %d instances", at, got.Limits, instances)
			}
		}
	})
}

// TestWhatIsClosedStaysClosed whatever measure comes.
func TestWhatIsClosedStaysClosed(t *testing.T) {
	t.Parallel()
	p := gate.Compose(&muster.AccountRecord{State: muster.AccClosed}, nil, []muster.Transition{{From: noon, Status: muster.GateDeny}})
	if len(p.Steps) != 1 || p.Steps[0].Code != "closed" {
		t.Errorf("%+v", p.Steps)
	}
}
