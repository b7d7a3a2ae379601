package tlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// BundleFormat is the one value of a bundle's format.
const BundleFormat = "muster/bundle/v1"

// Limits of a bundle.
const (
	MaxBundleBytes      = 32 << 20
	maxParts            = 4096
	maxPacks            = 64
	maxConsistency      = 64
	maxBundleDepth      = 6
	maxBundleWordLength = 200 // name, why, id, edition: bytes
)

// Audiences that a bundle is made for.
const (
	AudienceExaminer = "examiner"
	AudienceCustomer = "customer"
	AudienceCourt    = "court"
)

// Bundle is one decision with all that is needed to check it against a
// checkpoint, offline. Its JSON is docs/formats/log.md, "Bundle". Audience, and
// name and ground of a part that is not shown, are the sender's word: no proof
// covers them.
type Bundle struct {
	Format      string        `json:"format"`
	Origin      string        `json:"origin"`   // of the log
	Key         string        `json:"key"`      // the log's public key: name+id+base64
	Audience    string        `json:"audience"` // examiner | customer | court
	Index       int64         `json:"index"`    // of the leaf
	Leaf        Bytes         `json:"leaf"`     // marshalled
	Facts       []Part        `json:"facts"`    // in the order of the commitment
	Decision    Opened        `json:"decision"` // C2; a receipt for a customer has its commitment alone
	Packs       []BundlePack  `json:"packs"`    // every one that the decision names; none where it is withheld
	Proof       []Hash        `json:"proof"`    // of inclusion in the checkpoint below
	Checkpoint  string        `json:"checkpoint"`
	Consistency []Consistency `json:"consistency,omitempty"` // to checkpoints of other sizes
}

// Part is one part of the facts: opened, with salt and data, or withheld or
// erased, with commitment and ground.
type Part struct {
	Name       string `json:"name"`
	Salt       Bytes  `json:"salt,omitempty"`
	Data       Bytes  `json:"data,omitempty"`
	Commitment *Hash  `json:"commitment,omitempty"`
	Why        string `json:"why,omitempty"` // withheld: for whom it is not; erased: the ground
}

// Shown reports whether p is opened.
func (p Part) Shown() bool { return p.Commitment == nil }

// Opened is data with the salt of its commitment, or the commitment alone where the
// data is withheld.
type Opened struct {
	Salt       Bytes `json:"salt,omitempty"`
	Data       Bytes `json:"data,omitempty"`
	Commitment *Hash `json:"commitment,omitempty"`
}

// Shown reports whether o is opened.
func (o Opened) Shown() bool { return o.Commitment == nil }

// BundlePack is the bytes of a pack edition.
type BundlePack struct {
	muster.PackRef
	Data Bytes `json:"data"`
}

// Consistency proves that the tree of size From begins the tree of size To.
type Consistency struct {
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Proof []Hash `json:"proof"`
}

// Hash is 32 bytes, in JSON as canonical base64.
type Hash merkle.Hash

func (h Hash) MarshalJSON() ([]byte, error) { return Bytes(h[:]).MarshalJSON() }

func (h *Hash) UnmarshalJSON(b []byte) error {
	var raw Bytes
	if err := raw.UnmarshalJSON(b); err != nil || len(raw) != len(h) {
		return muster.Errorf(muster.CodeMalformed, "not a hash")
	}
	*h = Hash(raw)
	return nil
}

// Bytes is in JSON canonical standard base64 with padding; no other spelling of
// the same bytes is read.
type Bytes []byte

func (d Bytes) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(d))
}

func (d *Bytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || len(b) == 0 || b[0] != '"' {
		return muster.Errorf(muster.CodeMalformed, "not base64")
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != s {
		return muster.Errorf(muster.CodeMalformed, "not base64")
	}
	*d = raw
	return nil
}

// Complete adds what the log knows: inclusion of b.Index in cp, cp itself, and
// consistency between cp and the published sizes that are asked for (of an older
// checkpoint that the reader holds, or of a newer one).
func (p *Prover) Complete(ctx context.Context, b *Bundle, cp Checkpoint, sizes ...int64) error {
	proof, err := p.Inclusion(ctx, b.Index, cp.Size)
	if err != nil {
		return err
	}
	b.Format, b.Origin, b.Checkpoint = BundleFormat, cp.Origin, string(cp.Signed)
	b.Proof, b.Consistency = hashes(proof), nil
	for _, size := range sizes {
		from, to := min(size, cp.Size), max(size, cp.Size)
		if from == to || from == 0 {
			continue
		}
		tree, err := p.Consistency(ctx, from, to)
		if err != nil {
			return err
		}
		b.Consistency = append(b.Consistency, Consistency{From: from, To: to, Proof: hashes(merkle.RecordProof(tree))})
	}
	return nil
}

func hashes(proof merkle.RecordProof) []Hash {
	out := make([]Hash, len(proof))
	for i, h := range proof {
		out[i] = Hash(h)
	}
	return out
}

func merkleHashes(proof []Hash) []merkle.Hash {
	out := make([]merkle.Hash, len(proof))
	for i, h := range proof {
		out[i] = merkle.Hash(h)
	}
	return out
}

// Marshal writes b as indented JSON with a newline at its end.
func (b *Bundle) Marshal() ([]byte, error) {
	c := *b
	// An empty list is written as such: a reader need not know null.
	c.Facts = append([]Part{}, b.Facts...)
	c.Packs = append([]BundlePack{}, b.Packs...)
	c.Proof = append([]Hash{}, b.Proof...)
	if err := c.validate(); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the bundle cannot be written: %w", err)
	}
	if out = append(out, '\n'); len(out) > MaxBundleBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "bundle past its bound")
	}
	return out, nil
}

// ParseBundle reads a bundle strictly: unknown and repeated keys, other spellings
// of base64, anything behind the document, and what is past a bound are
// refused. Nothing is verified.
func ParseBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBundleBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "bundle past its bound")
	}
	if err := strictJSON(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var b Bundle
	if err := d.Decode(&b); err != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "not a bundle: %w", err)
	}
	if err := b.validate(); err != nil {
		return nil, err
	}
	return &b, nil
}

// validate holds the form of a bundle, read or written.
func (b *Bundle) validate() error {
	bad := func(pointer, detail string) error {
		return muster.Invalid(muster.Fault{Pointer: pointer, Code: "bundle", Detail: detail})
	}
	switch {
	case b.Format != BundleFormat:
		return bad("/format", "not a format that is known here")
	case !isKeyName(b.Origin):
		return bad("/origin", "not the name of a log")
	case b.Audience != AudienceExaminer && b.Audience != AudienceCustomer && b.Audience != AudienceCourt:
		return bad("/audience", "examiner, customer or court")
	case b.Index < 0 || b.Index >= MaxSize:
		return bad("/index", "out of range")
	case len(b.Facts) > maxParts || len(b.Packs) > maxPacks || len(b.Consistency) > maxConsistency || len(b.Proof) > maxProofLines:
		return bad("", "a list past its bound")
	case b.Decision.Shown() && len(b.Decision.Salt) != SaltBytes:
		return bad("/decision/salt", "a salt is 32 bytes")
	case !b.Decision.Shown() && (b.Decision.Salt != nil || b.Decision.Data != nil || len(b.Packs) > 0):
		return bad("/decision", "a decision that is withheld has its commitment, and neither salt, data nor packs")
	}
	for i, p := range b.Facts {
		at := fmt.Sprintf("/facts/%d", i)
		switch {
		case !isBundleWord(p.Name):
			return bad(at+"/name", "wanting or too long")
		case p.Shown() && (len(p.Salt) != SaltBytes || p.Why != ""):
			return bad(at, "a part is opened by a salt of 32 bytes and data, and has no ground for withholding it")
		case !p.Shown() && (p.Salt != nil || p.Data != nil || !isBundleWord(p.Why)):
			return bad(at, "a part that is not shown has commitment and ground, neither salt nor data")
		}
		if slices.ContainsFunc(b.Facts[:i], func(q Part) bool { return q.Name == p.Name }) {
			return bad(at+"/name", "two parts of one name")
		}
	}
	for i, p := range b.Packs {
		if !isBundleWord(p.ID) || !isBundleWord(p.Edition) || len(p.Digest) != 64 {
			return bad(fmt.Sprintf("/packs/%d", i), "id, edition and digest")
		}
	}
	for i, c := range b.Consistency {
		if c.From <= 0 || c.To <= c.From || c.To > MaxSize || len(c.Proof) > maxProofLines {
			return bad(fmt.Sprintf("/consistency/%d", i), "sizes are out of order")
		}
	}
	return nil
}

func isBundleWord(s string) bool {
	return s != "" && len(s) <= maxBundleWordLength && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// strictJSON refuses what encoding/json lets pass: a key twice, a key in other
// case (no key of ours has capitals), null, nesting past the bound, invalid
// UTF-8, and anything behind the document.
func strictJSON(data []byte) error {
	bad := func(what string) error { return muster.Errorf(muster.CodeMalformed, "bundle: %s", what) }
	if !utf8.Valid(data) {
		return bad("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type object struct {
		keys map[string]bool // nil in an array
		want bool            // a key comes next
	}
	var open []object
	for first := true; first || len(open) > 0; first = false {
		token, err := d.Token()
		if err != nil {
			return bad("not JSON")
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].keys != nil {
			if open[n-1].want {
				key, _ := token.(string)
				if open[n-1].keys[key] {
					return bad("a key stands twice")
				}
				if strings.ContainsFunc(key, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
					return bad("unknown key")
				}
				open[n-1].keys[key] = true
				open[n-1].want = false
				continue
			}
			open[n-1].want = true
		}
		switch token {
		case nil:
			return bad("null stands nowhere in a bundle")
		case json.Delim('{'):
			open = append(open, object{keys: map[string]bool{}, want: true})
		case json.Delim('['):
			open = append(open, object{})
		}
		if len(open) > maxBundleDepth {
			return bad("nested too deep")
		}
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("something stands behind the document")
	}
	return nil
}
