package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/muster-cip/muster/internal/built"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/previous"
	"github.com/muster-cip/muster/packs"
)

// TestMain lets a session call this very binary as muster.
func TestMain(m *testing.M) { testscript.Main(withServer{m}, map[string]func(){"muster": main}) }

// withServer stops the PostgreSQL that tests started, and removes the programs that
// they built.
type withServer struct{ *testing.M }

func (w withServer) Run() int { return previous.Run(ours(w)) }

type ours struct{ *testing.M }

func (o ours) Run() int { return built.Run(onPostgres(o)) }

type onPostgres struct{ *testing.M }

func (p onPostgres) Run() int { return pgtest.Run(p.M) }

// TestSessions runs the terminal sessions of testdata/script. What they may say
// besides testscript's own words:
//
//	exits CODE muster ARG...   runs it, and the exit code is CODE, or what it may be for any
//	capture NAME REGEXP        the first group, in the last standard output, as $NAME
//	until REGEXP muster ARG... again and again until the standard output matches
//	ready URL                  waits until the server there is ready
//	mode OCTAL FILE...         the files have that mode
//	flip KEY FILE OUT          FILE with one byte changed in the JSON value of KEY
//	replace OLD NEW FILE       edits a file
//	cosigned TOKENFILE NAME    waits until the head of $ADDR carries the witness's cosignature
//	edited OLD NEW FILE        an embedded pack, edited: us-iaas-cip with OLD as NEW
func TestSessions(t *testing.T) {
	t.Parallel()
	testscript.Run(t, sessionsWith(t, nil))
}

// TestSessionsOnPostgres runs those of them that are not about files, with the
// databases of each session on PostgreSQL.
func TestSessionsOnPostgres(t *testing.T) {
	t.Parallel()
	p := sessionsWith(t, func(e *testscript.Env) error {
		for _, name := range []string{"MUSTER_DATABASE", "MUSTER_KEY_DATABASE"} {
			path := filepath.Join(e.WorkDir, name)
			if err := os.WriteFile(path, []byte(pgtest.Database(t)+"\n"), 0o600); err != nil {
				return err
			}
			e.Setenv(name, path)
		}
		return nil
	})
	p.Dir = ""
	for _, name := range []string{"hits", "ledger", "lists", "measure", "retention", "staff"} {
		p.Files = append(p.Files, filepath.Join("testdata", "script", name+".txtar"))
	}
	testscript.Run(t, p)
}

// sessionsWith are the sessions; more, where not nil, prepares each further.
func sessionsWith(t *testing.T, more func(*testscript.Env) error) testscript.Params {
	t.Helper()
	shared, err := filepath.Abs("../../../shared")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"ADDR", "ADDR2"} {
				e.Setenv(name, loopback.Address(e.T()))
			}
			e.Setenv("SHARED", shared)
			// With the race detector a process sleeps a second before it ends: four hundred of them do here.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			for name, days := range map[string]int{"TODAY": 0, "SOON": 30, "LATER": 300} {
				e.Setenv(name, time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly))
			}
			if more == nil {
				return nil
			}
			return more(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "capture": capture, "ready": ready, "mode": mode, "flip": flip, "replace": replace,
			"cosigned": cosigned, "edited": edited,
		},
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE muster ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if args[0] != "any" && strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: until REGEXP muster ARG...")
	}
	re := regexp.MustCompile("(?m)" + args[0])
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && re.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s never matched %s", strings.Join(args[1:], " "), args[0])
		}
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("nothing in the standard output matches %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready URL")
	}
	transport := &http.Transport{DisableKeepAlives: true}
	c := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(3 * time.Minute)
	defer late.Stop()
	for {
		if res, err := c.Get(args[0]); err == nil {
			res.Body.Close()
			if res.StatusCode < 500 {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late.C:
			ts.Fatalf("%s is not ready after three minutes", args[0])
		}
	}
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		want, err := strconv.ParseUint(args[0], 8, 32)
		ts.Check(err)
		if (info.Mode().Perm() == fs.FileMode(want)) == neg {
			ts.Fatalf("%s has mode %04o", name, info.Mode().Perm())
		}
	}
}

// flip changes one character in the middle of the longest string under key.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip KEY FILE OUT")
	}
	data := []byte(ts.ReadFile(args[1]))
	var doc map[string]json.RawMessage
	ts.Check(json.Unmarshal(data, &doc))
	part := doc[args[0]]
	if len(part) == 0 {
		ts.Fatalf("%s has no %s", args[1], args[0])
	}
	longest := ""
	for _, m := range regexp.MustCompile(`"([A-Za-z0-9+/]{16,}={0,2})"`).FindAllSubmatch(part, -1) {
		if len(m[1]) > len(longest) {
			longest = string(m[1])
		}
	}
	if longest == "" {
		ts.Fatalf("%s has no bytes", args[0])
	}
	changed := []byte(longest)
	at := len(changed) / 2
	if changed[at] == 'A' {
		changed[at] = 'B'
	} else {
		changed[at] = 'A'
	}
	out := bytes.Replace(data, []byte(longest), changed, 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), out, 0o600))
}

func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace OLD NEW FILE")
	}
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s is not in %s", args[0], args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}

func cosigned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cosigned TOKENFILE NAME")
	}
	c, err := newClient("http://"+ts.Getenv("ADDR"), strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var head []byte
		if _, err := c.call(ctx, http.MethodGet, "/checkpoint", nil, &head); err == nil && bytes.Contains(head, []byte("\n— "+args[1]+" ")) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("no cosignature after three minutes")
		}
	}
}

func edited(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edited OLD NEW FILE")
	}
	source, ok := packs.Source(packs.Default)
	if !ok || !bytes.Contains(source, []byte(args[0])) {
		ts.Fatalf("the default pack has no %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), bytes.Replace(source, []byte(args[0]), []byte(args[1]), 1), 0o600))
}
