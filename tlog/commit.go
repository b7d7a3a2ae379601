package tlog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// SaltBytes is the length of every salt. A salt is drawn for one commitment and
// sealed beside what it hides: without it a commitment tells nothing, even to
// one who can guess the data.
const SaltBytes = 32

// NewSalt draws a salt.
func NewSalt() []byte {
	salt := make([]byte, SaltBytes)
	rand.Read(salt) // never fails (crypto/rand)
	return salt
}

// CommitPart commits to one part of the facts:
//
//	SHA-256("muster/part/v1" 00 || uint16 len(name) || name || salt || data)
//
// A part is what is sealed for one subject; erasing the subject leaves the
// commitment. Panics on a salt that is not 32 bytes and on a name past 65535.
func CommitPart(name string, salt, data []byte) [32]byte {
	if len(name) > math.MaxUint16 {
		panic("tlog: name of a part is too long")
	}
	head := append([]byte("muster/part/v1\x00"), byte(len(name)>>8), byte(len(name)))
	return digest(append(head, name...), salt, data)
}

// CommitFacts commits to all parts, in their order: C1 of a decision's leaf.
//
//	SHA-256("muster/facts/v1" 00 || uint32 n || part 0 || part 1 ...)
func CommitFacts(parts [][32]byte) [32]byte {
	b := binary.BigEndian.AppendUint32([]byte("muster/facts/v1\x00"), uint32(len(parts)))
	for _, p := range parts {
		b = append(b, p[:]...)
	}
	return sha256.Sum256(b)
}

// CommitDecision commits to a decision's bytes: C2 of its leaf.
//
//	SHA-256("muster/decision/v1" 00 || salt || data)
//
// Panics on a salt that is not 32 bytes.
func CommitDecision(salt, data []byte) [32]byte {
	return digest([]byte("muster/decision/v1\x00"), salt, data)
}

// CommitRecord commits to the record of a leaf of any other type (reveal, hold,
// resolution, ...); the name of the type parts their domains.
//
//	SHA-256("muster/record/v1" 00 || uint16 len(type) || type || salt || data)
//
// Panics on a salt that is not 32 bytes.
func CommitRecord(t LeafType, salt, data []byte) [32]byte {
	name := t.String()
	head := append([]byte("muster/record/v1\x00"), byte(len(name)>>8), byte(len(name)))
	return digest(append(head, name...), salt, data)
}

func digest(head, salt, data []byte) [32]byte {
	if len(salt) != SaltBytes {
		// The lengths are not hashed: a salt of another length would let bytes
		// move between salt and data.
		panic("tlog: a salt is 32 bytes")
	}
	h := sha256.New()
	h.Write(head)
	h.Write(salt)
	h.Write(data)
	return [32]byte(h.Sum(nil))
}
