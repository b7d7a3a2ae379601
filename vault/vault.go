package vault

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
)

// Config of a vault. Deployment, KMS, Store and Clock are required.
type Config struct {
	Deployment string // in all associated data; never changes
	KMS        KMS
	Store      KeyStore
	Clock      muster.Clock // for the time in key ids
	PoolSize   int          // subject keys made ahead; 0: 256
	CacheSize  int          // subject keys held open; 0: 10,000 (about 1.5 KiB each)
	Shared     bool         // other processes use the same key store
	Create     bool         // make the keys where the store holds none; otherwise that is an error
}

// An open key is looked at again in the store after recheck, where processes share
// one: where what is known of a key is at most 3 s old, one destroyed by another process
// is gone here within the 5 s of the design.
const recheck = 3 * time.Second

// Vault seals, indexes, reveals, rotates and shreds. Safe for concurrent use.
type Vault struct {
	deployment string
	kms        KMS
	store      KeyStore
	clock      muster.Clock
	shared     bool

	set    atomic.Pointer[keyset] // replaced whole
	setMu  sync.Mutex             // one reload or change at a time
	began  time.Time
	looked atomic.Int64 // when the set was last known to be the store's: nanoseconds after began
	cache  keyCache
	pool   keyPool

	stop context.CancelFunc
	work sync.WaitGroup // background: pool refills, reload of the set
	life context.Context
}

// Open opens the key store, making its keys on first start where c.Create is set. A root key that
// does not fit, a key that is missing, or another deployment's store is an error here.
func Open(ctx context.Context, c Config) (*Vault, error) {
	for _, m := range []struct {
		missing bool
		what    string
	}{{c.Deployment == "", "Deployment"}, {c.KMS == nil, "KMS"}, {c.Store == nil, "Store"}, {c.Clock == nil, "Clock"}} {
		if m.missing {
			return nil, muster.Errorf(muster.CodeInvalid, "vault: Config.%s is missing", m.what)
		}
	}
	if c.PoolSize == 0 {
		c.PoolSize = 256
	}
	if c.CacheSize == 0 {
		c.CacheSize = 10_000
	}
	if c.PoolSize < 1 || c.CacheSize < 1 {
		return nil, muster.Errorf(muster.CodeInvalid, "vault: Config.PoolSize and CacheSize are positive")
	}
	v := &Vault{deployment: c.Deployment, kms: c.KMS, store: c.Store, clock: c.Clock, shared: c.Shared, began: time.Now()}
	v.cache.init(c.CacheSize)
	v.pool.size = c.PoolSize
	if err := v.openSet(ctx, c.Create); err != nil {
		return nil, err
	}
	v.life, v.stop = context.WithCancel(context.WithoutCancel(ctx))
	if v.shared {
		v.work.Go(v.follow)
	}
	return v, nil
}

// Close stops background work and destroys the keys that were made ahead and not
// taken, so that restarts leave none behind.
func (v *Vault) Close(ctx context.Context) error {
	v.stop()
	v.work.Wait()
	ids := v.pool.drain()
	v.cache.clear()
	if len(ids) == 0 {
		return nil
	}
	return v.store.Delete(ctx, ids)
}

// follow keeps the set fresh where other processes change it: a new version of a
// key must be known everywhere before anybody uses it.
func (v *Vault) follow() {
	t := time.NewTicker(recheck / 2)
	defer t.Stop()
	for {
		select {
		case <-v.life.Done():
			return
		case <-t.C:
			// A store that is away shows in every other operation.
			_ = v.Refresh(v.life)
		}
	}
}
