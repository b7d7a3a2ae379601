package tlog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

// VerifyOptions is what the verifier holds himself, got by another way than the
// bundle.
type VerifyOptions struct {
	Checkpoint []byte        // signed, required
	Verifier   note.Verifier // the log's key; nil: the bundle's own is used, and the report says so
	Pinned     []byte        // an older signed checkpoint, kept from before; nil: none
	Policy     Policy        // witnesses; a quorum above 0 is demanded
	Handovers  [][]byte      // of the log's key: lead from Verifier to the bundle's; the pinned checkpoint may be signed by any on the way
}

// Backing says what, beside the provider's own signature, speaks for a checkpoint.
type Backing string

const (
	BackingWitnessed  Backing = "witnessed"            // the policy's witnesses cosigned
	BackingPinned     Backing = "pinned"               // it extends a checkpoint kept from before
	BackingBoth       Backing = "witnessed and pinned" //
	BackingSelfSigned Backing = "self-signed"          // nothing: the provider could show others another log
)

// Report says what was verified and, as plainly, what was not.
type Report struct {
	Origin      string        `json:"origin"`
	Size        int64         `json:"size"` // of the verifier's checkpoint
	Root        Hash          `json:"root"`
	Index       int64         `json:"index"`
	Leaf        string        `json:"leaf"` // type
	Hour        time.Time     `json:"hour"`
	Audience    string        `json:"audience"` // as the sender states
	Backing     Backing       `json:"backing"`
	Witnesses   []Cosignature `json:"witnesses,omitempty"`
	Verified    []string      `json:"verified"`
	NotVerified []string      `json:"not_verified"`
	Shown       []string      `json:"shown"`  // parts whose data is proven
	Hidden      []string      `json:"hidden"` // parts that are not shown, with the stated ground

	Bundle *Bundle `json:"-"`
}

func (r *Report) verified(format string, args ...any) {
	r.Verified = append(r.Verified, fmt.Sprintf(format, args...))
}

func (r *Report) not(format string, args ...any) {
	r.NotVerified = append(r.NotVerified, fmt.Sprintf(format, args...))
}

// VerifyBundle checks a bundle against the verifier's own checkpoint. An error
// (invalid or malformed) means that something does not hold; the report is then
// empty. Without an error, the report says how far the proof carries.
func VerifyBundle(data []byte, opts VerifyOptions) (Report, error) {
	b, err := ParseBundle(data)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Origin: b.Origin, Index: b.Index, Audience: b.Audience, Bundle: b,
		Verified: []string{}, NotVerified: []string{}, Shown: []string{}, Hidden: []string{},
	}
	leaf, err := ParseLeaf(b.Leaf)
	if err != nil {
		return Report{}, err
	}
	if leaf.Type != Decision {
		return Report{}, wrong("the leaf is not a decision's")
	}
	r.Leaf, r.Hour = leaf.Type.String(), leaf.Time()
	if err := r.facts(b, leaf); err != nil {
		return Report{}, err
	}
	if err := r.decision(b, leaf); err != nil {
		return Report{}, err
	}
	if err := r.log(b, opts); err != nil {
		return Report{}, err
	}
	r.not("for whom the bundle was made (%s) is the sender's word", b.Audience)
	return r, nil
}

func wrong(format string, args ...any) error {
	return muster.Errorf(muster.CodeInvalid, format, args...)
}

// facts checks C1.
func (r *Report) facts(b *Bundle, leaf Leaf) error {
	parts := make([][32]byte, len(b.Facts))
	for i, p := range b.Facts {
		if p.Shown() {
			parts[i] = CommitPart(p.Name, p.Salt, p.Data)
			r.Shown = append(r.Shown, p.Name)
			continue
		}
		parts[i] = *p.Commitment
		r.Hidden = append(r.Hidden, p.Name+": "+p.Why)
	}
	if CommitFacts(parts) != leaf.C1 {
		return wrong("the facts are not those that the leaf commits to")
	}
	r.verified("the facts shown (%d of %d parts) are those that the decision was made on", len(r.Shown), len(parts))
	if len(r.Hidden) > 0 {
		r.not("%d parts are not shown; their names and the grounds for it are the sender's word", len(r.Hidden))
	}
	return nil
}

// decision checks C2, the hour and the packs.
func (r *Report) decision(b *Bundle, leaf Leaf) error {
	if !b.Decision.Shown() {
		if *b.Decision.Commitment != leaf.C2 {
			return wrong("the decision is not the one that the leaf commits to")
		}
		r.verified("a decision was recorded in that hour, and cannot be changed unseen")
		r.not("what was decided is withheld: whoever opens it later has to open this one")
		return nil
	}
	if CommitDecision(b.Decision.Salt, b.Decision.Data) != leaf.C2 {
		return wrong("the decision is not the one that the leaf commits to")
	}
	r.verified("the decision, its time, rules and reasons are those that were recorded")
	stated, err := readDecision(b.Decision.Data)
	if err != nil {
		return err
	}
	if HourOf(stated.At) != leaf.Hour {
		return wrong("the decision's time is not in the leaf's hour")
	}
	if len(stated.Packs) != len(b.Packs) {
		return wrong("the bundle does not have the packs that the decision names")
	}
	for i, ref := range stated.Packs {
		pack := b.Packs[i]
		sum := sha256.Sum256(pack.Data)
		if pack.PackRef != ref || ref.Digest != hex.EncodeToString(sum[:]) {
			return wrong("a pack is not the edition that the decision names")
		}
		r.verified("pack %s, edition %s, is byte for byte the one that decided", ref.ID, ref.Edition)
	}
	if len(stated.Packs) == 0 {
		r.not("the decision names no pack")
	}
	return nil
}

type statedDecision struct {
	At    time.Time
	Packs []muster.PackRef
}

// readDecision takes time and packs out of the decision's JSON, by their exact keys.
func readDecision(data []byte) (statedDecision, error) {
	bad := wrong("the decision is not a JSON document with time and packs")
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields["at"] == nil {
		return statedDecision{}, bad
	}
	var d statedDecision
	if err := json.Unmarshal(fields["at"], &d.At); err != nil {
		return statedDecision{}, bad
	}
	if packs := fields["packs"]; packs != nil {
		if err := json.Unmarshal(packs, &d.Packs); err != nil {
			return statedDecision{}, bad
		}
	}
	return d, nil
}

// log checks inclusion, the checkpoints against one another, and what backs them.
func (r *Report) log(b *Bundle, opts VerifyOptions) error {
	keys, err := r.key(b, opts)
	if err != nil {
		return err
	}
	verifier := keys[len(keys)-1]
	own, err := OpenCheckpoint([]byte(b.Checkpoint), verifier)
	if err != nil {
		return err
	}
	if own.Origin != b.Origin {
		return wrong("the bundle's checkpoint is of another log than it says")
	}
	if err := CheckInclusion(merkleHashes(b.Proof), own.Size, own.Root, b.Index, b.Leaf); err != nil {
		return err
	}
	if len(opts.Checkpoint) == 0 {
		return wrong("a checkpoint is needed that did not come with the bundle")
	}
	held, err := OpenCheckpoint(opts.Checkpoint, verifier)
	if err != nil {
		return err
	}
	if err := linked(b, own, held); err != nil {
		return err
	}
	covering := held
	if b.Index >= held.Size {
		// The verifier's checkpoint is older than the leaf. It then says what a
		// pinned one says, and no more.
		covering = own
		r.not("your checkpoint (size %d) is older than the leaf; only the bundle's own covers it", held.Size)
	}
	r.Size, r.Root = covering.Size, Hash(covering.Root)
	r.verified("leaf %d is in the log %s, under the checkpoint of size %d", b.Index, covering.Origin, covering.Size)
	if own.Size != held.Size {
		r.verified("the bundle's checkpoint (size %d) and yours (size %d) are of one log", own.Size, held.Size)
	}
	return r.backing(b, opts, keys, own, held, covering)
}

// backing says who besides the provider speaks for the log. Witnesses may have
// cosigned either checkpoint that covers the leaf: both are shown to be one log.
func (r *Report) backing(b *Bundle, opts VerifyOptions, keys []note.Verifier, own, held, covering Checkpoint) error {
	cosigned := covering
	if len(opts.Policy.Cosignatures(own.Signed)) > len(opts.Policy.Cosignatures(covering.Signed)) {
		cosigned = own
	}
	if err := opts.Policy.Check(cosigned.Signed); err != nil {
		return err
	}
	r.Witnesses = opts.Policy.Cosignatures(cosigned.Signed)
	pinned := false
	if opts.Pinned != nil {
		old, err := OpenCheckpoint(opts.Pinned, keys...)
		if err != nil {
			return err
		}
		if old.Size == 0 || old.Size > covering.Size {
			return wrong("the pinned checkpoint is empty, or newer than the one to be checked")
		}
		if linked(b, old, held) != nil {
			if err := linked(b, old, own); err != nil {
				return err
			}
		}
		pinned = true
		r.verified("the log extends the pinned checkpoint of size %d: nothing up to there was rewritten", old.Size)
	} else {
		r.not("no older checkpoint was given to compare with")
	}
	for _, w := range r.Witnesses {
		r.verified("witness %s cosigned the checkpoint of size %d, by its own clock at %s", w.Witness, cosigned.Size, w.At.Format(time.RFC3339))
	}
	switch {
	case pinned && len(r.Witnesses) > 0:
		r.Backing = BackingBoth
	case pinned:
		r.Backing = BackingPinned
	case len(r.Witnesses) > 0:
		r.Backing = BackingWitnessed
	default:
		r.Backing = BackingSelfSigned
		r.not("self-signed: no known witness cosigned the checkpoint and no older one was given, so the provider could show others another log")
	}
	return nil
}

// key is the key that checkpoints are checked with: the last; before it the ones that
// led to it, of which a pinned checkpoint may be.
func (r *Report) key(b *Bundle, opts VerifyOptions) ([]note.Verifier, error) {
	stated, err := NewLogVerifier(b.Key)
	if err != nil {
		return nil, err
	}
	given := opts.Verifier
	if given == nil {
		r.not("the log's key was taken from the bundle: compare it with one that you got elsewhere (%s)", b.Key)
		return []note.Verifier{stated}, nil
	}
	if sameVerifier(given, stated) {
		r.verified("the checkpoints are signed by the log's key that you gave")
		return []note.Verifier{given}, nil
	}
	if len(opts.Handovers) == 0 || given.Name() != stated.Name() {
		return nil, wrong("the bundle names another key of the log than you do")
	}
	way, err := follow(given, stated, opts.Handovers)
	if err != nil {
		return nil, err
	}
	r.verified("the log's key that you gave leads by hand-over to the one that signed the checkpoints (%d on the way)", len(way)-1)
	return way, nil
}

// linked checks that two checkpoints are of one log: the same tree, or one that
// begins the other by a proof in the bundle.
func linked(b *Bundle, x, y Checkpoint) error {
	if x.Size > y.Size {
		x, y = y, x
	}
	if x.Size == y.Size || x.Size == 0 {
		return CheckConsistency(nil, x.Size, x.Root, y.Size, y.Root)
	}
	for _, c := range b.Consistency {
		if c.From == x.Size && c.To == y.Size {
			return CheckConsistency(merkleHashes(c.Proof), c.From, x.Root, c.To, y.Root)
		}
	}
	e := muster.Errorf(muster.CodeInvalid, "the bundle has no consistency proof from size %d to size %d", x.Size, y.Size)
	e.Hint = "ask the provider for the bundle with your checkpoint's size"
	return e
}

// String is the report in plain words.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "log %s, checkpoint of size %d: %s\n", r.Origin, r.Size, r.Backing)
	for _, v := range r.Verified {
		fmt.Fprintf(&s, "  verified: %s\n", v)
	}
	for _, v := range r.NotVerified {
		fmt.Fprintf(&s, "  NOT verified: %s\n", v)
	}
	return s.String()
}
