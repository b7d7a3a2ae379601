package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/gate"
)

// gateWire measures an edge as it runs: the program, started with --from, with a
// snapshot of as many accounts as s.Edge, asked over the wire. Beside it run, as
// processes of their own: a handler that answers a constant behind the same server
// (package api's) or the same gRPC, and OPA with the same data and an equal policy.
type gateWire struct {
	bin, dir string
	centre   *httptest.Server
	key      ed25519.PrivateKey
	accounts int
}

// wireSettings are what the run is made of.
type wireSettings struct {
	Connections []int
	Rounds      int           // alternated; the median counts
	Each        time.Duration // of one round on one side
}

func wireSizes(quick bool) wireSettings {
	s := wireSettings{Connections: []int{1, 8, 64}, Rounds: 5, Each: 2 * time.Second}
	if quick {
		s.Rounds, s.Each = 3, 250*time.Millisecond
	}
	return s
}

func gateOverTheWire(ctx context.Context, r *run, s gateSettings) error {
	w := wireSizes(r.quick)
	r.say("over the wire: %d alternated rounds of %v a side, the median of their ratios; client and server share the machine's cores", w.Rounds, w.Each)
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	g, err := newGateWire(bin, filepath.Join(r.dir, "edge"), s.Edge)
	if err != nil {
		return err
	}
	defer g.centre.Close()
	e, ready, err := g.startEdge(ctx)
	if err != nil {
		return err
	}
	defer e.stop()
	r.atMost(fmt.Sprintf("a fresh edge ready, %d accounts", g.accounts), ready.Seconds(), "s", 3)
	return errors.Join(
		part("AuthZEN", g.authZEN(ctx, r, w, e)),
		part("ext_authz", g.extAuthz(ctx, r, w, e)),
		part("OPA", g.opa(ctx, r, w, e)),
	)
}

// newGateWire is a centre with so many accounts, as far as an edge sees one. It writes
// and signs its snapshot when it is asked for it.
func newGateWire(bin, dir string, accounts int) (*gateWire, error) {
	snap, err := gateSnapshot(accounts)
	if err != nil {
		return nil, err
	}
	g := &gateWire{bin: bin, dir: dir, key: gateSigner(), accounts: accounts}
	head := func() gate.Head {
		return gate.Head{
			Deployment: snap.Deployment, Epoch: snap.Epoch, From: snap.Seq, Seq: snap.Seq, Digest: snap.Digest(), Accounts: uint64(snap.Len()),
			Time: time.Now(), Bound: time.Minute, Fail: gate.DefaultFail, KeyID: snap.Key().ID(),
		}
	}
	g.centre = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/gate/snapshot":
			if m, err := snap.Encode(head(), g.key); err == nil {
				_, _ = m.WriteTo(w) // an edge that went away is no error of the bench's
			}
		case "/v1/gate/changes":
			for {
				h := head()
				m, err := h.Seal(g.key)
				if err != nil {
					return
				}
				if _, err := m.WriteTo(w); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Second):
				}
			}
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	return g, os.MkdirAll(dir, 0o700)
}

// process is a server beside the bench.
type process struct {
	cmd        *exec.Cmd
	http, grpc string
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	done := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // its exit code says how it was stopped, by us
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

// startEdge starts muster gate with nothing on its disk, and returns how long it
// took until it answered from the snapshot.
func (g *gateWire) startEdge(ctx context.Context) (*process, time.Duration, error) {
	p := &process{}
	var err error
	if p.http, err = freeAddress(); err != nil {
		return nil, 0, err
	}
	if p.grpc, err = freeAddress(); err != nil {
		return nil, 0, err
	}
	token := filepath.Join(g.dir, "token")
	if err := os.WriteFile(token, []byte("muster_production_00000000000000000000000000\n"), 0o600); err != nil {
		return nil, 0, err
	}
	asks := filepath.Join(g.dir, "ask.token")
	if err := os.WriteFile(asks, []byte(askToken+"\n"), 0o600); err != nil {
		return nil, 0, err
	}
	p.cmd = exec.CommandContext(ctx, g.bin, "gate", "--from", g.centre.URL, "--token-file", token, "--ask-token-file", asks,
		"--key", gate.FormatKey(g.key.Public().(ed25519.PublicKey)), "--listen", p.http, "--envoy", p.grpc, "--data", filepath.Join(g.dir, "data"))
	logs := &bytes.Buffer{}
	p.cmd.Stderr = logs
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, 0, err
	}
	ask := authZENRequest(p.http, accountName(0))
	for limit := began.Add(time.Minute); ; {
		if body, err := once(p.http, ask); err == nil && bytes.Contains(body, []byte(`"decision":true`)) && !bytes.Contains(body, []byte(`"known":false`)) {
			return p, time.Since(began), nil
		}
		if time.Now().After(limit) || ctx.Err() != nil {
			p.stop()
			return nil, 0, fmt.Errorf("the edge was not ready: %s", logs)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// askToken is what callers of the edge send: it is checked as in earnest.
const askToken = "muster_edge_0123456789abcdefghijklmnop"

// startSelf starts this program as one of the bare handlers (bare).
func startSelf(ctx context.Context, what string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self)}
	p.cmd.Env = append(os.Environ(), bareVariable+"="+what)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the bare %s does not listen: %w", what, err)
	}
	p.http = strings.TrimSpace(line)
	p.grpc = p.http
	return p, nil
}

const bareVariable = "MUSTER_BENCH_BARE"

// bare serves a constant until it is told to stop: what the protocol and the
// server cost, without an answer.
func bare(ctx context.Context, what string) error {
	switch what {
	case "http":
		return (&api.Server{
			Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Ready: func(a net.Addr) { fmt.Println(a) },
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = constantType
				_, _ = w.Write(constantAnswer)
			}),
		}).Run(ctx)
	case "grpc":
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(l.Addr())
		s := grpc.NewServer(grpc.MaxRecvMsgSize(1<<20), grpc.MaxConcurrentStreams(1000))
		authv3.RegisterAuthorizationServer(s, constantGRPC{})
		go func() {
			<-ctx.Done()
			s.Stop()
		}()
		return s.Serve(l)
	}
	return fmt.Errorf("there is no bare %s", what)
}

var (
	constantType   = []string{"application/json"}
	constantAnswer = []byte(`{"decision":true}`)
)

type constantGRPC struct {
	authv3.UnimplementedAuthorizationServer
}

func (constantGRPC) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

func authZENRequest(addr, account string) []byte {
	return jsonRequest(addr, "/access/v1/evaluation", fmt.Sprintf(
		`{"subject":{"type":"account","id":%q},"action":{"name":"add_resources"},"resource":{"type":"instance","id":"new","properties":{"product":"vm","instances":3}}}`, account))
}

func jsonRequest(addr, path, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, askToken, len(body), body)
}

// once sends one request and returns the answer whole.
func once(addr string, request []byte) ([]byte, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", res.Status)
	}
	return io.ReadAll(res.Body)
}

// side is one of two servers that are asked by turns.
type side struct {
	addr string
	reqs [][]byte
}

// heard is what one round came to.
type heard struct {
	rate float64 // answers a second
	p99  time.Duration
	cpu  float64 // of the server, µs an answer
}

// cpu is what a process has used of the processors, as far as the system tells.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// round is one of asking over so many connections.
type round func(ctx context.Context, connections int, each time.Duration) (heard, int, error)

// on adds to a round what its server used.
func (p *process) on(fn round) func(context.Context, int, time.Duration) (heard, error) {
	return func(ctx context.Context, connections int, each time.Duration) (heard, error) {
		before := p.cpu()
		h, n, err := fn(ctx, connections, each)
		h.cpu = float64((p.cpu() - before).Microseconds()) / float64(max(n, 1))
		return h, err
	}
}

// round asks over so many keep-alive connections for a while.
func (s *side) round(ctx context.Context, connections int, each time.Duration) (heard, int, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	began := time.Now()
	var wg sync.WaitGroup
	for k := range connections {
		wg.Go(func() {
			mine := make([]time.Duration, 0, 1<<15)
			err := func() error {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
				if err != nil {
					return err
				}
				defer c.Close()
				in := bufio.NewReaderSize(c, 16<<10)
				for i := k * 997; time.Since(began) < each && ctx.Err() == nil; i++ {
					sent := time.Now()
					if _, err := c.Write(s.reqs[i%len(s.reqs)]); err != nil {
						return err
					}
					status, err := answer(in)
					if err != nil {
						return err
					}
					if status != http.StatusOK {
						return fmt.Errorf("answered %d", status)
					}
					mine = append(mine, time.Since(sent))
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, mine...), append(errs, err)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || len(all) == 0 {
		return heard{}, 0, errors.Join(err, ctx.Err())
	}
	took := time.Since(began)
	slices.Sort(all)
	return heard{rate: float64(len(all)) / took.Seconds(), p99: all[len(all)*99/100]}, len(all), nil
}

// byTurns asks two servers by turns, each first as often as second, and returns the
// medians of both and of their ratios, ours above theirs.
func byTurns(ctx context.Context, w wireSettings, connections int, ours, theirs func(context.Context, int, time.Duration) (heard, error)) (our, their heard, rate, p99 float64, err error) {
	if _, err := ours(ctx, connections, w.Each/4); err != nil { // to warm up
		return our, their, 0, 0, err
	}
	if _, err := theirs(ctx, connections, w.Each/4); err != nil {
		return our, their, 0, 0, err
	}
	var a, b []heard
	for i := range w.Rounds {
		for k := range 2 {
			if (i+k)%2 == 0 {
				h, err := ours(ctx, connections, w.Each)
				if err != nil {
					return our, their, 0, 0, err
				}
				a = append(a, h)
			} else {
				h, err := theirs(ctx, connections, w.Each)
				if err != nil {
					return our, their, 0, 0, err
				}
				b = append(b, h)
			}
		}
	}
	var rates, tails []float64
	for i := range a {
		rates = append(rates, a[i].rate/b[i].rate)
		tails = append(tails, a[i].p99.Seconds()/b[i].p99.Seconds())
	}
	return medianHeard(a), medianHeard(b), median(rates), median(tails), nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func medianHeard(v []heard) heard {
	var rates, tails, used []float64
	for _, h := range v {
		rates, tails, used = append(rates, h.rate), append(tails, h.p99.Seconds()), append(used, h.cpu)
	}
	return heard{median(rates), time.Duration(median(tails) * float64(time.Second)), median(used)}
}

// spread are accounts all over the snapshot.
func (g *gateWire) spread(make func(account string) []byte) (reqs [][]byte) {
	for i := range 4096 {
		reqs = append(reqs, make(accountName(i*7919%g.accounts)))
	}
	return reqs
}

func (g *gateWire) authZEN(ctx context.Context, r *run, w wireSettings, e *process) error {
	constant, err := startSelf(ctx, "http")
	if err != nil {
		return err
	}
	defer constant.stop()
	ours := &side{e.http, g.spread(func(a string) []byte { return authZENRequest(e.http, a) })}
	theirs := &side{constant.http, g.spread(func(a string) []byte { return authZENRequest(constant.http, a) })}
	for _, n := range w.Connections {
		our, their, rate, p99, err := byTurns(ctx, w, n, e.on(ours.round), constant.on(theirs.round))
		if err != nil {
			return err
		}
		what := fmt.Sprintf("AuthZEN, %d connection%s", n, pick(n == 1, "", "s"))
		r.note(what, our.rate, "answers/s")
		r.note(what+": constant handler", their.rate, "answers/s")
		r.atLeast(what+": against the constant handler", rate, "", 0.80)
		r.note(what+": server's CPU an answer", our.cpu, "µs")
		r.note(what+": constant handler's CPU an answer", their.cpu, "µs")
		r.note(what+": p99", float64(our.p99.Microseconds()), "µs")
		r.atMost(what+": p99 against the constant handler's", p99, "", 1.3)
	}
	return nil
}

// grpcSide asks a Check at a time on each of so many streams of one connection.
func grpcSide(addr string, reqs []*authv3.CheckRequest) (round, func(), error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer{}))
	if err != nil {
		return nil, nil, err
	}
	client := authv3.NewAuthorizationClient(conn)
	return func(ctx context.Context, streams int, each time.Duration) (heard, int, error) {
		var mu sync.Mutex
		var all []time.Duration
		var errs []error
		began := time.Now()
		var wg sync.WaitGroup
		for k := range streams {
			wg.Go(func() {
				var mine []time.Duration
				var err error
				for i := k * 997; err == nil && time.Since(began) < each; i++ {
					sent := time.Now()
					if _, err = client.Check(ctx, reqs[i%len(reqs)]); err == nil {
						mine = append(mine, time.Since(sent))
					}
				}
				mu.Lock()
				defer mu.Unlock()
				all, errs = append(all, mine...), append(errs, err)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil || len(all) == 0 {
			return heard{}, 0, errors.Join(err, ctx.Err())
		}
		took := time.Since(began)
		slices.Sort(all)
		return heard{rate: float64(len(all)) / took.Seconds(), p99: all[len(all)*99/100]}, len(all), nil
	}, func() { conn.Close() }, nil
}

type bearer struct{}

func (bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + askToken}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

func (g *gateWire) extAuthz(ctx context.Context, r *run, w wireSettings, e *process) error {
	constant, err := startSelf(ctx, "grpc")
	if err != nil {
		return err
	}
	defer constant.stop()
	var reqs []*authv3.CheckRequest
	for i := range 4096 {
		reqs = append(reqs, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			ContextExtensions: map[string]string{"action": "add_resources", "product": "vm"},
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "POST", Path: "/v1/instances", Host: "panel.example.net", Scheme: "https",
				Headers: map[string]string{"x-muster-account": accountName(i * 7919 % g.accounts), "user-agent": "cli/2", "content-type": "application/json"},
			}},
		}})
	}
	ours, end, err := grpcSide(e.grpc, reqs)
	if err != nil {
		return err
	}
	defer end()
	theirs, end2, err := grpcSide(constant.grpc, reqs)
	if err != nil {
		return err
	}
	defer end2()
	for _, n := range []int{1, 8, 64} {
		our, their, rate, _, err := byTurns(ctx, w, n, e.on(ours), constant.on(theirs))
		if err != nil {
			return err
		}
		what := fmt.Sprintf("ext_authz, %d at once", n)
		r.note(what, our.rate, "answers/s")
		r.note(what+": bare gRPC handler", their.rate, "answers/s")
		r.note(what+": server's CPU an answer", our.cpu, "µs")
		r.note(what+": bare handler's CPU an answer", their.cpu, "µs")
		r.atLeast(what+": against the bare handler", rate, "", 0.80)
	}
	return nil
}

// opaPolicy is the gate's rule in Rego: the profile of the account, the limits, the
// fail table for an account that is not known, words and obligations.
const opaPolicy = `package gate

import rego.v1

profile := data.profiles[data.accounts[input.subject.id]]

known if profile

past if {
	count(profile.limits.products) > 0
	not input.resource.properties.product in profile.limits.products
}

past if profile.limits.instances < input.resource.properties.instances

past if {
	profile.limits.gpu == "none"
	input.action.name == "add_gpu"
}

decision if profile.status == "allow"

decision if {
	profile.status == "limited"
	not past
}

decision if input.action.name in profile.except

decision if {
	not known
	input.action.name in data.unknown
}

default decision := false

answer := {"decision": decision, "context": {"status": profile.status, "id": profile.code, "obligations": profile.limits, "reason_user": {"en": profile.customer}}} if known

answer := {"decision": decision, "context": {"id": "unknown_account", "known": false}} if not known
`

func (g *gateWire) opa(ctx context.Context, r *run, w wireSettings, e *process) error {
	bin := filepath.Join(r.dir, "opa")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/open-policy-agent/opa")
	build.Dir = filepath.Join("tools", "opa")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	r.say("OPA: built from tools/opa, which takes minutes the first time")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	dir := filepath.Join(r.dir, "opa-data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "gate.rego"), []byte(opaPolicy), 0o600); err != nil {
		return err
	}
	if err := g.opaData(filepath.Join(dir, "data.json")); err != nil {
		return err
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	p := &process{cmd: exec.CommandContext(ctx, bin, "run", "--server", "--addr", addr, "--log-level", "error", "--disable-telemetry", dir), http: addr}
	logs := &bytes.Buffer{}
	p.cmd.Stdout, p.cmd.Stderr = logs, logs
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	defer p.stop()
	opaRequest := func(account string) []byte {
		return jsonRequest(addr, "/v1/data/gate/answer", fmt.Sprintf(
			`{"input":{"subject":{"type":"account","id":%q},"action":{"name":"add_resources"},"resource":{"type":"instance","id":"new","properties":{"product":"vm","instances":3}}}}`, account))
	}
	for {
		body, err := once(addr, opaRequest(accountName(0)))
		if err == nil && bytes.Contains(body, []byte(`"decision":true`)) {
			break
		}
		if time.Since(began) > 2*time.Minute || ctx.Err() != nil {
			return fmt.Errorf("OPA was not ready: %w\n%s", err, logs)
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.note(fmt.Sprintf("OPA ready, %d accounts", g.accounts), time.Since(began).Seconds(), "s")
	decided := regexp.MustCompile(`"decision":\s*(true|false)`)
	for _, i := range []int{0, 88, 94, 98} { // one of each kind: the two policies are equal
		ours, err := once(e.http, authZENRequest(e.http, accountName(i)))
		if err != nil {
			return err
		}
		theirs, err := once(addr, opaRequest(accountName(i)))
		if err != nil {
			return err
		}
		if a, b := decided.FindSubmatch(ours), decided.FindSubmatch(theirs); a == nil || b == nil || string(a[1]) != string(b[1]) {
			return fmt.Errorf("account %d: the gate says %s, OPA %s", i, ours, theirs)
		}
	}
	ours := &side{e.http, g.spread(func(a string) []byte { return authZENRequest(e.http, a) })}
	theirs := &side{addr, g.spread(opaRequest)}
	for _, n := range pick(r.quick, []int{8}, w.Connections) {
		our, their, rate, _, err := byTurns(ctx, w, n, e.on(ours.round), p.on(theirs.round))
		if err != nil {
			return err
		}
		what := fmt.Sprintf("OPA, %d connection%s", n, pick(n == 1, "", "s"))
		r.note(what, their.rate, "answers/s")
		r.note(what+": the gate", our.rate, "answers/s")
		r.atLeast(what+": the gate against it", rate, "", 4)
	}
	return nil
}

// opaData writes the accounts of the snapshot as OPA reads data.
func (g *gateWire) opaData(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := bufio.NewWriterSize(f, 1<<20)
	b.WriteString(`{"unknown":["use","export_data"],"profiles":[
{"status":"allow","code":"","except":[],"limits":{},"customer":""},
{"status":"limited","code":"new_account","except":[],"limits":{"products":[],"gpu":"none","instances":10,"outbound_mail":"closed"},"customer":"Your account is new: some limits apply."},
{"status":"deny","code":"suspended","except":["export_data"],"limits":{},"customer":"Your account is suspended."},
{"status":"deny","code":"pending","except":[],"limits":{},"customer":"We still need something from you."}],"accounts":{`)
	for i := range g.accounts {
		profile := 0
		switch k := i % 100; {
		case k < 88:
		case k < 94:
			profile = 1
		case k < 98:
			profile = 2
		default:
			profile = 3
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:%d", accountName(i), profile)
	}
	b.WriteString("}}")
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Close()
}
