package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// WitnessState remembers the last checkpoint cosigned of each log.
//
// Seen returns it, nil where there is none. SetSeen replaces old by new only if
// it is still old, byte for byte, and is durable when it returns nil; otherwise
// the error is of code conflict. A witness that forgets must never sign again
// under the same key: it would vouch for a second history.
type WitnessState interface {
	Seen(ctx context.Context, origin string) (signed []byte, err error)
	SetSeen(ctx context.Context, origin string, old, new []byte) error
}

// WitnessConfig is what a Witness needs; all of it.
type WitnessConfig struct {
	Cosigner *Cosigner
	Logs     map[string][]note.Verifier // origin -> keys of that log
	State    WitnessState
}

// Witness is the C2SP tlog-witness service: POST <prefix>/add-checkpoint. Mount
// it at that path.
type Witness struct {
	WitnessConfig
}

// NewWitness checks the configuration.
func NewWitness(c WitnessConfig) (*Witness, error) {
	if c.Cosigner == nil || c.State == nil || len(c.Logs) == 0 {
		return nil, muster.Errorf(muster.CodeInternal, "a witness is configured with a key, a state and at least one log")
	}
	return &Witness{c}, nil
}

// sizeType is the content type of a 409 that tells the size.
const sizeType = "text/x.tlog.size"

// maxProofLines is C2SP tlog-witness's.
const maxProofLines = 63

const maxRequestBytes = MaxCheckpointBytes + 64 + maxProofLines*45

// refusal is an answer other than 200.
type refusal struct {
	status int
	words  string
	size   int64 // with 409
}

func (r *refusal) Error() string { return r.words }

// ServeHTTP answers 200 with a cosignature line, or as the specification says:
// 400 malformed or old size past the checkpoint's, 403 no signature of a known
// key, 404 unknown log, 409 old size is not the last one (the body has it) or
// another root at the same size, 422 proof does not verify; 405, 413 and 503
// besides.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "POST a checkpoint", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequestBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(rw, "request past its bound", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the caller has gone
	}
	line, err := w.add(r.Context(), body)
	var no *refusal
	switch {
	case errors.As(err, &no) && no.status == http.StatusConflict:
		rw.Header().Set("Content-Type", sizeType)
		rw.WriteHeader(no.status)
		fmt.Fprintf(rw, "%d\n", no.size)
	case errors.As(err, &no):
		http.Error(rw, no.words, no.status)
	case err != nil:
		http.Error(rw, "nothing was cosigned; try again", http.StatusServiceUnavailable)
	default:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(line)
	}
}

// add checks the request in the specification's order, remembers the checkpoint
// and returns the cosignature line.
func (w *Witness) add(ctx context.Context, body []byte) ([]byte, error) {
	oldSize, proof, signed, err := parseAddCheckpoint(body)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, words: "not an add-checkpoint request"}
	}
	next, err := w.open(signed)
	if err != nil {
		return nil, err
	}
	if oldSize > next.Size {
		return nil, &refusal{status: http.StatusBadRequest, words: "the old size is past the checkpoint's"}
	}
	seen, err := w.State.Seen(ctx, next.Origin)
	if err != nil {
		return nil, err
	}
	last := Checkpoint{Origin: next.Origin, Root: emptyRoot()}
	if seen != nil {
		if last, err = parseSeen(seen); err != nil {
			return nil, err
		}
	}
	switch {
	case oldSize != last.Size:
		return nil, &refusal{status: http.StatusConflict, size: last.Size}
	case next.Size == last.Size && next.Root != last.Root:
		return nil, &refusal{status: http.StatusConflict, size: last.Size}
	case CheckConsistency(proof, last.Size, last.Root, next.Size, next.Root) != nil:
		return nil, &refusal{status: http.StatusUnprocessableEntity, words: "the proof does not verify"}
	}
	line, err := cosignatureLine(next.Signed, w.Cosigner)
	if err != nil {
		return nil, err
	}
	if seen != nil && next.Size == last.Size {
		return line, nil // remembered already
	}
	err = w.State.SetSeen(ctx, next.Origin, seen, next.Signed)
	if muster.ErrorCode(err) == muster.CodeConflict {
		// Another request was faster. What it left decides; the client asks again.
		if seen, err = w.State.Seen(ctx, next.Origin); err == nil {
			if last, err = parseSeen(seen); err == nil {
				return nil, &refusal{status: http.StatusConflict, size: last.Size}
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return line, nil
}

// open finds the log by its origin and checks its signature.
func (w *Witness) open(signed []byte) (Checkpoint, error) {
	text, _, err := splitNote(signed)
	if err != nil {
		return Checkpoint{}, &refusal{status: http.StatusBadRequest, words: "not a signed checkpoint"}
	}
	stated, err := ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, &refusal{status: http.StatusBadRequest, words: "not a checkpoint"}
	}
	keys := w.Logs[stated.Origin]
	if len(keys) == 0 {
		return Checkpoint{}, &refusal{status: http.StatusNotFound, words: "unknown log"}
	}
	c, err := openCheckpoint(signed, keys...)
	switch muster.ErrorCode(err) {
	case "":
		return c, nil
	case muster.CodeInvalid:
		return Checkpoint{}, &refusal{status: http.StatusForbidden, words: "no good signature of a known key"}
	default:
		return Checkpoint{}, &refusal{status: http.StatusBadRequest, words: "not a signed checkpoint"}
	}
}

// parseSeen reads what this witness itself stored.
func parseSeen(seen []byte) (Checkpoint, error) {
	text, _, err := splitNote(seen)
	if err != nil {
		return Checkpoint{}, muster.Errorf(muster.CodeInternal, "the remembered checkpoint cannot be read: %w", err)
	}
	return ParseCheckpoint(text)
}

// formatAddCheckpoint writes the body of a request.
func formatAddCheckpoint(oldSize int64, proof merkle.TreeProof, signed []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", oldSize)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes()
}

// parseAddCheckpoint reads what formatAddCheckpoint writes. The checkpoint is not
// looked into.
func parseAddCheckpoint(body []byte) (oldSize int64, proof merkle.TreeProof, signed []byte, err error) {
	bad := muster.Errorf(muster.CodeMalformed, "not an add-checkpoint request")
	head, rest, ok := strings.Cut(string(body), "\n")
	size, isOld := strings.CutPrefix(head, "old ")
	if !ok || !isOld {
		return 0, nil, nil, bad
	}
	if oldSize, err = parseSize(size); err != nil {
		return 0, nil, nil, bad
	}
	for {
		line, after, ok := strings.Cut(rest, "\n")
		if !ok || len(proof) > maxProofLines {
			return 0, nil, nil, bad
		}
		rest = after
		if line == "" {
			break
		}
		h, err := parseHash(line)
		if err != nil {
			return 0, nil, nil, bad
		}
		proof = append(proof, h)
	}
	if len(proof) > maxProofLines {
		return 0, nil, nil, bad
	}
	return oldSize, proof, []byte(rest), nil
}
