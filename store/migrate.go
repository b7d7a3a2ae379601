package store

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/muster-cip/muster"
)

//go:embed migrations
var migrationFiles embed.FS

// migrations is one schema's numbered files, forward only.
type migrations struct {
	folder string
	table  string // where their versions are kept
	page   int    // of a new SQLite file, bytes; 0: SQLite's own
	wide   bool   // a write may touch pages all over the file (SQLite)
	caches caches
}

func (m migrations) runSQLite(ctx context.Context, file string) error {
	if m.page > 0 {
		if err := m.setPage(ctx, file); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", sqliteDSN(file, false))
	if err != nil {
		return sqliteError(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return m.run(ctx, db, database.DialectSQLite3, func(s string) string { return s })
}

// setPage gives a new file its page size: before anything else is said to it, and by
// itself, for a connection string that sets the journal's mode first makes the file with
// SQLite's own size and says nothing. A file that is there keeps what it has.
func (m migrations) setPage(ctx context.Context, file string) error {
	abs, err := filepath.Abs(file)
	if err != nil {
		abs = file
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs}).String())
	if err != nil {
		return sqliteError(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return sqliteError(err)
	}
	if tables > 0 {
		return nil
	}
	for _, q := range []string{"PRAGMA page_size = " + strconv.Itoa(m.page), "PRAGMA journal_mode = WAL"} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return sqliteError(err)
		}
	}
	var page int
	if err := db.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&page); err != nil {
		return sqliteError(err)
	}
	if page != m.page {
		return muster.Errorf(muster.CodeInternal, "the file has pages of %d bytes, not %d", page, m.page)
	}
	return nil
}

// run brings db to the newest file's number, and refuses a db that is past it.
func (m migrations) run(ctx context.Context, db *sql.DB, d database.Dialect, translate func(string) string) error {
	files, err := fs.Glob(migrationFiles, m.folder+"/*.sql")
	if err != nil {
		return err
	}
	var steps []*goose.Migration
	newest := int64(0)
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a migration's name has no number: %w", err)
		}
		newest = max(newest, version)
		text, err := migrationFiles.ReadFile(f)
		if err != nil {
			return err
		}
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, translate(string(text)))
			return err
		}}, nil))
	}
	store, err := database.NewStore(d, m.table)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider("", db, nil, goose.WithStore(store), goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "the migrations cannot be read: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the version of the database cannot be read: %w", err)
	}
	if have > newest {
		return &muster.Error{
			Code: muster.CodeConflict, Message: "the database is of version " + strconv.FormatInt(have, 10) + ", newer than this program's " + strconv.FormatInt(newest, 10),
			Hint: "start the newer program; going back means restoring a backup",
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the database could not be brought to this program's version: %w", err)
	}
	return nil
}
