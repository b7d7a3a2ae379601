package pgtest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Files is the folder of the running server's own files, after a checkpoint.
func Files(t testing.TB) string {
	t.Helper()
	s := running()
	conn, err := pgx.Connect(context.Background(), s.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(s.folder, "data")
}

// Dump is pg_dump of a database that Database made.
func Dump(t testing.TB, dsn string) []byte {
	t.Helper()
	out, err := running().command("pg_dump", "-d", dsn).Output()
	if err != nil {
		t.Fatal("pg_dump:", err)
	}
	return out
}

// Postmaster is the process of the running server.
func Postmaster(t testing.TB) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(running().folder, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
