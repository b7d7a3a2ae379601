package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestFilesOfNoLinesAreNamed gives an import what people have at hand.
func TestFilesOfNoLinesAreNamed(t *testing.T) {
	t.Parallel()
	const line = `{"type":"customer","customer":{}}` + "\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(line)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	wide := []byte("\xff\xfe")
	for _, r := range utf16.Encode([]rune(line)) {
		wide = append(wide, byte(r), byte(r>>8))
	}
	for name, x := range map[string]struct {
		text  string
		table bool
		says  string // "": it is read
	}{
		"book.ndjson":    {line, false, ""},
		"marked.ndjson":  {byteOrderMark + line, false, ""},
		"empty.ndjson":   {"", false, ""},
		"broken.ndjson":  {"no line at all\n" + line, false, ""}, // one line at fault, which is reported
		"lines.csv":      {line, false, ""},
		"book.ndjson.gz": {packed.String(), false, "is packed by gzip"},
		"wide.ndjson":    {string(wide), false, "is UTF-16"},
		"array.json":     {"\n [" + line + "]", false, "is one JSON array"},
		"clients.csv":    {"ID,Name\n1,Ada\n", false, "is a table"},
		"mapped.csv":     {byteOrderMark + "ID,Name\n1,Ada\n", true, ""},
		"list.csv":       {"[ID],Name\n1,Ada\n", true, ""},
		"clients.xlsx":   {"PK\x03\x04....", true, "is a ZIP archive or a spreadsheet"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		switch err := readable(path, x.table); {
		case x.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)):
			t.Errorf("%s: %v, want that it %s", name, err, x.says)
		}
	}
}
