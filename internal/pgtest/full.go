package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// NewSmall is NewOwn on a disk of so many bytes, which Fill leaves no room on.
func NewSmall(t testing.TB, disk int64) *Own {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("disks are mounted as root")
	}
	return own(t, begin(disk))
}

// ballast is the file that fills a disk.
func (o *Own) ballast() string { return filepath.Join(o.s.folder, "ballast") }

// Fill takes all the room that is left.
func (o *Own) Fill() {
	o.Helper()
	f, err := os.Create(o.ballast())
	if err != nil {
		o.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		o.Fatal(err)
	}
}

// FillLog has the server write to its log until that has no room either, which ends it.
func (o *Own) FillLog() {
	o.Helper()
	conn, err := pgx.Connect(context.Background(), o.s.dsn("postgres"))
	for err == nil {
		_, err = conn.Exec(context.Background(), `SELECT pg_logical_emit_message(true, 'muster', repeat('x', 1000000))`)
	}
	for o.s.run("pg_ctl", "-D", o.s.data(), "status") == nil { // it tries to recover, and has no room for that
	}
}

// Free gives the room back that Fill took.
func (o *Own) Free() {
	o.Helper()
	if err := os.Remove(o.ballast()); err != nil {
		o.Fatal(err)
	}
}
