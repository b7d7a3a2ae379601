package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/tlog"
)

// demo is one run of muster demo.
type demo struct {
	terminal
	dir, listen, file string
	exit, json        bool
	seed              uint64
	n                 int
}

func newDemo(t terminal) *cobra.Command {
	d := &demo{terminal: t}
	cmd := &cobra.Command{
		Use: "demo", Short: "See it work: a fresh deployment, applications through its API, decisions explained", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&d.dir, "data", "", "empty directory to keep everything in (default: a new temporary one)")
	f.StringVar(&d.listen, "listen", "127.0.0.1:8420", "host:port; another port where it is taken")
	f.StringVar(&d.file, "applications", "", "NDJSON file to post, line by line, to a production-mode deployment, instead of the synthetic population")
	f.BoolVar(&d.exit, "exit", false, "stop after the summary")
	f.BoolVar(&d.json, "json", false, "print the summary for programs")
	f.Uint64Var(&d.seed, "seed", 1, "of the synthetic population")
	f.IntVar(&d.n, "n", 1000, "synthetic applications")
	return cmd
}

// summary is what a run comes to.
type summary struct {
	Applications int            `json:"applications"`
	Outcomes     map[string]int `json:"outcomes"`
	Log          summaryLog     `json:"log"`
	Walk         []string       `json:"walk,omitempty"`   // states of one customer's account, from post to active
	Gate         []gateAnswer   `json:"gate,omitempty"`   // what the gate says of three accounts
	Ledger       []ledgerAnswer `json:"ledger,omitempty"` // what the ledger says of two addresses
	Bundle       string         `json:"bundle,omitempty"`
	Checkpoint   string         `json:"checkpoint,omitempty"`
	Server       string         `json:"server"`
	Seconds      float64        `json:"seconds"`

	states map[string]string // an account of each state, for gate and ledger
}

type summaryLog struct {
	Size    int64 `json:"size"`
	Audited bool  `json:"audited"`
}

func (d *demo) run(ctx context.Context) error {
	dir, err := d.fresh()
	if err != nil {
		return err
	}
	var lines io.ReadCloser
	mode := muster.ModeSandbox
	if d.file != "" {
		mode = muster.ModeProduction
		if lines, err = os.Open(d.file); err != nil {
			return err
		}
		defer lines.Close()
	}
	listen, err := free(d.listen)
	if err != nil {
		return err
	}
	packs := []string{"us-iaas-cip"}
	if mode == muster.ModeSandbox {
		packs = append(packs, "sandbox")
	}
	conf, token, err := initialise(ctx, dir, Config{Mode: mode, Listen: listen, Origin: "demo.muster.example/log"}, "demo operator", packs)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up := make(chan *house, 1)
	ended := make(chan error, 1)
	log := slog.New(slog.NewJSONHandler(d.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	go func() {
		ended <- serve(ctx, conf.Config, log, func(_ net.Addr, h *house) { up <- h })
	}()
	var h *house
	select {
	case err := <-ended:
		return err
	case h = <-up:
	}
	if err := d.show(ctx, h, dir, conf, token, lines); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	if d.exit {
		stop()
	} else {
		fmt.Fprintf(d.err, "\nServing at http://%s until interrupted. Token, with every scope:\n  %s\nThe API is described at http://%s/openapi.json\n", listen, token, listen)
	}
	return <-ended
}

// fresh is the directory of the run: empty, or new.
func (d *demo) fresh() (string, error) {
	if d.dir == "" {
		return os.MkdirTemp("", "muster-demo-")
	}
	entries, err := os.ReadDir(d.dir)
	if err == nil && len(entries) > 0 {
		return "", &muster.Error{Code: muster.CodeConflict, Message: d.dir + " is not empty", Hint: "the demo starts in an empty directory and touches no other"}
	}
	return d.dir, os.MkdirAll(d.dir, 0o700)
}

// free is listen, or the same host with a free port where that one is taken.
func free(listen string) (string, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(listen)
		if splitErr != nil {
			return "", usageError{splitErr}
		}
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// show posts the applications and says what came of them.
func (d *demo) show(ctx context.Context, h *house, dir string, conf made, token string, lines io.Reader) error {
	began := time.Now()
	api, err := newClient("http://"+conf.Listen, token)
	if err != nil {
		return err
	}
	s := summary{Outcomes: map[string]int{}, Server: api.base, states: map[string]string{}}
	proved := ""
	if lines != nil {
		proved, err = d.postLines(ctx, api, lines, &s)
	} else {
		proved, err = d.postPopulation(ctx, api, h, &s)
	}
	if err != nil {
		return err
	}
	s.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if proved != "" {
		if err := d.leave(ctx, api, dir, proved, &s); err != nil {
			return err
		}
	}
	if lines == nil {
		if err := d.askGate(ctx, api, h, s.states, &s); err != nil {
			return err
		}
		if err := d.askLedger(ctx, api, s.states, &s); err != nil {
			return err
		}
	}
	a, err := h.audit(ctx)
	if err != nil {
		return err
	}
	for _, f := range a.Findings {
		fmt.Fprintln(d.err, "audit:", f)
	}
	s.Log = summaryLog{Size: a.Size, Audited: a.Clean()}
	return d.conclude(s)
}

// leave writes one decision's bundle and the checkpoint that proves it.
func (d *demo) leave(ctx context.Context, api *client, dir, decision string, s *summary) error {
	var data []byte
	if _, err := api.call(ctx, http.MethodGet, "/v1/decisions/"+decision+"/bundle?audience=examiner", nil, &data); err != nil {
		return err
	}
	b, err := tlog.ParseBundle(data)
	if err != nil {
		return err
	}
	s.Bundle, s.Checkpoint = filepath.Join(dir, "demo-bundle.json"), filepath.Join(dir, "demo-checkpoint")
	if err := durable.WriteFile(s.Bundle, data, 0o600); err != nil {
		return err
	}
	return durable.WriteFile(s.Checkpoint, []byte(b.Checkpoint), 0o600)
}

func (d *demo) conclude(s summary) error {
	out := d.out
	if d.json {
		return json.NewEncoder(d.out).Encode(s)
	}
	if d.file != "" {
		out = d.err // the lines have the standard output
	}
	fmt.Fprintf(out, "\n%d applications in %.1f s\n\n", s.Applications, s.Seconds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range sortedOutcomes(s.Outcomes) {
		fmt.Fprintf(w, "  %s\t%d\t%s\n", o, s.Outcomes[o], strings.Repeat("#", (s.Outcomes[o]*40+s.Applications-1)/max(s.Applications, 1)))
	}
	w.Flush()
	state := "audited: clean"
	if !s.Log.Audited {
		state = "AUDIT FAILED"
	}
	fmt.Fprintf(out, "\nThe log has %d leaves, %s.\n", s.Log.Size, state)
	if s.Bundle != "" {
		fmt.Fprintf(out, "One decision can be checked offline, without this server:\n\n  muster log verify --bundle %s --checkpoint %s\n", s.Bundle, s.Checkpoint)
	}
	return nil
}

// sortedOutcomes are in rising severity, then what was not taken.
func sortedOutcomes(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	rank := func(o string) int {
		if n := muster.Outcome(o).Severity(); n >= 0 {
			return n
		}
		return len(muster.Outcomes)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	return keys
}

// line is what came of one application of a file.
type line struct {
	Line      int      `json:"line"`
	Reference string   `json:"reference"`
	Outcome   string   `json:"outcome"`
	Fields    []string `json:"fields"`
	Rules     []string `json:"rules"`

	account, state string // that it asks for
}

// postLines posts a file in order, one line at a time, and prints one line each.
// It returns the first decision.
func (d *demo) postLines(ctx context.Context, api *client, lines io.Reader, s *summary) (decision string, err error) {
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, muster.MaxApplicationBytes+1<<10)
	out := json.NewEncoder(d.out)
	for n := 1; scan.Scan(); n++ {
		body := bytes.TrimSpace(scan.Bytes())
		if len(body) == 0 {
			continue
		}
		l, id, err := post(ctx, api, body)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", n, err)
		}
		if l.Line = n; l.Outcome == string(muster.CodeMalformed) {
			fmt.Fprintf(d.err, "line %d: not an application: the others go on\n", n)
		}
		decision = cmp.Or(decision, id)
		s.Applications++
		s.Outcomes[l.Outcome]++
		if err := out.Encode(l); err != nil {
			return "", err
		}
	}
	return decision, scan.Err()
}

// post posts one application and reads what came of it. Only a server that is away,
// or denies, is an error.
func post(ctx context.Context, api *client, body []byte) (line, string, error) {
	l := line{Fields: []string{}, Rules: []string{}}
	var named struct {
		Reference string `json:"reference"`
	}
	if json.Unmarshal(body, &named) == nil {
		l.Reference = named.Reference
	}
	var a onboard.Answer
	_, err := api.call(ctx, http.MethodPost, "/v1/applications", body, &a)
	var e *muster.Error
	switch {
	case err == nil:
		l.Outcome = string(a.Decision.Outcome)
		l.account, l.state = a.Account, a.AccountState
		for _, n := range a.Decision.Needs {
			if n.Kind == muster.NeedSupply {
				l.Fields = append(l.Fields, field(n.Pointer))
			}
		}
		for _, r := range a.Decision.Reasons {
			l.Rules = append(l.Rules, r.Pack+"/"+r.Rule)
		}
	case errors.As(err, &e) && (e.Code == muster.CodeInvalid || e.Code == muster.CodeConflict || e.Code == muster.CodeMalformed || e.Code == muster.CodeTooLarge):
		l.Outcome = string(e.Code)
		for _, f := range e.Faults {
			l.Fields = append(l.Fields, field(f.Pointer))
		}
	default:
		return l, "", err
	}
	slices.Sort(l.Fields)
	l.Fields = slices.Compact(l.Fields)
	if a.Decision != nil {
		return l, a.Decision.ID, nil
	}
	return l, "", nil
}

// field is a JSON Pointer as a dotted path without array indexes.
func field(pointer string) string {
	var steps []string
	for _, s := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if _, err := strconv.Atoi(s); err != nil {
			steps = append(steps, strings.NewReplacer("~1", "/", "~0", "~").Replace(s))
		}
	}
	return strings.Join(steps, ".")
}

// postPopulation posts the synthetic population, explains three decisions and walks
// one customer to an active account. It returns that customer's decision.
func (d *demo) postPopulation(ctx context.Context, api *client, h *house, s *summary) (string, error) {
	population := synthetic.New(d.seed)
	shown := map[string]string{} // outcome -> decision
	bar := newBar(d.err, d.n)
	for i := range d.n {
		body, err := json.Marshal(population.Next(i))
		if err != nil {
			return "", err
		}
		l, id, err := post(ctx, api, body)
		if err != nil {
			return "", err
		}
		s.Applications++
		s.Outcomes[l.Outcome]++
		if s.states[l.state] == "" {
			s.states[l.state] = l.account
		}
		if id != "" && shown[l.Outcome] == "" {
			shown[l.Outcome] = id
		}
		bar.step()
	}
	if !d.json {
		for _, o := range []muster.Outcome{muster.OutcomeVerify, muster.OutcomeCollect, muster.OutcomeReview} {
			if id := shown[string(o)]; id != "" {
				if err := d.explain(ctx, api, id); err != nil {
					return "", err
				}
			}
		}
	}
	return d.walk(ctx, api, h, s)
}

// explain prints a decision: rule, citation, reason.
func (d *demo) explain(ctx context.Context, api *client, id string) error {
	var x muster.Decision
	if _, err := api.call(ctx, http.MethodGet, "/v1/decisions/"+id, nil, &x); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s: %s\n", x.ID, x.Outcome)
	for _, r := range x.Reasons {
		fmt.Fprintf(d.out, "  %s/%s -> %s\n    %s (%s)\n    customer: %s\n    operator: %s\n", r.Pack, r.Rule, r.Outcome, r.Citation, r.Status, r.Customer, r.Operator)
	}
	for _, n := range x.Needs {
		fmt.Fprintf(d.out, "  needs: %s %s %s %s\n", n.Kind, n.Pointer, n.Attribute, strings.Join(n.Methods, " or "))
	}
	return nil
}

// lagos is an ordinary customer: a landmark in the address, no postal code, a
// mobile number that looks like a card's.
const lagos = `{"reference": "demo-lagos", "customer": {"kind": "individual", "name": {"full": "Adaeze Nwosu"},
 "address": {"lines": ["14 Adeola Odeku Street, opposite the filling station"], "locality": "Lagos", "country": "NG", "region": "Lagos"},
 "nationalities": ["NG"], "us_person_claim": "none", "email": "adaeze.nwosu@example.com.ng", "phone": "+2348031234504"},
 "payment": {"means": "card", "country": "NG", "bin": "533301", "last4": "2184", "token": "tok_demo_lagos"},
 "access": {"ip": "102.89.23.10", "time": %q}, "request": {"products": ["vm"]},
 "notice": {"version": "2026-11", "locale": "en", "shown_at": %q}}`

// walk takes one customer from post to active account through the API alone.
func (d *demo) walk(ctx context.Context, api *client, h *house, s *summary) (string, error) {
	now := time.Now().UTC()
	at := now.Format(time.RFC3339)
	var a onboard.Answer
	if _, err := api.call(ctx, http.MethodPost, "/v1/applications", []byte(fmt.Sprintf(lagos, at, at)), &a); err != nil {
		return "", err
	}
	step := func(what string) {
		s.Walk = append(s.Walk, a.AccountState)
		if !d.json {
			fmt.Fprintf(d.out, "  %-34s application %-9s account %s\n", what, a.State, a.AccountState)
		}
	}
	if !d.json {
		fmt.Fprintln(d.out, "\nA customer in Lagos, from post to active account:")
	}
	step("posted")
	codes := filepath.Join(h.conf.Data, "codes.ndjson")
	for _, method := range []string{"contact.email", "contact.phone"} {
		var c onboard.ChallengeAnswer
		path := "/v1/applications/" + a.Application + "/challenges"
		if _, err := api.call(ctx, http.MethodPost, path, onboard.ChallengeRequest{Method: method}, &c); err != nil {
			return "", err
		}
		code, err := sentCode(ctx, codes, c.Challenge)
		if err != nil {
			return "", err
		}
		if _, err := api.call(ctx, http.MethodPost, "/v1/challenges/"+c.Challenge+"/response", map[string]string{"code": code}, &a); err != nil {
			return "", err
		}
		step(method + ": code typed back")
	}
	day := func(from int) string { return now.AddDate(0, 0, from).Format(time.DateOnly) }
	seen := onboard.EvidenceInput{Method: "document.manual", Input: json.RawMessage(fmt.Sprintf(`{"type": "passport", "issuer": "NG", "number": "A01234567",
		"issued_on": %q, "expires_on": %q, "has_photo": true,
		"attributes": {"name": "supports", "nationality": "supports"}, "shows": {"nationality": ["NG"]}}`, day(-1000), day(1000)))}
	if _, err := api.call(ctx, http.MethodPost, "/v1/applications/"+a.Application+"/evidence", seen, &a); err != nil {
		return "", err
	}
	step("document.manual: passport seen")
	s.states[a.AccountState] = a.Account
	return a.Decision.ID, nil
}

// sentCode waits for the code of a challenge in the sandbox's file of codes.
func sentCode(ctx context.Context, path, challenge string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		for _, text := range bytes.Split(data, []byte("\n")) {
			var m struct{ Code, Reference string }
			if json.Unmarshal(text, &m) == nil && m.Reference == challenge {
				return m.Code, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", muster.Errorf(muster.CodeUnavailable, "no code was sent in time")
		case <-tick.C:
		}
	}
}
