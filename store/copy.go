package store

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

// CheckSQLite reads every table and index of a SQLite file that nobody writes and says
// whether they hold together; each table by itself, on as many cores as there are.
func CheckSQLite(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", sqliteDSN(path, true)+"&immutable=1")
	if err != nil {
		return sqliteError(err)
	}
	defer db.Close()
	var names string
	if err := db.QueryRowContext(ctx, `SELECT coalesce(group_concat(name, ' '), '') FROM sqlite_schema WHERE type = 'table'`).Scan(&names); err != nil {
		return sqliteError(err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, name := range strings.Fields(names) {
		work.Go(func() error {
			var says string
			if err := db.QueryRowContext(ctx, `PRAGMA quick_check("`+name+`")`).Scan(&says); err != nil {
				return sqliteError(err)
			}
			if says != "ok" {
				return muster.Errorf(muster.CodeUnavailable, "the store at %s does not hold together", path)
			}
			return nil
		})
	}
	return work.Wait()
}

// MetaOfSQLite reads the deployment's own record of a file that another process may
// have open.
func MetaOfSQLite(ctx context.Context, path string) (*muster.Meta, error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, true))
	if err != nil {
		return nil, sqliteError(err)
	}
	defer db.Close()
	m := &muster.Meta{}
	var made int64
	err = db.QueryRowContext(ctx, `SELECT deployment, mode, origin, made FROM meta WHERE one = 1`).Scan(&m.Deployment, &m.Mode, &m.Origin, &made)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, muster.Errorf(muster.CodeNotFound, "there is no deployment at %s", path)
	}
	m.Made = fromMicros(made)
	if err != nil {
		return nil, sqliteError(err)
	}
	return m, nil
}

// LedgerVolumes are the volumes that a ledger names, of a store that other processes may
// have open. c is as for OpenLedger.
func LedgerVolumes(ctx context.Context, c Config) (list []ledger.Volume, err error) {
	if c.Path == "" {
		l, err := OpenLedger(ctx, c)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return list, l.View(ctx, func(tx *LedgerTx) (err error) {
			list, err = tx.Volumes(ctx)
			return err
		})
	}
	db, err := sql.Open("sqlite", sqliteDSN(c.Path, true))
	if err != nil {
		return nil, sqliteError(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT name, size, gone FROM volumes ORDER BY id`)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil, nil // from before there were any
		}
		return nil, sqliteError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v ledger.Volume
		var gone int64
		if err := rows.Scan(&v.Name, &v.Size, &gone); err != nil {
			return nil, sqliteError(err)
		}
		v.Gone = fromMicros(gone)
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, sqliteError(err)
	}
	return list, nil
}

// RestartLog gives the log another origin and leaves it without a head: after a restore
// that lost leaves which heads of the old origin cover. Nothing of the old one is
// contradicted; the leaves that are left are published anew, under the new name.
func (tx *Tx) RestartLog(ctx context.Context, origin string) error {
	if err := tx.exec(ctx, nil, `UPDATE meta SET origin = ? WHERE one = 1`, origin); err != nil {
		return err
	}
	if err := tx.exec(ctx, nil, `DELETE FROM checkpoints`); err != nil {
		return err
	}
	return tx.exec(ctx, nil, `UPDATE log_head SET signed = NULL WHERE one = 1`)
}
