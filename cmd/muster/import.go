package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/onboard"
)

// importing sends a provider's book to the server, line by line, and goes on where it
// was: the server knows how far each file is, by the file's digest.
type importing struct {
	*remote
	cohort, due, mapper, refused string
	identity                     string
	share, batch                 int

	m      *book.Mapper // nil: the files are lines already
	source []byte       // of the mapper
	out    *os.File     // where refused lines go; nil: nowhere
	shown  int          // faults that were printed
	wrong  int
}

// imported is an import as the server shows it.
type imported struct {
	Import  string               `json:"import"`
	Place   int                  `json:"place"`
	Taken   int                  `json:"taken"`
	There   int                  `json:"there"`
	Refused int                  `json:"refused"`
	Later   int                  `json:"later"`
	Lines   []muster.RefusedLine `json:"lines"`
}

// Bounds of what is sent together.
const (
	importLines = 4_000
	importBytes = 4 << 20
)

func newImport(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE|DIR", Short: "Take a provider's existing book in; resumes", Args: cobra.ExactArgs(1),
		Long: "Take existing customers, their accounts, what was seen of them, and leases in: FILE, or the files of DIR, are lines\n" +
			"(NDJSON, docs/formats/book.md), or tables that --mapper reads. Nobody is sent anything and nothing is enforced:\n" +
			"they are in use, and decided once the cohort is due, so many a day. The same command goes on where it was; what\n" +
			"is on file is not taken twice. A line that is at fault is named with its fields, never its values: the exit code is 1 then.",
		Example: "  muster import book.ndjson --cohort 2027-spring --due 2027-04-01\n  muster import export/ --mapper whmcs --cohort all --due 2027-04-01 --share 5 --refused refused.ndjson\n  muster import cohorts\n  muster import change 2027-spring --share 20 --case board-12",
	}
	g := &importing{remote: remoteFlags(cmd, t)}
	f := cmd.Flags()
	f.StringVar(&g.cohort, "cohort", "", "name of the cohort that the customers belong to")
	f.StringVar(&g.due, "due", "", "from when on its members are decided: a date, or RFC 3339; needed where the cohort is new")
	f.IntVar(&g.share, "share", 0, "per cent of its members that are decided on one day (default 10)")
	f.StringVar(&g.mapper, "mapper", "", "the files are CSV: "+strings.Join(book.MapperNames(), ", ")+", or a mapper's file")
	f.StringVar(&g.refused, "refused", "", "file for the lines that were refused: it holds personal data")
	f.IntVar(&g.batch, "batch", importLines, "lines that are sent together at most")
	f.StringVar(&g.identity, "identity", "", "FILE is the archive of an export (docs/formats/export.md), sealed for this age identity; it is taken in as it was, without a cohort")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return g.run(cmd.Context(), args[0]) }
	cmd.AddCommand(newImportCohorts(t), newImportShow(t), newImportChange(t), newImportAgree(t))
	return cmd
}

func (g *importing) run(ctx context.Context, path string) (err error) {
	if isArchive(path) {
		return importArchive(ctx, g.remote, path, g.identity)
	}
	switch {
	case !muster.IsTag(g.cohort):
		return usageError{errors.New("--cohort names the cohort: 1 to 32 lower-case letters, digits, dots, dashes and underscores")}
	case g.batch < 1 || g.batch > book.MaxLines:
		return usageError{fmt.Errorf("--batch is 1 to %d", book.MaxLines)}
	}
	c, err := g.client()
	if err != nil {
		return err
	}
	order := map[string]any{"cohort": g.cohort}
	if g.due != "" {
		due, err := timeOf(g.due)
		if err != nil {
			return errDue
		}
		order["due"] = due
	}
	if g.share != 0 {
		order["share"] = g.share
	}
	if err := g.readMapper(); err != nil {
		return err
	}
	files, err := g.files(path)
	if err != nil {
		return err
	}
	if g.refused != "" {
		if g.out, err = os.OpenFile(g.refused, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, g.out.Close()) }()
	}
	for _, file := range files {
		if err := g.file(ctx, c.slow(), file, order); err != nil {
			return err
		}
	}
	if g.wrong > 0 {
		return muster.Errorf(muster.CodeInvalid, "%d lines were refused", g.wrong)
	}
	return nil
}

var errDue = usageError{errors.New("--due is a date, or a time as RFC 3339 has it")}

// timeOf reads a day, or a time.
func timeOf(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

func (g *importing) readMapper() (err error) {
	switch {
	case g.mapper == "":
		return nil
	case slices.Contains(book.MapperNames(), g.mapper):
		g.source, err = book.EmbeddedMapper(g.mapper)
	default:
		g.source, err = os.ReadFile(g.mapper)
	}
	if err == nil {
		g.m, err = book.ParseMapper(g.source)
	}
	return err
}

// files are those that are read: of a folder the lines, or what the mapper knows, in
// the order of its tables: customers stand before what is theirs.
func (g *importing) files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if g.m != nil && g.m.Of(path) == nil {
			return nil, muster.Errorf(muster.CodeInvalid, "the mapper has no table for a file of that name")
		}
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	var files []string
	add := func(fits func(name string) bool) {
		for _, e := range entries {
			if !e.IsDir() && fits(e.Name()) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	if g.m == nil {
		add(func(name string) bool { return strings.HasSuffix(name, ".ndjson") })
	} else {
		for _, t := range g.m.Tables {
			add(func(name string) bool { return g.m.Of(name) == t })
		}
	}
	if len(files) == 0 {
		return nil, muster.Errorf(muster.CodeNotFound, "there is no file in that folder that could be read")
	}
	return files, nil
}

// file sends one file: all of it, then again and again the lines whose account above
// came later, for as long as that helps.
func (g *importing) file(ctx context.Context, c *client, path string, order map[string]any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha256.New()
	digest.Write(g.source)
	if _, err := io.Copy(digest, f); err != nil {
		return err
	}
	order["source"] = hex.EncodeToString(digest.Sum(nil))
	var r imported
	if err := g.post(ctx, c, "/v1/imports", order, &r); err != nil {
		return err
	}
	lines := "/v1/imports/" + r.Import
	from := r.Place
	if r.Refused > 0 { // which lines those were, this run has to see for itself
		from = 0
	}
	w := &walk{importing: g, c: c, f: f, path: path, to: lines + "/lines"}
	w.says = func(taken, place int) { fmt.Fprintf(g.err, "%s: line %d, %d taken\n", path, place, taken) }
	if err := w.all(ctx, from); err != nil {
		return err
	}
	for n := 0; len(w.later) > 0 && len(w.later) != n; {
		n = len(w.later)
		if err := w.again(ctx); err != nil {
			return err
		}
	}
	if err := w.give(); err != nil {
		return err
	}
	if err := g.post(ctx, c, lines+"/end", nil, &r); err != nil {
		return err
	}
	g.wrong += r.Refused
	if g.json {
		return printJSON(g.terminal.out, r)
	}
	fmt.Fprintf(g.terminal.out, "%s: %d taken, %d were there, %d refused\n", path, r.Taken, r.There, r.Refused)
	return nil
}

// walk goes through one file.
type walk struct {
	*importing
	c    *client
	f    *os.File
	path string
	to   string // route that takes lines
	says func(taken, place int)

	later []refusedLine // whose account above is not there, in the order of the file
}

type refusedLine struct {
	n      int
	faults []muster.Fault
}

// sent are lines on their way, with their numbers.
type sent struct {
	body  bytes.Buffer
	lines map[int][]byte
}

// each calls fn for every line of the file, with its number.
func (w *walk) each(fn func(n int, text []byte) error) error {
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if w.m != nil {
		rows, err := w.m.Of(w.path).Rows(bufio.NewReaderSize(w.f, 1<<20))
		for err == nil {
			var text []byte
			var n int
			if text, n, err = rows.Next(); err == nil {
				err = fn(n, text)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	r := bufio.NewReaderSize(w.f, 1<<20)
	for n := 1; ; n++ {
		text, err := r.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // longer than a line may be: the server says so
			text = bytes.Repeat([]byte("x"), book.MaxLineBytes+1)
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			if err := fn(n, text); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// all sends the file from a line on.
func (w *walk) all(ctx context.Context, from int) error {
	return w.send(ctx, func(n int) bool { return n > from })
}

// again sends what waits for an account above.
func (w *walk) again(ctx context.Context) error {
	waits := w.later
	w.later = nil
	i := 0
	return w.send(ctx, func(n int) bool {
		for i < len(waits) && waits[i].n < n {
			i++
		}
		return i < len(waits) && waits[i].n == n
	})
}

// send sends the lines that are wanted.
func (w *walk) send(ctx context.Context, wanted func(n int) bool) error {
	b := &sent{lines: map[int][]byte{}}
	taken := 0
	flush := func() error {
		if len(b.lines) == 0 {
			return nil
		}
		var out struct {
			Taken   int                  `json:"taken"`
			Place   int                  `json:"place"`
			Refused []muster.RefusedLine `json:"refused"`
		}
		if err := w.post(ctx, w.c, w.to, b.body.Bytes(), &out, "Content-Type", "application/x-ndjson"); err != nil {
			return err
		}
		taken += out.Taken
		for _, r := range out.Refused {
			if err := w.refuse(r, b.lines[r.Line]); err != nil {
				return err
			}
		}
		w.says(taken, out.Place)
		b.body.Reset()
		clear(b.lines)
		return nil
	}
	err := w.each(func(n int, text []byte) error {
		if !wanted(n) {
			return nil
		}
		if len(b.lines) >= w.batch || b.body.Len()+len(text) > importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		b.lines[n] = nil
		if w.out != nil {
			b.lines[n] = bytes.Clone(text)
		}
		b.body.Write(withNumber(text, n))
		b.body.WriteByte('\n')
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// withNumber has a line say its number, as the report names it.
func withNumber(text []byte, n int) []byte {
	rest, ok := bytes.CutPrefix(text, []byte("{"))
	rest = bytes.TrimSpace(rest)
	if !ok || len(rest) < 2 || bytes.HasPrefix(rest, []byte(`"line"`)) || bytes.Contains(rest, []byte(`,"line":`)) {
		return text
	}
	return slices.Concat([]byte(`{"line":`), strconv.AppendInt(nil, int64(n), 10), []byte(","), rest)
}

// refuse keeps a line for later, or gives it up.
func (w *walk) refuse(r muster.RefusedLine, text []byte) error {
	if slices.ContainsFunc(r.Faults, func(f muster.Fault) bool { return f.Code == "unknown_account" }) {
		w.later = append(w.later, refusedLine{r.Line, r.Faults})
		return nil
	}
	w.show(r.Line, r.Faults)
	return w.keep(text)
}

// maxShown is how many refused lines are printed.
const maxShown = 100

func (w *walk) show(n int, faults []muster.Fault) {
	if w.shown++; w.shown > maxShown {
		return
	}
	fmt.Fprintf(w.err, "%s: line %d was refused\n", w.path, n)
	for _, f := range faults {
		fmt.Fprintf(w.err, "  %s: %s\n", printable(f.Pointer), printable(f.Detail))
	}
}

// keep writes a refused line to the operator's file.
func (w *walk) keep(text []byte) error {
	if w.out == nil {
		return nil
	}
	_, err := w.out.Write(append(bytes.Clone(text), '\n'))
	return err
}

// give gives up what still waits for an account above.
func (w *walk) give() error {
	if len(w.later) == 0 {
		return nil
	}
	i := 0
	return w.each(func(n int, text []byte) error {
		if i < len(w.later) && w.later[i].n == n {
			w.show(n, w.later[i].faults)
			i++
			return w.keep(text)
		}
		return nil
	})
}

// post sends until it is answered: a server that is away may be on its way back, and
// what it took before is there.
func (g *importing) post(ctx context.Context, c *client, path string, body, out any, headers ...string) error {
	wait := 250 * time.Millisecond
	for try := 1; ; try++ {
		_, err := c.call(ctx, http.MethodPost, path, body, out, headers...)
		var e *muster.Error
		if err == nil || !errors.As(err, &e) || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		switch e.Code {
		case muster.CodeUnavailable, muster.CodeRateLimited, muster.CodeNoSpace, muster.CodeInternal:
		default:
			return err
		}
		if try >= ingestTries {
			return err
		}
		if try == 1 {
			fmt.Fprintln(g.err, "put off:", printable(e.Message))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func newImportCohorts(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "cohorts", Short: "Cohorts: how many members, due when, decided how far", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var list struct {
			Items []api.Cohort `json:"items"`
		}
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/cohorts", nil, &list); err != nil {
			return err
		}
		if r.json {
			return printJSON(r.out, list)
		}
		return printCohorts(r, list.Items...)
	}
	return cmd
}

func printCohorts(r *remote, cohorts ...api.Cohort) error {
	var rows [][]string
	for _, x := range cohorts {
		waits := ""
		if x.Change != nil {
			waits = fmt.Sprintf("%s, %d %%", when(x.Change.Due), x.Change.Share)
		}
		rows = append(rows, []string{
			x.Cohort, when(x.Due), strconv.Itoa(x.Share) + " %", strconv.Itoa(x.Adopted), strconv.Itoa(x.Decided), strconv.Itoa(x.Today), waits,
		})
	}
	return table(r.out, "there is no cohort", []string{"COHORT", "DUE", "A DAY", "ADOPTED", "DECIDED", "TODAY", "PROPOSED"}, rows)
}

func newImportChange(t terminal) *cobra.Command {
	var o onboard.CohortOrder
	var due string
	cmd := &cobra.Command{
		Use: "change COHORT --case CASE", Short: "Change from when on a cohort is decided, and how many a day", Args: cobra.ExactArgs(1),
		Long: "Change a cohort. A later date waits until another operator says muster import agree, and the share with it;\n" +
			"anything else is in force at once. What is in force, said again, takes back what waits.",
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&due, "due", "", "from when on its members are decided: a date, or RFC 3339")
	f.IntVar(&o.Share, "share", 0, "per cent of its members that are decided on one day")
	f.StringVar(&o.Case, "case", "", "reference of why; no personal data")
	need(cmd, "case")
	cmd.MarkFlagsOneRequired("due", "share")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if due != "" {
			if o.Due, err = timeOf(due); err != nil {
				return errDue
			}
		}
		x, err := r.cohort(cmd.Context(), http.MethodPatch, args[0], "", o)
		if err != nil || r.json {
			return err
		}
		if x.Change != nil {
			fmt.Fprintf(r.err, "It waits for another operator: muster import agree %s\n", x.Cohort)
		}
		return printCohorts(r, *x)
	}
	return cmd
}

func newImportAgree(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "agree COHORT", Short: "Agree to a later date of a cohort, as another operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		x, err := r.cohort(cmd.Context(), http.MethodPost, args[0], "/agreement", nil)
		if err != nil || r.json {
			return err
		}
		return printCohorts(r, *x)
	}
	return cmd
}

// cohort edits a cohort as it stands now, and prints it where that is for programs.
func (r *remote) cohort(ctx context.Context, method, name, verb string, body any) (*api.Cohort, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	id, err := segment(name)
	if err != nil {
		return nil, err
	}
	x := &api.Cohort{}
	if _, err := c.call(ctx, http.MethodGet, "/v1/cohorts/"+id, nil, x); err != nil {
		return nil, err
	}
	seen := x.Version
	x = &api.Cohort{}
	if _, err := c.call(ctx, method, "/v1/cohorts/"+id+verb, body, x, "If-Match", strconv.Quote(strconv.FormatInt(seen, 10))); err != nil {
		return nil, err
	}
	if r.json {
		return x, printJSON(r.out, x)
	}
	return x, nil
}

func newImportShow(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "show IMPORT", Short: "How far a file is, and which lines were refused", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		var x imported
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/imports/"+id, nil, &x); err != nil {
			return err
		}
		if r.json {
			return printJSON(r.out, x)
		}
		fmt.Fprintf(r.out, "up to line %d: %d taken, %d were there, %d refused\n", x.Place, x.Taken, x.There, x.Refused)
		var rows [][]string
		for _, l := range x.Lines {
			for _, f := range l.Faults {
				rows = append(rows, []string{strconv.Itoa(l.Line), f.Pointer, f.Detail})
			}
		}
		return table(r.out, "no line is refused", []string{"LINE", "FIELD", "WHAT IS WRONG"}, rows)
	}
	return cmd
}
