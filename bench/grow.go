package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// grow multiplies a SQLite deployment: every row of every table that grows with
// customers is written again so many times, with other ids, digests and references
// and the same bytes otherwise, until there are as many customers as asked for. Each
// copy follows the one before it in every table and index, which is how ids come;
// digests and references would come in any order, and are written in theirs because
// a million at random places takes longer than all the rest. It returns how many
// customers there are.
//
// What is sealed does not open in its new place; nothing that starts or answers a
// read opens it.
func grow(ctx context.Context, data, keys string, customers int) (int, error) {
	total, err := growData(ctx, data, customers)
	if err != nil {
		return 0, err
	}
	_, err = growFile(ctx, keys, customers, []string{"subject_keys"})
	return total, err
}

// growData multiplies the data and leaves the keys as they are.
func growData(ctx context.Context, path string, customers int) (int, error) {
	return growFile(ctx, path, customers, []string{"customers", "applications", "accounts", "subjects", "claims", "evidence", "evidence_keys", "decisions", "reviews", "blind", "jobs", "leaves", "gate_accounts"})
}

func growFile(ctx context.Context, path string, customers int, names []string) (int, error) {
	// Neither synced nor journalled: nobody was told that these rows are there.
	db, err := sql.Open("sqlite", sqliteDSN(path, "journal_mode(OFF)", "synchronous(OFF)", "cache_size(-262144)", "temp_store(MEMORY)"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var have int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+names[0]).Scan(&have); err != nil {
		return 0, err
	}
	if have == 0 {
		return 0, fmt.Errorf("%s: there is nothing to multiply", path)
	}
	statements := make([]string, len(names))
	for i, name := range names {
		columns, err := columnsOf(ctx, db, name)
		if err != nil {
			return 0, err
		}
		which := ""
		if name == "jobs" {
			which = " WHERE ref <> ''" // of standing duties there is one
		}
		if _, err := db.ExecContext(ctx, "CREATE TEMP TABLE first_"+name+" AS SELECT * FROM "+name+which); err != nil {
			return 0, err
		}
		statements[i] = copyStatement(name, columns)
	}
	var leaves, gate int64
	if names[0] == "customers" {
		if err := db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM leaves), (SELECT seq FROM gate_state)").Scan(&leaves, &gate); err != nil {
			return 0, err
		}
	}
	copies := (customers + have - 1) / have
	for k := 1; k < copies; k++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		for i, s := range statements {
			s = strings.NewReplacer(":hex", fmt.Sprintf("'%06x'", k), ":k", fmt.Sprint(k), ":leaves", fmt.Sprint(leaves), ":gate", fmt.Sprint(gate)).Replace(s)
			if _, err := tx.ExecContext(ctx, s); err != nil {
				tx.Rollback()
				return 0, fmt.Errorf("%s: %w", names[i], err)
			}
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	if leaves > 0 {
		if _, err := db.ExecContext(ctx, "UPDATE log_size SET size = (SELECT max(idx) + 1 FROM leaves); UPDATE gate_state SET seq = (SELECT max(seq) FROM gate_accounts)"); err != nil {
			return 0, err
		}
	}
	return have * copies, nil
}

func columnsOf(ctx context.Context, db *sql.DB, name string) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, type FROM pragma_table_info(?)", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return nil, err
		}
		out = append(out, column+" "+kind)
	}
	return out, rows.Err()
}

// copyStatement writes the rows of first_NAME again as the k-th copy. Ids keep their
// prefix and length: after it come six digits of k.
func copyStatement(name string, columns []string) string {
	picks := make([]string, len(columns))
	for i, c := range columns {
		column, kind, _ := strings.Cut(c, " ")
		switch {
		case column == "idx":
			picks[i] = "idx + :k * :leaves"
		case column == "seq":
			picks[i] = "seq + :k * :gate"
		case column == "hash": // in any order, as they come: who looks one up counts on that
			picks[i] = "randomblob(16)"
		case column == "reference":
			picks[i] = ":hex || '.' || reference"
		case column == "digest" || column == "handle":
			picks[i] = fmt.Sprintf("CAST(:hex || substr(%s, 7) AS BLOB)", column)
		case kind == "TEXT" && column != "operator":
			picks[i] = fmt.Sprintf("CASE WHEN %[1]s GLOB '[a-z][a-z][a-z]_*' THEN substr(%[1]s, 1, 4) || :hex || substr(%[1]s, 11) ELSE %[1]s END", column)
		default:
			picks[i] = column
		}
	}
	order := ""
	if name == "gate_accounts" {
		order = " ORDER BY 1"
	}
	return "INSERT INTO " + name + " SELECT " + strings.Join(picks, ", ") + " FROM temp.first_" + name + order
}

// caughtUp waits until the log's head covers every leaf.
func (d *deployment) caughtUp(ctx context.Context, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		if body, err := d.get(ctx, "/checkpoint"); err == nil {
			if lines := strings.Split(string(body), "\n"); len(lines) > 1 {
				if at, err := strconv.ParseInt(lines[1], 10, 64); err == nil && at >= size {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log's head did not reach %d: %w", size, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
