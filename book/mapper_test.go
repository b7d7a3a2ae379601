package book_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/validate"
)

var update = flag.Bool("update", false, "write golden files")

func mapper(t *testing.T, name string) *book.Mapper {
	t.Helper()
	src, err := book.EmbeddedMapper(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := book.ParseMapper(src)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each sample becomes what its golden file says, and that is taken.
func TestMappers(t *testing.T) {
	t.Parallel()
	checker, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/mappers/*.csv")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	var used []string
	for _, file := range files {
		name, table, _ := strings.Cut(filepath.Base(file), ".")
		used = append(used, name)
		x := mapper(t, name).Of(table)
		if x == nil {
			t.Fatalf("%s: no table", file)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := x.Rows(f)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for {
			text, _, err := rows.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out.Write(text)
			out.WriteByte('\n')
			line, err := book.Parse(text, now)
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, text)
			}
			switch line.Type {
			case book.TypeCustomer:
				_, err = checker.Read(line.Customer.Application, now)
			case book.TypeLease:
				_, err = ledger.ParseLeases(string(line.Lease), now)
			}
			if err != nil {
				var e *muster.Error
				errors.As(err, &e)
				t.Errorf("%s: %v %+v\n%s", file, err, e.Faults, text)
			}
		}
		golden := strings.TrimSuffix(file, ".csv") + ".ndjson"
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(want, out.Bytes()) {
			t.Errorf("%s is not %s (%v):\n%s", file, golden, err, out.Bytes())
		}
	}
	for _, name := range book.MapperNames() {
		if !slices.Contains(used, name) {
			t.Errorf("%s has no sample", name)
		}
	}
}

func TestAWrongMapper(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"format: 2":                       "format is 1",
		"format: 1\nname: x\nnonsense: 1": "line 3",
		"format: 1\nname: x\ntables: ! ":  "not a mapper",
		"format: 1\nname: x":              "tables are 1 to 16",
		"format: 1\nname: x\ntables: [{file: '[', line: customer, lines: [{set: {since: a}}]}]":            "pattern",
		"format: 1\nname: x\ntables: [{file: a.csv, line: owner, lines: [{set: {since: a}}]}]":             "customer, lease or access",
		"format: 1\nname: x\ntables: [{file: a.csv, line: customer, lines: [{set: {since: '{a'}}]}]":       "between",
		"format: 1\nname: x\ntables: [{file: a.csv, line: customer, delimiter: ';;', lines: [{set: {}}]}]": "one character",
	} {
		if _, err := book.ParseMapper([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := mapper(t, "whmcs").Of("clients.csv").Rows(strings.NewReader("ID,Email\n1,a\n")); err == nil || !strings.Contains(err.Error(), "no column") {
		t.Errorf("a table without its columns: %v", err)
	}
}

// A panel's report does not say when an account was closed, on which its time of keeping
// hangs: the line is refused by that name, and no date is made up.
func TestAClosedClientOfAPanelNeedsADate(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"whmcs": "ID,First Name,Last Name,Company Name,Email,Address 1,Address 2,City,State,Postcode,Country,Phone Number,Creation Date,Status\n" +
			"1,Cy,Example,,,,,,,,,,2018-01-01,Closed\n2,Di,Example,Example Ltd,,,,,,,,,2018-01-01,Closed\n",
		"fossbilling": "id,email,status,first_name,last_name,phone_cc,phone,company,address_1,address_2,city,state,postcode,country\n" +
			"1,,canceled,Cy,Example,,,,,,,,,\n2,,canceled,Di,Example,,,Example Ltd,,,,,,\n",
	} {
		rows, err := mapper(t, name).Of("clients.csv").Rows(strings.NewReader(table))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			text, _, err := rows.Next()
			if err != nil {
				t.Fatal(err)
			}
			_, err = book.Parse(text, now)
			var e *muster.Error
			if !errors.As(err, &e) || len(e.Faults) != 1 || e.Faults[0].Pointer != "/customer/closed" || e.Faults[0].Code != "required" {
				t.Errorf("%s: %v\n%s", name, err, text)
			}
		}
	}
}

func FuzzRows(f *testing.F) {
	sample, err := os.ReadFile("testdata/mappers/whmcs.clients.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	src, err := book.EmbeddedMapper("whmcs")
	if err != nil {
		f.Fatal(err)
	}
	m, err := book.ParseMapper(src)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		rows, err := m.Of("clients.csv").Rows(bytes.NewReader(b))
		if err != nil {
			return
		}
		for {
			text, _, err := rows.Next()
			if err != nil {
				return
			}
			_, _ = book.Parse(text, now)
		}
	})
}
