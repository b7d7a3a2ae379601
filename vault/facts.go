package vault

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"

	"github.com/muster-cip/muster"
)

// The facts of one decision are sealed in parts: one common part, and one for each
// subject. A key of the decision is wrapped once for each subject. It opens the
// common part; a subject's own part needs the subject's key besides. So erasing one
// subject kills that part while the others' keys still open the rest, and when the
// last subject is erased the common part is closed too. Each part's commitment
// stays in the clear, so that the commitment in the log can be computed for ever.

// CommonPart is the name of the part that belongs to no subject.
const CommonPart = "common"

const (
	factsFormat    = 1
	maxParts       = 4096 // the subjects of one decision, with room to spare
	wrappedKeySize = 32 + 28
	saltSize       = 32
)

// Part is one part of a decision's facts, clear.
type Part struct {
	Name string // CommonPart, or the subject's id
	Key  Key    // the subject's; of CommonPart none
	Data []byte
}

// Commit computes the commitment to a part from its name, its 32-byte salt and
// its data. It must not keep salt or data.
type Commit func(name string, salt, data []byte) [32]byte

// Commitment is what stays of a part in the clear.
type Commitment struct {
	Name   string // CommonPart, or the subject's id
	KeyID  string // "" of CommonPart
	Value  [32]byte
	Erased bool // the sealed bytes were dropped by EraseFacts
}

// SealedFacts is what SealFacts makes.
type SealedFacts struct {
	Blob        []byte       // to be stored with the decision
	Commitments []Commitment // in the order of the parts
}

// OpenedPart is one part after opening.
type OpenedPart struct {
	Commitment
	Erased bool   // no key opens it any more; Salt and Data are nil
	Salt   []byte // 32 bytes
	Data   []byte
}

// SealFacts seals the parts of one decision's facts: exactly one CommonPart, first,
// and at least one subject. Salts are made here and come back byte for byte with the data.
func (v *Vault) SealFacts(decisionID string, parts []Part, commit Commit) (SealedFacts, error) {
	if len(parts) < 2 || len(parts) > maxParts || parts[0].Name != CommonPart || commit == nil {
		return SealedFacts{}, muster.Errorf(muster.CodeInternal, "facts have a common part first and at least one subject")
	}
	size := 8
	names := make(map[string]bool, len(parts))
	for i, p := range parts {
		if names[p.Name] {
			return SealedFacts{}, muster.Errorf(muster.CodeInternal, "a subject has two parts of the facts")
		}
		names[p.Name] = true
		if len(p.Data) > sealLimit {
			return SealedFacts{}, muster.Errorf(muster.CodeTooLarge, "facts are too large to be sealed")
		}
		if (i == 0) != (p.Key.o == nil) || p.Name == "" {
			return SealedFacts{}, muster.Errorf(muster.CodeInternal, "a part of the facts has no subject or no key")
		}
		size += len(p.Name) + 40 + wrappedKeySize + 32 + saltSize + len(p.Data) + sealBlock + 40
	}
	var dk [32]byte
	rand.Read(dk[:])
	defer clear(dk[:])
	out := SealedFacts{Blob: make([]byte, 0, size), Commitments: make([]Commitment, 0, len(parts))}
	out.Blob = binary.AppendUvarint(append(out.Blob, factsFormat), uint64(len(parts)))
	for _, p := range parts {
		var salt [saltSize]byte
		rand.Read(salt[:])
		c := Commitment{Name: p.Name, KeyID: p.Key.ID(), Value: commit(p.Name, salt[:], p.Data)}
		aead, err := subAEAD(partSecret(&dk, p.Key.o), "muster facts part")
		if err != nil {
			return SealedFacts{}, err
		}
		var ad [256]byte
		var wrapped []byte
		if p.Key.o != nil {
			wrapped = p.Key.o.seal.Seal(make([]byte, 0, wrappedKeySize), nil, dk[:], v.factsAD(ad[:0], "muster facts key", decisionID, &c))
		}
		plain := pad(append(append(make([]byte, 0, saltSize+len(p.Data)), salt[:]...), p.Data...))
		body := aead.Seal(make([]byte, 0, len(plain)+28), nil, plain, v.factsAD(ad[:0], "muster facts part", decisionID, &c))
		clear(plain)
		out.Blob = appendPart(out.Blob, rawPart{c, wrapped, body})
		out.Commitments = append(out.Commitments, c)
	}
	return out, nil
}

// partSecret is what a part's key is derived from: the decision key, and of a
// subject's part that subject's own key besides.
func partSecret(dk *[32]byte, o *openKey) []byte {
	secret := append(make([]byte, 0, 64), dk[:]...)
	if o != nil {
		secret = append(secret, o.part[:]...)
	}
	return secret
}

func (v *Vault) factsAD(dst []byte, use, decisionID string, c *Commitment) []byte {
	return fields(dst, use, strconv.Itoa(factsFormat), v.deployment, decisionID, c.Name, c.KeyID, string(c.Value[:]))
}

// openFacts opens what the given keys open. A part that fails though its key is
// here is an error: the blob is damaged or stands in another decision's place.
func (v *Vault) openFacts(decisionID string, raw []rawPart, keys map[string]Key) ([]OpenedPart, error) {
	damaged := func(p *rawPart) error {
		return muster.Errorf(muster.CodeInternal, "the sealed facts of %s do not open: part %s", decisionID, p.Name)
	}
	var dk [32]byte
	defer clear(dk[:])
	have := false
	for i := range raw {
		p := &raw[i]
		k, ok := keys[p.KeyID]
		if p.KeyID == "" || p.Erased || !ok {
			continue
		}
		b, err := k.o.seal.Open(nil, nil, p.wrapped, v.factsAD(nil, "muster facts key", decisionID, &p.Commitment))
		if err != nil || len(b) != 32 || have && [32]byte(b) != dk {
			return nil, damaged(p)
		}
		dk, have = [32]byte(b), true
		clear(b)
	}
	out := make([]OpenedPart, len(raw))
	for i := range raw {
		p := &raw[i]
		out[i] = OpenedPart{Commitment: p.Commitment, Erased: true}
		k, ok := keys[p.KeyID]
		if p.Erased || !have || p.KeyID != "" && !ok {
			continue
		}
		aead, err := subAEAD(partSecret(&dk, k.o), "muster facts part")
		if err != nil {
			return nil, err
		}
		plain, err := aead.Open(nil, nil, p.body, v.factsAD(nil, "muster facts part", decisionID, &p.Commitment))
		if err == nil {
			plain, err = unpad(plain)
		}
		if err != nil || len(plain) < saltSize {
			return nil, damaged(p)
		}
		out[i].Erased, out[i].Salt, out[i].Data = false, plain[:saltSize:saltSize], plain[saltSize:]
	}
	return out, nil
}

// FactsCommitments reads the commitments of a blob without any key.
func FactsCommitments(blob []byte) ([]Commitment, error) {
	raw, err := parseFacts(blob)
	if err != nil {
		return nil, err
	}
	out := make([]Commitment, len(raw))
	for i := range raw {
		out[i] = raw[i].Commitment
	}
	return out, nil
}

// EraseFacts is blob without the sealed bytes of the parts under the keys that are gone;
// their commitments stay. When no subject's part is left, the common part goes too.
// Destroying the keys has made them unreadable already; this frees the room.
func EraseFacts(blob []byte, gone map[string]bool) ([]byte, error) {
	raw, err := parseFacts(blob)
	if err != nil {
		return nil, err
	}
	left := 0
	for i := range raw {
		if raw[i].KeyID != "" {
			raw[i].Erased = raw[i].Erased || gone[raw[i].KeyID]
			if !raw[i].Erased {
				left++
			}
		}
	}
	out := binary.AppendUvarint([]byte{factsFormat}, uint64(len(raw)))
	for _, p := range raw {
		if p.Erased || left == 0 {
			p.wrapped, p.body, p.Erased = nil, nil, true
		}
		out = appendPart(out, p)
	}
	return out, nil
}

// rawPart is a part as it lies in the blob:
// name, key id, commitment (32), wrapped decision key, sealed salt and data; all
// but the commitment with their length in front.
type rawPart struct {
	Commitment
	wrapped, body []byte
}

func appendPart(dst []byte, p rawPart) []byte {
	dst = fields(dst, p.Name, p.KeyID)
	dst = append(dst, p.Value[:]...)
	dst = append(binary.AppendUvarint(dst, uint64(len(p.wrapped))), p.wrapped...)
	return append(binary.AppendUvarint(dst, uint64(len(p.body))), p.body...)
}

// parseFacts reads a blob; what it returns points into it.
func parseFacts(blob []byte) ([]rawPart, error) {
	bad := muster.Errorf(muster.CodeMalformed, "sealed facts have an unknown form")
	if len(blob) == 0 || blob[0] != factsFormat {
		return nil, bad
	}
	rest, ok := blob[1:], true
	number := func() int {
		n, used := binary.Uvarint(rest)
		// An encoding longer than it need be is refused, so that a blob has one form.
		if used <= 0 || used > 1 && rest[used-1] == 0 || n > uint64(len(rest)-used) {
			ok = false
			return 0
		}
		rest = rest[used:]
		return int(n)
	}
	take := func(n int) []byte {
		if !ok || n > len(rest) {
			ok = false
			return nil
		}
		b := rest[:n:n]
		rest = rest[n:]
		return b
	}
	count := number()
	if !ok || count < 2 || count > maxParts {
		return nil, bad
	}
	parts := make([]rawPart, 0, min(count, 16))
	for i := range count {
		var p rawPart
		p.Name = string(take(number()))
		p.KeyID = string(take(number()))
		copy(p.Value[:], take(32))
		p.wrapped = take(number())
		p.body = take(number())
		p.Erased = len(p.body) == 0
		common := i == 0
		fits := p.Erased && len(p.wrapped) == 0 ||
			len(p.body) >= sealBlock+28 && len(p.wrapped) == map[bool]int{true: 0, false: wrappedKeySize}[common]
		if !ok || !fits || common != (p.Name == CommonPart) || common != (p.KeyID == "") {
			return nil, bad
		}
		parts = append(parts, p)
	}
	if len(rest) != 0 {
		return nil, bad
	}
	return parts, nil
}
