package main

import (
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/strictyaml"
)

// FuzzConfig: a configuration is read or refused, never a panic, and what is read
// passes or fails its own check without one.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "listen: 127.0.0.1:8420\n", "mode: sandbox\norigin: a.example/sandbox\n", "origin: [a]\n", "unknown: 1\n",
		"tls: {certificate: a}\n", "witnesses:\n  - {url: https://w.example, key: k}\n", "a: &a [*a]\n", "out: {allow: [\"[::1]:1\"]}\n", "\xff\xfe", "witnesses: ! ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxConfig {
			return
		}
		c := defaults(".")
		if err := strictyaml.Decode(b, &c, "a configuration"); err != nil {
			if muster.ErrorCode(err) != muster.CodeInvalid {
				t.Fatalf("%v", err)
			}
			return
		}
		if err := c.check(); err != nil && muster.ErrorCode(err) != muster.CodeInvalid {
			t.Fatalf("%v", err)
		}
	})
}

func TestConfigNamesTheLine(t *testing.T) {
	t.Parallel()
	c := defaults(".")
	err := strictyaml.Decode([]byte("listen: 127.0.0.1:1\nlisten_to: everything\n"), &c, "a configuration")
	if e, ok := err.(*muster.Error); !ok || e.Code != muster.CodeInvalid || e.Message[:7] != "line 2:" {
		t.Fatalf("%v", err)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	c := Config{Mode: "trial", Database: "dsn", SoloDelay: "soon", TLS: TLS{Key: "k"}}
	err := c.check()
	if muster.ErrorCode(err) != muster.CodeInvalid {
		t.Fatal(err)
	}
	for _, want := range []string{"mode is", "origin names", "go together", "tls needs", "solo_delay is"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	sandbox := defaults(".")
	sandbox.Mode, sandbox.Origin = muster.ModeSandbox, "log.example/muster"
	if err := sandbox.check(); err == nil {
		t.Error("the log of a sandbox may look like that of another deployment")
	}
}
