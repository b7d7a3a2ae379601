package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/export"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/vault"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// house stands for all services. err fails whatever is called; saw has what came in.
type house struct {
	mu     sync.Mutex
	err    error
	saw    []any
	scopes map[string][]muster.Scope // by token
	rows   map[string]muster.IdempotencyRecord
	calls  int
}

func (h *house) did(args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.saw = args
	return h.err
}

var answer = &onboard.Answer{Application: "app_1", Reference: "r-1", State: "needs", Account: "r-1", AccountState: "limited", Revision: 1, Version: 7, Created: true}

func (h *house) Principal(_ context.Context, secret string) (muster.Principal, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	s, ok := h.scopes[secret]
	if !ok {
		return muster.Principal{}, muster.Errorf(muster.CodeUnauthorized, "no")
	}
	return muster.Principal{Operator: "opr_1", Token: "tok_1", Scopes: s}, nil
}

func (h *house) Apply(_ context.Context, by muster.Principal, b []byte) (*onboard.Answer, error) {
	return answer, h.did(by, string(b))
}

func (h *house) Correct(_ context.Context, _ muster.Principal, id string, v int64, p []byte) (*onboard.Answer, error) {
	return answer, h.did(id, v, string(p))
}

func (h *house) Withdraw(_ context.Context, _ muster.Principal, id string, v int64) (*onboard.Answer, error) {
	return answer, h.did(id, v)
}

func (h *house) View(_ context.Context, id string) (*onboard.View, error) {
	return &onboard.View{Answer: *answer}, h.did(id)
}

func (h *house) Challenge(_ context.Context, _ muster.Principal, id string, r onboard.ChallengeRequest) (*onboard.ChallengeAnswer, error) {
	return &onboard.ChallengeAnswer{Challenge: "chl_1"}, h.did(id, r)
}

func (h *house) Respond(_ context.Context, _ muster.Principal, id, code string) (*onboard.Answer, error) {
	return answer, h.did(id, code)
}

func (h *house) Record(_ context.Context, _ muster.Principal, id string, in onboard.EvidenceInput) (*onboard.Answer, error) {
	return answer, h.did(id, in)
}

func (h *house) Reveal(_ context.Context, _ muster.Principal, id string, r onboard.RevealRequest) (*onboard.Revealed, error) {
	return &onboard.Revealed{}, h.did(id, r)
}

func (h *house) Copy(_ context.Context, _ muster.Principal, r onboard.CopyRequest) (*onboard.Copy, error) {
	return &onboard.Copy{Customer: r.Customer}, h.did("copy", r)
}

func (h *house) Explain(_ context.Context, id string) (*muster.Decision, error) {
	return &muster.Decision{ID: id}, h.did(id)
}

func (h *house) Bundle(_ context.Context, _ muster.Principal, id, audience string, sizes ...int64) ([]byte, error) {
	return []byte(`{}`), h.did(id, audience, sizes)
}

func (h *house) ListDecisions(_ context.Context, app string, p muster.Page) ([]*muster.DecisionRecord, error) {
	return []*muster.DecisionRecord{{ID: "dec_1"}}, h.did(app, p)
}

func (h *house) MoveAccount(_ context.Context, _ muster.Principal, ref string, v int64, m onboard.Move) (*muster.AccountRecord, error) {
	return &muster.AccountRecord{ID: "acc_1", Reference: ref, Version: v + 1}, h.did(ref, v, m)
}

func (h *house) ListApplications(_ context.Context, state string, p muster.Page) ([]*muster.ApplicationRecord, error) {
	var rows []*muster.ApplicationRecord
	for i := range 5 {
		if id := "app_" + strconv.Itoa(i); id > p.After && len(rows) < p.Limit {
			rows = append(rows, &muster.ApplicationRecord{ID: id, State: state, MAC: []byte("mac")})
		}
	}
	return rows, h.did(state, p)
}

func (h *house) ListCustomers(_ context.Context, p muster.Page) ([]*muster.CustomerRecord, error) {
	return []*muster.CustomerRecord{{ID: "cus_1"}}, h.did(p)
}

func (h *house) Customer(_ context.Context, id string) (*muster.CustomerRecord, error) {
	return &muster.CustomerRecord{ID: id, Version: 2}, h.did(id)
}

func (h *house) AccountsOf(context.Context, string) ([]*muster.AccountRecord, error) {
	return []*muster.AccountRecord{{ID: "acc_1"}}, h.err
}

func (h *house) Account(_ context.Context, id string) (*muster.AccountRecord, error) {
	return &muster.AccountRecord{ID: "acc_1", Reference: id, Version: 3}, h.did(id)
}

func (h *house) Resolve(_ context.Context, _ muster.Principal, id string, v int64, f review.Finding) (*muster.ReviewRecord, bool, error) {
	return &muster.ReviewRecord{ID: id, Version: v + 1}, f.Finding == review.Clear, h.did(id, v, f)
}

func (h *house) ListReviews(_ context.Context, state string, p muster.Page) ([]*muster.ReviewRecord, error) {
	return []*muster.ReviewRecord{{ID: "rev_1"}}, h.did(state, p)
}

func (h *house) Review(_ context.Context, id string) (*muster.ReviewRecord, error) {
	return &muster.ReviewRecord{ID: id, Version: 1, Proposal: []byte("sealed")}, h.did(id)
}

func (h *house) ResolveHit(_ context.Context, _ muster.Principal, id string, v int64, f review.HitFinding) (*muster.HitRecord, bool, error) {
	return &muster.HitRecord{ID: id, Version: v + 1}, f.Finding == muster.HitFalse, h.did(id, v, f)
}

func (h *house) ReportHit(_ context.Context, _ muster.Principal, id string, v int64, x review.HitReport) (*muster.HitRecord, error) {
	return &muster.HitRecord{ID: id, Version: v + 1}, h.did(id, v, x)
}

func (h *house) ExplainHit(_ context.Context, _ muster.Principal, id string, r onboard.RevealRequest) (*onboard.HitExplained, error) {
	return &onboard.HitExplained{Hit: id}, h.did(id, r)
}

func (h *house) ListHits(_ context.Context, state string, p muster.Page) ([]*muster.HitRecord, error) {
	return []*muster.HitRecord{{ID: "hit_1", Found: []byte("sealed")}}, h.did(state, p)
}

func (h *house) HitsOf(context.Context, string) ([]*muster.HitRecord, error) {
	return []*muster.HitRecord{{ID: "hit_1", State: muster.HitTrue}, {ID: "hit_2", State: muster.HitFalse}}, h.err
}

func (h *house) Hit(_ context.Context, id string) (*muster.HitRecord, error) {
	return &muster.HitRecord{ID: id, Version: 1}, h.did(id)
}

func (h *house) ListSweeps(_ context.Context, p muster.Page) ([]*muster.SweepRecord, error) {
	return []*muster.SweepRecord{{ID: "swp_1"}}, h.did(p)
}

func (h *house) Sweep(_ context.Context, id string) (*muster.SweepRecord, error) {
	return &muster.SweepRecord{ID: id}, h.did(id)
}

func (h *house) Screen(_ context.Context, _ muster.Principal, qs []muster.ScreeningQuery, floor float64, limit int) (*onboard.NamesFound, error) {
	return &onboard.NamesFound{Found: make([][]muster.Candidate, len(qs))}, h.did(len(qs), floor, limit)
}

func (h *house) BeginTune(context.Context, muster.Principal) (*muster.SweepRecord, error) {
	return &muster.SweepRecord{ID: "swp_1"}, h.did()
}

func (h *house) Labelled(_ context.Context, _ muster.Principal, l []onboard.Label) (*onboard.Precision, error) {
	return &onboard.Precision{Labels: len(l)}, h.did(l)
}

func (h *house) Propose(_ context.Context, by string, p programme.Proposal) (*muster.ActivationRecord, error) {
	return &muster.ActivationRecord{ID: "act_1", Proposer: by}, h.did(p)
}

func (h *house) ReplayDraft(context.Context, string, programme.Draft) (*policy.ReplayReport, error) {
	return &policy.ReplayReport{Moves: map[string]int{}}, nil
}

func (h *house) Approve(_ context.Context, by, id string) (*muster.ActivationRecord, error) {
	return &muster.ActivationRecord{ID: id, Approver: by}, h.did(id)
}

func (h *house) ListPacks(_ context.Context, p muster.Page) ([]*muster.PackRecord, error) {
	return []*muster.PackRecord{{ID: "p", Digest: "d"}}, h.did(p)
}

func (h *house) Pack(_ context.Context, d string) (*muster.PackRecord, error) {
	return &muster.PackRecord{Digest: d, Source: []byte("id: p\n")}, h.did(d)
}

func (h *house) Activations(context.Context) ([]muster.ActivationRecord, error) {
	return []muster.ActivationRecord{{ID: "act_1", Digest: "d"}, {ID: "act_2", Digest: "e"}}, h.err
}

func (h *house) Add(_ context.Context, _, name string) (*muster.OperatorRecord, error) {
	return &muster.OperatorRecord{ID: "opr_2", Name: name}, h.did(name)
}
func (h *house) Disable(_ context.Context, _, id string, bg bool) error { return h.did(id, bg) }
func (h *house) Create(_ context.Context, _ muster.Principal, g staff.Grant) (*muster.TokenRecord, string, error) {
	return &muster.TokenRecord{ID: "tok_2", Operator: g.Operator, MAC: []byte("mac")}, "muster_sandbox_shownonce", h.did(g)
}
func (h *house) Revoke(_ context.Context, _, id string) error { return h.did(id) }
func (h *house) Operators(context.Context) ([]muster.OperatorRecord, error) {
	return []muster.OperatorRecord{{ID: "opr_1"}}, h.did()
}

func (h *house) ListTokens(_ context.Context, o string, p muster.Page) ([]*muster.TokenRecord, error) {
	return []*muster.TokenRecord{{ID: "tok_1", MAC: []byte("mac")}}, h.did(o, p)
}

func (h *house) AddWebhook(_ context.Context, _ string, w muster.WebhookRecord) (*muster.WebhookRecord, string, error) {
	w.ID, w.Version = "whk_1", 1
	return &w, "whsec_shownonce", h.did(w)
}

func (h *house) ChangeWebhook(_ context.Context, _ string, w muster.WebhookRecord) (*muster.WebhookRecord, error) {
	return &w, h.did(w)
}

func (h *house) RemoveWebhook(_ context.Context, _, id string, v int64) error { return h.did(id, v) }

func (h *house) RotateSecret(_ context.Context, _, id string, v int64) (*muster.WebhookRecord, string, error) {
	return &muster.WebhookRecord{ID: id, Version: v + 1}, "whsec_shownonce", h.did(id, v)
}

func (h *house) ListWebhooks(_ context.Context, p muster.Page) ([]*muster.WebhookRecord, error) {
	return []*muster.WebhookRecord{{ID: "whk_1", Secret: []byte("sealed")}}, h.did(p)
}

func (h *house) Webhook(_ context.Context, id string) (*muster.WebhookRecord, error) {
	return &muster.WebhookRecord{ID: id, URL: "https://hooks.test/", Enabled: true, Version: 4}, h.did(id)
}

func (h *house) ListDeliveries(_ context.Context, id string, p muster.Page) ([]*muster.DeliveryRecord, error) {
	return []*muster.DeliveryRecord{{Message: "msg_1", Attempt: 2}}, h.did(id, p)
}
func (h *house) Replay(_ context.Context, _, id, m string) error { return h.did(id, m) }
func (h *house) Test(_ context.Context, _, id string) (string, error) {
	return "msg_2", h.did(id)
}
func (h *house) Checkpoint(context.Context) ([]byte, error) { return []byte("o\n1\nh\n"), h.did() }
func (h *house) Tile(_ context.Context, p string) ([]byte, error) {
	return []byte(p), h.did(p)
}

func (h *house) Claim(_ context.Context, r *muster.IdempotencyRecord, _ ...string) (*muster.IdempotencyRecord, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if was, ok := h.rows[r.Operator+r.Key]; ok {
		return &was, nil
	}
	h.rows[r.Operator+r.Key] = *r
	return nil, nil
}

func (h *house) Settle(_ context.Context, r *muster.IdempotencyRecord) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows[r.Operator+r.Key] = *r
	return nil
}

func (h *house) Release(_ context.Context, operator, key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rows, operator+key)
	return nil
}

func (h *house) Take(_ context.Context, a *ledger.Arrival) (ledger.Taken, error) {
	return ledger.Taken{Accepted: a.Records()}, h.did(*a)
}
func (h *house) RequestMACs(b []byte) [][]byte { return [][]byte{append([]byte("mac:"), b...)} }
func (h *house) SealAnswer(_ context.Context, o, k string, b []byte) ([]byte, error) {
	return append([]byte(o+k), b...), nil
}

func (h *house) OpenAnswer(_ context.Context, o, k string, b []byte) ([]byte, error) {
	return b[len(o+k):], nil
}

func (h *house) Decide(r *gate.Request, _ time.Time) gate.Answer {
	return gate.Answer{Allow: r.Account == "r-1", Known: true, Status: muster.GateAllow}
}

func (h *house) PutGateBatch(_ context.Context, source string, b *muster.GateBatch) error {
	return h.did(source, b)
}

func (h *house) ListGateRecords(_ context.Context, account string, p muster.Page) ([]*muster.GateRecord, error) {
	return []*muster.GateRecord{{ID: "gtr_1"}}, h.did(account, p)
}

func (h *house) OpenImport(_ context.Context, _ muster.Principal, o onboard.ImportOrder) (*muster.ImportRecord, bool, error) {
	return &muster.ImportRecord{ID: "imp_1", Cohort: o.Cohort}, true, h.did(o)
}

func (h *house) TakeLines(_ context.Context, _ muster.Principal, id string, first int, body []byte) (*onboard.ImportLines, error) {
	return &onboard.ImportLines{Refused: []muster.RefusedLine{}}, h.did(id, first, string(body))
}

func (h *house) EndImport(_ context.Context, _ muster.Principal, id string) (*muster.ImportRecord, error) {
	return &muster.ImportRecord{ID: id}, h.did(id)
}

func (h *house) Cohorts(context.Context) ([]muster.CohortCount, error) {
	return []muster.CohortCount{{Cohort: muster.Cohort{Name: "all"}}}, h.did()
}

func (h *house) Cohort(_ context.Context, name string) (*muster.CohortCount, error) {
	return &muster.CohortCount{Cohort: muster.Cohort{Name: name}}, h.did(name)
}

func (h *house) ChangeCohort(_ context.Context, _ muster.Principal, name string, v int64, o onboard.CohortOrder) (*muster.CohortCount, bool, error) {
	return &muster.CohortCount{Cohort: muster.Cohort{Name: name}}, true, h.did(name, v, o)
}

func (h *house) AgreeCohort(_ context.Context, _ muster.Principal, name string, v int64) (*muster.CohortCount, error) {
	return &muster.CohortCount{Cohort: muster.Cohort{Name: name}}, h.did(name, v)
}

func (h *house) Adopted(context.Context, string) (*onboard.Adopted, error) { return nil, h.err }

func (h *house) Import(_ context.Context, id string) (*muster.ImportRecord, error) {
	return &muster.ImportRecord{ID: id}, h.did(id)
}

func (h *house) ListImports(_ context.Context, p muster.Page) ([]*muster.ImportRecord, error) {
	return []*muster.ImportRecord{{ID: "imp_1"}}, h.did(p)
}

// turning is a house whose keys turn.
type turning struct{ *house }

func (t turning) Begin(_ context.Context, by, name string, overlap time.Duration) ([]*muster.Rotation, error) {
	return []*muster.Rotation{{ID: "rot_1", Name: name, Stage: muster.RotationAsked, Operator: by, Overlap: overlap}}, t.did(by, name, overlap)
}

func (t turning) Finish(_ context.Context, by, id string) (*muster.Rotation, error) {
	return &muster.Rotation{ID: id, Name: "log", Stage: muster.RotationKnown}, t.did(by, id)
}

func (t turning) Rotations(_ context.Context, ended bool) ([]*muster.Rotation, error) {
	return nil, t.did(ended)
}

func (t turning) Keys() []vault.Static {
	return []vault.Static{{Name: "log", Versions: []int{1}, Next: 2}}
}

func (h *house) LogKeys() ([]string, error) { return []string{"example.net/log+00000000+AQ"}, nil }

func (h *house) GateKeys() []string { return []string{"muster-gate+AA"} }

func (h *house) LogHandovers(context.Context) ([]muster.Handover, error) {
	return []muster.Handover{{KeyVersion: 1}}, h.did()
}

// bundle is what a test needs.
type bundle struct {
	*house
	t    testing.TB
	api  *API
	url  string
	logs *buffer
	doc  map[string]any
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const all = "muster_sandbox_abcdefghijklmnopqrstuvwxyz"

// registered is the register's part of house, whose verbs have the names of others.
type registered struct{ h *house }

func (r registered) Preview(_ context.Context, by string, d register.MeasureDraft) (*register.MeasurePreview, error) {
	return &register.MeasurePreview{Items: []muster.MeasureMatch{}}, r.h.did(by, d)
}

func (r registered) Appeal(_ context.Context, _ muster.Principal, account, measure string) (*muster.ReviewRecord, error) {
	return &muster.ReviewRecord{ID: "rev_1", State: muster.ReviewOpen, Version: 1}, r.h.did(account, measure)
}

func (r registered) Propose(_ context.Context, by string, p register.MeasureProposal) (*muster.MeasureAct, error) {
	return &muster.MeasureAct{ID: "msa_1", Kind: p.Kind}, r.h.did(by, p)
}

func (r registered) Approve(_ context.Context, by, id string) (*muster.MeasureAct, error) {
	return &muster.MeasureAct{ID: id, Kind: muster.ActEnact}, r.h.did(by, id)
}

func (r registered) List(context.Context) ([]*register.MeasureStanding, error) {
	return []*register.MeasureStanding{{Measure: "m-1", Acts: []muster.MeasureAct{}}, {Measure: "m-2", Acts: []muster.MeasureAct{}}}, r.h.did()
}

func (r registered) Show(_ context.Context, id string) (*register.MeasureStanding, error) {
	return &register.MeasureStanding{Measure: id, Acts: []muster.MeasureAct{}}, r.h.did(id)
}

func (r registered) Source(_ context.Context, id string) ([]byte, error) {
	return []byte("format: 1\n"), r.h.did(id)
}

func (r registered) Accounts(_ context.Context, by, id string, p muster.Page) ([]*register.MeasureAccount, error) {
	return []*register.MeasureAccount{{Account: "acct-1", ID: "acc_1", By: []string{}}}, r.h.did(by, id, p)
}

func (r registered) Notices(_ context.Context, account string) ([]register.MeasureNotice, error) {
	return []register.MeasureNotice{}, r.h.did(account)
}

func configOf(h *house, logs io.Writer) Config {
	return Config{
		Deployment: Deployment{Mode: muster.ModeSandbox, Version: "v0", Origin: "log.muster.test"},
		Clock:      func() time.Time { return now }, Log: slog.New(slog.NewJSONHandler(logs, nil)), Metrics: prometheus.NewRegistry(),
		Tokens: h, Applications: h, Verification: h, Decisions: h, DecisionList: h, Reveals: h, Moves: h, Files: h,
		Reviews: h, ReviewList: h, Hits: h, HitReveals: h, HitList: h, Lookups: h, Tunings: h, Programme: h, Packs: h, Measures: registered{h}, Appeals: registered{h}, Lists: watched{h}, ListStands: watched{h}, Staff: h, StaffList: h, Webhooks: h, WebhookList: h,
		Deliveries: h, TheLog: h, Idempotency: h, Seals: h, Gate: h, GateRecords: h, GateCentre: &centre{},
		Retention: h, Holds: holdVerbs{h}, RetentionList: h,
		Copies: h, Exports: exporting{h}, ExportList: exporting{h},
		Intake: h, Questions: asks{h}, Traces: h, Imports: h, ImportList: h,
		Keys: turning{h}, Handovers: h, PublicKeys: h,
		Methods: []muster.Method{{Name: "document.manual", Kind: muster.Documentary}},
	}
}

func setup(t testing.TB, change ...func(*Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, logs: &buffer{}, house: &house{
		scopes: map[string][]muster.Scope{all: muster.Scopes}, rows: map[string]muster.IdempotencyRecord{},
	}}
	c := configOf(b.house, b.logs)
	for _, f := range change {
		f(&c)
	}
	var err error
	if b.api, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.api.Document(), &b.doc); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.api)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

type reply struct {
	*http.Response
	body string
}

func (r *reply) problem(t testing.TB) (p Problem) {
	t.Helper()
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d with Content-Type %q, no problem: %s", r.StatusCode, ct, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// do sends one request with the token that may everything; headers by turns name
// and value. It holds every answer against what all answers keep.
func (b *bundle) do(method, target, body string, headers ...string) *reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+all)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		if strings.Contains(body, "ustar") {
			req.Header.Set("Content-Type", "application/x-tar")
		}
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := &reply{res, string(data)}
	for _, h := range []string{"X-Request-Id", "X-Content-Type-Options", "Content-Security-Policy", "Cache-Control"} {
		if h == "Content-Security-Policy" && res.StatusCode < 400 && b.api.quick[req.URL.Path] != nil {
			continue // a machine reads it
		}
		if res.Header.Get(h) == "" {
			b.t.Errorf("%s %s: no %s", method, target, h)
		}
	}
	if res.StatusCode >= 400 && method != "HEAD" {
		p := r.problem(b.t)
		if p.Status != res.StatusCode || p.RequestID != res.Header.Get("X-Request-Id") || p.Type != ProblemType(p.Code) || p.Title == "" || p.Detail == "" {
			b.t.Errorf("%s %s: not a whole problem: %s", method, target, r.body)
		}
	}
	b.declared(req, r)
	return r
}

// declared fails where the document does not have the status of an answer.
func (b *bundle) declared(req *http.Request, r *reply) {
	if path.Clean(req.URL.Path) != req.URL.Path {
		return // never reaches the mux
	}
	_, pattern := b.api.mux.Handler(req)
	method, where, ok := strings.Cut(pattern, " ")
	if !ok {
		return
	}
	item := b.doc["paths"].(map[string]any)[strings.ReplaceAll(where, "...}", "}")].(map[string]any)
	responses := item[strings.ToLower(method)].(map[string]any)["responses"].(map[string]any)
	if responses[strconv.Itoa(r.StatusCode)] == nil {
		b.t.Errorf("%s answers %d, which the document does not declare: %s", pattern, r.StatusCode, r.body)
	}
}

func (h *house) Preview(_ context.Context, at time.Time) (*retain.Preview, error) {
	return &retain.Preview{At: at, Classes: map[string]retain.ClassPlan{}}, h.did(at)
}

func (h *house) Ask(_ context.Context, by, customer, ground string) (*muster.Erasure, error) {
	return &muster.Erasure{ID: "ers_1", Items: []muster.ErasureItem{{Customer: customer}}, Version: 1}, h.did(by, customer, ground)
}

func (h *house) Agree(_ context.Context, by, id string, v int64) (*muster.Erasure, error) {
	return &muster.Erasure{ID: id, Version: v + 1}, h.did(by, id, v)
}

func (h *house) TakeBack(_ context.Context, by, id string, v int64) (*muster.Erasure, error) {
	return &muster.Erasure{ID: id, Version: v + 1}, h.did(by, id, v)
}

func (h *house) ListHolds(_ context.Context, live bool, p muster.Page) ([]*muster.Hold, error) {
	return []*muster.Hold{{ID: "hld_1"}}, h.did(live, p)
}

func (h *house) ListErasures(_ context.Context, state string, p muster.Page) ([]*muster.Erasure, error) {
	return []*muster.Erasure{{ID: "ers_1"}}, h.did(state, p)
}

type holdVerbs struct{ *house }

func (h holdVerbs) Place(_ context.Context, by string, x muster.Hold) (*muster.Hold, error) {
	return &x, h.did(by, x)
}

func (h holdVerbs) Review(_ context.Context, by, id string, v int64, next time.Time) (*muster.Hold, error) {
	return &muster.Hold{ID: id, Review: next, Version: v + 1}, h.did(by, id, v, next)
}

func (h holdVerbs) Lift(_ context.Context, by, id string, v int64) (*muster.Hold, error) {
	return &muster.Hold{ID: id, Version: v + 1}, h.did(by, id, v)
}

// exporting is the house as package export.
type exporting struct{ h *house }

func (x exporting) Ask(_ context.Context, by, matter string, to []string) (*muster.ExportRecord, error) {
	return &muster.ExportRecord{ID: "exp_1", Version: 7}, x.h.did(by, matter, to)
}

func (x exporting) Agree(_ context.Context, by, id string, v int64) (*muster.ExportRecord, error) {
	return &muster.ExportRecord{ID: "exp_1", Version: 7}, x.h.did(by, id, v)
}

func (x exporting) Archive(_ context.Context, by, id string, w io.Writer) error {
	_, err := w.Write([]byte("sealed"))
	return errors.Join(err, x.h.did(by, id))
}

func (x exporting) Regain(_ context.Context, by string, part []byte) (*export.Regained, error) {
	return &export.Regained{Lines: 1}, x.h.did(by, string(part))
}

func (x exporting) ListExports(context.Context, muster.Page) ([]*muster.ExportRecord, error) {
	return []*muster.ExportRecord{{ID: "exp_1"}}, x.h.did()
}
