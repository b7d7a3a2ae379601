package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
)

// fileScreen asks to screen against lists in a folder, without a server.
type fileScreen struct {
	dir, batch, out string
	threshold       float64
	query           muster.ScreeningQuery // where there is no batch
}

func newScreen(t terminal) *cobra.Command {
	var f fileScreen
	var kind string
	var countries, nations, births []string
	var limit int
	cmd := &cobra.Command{
		Use: "screen NAME", Short: "Compare a name with the watch lists", Args: cobra.MaximumNArgs(1),
		Long: "Compare a name with the watch lists of a server, or of a folder (--lists). A name that is asked of a server is kept\n" +
			"nowhere; the log says that you asked. Names stand in the shell's history: for many, --batch reads a file.",
	}
	r := remoteFlags(cmd, t)
	fl := cmd.Flags()
	fl.StringVar(&kind, "kind", "", "individual, entity, vessel or aircraft")
	fl.StringSliceVar(&countries, "country", nil, "of address or formation, ISO 3166-1 alpha-2")
	fl.StringSliceVar(&nations, "nationality", nil, "ISO 3166-1 alpha-2")
	fl.StringSliceVar(&births, "dob", nil, "date of birth, of an entity of formation: YYYY, YYYY-MM or YYYY-MM-DD")
	fl.IntVar(&limit, "limit", 10, "candidates at most")
	fl.Float64Var(&f.threshold, "threshold", 0, "leave out candidates below it (default: the floor of the packs in effect; with --lists the matcher's threshold)")
	fl.StringVar(&f.dir, "lists", "", "folder of lists, as published: no server is asked")
	fl.StringVar(&f.batch, "batch", "", "file of query<TAB>kind lines (with --lists)")
	fl.StringVar(&f.out, "out", "", "file for query<TAB>source_id<TAB>score lines (with --batch)")
	cmd.AddCommand(newScreenTune(t))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == (f.batch != "") {
			return usageError{errors.New("one NAME, or --batch FILE")}
		}
		if f.dir == "" && (f.batch != "" || f.out != "") {
			return usageError{errors.New("--batch and --out go with --lists DIR")}
		}
		if len(args) == 1 {
			f.query = muster.ScreeningQuery{Names: []string{args[0]}, Kind: muster.ListedKind(kind)}
		}
		for _, c := range countries {
			f.query.Countries = append(f.query.Countries, muster.Country(strings.ToUpper(c)))
		}
		for _, c := range nations {
			f.query.Nations = append(f.query.Nations, muster.Country(strings.ToUpper(c)))
		}
		for _, b := range births {
			d, ok := muster.ParsePartialDate(b)
			if !ok {
				return usageError{errors.New("--dob is YYYY, YYYY-MM or YYYY-MM-DD")}
			}
			f.query.Births = append(f.query.Births, d)
		}
		if f.dir != "" {
			return screenFiles(cmd, t, f)
		}
		return r.screen(cmd, &api.Screenings{
			Queries: []api.ScreeningQuery{{Names: f.query.Names, Kind: f.query.Kind, Births: births, Countries: f.query.Countries, Nations: f.query.Nations}},
			Floor:   f.threshold, Limit: limit,
		})
	}
	return cmd
}

func (r *remote) screen(cmd *cobra.Command, in *api.Screenings) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	var out api.ScreeningsAnswer
	if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/screenings", in, &out); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.out, out)
	}
	var rows [][]string
	for _, a := range out.Answers {
		for _, x := range a.Candidates {
			rows = append(rows, candidateRow(&x, out.Threshold))
		}
	}
	return table(r.out, "nothing comes close", candidateHead, rows)
}

var candidateHead = []string{"SCORE", "HIT", "LIST", "ENTRY", "KIND", "NAME", "BESIDES"}

func candidateRow(x *muster.Candidate, threshold float64) []string {
	hit := ""
	if x.Score >= threshold || x.Exact != "" {
		hit = "hit"
	}
	var besides []string
	if x.Exact != "" {
		besides = append(besides, "same "+x.Exact)
	}
	if x.Weak {
		besides = append(besides, "weak alias")
	}
	for _, g := range x.Grounds {
		besides = append(besides, fmt.Sprintf("%s %+.2f", g.Field, g.Effect))
	}
	return []string{fmt.Sprintf("%.3f", x.Score), hit, x.List, x.Entry, string(x.Kind), fmt.Sprintf("%.3f", x.Name), strings.Join(besides, ", ")}
}

func newScreenTune(t terminal) *cobra.Command {
	var labels string
	cmd := &cobra.Command{
		Use: "tune [--labels FILE]", Short: "Forecast how many hits each threshold would make of your own book", Args: cobra.NoArgs,
		Long: "Forecast how many hits each threshold would make. A job of the server goes through everybody on file; scores are\n" +
			"counted and no value comes out. With --labels, a file of application<TAB>list<TAB>entry<TAB>true|false lines, print\n" +
			"precision and recall on these pairs instead.",
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&labels, "labels", "", "file of pairs of which you know whether they are one person")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		if labels != "" {
			return r.labels(cmd, c, labels)
		}
		var s api.Sweep
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/screenings/forecasts", nil, &s, "Idempotency-Key", muster.NewID("", time.Now())); err != nil {
			return err
		}
		for s.Ended.IsZero() {
			select {
			case <-cmd.Context().Done():
				return cmd.Context().Err()
			case <-time.After(500 * time.Millisecond):
			}
			if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/sweeps/"+s.Sweep, nil, &s); err != nil {
				return err
			}
		}
		var f onboard.Forecast
		if err := json.Unmarshal(s.Result, &f); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, f)
		}
		return printForecast(t, &f)
	}
	return cmd
}

// told are the thresholds that a person is shown.
func told(threshold, own float64) bool {
	at := int(threshold*100 + 0.5)
	return at%5 == 0 || at == int(own*100+0.5)
}

func printForecast(t terminal, f *onboard.Forecast) error {
	var rows [][]string
	for _, x := range f.Rows {
		if !told(x.Threshold, f.Threshold) {
			continue
		}
		own := ""
		if int(x.Threshold*100+0.5) == int(f.Threshold*100+0.5) {
			own = "in effect"
		}
		rows = append(rows, []string{fmt.Sprintf("%.2f", x.Threshold), fmt.Sprint(x.Customers), fmt.Sprint(x.Hits), fmt.Sprintf("%.1f", x.Week), own})
	}
	fmt.Fprintf(t.out, "%d customers were compared; %.1f new ones come a week\n", f.Customers, f.PerWeek)
	return table(t.out, "nobody is on file", []string{"THRESHOLD", "CUSTOMERS WITH A HIT", "HITS", "NEW HITS A WEEK", ""}, rows)
}

const maxLabelFile = 4 << 20

func (r *remote) labels(cmd *cobra.Command, c *client, path string) error {
	data, err := readFile(path, maxLabelFile)
	if err != nil {
		return err
	}
	var body struct {
		Labels []onboard.Label `json:"labels"`
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 4 || cells[3] != "true" && cells[3] != "false" {
			return muster.Errorf(muster.CodeInvalid, "%s:%d: a line is application<TAB>list<TAB>entry<TAB>true|false", path, n)
		}
		body.Labels = append(body.Labels, onboard.Label{Application: cells[0], List: cells[1], Entry: cells[2], Same: cells[3] == "true"})
	}
	var p onboard.Precision
	if _, err := c.slow().call(cmd.Context(), http.MethodPost, "/v1/screenings/labels", body, &p); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.out, p)
	}
	var rows [][]string
	for _, x := range p.Rows {
		if told(x.Threshold, 0) {
			rows = append(rows, []string{
				fmt.Sprintf("%.2f", x.Threshold), fmt.Sprint(x.Found), fmt.Sprint(x.Lost), fmt.Sprint(x.False), fmt.Sprint(x.Right),
				fmt.Sprintf("%.3f", x.Precision), fmt.Sprintf("%.3f", x.Recall),
			})
		}
	}
	fmt.Fprintf(r.out, "%d pairs, %d of them with an application or entry that is not there\n", p.Labels, p.Missing)
	return table(r.out, "no pairs", []string{"THRESHOLD", "FOUND", "LOST", "FALSE", "RIGHT", "PRECISION", "RECALL"}, rows)
}
