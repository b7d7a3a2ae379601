// Command release makes what a release of Muster consists of: static binaries for
// linux/amd64 and linux/arm64, packages for Debian, a container image, a Helm chart,
// what each binary is made of (CycloneDX), and SHA256SUMS. It needs Go and git,
// no make and no container engine:
//
//	go -C release run . -version 0.2.0 -out dist
//
// Its rules: everything is made from what is committed. Nothing that is made says when,
// where, by whom or under which locale: the one time in it is that of the commit, so
// two runs of one toolchain on one commit give the same bytes. What is packed is
// packed by pack.go, or told every mode, owner and time.
//
// It is a module of its own, so that what packages need is not what Muster needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	c := Config{Say: func(s string) { fmt.Fprintln(os.Stderr, s) }}
	flags.StringVar(&c.Source, "source", "..", "root of the repository")
	flags.StringVar(&c.Out, "out", "dist", "directory for what is made; it is made, and empty before")
	flags.StringVar(&c.Version, "version", "", "version without v, such as 0.2.0 (default: the tag of the commit, or 0.0.0-gCOMMIT)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected: %s", strings.Join(flags.Args(), " "))
	}
	for _, p := range []*string{&c.Source, &c.Out} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if err := c.fromGit(ctx); err != nil {
		return err
	}
	return Make(ctx, c)
}

// fromGit reads commit, time and, where none is given, version. SOURCE_DATE_EPOCH
// overrides the time (https://reproducible-builds.org/specs/source-date-epoch/).
func (c *Config) fromGit(ctx context.Context) error {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = c.Source
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", args[0], err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	changed, err := git("status", "--porcelain")
	if err != nil {
		return err
	}
	if c.Commit, err = git("rev-parse", "HEAD"); err != nil {
		return err
	}
	epoch, ok := os.LookupEnv("SOURCE_DATE_EPOCH")
	if !ok {
		if epoch, err = git("log", "-1", "--format=%ct"); err != nil {
			return err
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is seconds since 1970: %w", err)
	}
	c.Time = time.Unix(seconds, 0).UTC()
	if c.Version == "" {
		c.Version = "0.0.0-g" + c.Commit[:12]
		if tag, err := git("describe", "--exact-match", "--match", "v[0-9]*", "HEAD"); err == nil && changed == "" {
			c.Version = strings.TrimPrefix(tag, "v")
		}
		if changed != "" {
			c.Version += ".changed"
		}
	} else if changed != "" {
		return errors.New("a version is of a commit, and the tree has changes that are not committed")
	}
	return nil
}

// semver is what version may be: no build metadata, for image tags have no "+".
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
