package gate

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Head says which state is the latest, and that it was so at a time. Every message
// begins with one.
type Head struct {
	Deployment string
	Epoch      uint64 // rises when the centre is restored
	From       uint64 // of a delta: it leads from any state of From to Seq to the one of Seq
	Seq        uint64
	Digest     Digest        // of the state
	Accounts   uint64        // in it
	Time       time.Time     // of the centre, when it was signed
	Bound      time.Duration // past this age the state is stale
	Observe    bool          // no pack enforces: what the fail table denies is advice
	Fail       Fail          // of the packs in effect
	KeyID      [8]byte       // of the accounts' hash key
}

// Kind of a message.
type Kind byte

// The three kinds: a head alone, a head with changes, a head with the whole state.
const (
	KindHead     Kind = 'h'
	KindDelta    Kind = 'd'
	KindSnapshot Kind = 's'
)

// Message is one message of the wire: docs/formats/gate.md.
type Message struct {
	Kind Kind
	Head Head

	header    []byte // as signed
	body      []byte
	sum       [sha256.Size]byte // of body
	signature [ed25519.SignatureSize]byte
	verified  bool
}

const (
	magic         = "MGATE\x00\x00\x01" // format version 1 last
	maxDeployment = 64
	signedAs      = "muster gate message 1\n"

	flagObserve = 1

	// MaxDelta bounds the body of a delta, MaxSnapshot that of a snapshot: some 35
	// million accounts.
	MaxDelta    = 64 << 20
	MaxSnapshot = 1280 << 20
)

// fixed is what follows the deployment's name in a header.
const fixed = 8 + 8 + 8 + sha256.Size + 8 + 8 + 4 + 1 + 2 + 2 + 8 + 8

func (h *Head) encode(k Kind, body int) []byte {
	b := make([]byte, 0, len(magic)+2+len(h.Deployment)+fixed)
	b = append(append(b, magic...), byte(k), byte(len(h.Deployment)))
	b = append(b, h.Deployment...)
	for _, n := range []uint64{h.Epoch, h.From, h.Seq} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, h.Digest[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Accounts)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Time.UnixMicro()))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Bound/time.Second))
	flags := byte(0)
	if h.Observe {
		flags |= flagObserve
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Fail.Stale))
	b = binary.BigEndian.AppendUint16(b, uint16(h.Fail.Unknown))
	b = append(b, h.KeyID[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(body))
}

// malformed is what every fault of a message is: a code, and no part of it.
func malformed(why string) error {
	return muster.Errorf(muster.CodeMalformed, "a gate message %s", why)
}

// Seal signs a head without a body.
func (h *Head) Seal(key crypto.Signer) (*Message, error) { return seal(KindHead, h, nil, key) }

func seal(k Kind, h *Head, body []byte, key crypto.Signer) (*Message, error) {
	if h.Deployment == "" || len(h.Deployment) > maxDeployment {
		return nil, malformed("has no deployment")
	}
	m := &Message{Kind: k, Head: *h, header: h.encode(k, len(body)), body: body, sum: sha256.Sum256(body), verified: true}
	sig, err := key.Sign(rand.Reader, m.signed(), crypto.Hash(0))
	if err != nil || len(sig) != len(m.signature) {
		return nil, muster.Errorf(muster.CodeInternal, "a gate message cannot be signed: %w", err)
	}
	copy(m.signature[:], sig)
	return m, nil
}

func (m *Message) signed() []byte {
	return slices.Concat([]byte(signedAs), m.header, m.sum[:])
}

// Size is the length of the message on the wire.
func (m *Message) Size() int { return len(m.header) + len(m.body) + len(m.signature) }

// WriteTo writes the message as the wire has it.
func (m *Message) WriteTo(w io.Writer) (n int64, err error) {
	for _, part := range [][]byte{m.header, m.body, m.signature[:]} {
		k, err := w.Write(part)
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadMessage reads one message. What is malformed, of a version that it does not
// know, or larger than limit (0: than any message may be) gives CodeMalformed or
// CodeTooLarge; the end of r before the first byte is io.EOF, later CodeMalformed.
// Nothing of it is to be believed before Verify.
func ReadMessage(r io.Reader, limit int64) (*Message, error) {
	start := make([]byte, len(magic)+2, len(magic)+2+maxDeployment+fixed)
	if _, err := io.ReadFull(r, start[:1]); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, start[1:]); err != nil {
		return nil, cutShort(err)
	}
	if string(start[:len(magic)]) != magic {
		if string(start[:len(magic)-1]) == magic[:len(magic)-1] {
			return nil, malformed("is of a version that this program does not know")
		}
		return nil, malformed("is none")
	}
	m := &Message{Kind: Kind(start[len(magic)])}
	name := int(start[len(magic)+1])
	if name == 0 || name > maxDeployment {
		return nil, malformed("has no deployment")
	}
	m.header = start[:len(start)+name+fixed]
	if _, err := io.ReadFull(r, m.header[len(start):]); err != nil {
		return nil, cutShort(err)
	}
	size := m.decodeHead(name)
	most := int64(0)
	switch m.Kind {
	case KindHead:
	case KindDelta:
		most = MaxDelta
	case KindSnapshot:
		most = MaxSnapshot
	default:
		return nil, malformed("is of an unknown kind")
	}
	if limit > 0 {
		most = min(most, limit)
	}
	if size > uint64(most) {
		return nil, muster.Errorf(muster.CodeTooLarge, "a gate message is larger than it may be")
	}
	if err := m.Head.check(m.Kind); err != nil {
		return nil, err
	}
	var err error
	if m.body, err = readBody(r, int(size)); err != nil {
		return nil, cutShort(err)
	}
	if _, err := io.ReadFull(r, m.signature[:]); err != nil {
		return nil, cutShort(err)
	}
	m.sum = sha256.Sum256(m.body)
	return m, nil
}

// readBody does not believe a length before the bytes are there.
func readBody(r io.Reader, size int) ([]byte, error) {
	const step = 1 << 20
	if size <= step {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var b bytes.Buffer
	b.Grow(step)
	n, err := io.CopyN(&b, r, int64(size))
	if err == nil && n != int64(size) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("is cut short")
	}
	return err
}

func (m *Message) decodeHead(name int) (size uint64) {
	b := m.header[len(magic)+2:]
	h := &m.Head
	h.Deployment, b = string(b[:name]), b[name:]
	next := func() (n uint64) { n, b = binary.BigEndian.Uint64(b), b[8:]; return n }
	h.Epoch, h.From, h.Seq = next(), next(), next()
	b = b[copy(h.Digest[:], b):]
	h.Accounts = next()
	h.Time = time.UnixMicro(int64(next())).UTC()
	h.Bound = time.Duration(binary.BigEndian.Uint32(b)) * time.Second
	h.Observe = b[4]&flagObserve != 0
	h.Fail.Stale, h.Fail.Unknown = ActionSet(binary.BigEndian.Uint16(b[5:])), ActionSet(binary.BigEndian.Uint16(b[7:]))
	b = b[9:]
	b = b[copy(h.KeyID[:], b):]
	return next()
}

func (h *Head) check(k Kind) error {
	switch {
	case h.From > h.Seq, k != KindDelta && h.From != h.Seq:
		return malformed("leads back")
	case h.Bound <= 0:
		return malformed("has no bound")
	case h.Accounts > 1<<32:
		return malformed("counts more accounts than there can be")
	}
	return nil
}

// Verify holds the message against the centre's key and the deployment that is
// expected. CodeForbidden: it is another's, or forged, or damaged.
func (m *Message) Verify(key ed25519.PublicKey, deployment string) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, m.signed(), m.signature[:]) {
		return muster.Errorf(muster.CodeForbidden, "a gate message is not signed by the key that is trusted here")
	}
	if deployment != "" && m.Head.Deployment != deployment {
		return muster.Errorf(muster.CodeForbidden, "a gate message is of another deployment")
	}
	m.verified = true
	return nil
}

// Body of a delta or snapshot: the key (snapshots only), profiles, accounts.

// gone stands in place of a profile where an account is not known any more.
const gone = ^uint32(0)

// table collects profiles as a body has them.
type table struct {
	body []byte
	at   map[ProfileID]uint32
	n    uint32
}

func newTable(key []byte, room int) *table {
	t := &table{body: make([]byte, 0, room), at: map[ProfileID]uint32{}}
	t.body = append(append(t.body, byte(len(key))), key...)
	t.body = append(t.body, 0, 0, 0, 0)
	return t
}

func (t *table) profile(p *profile) uint32 {
	i, ok := t.at[p.id]
	if !ok {
		i = t.n
		t.at[p.id] = i
		t.n++
		t.body = binary.BigEndian.AppendUint32(t.body, uint32(len(p.raw)))
		t.body = append(t.body, p.raw...)
	}
	return i
}

// accounts ends the profiles.
func (t *table) accounts(n int) {
	binary.BigEndian.PutUint32(t.body[1+int(t.body[0]):], t.n)
	t.body = binary.BigEndian.AppendUint64(t.body, uint64(n))
}

func (t *table) account(h *Hash, d *DecisionID, profile uint32) {
	t.body = append(append(t.body, h[:]...), d[:]...)
	t.body = binary.BigEndian.AppendUint32(t.body, profile)
}

// Encode writes s whole, under a head that is h but for what s says itself.
func (s *Snapshot) Encode(h Head, key crypto.Signer) (*Message, error) {
	s.head(&h)
	h.From = h.Seq
	t := newTable(s.key[:], 64+s.n*entrySize+int(s.known.n)*512)
	index := make([]uint32, s.known.n) // 1 + index in the table
	s.each(func(e *entry) {
		if index[e.profile] == 0 {
			index[e.profile] = 1 + t.profile(s.known.get(e.profile))
		}
	})
	t.accounts(s.n)
	s.each(func(e *entry) { t.account(&e.hash, &e.decision, index[e.profile]-1) })
	if len(t.body) > MaxSnapshot {
		return nil, muster.Errorf(muster.CodeTooLarge, "there are more accounts than one snapshot holds")
	}
	return seal(KindSnapshot, &h, t.body, key)
}

// head fills in what a state says of itself.
func (s *Snapshot) head(h *Head) {
	h.Deployment, h.Epoch, h.Seq, h.Digest, h.Accounts, h.KeyID = s.Deployment, s.Epoch, s.Seq, s.digest, uint64(s.n), s.key.ID()
}

// each calls fn for every entry in the order of their hashes.
func (s *Snapshot) each(fn func(*entry)) {
	for _, p := range s.root {
		for i := range p {
			for j := range p[i] {
				fn(&p[i][j])
			}
		}
	}
}

// Delta writes the changes that lead from from to s, under a head that is h but for
// what s says itself. Every profile that they name is in it.
func (s *Snapshot) Delta(from uint64, changes []Change, h Head, key crypto.Signer) (*Message, error) {
	s.head(&h)
	h.From = from
	t := newTable(nil, 64+len(changes)*(entrySize+64))
	indexes := make([]uint32, len(changes))
	for i, c := range changes {
		if indexes[i] = gone; c.Profile != nil {
			indexes[i] = t.profile(&profile{id: nameProfile(c.Profile), raw: c.Profile})
		}
	}
	t.accounts(len(changes))
	for i := range changes {
		t.account(&changes[i].Hash, &changes[i].Decision, indexes[i])
	}
	if len(t.body) > MaxDelta {
		return nil, muster.Errorf(muster.CodeTooLarge, "there are more changes than one delta holds")
	}
	return seal(KindDelta, &h, t.body, key)
}

// reader reads a body; after its first fault it gives zeroes.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.err = malformed("has a body that is cut short")
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// read reads a body: each profile is given to take, each account to put.
func (m *Message) read(key func([]byte) error, take func(raw []byte) (uint32, error), accounts func(n int), put func(h Hash, d DecisionID, profile uint32) error) error {
	if !m.verified {
		return muster.Errorf(muster.CodeInternal, "a gate message was used before it was verified")
	}
	r := &reader{b: m.body}
	var keyed []byte
	if n := r.take(1); n != nil {
		keyed = r.take(uint64(n[0]))
	}
	if r.err == nil {
		r.err = key(keyed)
	}
	n := r.uint32()
	if uint64(n)*5 > uint64(len(r.b)) {
		return malformed("counts more profiles than it holds")
	}
	index := make([]uint32, n)
	for i := range index {
		raw := r.take(uint64(r.uint32()))
		if r.err != nil {
			return r.err
		}
		if index[i], r.err = take(raw); r.err != nil {
			return r.err
		}
	}
	count := r.uint64()
	if r.err != nil {
		return r.err
	}
	if uint64(len(r.b))/entrySize != count || uint64(len(r.b))%entrySize != 0 {
		return malformed("counts other accounts than it holds")
	}
	accounts(int(count))
	for b := r.b; len(b) > 0; b = b[entrySize:] {
		p := binary.BigEndian.Uint32(b[entrySize-4:])
		if p != gone {
			if p >= n {
				return malformed("names a profile that it does not hold")
			}
			p = index[p]
		}
		if err := put(Hash(b[:HashSize]), DecisionID(b[HashSize:]), p); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot is the state that a snapshot message holds. The message is verified before.
func (m *Message) Snapshot() (*Snapshot, error) {
	if m.Kind != KindSnapshot {
		return nil, malformed("is no snapshot")
	}
	b := NewBuilder(m.Head.Deployment, Key{})
	err := m.read(func(key []byte) error {
		if len(key) != len(b.s.key) {
			return malformed("has no key")
		}
		copy(b.s.key[:], key)
		return nil
	}, b.Profile, func(int) {}, func(h Hash, d DecisionID, p uint32) error {
		if p == gone {
			return malformed("takes an account away from nothing")
		}
		return b.Add(h, d, p)
	})
	if err != nil {
		return nil, err
	}
	if !b.sorted {
		return nil, malformed("has accounts out of order")
	}
	s := b.Snapshot(m.Head.Epoch, m.Head.Seq)
	if err := s.is(&m.Head); err != nil {
		return nil, err
	}
	return s, nil
}

// is holds a state against a head.
func (s *Snapshot) is(h *Head) error {
	switch {
	case s.Deployment != h.Deployment, s.Epoch != h.Epoch, s.Seq != h.Seq:
		return muster.Errorf(muster.CodeStale, "a gate message is of another state than this")
	case s.digest != h.Digest, uint64(s.n) != h.Accounts, s.key.ID() != h.KeyID:
		return muster.Errorf(muster.CodeConflict, "the gate's state is not what its head says")
	}
	return nil
}

// Apply is the state after a delta, which is verified before. CodeStale: the delta
// does not lead on from s (it is of another epoch, older, or there is a gap);
// CodeConflict: what came out is not what its head says. s stays as it is.
func (s *Snapshot) Apply(m *Message) (*Snapshot, error) {
	h := &m.Head
	switch {
	case m.Kind != KindDelta:
		return nil, malformed("is no delta")
	case h.Deployment != s.Deployment, h.Epoch != s.Epoch, h.From > s.Seq, h.Seq < s.Seq:
		return nil, muster.Errorf(muster.CodeStale, "a gate delta does not lead on from here")
	}
	var edits []edit
	err := m.read(func(key []byte) error {
		if len(key) != 0 {
			return malformed("has a key in a delta")
		}
		return nil
	}, s.shared.take, func(n int) { edits = make([]edit, 0, n) }, func(hash Hash, d DecisionID, p uint32) error {
		edits = append(edits, edit{entry{hash, d, p}, p == gone})
		return nil
	})
	if err != nil {
		return nil, err
	}
	next := s.with(h.Seq, edits)
	if err := next.is(h); err != nil {
		return nil, err
	}
	return next, nil
}

const keyPrefix = "muster-gate+"

// FormatKey writes the centre's public key as an edge's configuration has it.
func FormatKey(key ed25519.PublicKey) string {
	return keyPrefix + base64.StdEncoding.EncodeToString(key)
}

// ParseKey is the reverse of FormatKey.
func ParseKey(text string) (ed25519.PublicKey, error) {
	raw, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(raw)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, muster.Errorf(muster.CodeInvalid, "the gate's key is not one: it begins with %s (muster gate key prints it)", keyPrefix)
	}
	return key, nil
}
