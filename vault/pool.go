package vault

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// keyPool holds subject keys made ahead. Every key in it is durable in the store.
type keyPool struct {
	size    int
	fill    sync.Mutex // one refill at a time
	mu      sync.Mutex
	ready   []*openKey
	closed  bool
	filling bool // a background refill runs
}

// TakeKey takes a subject key that nobody had before. It is durable already: a
// crash after this leaves an unused key, never data without a key.
func (v *Vault) TakeKey(ctx context.Context) (Key, error) {
	for {
		o, low := v.pool.take()
		if low {
			// Its error shows in the refill that waits, below, if it lasts.
			v.work.Go(func() {
				defer v.pool.filled()
				_ = v.refill(v.life)
			})
		}
		if o != nil {
			return Key{o}, nil
		}
		if err := v.refill(ctx); err != nil {
			return Key{}, err
		}
	}
}

// TakeKeys takes n keys.
func (v *Vault) TakeKeys(ctx context.Context, n int) ([]Key, error) {
	keys := make([]Key, n)
	for i := range keys {
		var err error
		if keys[i], err = v.TakeKey(ctx); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// MakeKeys makes n keys for what takes many at once, past the pool. They are durable
// when it returns.
func (v *Vault) MakeKeys(ctx context.Context, n int) ([]Key, error) {
	made, err := v.addKeys(ctx, n)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, n)
	for i, o := range made {
		keys[i] = Key{o}
	}
	return keys, nil
}

// take pops a key; low asks the caller to start a refill, once.
func (p *keyPool) take() (o *openKey, low bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.ready); n > 0 {
		o = p.ready[n-1]
		p.ready[n-1] = nil
		p.ready = p.ready[:n-1]
		low = n-1 < p.size/2 && !p.filling && !p.closed
		p.filling = p.filling || low
	}
	return o, low
}

func (p *keyPool) filled() {
	p.mu.Lock()
	p.filling = false
	p.mu.Unlock()
}

// wants is how many keys are missing to so many.
func (p *keyPool) wants(ready int) (n int, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ready - len(p.ready), p.closed
}

func (p *keyPool) drain() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, o := range p.ready {
		ids = append(ids, o.id)
	}
	p.ready, p.closed = nil, true
	return ids
}

// refill makes keys, has them written and synced, and only then puts them in reach.
func (v *Vault) refill(ctx context.Context) error {
	v.pool.fill.Lock()
	defer v.pool.fill.Unlock()
	n, closed := v.pool.wants(v.pool.size)
	if closed {
		return errClosed
	}
	// Another that waited for the same lock has filled it.
	if n < v.pool.size/2+1 && n < v.pool.size {
		return nil
	}
	return v.putKeys(ctx, n)
}

// fill makes keys until so many are ready: before what makes a refill wait.
func (v *Vault) fill(ctx context.Context, ready int) error {
	v.pool.fill.Lock()
	defer v.pool.fill.Unlock()
	n, closed := v.pool.wants(ready)
	if closed {
		return errClosed
	}
	if n <= 0 {
		return nil
	}
	return v.putKeys(ctx, n)
}

var errClosed = muster.Errorf(muster.CodeUnavailable, "the vault is closed")

// putKeys makes n keys and puts them in reach. Its caller holds pool.fill.
func (v *Vault) putKeys(ctx context.Context, n int) error {
	keys, err := v.addKeys(ctx, n)
	if err != nil {
		return err
	}
	v.pool.mu.Lock()
	defer v.pool.mu.Unlock()
	v.pool.ready = append(v.pool.ready, keys...)
	return nil
}

// addKeys makes n keys and has them written and synced.
func (v *Vault) addKeys(ctx context.Context, n int) ([]*openKey, error) {
	for tries := 0; ; tries++ {
		rows, keys, err := v.makeKeys(n)
		if err != nil {
			return nil, err
		}
		if err = v.store.AddKeys(ctx, rows); err == nil {
			return keys, nil
		}
		if muster.ErrorCode(err) != muster.CodeStale || tries == 3 {
			return nil, err
		}
		// Another process turned the epoch: wrap under the new one.
		if err := v.Refresh(ctx); err != nil {
			return nil, err
		}
	}
}

func (v *Vault) makeKeys(n int) ([]KeyRow, []*openKey, error) {
	set := v.set.Load()
	e := set.epochs[set.epoch]
	rows, keys := make([]KeyRow, n), make([]*openKey, n)
	now, seen := v.clock(), time.Now()
	var key [32]byte
	defer clear(key[:])
	for i := range rows {
		id := muster.NewID(muster.PrefixKey, now)
		var handle [16]byte
		rand.Read(key[:])
		rand.Read(handle[:])
		rows[i] = v.wrapRow(e, id, handle, key[:])
		o, err := newOpenKey(id, handle, key[:])
		if err != nil {
			return nil, nil, err
		}
		o.seen = seen
		keys[i] = o
	}
	return rows, keys, nil
}
