package store_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster/store"
)

// TestLeakagePage holds docs/leakage.md against the three schemas: a column that the
// page does not explain fails, and so does a row whose column is gone. A table of which it
// does not say when its rows go fails too.
func TestLeakagePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, keys, ledger := filepath.Join(dir, "muster.db"), filepath.Join(dir, "keys.db"), filepath.Join(dir, "ledger.db")
	open(t, store.Config{Path: data})
	k, err := store.OpenKeys(t.Context(), store.Config{Path: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := store.OpenLedger(t.Context(), store.Config{Path: ledger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	page, err := os.ReadFile("../docs/leakage.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_0-9]+)` \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(string(page), -1) {
		if slices.Contains(explained, m[1]) {
			t.Errorf("%s is on the page twice", m[1])
		}
		explained = append(explained, m[1])
	}
	there := slices.Concat(columns(t, data), columns(t, keys), columns(t, ledger))
	if len(there) < 100 {
		t.Fatalf("only %d columns found: this is not the whole schema", len(there))
	}
	for _, c := range there {
		if !slices.Contains(explained, c) {
			t.Errorf("%s is not in docs/leakage.md: say what it gives away", c)
		}
	}
	for _, c := range explained {
		if !slices.Contains(there, c) {
			t.Errorf("docs/leakage.md explains %s, which is not in the schema", c)
		}
	}
	ends(t, page, there)
}

// ends holds the page's last table, of how long rows stay, against the tables.
func ends(t *testing.T, page []byte, columns []string) {
	t.Helper()
	_, part, _ := bytes.Cut(page, []byte("\n## How long rows stay\n"))
	part, _, _ = bytes.Cut(part, []byte("\n## "))
	said := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| ([^|]+) \\| ([^|]+) \\|$").FindAllSubmatch(part, -1) {
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllSubmatch(row[1], -1) {
			said[string(name[1])]++
		}
	}
	tables := map[string]bool{}
	for _, c := range columns {
		table, _, _ := strings.Cut(c, ".")
		tables[table] = true
	}
	for table := range tables {
		if said[table] != 1 {
			t.Errorf("docs/leakage.md says %d times when rows of %s go", said[table], table)
		}
	}
	for table := range said {
		if !tables[table] {
			t.Errorf("docs/leakage.md says when rows of %s go, which is no table", table)
		}
	}
}

// columns lists table.column of every table that is not SQLite's own.
func columns(t *testing.T, path string) (list []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
