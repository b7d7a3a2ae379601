package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/synthetic"
)

// measured is a determination that a few of the invented people come under.
const measured = `format: 1
id: bench
title: No accounts of a jurisdiction
kind: jurisdiction
authority: The bench
citation: Determination of the bench
status: provider's own
measure: prohibit
targets: [{country: NG}]
by: [address, nationality, formation, ownership, ip, payment]
published: 2026-11-02
until: 2027-11-01
effective: 2027-01-01
words: {customer: A measure of the bench., appeal: Write to the bench.}
`

// measuresBench previews a special measure on what is on file, in a server that was
// just started, beside a replay of the programme: both open all facts.
func measuresBench(ctx context.Context, r *run) error {
	s := settings(r.quick)
	n := pick(r.quick, 4_000, 60_000)
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	people := synthetic.New(s.Seed)
	r.say("applications: package synthetic, seed %d, %s", s.Seed, people.Mix())
	d, err := newDeployment(ctx, bin, filepath.Join(r.dir, "measures"), "", "")
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	all, _, err := requests(d, people, 0, n)
	if err != nil {
		return err
	}
	posted, err := post(ctx, d.addr, all, s.Connections, 0, false)
	if err != nil {
		return err
	}
	r.say("%d applications taken", posted.taken)
	d.stop()
	if _, err := d.start(ctx); err != nil { // keys and pages cold in the process
		return err
	}
	body, err := json.Marshal(register.MeasureDraft{Source: measured, List: 100})
	if err != nil {
		return err
	}
	var got register.MeasurePreview
	took, err := timed(ctx, d, "/v1/measures/previews", body, &got)
	if err != nil {
		return err
	}
	if got.Accounts != posted.taken || got.Touched == 0 || got.Touched == got.Accounts {
		return fmt.Errorf("the preview looked at %d of %d accounts and touched %d", got.Accounts, posted.taken, got.Touched)
	}
	rate := float64(got.Accounts) / took.Seconds()
	source, _ := packs.Source(packs.Default)
	if body, err = json.Marshal(map[string]string{"source": string(source)}); err != nil {
		return err
	}
	var again policy.ReplayReport
	tookAgain, err := timed(ctx, d, "/v1/packs/replays", body, &again)
	if err != nil {
		return err
	}
	r.say("%d of %d accounts come under the measure, %d doubtful", got.Touched, got.Accounts, got.Doubtful)
	r.note("preview", rate, "accounts/s")
	r.note("policy replay of the same, warm", float64(again.Decided)/tookAgain.Seconds(), "decisions/s")
	r.atMost("preview of 1,000,000 accounts at that rate", 1e6/rate, "s", 60)
	return nil
}

// timed posts and decodes, and says how long the answer took.
func timed(ctx context.Context, d *deployment, path string, body []byte, into any) (time.Duration, error) {
	began := time.Now()
	answer, err := d.call(ctx, http.MethodPost, path, body)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, json.Unmarshal(answer, into)
}
