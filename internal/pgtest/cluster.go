package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postmaster is the process of the running server.
func Postmaster(t testing.TB) int {
	t.Helper()
	return running().postmaster(t)
}

func (s *server) postmaster(t testing.TB) int {
	t.Helper()
	pid, err := s.pid()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (s *server) pid() (int, error) {
	data, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return strconv.Atoi(first)
}

// signal reaches the server and every process that it made, which are its children.
func (s *server) signal(sig syscall.Signal) error {
	first, err := s.pid()
	if err != nil {
		return err
	}
	_ = syscall.Kill(first, sig)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", first, first))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, sig)
		}
	}
	return nil
}

// One asks a database for one value.
func One[T any](t testing.TB, dsn, q string, args ...any) (v T) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), q, args...).Scan(&v); err != nil {
		t.Fatal(q, err)
	}
	return v
}

// Exec changes a database, behind the back of who uses it.
func Exec(t testing.TB, dsn, q string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), q, args...); err != nil {
		t.Fatal(q, err)
	}
}

// Own is a server of one test, which may do to it what it likes.
type Own struct {
	testing.TB
	s *server
}

// NewOwn starts one. It is stopped and removed with the test.
func NewOwn(t testing.TB) *Own {
	t.Helper()
	return own(t, begin(0))
}

func own(t testing.TB, s *server) *Own {
	t.Cleanup(func() {
		if s.folder != "" {
			_ = s.down()
			_ = syscall.Unmount(s.folder, syscall.MNT_DETACH) // where it is a disk of its own
			os.RemoveAll(s.folder)
		}
	})
	return &Own{t, s}
}

// Database makes an empty database and returns its DSN.
func (o *Own) Database() string { o.Helper(); return o.s.database(o) }

// Files is the folder of the server's own files, after a checkpoint.
func (o *Own) Files() string {
	o.Helper()
	Exec(o, o.s.dsn("postgres"), "CHECKPOINT")
	return o.s.data()
}

// Dump is pg_dump of a database that Database made.
func (o *Own) Dump(dsn string) []byte {
	o.Helper()
	out, err := o.s.command("pg_dump", "-d", dsn).Output()
	if err != nil {
		o.Fatal("pg_dump:", err)
	}
	return out
}

// Crash stops the server at once; Start starts it again.
func (o *Own) Crash() {
	o.Helper()
	if err := o.s.down(); err != nil {
		o.Fatal("pg_ctl stop:", err)
	}
}

// Start starts a server that crashed.
func (o *Own) Start() {
	o.Helper()
	if err := o.s.up(); err != nil {
		o.Fatal(err)
	}
}

// Stop stops all its processes where they are, until Continue: it is there, and silent.
func (o *Own) Stop() { o.Helper(); o.signal(syscall.SIGSTOP); o.s.stopped = true }

// Continue has them go on.
func (o *Own) Continue() { o.Helper(); o.signal(syscall.SIGCONT); o.s.stopped = false }

func (o *Own) signal(sig syscall.Signal) {
	o.Helper()
	if err := o.s.signal(sig); err != nil {
		o.Fatal(err)
	}
}
