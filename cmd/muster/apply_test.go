package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/synthetic"
)

// deployment starts a whole server and returns its URL and the file of its first token.
func deployment(t *testing.T) (server, token string) {
	t.Helper()
	dir := t.TempDir()
	listen := loopback.Address(t)
	conf, secret, err := initialise(t.Context(), dir, Config{Mode: muster.ModeProduction, Listen: listen}, "Ada", []string{"us-iaas-cip"})
	if err != nil {
		t.Fatal(err)
	}
	token = filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := logged(t)
	ctx, stop := context.WithCancel(context.Background())
	up, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, conf.Config, log, func(a net.Addr, _ *house) { up <- a })
	}()
	select {
	case a := <-up:
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return "http://" + a.String(), token
	case err := <-ended:
		stop()
		t.Fatal(err)
	}
	return "", ""
}

// population writes n synthetic applications to a file.
func population(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	from := synthetic.New(3)
	for i := range n {
		line, err := json.Marshal(from.Next(i))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	path := filepath.Join(t.TempDir(), "some.ndjson")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// session runs one command line of this process's own.
func session(ctx context.Context, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(ctx, args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestApplyInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	const n, stopAt = 60, 25
	server, token := deployment(t)
	file := population(t, n)
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	number := map[string]int{} // of each line
	for line := range bytes.Lines(lines) {
		number[string(bytes.TrimSpace(line))] = len(number) + 1
	}
	var mu sync.Mutex
	var posted []int // numbers of lines, as they came
	first := make(chan struct{})
	answered := sync.OnceFunc(func() { close(first) })
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client left
		}
		line := number[string(bytes.TrimSpace(body))]
		if line == 1 { // the others wait for it: nothing is done as long as the first line is not
			defer answered()
		} else {
			select {
			case <-first:
			case <-r.Context().Done():
				return
			}
		}
		mu.Lock()
		posted = append(posted, line)
		last := len(posted) == stopAt
		mu.Unlock()
		if last {
			interrupt() // after the server has taken it, and before the client knows
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		pass.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	args := []string{"apply", file, "--server", proxy.URL, "--token-file", token, "--concurrency", "4", "--json"}

	code, out, errs := session(ctx, args...)
	if code != exitError || out != "" || !strings.Contains(errs, "the same command goes on from there") {
		t.Fatalf("interrupted: code %d, out %q, err %q", code, out, errs)
	}
	raw, err := os.ReadFile(file + ".progress")
	if err != nil {
		t.Fatal(err)
	}
	var st applyState
	if err := json.Unmarshal(raw, &st); err != nil {
		t.Fatal(err)
	}
	if st.Line < 1 || st.Line >= stopAt {
		t.Fatalf("the state says that %d lines are done, of which %d were posted", st.Line, stopAt)
	}
	if bytes.Contains(raw, []byte("@")) || bytes.Contains(raw, []byte("customer/name")) {
		t.Error("the state holds values")
	}
	mu.Lock()
	posted = nil // what the first run had under way may still come: of lines that are not done
	mu.Unlock()

	code, out, errs = session(t.Context(), args...)
	if !strings.Contains(errs, fmt.Sprintf("going on after line %d", st.Line)) {
		t.Errorf("resumed: %q", errs)
	}
	var s applySummary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("code %d: %v in %q, %q", code, err, out, errs)
	}
	if s.Lines != n || s.Taken+len(s.NotTaken) != n || (code == exitOK) != (len(s.NotTaken) == 0) {
		t.Errorf("code %d, %d lines, %d taken, %d not", code, s.Lines, s.Taken, len(s.NotTaken))
	}
	mu.Lock()
	slices.Sort(posted)
	again := slices.Compact(slices.Clone(posted))
	mu.Unlock()
	if len(again) != n-st.Line || again[0] != st.Line+1 || again[len(again)-1] != n {
		t.Errorf("after line %d the second run posted the lines %v", st.Line, again)
	}
	if _, err := os.Stat(file + ".progress"); !os.IsNotExist(err) {
		t.Error("the state is left behind")
	}
	secret, err := secretFile(token)
	if err != nil {
		t.Fatal(err)
	}
	api, err := newClient(server, secret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := all[struct{ Reference string }](t.Context(), api, "/v1/applications", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != s.Taken {
		t.Errorf("%d applications are on file, %d were taken: one is missing or there twice", len(got.Items), s.Taken)
	}
}

// fakeAPI answers posts of applications as a test says.
func fakeAPI(t *testing.T, answer func(w http.ResponseWriter, reference string)) (server, token string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Reference string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		answer(w, in.Reference)
	}))
	t.Cleanup(s.Close)
	token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("muster_production_x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, token
}

func accept(w http.ResponseWriter) { io.WriteString(w, `{"decision": {"outcome": "verify"}}`) }

func refuse(w http.ResponseWriter, status int, code muster.Code) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{Code: code, Title: "no"})
}

func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.ndjson")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestApplyTriesAgainWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	server, token := fakeAPI(t, func(w http.ResponseWriter, _ string) {
		if tries.Add(1) == 1 {
			refuse(w, http.StatusServiceUnavailable, muster.CodeUnavailable)
			return
		}
		accept(w)
	})
	code, out, errs := session(t.Context(), "apply", writeLines(t, `{"reference":"a"}`), "--server", server, "--token-file", token)
	if code != exitOK || tries.Load() != 2 || !strings.Contains(out, "verify") {
		t.Errorf("code %d after %d tries: %q %q", code, tries.Load(), out, errs)
	}
}

func TestApplyStopsWhereTheServerFailsOnEverything(t *testing.T) {
	t.Parallel()
	server, token := fakeAPI(t, func(w http.ResponseWriter, _ string) { refuse(w, http.StatusInternalServerError, muster.CodeInternal) })
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf(`{"reference":"a%d"}`, i))
	}
	code, _, errs := session(t.Context(), "apply", writeLines(t, lines...), "--server", server, "--token-file", token)
	if code != exitError || !strings.Contains(errs, "failed on 10 lines in a row") {
		t.Errorf("code %d: %q", code, errs)
	}
}

func TestApplyKeepsTheOrderThatMatters(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	server, token := fakeAPI(t, func(w http.ResponseWriter, reference string) {
		mu.Lock()
		order = append(order, reference)
		mu.Unlock()
		accept(w)
	})
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf(`{"reference":"a%d"}`, i))
	}
	lines = append(lines, `{"reference":"child","parent":{"account":"a3"}}`, `{"reference":"after"}`)
	if code, out, errs := session(t.Context(), "apply", writeLines(t, lines...), "--server", server, "--token-file", token, "--concurrency", "16"); code != exitOK {
		t.Fatalf("%q %q", out, errs)
	}
	if at := slices.Index(order, "child"); at < 40 {
		t.Errorf("a line that names a parent was posted as number %d, before lines before it", at)
	}
}

func TestApplyPassesOverALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	server, token := fakeAPI(t, func(w http.ResponseWriter, _ string) { got.Add(1); accept(w) })
	long := `{"reference":"` + strings.Repeat("x", muster.MaxApplicationBytes) + `"}`
	code, _, errs := session(t.Context(), "apply", writeLines(t, `{"reference":"a"}`, long, `{"reference":"b"}`), "--server", server, "--token-file", token)
	if code != exitError || got.Load() != 2 || !strings.Contains(errs, "line 2: too_large") || strings.Contains(errs, "xxx") {
		t.Errorf("code %d, %d posted: %.300q", code, got.Load(), errs)
	}
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[a-z]{0,40}`)).Draw(t, "lines")
		most := rapid.IntRange(1, 30).Draw(t, "most")
		text := strings.Join(lines, "\n")
		r := bufio.NewReaderSize(strings.NewReader(text), 16)
		var at int64
		var got []string
		for {
			line, n, whole, err := readLine(r, most)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSuffix(text[at:at+n], "\n")
			at += n
			if whole != (len(want) <= most) && !(whole && len(want) == most+1 && !strings.HasSuffix(text[:at], "\n")) {
				t.Fatalf("a line of %d bytes of at most %d: whole %v", len(want), most, whole)
			}
			if whole && strings.TrimSuffix(string(line), "\n") != want {
				t.Fatalf("%q, want %q", line, want)
			}
			got = append(got, want)
		}
		if at != int64(len(text)) || len(got) != strings.Count(text, "\n")+min(1, len(text)-strings.LastIndex(text, "\n")-1) {
			t.Fatalf("lines %q of %q", got, text)
		}
	})
}
