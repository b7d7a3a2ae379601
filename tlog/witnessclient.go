package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

// Doer sends a request: *http.Client, and the house's one client for going outside.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// WitnessClient asks one witness for cosignatures.
type WitnessClient struct {
	Prefix  string // submission prefix: URL without /add-checkpoint
	Witness *CosignatureVerifier
	HTTP    Doer
}

// SizeConflict is the cause of an error of code conflict: the witness last
// cosigned another size than the one stated.
type SizeConflict struct{ Size int64 }

func (e *SizeConflict) Error() string { return fmt.Sprintf("the witness is at size %d", e.Size) }

const maxAnswerBytes = 64 << 10

// AddCheckpoint posts a signed checkpoint with a proof from oldSize, and returns
// the checkpoint with the witness's cosignature added. Errors: conflict, with a
// *SizeConflict as cause; forbidden where the witness does not know log or key;
// invalid where it refuses the proof or its answer has no good cosignature;
// unavailable where it is away.
func (c *WitnessClient) AddCheckpoint(ctx context.Context, oldSize int64, proof merkle.TreeProof, signed []byte) ([]byte, error) {
	body := formatAddCheckpoint(oldSize, proof, signed)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Prefix, "/")+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "the witness's address is not a URL: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the witness cannot be reached: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err != nil || len(answer) > maxAnswerBytes {
		return nil, muster.Errorf(muster.CodeUnavailable, "the witness's answer cannot be read: %w", err)
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusConflict:
		size, err := parseSize(strings.TrimSuffix(string(answer), "\n"))
		if err != nil {
			return nil, muster.Errorf(muster.CodeUnavailable, "the witness answers conflict without a size")
		}
		return nil, muster.Errorf(muster.CodeConflict, "the witness has seen another size of the log: %w", &SizeConflict{size})
	case http.StatusNotFound, http.StatusForbidden:
		return nil, muster.Errorf(muster.CodeForbidden, "the witness does not know the log or its key")
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return nil, muster.Errorf(muster.CodeInvalid, "the witness refuses the checkpoint (%d)", res.StatusCode)
	default:
		return nil, muster.Errorf(muster.CodeUnavailable, "the witness answers %d", res.StatusCode)
	}
	text, _, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	if c.Witness.find(text, string(answer)) == "" {
		return nil, muster.Errorf(muster.CodeInvalid, "the witness's answer holds no good cosignature of its key")
	}
	return MergeCosignatures(signed, answer, c.Witness)
}

// Collect asks for a cosignature on c, with the proof from what the witness last
// saw, which it tells. lastSize is a guess, 0 where nothing is known.
func (c *WitnessClient) Collect(ctx context.Context, p *Prover, lastSize int64, cp Checkpoint) ([]byte, error) {
	// One retry is for the guess, one for another process asking at the same time.
	for try := 0; ; try++ {
		proof, err := p.Consistency(ctx, min(lastSize, cp.Size), cp.Size)
		if err != nil {
			return nil, err
		}
		signed, err := c.AddCheckpoint(ctx, min(lastSize, cp.Size), proof, cp.Signed)
		at, conflict := conflictSize(err)
		if !conflict || try == 2 {
			return signed, err
		}
		if at > cp.Size {
			return nil, muster.Errorf(muster.CodeConflict, "the witness has seen a longer log than this checkpoint: %w", &SizeConflict{at})
		}
		if at == lastSize {
			return nil, muster.Errorf(muster.CodeConflict, "the witness has seen another log of this size under our name: %w", &SizeConflict{at})
		}
		lastSize = at
	}
}

func conflictSize(err error) (int64, bool) {
	var c *SizeConflict
	if errors.As(err, &c) {
		return c.Size, true
	}
	return 0, false
}
