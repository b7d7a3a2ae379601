package main

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/store"
)

// PostgreSQL's own tools go where Muster goes, as whom it goes and over what it goes, and
// take no server for the right one that it refuses.
func TestToolsReachWhatMusterReaches(t *testing.T) {
	t.Parallel()
	own := pgtest.NewEncrypted(t)
	t.Run("backup and restore", func(t *testing.T) {
		t.Parallel()
		backupOfPostgres(t, func() string { return dsnFile(t, own.Database()) })
	})

	dsn := own.Database()
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("%s:%d", c.Host, c.Port)
	passfile := filepath.Join(t.TempDir(), "passfile")
	if err := os.WriteFile(passfile, []byte("*:*:*:*:"+strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(pgtest.Password)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	words := fmt.Sprintf(`host = %s port=%d user=%s dbname=%s sslmode=verify-ca sslrootcert='%s' sslcert=%s sslkey=%s`,
		c.Host, c.Port, c.User, c.Database, own.CA, own.Cert, own.Key)
	const asks = `SELECT concat_ws('|', current_user, current_database(), (SELECT ssl || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
		replace(current_setting('application_name'), 'psql', ''), current_setting('search_path'), current_setting('statement_timeout'), current_setting('lock_timeout'))`
	for name, dsn := range map[string]string{
		"URL":                   dsn,
		"keywords":              words + ` password = '` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(pgtest.Password) + `'`,
		"password in a file":    words + " passfile=" + passfile,
		"a server that is away": strings.Replace(dsn, address, loopback.Address(t)+","+address, 1) + "&target_session_attrs=read-write",
		"settings of a session": dsn + `&search_path=%22a%20%5Cb%22&statement_timeout=7s&application_name=x%27y&options=-c%20lock_timeout%3D9s`,
	} {
		var tools bytes.Buffer
		if err := pgTool(t.Context(), dsnFile(t, dsn), nil, &tools, "psql", "-X", "-A", "-t", "-c", asks); err != nil {
			t.Error(name, err)
		}
		if ours := pgtest.One[string](t, dsn, asks); tools.String() != ours+"\n" || !strings.Contains(ours, "|true/CN=muster|") {
			t.Errorf("%s: the tools have %q, and Muster %q", name, tools.String(), ours)
		}
	}

	for name, wrong := range map[string]func(u *url.URL, q url.Values){
		"another authority": func(_ *url.URL, q url.Values) { q.Set("sslrootcert", own.OtherCA) },
		"no certificate":    func(_ *url.URL, q url.Values) { q.Del("sslcert"); q.Del("sslkey") },
		"not encrypted":     func(_ *url.URL, q url.Values) { q.Set("sslmode", "disable"); q.Del("channel_binding") },
		"another password":  func(u *url.URL, _ url.Values) { u.User = url.UserPassword(pgtest.Role, "x") },
	} {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		wrong(u, q)
		u.RawQuery = q.Encode()
		db, ours := store.Open(t.Context(), store.Config{DSN: u.String()})
		if ours == nil {
			db.Close()
		}
		tools := pgDump(t.Context(), dsnFile(t, u.String()), io.Discard)
		if muster.ErrorCode(ours) != muster.CodeUnavailable || muster.ErrorCode(tools) != muster.CodeUnavailable {
			t.Errorf("%s: pg_dump has %v, and Muster %v", name, tools, ours)
		}
	}
}
