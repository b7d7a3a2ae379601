package vault

import (
	"context"
	"crypto/cipher"

	"github.com/muster-cip/muster"
)

// Kind of value in the blind index. Each has a PRF key of its own: a digest of one
// kind says nothing about another, and the theft of one key opens one index.
type Kind string

const (
	KindName         Kind = "name"
	KindEmail        Kind = "email"
	KindPhone        Kind = "phone"
	KindIP           Kind = "ip"
	KindDocument     Kind = "document"     // number of a passport or identity card, with its issuer
	KindNationalID   Kind = "national_id"  // with its type and country
	KindRegistration Kind = "registration" // of an entity, with its country; LEI
	KindCard         Kind = "card"         // processor's token or fingerprint, never BIN and last four
	KindAccount      Kind = "bank_account" // account number with its institution
	KindIBAN         Kind = "iban"
	KindWallet       Kind = "wallet"
	KindDevice       Kind = "device"
	KindAddress      Kind = "address"
	KindAbuse        Kind = "abuse"  // another kind and value, of somebody whose account was closed for abuse
	KindListed       Kind = "listed" // list and entry of a hit: looked up when an entry changes, and no row of the index
)

// Kinds lists them all. A kind that is added gets its key at the next Open.
var Kinds = []Kind{
	KindName, KindEmail, KindPhone, KindIP, KindDocument, KindNationalID, KindRegistration, KindCard,
	KindAccount, KindIBAN, KindWallet, KindDevice, KindAddress, KindListed, KindAbuse,
}

// DigestSize is the length of a digest: version of the PRF key, version of the
// normaliser, 16 bytes of HMAC-SHA-256. With 10^9 values of a kind two of them
// meet by chance with a probability of 10^-21.
const DigestSize = 18

// Digest is the blind-index digest of a normalised value. It cannot be reversed or
// tested against guesses without the kind's key.
//
// An index row is (Digest, HandleFor). A digest in a backup leads nowhere once
// the subject's key is destroyed: the handle beside it is the subject's random
// handle, enciphered for the kind, and the only row that held that handle is the
// subject's row in the key store. In old backups of the key store the handle is
// enciphered under an epoch key that the end of the epoch destroys.
//
// For a search by value use Lookup: such a search is a reveal.
func (v *Vault) Digest(kind Kind, normaliser uint8, value string) []byte {
	return digest(make([]byte, 0, DigestSize), v.prf(kind).inUse(), kind, normaliser, value)
}

// Digests is Digest under every live version of the kind's key, that in use first:
// what a count or comparison asks for while a re-index job runs.
func (v *Vault) Digests(kind Kind, normaliser uint8, value string) [][]byte {
	var all [][]byte
	v.prf(kind).each(func(m *macKey) { all = append(all, digest(nil, m, kind, normaliser, value)) })
	return all
}

func digest(dst []byte, m *macKey, kind Kind, normaliser uint8, value string) []byte {
	dst = m.mac(dst, DigestSize-2, "muster digest 1", string(kind), string([]byte{normaliser}), value)
	dst = append(dst, 0)
	copy(dst[2:], dst[1:])
	dst[1] = normaliser
	return dst
}

// prf is the key of a kind, all its versions. An unknown kind is a mistake in the program, and
// a digest under no key would be worse than a stop.
func (v *Vault) prf(kind Kind) *macKey {
	m := v.keys().prf[kind]
	if m == nil {
		panic("vault: no such kind: " + string(kind))
	}
	return m
}

// HandleFor is the handle of a subject's index rows of one kind: the subject's
// random handle under a permutation of that kind (AES-256 of one block). Rows of one
// subject under two kinds cannot be joined without the vault; rows under one kind can.
func (v *Vault) HandleFor(kind Kind, key Key) (h [16]byte) {
	inUse(v.blocks(kind)).key.Encrypt(h[:], key.o.handle[:])
	return h
}

// HandlesFor is HandleFor under every live version of the key of handles, that in
// use first.
func (v *Vault) HandlesFor(kind Kind, key Key) [][16]byte {
	blocks := v.blocks(kind)
	all := make([][16]byte, 1, len(blocks))
	for _, b := range blocks {
		var h [16]byte
		b.key.Encrypt(h[:], key.o.handle[:])
		if b.version == inUse(blocks).version {
			all[0] = h
		} else {
			all = append(all, h)
		}
	}
	return all
}

func (v *Vault) blocks(kind Kind) []held[cipher.Block] {
	blocks := v.keys().handles[kind]
	if blocks == nil {
		panic("vault: no such kind: " + string(kind))
	}
	return blocks
}

// Resolve leads handles of one kind back to key ids. A handle that leads nowhere
// (its key is destroyed) is absent.
func (v *Vault) Resolve(ctx context.Context, kind Kind, handles [][16]byte) (map[[16]byte]string, error) {
	found, _, err := v.resolve(ctx, kind, handles)
	return found, err
}

// Rehandle gives for handles that an older version of the key made those of the
// version in use. What is of that version already, or leads nowhere, is absent.
func (v *Vault) Rehandle(ctx context.Context, kind Kind, handles [][16]byte) (map[[16]byte][16]byte, error) {
	_, own, err := v.resolve(ctx, kind, handles)
	if err != nil {
		return nil, err
	}
	block := inUse(v.blocks(kind)).key
	next := map[[16]byte][16]byte{}
	for h, o := range own {
		var n [16]byte
		block.Encrypt(n[:], o[:])
		if n != h {
			next[h] = n
		}
	}
	return next, nil
}

// resolve leads handles to key ids, and to the subjects' own handles. Which version
// made a handle is not seen: under a wrong one it comes out as 16 bytes that nobody has.
func (v *Vault) resolve(ctx context.Context, kind Kind, handles [][16]byte) (ids map[[16]byte]string, own map[[16]byte][16]byte, err error) {
	set := v.keys()
	blocks := set.handles[kind]
	if blocks == nil {
		return nil, nil, muster.Errorf(muster.CodeInternal, "the blind index has no kind %q", kind)
	}
	ids, own = make(map[[16]byte]string, len(handles)), make(map[[16]byte][16]byte, len(handles))
	if len(handles) == 0 {
		return ids, own, nil
	}
	type way struct{ asked, own [16]byte }
	n := len(handles) * len(set.epochs) * len(blocks)
	back := make(map[[16]byte][]way, n) // by what the store has; two versions of one handle lead to one
	asked := make([][16]byte, 0, n)
	for _, h := range handles {
		for _, b := range blocks { // more than one while the key of handles turns
			w := way{asked: h}
			b.key.Decrypt(w.own[:], h[:])
			for _, e := range set.epochs { // two while a rotation runs
				var stored [16]byte
				e.handles.Encrypt(stored[:], w.own[:])
				if back[stored] == nil {
					asked = append(asked, stored)
				}
				back[stored] = append(back[stored], w)
			}
		}
	}
	rows, err := v.store.ByHandle(ctx, asked)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		for _, w := range back[r.Handle] {
			ids[w.asked], own[w.asked] = r.ID, w.own
		}
	}
	if len(ids) < len(handles) && v.shared {
		// Another process may have turned the epoch since our set was loaded.
		if err := v.Refresh(ctx); err != nil {
			return nil, nil, err
		}
		if v.set.Load().version != set.version {
			return v.resolve(ctx, kind, handles)
		}
	}
	return ids, own, nil
}
