package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Names of the static keys. PRF keys are "prf/" + Kind.
const (
	nameEpoch      = "epoch"      // versions are epoch numbers
	nameCheck      = "check"      // check value over the set
	nameHandle     = "handle"     // row handles of the blind indexes
	nameCompliance = "compliance" // salts of C2; outlives subjects
	nameCode       = "code"       // MAC of one-time codes
	nameRequest    = "request"    // MAC of request bodies, for idempotency
	nameToken      = "token"      // MAC of API tokens
	nameRecord     = "record"     // MAC of ids of access records and leases
	nameWebhook    = "webhook"    // seals webhook secrets
	nameConfig     = "config"     // seals other secrets of the configuration
	nameLog        = "log"        // Ed25519 seed: checkpoints of the log
	nameSnapshot   = "snapshot"   // Ed25519 seed: gate snapshots
	nameGate       = "gate"       // hashes account references for the gate
	prefixPRF      = "prf/"
)

// prefixNext is before the name of a version that every process holds and nobody
// uses yet (Prepare).
const prefixNext = "next/"

func staticNames() []string {
	names := []string{
		nameCheck, nameHandle, nameCompliance, nameCode, nameRequest, nameToken, nameRecord,
		nameWebhook, nameConfig, nameLog, nameSnapshot, nameGate,
	}
	for _, k := range Kinds {
		names = append(names, prefixPRF+string(k))
	}
	return names
}

// ref names one key of the set.
type ref struct {
	name    string
	version int
}

// keyset is the open set. It does not change; a change makes a new one.
type keyset struct {
	version int
	epoch   int
	plain   map[ref][32]byte
	wrapped map[ref][]byte

	epochs   map[int]*epochKey
	prf      map[Kind]*macKey
	macs     map[string]*macKey // code, request, token, record
	boxes    map[string]*box    // compliance, webhook, config
	handles  map[Kind][]held[cipher.Block]
	log      []held[ed25519.PrivateKey]
	gate     []held[[32]byte]
	snapshot []held[ed25519.PrivateKey]
}

// held is one version of a key. Lists of them begin with the newest.
type held[T any] struct {
	version int
	next    bool // not in use yet
	key     T
}

// inUse is the version that is worked with; the set has one of every key.
func inUse[T any](versions []held[T]) held[T] {
	for _, h := range versions {
		if !h.next {
			return h
		}
	}
	panic("vault: a key of the set has no version in use")
}

func hold[T any](older []held[T], version int, next bool, key T) []held[T] {
	return append([]held[T]{{version, next, key}}, older...)
}

// epochKey wraps subject keys and enciphers their handles.
type epochKey struct {
	number  int
	wrap    cipher.AEAD
	handles cipher.Block
}

// box seals under one static key, all of whose versions still open.
type box struct {
	current byte
	open    map[byte]cipher.AEAD
}

func (k *keyset) newest(name string) int {
	n := 0
	for r := range k.plain {
		if r.name == name {
			n = max(n, r.version)
		}
	}
	return n
}

// clone copies what a change starts from.
func (k *keyset) clone() *keyset {
	c := &keyset{version: k.version, epoch: k.epoch, plain: map[ref][32]byte{}, wrapped: map[ref][]byte{}}
	for r, p := range k.plain {
		c.plain[r], c.wrapped[r] = p, k.wrapped[r]
	}
	return c
}

func (k *keyset) add(name string, version int) {
	var p [32]byte
	rand.Read(p[:])
	k.plain[ref{name, version}] = p
}

func (k *keyset) drop(name string, version int) {
	delete(k.plain, ref{name, version})
	delete(k.wrapped, ref{name, version})
}

func (k *keyset) refs() []ref {
	refs := make([]ref, 0, len(k.plain))
	for r := range k.plain {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.version, b.version))
	})
	return refs
}

func (k *keyset) wraps() [][]byte {
	var all [][]byte
	for _, w := range k.wrapped {
		all = append(all, w)
	}
	return all
}

// check is the check value: it changes with every key, name, version and epoch.
func (k *keyset) check(deployment string) []byte {
	key := k.plain[ref{nameCheck, 1}]
	m := hmac.New(sha256.New, key[:])
	m.Write(fields(nil, "muster key set 1", deployment, strconv.Itoa(k.version), strconv.Itoa(k.epoch)))
	for _, r := range k.refs() {
		p := k.plain[r]
		m.Write(fields(nil, r.name, strconv.Itoa(r.version), string(p[:])))
	}
	return m.Sum(nil)
}

// ready derives the ciphers.
func (k *keyset) ready() error {
	k.epochs = map[int]*epochKey{}
	k.prf = map[Kind]*macKey{}
	k.macs = map[string]*macKey{}
	k.boxes = map[string]*box{}
	k.handles = map[Kind][]held[cipher.Block]{}
	k.log, k.gate, k.snapshot = nil, nil, nil
	refs := k.refs()
	// Rising versions, and after those in use the ones that are to be.
	for _, next := range []bool{false, true} {
		for _, r := range refs {
			name, isNext := strings.CutPrefix(r.name, prefixNext)
			if isNext != next {
				continue
			}
			if err := k.derive(name, r.version, next, k.plain[r]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *keyset) derive(name string, version int, next bool, p [32]byte) error {
	switch name {
	case nameEpoch:
		wrap, err := subAEAD(p[:], "muster epoch wrap")
		if err != nil {
			return err
		}
		handles, err := subBlock(p[:], "muster epoch handle")
		if err != nil {
			return err
		}
		k.epochs[version] = &epochKey{version, wrap, handles}
	case nameCode, nameRequest, nameToken, nameRecord:
		k.macs[name] = newMACKey(byte(version), next, p, k.macs[name])
	case nameCompliance, nameWebhook, nameConfig:
		aead, err := newAEAD(p[:])
		if err != nil {
			return err
		}
		b := k.boxes[name]
		if b == nil {
			b = &box{open: map[byte]cipher.AEAD{}}
			k.boxes[name] = b
		}
		if !next {
			b.current = byte(version)
		}
		b.open[byte(version)] = aead
	case nameHandle:
		for _, kind := range Kinds {
			block, err := subBlock(p[:], "muster index handle "+string(kind))
			if err != nil {
				return err
			}
			k.handles[kind] = hold(k.handles[kind], version, next, block)
		}
	case nameLog:
		k.log = hold(k.log, version, next, ed25519.NewKeyFromSeed(p[:]))
	case nameSnapshot:
		k.snapshot = hold(k.snapshot, version, next, ed25519.NewKeyFromSeed(p[:]))
	case nameGate:
		k.gate = hold(k.gate, version, next, p)
	case nameCheck:
	default: // a key that this program does not know, a newer one's, is kept and not used
		if kind, ok := strings.CutPrefix(name, prefixPRF); ok {
			k.prf[Kind(kind)] = newMACKey(byte(version), next, p, k.prf[Kind(kind)])
		}
	}
	return nil
}

func subAEAD(key []byte, info string) (cipher.AEAD, error) {
	sub, err := hkdf32(key, info)
	if err != nil {
		return nil, err
	}
	return newAEAD(sub[:])
}

func subBlock(key []byte, info string) (cipher.Block, error) {
	sub, err := hkdf32(key, info)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(sub[:])
}

// openSet loads the set at start: makes it where there is none, adds keys that
// this version of the program needs and an older one did not.
func (v *Vault) openSet(ctx context.Context, create bool) error {
	stored, err := v.store.LoadSet(ctx)
	if err != nil {
		return err
	}
	if stored.Version == 0 && !create {
		return &muster.Error{
			Code: muster.CodeNotFound, Message: "the key store holds no keys",
			Hint: "a lost key store is not made anew over existing data: restore its backup; for a new deployment run muster init",
		}
	}
	if err := v.Refresh(ctx); err != nil {
		return err
	}
	if k := v.set.Load(); k == nil || slices.ContainsFunc(staticNames(), func(n string) bool { return k.newest(n) == 0 }) {
		if err := v.change(ctx, func(k *keyset) error {
			if k.newest(nameEpoch) == 0 {
				k.add(nameEpoch, 1)
			}
			for _, n := range staticNames() {
				if k.newest(n) == 0 {
					k.add(n, 1)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return v.shed(ctx)
}

// Refresh loads the set again if another process changed it.
func (v *Vault) Refresh(ctx context.Context) error {
	v.setMu.Lock()
	defer v.setMu.Unlock()
	return v.refresh(ctx)
}

// refresh does Refresh; v.setMu is held.
func (v *Vault) refresh(ctx context.Context) error {
	asked := time.Since(v.began) // before the store was read
	stored, err := v.store.LoadSet(ctx)
	if err != nil {
		return err
	}
	have := v.set.Load()
	if stored.Version == 0 && have == nil {
		return nil
	}
	if have == nil || stored.Version != have.version {
		k, err := v.unwrapSet(ctx, stored)
		if own := (*muster.Error)(nil); have != nil && errors.As(err, &own) {
			// It was changed while this process runs, which goes on with what it has.
			changed := *own
			changed.Code = muster.CodeUnavailable
			return &changed
		}
		if err != nil {
			return err
		}
		v.set.Store(k)
	}
	v.looked.Store(int64(asked))
	return nil
}

// keys is the set, looked at again where other processes change it and this one,
// paused or starved, has not seen it for too long: what is made under a version
// that the others have done away with would be lost to them. Where the store does
// not answer, the set is used as it is: what is made goes nowhere without the store.
func (v *Vault) keys() *keyset {
	if v.shared && time.Since(v.began)-time.Duration(v.looked.Load()) > recheck && v.life != nil {
		ctx, cancel := context.WithTimeout(v.life, recheck)
		defer cancel()
		_ = v.Refresh(ctx)
	}
	return v.set.Load()
}

// rootHint is for a set that does not open.
const rootHint = "start with the root key that this key store was made with (muster keys verify), or restore the key store from its backup"

// unwrapSet opens a set. It is a conflict where the root key and the key store do not go
// together, which stays so; a KMS that is away, or says no, is unavailable.
func (v *Vault) unwrapSet(ctx context.Context, stored Set) (*keyset, error) {
	if stored.Root != v.kms.ID() {
		return nil, &muster.Error{
			Code: muster.CodeConflict, Hint: rootHint, Message: fmt.Sprintf("the key store belongs to the root key %q, and this is %q", stored.Root, v.kms.ID()),
		}
	}
	k := &keyset{version: stored.Version, epoch: stored.Epoch, plain: map[ref][32]byte{}, wrapped: map[ref][]byte{}}
	for _, row := range stored.Rows {
		p, err := v.kms.Unwrap(ctx, row.Wrapped, v.setAD(row.Name, row.Version))
		if err != nil {
			code, hint := muster.CodeUnavailable, rootHint
			if own := (*muster.Error)(nil); errors.As(err, &own) {
				code, hint = own.Code, cmp.Or(own.Hint, rootHint) // of a KMS that knows better
			}
			return nil, &muster.Error{
				Code: code, Hint: hint, Cause: err,
				Message: fmt.Sprintf("the root key %q does not open the key %s/%d of this key store and deployment", v.kms.ID(), row.Name, row.Version),
			}
		}
		if len(p) != 32 || row.Version < 1 {
			return nil, muster.Errorf(muster.CodeConflict, "the key %s/%d of the key store is damaged", row.Name, row.Version)
		}
		r := ref{row.Name, row.Version}
		k.plain[r], k.wrapped[r] = [32]byte(p), row.Wrapped
		clear(p)
	}
	if !hmac.Equal(k.check(v.deployment), stored.Check) {
		return nil, &muster.Error{Code: muster.CodeConflict, Hint: rootHint, Message: "the check value of the key store does not hold: a key is missing, added or altered"}
	}
	if k.epoch != k.newest(nameEpoch) || k.epoch == 0 {
		return nil, muster.Errorf(muster.CodeConflict, "the key store has no key of its present epoch")
	}
	return k, k.ready()
}

// change makes a new set from the stored one and swaps it in; where another
// process was faster, again from its set.
func (v *Vault) change(ctx context.Context, edit func(*keyset) error) error {
	v.setMu.Lock()
	defer v.setMu.Unlock()
	for tries := 0; ; tries++ {
		if err := v.refresh(ctx); err != nil {
			return err
		}
		next := (&keyset{}).clone()
		if have := v.set.Load(); have != nil {
			next = have.clone()
		}
		was := next.version
		if err := edit(next); err != nil {
			return err
		}
		next.version++
		next.epoch = next.newest(nameEpoch)
		stored := Set{Version: next.version, Epoch: next.epoch, Root: v.kms.ID(), Check: next.check(v.deployment)}
		for _, r := range next.refs() {
			if next.wrapped[r] == nil {
				p := next.plain[r]
				w, err := v.kms.Wrap(ctx, p[:], v.setAD(r.name, r.version))
				if err != nil {
					return muster.Errorf(muster.CodeUnavailable, "the root key does not wrap: %w", err)
				}
				next.wrapped[r] = w
			}
			stored.Rows = append(stored.Rows, NamedRow{r.name, r.version, bytes.Clone(next.wrapped[r])})
		}
		if err := next.ready(); err != nil {
			return err
		}
		err := v.store.SwapSet(ctx, was, stored)
		if err == nil {
			v.set.Store(next)
			return nil
		}
		if muster.ErrorCode(err) != muster.CodeStale || tries == 5 {
			return err
		}
	}
}

// shed lets the KMS destroy root keys that nothing in the set needs.
func (v *Vault) shed(ctx context.Context) error {
	if t, ok := v.kms.(Turner); ok {
		return t.Shed(ctx, v.set.Load().wraps())
	}
	return nil
}

func (v *Vault) setAD(name string, version int) []byte {
	return fields(nil, "muster named key", v.deployment, name, strconv.Itoa(version))
}
