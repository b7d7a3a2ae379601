package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
)

// measurePolicy decides the facts of the default pack's own examples: individuals
// and entities, bare and verified, ordinary and odd.
func measurePolicy(r *run) error {
	source, ok := packs.Source(packs.Default)
	if !ok {
		return errors.New("the default pack is not embedded")
	}
	p, err := policy.Compile(source)
	if err != nil {
		return err
	}
	use := []*policy.Pack{p}
	var cases []policy.Recorded
	for i := range p.Document().Examples {
		e := &p.Document().Examples[i]
		f, err := e.Given.Facts()
		if err != nil {
			return fmt.Errorf("example %s: %w", e.Name, err)
		}
		cases = append(cases, policy.Recorded{Facts: f, Decision: policy.Decide(use, f)})
	}
	if len(cases) == 0 {
		return errors.New("the default pack has no examples")
	}
	decisions := pick(r.quick, 20_000, 200_000)
	r.say("policy: default pack, %d rules, the facts of its %d examples in turn; replay of %d decisions on them", p.Rules(), len(cases), decisions)

	rules := float64(p.Rules())
	var total, allocs, dearest float64
	for _, c := range cases {
		rounds := pick(r.quick, 1000, 10_000)
		began := time.Now()
		for range rounds {
			policy.Decide(use, c.Facts)
		}
		took := float64(time.Since(began).Nanoseconds()) / float64(rounds)
		total += took
		dearest = max(dearest, took)
		allocs += testing.AllocsPerRun(20, func() { policy.Decide(use, c.Facts) })
	}
	n := float64(len(cases))
	r.note("default pack: rules", rules, "rules")
	r.atMost("default pack: time a rule, mean of the examples", total/n/rules/1000, "µs/rule", 1)
	r.atMost("default pack: allocations a rule, mean of the examples", allocs/n/rules, "allocs/rule", 3)
	r.atMost("default pack: a decision, mean of the examples", total/n/1000, "µs", 40)
	r.note("default pack: a decision, dearest example", dearest/1000, "µs")

	began := time.Now()
	got := policy.Replay(use, func(yield func(policy.Recorded) bool) {
		for i := range decisions {
			c := cases[i%len(cases)]
			c.Decision.ID = "dec_" + fmt.Sprint(i)
			c.Decision.About = muster.Ref{Kind: "application", ID: "app_" + fmt.Sprint(i)}
			if !yield(c) {
				return
			}
		}
	})
	if got.Decided != decisions || got.Different != 0 {
		return fmt.Errorf("replay under the same pack decided %d of %d, %d differently", got.Decided, decisions, got.Different)
	}
	r.note("policy replay, facts in memory", float64(decisions)/time.Since(began).Seconds(), "decisions/s")
	return nil
}
