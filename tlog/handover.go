package tlog

import (
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

// The log's key is handed over by a checkpoint with one extension line, which names
// the next key, signed by both: the old key says who comes after it, the new one that
// its holder agreed. Two signatures under a checkpoint alone say nothing: anybody can
// put their own beneath one that is published.

// nextKey begins the extension line of a hand-over.
const nextKey = "next-key "

// SignHandover signs c with the key in use and the one that comes after it. next is
// the public half of the latter.
func SignHandover(c Checkpoint, next string, old, fresh note.Signer) ([]byte, error) {
	c.Origin = old.Name()
	signed, err := note.Sign(&note.Note{Text: c.Text() + nextKey + next + "\n"}, old, fresh)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the hand-over cannot be signed: %w", err)
	}
	return signed, nil
}

// OpenHandover reads a hand-over that the old key signed and returns the next key.
// Errors: as of OpenCheckpoint, and invalid where the next key did not sign, too.
func OpenHandover(signed []byte, old note.Verifier) (next note.Verifier, c Checkpoint, err error) {
	if c, err = OpenCheckpoint(signed, old); err != nil {
		return nil, c, err
	}
	text, _, err := splitNote(signed)
	if err != nil {
		return nil, c, err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	public, ok := strings.CutPrefix(lines[len(lines)-1], nextKey)
	if len(lines) != 4 || !ok {
		return nil, c, muster.Errorf(muster.CodeMalformed, "not a hand-over of the log's key")
	}
	if next, err = NewLogVerifier(public); err != nil {
		return nil, c, err
	}
	if _, err := OpenCheckpoint(signed, next); err != nil {
		return nil, c, muster.Errorf(muster.CodeInvalid, "the next key did not sign the hand-over")
	}
	return next, c, nil
}

// SplitHandovers takes a file of hand-overs apart: notes one after another, with an
// empty line between them.
func SplitHandovers(file []byte) (all [][]byte, err error) {
	rest := string(file)
	for strings.TrimSpace(rest) != "" {
		_, sigs, ok := strings.Cut(rest, "\n\n")
		if !ok {
			return nil, muster.Errorf(muster.CodeMalformed, "not a file of hand-overs")
		}
		n := len(rest) - len(sigs)
		for strings.HasPrefix(rest[n:], "— ") {
			end := strings.IndexByte(rest[n:], '\n')
			if end < 0 {
				return nil, muster.Errorf(muster.CodeMalformed, "not a file of hand-overs")
			}
			n += end + 1
		}
		all = append(all, []byte(rest[:n]))
		rest = strings.TrimPrefix(rest[n:], "\n")
	}
	return all, nil
}

// follow leads from a key by hand-overs, in whatever order, to another: the keys on
// the way, the first and the last among them.
func follow(from, to note.Verifier, handovers [][]byte) ([]note.Verifier, error) {
	way := []note.Verifier{from}
	for range handovers {
		at := way[len(way)-1]
		if sameVerifier(at, to) {
			return way, nil
		}
		var next note.Verifier
		for _, h := range handovers {
			v, _, err := OpenHandover(h, at)
			if err == nil {
				next = v
				break
			}
			if wrong := (*muster.Error)(nil); errors.As(err, &wrong) && wrong.Code == muster.CodeMalformed {
				return nil, err
			}
		}
		if next == nil {
			break
		}
		way = append(way, next)
	}
	if !sameVerifier(way[len(way)-1], to) {
		return nil, wrong("the bundle names another key of the log than you do, and no hand-over leads to it")
	}
	return way, nil
}

func sameVerifier(a, b note.Verifier) bool {
	return a.Name() == b.Name() && a.KeyHash() == b.KeyHash()
}
