package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
)

// Every command says what it does, takes a stated number of arguments, and is a
// usage error where a flag is unknown.
func TestEveryCommandIsStrict(t *testing.T) {
	t.Parallel()
	seen := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		if len(path) > 0 && (path[0] == "help" || path[0] == "completion" || strings.HasPrefix(path[0], "__")) {
			return
		}
		seen++
		if c.Short == "" || c.Args == nil || c.RunE == nil {
			t.Errorf("%s: says nothing of itself, takes anything, or does nothing", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") || c.Short != "" && strings.ToUpper(c.Short[:1]) != c.Short[:1] {
			t.Errorf("%s: %q is not in the form of the others", c.CommandPath(), c.Short)
		}
		for _, f := range []string{"token", "password", "secret", "key-value"} {
			if c.Flags().Lookup(f) != nil {
				t.Errorf("%s: --%s would put a secret into the list of processes", c.CommandPath(), f)
			}
		}
		if code, _, errs := session(t.Context(), append(path, "--no-such-flag")...); code != exitUsage || !strings.Contains(errs, "unknown flag") {
			t.Errorf("%s --no-such-flag: exit code %d, %q", c.CommandPath(), code, errs)
		}
		if code, out, _ := session(t.Context(), append(path, "--help")...); code != exitOK || !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help: exit code %d", c.CommandPath(), code)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(terminal{strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}}))
	if seen < 35 {
		t.Errorf("only %d commands were seen", seen)
	}
}

func TestMessageSaysWhereWhatAndWhatNext(t *testing.T) {
	t.Parallel()
	e := muster.Invalid(muster.Fault{Pointer: "/a", Detail: "is wrong"})
	e.Hint = "mend it"
	got := message(fmt.Errorf("line 3: %w", e))
	if want := "line 3: some fields are at fault\n  /a: is wrong\n  mend it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := message(errors.New("plain")); got != "plain" {
		t.Errorf("%q", got)
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-11-02": time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), "2026-11-02T09:15:00+02:00": time.Date(2026, 11, 2, 7, 15, 0, 0, time.UTC),
		"2h": now.Add(-2 * time.Hour), "3d": time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := instant(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "-3d", "2026-13-01", "d"} {
		if _, err := instant(text, now); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatIsPrintedDoesNotMoveTheCursor(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := table(&b, "", []string{"A", "B"}, [][]string{{"x\x1b[2Jy\nz\tq", "\u202eabc"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.ContainsAny(got, "\x1b\t\u202e") || strings.Count(got, "\n") != 2 {
		t.Errorf("%q", got)
	}
}

func TestURLOfAConfiguration(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8420": "http://127.0.0.1:8420", "0.0.0.0:80": "http://127.0.0.1:80", ":443": "http://127.0.0.1:443",
		"[::]:1": "http://127.0.0.1:1", "[::1]:1": "http://[::1]:1", "muster.example:1": "http://muster.example:1",
	} {
		if got := (Config{Listen: listen}).url(); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
	if got := (Config{Listen: "h:1", TLS: TLS{Certificate: "c", Key: "k"}}).url(); got != "https://h:1" {
		t.Errorf("%s", got)
	}
}
