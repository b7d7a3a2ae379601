// Command bench measures Muster and prints what it found. It asserts nothing: a
// timed test fails on somebody else's busy machine.
//
//	go run ./bench spine [--quick] [--json]
//
// Rules of this room:
//   - A bench is one file with one function, and a row in the table below.
//   - It measures a Muster that was built and started as anybody would, through its
//     API, beside a baseline in the same run on the same machine.
//   - The parameters of generator and baseline are printed with the result.
//   - --quick finishes within 50 seconds and says what it made smaller; the full run
//     within 10 minutes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benches is what there is to measure.
var benches = []struct {
	name, about string
	run         func(ctx context.Context, r *run) error
}{
	{"screen", "names against a watch list: recall and false alarms, speed, beside Jaro-Winkler over every name", screening},
	{"spine", "from an application to a recorded decision: throughput, latency, size", spine},
	{"measures", "what a special measure would do to everybody on file", measuresBench},
	{"sweep", "everybody on file against what changed in a list", sweepBench},
	{"ledger-train", "make the starting probabilities of the chunk format anew", ledgerTrain},
	{"ledger", "access records: bytes a record, time a question, on a generated year (--records=N)", ledgerBench},
	{"gatewire", "the gate over the wire alone: AuthZEN, ext_authz, an edge's start, OPA beside it", func(ctx context.Context, r *run) error {
		return gateOverTheWire(ctx, r, gateSizes(r.quick))
	}},
	{"ingest", "access records over HTTP, to acknowledged and synced, beside a COPY", ingestBench},
	{"gate", "may this account do this: in process, to an edge, over the wire", gateBench},
	{"import", "a provider's existing book, beside inserting the same rows; given out and taken in again (--records=N customers, --databases=SQLite,PostgreSQL, --only=book without giving out)", importBench},
	{"life", "the life of a record: erase, preview, back up, restore, turn the epoch (--records=N customers; --keep=DIR keeps what is on file; --only=SQLite|PostgreSQL|erasing|many)", lifeBench},
}

// run is one run of one bench.
type run struct {
	report
	quick     bool
	records   int       // of the ledger's year; 0: the bench's own choice
	databases []string  // of the import bench; nil: all
	lists     string    // folder of lists that the screen bench reports on
	keep      string    // folder in which the life bench keeps its customers; "": it does not
	only      string    // "" or a word that the names of the life bench's parts have: SQLite, PostgreSQL, erasing, many
	dir       string    // of its own, removed at the end
	said      io.Writer // parameters and progress, for people
}

// say prints a line of progress or a parameter.
func (r *run) say(format string, args ...any) { fmt.Fprintf(r.said, format+"\n", args...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if what := os.Getenv(bareVariable); what != "" { // a server beside the bench, of its own making
		if err := bare(ctx, what); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := start(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) (err error) {
	var name string
	r := &run{said: os.Stdout}
	asJSON := false
	for _, a := range args {
		switch {
		case a == "--quick":
			r.quick = true
		case a == "--json":
			asJSON, r.said = true, os.Stderr
		case strings.HasPrefix(a, "--lists="):
			r.lists = strings.TrimPrefix(a, "--lists=")
		case strings.HasPrefix(a, "--keep="):
			r.keep = strings.TrimPrefix(a, "--keep=")
		case strings.HasPrefix(a, "--only="):
			r.only = strings.TrimPrefix(a, "--only=")
		case strings.HasPrefix(a, "--databases="):
			r.databases = strings.Split(strings.TrimPrefix(a, "--databases="), ",")
		case strings.HasPrefix(a, "--records="):
			if r.records, err = strconv.Atoi(strings.TrimPrefix(a, "--records=")); err != nil {
				return usage()
			}
		case name == "" && !strings.HasPrefix(a, "-"):
			name = a
		default:
			return usage()
		}
	}
	for _, b := range benches {
		if b.name != name {
			continue
		}
		if r.dir, err = os.MkdirTemp("", "muster-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(r.dir)
		began := time.Now()
		r.say("%s: %s, %d cores, %s", b.name, runtime.Version(), runtime.NumCPU(), pick(r.quick, "quick", "full"))
		// What was measured before a failure is printed too.
		err := b.run(ctx, r)
		if e := r.print(os.Stdout, asJSON); err == nil {
			err = e
		}
		r.say("%s took %.0f s", b.name, time.Since(began).Seconds())
		return err
	}
	return usage()
}

func usage() error {
	var b strings.Builder
	b.WriteString("usage: go run ./bench NAME [--quick] [--json], where NAME is")
	for _, x := range benches {
		fmt.Fprintf(&b, "\n  %-8s %s", x.name, x.about)
	}
	return fmt.Errorf("%s", b.String())
}

func pick[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
