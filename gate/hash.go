package gate

import (
	"crypto/sha256"

	"github.com/muster-cip/muster"
)

// HashSize is the length of an account's hash in bytes.
const HashSize = 16

// Hash is the keyed hash of an account's reference.
type Hash [HashSize]byte

// Key is the key of the hash: one for a deployment. Whoever holds it can test
// guesses at references against a snapshot, and nothing else.
type Key [32]byte

// Hash hashes the provider's reference of an account: the first 16 bytes of
// SHA-256 over key and reference. The key's length is fixed and half of the sum is
// thrown away, so that nothing can be appended; HMAC would cost twice.
func (k *Key) Hash(reference string) (h Hash) {
	var buf [len(k) + maxReference]byte
	if len(reference) > maxReference {
		return h // no account has such a reference, and none has this hash
	}
	copy(buf[:], k[:])
	n := copy(buf[len(k):], reference)
	sum := sha256.Sum256(buf[:len(k)+n])
	copy(h[:], sum[:])
	return h
}

// maxReference is the longest reference that muster.IsReference takes.
const maxReference = 64

// ID names the key without giving it away.
func (k *Key) ID() (id [8]byte) {
	sum := sha256.Sum256(append([]byte("muster gate key 1 "), k[:]...))
	copy(id[:], sum[:])
	return id
}

// DecisionID is the id of a decision in 16 bytes; zero for none.
type DecisionID [16]byte

// ParseDecision reads the id of a decision; what is none gives zero.
func ParseDecision(id string) (d DecisionID) {
	b, ok := muster.ParseID(muster.PrefixDecision, id)
	if !ok {
		return d
	}
	return b
}

// String is the id as the API has it, "" for none.
func (d DecisionID) String() string {
	if d == (DecisionID{}) {
		return ""
	}
	return muster.FormatID(muster.PrefixDecision, d)
}
