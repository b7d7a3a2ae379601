package store

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A DSN may name several servers, of which one takes writes: when that is lost, and its
// standby promoted, the next connections are to the other. What was acknowledged is there
// if the standby had it first, which is PostgreSQL's to wait for.

const (
	connectWait = 10 * time.Second // for a connection
	serverWait  = 3 * time.Second  // for one server's, where there is another to ask
)

// severalServers readies connections to a DSN for servers that may be silent, and for
// commits that did not get to a standby.
func severalServers(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 && len(otherServers(&c.Config)) > 0 {
		c.ConnectTimeout = serverWait
	}
	c.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.Routine == "SyncRepWaitForLSN" {
			conn.CustomData()[committedHere] = true
		}
	}
}

// otherServers are those that a DSN names beside the first, each once: with and without
// encryption each is there twice.
func otherServers(c *pgconn.Config) (others []*pgconn.FallbackConfig) {
	for _, f := range c.Fallbacks {
		same := func(o *pgconn.FallbackConfig) bool { return o.Host == f.Host && o.Port == f.Port }
		if (f.Host != c.Host || f.Port != c.Port) && !slices.ContainsFunc(others, same) {
			others = append(others, f)
		}
	}
	return others
}

const committedHere = "committed here"

// here reports whether the last commit of a connection was not waited for until its
// standby had it: somebody cancelled the wait, which the server calls a success, with a warning.
func here(conn *pgconn.PgConn) bool {
	data := conn.CustomData()
	was := data[committedHere] != nil
	delete(data, committedHere)
	return was
}
