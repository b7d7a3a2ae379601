package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// apply posts a file of applications, one a line.
//
// Posting is idempotent by reference, so a line may be posted again and comes to
// nothing new. What is kept between runs is only how far all lines are done
// (applyState): an interruption costs at most the lines in flight and those since
// the state was written last.
type apply struct {
	*remote
	file, state string
	concurrency int
}

const (
	maxConcurrency = 64
	saveEvery      = 200 // lines
	maxInARow      = 10  // failures of the server's own, before the run stops
)

func newApply(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Post applications from an NDJSON file, one a line; resumes after an interruption", Args: cobra.ExactArgs(1),
		Long: "Post applications from an NDJSON file, or from the standard input for -. A line that is not taken\n" +
			"is reported with its number, without its values, and the others go on. After an interruption the\n" +
			"same command goes on where it was. Exit code 1 where any line was not taken.",
	}
	a := &apply{remote: remoteFlags(cmd, t)}
	f := cmd.Flags()
	f.IntVar(&a.concurrency, "concurrency", 8, "lines in flight at most; lines of one reference, and a line that names a parent, keep their order")
	f.StringVar(&a.state, "state", "", "file that remembers how far it is (default: FILE.progress); it holds no values")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.concurrency < 1 || a.concurrency > maxConcurrency {
			return usageError{fmt.Errorf("--concurrency is 1 to %d", maxConcurrency)}
		}
		a.file = args[0]
		return a.run(cmd.Context())
	}
	return cmd
}

// applied is what came of one line.
type applied struct {
	number  int
	end     int64 // offset of the next line
	blank   bool
	outcome muster.Outcome
	fault   *notTaken
	err     error // the run ends
}

// notTaken is a line that the server would not take. It has no value of the line.
type notTaken struct {
	Line   int            `json:"line"`
	Code   muster.Code    `json:"code"`
	Detail string         `json:"detail,omitempty"`
	Faults []muster.Fault `json:"faults,omitempty"`
}

// String is the report of the line for people.
func (n *notTaken) String() string {
	s := fmt.Sprintf("line %d: %s", n.Line, n.Code)
	if n.Detail != "" {
		s += ": " + printable(n.Detail)
	}
	for _, f := range n.Faults {
		s += "\n  " + printable(f.Pointer) + ": " + printable(f.Detail)
	}
	return s
}

// applySummary is what a run, with those before it, came to.
type applySummary struct {
	Lines    int            `json:"lines"`
	Taken    int            `json:"taken"`
	Outcomes map[string]int `json:"outcomes"` // of the lines taken
	NotTaken []*notTaken    `json:"not_taken"`
}

func (a *apply) run(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	in, st, total, err := a.open(c.base)
	if err != nil {
		return err
	}
	defer in.Close()
	if st.Line > 0 {
		fmt.Fprintf(a.err, "going on after line %d\n", st.Line)
	}
	err = a.post(ctx, c, in, st, total)
	if saved := st.save(); saved != nil {
		err = errors.Join(err, fmt.Errorf("how far it is could not be written: %w", saved))
	}
	if err != nil {
		if st.path != "" {
			fmt.Fprintf(a.err, "stopped after line %d; the same command goes on from there\n", st.Line)
		}
		if ctx.Err() != nil {
			return muster.Errorf(muster.CodeUnavailable, "interrupted")
		}
		return err
	}
	if err := st.done(); err != nil {
		return err
	}
	return a.conclude(st.Summary)
}

func (a *apply) conclude(s applySummary) error {
	if a.json {
		if err := printJSON(a.out, s); err != nil {
			return err
		}
	} else {
		rows := [][]string{}
		for _, o := range sortedOutcomes(s.Outcomes) {
			rows = append(rows, []string{o, strconv.Itoa(s.Outcomes[o])})
		}
		if n := len(s.NotTaken); n > 0 {
			rows = append(rows, []string{"not taken", strconv.Itoa(n)})
		}
		if err := table(a.out, "no applications", []string{"OUTCOME", "APPLICATIONS"}, rows); err != nil {
			return err
		}
	}
	if n := len(s.NotTaken); n > 0 {
		return muster.Errorf(muster.CodeInvalid, "%d of %d lines were not taken", n, s.Lines)
	}
	return nil
}

// post reads lines, has workers post them, and books what came of them in the
// order of the lines: the state says that every line up to here is done.
func (a *apply) post(ctx context.Context, c *client, in io.Reader, st *applyState, total int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := newPoster(ctx, c, a.concurrency)
	read := make(chan error, 1)
	go func() { read <- p.read(in, st.Line, st.Offset) }()
	var progress *bar
	if total > 0 {
		progress = newBar(a.err, total)
		progress.done = st.Line
	}
	waiting := map[int]applied{}
	inARow := 0
	var failed error
	for r := range p.results {
		waiting[r.number] = r
		for {
			next, ok := waiting[st.Line+1]
			if !ok || failed != nil {
				break
			}
			delete(waiting, next.number)
			if next.err != nil {
				failed = next.err
				stop()
				break
			}
			if inARow++; next.fault == nil || next.fault.Code != muster.CodeInternal {
				inARow = 0
			}
			if inARow == maxInARow {
				failed = muster.Errorf(muster.CodeUnavailable, "the server failed on %d lines in a row", maxInARow)
				stop()
				break
			}
			if next.fault != nil {
				progress.clear()
				fmt.Fprintln(a.err, next.fault)
			}
			if progress != nil {
				progress.step()
			}
			if st.book(next); st.Line%saveEvery == 0 {
				if err := st.save(); err != nil {
					failed = err
					stop()
				}
			}
		}
	}
	return errors.Join(failed, <-read)
}

// tryPost posts one line, again while the server is away.
func tryPost(ctx context.Context, c *client, number int, body []byte) (r applied) {
	r.number = number
	const tries = 6
	wait := 250 * time.Millisecond
	for try := 1; ; try++ {
		var a onboard.Answer
		header, err := c.call(ctx, http.MethodPost, "/v1/applications", body, &a)
		if err == nil {
			if a.Decision != nil {
				r.outcome = a.Decision.Outcome
			}
			return r
		}
		var e *muster.Error
		if !errors.As(err, &e) {
			r.err = err
			return r
		}
		switch e.Code {
		case muster.CodeUnauthorized, muster.CodeForbidden, muster.CodeNoMethod:
			r.err = fmt.Errorf("line %d: %w", number, err)
			return r
		case muster.CodeUnavailable, muster.CodeRateLimited:
			if try == tries || ctx.Err() != nil {
				r.err = fmt.Errorf("line %d: %w", number, err)
				return r
			}
		default:
			r.fault = &notTaken{Line: number, Code: e.Code, Detail: e.Message, Faults: e.Faults}
			return r
		}
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
			wait = max(wait, min(time.Duration(seconds)*time.Second, time.Minute))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// countLines counts the lines of a file, for the progress bar.
func countLines(f *os.File) (n int, err error) {
	buf := make([]byte, 256<<10)
	last := byte('\n')
	for {
		k, err := f.Read(buf)
		if k > 0 {
			n += bytes.Count(buf[:k], []byte{'\n'})
			last = buf[k-1]
		}
		if err == io.EOF {
			if last != '\n' {
				n++
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// key is what orders a line: lines of one reference go one after the other, and one
// that names a parent goes after all before it.
func key(body []byte) (reference string, parent bool) {
	var named struct {
		Reference string          `json:"reference"`
		Parent    json.RawMessage `json:"parent"`
	}
	if json.Unmarshal(body, &named) != nil {
		return "", false // the server says what is wrong with it
	}
	return named.Reference, len(named.Parent) > 0 && string(named.Parent) != "null"
}
