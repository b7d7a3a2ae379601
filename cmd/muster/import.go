package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
)

// importing sends a provider's book to the server, line by line, and goes on where it
// was: the server knows how far each file is, by the file's digest.
type importing struct {
	*remote
	cohort, due, mapper, refused string
	identity                     string
	share, batch                 int

	m                   *book.Mapper // nil: the files are lines already
	source              []byte       // of the mapper
	out                 *os.File     // where refused lines go; nil: nowhere
	shown               int          // refused lines that were printed, or would have been
	taken, there, wrong int          // lines, of all files
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

// sayShare is the size of a file from which on it is said how much of it is read.
const sayShare = 16 << 20

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
	if len(files) > 1 && !g.json {
		fmt.Fprintf(g.terminal.out, "%d files: %d taken, %d were there, %d refused\n", len(files), g.taken, g.there, g.wrong)
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
	size, err := io.Copy(digest, f)
	if err != nil {
		return err
	}
	order["source"] = hex.EncodeToString(digest.Sum(nil))
	var r imported
	if err := g.deliver(ctx, c, "/v1/imports", order, &r); err != nil {
		return err
	}
	from := r.Place
	if r.Refused > 0 { // which lines those were, this run has to see for itself
		from = 0
	}
	w := &walk{importing: g, c: c, f: f, path: path, id: r.Import}
	w.says = func(taken, place int) {
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil || size < sayShare {
			fmt.Fprintf(g.err, "%s: line %d, %d taken\n", path, place, taken)
			return
		}
		fmt.Fprintf(g.err, "%s: line %d, %d taken, %d %%\n", path, place, taken, at*100/size)
	}
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
	if err := g.deliver(ctx, c, "/v1/imports/"+r.Import+"/end", nil, &r); err != nil {
		return err
	}
	g.taken += r.Taken
	g.there += r.There
	g.wrong += r.Refused
	if g.json {
		return printJSON(g.terminal.out, r)
	}
	fmt.Fprintf(g.terminal.out, "%s: %d taken, %d were there, %d refused\n", path, r.Taken, r.There, r.Refused)
	return nil
}
