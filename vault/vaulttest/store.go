// Package vaulttest keeps keys in memory, for the tests of rooms that use a vault.
// Nothing outlives the process: never wire it into a program.
package vaulttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// New is an open vault over a fresh Store and KMS, closed when the test ends.
func New(t testing.TB) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), vault.Config{
		Deployment: "test", KMS: NewKMS(), Store: NewStore(), PoolSize: 16, Create: true,
		Clock: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
	if err != nil {
		t.Fatalf("vault.Open: %v", err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Errorf("vault.Close: %v", err)
		}
	})
	return v
}

// KMS is a root key in memory.
type KMS struct{ Key [32]byte }

// NewKMS is a KMS with a random key.
func NewKMS() *KMS {
	k := &KMS{}
	rand.Read(k.Key[:])
	return k
}

// ID is a digest of the key.
func (k *KMS) ID() string {
	sum := sha256.Sum256(k.Key[:])
	return "memory:" + hex.EncodeToString(sum[:8])
}

// Wrap seals plain.
func (k *KMS) Wrap(_ context.Context, plain, ad []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.Key[:])
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, ad), nil
}

// Unwrap opens what Wrap made.
func (k *KMS) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k.Key[:])
	if err != nil {
		return nil, err
	}
	if len(wrapped) < aead.NonceSize() {
		return nil, muster.Errorf(muster.CodeMalformed, "too short")
	}
	return aead.Open(nil, wrapped[:aead.NonceSize()], wrapped[aead.NonceSize():], ad)
}

// Store is a vault.KeyStore in memory. It keeps the contract to the letter, so that
// the stores on disk can be held against it.
type Store struct {
	mu    sync.Mutex
	set   vault.Set
	rows  map[string]vault.KeyRow
	fault func(op string, after bool) error
}

var _ vault.KeyStore = (*Store)(nil)

// NewStore is an empty Store.
func NewStore() *Store { return &Store{rows: map[string]vault.KeyRow{}} }

// Fail has fault asked before and after each write ("AddKeys", ...): the error that it
// returns is the write's, which then has landed (after) or not. Nil ends it.
func (s *Store) Fail(fault func(op string, after bool) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Copy is a backup: a Store with what s holds now, without its faults.
func (s *Store) Copy() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := NewStore()
	c.set = copySet(s.set)
	for id, r := range s.rows {
		c.rows[id] = copyRow(r)
	}
	return c
}

// Len is the number of subject keys.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows)
}

func (s *Store) write(op string, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		if err := s.fault(op, false); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	if s.fault != nil {
		return s.fault(op, true)
	}
	return nil
}

// LoadSet returns the set.
func (s *Store) LoadSet(context.Context) (vault.Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copySet(s.set), nil
}

// SwapSet replaces the set.
func (s *Store) SwapSet(_ context.Context, was int, next vault.Set) error {
	return s.write("SwapSet", func() error {
		if s.set.Version != was {
			return muster.Errorf(muster.CodeStale, "the set is at another version")
		}
		epochs := map[int]bool{}
		for _, r := range next.Rows {
			if r.Name == "epoch" {
				epochs[r.Version] = true
			}
		}
		for _, r := range s.rows {
			if !epochs[r.Epoch] {
				return muster.Errorf(muster.CodeConflict, "a subject key is wrapped under an epoch that would go")
			}
		}
		s.set = copySet(next)
		return nil
	})
}

// AddKeys inserts rows.
func (s *Store) AddKeys(_ context.Context, rows []vault.KeyRow) error {
	return s.write("AddKeys", func() error {
		for _, r := range rows {
			if r.Epoch != s.set.Epoch {
				return muster.Errorf(muster.CodeStale, "the epoch has turned")
			}
			if _, twice := s.rows[r.ID]; twice {
				return muster.Errorf(muster.CodeConflict, "a key of this id exists")
			}
		}
		for _, r := range rows {
			s.rows[r.ID] = copyRow(r)
		}
		return nil
	})
}

// Keys returns rows by id.
func (s *Store) Keys(_ context.Context, ids []string) ([]vault.KeyRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []vault.KeyRow
	for _, id := range ids {
		if r, ok := s.rows[id]; ok {
			found = append(found, copyRow(r))
		}
	}
	return found, nil
}

// ByHandle returns rows by handle.
func (s *Store) ByHandle(_ context.Context, handles [][16]byte) ([]vault.KeyRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []vault.KeyRow
	for _, r := range s.rows {
		if slices.Contains(handles, r.Handle) {
			found = append(found, copyRow(r))
		}
	}
	return found, nil
}

// Delete destroys rows.
func (s *Store) Delete(_ context.Context, ids []string) error {
	return s.write("Delete", func() error {
		for _, id := range ids {
			delete(s.rows, id)
		}
		return nil
	})
}

// Scan walks rows by id.
func (s *Store) Scan(_ context.Context, epoch int, after string, limit int) ([]vault.KeyRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []vault.KeyRow
	for id, r := range s.rows {
		if id > after && (epoch == 0 || r.Epoch == epoch) {
			found = append(found, copyRow(r))
		}
	}
	slices.SortFunc(found, func(a, b vault.KeyRow) int { return cmp.Compare(a.ID, b.ID) })
	return found[:min(limit, len(found))], nil
}

// Rewrap updates rows.
func (s *Store) Rewrap(_ context.Context, rows []vault.KeyRow) error {
	return s.write("Rewrap", func() error {
		for _, r := range rows {
			if old, ok := s.rows[r.ID]; ok && old.Epoch < r.Epoch {
				s.rows[r.ID] = copyRow(r)
			}
		}
		return nil
	})
}

// AtOnce is few.
func (s *Store) AtOnce() int { return 1000 }

func copyRow(r vault.KeyRow) vault.KeyRow {
	r.Wrapped = bytes.Clone(r.Wrapped)
	return r
}

func copySet(s vault.Set) vault.Set {
	s.Check = bytes.Clone(s.Check)
	s.Rows = slices.Clone(s.Rows)
	for i := range s.Rows {
		s.Rows[i].Wrapped = bytes.Clone(s.Rows[i].Wrapped)
	}
	return s
}
