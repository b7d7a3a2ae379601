package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Config of a store. Exactly one of Path and DSN is set.
type Config struct {
	Path   string       // of the SQLite file; its folder is made where it is missing
	DSN    string       // of PostgreSQL: postgres://user@host/database?...
	Schema string       // of PostgreSQL; "" for the connection's default
	Clock  muster.Clock // nil: the machine's
	Logger *slog.Logger // nil: none

	Group   int          // transactions that share one commit at most; 0: 128
	Writers int          // PostgreSQL: connections that commit groups; 0: 2. SQLite has one
	Readers int          // connections for View; 0: 4
	Observe func(Commit) // called after each group; nil: not. It must not block
}

// Commit is what Config.Observe hears of one group.
type Commit struct {
	Size   int           // transactions in it
	Ran    time.Duration // from the first to the commit
	Synced time.Duration // the commit itself
}

const (
	defaultGroup   = 128
	defaultWriters = 2
	defaultReaders = 4
)

func (c Config) withDefaults() (Config, error) {
	if (c.Path == "") == (c.DSN == "") {
		return c, &muster.Error{
			Code: muster.CodeInvalid, Message: "the store wants a path (SQLite) or a DSN (PostgreSQL), one of them",
		}
	}
	if c.Clock == nil {
		c.Clock = muster.SystemClock
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		n    *int
		dflt int
	}{{&c.Group, defaultGroup}, {&c.Writers, defaultWriters}, {&c.Readers, defaultReaders}} {
		if *d.n == 0 {
			*d.n = d.dflt
		}
		if *d.n < 0 {
			return c, muster.Errorf(muster.CodeInvalid, "the store's limits are at least 1")
		}
	}
	return c, nil
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	conf    Config
	driver  backend
	queue   chan *job
	stop    chan struct{}
	stopped sync.Once
	lanes   sync.WaitGroup
	clock   steadyClock
	stats   counters
	fenced  bool // jobs and leases are here: see Tx.hold
}

// backend is a database: what SQLite and PostgreSQL do each in their own way.
type backend interface {
	// writer returns the connection of a group; done gives it back.
	writer(ctx context.Context) (c conn, done func(), err error)
	// reader returns a connection for one View.
	reader(ctx context.Context) (c conn, done func(), err error)
	lanes() int
	sizes(ctx context.Context) (map[string]int64, error)
	// scrub takes from the files what was deleted, as far as the database can.
	scrub(ctx context.Context) error
	close() error
}

// retryNoSpace is when to come back to a full disk: room is made by a person, or by
// what runs out.
const retryNoSpace = 30 * time.Second

// Open opens a store and brings its schema up to the program's. It refuses a
// database newer than the program, and on SQLite one that another process holds: what
// the process before this one had there, nobody has any more.
func Open(ctx context.Context, c Config) (*DB, error) {
	db, err := open(ctx, c, migrations{folder: "migrations/data", table: "schema_version", caches: caches{write: 64 << 10, read: 16 << 10}})
	if err != nil {
		return nil, err
	}
	db.fenced = true
	if c.Path != "" {
		if err := db.InTx(ctx, func(tx *Tx) error { return tx.inheritAll(ctx) }); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func open(ctx context.Context, c Config, m migrations) (*DB, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &DB{conf: c, queue: make(chan *job), stop: make(chan struct{})}
	if c.Path != "" {
		if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
			return nil, muster.Errorf(fileCode(err), "the store's folder cannot be made: %w", err)
		}
		db.driver, err = openSQLite(ctx, c, m)
	} else {
		db.driver, err = openPostgres(ctx, c, m)
	}
	if err != nil {
		return nil, err
	}
	db.clock.read = c.Clock
	for range db.driver.lanes() {
		db.lanes.Go(db.lane)
	}
	return db, nil
}

// Close waits for the groups that run and closes the store.
func (db *DB) Close() error {
	var err error
	db.stopped.Do(func() {
		close(db.stop)
		db.lanes.Wait()
		err = db.driver.close()
	})
	return err
}

// TableSizes is the bytes of each table with its indexes, by name.
func (db *DB) TableSizes(ctx context.Context) (map[string]int64, error) {
	return db.driver.sizes(ctx)
}

// steadyClock never goes back within the process.
type steadyClock struct {
	read muster.Clock
	mu   sync.Mutex
	last time.Time
}

func (c *steadyClock) now() time.Time {
	t := muster.Instant(c.read())
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.last) {
		c.last = t
	}
	return c.last
}
