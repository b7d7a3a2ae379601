package watch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/tlog"
)

// Announcer puts a head where readers outside find it, beside its tiles.
type Announcer interface {
	Announce(ctx context.Context, signed []byte) error
}

// BookConfig of a Book. Announcer, Witnesses and SendTo may be empty; the rest is required.
type BookConfig struct {
	Publisher *tlog.Publisher
	Announcer Announcer
	Key       func() (string, error) // the log's public key, as it is now
	Witnesses []tlog.WitnessClient
	SendTo    string    // https URL or file that the daily checkpoint goes to
	Client    tlog.Doer // for SendTo
	Clock     muster.Clock
}

// Book is the log outside the deciding transaction: it publishes heads, proves
// leaves, has witnesses cosign, and sends a head out of the house once a day.
// Any number of processes may do so.
type Book struct {
	BookConfig
	prover *tlog.Prover

	mu   sync.Mutex
	seen map[string]int64 // size that each witness last cosigned
	sent string           // day of the last checkpoint that was sent

	tiles     bool   // those of the head were there when this process looked
	announced []byte // the last head
}

// NewBook makes a Book.
func NewBook(c BookConfig) *Book {
	return &Book{BookConfig: c, prover: tlog.NewProver(c.Publisher.Tiles), seen: map[string]int64{}}
}

// overtaken is how often a publication is tried that another process overtook.
const overtaken = 5

// Publish signs what is new. The first time it looks whether the tiles of the head are
// there, and makes them anew where they were lost, or are to lie elsewhere now.
func (b *Book) Publish(ctx context.Context) (cp tlog.Checkpoint, err error) {
	b.mu.Lock()
	looked := b.tiles
	b.mu.Unlock()
	if !looked {
		if _, err := b.Publisher.Ensure(ctx); err != nil {
			return cp, err
		}
		b.mu.Lock()
		b.tiles = true
		b.mu.Unlock()
	}
	for range overtaken {
		if cp, err = b.Publisher.Publish(ctx); muster.ErrorCode(err) != muster.CodeConflict {
			return cp, err
		}
	}
	return cp, err
}

// Announce puts the newest head beside its tiles, where there is a place for it.
func (b *Book) Announce(ctx context.Context) error {
	b.mu.Lock()
	looked, last := b.tiles, b.announced
	b.mu.Unlock()
	if b.Announcer == nil || !looked {
		return nil
	}
	head, err := b.Checkpoint(ctx)
	if muster.ErrorCode(err) == muster.CodeNotFound || err == nil && bytes.Equal(head, last) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.Announcer.Announce(ctx, head); err != nil {
		return err
	}
	b.mu.Lock()
	b.announced = head
	b.mu.Unlock()
	return nil
}

// Complete proves a bundle's leaf against the newest head, which is published
// first where the leaf is younger. sizes are of checkpoints that the reader holds.
func (b *Book) Complete(ctx context.Context, bundle *tlog.Bundle, sizes ...int64) error {
	cp, err := b.Publish(ctx)
	if err != nil {
		return err
	}
	leaves, err := b.Publisher.Leaves.Leaves(ctx, bundle.Index, bundle.Index+1)
	if err != nil {
		return err
	}
	if len(leaves) != 1 {
		return muster.Errorf(muster.CodeInternal, "the leaf of this decision is missing")
	}
	bundle.Leaf = leaves[0]
	if bundle.Key, err = b.Key(); err != nil {
		return err
	}
	return b.prover.Complete(ctx, bundle, cp, sizes...)
}

// Checkpoint is the newest signed head, with its cosignatures.
func (b *Book) Checkpoint(ctx context.Context) ([]byte, error) {
	signed, err := b.Publisher.Heads.Head(ctx)
	if err == nil && len(signed) == 0 {
		return nil, muster.Errorf(muster.CodeNotFound, "nothing is published yet")
	}
	return signed, err
}

// Tile is the tile under a C2SP path.
func (b *Book) Tile(ctx context.Context, path string) ([]byte, error) {
	return b.Publisher.Tiles.Tile(ctx, path)
}

// Cosign asks every witness that has not cosigned the newest head. One that is away
// is asked again next time; the others' cosignatures are kept all the same.
func (b *Book) Cosign(ctx context.Context) error {
	if len(b.Witnesses) == 0 {
		return nil
	}
	head, err := b.Checkpoint(ctx)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	keys, err := b.Publisher.Keys()
	if err != nil {
		return err
	}
	cp, err := tlog.OpenCheckpoint(head, keys.Verifiers...)
	if err != nil {
		return err
	}
	signed, failed := head, error(nil)
	for i := range b.Witnesses {
		w := &b.Witnesses[i]
		b.mu.Lock()
		last := b.seen[w.Prefix]
		b.mu.Unlock()
		if last == cp.Size {
			continue
		}
		answer, err := w.Collect(ctx, b.prover, last, cp)
		if err == nil {
			signed, err = tlog.MergeCosignatures(signed, answer, w.Witness)
		}
		if err != nil {
			failed = err
			continue
		}
		b.mu.Lock()
		b.seen[w.Prefix] = cp.Size
		b.mu.Unlock()
	}
	if bytes.Equal(signed, head) {
		return failed
	}
	// A head that grew meanwhile is cosigned in the next round.
	if err := b.Publisher.Heads.SetHead(ctx, head, signed); err != nil && muster.ErrorCode(err) != muster.CodeConflict {
		return err
	}
	return failed
}

// SendOut sends the newest head outside once a day (UTC), so that even the
// provider cannot rewrite what was before. Called often; a day's first call sends.
func (b *Book) SendOut(ctx context.Context) error {
	day := b.Clock().UTC().Format(time.DateOnly)
	b.mu.Lock()
	done := b.sent == day
	b.mu.Unlock()
	if done || b.SendTo == "" {
		return nil
	}
	head, err := b.Checkpoint(ctx)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(b.SendTo, "https://") {
		err = b.post(ctx, head)
	} else {
		err = appendSynced(b.SendTo, append(head, '\n'))
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.sent = day
	b.mu.Unlock()
	return nil
}

func (b *Book) post(ctx context.Context, head []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.SendTo, bytes.NewReader(head))
	if err != nil {
		return muster.Errorf(muster.CodeInvalid, "the address for checkpoints is not a URL: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := b.Client.Do(req)
	if err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the receiver of checkpoints cannot be reached: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 300 {
		return muster.Errorf(muster.CodeUnavailable, "the receiver of checkpoints answers %d", res.StatusCode)
	}
	return nil
}

// appendSynced appends to a file that others take away, and syncs it.
func appendSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the file for checkpoints cannot be opened: %w", err)
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return muster.Errorf(muster.CodeUnavailable, "the file for checkpoints cannot be written: %w", err)
	}
	return nil
}
