package vault

import (
	"container/list"
	"context"
	"crypto/cipher"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// Key is one subject's key. It seals; it opens nothing outside this package. It
// prints its id and nothing else.
type Key struct{ o *openKey }

// ID is the id under which the key is stored; the caller keeps it in the subject's row.
func (k Key) ID() string {
	if k.o == nil {
		return ""
	}
	return k.o.id
}

// String is the id.
func (k Key) String() string { return k.ID() }

// Format prints the id under every verb, %#v and %x among them.
func (k Key) Format(s fmt.State, _ rune) { io.WriteString(s, k.ID()) }

// LogValue is the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID()) }

// MarshalText is the id.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.ID()), nil }

// openKey is a subject key ready for use.
type openKey struct {
	id     string
	handle [16]byte    // clear
	seal   cipher.AEAD // seals fields, wraps decision keys
	part   [32]byte    // keys the subject's part of a decision's facts
	seen   time.Time   // when the store was last known to hold it
}

func newOpenKey(id string, handle [16]byte, key []byte) (*openKey, error) {
	seal, err := subAEAD(key, "muster subject seal")
	if err != nil {
		return nil, err
	}
	part, err := hkdf32(key, "muster subject part")
	if err != nil {
		return nil, err
	}
	return &openKey{id: id, handle: handle, seal: seal, part: part}, nil
}

// rowAD binds a wrapped key to its row.
func (v *Vault) rowAD(r *KeyRow) []byte {
	return fields(make([]byte, 0, 128), "muster subject key", v.deployment, r.ID, strconv.Itoa(r.Epoch), string(r.Handle[:]))
}

// wrapRow makes a row of a key under epoch e.
func (v *Vault) wrapRow(e *epochKey, id string, handle [16]byte, key []byte) KeyRow {
	r := KeyRow{ID: id, Epoch: e.number}
	e.handles.Encrypt(r.Handle[:], handle[:])
	r.Wrapped = e.wrap.Seal(nil, nil, key, v.rowAD(&r))
	return r
}

// unwrapRow opens a row. The error of a row that does not open is CodeInternal: the
// key store is damaged, or it is not this deployment's.
func (v *Vault) unwrapRow(set *keyset, r *KeyRow) (handle [16]byte, key []byte, err error) {
	e := set.epochs[r.Epoch]
	if e == nil {
		return handle, nil, muster.Errorf(muster.CodeInternal, "the key %s is wrapped under epoch %d, whose key is not here", r.ID, r.Epoch)
	}
	key, err = e.wrap.Open(nil, nil, r.Wrapped, v.rowAD(r))
	if err != nil || len(key) != 32 {
		return handle, nil, muster.Errorf(muster.CodeInternal, "the key %s does not open: its row is damaged", r.ID)
	}
	e.handles.Decrypt(handle[:], r.Handle[:])
	return handle, key, nil
}

// Key opens one key for sealing. CodeGone where it is destroyed.
func (v *Vault) Key(ctx context.Context, id string) (Key, error) {
	keys, err := v.Keys(ctx, []string{id})
	if err != nil {
		return Key{}, err
	}
	k, ok := keys[id]
	if !ok {
		return Key{}, errGone(id)
	}
	return k, nil
}

func errGone(id string) error {
	return muster.Errorf(muster.CodeGone, "the key %s is destroyed: what was sealed under it is erased", id)
}

// Keys opens many keys for sealing with one read of the key store. Keys that are
// destroyed are absent.
func (v *Vault) Keys(ctx context.Context, ids []string) (map[string]Key, error) {
	return v.keysSeen(ctx, ids, v.oldest())
}

// keysSeen is Keys by what the cache has that was seen at or after oldest.
func (v *Vault) keysSeen(ctx context.Context, ids []string, oldest time.Time) (map[string]Key, error) {
	found := make(map[string]Key, len(ids))
	var missing []string
	for _, id := range ids {
		if o := v.cache.get(id, oldest); o != nil {
			found[id] = Key{o}
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	asked, turn := time.Now(), v.cache.turn()
	rows, err := v.store.Keys(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		set := v.set.Load()
		if set.epochs[rows[i].Epoch] == nil { // another process turned the epoch
			if err := v.Refresh(ctx); err != nil {
				return nil, err
			}
			set = v.set.Load()
		}
		handle, key, err := v.unwrapRow(set, &rows[i])
		if err != nil {
			return nil, err
		}
		o, err := newOpenKey(rows[i].ID, handle, key)
		clear(key)
		if err != nil {
			return nil, err
		}
		o.seen = asked
		v.cache.put(o, turn)
		found[o.id] = Key{o}
	}
	return found, nil
}

// oldest is the time before which a cached key has to be looked up again; zero
// where this process alone destroys keys. It uses the monotonic clock and not the
// house's: a wall clock set back must not let a destroyed key live on.
func (v *Vault) oldest() time.Time {
	if !v.shared {
		return time.Time{}
	}
	return time.Now().Add(-recheck)
}

// Destroy shreds subject keys: when it returns they are gone from the key store and
// from this process; from others that share the store within 5 s. Intent and leaf
// are the caller's, who has written them before.
func (v *Vault) Destroy(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	err := v.store.Delete(ctx, ids)
	// Dropped also on an error, after which nobody knows: a key that is still
	// there is loaded again.
	v.cache.forget(ids)
	return err
}

// Forget drops open keys from this process's memory; the store keeps them.
func (v *Vault) Forget(ids []string) { v.cache.forget(ids) }

// keyCache holds the keys used last.
type keyCache struct {
	mu    sync.Mutex
	size  int
	byID  map[string]*list.Element // of *openKey
	order *list.List               // newest first
	turns uint64                   // up with each forget
}

func (c *keyCache) init(size int) {
	c.size, c.byID, c.order = size, map[string]*list.Element{}, list.New()
}

func (c *keyCache) get(id string, oldest time.Time) *openKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil
	}
	o := e.Value.(*openKey)
	if o.seen.Before(oldest) {
		c.order.Remove(e)
		delete(c.byID, id)
		return nil
	}
	c.order.MoveToFront(e)
	return o
}

func (c *keyCache) turn() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turns
}

// put keeps o unless keys were forgotten since turn: o's row may have been read
// just before it was destroyed.
func (c *keyCache) put(o *openKey, turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if turn != c.turns {
		return
	}
	if e := c.byID[o.id]; e != nil {
		e.Value = o
		c.order.MoveToFront(e)
		return
	}
	c.byID[o.id] = c.order.PushFront(o)
	for c.order.Len() > c.size {
		last := c.order.Back()
		delete(c.byID, last.Value.(*openKey).id)
		c.order.Remove(last)
	}
}

func (c *keyCache) forget(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	for _, id := range ids {
		if e := c.byID[id]; e != nil {
			c.order.Remove(e)
			delete(c.byID, id)
		}
	}
}

func (c *keyCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	clear(c.byID)
	c.order.Init()
}
