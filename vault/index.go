package vault

import (
	"context"

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
	return digest(make([]byte, 0, DigestSize), v.prf(kind), kind, normaliser, value)
}

// Digests is Digest under every live version of the kind's key, newest first: what
// a count or comparison asks for while a re-index job runs.
func (v *Vault) Digests(kind Kind, normaliser uint8, value string) [][]byte {
	var all [][]byte
	for m := v.prf(kind); m != nil; m = m.older {
		all = append(all, digest(nil, m, kind, normaliser, value))
	}
	return all
}

func digest(dst []byte, m *macKey, kind Kind, normaliser uint8, value string) []byte {
	dst = m.mac(dst, DigestSize-2, "muster digest 1", string(kind), string([]byte{normaliser}), value)
	dst = append(dst, 0)
	copy(dst[2:], dst[1:])
	dst[1] = normaliser
	return dst
}

// prf is the newest key of a kind. An unknown kind is a mistake in the program, and
// a digest under no key would be worse than a stop.
func (v *Vault) prf(kind Kind) *macKey {
	m := v.set.Load().prf[kind]
	if m == nil {
		panic("vault: no such kind: " + string(kind))
	}
	return m
}

// HandleFor is the handle of a subject's index rows of one kind: the subject's
// random handle under a permutation of that kind (AES-256 of one block). Rows of one
// subject under two kinds cannot be joined without the vault; rows under one kind can.
func (v *Vault) HandleFor(kind Kind, key Key) (h [16]byte) {
	block := v.set.Load().handles[kind]
	if block == nil {
		panic("vault: no such kind: " + string(kind))
	}
	block.Encrypt(h[:], key.o.handle[:])
	return h
}

// Resolve leads handles of one kind back to key ids. A handle that leads nowhere
// (its key is destroyed) is absent.
func (v *Vault) Resolve(ctx context.Context, kind Kind, handles [][16]byte) (map[[16]byte]string, error) {
	set := v.set.Load()
	block := set.handles[kind]
	if block == nil {
		return nil, muster.Errorf(muster.CodeInternal, "the blind index has no kind %q", kind)
	}
	if len(handles) == 0 {
		return map[[16]byte]string{}, nil
	}
	back := make(map[[16]byte][16]byte, len(handles)*len(set.epochs)) // as stored -> as asked
	asked := make([][16]byte, 0, len(handles)*len(set.epochs))
	for _, h := range handles {
		var own [16]byte
		block.Decrypt(own[:], h[:])
		for _, e := range set.epochs { // two while a rotation runs
			var stored [16]byte
			e.handles.Encrypt(stored[:], own[:])
			if _, twice := back[stored]; !twice {
				asked = append(asked, stored)
			}
			back[stored] = h
		}
	}
	rows, err := v.store.ByHandle(ctx, asked)
	if err != nil {
		return nil, err
	}
	found := make(map[[16]byte]string, len(rows))
	for _, r := range rows {
		if h, ok := back[r.Handle]; ok {
			found[h] = r.ID
		}
	}
	if len(found) < len(handles) && v.shared {
		// Another process may have turned the epoch since our set was loaded.
		if err := v.Refresh(ctx); err != nil {
			return nil, err
		}
		if v.set.Load().version != set.version {
			return v.Resolve(ctx, kind, handles)
		}
	}
	return found, nil
}
