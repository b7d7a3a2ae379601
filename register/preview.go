package register

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/measure"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/vault"
)

// MeasureDraft is a determination to be tried on the accounts on file.
type MeasureDraft struct {
	Source string `json:"source" doc:"the determination, YAML"`
	List   int    `json:"list,omitempty" minimum:"0" maximum:"100000" doc:"how many accounts to list; absent: none, the counts cover all"`
}

// MeasurePreview is what a determination would do.
type MeasurePreview struct {
	Measure    string                `json:"measure"`
	Digest     string                `json:"digest"`
	Starts     time.Time             `json:"starts"`
	GraceUntil time.Time             `json:"grace_until,omitzero"`
	Ends       time.Time             `json:"ends"`
	Warnings   []string              `json:"warnings,omitempty"`
	Accounts   int                   `json:"accounts" doc:"that were looked at"`
	Touched    int                   `json:"touched" doc:"that match, doubtful ones not counted"`
	Doubtful   int                   `json:"doubtful" doc:"that match by network or payment alone: asked for more, not prohibited"`
	Licensed   int                   `json:"licensed" doc:"that match and have a licence"`
	Unread     int                   `json:"unread" doc:"whose facts are out of reach, erased"`
	NoArea     int                   `json:"no_area" doc:"of the country of a region, decided before areas were kept: nobody can say"`
	ByOutcome  map[string]int        `json:"by_outcome" doc:"what the packs in effect would decide"`
	ByCountry  map[string]int        `json:"by_country" doc:"of the address"`
	ByTag      map[string]int        `json:"by_tag" doc:"the provider's own"`
	ByState    map[string]int        `json:"by_state" doc:"of the account now"`
	ByFact     map[string]int        `json:"by_fact" doc:"on which it matched; one account may match on several"`
	ByParent   map[string]int        `json:"by_parent" doc:"account id of the reseller or lessor above, \"\" for direct customers"`
	Items      []muster.MeasureMatch `json:"items" nullable:"false"`
	Took       string                `json:"took"`
}

// Preview tries a determination on every account. It writes nothing but the two
// leaves of the use.
func (r *Register) Preview(ctx context.Context, by string, draft MeasureDraft) (*MeasurePreview, error) {
	d, err := measure.Parse([]byte(draft.Source))
	if err != nil {
		return nil, err
	}
	now := r.Clock()
	starts, ends, err := r.terms(d, now)
	if err != nil {
		return nil, err
	}
	m := measure.Fold(d, measure.Digest([]byte(draft.Source)), time.Time{}, nil)
	m.Starts, m.Ends = starts, ends
	out := &MeasurePreview{
		Measure: d.ID, Digest: m.Digest, Starts: starts, GraceUntil: m.GraceUntil, Ends: ends, Items: []muster.MeasureMatch{},
		ByOutcome: map[string]int{}, ByCountry: map[string]int{}, ByTag: map[string]int{}, ByState: map[string]int{}, ByFact: map[string]int{}, ByParent: map[string]int{},
		Warnings: r.warnings(d, starts, ends, now),
	}
	began := time.Now()
	session, err := r.Vault.Use(ctx, vault.Job{Name: "measure.preview", Purpose: "measures", Scope: "all accounts", Starter: by}, r.Journal)
	if err != nil {
		return nil, err
	}
	enforce, _ := r.Programme.At(now)
	err = r.each(ctx, session, everybody, needles(m), "", func(list []known, _ string) (bool, error) {
		for i := range list {
			out.add(m, &list[i], enforce, draft.List, now)
		}
		return true, nil
	})
	if end := session.End(ctx, out.Touched); err == nil {
		err = end
	}
	if err != nil {
		return nil, err
	}
	out.Took = time.Since(began).Round(time.Millisecond).String()
	return out, nil
}

func (p *MeasurePreview) add(m *muster.Measure, k *known, packs []*policy.Pack, most int, now time.Time) {
	if k.nobody {
		p.Accounts++
		return
	}
	if k.facts == nil {
		if k.account.State != muster.AccClosed && k.account.State != muster.AccClosing {
			p.Unread++
		}
		return
	}
	p.Accounts++
	if wantsArea(&m.Determination, k.facts) {
		p.NoArea++
	}
	at := now
	if x := m.Starts; x.After(at) {
		at = x // as it will be once it is in force
	}
	x, ok := measure.Match(m, k.facts, k.account, at)
	if !ok {
		return
	}
	phase := x.Phase
	switch phase {
	case muster.PhaseDoubtful:
		p.Doubtful++
	case muster.PhaseLicensed, muster.PhaseCleared:
		p.Licensed++
	default:
		p.Touched++
	}
	row := muster.MeasureMatch{
		Account: k.account.Reference, ID: k.account.ID, Customer: k.account.Customer, Parent: k.account.Parent, Tag: k.account.Tag,
		State: k.account.State, Phase: phase, By: x.By, From: x.From, Until: x.Until,
	}
	row.Was, row.Outcome = outcomes(packs, k, x, now)
	if len(k.facts.Subjects) > 0 {
		row.Country = k.facts.Subjects[0].Country
	}
	p.ByOutcome[string(row.Outcome)]++
	p.ByCountry[string(row.Country)]++
	p.ByTag[row.Tag]++
	p.ByState[row.State]++
	p.ByParent[row.Parent]++
	for _, by := range x.By {
		p.ByFact[by]++
	}
	if len(p.Items) < most {
		p.Items = append(p.Items, row)
	}
}

// outcomes are what the packs decide without and with a measure, once it is in force.
func outcomes(packs []*policy.Pack, k *known, x muster.MeasureFact, now time.Time) (was, is muster.Outcome) {
	if x.Phase == muster.PhaseComing {
		x.Phase = muster.PhaseInForce
	}
	then := *k.facts
	then.Account.State, then.Application.State = k.account.State, k.application // as they are now: facts have what was before their decision
	then.At, then.Measures, then.Event = now, nil, "measure"
	was = policy.Decide(packs, &then).Outcome
	then.Measures = []muster.MeasureFact{x}
	return was, policy.Decide(packs, &then).Outcome
}

// warnings are what two people should see before they enact.
func (r *Register) warnings(d *muster.Determination, starts, ends, now time.Time) (list []string) {
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	lead, _ := r.bounds(now)
	if first := lead.After(d.Published); !lead.IsZero() && starts.Before(first) {
		warn("it takes effect on %s, sooner than %s from its publication: the packs in effect ask for no measure before %s", starts.Format(time.RFC3339), lead, first.Format(time.RFC3339))
	}
	if d.Effective.IsZero() {
		warn("it names no beginning: %s from its publication is taken", lead)
	}
	if d.Until.IsZero() {
		warn("it names no end: the longest that the packs in effect allow is taken")
	}
	if starts.Before(now) {
		warn("it is in force as soon as it is enacted")
	}
	if d.Kind == muster.MeasureJurisdiction {
		alone := true
		for _, by := range d.By {
			alone = alone && (by == muster.ByIP || by == muster.ByPayment)
		}
		if alone {
			warn("it names %s only: such matches are doubtful, ask for more and prohibit nothing", strings.Join(d.By, " and "))
		}
	}
	if ends.Sub(starts) <= 0 {
		warn("it has no duration")
	}
	return list
}
