package tlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// MaxCheckpointBytes bounds a checkpoint with all its signatures.
const MaxCheckpointBytes = 64 << 10

// Checkpoint is the head of a log: C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string      // which log: the name of its key
	Size   int64       // number of leaves
	Root   merkle.Hash // RFC 6962, section 2.1
	Signed []byte      // the signed note it was read from or written to
}

// Text is the note's text: origin, size and root, each on a line.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// SignCheckpoint signs c as the log named by the signers, which all have its name;
// c.Origin is that. Whoever calls it answers for there being one head: the
// [Publisher] does, nothing else should.
func SignCheckpoint(c Checkpoint, signers ...note.Signer) (Checkpoint, error) {
	c.Origin = signers[0].Name()
	if c.Size < 0 || c.Size > MaxSize {
		return Checkpoint{}, muster.Errorf(muster.CodeInvalid, "size of the log is out of range")
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return Checkpoint{}, muster.Errorf(muster.CodeInternal, "the checkpoint cannot be signed: %w", err)
	}
	c.Signed = signed
	return c, nil
}

// OpenCheckpoint reads a signed checkpoint and checks the log's signature, by one of
// its keys at least; its origin must be the verifiers' name. Signatures of unknown keys are ignored,
// as C2SP signed-note says. Errors: malformed, or invalid where the signature is
// wanting or wrong.
func OpenCheckpoint(signed []byte, verifiers ...note.Verifier) (Checkpoint, error) {
	c, err := openCheckpoint(signed, verifiers...)
	if err != nil {
		return Checkpoint{}, err
	}
	if slices.ContainsFunc(verifiers, func(v note.Verifier) bool { return v.Name() != c.Origin }) {
		return Checkpoint{}, muster.Errorf(muster.CodeInvalid, "the checkpoint is of another log than the key")
	}
	return c, nil
}

func openCheckpoint(signed []byte, verifiers ...note.Verifier) (Checkpoint, error) {
	if len(signed) > MaxCheckpointBytes {
		return Checkpoint{}, muster.Errorf(muster.CodeTooLarge, "checkpoint past its bound")
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	var unverified *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return Checkpoint{}, muster.Errorf(muster.CodeInvalid, "the checkpoint has no signature of a known key")
	case errors.As(err, &wrong):
		return Checkpoint{}, muster.Errorf(muster.CodeInvalid, "the checkpoint's signature is wrong")
	case err != nil:
		return Checkpoint{}, muster.Errorf(muster.CodeMalformed, "not a signed checkpoint: %w", err)
	}
	for _, s := range n.Sigs {
		// The note reader takes base64 in several spellings; we take one.
		if raw, err := base64.StdEncoding.DecodeString(s.Base64); err != nil || base64.StdEncoding.EncodeToString(raw) != s.Base64 {
			return Checkpoint{}, muster.Errorf(muster.CodeMalformed, "a signature is not in canonical base64")
		}
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	c.Signed = signed
	return c, nil
}

// ParseCheckpoint reads a checkpoint's text without its signatures. Extension
// lines are accepted and left aside.
func ParseCheckpoint(text string) (Checkpoint, error) {
	bad := muster.Errorf(muster.CodeMalformed, "not the text of a checkpoint")
	if len(text) > MaxCheckpointBytes || !strings.HasSuffix(text, "\n") {
		return Checkpoint{}, bad
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return Checkpoint{}, bad
	}
	for _, l := range lines {
		if l == "" {
			return Checkpoint{}, bad
		}
	}
	size, err := parseSize(lines[1])
	if err != nil {
		return Checkpoint{}, bad
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, bad
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// UnverifiedSize reads the size out of a checkpoint whose signature nobody
// checked: to choose what to ask for, never to rely on.
func UnverifiedSize(signed []byte) (int64, error) {
	i := strings.Index(string(signed[:min(len(signed), MaxCheckpointBytes)]), "\n\n")
	if i < 0 {
		return 0, muster.Errorf(muster.CodeMalformed, "not a signed checkpoint")
	}
	c, err := ParseCheckpoint(string(signed[:i+1]))
	return c.Size, err
}

// parseSize reads a decimal number without leading zeroes, at most MaxSize.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxSize || strconv.FormatInt(n, 10) != s {
		return 0, muster.Errorf(muster.CodeMalformed, "not a size")
	}
	return n, nil
}

// parseHash reads 32 bytes of canonical base64.
func parseHash(s string) (merkle.Hash, error) {
	h, err := merkle.ParseHash(s)
	if err != nil || h.String() != s {
		return merkle.Hash{}, muster.Errorf(muster.CodeMalformed, "not a hash")
	}
	return h, nil
}
