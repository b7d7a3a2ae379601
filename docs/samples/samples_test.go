package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/outbound"
)

func TestMain(m *testing.M) { os.Exit(built.Run(m)) }

// language is how a language's samples are run.
type language struct {
	name, program   string // program that runs them; "" for Go
	signup, webhook []string
}

var languages = []language{
	{name: "go"},
	{"python", "python3", []string{"signup.py"}, []string{"webhook.py"}},
	{"php", "php", []string{"signup.php"}, []string{"webhook.php"}},
}

// each runs fn in every language that is installed here.
func each(t *testing.T, fn func(t *testing.T, l language)) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			if l.program != "" {
				if _, err := exec.LookPath(l.program); err != nil {
					t.Skipf("%s is not installed", l.program)
				}
			}
			fn(t, l)
		})
	}
}

// ask runs a sample and returns the first line of what it says.
func (l language) ask(t *testing.T, server, token, application string) string {
	t.Helper()
	if l.program == "" {
		todo, _ := Ask(t.Context(), server, token, []byte(application))
		return todo
	}
	c := exec.CommandContext(t.Context(), l.program, l.signup...)
	c.Env = append(os.Environ(), "MUSTER_SERVER="+server, "MUSTER_TOKEN="+token)
	c.Stdin = strings.NewReader(application)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil || errs.Len() > 0 {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	return line
}

// answered is ask of a server that is there: a sample waits for it for some seconds only,
// which a machine that pauses may take longer than.
func (l language) answered(t *testing.T, server, token, application string) (todo string) {
	t.Helper()
	for range 20 {
		if todo = l.ask(t, server, token, application); todo != "hold" {
			break
		}
	}
	return todo
}

const person = `{"reference": %q, "customer": {"kind": "individual", "name": {"full": "Lena Hoffmann"},
 "address": {"lines": ["Torstraße 140"], "locality": "Berlin", "country": "DE", "postal_code": "10119"},
 "nationalities": ["DE"], "us_person_claim": "none", "email": %q, "phone": %q},
 "payment": {"means": "card", "country": "DE", "token": "tok_1"}, "access": {"ip": "5.9.120.33", "time": "2026-11-02T09:15:00Z"},
 "request": {"products": ["vm"]}, "notice": {"version": "2026-11", "locale": "en", "shown_at": "2026-11-02T09:14:00Z"}}`

func TestSignUp(t *testing.T) {
	t.Parallel()
	server, token := sandbox(t)
	each(t, func(t *testing.T, l language) {
		for _, c := range []struct{ email, phone, want string }{
			{"open@sandbox.muster.example", "+4930901820", "open"},
			{"limit@sandbox.muster.example", "+4930901820", "open within limits"},
			{"review@sandbox.muster.example", "+4930901820", "wait"},
			{"refuse@sandbox.muster.example", "+4930901820", ""},
			{"lena@example.de", "+491", "correct"},
		} {
			application := fmt.Sprintf(person, l.name+"-"+strings.ReplaceAll(c.email, "@", "."), c.email, c.phone)
			want := c.want
			if want == "" && l.program != "" {
				want = "do not open"
			}
			for range 2 { // the same again is the same application
				if got := l.answered(t, server, token, application); got != want {
					t.Errorf("%s: %q, want %q", c.email, got, want)
				}
			}
		}
		if got := l.ask(t, server, "muster_sandbox_wrong", fmt.Sprintf(person, l.name+"-denied", "lena@example.de", "+4930901820")); got != "hold" {
			t.Errorf("with a token that is not good: %q, want hold", got)
		}
	})
}

func TestSignUpHoldsWithoutAnswer(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.CloseClientConnections)
	nonsense := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	t.Cleanup(nonsense.Close)
	each(t, func(t *testing.T, l language) {
		for name, server := range map[string]string{"silent": silent.URL, "nonsense": nonsense.URL, "away": "http://127.0.0.1:1"} {
			began := time.Now()
			if got := l.ask(t, server, "x", "{}"); got != "hold" {
				t.Errorf("%s: %q, want hold", name, got)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%s: a customer waited %s", name, took)
			}
		}
	})
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l language) {
		now, old, secret := time.Now(), outbound.NewSecret(), outbound.NewSecret()
		body := []byte(`{"type":"application.decided","data":{"reference":"ü"}}`)
		signed := func(at time.Time, with ...outbound.Secret) http.Header {
			h := http.Header{}
			outbound.Sign(h, with, "msg_1", at, body)
			return h
		}
		for name, c := range map[string]struct {
			header http.Header
			body   []byte
			want   bool
		}{
			"genuine":                {signed(now, secret), body, true},
			"secret being changed":   {signed(now, old, secret), body, true},
			"another secret":         {signed(now, old), body, false},
			"another body":           {signed(now, secret), append([]byte(" "), body...), false},
			"ten minutes old":        {signed(now.Add(-10*time.Minute), secret), body, false},
			"from ten minutes ahead": {signed(now.Add(10*time.Minute), secret), body, false},
			"no signature":           {http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}}, body, false},
			"no headers":             {http.Header{}, body, false},
		} {
			if got := l.genuine(t, secret.Text(), c.header, c.body, now); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
}

func (l language) genuine(t *testing.T, secret string, h http.Header, body []byte, now time.Time) bool {
	t.Helper()
	if l.program == "" {
		return Genuine(secret, h, body, now)
	}
	c := exec.CommandContext(t.Context(), l.program, append(l.webhook, secret, h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"))...)
	c.Stdin = bytes.NewReader(body)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || len(out) > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return err == nil
}

// TestPageShowsTheSamples holds the samples on the page against the files that run here.
func TestPageShowsTheSamples(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../integrate.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, fence := range map[string]string{
		"signup.go": "go", "signup.py": "python", "signup.php": "php", "signup.sh": "sh", "webhook.go": "go", "webhook.py": "python", "webhook.php": "php",
		"gate.sh": "sh", "import.sh": "sh", "export.sh": "sh", "nginx.conf": "nginx", "envoy.yaml": "yaml",
	} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```"+fence+"\n"+string(file)+"```\n") {
			t.Errorf("docs/integrate.md does not show %s as it is", name)
		}
	}
}

// TestBookInAndEverythingOut runs both shell samples, one after the other, against one
// sandbox with two operators.
func TestBookInAndEverythingOut(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sh", "curl", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	server, token := sandbox(t)
	muster := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), built.Program(t), args...)
		c.Env = append(os.Environ(), "MUSTER_SERVER="+server, "MUSTER_TOKEN="+token)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			t.Fatalf("muster %v: %v\n%s", args, err, errs.String())
		}
		return strings.TrimSpace(out.String())
	}
	dir := t.TempDir()
	identity := filepath.Join(dir, "identity")
	recipient := muster("backup", "identity", identity)
	_, operator, ok := strings.Cut(muster("operator", "add", "Grace Lim", "--json"), `"operator":"`)
	if !ok {
		t.Fatal("no operator")
	}
	operator, _, _ = strings.Cut(operator, `"`)
	second := muster("token", "create", "--operator", operator, "--name", "second", "--scope", "export")
	book := `{"type":"customer","customer":{"application":{"reference":"old-1","customer":{"kind":"individual","name":{"full":"Ada Example"}}},"since":"2019-03-01"}}
{"type":"customer","customer":{"application":{"reference":"old-2","customer":{"kind":"individual","name":{"full":"Cy Example"}}},"state":"closed"}}
`
	if err := os.WriteFile(filepath.Join(dir, "book.ndjson"), []byte(book), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(sample string) string {
		t.Helper()
		path, err := filepath.Abs(sample)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "sh", path)
		c.Dir = dir
		c.Env = append(os.Environ(), "MUSTER_SERVER="+server, "MUSTER_TOKEN="+token, "SECOND_TOKEN="+second, "RECIPIENT="+recipient)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", sample, err, out)
		}
		return string(out)
	}
	for _, want := range [][]string{
		{`"taken":1,"there":0`, `"pointer":"/customer/closed","code":"required"`, `"place":2`, `"cohort":"all","due":"2030-01-01T00:00:00Z","share":5`, `"adopted":1,"decided":0`},
		{`"taken":0,"there":1`, `"adopted":1,"decided":0`}, // again
	} {
		out := run("import.sh")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("import.sh never says %s:\n%s", w, out)
			}
		}
	}
	run("export.sh")
	archive, err := os.ReadFile(filepath.Join(dir, "everything.age"))
	if err != nil || !bytes.HasPrefix(archive, []byte("age-encryption.org/v1\n")) {
		t.Errorf("%d bytes of an archive, %v", len(archive), err)
	}
}

// sandbox starts a sandbox deployment as a process of its own.
func sandbox(t *testing.T) (server, token string) {
	t.Helper()
	dir := t.TempDir()
	bin := built.Program(t)
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	listen := loopback.Address(t)
	run(bin, "init", "--dir", filepath.Join(dir, "d"), "--mode", "sandbox", "--pack", "us-iaas-cip,sandbox", "--listen", listen,
		"--origin", "sandbox.example.com/log", "--token-file", filepath.Join(dir, "token"))
	secret, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := exec.CommandContext(ctx, bin, "serve", "--config", filepath.Join(dir, "d", "muster.yaml"))
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = c.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	server = "http://" + listen
	for deadline := time.Now().Add(3 * time.Minute); ; {
		res, err := client.Get(server + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return server, strings.TrimSpace(string(secret))
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the server is not ready:", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
