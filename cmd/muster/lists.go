package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/watchlist"
)

func newLists(t terminal) *cobra.Command {
	return group("lists", "Watch lists: fetch, import, compare, approve, roll back",
		newListsStatus(t), newListsImport(t), newListsUpdate(t), newListsShow(t), newListsDiff(t), newListsApprove(t), newListsRollback(t),
	)
}

func newListsStatus(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Which snapshot of each list is in effect, how old it is, what waits for a person", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var s api.ListsStatus
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/lists", nil, &s); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, s)
		}
		return printListsStatus(t, s)
	}
	return cmd
}

func printListsStatus(t terminal, s api.ListsStatus) error {
	var rows [][]string
	for _, x := range s.Items {
		state := "in effect"
		switch {
		case x.Digest == "":
			state = "none in effect"
		case x.Stale:
			state = "STALE"
		}
		if x.Held != "" {
			state += ", " + short(x.Held) + " is held"
		}
		rows = append(rows, []string{x.List, state, strconv.Itoa(x.Entries), strconv.Itoa(x.Broken), howOld(x.Age), howOld(x.Bound), day(x.AsOf), short(x.Digest), x.Source})
	}
	err := table(t.out, "no watch list is here: muster lists import DIR, or name sources in the configuration",
		[]string{"LIST", "STATE", "ENTRIES", "BROKEN", "AGE", "BOUND", "AS OF", "DIGEST", "SOURCE"}, rows)
	if err != nil {
		return err
	}
	rows = nil
	for _, x := range s.Items {
		if x.Held != "" {
			rows = append(rows, []string{x.List, short(x.Held), when(x.HeldAt), x.HeldWhy})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(t.out)
		if err := table(t.out, "", []string{"HELD", "SNAPSHOT", "SINCE", "WHY"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "look:  muster lists diff LIST@SNAPSHOT\nthen:  muster lists approve LIST SNAPSHOT --reason TEXT, or the same with --decline")
	}
	rows = nil
	for _, x := range s.Sources {
		state := "fine"
		switch {
		case !x.Wanted.IsZero():
			state = "asked for"
		case x.Failures > 0:
			state = fmt.Sprintf("failed %d times: %s", x.Failures, x.Reason)
		case x.Tried.IsZero():
			state = "not fetched yet"
		}
		rows = append(rows, []string{x.Source, state, when(x.Checked), when(x.Tried), strings.Join(x.Lists, " ")})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(t.out)
	return table(t.out, "", []string{"SOURCE", "STATE", "CHECKED", "TRIED", "LISTS"}, rows)
}

// howOld is a number of seconds for people.
func howOld(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case seconds == 0:
		return ""
	case d < time.Hour:
		return d.Round(time.Minute).String()
	case d < 72*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func newListsImport(t terminal) *cobra.Command {
	var accept string
	cmd := &cobra.Command{
		Use: "import PATH...", Short: "Bring list files; what each is, its content says", Args: cobra.MinimumNArgs(1),
		Long: "Bring files, or folders with everything below them. Files of one set (sdn.csv, alt.csv, add.csv) lie in one\n" +
			"folder. Of several editions of a list the newest takes effect, by the date in the file or in its name; the others\n" +
			"are kept to compare with. A list that lost too much, or a file that is not whole, waits: muster lists approve.",
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&accept, "accept", "", "approve at once what would wait for a person, for this reason; on the record, as each approval")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		body, err := archive(args)
		if err != nil {
			return err
		}
		var out api.ImportOutcome
		if _, err := c.slow().call(cmd.Context(), http.MethodPost, "/v1/lists/imports", body, &out, "Content-Type", "application/x-tar"); err != nil {
			return err
		}
		for i, o := range out.Items {
			if accept == "" || o.State != watchlist.Held {
				continue
			}
			body := map[string]string{"digest": o.Digest, "reason": accept}
			if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/lists/"+o.List+"/approval", body, nil); err != nil {
				return err
			}
			out.Items[i].State = watchlist.Applied
		}
		if r.json {
			err = printJSON(t.out, out)
		} else {
			err = printArrived(t, out.Items)
		}
		if err != nil {
			return err
		}
		return nothingTaken(out.Items)
	}
	return cmd
}

// nothingTaken is the error of an import in which something was refused, or nothing was
// taken.
func nothingTaken(items []watchlist.Arrived) error {
	refused, taken := 0, 0
	for _, o := range items {
		switch o.State {
		case watchlist.Refused:
			refused++
		case watchlist.Skipped:
		default:
			taken++
		}
	}
	switch {
	case refused > 0:
		return muster.Errorf(muster.CodeInvalid, "%d of what came is refused; what was in effect of it stays", refused)
	case taken == 0:
		return muster.Errorf(muster.CodeInvalid, "no list is among these files")
	}
	return nil
}

func printArrived(t terminal, items []watchlist.Arrived) error {
	var rows [][]string
	for _, o := range items {
		change := ""
		if o.State == watchlist.Applied || o.State == watchlist.Held {
			change = fmt.Sprintf("+%d -%d ~%d", o.Added, o.Removed, o.Changed)
		}
		rows = append(rows, []string{
			cmp.Or(o.List, strings.Join(o.Files, " ")), o.State, strconv.Itoa(o.Rows), strconv.Itoa(o.Entries), strconv.Itoa(o.Broken), strconv.Itoa(o.Orphans), change, day(o.AsOf), short(o.Digest), o.Why,
		})
	}
	if err := table(t.out, "nothing came", []string{"LIST", "STATE", "ROWS", "ENTRIES", "BROKEN", "ORPHANS", "CHANGE", "AS OF", "DIGEST", "WHY"}, rows); err != nil {
		return err
	}
	for _, o := range items {
		for i, f := range o.Flaws {
			if i == 10 {
				fmt.Fprintf(t.out, "  ... and %d more: --json\n", len(o.Flaws)-i)
				break
			}
			fmt.Fprintf(t.out, "  %s: %s\n", o.List, printable(f.String()))
		}
		for i, n := range o.Notes {
			if i == 10 {
				fmt.Fprintf(t.out, "  ... and %d more notes: --json\n", len(o.Notes)-i)
				break
			}
			fmt.Fprintf(t.out, "  %s: note: %s\n", o.List, printable(n))
		}
	}
	return nil
}

const maxArchive = 256 << 20

// archive packs files, and folders with what is below them, for the server to read. A
// folder's own name goes with it: it may say of which date its files are.
func archive(paths []string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name, path string) error {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if info.Size()+int64(b.Len()) > maxArchive {
			return muster.Errorf(muster.CodeTooLarge, "more than %d MiB: import fewer files at once", maxArchive>>20)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	for i, root := range paths {
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, err
		}
		base := filepath.Base(abs)
		if len(paths) > 1 && !slices.Contains([]string{".", "/"}, base) && isDir(abs) {
			base = strconv.Itoa(i+1) + "/" + base
		}
		err = filepath.WalkDir(abs, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(d.Name(), ".") && path != abs:
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case d.IsDir():
				return nil
			}
			rel, err := filepath.Rel(abs, path)
			if err != nil {
				return err
			}
			name := base
			if rel != "." {
				name = base + "/" + filepath.ToSlash(rel)
			}
			return put(name, path)
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, muster.Errorf(muster.CodeNotFound, "there is no %s", root)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func newListsUpdate(t terminal) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "update [SOURCE...]", Short: "Have the configured sources fetched now, and wait for it", Args: cobra.ArbitraryArgs,
		Long: "Have sources of the configuration fetched now; without a name, all. The server fetches, with conditional requests.",
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), wait)
		defer cancel()
		if _, err := c.call(ctx, http.MethodPost, "/v1/lists/updates", map[string][]string{"sources": append([]string{}, args...)}, nil); err != nil {
			return err
		}
		s, err := fetched(ctx, c, args)
		if err != nil {
			return err
		}
		if r.json {
			err = printJSON(t.out, s)
		} else {
			err = printListsStatus(t, s)
		}
		if err != nil {
			return err
		}
		failed := 0
		for _, x := range s.Sources {
			if (len(args) == 0 || slices.Contains(args, x.Source)) && x.Failures > 0 {
				failed++
			}
		}
		if failed > 0 {
			return muster.Errorf(muster.CodeUnavailable, "%d sources could not be fetched; their lists stay as they were", failed)
		}
		return nil
	}
	return cmd
}

// fetched waits until no source is waiting any more, and says where all stand then.
func fetched(ctx context.Context, c *client, names []string) (s api.ListsStatus, err error) {
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		s = api.ListsStatus{}
		if _, err := c.call(ctx, http.MethodGet, "/v1/lists", nil, &s); err != nil {
			return s, err
		}
		waiting := slices.ContainsFunc(s.Sources, func(x watchlist.SourceStanding) bool {
			return !x.Wanted.IsZero() && (len(names) == 0 || slices.Contains(names, x.Source))
		})
		if !waiting {
			tick.Stop()
			return s, nil
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return s, muster.Errorf(muster.CodeUnavailable, "the server has not fetched it yet; muster lists status shows when it has")
		case <-tick.C:
		}
	}
}

func newListsShow(t terminal) *cobra.Command {
	var digest string
	cmd := &cobra.Command{
		Use: "show LIST [ENTRY]", Short: "A list's snapshots and what became of it, or one of its entries", Args: cobra.RangeArgs(1, 2),
		Long: "A list's snapshots and what became of it, or one of its entries. Of a list of your own, names and values are not shown.",
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&digest, "snapshot", "", "digest of a snapshot, or its beginning (default: the one in effect)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			return printOne(cmd.Context(), r, http.MethodGet, "/v1/lists/{}/entries/{}"+query("digest", digest), nil, func(e *muster.ListEntry) error {
				enc := json.NewEncoder(t.out)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				return enc.Encode(e)
			}, args...)
		}
		return printOne(cmd.Context(), r, http.MethodGet, "/v1/lists/{}", nil, func(h *api.ListHistory) error {
			return printHistory(t, h)
		}, args...)
	}
	return cmd
}

// query is a query of the pairs that have a value.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func printHistory(t terminal, h *api.ListHistory) error {
	var rows [][]string
	for _, s := range h.Snapshots {
		rows = append(rows, []string{short(s.Digest), when(s.Made), day(s.AsOf), strconv.Itoa(s.Entries), strconv.Itoa(s.Rows), strconv.Itoa(s.Broken), strconv.Itoa(s.Orphans), s.How, strings.Join(s.Reading.Files, " ")})
	}
	if err := table(t.out, "no snapshots", []string{"SNAPSHOT", "CAME", "AS OF", "ENTRIES", "ROWS", "BROKEN", "ORPHANS", "HOW", "FILES"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, e := range h.Events {
		rows = append(rows, []string{when(e.At), e.What, short(e.Digest), short(e.Before), e.Operator, e.Reason})
	}
	fmt.Fprintln(t.out)
	if err := table(t.out, "nothing became of it yet", []string{"AT", "WHAT", "SNAPSHOT", "BEFORE", "OPERATOR", "REASON"}, rows); err != nil {
		return err
	}
	for _, s := range h.Snapshots {
		for _, f := range append(s.Reading.Broken.Shown, s.Reading.Orphans.Shown...) {
			fmt.Fprintf(t.out, "  %s %s\n", short(s.Digest), printable(f.String()))
		}
	}
	return nil
}

func newListsDiff(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff A [B]", Short: "Entries added, removed and changed, field by field", Args: cobra.RangeArgs(1, 2),
		Long: "Compare two files or folders of list files, without a server; or two snapshots of a server's list: LIST@DIGEST each,\n" +
			"or its beginning. LIST alone is what is in effect. Without B, A is compared with what is in effect, or that with what was before it.",
	}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := os.Stat(args[0]); err == nil && len(args) == 2 {
			return diffFiles(t, r.json, args[0], args[1])
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		list, from, _ := strings.Cut(args[0], "@")
		to := ""
		switch {
		case len(args) == 2:
			other, digest, _ := strings.Cut(args[1], "@")
			if other != list {
				return usageError{errors.New("both are snapshots of one list: LIST@DIGEST LIST@DIGEST")}
			}
			to = digest
		default:
			to, from = from, "" // against what is in effect, or what was before it
		}
		name, err := segment(list)
		if err != nil {
			return err
		}
		var d api.ListDiff
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/lists/"+name+"/diff"+query("from", from, "to", to), nil, &d); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, d)
		}
		return printDiff(t, d)
	}
	return cmd
}

// diffFiles compares the lists of two files or folders.
func diffFiles(t terminal, asJSON bool, a, b string) error {
	var sides [2]map[string][]muster.ListEntry
	for i, path := range []string{a, b} {
		entries, err := readLists(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		sides[i] = map[string][]muster.ListEntry{}
		for _, e := range entries {
			sides[i][e.List] = append(sides[i][e.List], e)
		}
	}
	names := map[string]bool{}
	for _, side := range sides {
		for list := range side {
			names[list] = true
		}
	}
	all := []api.ListDiff{}
	for _, list := range sorted(names) {
		d := lists.Diff(sides[0][list], sides[1][list])
		x := api.ListDiff{List: list, From: a, To: b, Added: d.Added, Removed: d.Removed}
		for _, c := range d.Changed {
			x.Changed = append(x.Changed, api.ListChange{Entry: c.New.ID, Fields: c.Fields, Old: c.Old, New: c.New})
		}
		all = append(all, x)
	}
	if asJSON {
		return printJSON(t.out, map[string]any{"items": all})
	}
	for _, d := range all {
		if err := printDiff(t, d); err != nil {
			return err
		}
	}
	return nil
}

// readLists reads the lists of a folder, or of one file.
func readLists(path string) ([]muster.ListEntry, error) {
	if isDir(path) {
		entries, _, err := watchlist.ReadDir(os.DirFS(path))
		return entries, err
	}
	data, err := readFile(path, lists.MaxFile)
	if err != nil {
		return nil, err
	}
	rep := watchlist.Read([]lists.File{{Path: filepath.Base(path), Data: data}})
	if len(rep.Editions) == 0 {
		why := "no list that is known"
		if len(rep.Refused) > 0 {
			why = rep.Refused[0].Reason
		}
		return nil, muster.Errorf(muster.CodeInvalid, "%s", why)
	}
	var entries []muster.ListEntry
	for _, ed := range rep.Editions {
		entries = append(entries, ed.Entries...)
	}
	return entries, nil
}

func printDiff(t terminal, d api.ListDiff) error {
	name := func(e muster.ListEntry) string {
		if len(e.Names) == 0 {
			return e.ID
		}
		return e.ID + "  " + e.Names[0].Full
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d added, %d removed, %d changed (%s to %s)\n", d.List, len(d.Added), len(d.Removed), len(d.Changed), side(d.From), side(d.To))
	for _, e := range d.Added {
		fmt.Fprintf(&b, "+ %s\n", printable(name(e)))
	}
	for _, e := range d.Removed {
		fmt.Fprintf(&b, "- %s\n", printable(name(e)))
	}
	for _, c := range d.Changed {
		fmt.Fprintf(&b, "~ %s\n", printable(name(c.New)))
		old, next := members(c.Old), members(c.New)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "    %s: %s -> %s\n", f, printable(cmp.Or(string(old[f]), "none")), printable(cmp.Or(string(next[f]), "none")))
		}
	}
	_, err := t.out.Write([]byte(b.String()))
	return err
}

// side is a digest cut short, or a path as it is.
func side(s string) string {
	if len(s) == 64 && !strings.Contains(s, "/") {
		return short(s)
	}
	return cmp.Or(s, "nothing")
}

// members are an entry's members as they are in a file.
func members(e muster.ListEntry) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(e) != nil || json.Unmarshal(b.Bytes(), &m) != nil {
		return nil
	}
	return m
}

func newListsApprove(t terminal) *cobra.Command {
	var body struct {
		Digest  string `json:"digest"`
		Decline bool   `json:"decline,omitempty"`
		Reason  string `json:"reason"`
	}
	cmd := &cobra.Command{Use: "approve LIST DIGEST", Short: "Put the snapshot that is held into effect, or decline it", Args: cobra.ExactArgs(2)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why; it stands in the record, so name no person in it")
	cmd.Flags().BoolVar(&body.Decline, "decline", false, "give it up: it is not asked about again")
	need(cmd, "reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body.Digest = args[1]
		return r.listState(cmd.Context(), args[0], "/approval", body)
	}
	return cmd
}

func newListsRollback(t terminal) *cobra.Command {
	var body struct {
		Digest string `json:"digest,omitempty"`
		Reason string `json:"reason"`
	}
	cmd := &cobra.Command{Use: "rollback LIST [DIGEST]", Short: "Put an earlier snapshot into effect again (default: the one before)", Args: cobra.RangeArgs(1, 2)}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why; it stands in the record, so name no person in it")
	need(cmd, "reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			body.Digest = args[1]
		}
		return r.listState(cmd.Context(), args[0], "/rollback", body)
	}
	return cmd
}

// listState posts about a list, and prints which snapshot is in effect then.
func (r *remote) listState(ctx context.Context, list, verb string, body any) error {
	return printOne(ctx, r, http.MethodPost, "/v1/lists/{}"+verb, body, func(s *api.ListState) error {
		_, err := fmt.Fprintf(r.out, "%s: %s is in effect since %s\n", s.List, cmp.Or(short(s.Digest), "no snapshot"), cmp.Or(when(s.Since), "never"))
		return err
	}, list)
}
