package gate

import (
	"cmp"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// Compose says what the gate answers for an account, from now on and at every
// instant that is known today: its state and the decision that moved it (nil: none),
// the end of interim service, and what special measures do to it. Pure.
//
//	state      the gate
//	pending    deny
//	limited    limited, to the end of interim service; then deny
//	active     allow; where nothing was enforced, what would hold is advice
//	suspended  deny; data may be exported
//	closing    deny; data may be exported, and of a customer who leaves what runs may be used
//	closed     deny
//
// A measure joins what holds without it: the stricter status, the tightest limits.
// What a customer is told never names a ground that is hidden.
func Compose(account *muster.AccountRecord, decision *muster.Decision, transitions []muster.Transition) muster.Profile {
	base := own(account, decision)
	if account.State == muster.AccClosed {
		transitions = nil
	}
	instants := make([]time.Time, 0, len(base)+2*len(transitions))
	for _, s := range base {
		instants = append(instants, s.From)
	}
	for _, t := range transitions {
		instants = append(instants, t.From)
		if !t.Until.IsZero() {
			instants = append(instants, t.Until)
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	p := muster.Profile{}
	for i, at := range instants {
		if i > 0 && at.Equal(instants[i-1]) {
			continue
		}
		v := holding(base, at)
		for j := range transitions {
			t := &transitions[j]
			if !t.From.After(at) && (t.Until.IsZero() || t.Until.After(at)) {
				v = join(v, t)
			}
		}
		if n := len(p.Steps); n > 0 && equal(&p.Steps[n-1].Verdict, &v) {
			continue
		}
		if len(p.Steps) == maxSteps { // as far ahead as a profile reaches; the duty that ends a step composes anew
			break
		}
		p.Steps = append(p.Steps, muster.ProfileStep{From: at, Verdict: v})
	}
	p.Steps[0].From = time.Time{}
	return p
}

// holding is the verdict of the last step that has begun.
func holding(steps []muster.ProfileStep, at time.Time) muster.Verdict {
	i := len(steps) - 1
	for i > 0 && steps[i].From.After(at) {
		i--
	}
	return steps[i].Verdict
}

// own is what holds without measures.
func own(a *muster.AccountRecord, d *muster.Decision) []muster.ProfileStep {
	v := because(d)
	switch a.State {
	case muster.AccActive:
		return once(active(v, d))
	case muster.AccLimited:
		return limited(a, v, d)
	case muster.AccPending:
		v.Status, v.Code = muster.GateDeny, cmp.Or(v.Code, "pending")
	case muster.AccSuspended:
		v.Status, v.Code = muster.GateDeny, cmp.Or(v.Code, "suspended")
		v.Except = []string{muster.ActionExportData}
	case muster.AccClosing:
		v = ending(v, d, "closing")
		v.Except = []string{muster.ActionExportData}
		if d != nil && d.Outcome.Severity() <= muster.OutcomeLimit.Severity() { // the customer leaves, and was welcome
			v.Except = []string{muster.ActionUse, muster.ActionExportData}
		}
	default: // closed, and a word that this program does not know
		v = ending(v, d, "closed")
	}
	v.Limits = muster.Limits{}
	return once(v)
}

// ending is an account that ends or has ended: by its decision, else because
// somebody left.
func ending(v muster.Verdict, d *muster.Decision, code string) muster.Verdict {
	if d == nil || d.Outcome.Severity() < muster.OutcomeRefuse.Severity() {
		v = muster.Verdict{Operator: "The account is " + code + "."}
	}
	v.Status, v.Code, v.Unblock = muster.GateDeny, code, unblockNever
	return v
}

func once(v muster.Verdict) []muster.ProfileStep { return []muster.ProfileStep{{Verdict: v}} }

// active allows. An account that is active though its decision says otherwise was
// opened in observe mode.
func active(v muster.Verdict, d *muster.Decision) muster.Verdict {
	if d == nil {
		return muster.Verdict{Status: muster.GateAllow}
	}
	switch d.Outcome {
	case muster.OutcomeOpen, muster.OutcomeReview:
		for i := range d.Observed {
			if r := &d.Observed[i]; r.Outcome.Severity() >= muster.OutcomeSuspend.Severity() {
				v = reason(r)
				v.Status, v.Observed, v.Code = muster.GateDeny, true, cmp.Or(v.Code, string(r.Outcome))
				return v
			}
		}
		return muster.Verdict{Status: muster.GateAllow}
	case muster.OutcomeLimit:
		v.Status, v.Observed, v.Limits = muster.GateLimited, true, d.Limits
	default:
		v.Status, v.Observed = muster.GateDeny, true
		if d.Interim {
			v.Status, v.Limits = muster.GateLimited, d.Limits
		}
	}
	v.Code = cmp.Or(v.Code, string(d.Outcome))
	return v
}

// limited holds within the decision's limits; interim service has an end.
func limited(a *muster.AccountRecord, v muster.Verdict, d *muster.Decision) []muster.ProfileStep {
	v.Status, v.Code = muster.GateLimited, cmp.Or(v.Code, "limited")
	if d == nil {
		return once(v)
	}
	v.Limits = d.Limits
	if !d.Interim || a.InterimSince.IsZero() || d.Limits.Days == nil {
		return once(v)
	}
	// Cut to the minute: an instant of its own would make every such account's profile one
	// that no other has, and these are most of a house's.
	ends := a.InterimSince.Add(time.Duration(*d.Limits.Days) * 24 * time.Hour).Truncate(time.Minute)
	end := v
	end.Status, end.Limits, end.Except = muster.GateDeny, muster.Limits{}, []string{muster.ActionExportData}
	end.Code = "interim_ended"
	return []muster.ProfileStep{{Verdict: v}, {From: muster.Instant(ends), Verdict: end}}
}

// Where a denial gets unblocked, for staff.
const (
	unblockCustomer = "the customer meets the open needs of its application: GET /v1/applications/{application}"
	unblockReview   = "a person looks: muster review list"
	unblockMeasure  = "the determination's exceptions, or an appeal"
	unblockNever    = "nothing opens it again but a new application"
)

// because is the decision's leading reason: the first of its most severe.
func because(d *muster.Decision) (v muster.Verdict) {
	if d == nil {
		return v
	}
	for i := range d.Reasons {
		if d.Reasons[i].Outcome == d.Outcome {
			v = reason(&d.Reasons[i])
			break
		}
	}
	switch d.Outcome {
	case muster.OutcomeCollect, muster.OutcomeVerify:
		v.Unblock = unblockCustomer
	case muster.OutcomeReview, muster.OutcomeSuspend:
		v.Unblock = unblockReview
	case muster.OutcomeRefuse, muster.OutcomeClose:
		v.Unblock = unblockNever
	}
	return v
}

// reason is a rule that held. A hidden ground reads like a random check, at the
// gate as in an answer.
func reason(r *muster.Reason) muster.Verdict {
	v := muster.Verdict{Code: r.Code, Customer: r.Customer, Operator: r.Operator, Rule: r.Rule}
	switch {
	case r.Hidden:
		v.Operator, v.Rule = "", r.Code
	case r.Pack != "":
		v.Rule = r.Pack + "/" + r.Rule
	}
	return v
}

var strictness = map[muster.GateStatus]int{muster.GateAllow: 0, muster.GateLimited: 1, muster.GateDeny: 2}

// join is what holds once a measure does what t says.
func join(v muster.Verdict, t *muster.Transition) muster.Verdict {
	enforced := strictness[v.Status]
	if v.Observed {
		enforced = 0
	}
	m := muster.Verdict{
		Status: t.Status, Code: cmp.Or(t.Code, "measure"), Rule: cmp.Or(t.Rule, t.Determination), Measure: true,
		Customer: t.Customer, Operator: t.Operator, Unblock: unblockMeasure,
	}
	switch {
	case strictness[t.Status] < enforced:
		v.Measure = true
		return v
	case t.Status == muster.GateLimited:
		if m.Limits = t.Limits; enforced > 0 {
			m.Limits = v.Limits.Tighten(t.Limits)
		}
	case t.Status == muster.GateDeny:
		if v.Status != muster.GateDeny || v.Observed || slices.Contains(v.Except, muster.ActionExportData) {
			m.Except = []string{muster.ActionExportData} // a suspension keeps the customer's own data within reach
		}
	case t.Status == muster.GateAllow:
		v.Measure = true
		return v
	}
	return m
}

func equal(a, b *muster.Verdict) bool {
	x, _, errX := EncodeProfile(muster.Profile{Steps: once(*a)})
	y, _, errY := EncodeProfile(muster.Profile{Steps: once(*b)})
	return errX == nil && errY == nil && string(x) == string(y)
}
