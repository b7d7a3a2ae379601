// Package pgtest runs a PostgreSQL of its own for the tests of a package.
//
// Rules of this room:
//   - One server for a test binary, started by the first Database and stopped by Run,
//     in a temporary folder, on a Unix socket: nothing of it is reachable or left.
//   - One database for each test; tests run in parallel.
//   - Where the CI variable is set and PostgreSQL is missing, the test fails;
//     elsewhere it is skipped and says what to install.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Run runs the tests of a package and stops the server that they started:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
func Run(m interface{ Run() int }) int {
	defer stop()
	return m.Run()
}

// Database makes an empty database and returns its DSN. It is dropped with the server.
func Database(t testing.TB) string {
	t.Helper()
	return running().database(t)
}

// database makes an empty database of s.
func (s *server) database(t testing.TB) string {
	t.Helper()
	if s.missing {
		const what = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
		if os.Getenv("CI") != "" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
	if s.err != nil {
		t.Fatal("PostgreSQL does not start:", s.err)
	}
	name := "t" + strconv.FormatInt(s.databases.Add(1), 10)
	conn, err := pgx.Connect(context.Background(), s.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name+" STRATEGY wal_log"); err != nil {
		t.Fatal(err)
	}
	return s.dsn(name)
}

type server struct {
	folder    string
	address   string // host:port, where it listens besides
	bin       string
	missing   bool
	err       error
	databases atomic.Int64
	stopped   bool
}

// running is the one server of the test binary: a test has no other place to share it.
var running = sync.OnceValue(start)

var started atomic.Pointer[server]

func stop() {
	s := started.Load()
	if s == nil {
		return
	}
	_ = s.down()
	os.RemoveAll(s.folder)
}

// start starts the server that the tests share.
func start() *server {
	s := begin(0)
	if s.folder != "" {
		started.Store(s)
	}
	return s
}

// begin makes a server and starts it, on a disk of so many bytes (0: on the machine's).
func begin(disk int64) *server {
	s := place(disk)
	if s.make(); s.err == nil && !s.missing {
		s.err = s.up()
	}
	return s
}

// make makes the files of a server in its folder.
func (s *server) make() {
	if s.err == nil && !s.missing {
		s.err = s.run("initdb", "-D", s.data(), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	}
}

// place is a server that has a folder and nothing in it.
func place(disk int64) *server {
	s := &server{}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 {
		s.bin = filepath.Dir(found[len(found)-1])
	} else if p, err := exec.LookPath("postgres"); err == nil {
		s.bin = filepath.Dir(p)
	} else {
		s.missing = true
		return s
	}
	// A socket's path has at most 107 bytes: not under t.TempDir.
	if s.folder, s.err = os.MkdirTemp("", "pgtest"); s.err != nil {
		return s
	}
	if disk > 0 {
		if s.err = syscall.Mount("pgtest", s.folder, "tmpfs", 0, "size="+strconv.FormatInt(disk, 10)); s.err != nil {
			return s
		}
	}
	if u := postgresUser(); u != nil {
		s.err = os.Chown(s.folder, int(u.Uid), int(u.Gid))
	}
	return s
}

func (s *server) data() string { return filepath.Join(s.folder, "data") }

// up starts the server and waits until it answers.
func (s *server) up() error {
	options := fmt.Sprintf("-k %s -c max_connections=500 -c fsync=%s -c shared_buffers=64MB", s.folder, fsync())
	if host, port, err := net.SplitHostPort(s.address); err == nil {
		options += " -c listen_addresses=" + host + " -c port=" + port
	} else {
		options += " -c listen_addresses="
	}
	return s.run("pg_ctl", "-D", s.data(), "-w", "-l", filepath.Join(s.folder, "log"), "-o", options, "start")
}

// down ends it as a crash does. Where it was stopped it does nothing more.
func (s *server) down() error {
	if s.stopped {
		s.stopped = false
		if err := errors.Join(s.signal(syscall.SIGQUIT), s.signal(syscall.SIGCONT)); err != nil {
			return err
		}
		for s.run("pg_ctl", "-D", s.data(), "status") == nil {
		}
		return nil
	}
	return s.run("pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop")
}

// fsync is on unless PGTEST_FSYNC says off: it is part of what is tested.
func fsync() string {
	if v := os.Getenv("PGTEST_FSYNC"); v != "" {
		return v
	}
	return "on"
}

func (s *server) dsn(database string) string {
	at := "host=" + s.folder
	if _, port, err := net.SplitHostPort(s.address); err == nil {
		at = "port=" + port + "&" + at
	}
	return "postgres://postgres@/" + database + "?" + at
}

// command runs a program of PostgreSQL's, which refuses to be root.
func (s *server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.folder
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PGCTLTIMEOUT=300") // seconds to start or stop in
	if u := postgresUser(); u != nil {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: u}
	}
	return c
}

// run runs one to its end.
func (s *server) run(name string, args ...string) error {
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// postgresUser is who to be where we are root.
func postgresUser() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
