package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/watchlist"
)

// screenFiles screens against the lists of a folder; no server is asked and no store opened.
func screenFiles(cmd *cobra.Command, t terminal, f fileScreen) error {
	if !cmd.Flags().Changed("threshold") {
		f.threshold = screen.DefaultThreshold
	}
	entries, rep, err := watchlist.ReadDir(os.DirFS(f.dir))
	if err != nil {
		return fmt.Errorf("%s: %w", f.dir, err)
	}
	for _, r := range rep.Refused {
		fmt.Fprintf(t.err, "muster: %s is not taken: %s\n", printable(r.File), printable(r.Reason))
	}
	x, err := screen.Build(entries)
	if err != nil {
		return err
	}
	if f.batch == "" {
		asJSON, _ := cmd.Flags().GetBool("json")
		return screenOne(t, x, f, asJSON)
	}
	in, err := os.Open(f.batch)
	if err != nil {
		return err
	}
	defer in.Close()
	if f.out == "" {
		return screenBatch(x, in, t.out, f.threshold)
	}
	var b strings.Builder
	if err := screenBatch(x, in, &b, f.threshold); err != nil {
		return fmt.Errorf("%s: %w", f.batch, err)
	}
	return durable.WriteFile(f.out, []byte(b.String()), 0o600)
}

// screenOne prints what one name comes close to, and why.
func screenOne(t terminal, x *screen.Index, f fileScreen, asJSON bool) error {
	cs := x.Search(&f.query, screen.Options{Floor: f.threshold})
	explained := make([]screen.Explanation, 0, len(cs))
	for _, c := range cs {
		if e, ok := x.Explain(&f.query, c.List, c.Entry, screen.Options{}); ok {
			explained = append(explained, e)
		}
	}
	if asJSON {
		return printJSON(t.out, explained)
	}
	var rows [][]string
	for _, e := range explained {
		row := candidateRow(&e.Candidate, screen.DefaultThreshold)
		rows = append(rows, append(row, e.Name, inWords(&e)))
	}
	head := append(append([]string(nil), candidateHead...), "LISTED AS", "WORD BY WORD")
	return table(t.out, "nothing comes close", head, rows)
}

// inWords says an explanation on one line: each word with what it counted, in log-odds.
func inWords(e *screen.Explanation) string {
	var parts []string
	for _, p := range e.Pairs {
		sign := "="
		if p.How != "same" {
			sign = "~"
		}
		parts = append(parts, fmt.Sprintf("%s%s%s %+.1f", p.Query, sign, p.Name, p.Effect))
	}
	for _, a := range e.QueryOnly {
		parts = append(parts, fmt.Sprintf("%s (asked only) %+.1f", a.Word, a.Effect))
	}
	for _, a := range e.NameOnly {
		parts = append(parts, fmt.Sprintf("%s (listed only) %+.1f", a.Word, a.Effect))
	}
	return strings.Join(parts, ", ")
}

// The bounds of a batch.
const (
	longestLine = 1 << 16 // bytes that are looked at
	batchAtOnce = 512     // lines
)

// screenAsked is one line of a batch, and its answer.
type screenAsked struct {
	text, kind string
	answer     strings.Builder
}

// screenBatch reads query<TAB>kind lines and writes query<TAB>source_id<TAB>score
// lines: up to ten hits a query, best first; an empty id and score 0 where there is none.
// The lines come out in the order in which they went in.
func screenBatch(x *screen.Index, in io.Reader, out io.Writer, threshold float64) error {
	r := bufio.NewReaderSize(in, longestLine)
	w := bufio.NewWriter(out)
	for first := true; ; first = false {
		lines, err := readAsked(r, first)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		screenLines(x, lines, threshold)
		for i := range lines {
			if _, err := w.WriteString(lines[i].answer.String()); err != nil {
				return err
			}
		}
		if err != nil {
			return w.Flush()
		}
	}
}

// readAsked reads the next lines; io.EOF with the last of them. What is longer than a
// line may be is cut, and screened as far as it goes.
func readAsked(r *bufio.Reader, first bool) ([]screenAsked, error) {
	var lines []screenAsked
	for n := 0; len(lines) < batchAtOnce; n++ {
		raw, err := r.ReadSlice('\n')
		line := string(raw)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n') // the rest of a line that is too long
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if first && n == 0 { // of the file
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line = strings.TrimRight(line, "\r\n")
		if line != "" {
			text, kind, _ := strings.Cut(line, "\t")
			kind, _, _ = strings.Cut(kind, "\t")
			lines = append(lines, screenAsked{text: text, kind: strings.ToLower(strings.TrimSpace(kind))})
		}
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// screenLines answers lines on all cores.
func screenLines(x *screen.Index, lines []screenAsked, threshold float64) {
	var wg sync.WaitGroup
	for c := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := c; i < len(lines); i += runtime.GOMAXPROCS(0) {
				screenLine(x, &lines[i], threshold)
			}
		})
	}
	wg.Wait()
}

func screenLine(x *screen.Index, a *screenAsked, threshold float64) {
	q := muster.ScreeningQuery{Names: []string{a.text}}
	switch k := muster.ListedKind(a.kind); k {
	case muster.ListedIndividual, muster.ListedEntity, muster.ListedVessel, muster.ListedAircraft:
		q.Kind = k
	}
	cs := x.Search(&q, screen.Options{Floor: threshold, Limit: 10})
	for i := range cs {
		// A row under an id that was taken keeps the publisher's id before the mark.
		id, _, _ := strings.Cut(cs[i].Entry, "#")
		fmt.Fprintf(&a.answer, "%s\t%s\t%s\n", a.text, id, strconv.FormatFloat(cs[i].Score, 'f', -1, 64))
	}
	if len(cs) == 0 {
		fmt.Fprintf(&a.answer, "%s\t\t0\n", a.text)
	}
}
