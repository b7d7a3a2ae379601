package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
)

// A pooler may stand before PostgreSQL if it gives each of our connections one session for
// as long as it lasts. Statements are prepared in it, and settings made, such as where the
// ledger's tables are found: in a session that is somebody else's next, those would be
// theirs, and ours gone.

// looksAtSessions is how often two connections are asked which sessions they have.
const looksAtSessions = 5

// refusePooler refuses a pooler that lends sessions out for a transaction or a statement:
// one connection is given the session of another, or two sessions.
func refusePooler(ctx context.Context, conf *pgx.ConnConfig) error {
	conf = conf.Copy()
	conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	var conns [2]*pgx.Conn
	session := func(i int) (pid uint32, err error) {
		if conns[i] == nil {
			if conns[i], err = pgx.ConnectConfig(ctx, conf); err != nil {
				return 0, postgresError(err)
			}
		}
		if err := conns[i].QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			return 0, postgresError(err)
		}
		return pid, nil
	}
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close(context.WithoutCancel(ctx))
			}
		}
	}()
	first, err := session(0)
	if err != nil || first == conns[0].PgConn().PID() { // what the server said as we came: nobody stands between
		return err
	}
	for range looksAtSessions {
		other, err := session(1)
		if err != nil {
			return err
		}
		again, err := session(0)
		if err != nil {
			return err
		}
		if other == first || again != first {
			return &muster.Error{
				Code: muster.CodeInvalid, Message: "a pooler stands before PostgreSQL that gives each transaction another session",
				Hint: "let Muster have sessions of its own: pool_mode=session for its databases, or the server's own address in the DSN",
			}
		}
	}
	return nil
}
