package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgres is a server of the bench's own, on a Unix socket, with Debian's program
// and its defaults: fsync and full page writes on. It refuses to be root, and runs
// as the user that the package makes.
type postgres struct {
	dir, bin string
	as       *syscall.Credential
}

var errNoPostgres = errors.New("PostgreSQL is not installed (Debian: apt-get install postgresql)")

func startPostgres(ctx context.Context) (_ *postgres, err error) {
	p := &postgres{}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		p.bin = filepath.Dir(found[len(found)-1])
	} else if path, err := exec.LookPath("postgres"); err == nil {
		p.bin = filepath.Dir(path)
	} else {
		return nil, errNoPostgres
	}
	// A socket's path has at most 107 bytes, and another user has to reach it.
	if p.dir, err = os.MkdirTemp("", "benchpg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	if err := p.command(ctx, "initdb", "-D", p.dir+"/data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"); err != nil {
		return nil, err
	}
	return p, p.command(ctx, "pg_ctl", "-D", p.dir+"/data", "-w", "-l", p.dir+"/log", "-o", "-k "+p.dir+" -c listen_addresses=", "start")
}

func (p *postgres) command(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if p.as != nil {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// database makes an empty database and returns its DSN.
func (p *postgres) database(ctx context.Context, name string) (string, error) {
	c, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	return p.dsn(name), err
}

// drop removes a database that nobody uses any more.
func (p *postgres) drop(ctx context.Context, name string) error {
	c, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize())
	return err
}

func (p *postgres) dsn(name string) string { return "postgres://postgres@/" + name + "?host=" + p.dir }

// cpu is what the server and its connections have computed so far.
func (p *postgres) cpu() (sum time.Duration, err error) {
	text, err := os.ReadFile(p.dir + "/data/postmaster.pid")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	server, err := strconv.Atoi(first)
	if err != nil {
		return 0, err
	}
	of, err := processOf(server)
	if err != nil {
		return 0, err
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	sum = of.own + of.ended
	for _, e := range all {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if x, err := processOf(pid); err == nil && x.parent == server { // it may have ended
				sum += x.own
			}
		}
	}
	return sum, nil
}

func (p *postgres) stop() {
	_ = p.command(context.Background(), "pg_ctl", "-D", p.dir+"/data", "-m", "immediate", "-w", "stop") // the folder goes next
	os.RemoveAll(p.dir)
}
