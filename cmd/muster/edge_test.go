package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/edge"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/store"
)

// gateHouse is a sandbox that can be stopped and started again, with an edge.
type gateHouse struct {
	*testing.T
	conf   Config
	root   string // a token with every scope
	follow string // the edge's, in a file
	key    string
	api    *client
	house  *house
	stop   func()
}

func startGateHouse(t *testing.T) *gateHouse {
	t.Helper()
	listen := loopback.Address(t)
	dir := t.TempDir()
	conf, root, err := initialise(t.Context(), dir, Config{Mode: muster.ModeSandbox, Listen: listen, Origin: "sandbox.muster.example/log"}, "Ada", []string{"us-iaas-cip", "sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateHouse{T: t, conf: conf.Config, root: root, follow: filepath.Join(dir, "edge.token")}
	g.start()
	if g.api, err = newClient("http://"+listen, root); err != nil {
		t.Fatal(err)
	}
	var made struct{ Secret string }
	var me struct{ Operator string }
	g.must(g.api.call(t.Context(), http.MethodGet, "/v1/me", nil, &me))
	g.must(g.api.call(t.Context(), http.MethodPost, "/v1/tokens", map[string]any{"operator": me.Operator, "name": "edge", "scopes": []string{"gate:follow"}, "days": 30}, &made))
	if err := os.WriteFile(g.follow, []byte(made.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.key = gate.FormatKey(g.house.vault.SnapshotKey().Public().(ed25519.PublicKey))
	return g
}

func (g *gateHouse) must(_ http.Header, err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// start starts the centre.
func (g *gateHouse) start() {
	g.Helper()
	_, log := logged(g.T)
	ctx, stop := context.WithCancel(context.Background())
	up, ended := make(chan *house, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, g.conf, log, func(_ net.Addr, h *house) { up <- h })
	}()
	select {
	case g.house = <-up:
	case err := <-ended:
		stop()
		g.Fatal(err)
	}
	g.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			g.Error(err)
		}
	})
	g.Cleanup(g.stop)
}

// runningEdge is one edge process's worth.
type runningEdge struct {
	g    *gateHouse
	at   edgeAddresses
	logs *lockedBuffer
	stop func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// logged is a log whose end is in the message of a test that fails.
func logged(t *testing.T) (*lockedBuffer, *slog.Logger) {
	b := &lockedBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			s := b.String()
			t.Logf("the log:\n%s", s[max(0, len(s)-3000):])
		}
	})
	return b, slog.New(slog.NewJSONHandler(b, nil))
}

func (g *gateHouse) edge(data string) *runningEdge {
	g.Helper()
	e := edgeFlags{
		from: "http://" + g.conf.Listen, token: g.follow, key: g.key, listen: "127.0.0.1:0", envoy: "127.0.0.1:0", data: data, natsPrefix: "muster.gate",
	}
	ctx, stop := context.WithCancel(context.Background())
	up, ended := make(chan edgeAddresses, 1), make(chan error, 1)
	r := &runningEdge{g: g}
	var log *slog.Logger
	r.logs, log = logged(g.T)
	go func() {
		ended <- e.run(ctx, log, func(a edgeAddresses) { up <- a })
	}()
	select {
	case r.at = <-up:
	case err := <-ended:
		stop()
		g.Fatal(err)
	}
	r.stop = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			g.Error(err)
		}
	})
	g.Cleanup(r.stop)
	return r
}

// until asks again and again, for a minute at most: the edge is on the other side of a network.
func (g *gateHouse) until(what string, fn func() bool) {
	g.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !fn(); <-tick.C {
		if time.Now().After(limit) {
			g.Fatalf("%s: not within a minute", what)
		}
	}
}

// ask is an AuthZEN question; it returns the decision and the reason's id.
func (r *runningEdge) ask(account, action string) (decision bool, code string) {
	r.g.Helper()
	body := fmt.Sprintf(`{"subject":{"type":"account","id":%q},"action":{"name":%q},"resource":{"type":"instance","id":"i-1"}}`, account, action)
	res, err := http.Post("http://"+r.at.HTTP.String()+"/access/v1/evaluation", "application/json", strings.NewReader(body))
	if err != nil {
		r.g.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Decision bool
		Context  struct{ ID string }
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || res.StatusCode != http.StatusOK {
		r.g.Fatal(res.Status, err)
	}
	return a.Decision, a.Context.ID
}

func (r *runningEdge) status() (s edge.Status) {
	r.g.Helper()
	res, err := http.Get("http://" + r.at.HTTP.String() + "/v1/gate/status")
	if err != nil {
		r.g.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		r.g.Fatal(err)
	}
	return s
}

// person posts an application of the sandbox and returns its account.
func (g *gateHouse) person(reference, outcome string) {
	g.Helper()
	now := time.Now().UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"reference": %q, "customer": {"kind": "individual", "name": {"full": "Lena Hoffmann"},
 "address": {"lines": ["Torstraße 140"], "locality": "Berlin", "country": "DE", "postal_code": "10119"},
 "nationalities": ["DE"], "us_person_claim": "none", "email": "%s@sandbox.muster.example", "phone": "+4930901820"},
 "payment": {"means": "card", "country": "DE", "token": "tok_1"}, "access": {"ip": "5.9.120.33", "time": %q},
 "request": {"products": ["vm"]}, "notice": {"version": "2026-11", "locale": "en", "shown_at": %q}}`, reference, outcome, now, now)
	g.must(g.api.call(g.Context(), http.MethodPost, "/v1/applications", []byte(body), nil))
}

func TestAnEdgeOfADeployment(t *testing.T) {
	t.Parallel()
	g := startGateHouse(t)
	g.person("r-open", "open")
	data := t.TempDir()
	e := g.edge(data)
	g.until("the account that is there", func() bool { d, _ := e.ask("r-open", muster.ActionUse); return d && e.status().Accounts == 1 })

	// What happens at the centre is in force at the edge.
	g.person("r-limited", "limit")
	g.until("a new account", func() bool { return e.status().Accounts == 2 })
	if d, code := e.ask("nobody", muster.ActionOpenSubAccount); d || code != "unknown_account" {
		t.Errorf("%v %s", d, code)
	}
	g.must(g.api.call(t.Context(), http.MethodPost, "/v1/accounts/r-open/moves", map[string]string{"to": "closing", "reason": "left"}, nil, "If-Match", version1(g, "r-open")))
	g.until("the move", func() bool { d, _ := e.ask("r-open", muster.ActionAddResources); return !d })

	// Envoy asks the same gate.
	conn, err := grpc.NewClient(e.at.Envoy.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	res, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{"account": "r-open", "action": muster.ActionAddResources},
	}})
	if err != nil || res.GetDeniedResponse() == nil {
		t.Errorf("%v %v", res, err)
	}

	// The denials come up to the centre's record, by the account.
	g.until("the record", func() bool {
		var page struct{ Items []muster.GateRecord }
		g.must(g.api.call(t.Context(), http.MethodGet, "/v1/gate/records?account=r-open", nil, &page))
		protocols := map[string]bool{}
		for _, r := range page.Items {
			if r.Answer != muster.AnswerDeny || !strings.HasPrefix(r.Source, muster.PrefixToken) {
				t.Errorf("%+v", r)
			}
			protocols[r.Protocol] = true
		}
		return protocols[muster.ProtocolAuthZEN] && protocols[muster.ProtocolEnvoy]
	})

	// Without the centre it answers from what it knows; so it does after a start of its own.
	g.stop()
	if d, _ := e.ask("r-limited", muster.ActionUse); !d {
		t.Error("a centre that stopped stopped the edge")
	}
	e.stop()
	again := g.edge(data)
	g.until("the cache", func() bool { return again.status().Accounts == 2 })
	if d, _ := again.ask("r-open", muster.ActionAddResources); d {
		t.Error("what was denied is allowed from the cache")
	}

	// The centre is restored: a new epoch, which the edge accepts.
	h, err := openHouse(t.Context(), g.conf, options{})
	if err != nil {
		t.Fatal(err)
	}
	err = h.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.NextGateEpoch(t.Context())
		return err
	})
	h.close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	was := again.status().Epoch
	g.start()
	g.until("the new epoch", func() bool { s := again.status(); return s.Epoch > was && s.Connected && s.Accounts == 2 })

	// No personal data is at the edge, on its disk or in its log.
	files, err := filepath.Glob(filepath.Join(data, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	text := e.logs.String() + again.logs.String()
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, canary := range []string{"Hoffmann", "Torstra", "sandbox.muster.example", "30901820", "r-open", "r-limited"} {
		if strings.Contains(text, canary) {
			t.Errorf("%s is at the edge", canary)
		}
	}
}

// version1 is the ETag of an account.
func version1(g *gateHouse, reference string) string {
	g.Helper()
	h, err := g.api.call(g.Context(), http.MethodGet, "/v1/accounts/"+reference, nil, nil)
	if err != nil {
		g.Fatal(err)
	}
	return h.Get("ETag")
}

// TestAnEdgesCredentialReadsSnapshotsAndNothingElse walks the centre's whole API
// with it. The public halves that the snapshots are signed under belong to them.
func TestAnEdgesCredentialReadsSnapshotsAndNothingElse(t *testing.T) {
	t.Parallel()
	g := startGateHouse(t)
	token, err := secretFile(g.follow)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Security    []map[string][]string
		}
	}
	g.must(g.api.call(t.Context(), http.MethodGet, "/openapi.json", nil, &doc))
	may := map[string]bool{"getGateSnapshot": true, "getGateHead": true, "listGateKeys": true, "followGate": true, "putGateRecords": true, "getMe": true}
	walked := 0
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if len(o.Security) == 0 || may[o.OperationID] {
				continue
			}
			walked++
			path := strings.NewReplacer("{", "x_", "}", "").Replace(path)
			req, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), "http://"+g.conf.Listen+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s (%s): %s", method, path, o.OperationID, res.Status)
			}
		}
	}
	if walked < 40 {
		t.Errorf("only %d routes were walked", walked)
	}
}

func TestAnEdgeSaysWhatItsCommandLineLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", "muster.example.net"}, "--from is the centre's URL"},
		{[]string{"--from", "http://10.0.0.1:8420"}, "use https, or say --plain"},
		{[]string{"--from", "https://m.example"}, "--token-file names the edge's token"},
		{[]string{"--from", "https://m.example"}, "--key is the centre's key"},
		{[]string{"--from", "https://m.example", "--listen", "0.0.0.0:8421"}, "give --ask-token-file"},
		{[]string{"--from", "https://m.example", "--envoy", ":8422"}, "give --ask-token-file"},
		{[]string{"--from", "https://m.example", "--listen", "8421"}, "--listen is host:port"},
		{[]string{"--from", "https://m.example", "--certificate", "x"}, "--certificate and --certificate-key"},
	} {
		if code, _, errs := session(t.Context(), append([]string{"gate"}, c.args...)...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
}
