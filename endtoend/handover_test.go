package endtoend

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/edge"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/synthetic"
	"github.com/muster-cip/muster/tlog"
)

// handedOver is a deployment whose keys others hold: a verifier, a witness, two edges
// and a receiver of webhooks, each a process or a file of its own.
type handedOver struct {
	*testing.T
	d      *deployment
	p      *process
	dir    string
	token  string // file
	people *synthetic.Population
	next   int
}

// TestKeysThatOthersHoldAreHandedOver turns the log's key, the gate's and the one under
// webhooks' secrets on a server that runs, and looks at each who holds a part of them.
func TestKeysThatOthersHoldAreHandedOver(t *testing.T) {
	t.Parallel()
	received := newReceiver(t)
	h := &handedOver{T: t, dir: t.TempDir(), people: synthetic.New(47)}
	h.d = setup{settings: map[string]any{"gate_bound": "10s"}}.make(t)
	h.token = h.write("token", h.d.token+"\n")
	oldKey := h.line("log", "key", "--config", h.d.config())
	oldGate := h.line("gate", "key", "--config", h.d.config())

	witnessDir := filepath.Join(h.dir, "witness")
	h.muster("witness", "init", "--dir", witnessDir, "--name", "witness.example.org/w")
	witnessKey := strings.TrimSpace(h.read(filepath.Join(witnessDir, "witness.pub")))
	witness, at := h.background(`witnessing 1 logs at (\S+)`, "witness", "--dir", witnessDir, "--listen", loopback.Address(t), "--log", oldKey)
	h.d.configure(map[string]any{
		"witnesses": []map[string]string{{"url": at, "key": witnessKey}},
		"out":       map[string]any{"allow": []string{strings.TrimPrefix(at, "http://"), received.Listener.Addr().String()}},
	})
	h.p = h.d.start(nil)
	var hook struct{ Webhook, Secret string }
	h.p.do("POST", "/v1/webhooks", map[string]any{"url": received.URL, "events": []string{"webhook.test"}}, &hook, http.StatusCreated)
	h.delivered(received, hook.Webhook, 1, hook.Secret)
	h.decide()
	pinned := h.head("pinned", func(head string) bool { return strings.Contains(head, "\n— witness.example.org/w ") })

	// Begun: heads are of both keys from now on, and who holds the old ones goes on.
	for _, key := range []string{"log", "snapshot", "webhook"} {
		h.remote("keys", "rotate", key, "--overlap", "1h")
	}
	h.stages("known", "log", "snapshot")
	handover := filepath.Join(h.dir, "handover")
	h.remote("log", "handover", "--out", handover)
	h.decide()
	both := h.head("both", func(head string) bool {
		return strings.Count(head, "\n— endtoend.example/log ") == 2 && strings.Contains(head, "\n— witness.example.org/w ")
	})

	h.stages("done", "webhook")
	h.delivered(received, hook.Webhook, 1, hook.Secret) // the secret was sealed anew, and is the same

	// The new public halves are had with the server stopped; the turn goes on after it.
	h.p.stop()
	keys := strings.Fields(string(h.muster("log", "key", "--config", h.d.config())))
	gates := strings.Fields(string(h.muster("gate", "key", "--config", h.d.config())))
	if len(keys) != 2 || keys[0] != oldKey || len(gates) != 2 || gates[0] != oldGate {
		t.Fatalf("the log has keys %q, the gate %q", keys, gates)
	}
	witness()
	h.d.audit()
	_, again := h.background(`witnessing 1 logs at (\S+)`, "witness", "--dir", witnessDir, "--listen", strings.TrimPrefix(at, "http://"), "--log", oldKey, "--log", keys[1])
	if again != at {
		t.Fatalf("the witness moved from %s to %s", at, again)
	}
	h.p = h.d.start(nil)
	follow := h.write("follow", h.follower()+"\n")
	forgetful, careful := h.write("forgetful.keys", oldGate+"\n"), h.write("careful.keys", oldGate+"\n")
	one, two := h.edge(follow, forgetful), h.edge(follow, careful)
	h.fresh(one, 2)
	h.fresh(two, 2)
	h.write("careful.keys", oldGate+"\n"+gates[1]+"\n")

	// Ended: only the new ones sign.
	h.remote("keys", "rotate", "log", "--finish")
	h.remote("keys", "rotate", "snapshot", "--finish")
	h.stages("done", "log", "snapshot")
	decision := h.decide()
	h.fresh(two, 3)
	eventually(t, time.Minute, "the edge with the old key only refuses the centre", func() bool {
		s := h.status(one)
		return s.Stale && s.Refused[edge.Forged] > 0 && s.Accounts == 2
	})
	h.fresh(two, 3)
	if s := h.status(two); s.Refused[edge.Forged] > 0 {
		t.Errorf("the edge with both keys: %+v", s)
	}
	last := h.head("last", func(head string) bool {
		return strings.Count(head, "\n— endtoend.example/log ") == 1 && strings.Contains(head, "\n— witness.example.org/w ")
	})
	if _, err := note.Open([]byte(h.read(last)), note.VerifierList(h.verifier(keys[1]))); err != nil {
		t.Errorf("the last head is not signed by the new key: %v", err)
	}
	h.verify(decision, pinned, both, last, handover, oldKey, keys[1], witnessKey)

	// A receiver's secret: two sign until the next.
	var second, third struct{ Secret string }
	h.rotate(hook.Webhook, &second)
	h.delivered(received, hook.Webhook, 2, hook.Secret, second.Secret)
	h.rotate(hook.Webhook, &third)
	h.delivered(received, hook.Webhook, 2, second.Secret, third.Secret)
	if received.signed(hook.Secret) {
		t.Error("a secret from before the last two still signs")
	}

	h.p.stop()
	if a := h.d.audit(); a.ByType["key"] != 9 {
		t.Errorf("%d leaves of keys, want 4 of the log's, 3 of the gate's and 2 of the webhooks'", a.ByType["key"])
	}
}

// verify is somebody who holds the old key, a head from its time and the witness's key.
func (h *handedOver) verify(decision, pinned, both, last, handover, oldKey, newKey, witnessKey string) {
	h.Helper()
	size := func(head string) string { return strings.Split(h.read(head), "\n")[1] }
	bundle := filepath.Join(h.dir, "bundle")
	a := h.p.get("/v1/decisions/"+decision+"/bundle?audience=examiner&pinned="+size(pinned)+"&pinned="+size(last), nil)
	h.write("bundle", string(a.body))
	try := func(args ...string) (string, error) {
		out, errs, err := h.d.try(append([]string{"log", "verify", "--bundle", bundle, "--checkpoint", last, "--pinned", pinned, "--witness", witnessKey}, args...)...)
		return string(out) + string(errs), err
	}
	for _, ok := range [][]string{{"--key", oldKey, "--handover", handover}, {"--key", newKey}} {
		pin := ok
		if len(ok) == 2 {
			pin = append(ok, "--pinned", last) // that head is of the old key alone
		}
		out, err := try(pin...)
		if err != nil || !strings.Contains(out, "witnessed and pinned") || len(ok) > 2 != strings.Contains(out, "leads by hand-over") {
			h.Errorf("verify %v: %v\n%s", ok, err, out)
		}
	}

	next := regexp.MustCompile(`(?m)^next-key (\S+)$`).FindStringSubmatch(h.read(handover))
	if next == nil || next[1] != newKey {
		h.Fatalf("the hand-over names %v, and the new key is %s", next, newKey)
	}
	private, public, err := tlog.GenerateLogKey("endtoend.example/log")
	if err != nil {
		h.Fatal(err)
	}
	stranger, err := note.NewSigner(private)
	if err != nil {
		h.Fatal(err)
	}
	forge := func(next string) string {
		forged, err := tlog.SignHandover(tlog.Checkpoint{}, next, stranger, stranger)
		if err != nil {
			h.Fatal(err)
		}
		return string(forged)
	}
	for name, text := range map[string]string{
		"none":                                "",
		"one that a stranger signed":          forge(newKey),
		"one to a stranger":                   forge(public),
		"one whose next key was exchanged":    strings.Replace(h.read(handover), newKey, public, 1),
		"one without the new key's signature": cutLine(h.read(handover), -2),
		"one without the old key's signature": cutLine(h.read(handover), -3),
		"a head with both signatures":         h.read(both),
	} {
		args := []string{"--key", oldKey}
		if text != "" {
			args = append(args, "--handover", h.write("no-handover", text))
		}
		out, err := try(args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			h.Errorf("with the old key and as hand-over %s: %v\n%s", name, err, out)
		}
	}
}

// cutLine cuts a line out of a text, -1 being what comes after its last newline.
func cutLine(text string, n int) string {
	lines := strings.Split(text, "\n")
	n += len(lines)
	return strings.Join(append(lines[:n:n], lines[n+1:]...), "\n")
}

func (h *handedOver) muster(args ...string) []byte {
	h.Helper()
	return h.d.muster(args...)
}

// remote runs a command that asks the server.
func (h *handedOver) remote(args ...string) []byte {
	h.Helper()
	return h.muster(append(args, "--server", h.p.base, "--token-file", h.token)...)
}

func (h *handedOver) line(args ...string) string {
	h.Helper()
	return strings.TrimSpace(string(h.muster(args...)))
}

func (h *handedOver) write(name, text string) string {
	h.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	return path
}

func (h *handedOver) read(path string) string {
	h.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		h.Fatal(err)
	}
	return string(data)
}

func (h *handedOver) verifier(key string) note.Verifier {
	h.Helper()
	v, err := tlog.NewLogVerifier(key)
	if err != nil {
		h.Fatal(err)
	}
	return v
}

// decide posts an application that is good and returns its decision.
func (h *handedOver) decide() string {
	h.Helper()
	for ; ; h.next++ {
		if h.people.Class(h.next) == synthetic.Invalid {
			continue
		}
		a, err := h.p.apply(h.people.Next(h.next))
		if err != nil {
			h.Fatal(err)
		}
		h.next++
		return a.Decision.ID
	}
}

// head keeps the first head that is as wanted.
func (h *handedOver) head(name string, wanted func(string) bool) string {
	h.Helper()
	path := filepath.Join(h.dir, name)
	eventually(h, time.Minute, "the head "+name, func() bool {
		a, err := h.p.try("GET", "/checkpoint", nil)
		return err == nil && a.status == http.StatusOK && wanted(string(a.body)) && os.WriteFile(path, a.body, 0o600) == nil
	})
	return path
}

// stages waits until turns of keys are at a stage.
func (h *handedOver) stages(stage string, keys ...string) {
	h.Helper()
	eventually(h, time.Minute, strings.Join(keys, ", ")+" "+stage, func() bool {
		var all api.KeysAnswer
		h.p.get("/v1/keys?all=true", &all)
		at := 0
		for _, r := range all.Rotations {
			for _, k := range keys {
				if r.Key == k && r.Stage == stage {
					at++
				}
			}
		}
		return at == len(keys)
	})
}

// background starts a command and waits for what it says; stop ends it.
func (h *handedOver) background(says string, args ...string) (stop func(), said string) {
	h.Helper()
	c := exec.Command(h.d.binary, args...)
	errs, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		h.Fatal(err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	log := &record{}
	go func() {
		defer close(ended)
		lines, re := bufio.NewReader(io.TeeReader(errs, log)), regexp.MustCompile(says)
		for {
			text, err := lines.ReadString('\n')
			if m := re.FindStringSubmatch(text); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
			if err != nil {
				break
			}
		}
		_ = c.Wait()
	}()
	stop = sync.OnceFunc(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	h.Cleanup(func() {
		stop()
		if h.Failed() {
			h.Logf("muster %s said at last:\n%s", args[0], log.tail())
		}
	})
	select {
	case said = <-found:
	case <-ended:
		h.Fatalf("muster %v ended\n%s", args, log.tail())
	case <-time.After(serving):
		h.Fatalf("muster %v never said %s\n%s", args, says, log.tail())
	}
	return stop, said
}

// follower makes an edge's token.
func (h *handedOver) follower() string {
	h.Helper()
	var me api.Me
	h.p.get("/v1/me", &me)
	var made api.Token
	h.p.do("POST", "/v1/tokens", map[string]any{"operator": me.Operator, "name": "edge", "scopes": []string{"gate:follow"}, "days": 1}, &made, http.StatusCreated)
	return made.Secret
}

// edge starts an edge and returns its URL.
func (h *handedOver) edge(token, keys string) string {
	h.Helper()
	_, at := h.background(`"msg":"serving","address":"([^"]+)"`, "gate", "--from", h.p.base, "--token-file", token, "--key", keys, "--listen", "127.0.0.1:0", "--data", "")
	return "http://" + at
}

func (h *handedOver) status(url string) (s edge.Status) {
	h.Helper()
	newClient(h, url, "").get("/v1/gate/status", &s)
	return s
}

// fresh waits until an edge knows so many accounts, and what it knows is not stale.
func (h *handedOver) fresh(url string, accounts int) {
	h.Helper()
	eventually(h, time.Minute, "an edge that knows "+strconv.Itoa(accounts)+" accounts", func() bool {
		s := h.status(url)
		return !s.Stale && s.Connected && s.Accounts == accounts
	})
}

// rotate makes a webhook another secret.
func (h *handedOver) rotate(webhook string, out any) {
	h.Helper()
	a := h.p.get("/v1/webhooks/"+webhook, nil)
	h.p.do("POST", "/v1/webhooks/"+webhook+"/secret", nil, out, http.StatusOK, "If-Match", a.header.Get("ETag"))
}

// delivered has a message sent, which carries so many signatures, one by each secret.
func (h *handedOver) delivered(r *receiver, webhook string, signatures int, secrets ...string) {
	h.Helper()
	was := r.count()
	h.p.do("POST", "/v1/webhooks/"+webhook+"/tests", nil, nil, http.StatusAccepted)
	eventually(h, time.Minute, "a message", func() bool { return r.count() > was })
	if n := len(strings.Fields(r.last().Get("webhook-signature"))); n != signatures {
		h.Errorf("a message has %d signatures, want %d", n, signatures)
	}
	for i, s := range secrets {
		if !r.signed(s) {
			h.Errorf("the last message is not signed by secret %d", i+1)
		}
	}
}

// receiver keeps the last message that came.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	n      int
	header http.Header
	body   []byte
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n, r.header, r.body = r.n+1, req.Header, bytes.Clone(body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func (r *receiver) last() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header
}

// signed reports whether the last message is signed by a secret, as a receiver finds out
// by the words of Standard Webhooks.
func (r *receiver) signed(secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(r.header.Get("webhook-id") + "." + r.header.Get("webhook-timestamp") + "."))
	mac.Write(r.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Fields(r.header.Get("webhook-signature")) {
		if hmac.Equal([]byte(s), []byte(want)) {
			return true
		}
	}
	return false
}
