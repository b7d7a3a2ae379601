package watchlist_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-cip/muster/internal/listtest"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/watchlist"
)

// readOne reads one published file.
func readOne(t *testing.T, all fs.FS, name string) *watchlist.Report {
	t.Helper()
	data, err := fs.ReadFile(all, name)
	if err != nil {
		t.Fatal(err)
	}
	rep := watchlist.Read([]lists.File{{Path: name, Data: data}})
	for _, ed := range rep.Editions {
		listtest.Check(t, ed)
	}
	return rep
}

// TestCountsOfTheScreeningList counts rows by source with encoding/csv, which the reader
// does not use. One of the published files was cut off in its last row: that row is
// counted as broken, and the file does not pass for a whole one.
func TestCountsOfTheScreeningList(t *testing.T) {
	t.Parallel()
	all := published(t)
	code := regexp.MustCompile(`\((?:NS-)?([A-Z]+)`)
	for name, cut := range map[string]bool{"csl/csl-2023-11-30-sample4228.csv": true, "csl/csl-2019-12-sample115.csv": false, "csl/csl-recent-mini.csv": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := fs.ReadFile(all, name)
			if err != nil {
				t.Fatal(err)
			}
			r := csv.NewReader(bytes.NewReader(data))
			r.FieldsPerRecord = -1
			r.LazyQuotes = true // for the row that was cut off
			want, short, at, width := map[string]int{}, 0, -1, 0
			for {
				row, err := r.Read()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if at < 0 {
					for i, column := range row {
						if column == "source" {
							at = i
						}
					}
					width = len(row)
					continue
				}
				if row[at] == "source" {
					continue // the header again
				}
				want[strings.ToLower(code.FindStringSubmatch(row[at])[1])]++
				if len(row) != width {
					short++
				}
			}
			rep := readOne(t, all, name)
			entries, broken := 0, 0
			for _, ed := range rep.Editions {
				source := strings.TrimPrefix(ed.List, "csl.")
				if ed.Rows != want[source] || len(ed.Entries)+ed.Broken.Count != ed.Rows {
					t.Errorf("%s: %d rows, %d entries, %d broken; %d were counted", ed.List, ed.Rows, len(ed.Entries), ed.Broken.Count, want[source])
				}
				if (ed.Cut != "") != cut {
					t.Errorf("%s: cut off: %q", ed.List, ed.Cut)
				}
				entries, broken = entries+len(ed.Entries), broken+ed.Broken.Count
				delete(want, source)
			}
			if len(want) > 0 || broken != short {
				t.Errorf("not read: %v; %d broken, %d counted", want, broken, short)
			}
		})
	}
}

// TestCountsOfTheOthers counts elements and lines.
func TestCountsOfTheOthers(t *testing.T) {
	t.Parallel()
	all := published(t)
	for name, count := range map[string]func(t *testing.T, data []byte) int{
		"un/consolidated.xml":                                      elements("INDIVIDUAL", "ENTITY"),
		"ita-fixtures/sdn-basic-format.xml":                        elements("sdnEntry"),
		"ita-fixtures/treasury-consolidated-2014-basic-format.xml": elements("sdnEntry"),
		"bis/dpl-2019.txt":                                         filled,
		"bis/dpl-2021-07.txt":                                      filled,
		"ita-fixtures/dpl-mini.txt":                                filled,
	} {
		t.Run(path.Base(name), func(t *testing.T) {
			t.Parallel()
			data, err := fs.ReadFile(all, name)
			if err != nil {
				t.Fatal(err)
			}
			rep := readOne(t, all, name)
			if len(rep.Editions) != 1 {
				t.Fatalf("%+v", rep)
			}
			if ed := rep.Editions[0]; len(ed.Entries) != count(t, data) || ed.Rows != len(ed.Entries) || ed.Broken.Count != 0 {
				t.Errorf("%d entries of %d, %d were counted; broken: %+v", len(ed.Entries), ed.Rows, count(t, data), ed.Broken)
			}
		})
	}
}

// elements counts start tags with a decoder that builds nothing.
func elements(names ...string) func(*testing.T, []byte) int {
	return func(t *testing.T, data []byte) (n int) {
		t.Helper()
		d := xml.NewDecoder(bytes.NewReader(data))
		for {
			tok, err := d.RawToken()
			if errors.Is(err, io.EOF) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := tok.(xml.StartElement); ok {
				for _, name := range names {
					if s.Name.Local == name {
						n++
					}
				}
			}
		}
	}
}

// filled counts lines after the first that have anything but quotes and tabs.
func filled(_ *testing.T, data []byte) (n int) {
	for i, line := range strings.Split(string(data), "\n") {
		if i > 0 && strings.Trim(line, "\"\t\r ") != "" {
			n++
		}
	}
	return n
}

// TestWhatThePublishedListsSay looks for facts that were read off the files by eye.
func TestWhatThePublishedListsSay(t *testing.T) {
	t.Parallel()
	all := published(t)
	entries, _, err := watchlist.ReadDir(sub(t, all, "ofac/2021-07"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		switch e.ID {
		case "29703": // its remark goes on in sdn_comments.csv, cut within "Address"
			found++
			wallets := 0
			for _, id := range e.Identifiers {
				if id.Kind == "wallet" {
					wallets++
				}
				if id.Label == "Digital Currency Address - ETH" && id.Value != "0x8576acc5c05d6ce88f4e49bf65bdf0c62f91353c" {
					t.Errorf("%+v", id)
				}
			}
			if wallets < 14 {
				t.Errorf("%d wallets", wallets)
			}
		case "15036":
			found++
			if e.Kind != "vessel" || e.Vessel == nil || e.Vessel.Tonnage != "99,144" || e.Nations[0] != "IR" || e.Names[1].Role != "former" {
				t.Errorf("%+v", e)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 entries are there", found)
	}
}
