package tlog

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

// GenerateLogKey makes a log's Ed25519 key. The private form (PRIVATE+KEY+...)
// is for note.NewSigner, the public one for note.NewVerifier. The origin is the
// log's name: no spaces, no plus sign.
func GenerateLogKey(origin string) (private, public string, err error) {
	if !isKeyName(origin) {
		return "", "", muster.Errorf(muster.CodeInvalid, "the name of a log is a URL without scheme, without spaces or plus signs")
	}
	return note.GenerateKey(rand.Reader, origin)
}

// NewLogVerifier reads a log's public key in the one form that GenerateLogKey
// writes; note.NewVerifier takes others too.
func NewLogVerifier(public string) (note.Verifier, error) {
	v, err := note.NewVerifier(public)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "not the public key of a log: %w", err)
	}
	b64, ok := strings.CutPrefix(public, fmt.Sprintf("%s+%08x+", v.Name(), v.KeyHash()))
	raw, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || base64.StdEncoding.EncodeToString(raw) != b64 {
		return nil, muster.Errorf(muster.CodeInvalid, "not the public key of a log")
	}
	return v, nil
}

// algCosignature is the signature type of cosignature/v1 (C2SP tlog-cosignature, "Format").
const algCosignature = 0x04

// GenerateWitnessKey makes a witness's Ed25519 key, in the same two forms, for
// NewCosigner and NewCosignatureVerifier.
func GenerateWitnessKey(name string) (private, public string, err error) {
	if !isKeyName(name) {
		return "", "", muster.Errorf(muster.CodeInvalid, "the name of a witness is a URL without scheme, without spaces or plus signs")
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", muster.Errorf(muster.CodeInternal, "no key could be made: %w", err)
	}
	return "PRIVATE+KEY+" + keyText(name, pub, priv.Seed()), keyText(name, pub, pub), nil
}

func keyText(name string, pub, material []byte) string {
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], cosignatureKeyID(name, pub))
	return name + "+" + hex.EncodeToString(id[:]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, material...))
}

// cosignatureKeyID is SHA-256(name || "\n" || 0x04 || key)[:4].
func cosignatureKeyID(name string, pub []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{algCosignature})
	h.Write(pub)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func isKeyName(s string) bool {
	return s != "" && len(s) <= 255 && utf8.ValidString(s) && !strings.Contains(s, "+") &&
		strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) < 0
}

// splitKey reads name+id+base64(type || 32 bytes).
func splitKey(text string) (name string, id uint32, material []byte, err error) {
	bad := muster.Errorf(muster.CodeInvalid, "not the key of a witness")
	name, rest, _ := strings.Cut(text, "+")
	hexID, b64, _ := strings.Cut(rest, "+")
	n, err1 := strconv.ParseUint(hexID, 16, 32)
	raw, err2 := base64.StdEncoding.Strict().DecodeString(b64)
	if err1 != nil || err2 != nil || len(hexID) != 8 || !isKeyName(name) || len(raw) != 33 || raw[0] != algCosignature {
		return "", 0, nil, bad
	}
	return name, uint32(n), raw[1:], nil
}

// Cosigner signs checkpoints as a witness: cosignature/v1. It is a note.Signer.
type Cosigner struct {
	name  string
	id    uint32
	key   ed25519.PrivateKey
	clock muster.Clock
}

// NewCosigner reads a private key; each signature carries the clock's time.
func NewCosigner(private string, clock muster.Clock) (*Cosigner, error) {
	text, ok := strings.CutPrefix(private, "PRIVATE+KEY+")
	if !ok || clock == nil {
		return nil, muster.Errorf(muster.CodeInvalid, "not the private key of a witness")
	}
	name, id, seed, err := splitKey(text)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	if id != cosignatureKeyID(name, key.Public().(ed25519.PublicKey)) {
		return nil, muster.Errorf(muster.CodeInvalid, "the key of the witness does not have the id it states")
	}
	return &Cosigner{name: name, id: id, key: key, clock: clock}, nil
}

func (c *Cosigner) Name() string    { return c.name }
func (c *Cosigner) KeyHash() uint32 { return c.id }

// Verifier is the public half.
func (c *Cosigner) Verifier() *CosignatureVerifier {
	return &CosignatureVerifier{name: c.name, id: c.id, key: c.key.Public().(ed25519.PublicKey)}
}

// Sign gives u64 time || Ed25519 signature over header, time and text.
func (c *Cosigner) Sign(text []byte) ([]byte, error) {
	at := c.clock().Unix()
	if at < 0 {
		return nil, muster.Errorf(muster.CodeInternal, "the clock is before 1970")
	}
	sig := binary.BigEndian.AppendUint64(nil, uint64(at))
	return append(sig, ed25519.Sign(c.key, cosignedMessage(at, text))...), nil
}

func cosignedMessage(at int64, text []byte) []byte {
	m := append([]byte("cosignature/v1\ntime "), strconv.FormatInt(at, 10)...)
	return append(append(m, '\n'), text...)
}

// CosignatureVerifier checks a witness's cosignatures. It is a note.Verifier.
type CosignatureVerifier struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

// NewCosignatureVerifier reads a public key of type 0x04.
func NewCosignatureVerifier(public string) (*CosignatureVerifier, error) {
	name, id, key, err := splitKey(public)
	if err != nil {
		return nil, err
	}
	if id != cosignatureKeyID(name, key) {
		return nil, muster.Errorf(muster.CodeInvalid, "the key of the witness does not have the id it states")
	}
	return &CosignatureVerifier{name: name, id: id, key: key}, nil
}

func (v *CosignatureVerifier) Name() string    { return v.name }
func (v *CosignatureVerifier) KeyHash() uint32 { return v.id }

// Verify checks u64 time || signature. A time ahead of the verifier's is no
// fault here; [Cosignature] tells it.
func (v *CosignatureVerifier) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at <= math.MaxInt64 && ed25519.Verify(v.key, cosignedMessage(int64(at), text), sig[8:])
}

// Cosignature is one witness's word on a checkpoint.
type Cosignature struct {
	Witness string    // its name
	At      time.Time // as it states
}

// Cosign appends the witness's cosignature to a signed checkpoint, replacing an
// older one of its own. It checks nothing: [Witness] does.
func Cosign(signed []byte, c *Cosigner) ([]byte, error) {
	line, err := cosignatureLine(signed, c)
	if err != nil {
		return nil, err
	}
	return MergeCosignatures(signed, line, c.Verifier())
}

// cosignatureLine is the note signature line of c on a signed checkpoint.
func cosignatureLine(signed []byte, c *Cosigner) ([]byte, error) {
	text, _, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	cosigned, err := note.Sign(&note.Note{Text: text}, c)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the checkpoint cannot be cosigned: %w", err)
	}
	return cosigned[len(text)+1:], nil
}

// MergeCosignatures appends to a signed checkpoint those of the lines that are
// valid cosignatures of the given witnesses; others are left out. A witness's
// older cosignature is replaced.
func MergeCosignatures(signed, lines []byte, witnesses ...*CosignatureVerifier) ([]byte, error) {
	text, sigs, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	out := text + "\n"
	kept := ""
	var fresh []string
	for _, w := range witnesses {
		line := w.find(text, string(lines))
		if line != "" {
			fresh = append(fresh, line)
		}
	}
	for _, line := range strings.SplitAfter(sigs, "\n") {
		replaced := false
		for _, f := range fresh {
			replaced = replaced || sameKey(line, f)
		}
		if !replaced {
			kept += line
		}
	}
	out += kept + strings.Join(fresh, "")
	if len(out) > MaxCheckpointBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "checkpoint past its bound")
	}
	return []byte(out), nil
}

// find is the first valid cosignature line of v among lines.
func (v *CosignatureVerifier) find(text, lines string) string {
	for _, line := range strings.SplitAfter(lines, "\n") {
		if sig, ok := v.ofLine(line); ok && v.Verify([]byte(text), sig) {
			return line
		}
	}
	return ""
}

// ofLine takes the signature out of a line that names v.
func (v *CosignatureVerifier) ofLine(line string) ([]byte, bool) {
	rest, ok := strings.CutPrefix(line, "— "+v.name+" ")
	b64, ended := strings.CutSuffix(rest, "\n")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || !ended || err != nil || strings.ContainsAny(b64, "\r\n") || len(raw) < 4 || binary.BigEndian.Uint32(raw) != v.id {
		return nil, false
	}
	return raw[4:], true
}

// sameKey reports whether two signature lines are of one name and key id.
func sameKey(a, b string) bool {
	key := func(line string) (string, string) {
		name, b64, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(b64, "\n"))
		if err != nil || len(raw) < 4 {
			return "", ""
		}
		return name, string(raw[:4])
	}
	n1, k1 := key(a)
	n2, k2 := key(b)
	return n1 != "" && n1 == n2 && k1 == k2
}

// splitNote parts a signed note into its text, with its last newline, and its
// signature lines.
func splitNote(signed []byte) (text, sigs string, err error) {
	i := strings.LastIndex(string(signed), "\n\n")
	if len(signed) > MaxCheckpointBytes || i < 0 || !strings.HasSuffix(string(signed), "\n") {
		return "", "", muster.Errorf(muster.CodeMalformed, "not a signed checkpoint")
	}
	return string(signed[:i+1]), string(signed[i+2:]), nil
}

// Policy says which witnesses count, and how many of them must have cosigned.
type Policy struct {
	witnesses []*CosignatureVerifier
	quorum    int
}

// NewPolicy wants cosignatures of at least quorum of the witnesses, given by
// their public keys. One key under two names is refused: a cosignature does not
// commit to the name, so it would count twice.
func NewPolicy(quorum int, public ...string) (Policy, error) {
	p := Policy{quorum: quorum}
	seen := map[string]bool{}
	for _, text := range public {
		v, err := NewCosignatureVerifier(text)
		if err != nil {
			return Policy{}, err
		}
		if seen[string(v.key)] {
			return Policy{}, muster.Errorf(muster.CodeInvalid, "one key stands for two witnesses")
		}
		seen[string(v.key)] = true
		p.witnesses = append(p.witnesses, v)
	}
	if quorum < 0 || quorum > len(p.witnesses) {
		return Policy{}, muster.Errorf(muster.CodeInvalid, "a quorum of more witnesses than there are")
	}
	return p, nil
}

// Quorum is the number of cosignatures wanted.
func (p Policy) Quorum() int { return p.quorum }

// Cosignatures lists the valid ones of p's witnesses on a checkpoint; wrong ones
// and unknown ones do not count and are no error.
func (p Policy) Cosignatures(signed []byte) []Cosignature {
	text, sigs, err := splitNote(signed)
	if err != nil {
		return nil
	}
	var out []Cosignature
	for _, w := range p.witnesses {
		if line := w.find(text, sigs); line != "" {
			sig, _ := w.ofLine(line)
			out = append(out, Cosignature{Witness: w.name, At: time.Unix(int64(binary.BigEndian.Uint64(sig)), 0).UTC()})
		}
	}
	return out
}

// Check is an error of code invalid where fewer witnesses than the quorum cosigned.
func (p Policy) Check(signed []byte) error {
	if n := len(p.Cosignatures(signed)); n < p.quorum {
		return muster.Errorf(muster.CodeInvalid, "%d of the known witnesses cosigned the checkpoint, %d are wanted", n, p.quorum)
	}
	return nil
}
