package pgtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Pooler starts a PgBouncer of one test before the running server, of a pool mode
// (session, transaction), and returns the DSN of a new database through it.
func Pooler(t testing.TB, mode string) string {
	t.Helper()
	s := running()
	direct := s.database(t)
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if bin = "/usr/sbin/pgbouncer"; !isThere(bin) {
			const what = "PgBouncer is not installed (Debian: apt-get install pgbouncer)"
			if os.Getenv("CI") != "" {
				t.Fatal(what)
			}
			t.Skip(what)
		}
	}
	folder, err := os.MkdirTemp("", "pooler")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	u := postgresUser()
	if u != nil {
		if err := os.Chown(folder, int(u.Uid), int(u.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(folder, "pooler.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s user=postgres\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nauth_type = any\npool_mode = %s\nmax_client_conn = 200\ndefault_pool_size = 100\n", s.folder, folder, mode)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, conf)
	cmd.Dir = folder
	if u != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u}
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-gone })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("unix", filepath.Join(folder, ".s.PGSQL.6432"))
		if err == nil {
			c.Close()
			break
		}
		select {
		case <-gone:
			t.Fatal("PgBouncer ended: ", out.String())
		case <-tick.C:
		}
	}
	return strings.Replace(direct, "host="+s.folder, "port=6432&host="+folder, 1)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
