package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
	"sync"
)

// macKey is one version of an HMAC-SHA-256 key, with its older versions behind
// it. States are pooled: keying costs more than the MAC of a short value.
type macKey struct {
	version byte
	next    bool // not in use yet
	states  sync.Pool
	older   *macKey
}

type macState struct {
	h   hash.Hash
	buf []byte
	sum [sha256.Size]byte
}

func newMACKey(version byte, next bool, key [32]byte, older *macKey) *macKey {
	m := &macKey{version: version, next: next, older: older}
	m.states.New = func() any { return &macState{h: hmac.New(sha256.New, key[:])} }
	return m
}

// inUse is the version that is written with.
func (m *macKey) inUse() *macKey {
	for m != nil && m.next {
		m = m.older
	}
	return m
}

// each calls fn for every version, first for the one in use.
func (m *macKey) each(fn func(*macKey)) {
	use := m.inUse()
	fn(use)
	for ; m != nil; m = m.older {
		if m != use {
			fn(m)
		}
	}
}

// mac appends version and the first size bytes of the MAC over parts to dst.
func (m *macKey) mac(dst []byte, size int, parts ...string) []byte {
	s := m.states.Get().(*macState)
	s.buf = fields(s.buf[:0], parts...)
	s.h.Reset()
	s.h.Write(s.buf)
	dst = append(append(dst, m.version), s.h.Sum(s.sum[:0])[:size]...)
	clear(s.buf)
	m.states.Put(s)
	return dst
}

// equal compares in constant time; an unknown version is not equal.
func (m *macKey) equal(stored []byte, size int, parts ...string) bool {
	if len(stored) != 1+size {
		return false
	}
	for ; m != nil; m = m.older {
		if m.version == stored[0] {
			return subtle.ConstantTimeCompare(stored, m.mac(make([]byte, 0, 1+size), size, parts...)) == 1
		}
	}
	return false
}

// macs is a MAC under every version, first under the one in use.
func (m *macKey) macs(size int, parts ...string) (all [][]byte) {
	m.each(func(m *macKey) { all = append(all, m.mac(nil, size, parts...)) })
	return all
}

// macKey is the key of a name, all its versions.
func (v *Vault) macKey(name string) *macKey { return v.keys().macs[name] }

// CodeMAC is what is stored of a one-time code: 33 bytes, key version first. The
// challenge is part of it, so that a code is good for its own challenge only.
func (v *Vault) CodeMAC(challengeID, code string) []byte {
	return v.macKey(nameCode).inUse().mac(nil, 32, "code", v.deployment, challengeID, code)
}

// CodeEqual compares a code with its stored MAC in constant time.
func (v *Vault) CodeEqual(stored []byte, challengeID, code string) bool {
	return v.macKey(nameCode).equal(stored, 32, "code", v.deployment, challengeID, code)
}

// RequestMAC is what is stored of a request body to know it again: 33 bytes, key
// version first. A bare hash would let a thief test guesses at what is in it.
func (v *Vault) RequestMAC(body []byte) []byte {
	return v.macKey(nameRequest).inUse().mac(nil, 32, "request", v.deployment, string(body))
}

// RequestMACs is RequestMAC under every live version, that in use first: what a
// look-up asks for while the key turns.
func (v *Vault) RequestMACs(body []byte) [][]byte {
	return v.macKey(nameRequest).macs(32, "request", v.deployment, string(body))
}

// RequestEqual compares a body with its stored MAC, of any key version.
func (v *Vault) RequestEqual(stored, body []byte) bool {
	return v.macKey(nameRequest).equal(stored, 32, "request", v.deployment, string(body))
}

// TokenMAC is what is stored of an API token: 33 bytes, key version first.
func (v *Vault) TokenMAC(secret []byte) []byte {
	return v.macKey(nameToken).inUse().mac(nil, 32, "token", v.deployment, string(secret))
}

// TokenMACs is TokenMAC under every live version, that in use first.
func (v *Vault) TokenMACs(secret []byte) [][]byte {
	return v.macKey(nameToken).macs(32, "token", v.deployment, string(secret))
}

// TokenEqual compares a token with its stored MAC, of any key version.
func (v *Vault) TokenEqual(stored, secret []byte) bool {
	return v.macKey(nameToken).equal(stored, 32, "token", v.deployment, string(secret))
}

// RecordKey is one version of the key of ids of records.
type RecordKey struct {
	m          *macKey
	deployment string
}

// RecordKeys are the live versions, that in use first: what is kept is made with it, and
// looked for with all.
func (v *Vault) RecordKeys() (all []RecordKey) {
	v.macKey(nameRecord).each(func(m *macKey) { all = append(all, RecordKey{m, v.deployment}) })
	return all
}

// Digest is what is kept of a record's id, or of a batch, to know it again: 16 bytes of
// HMAC-SHA-256. kind keeps the uses apart. It carries no version of the key: what is
// kept lives for days.
func (k RecordKey) Digest(dst *[16]byte, kind string, value []byte) {
	var out [17]byte
	k.m.mac(out[:0], 16, "record", k.deployment, kind, string(value))
	copy(dst[:], out[1:])
}

// Format prints nothing of the key.
func (k RecordKey) Format(f fmt.State, _ rune) { io.WriteString(f, "record key") }
