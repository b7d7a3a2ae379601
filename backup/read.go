package backup

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
)

// name is the keyed digest of a part's content.
func (s *Store) name(content []byte) string {
	h := hmac.New(sha256.New, s.head.Salt)
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// Check reads every sealed part of a copy and compares it with its sum; it needs no
// identity. It returns how many bytes it read.
func (s *Store) Check(ctx context.Context, c *Copy) (int64, error) {
	var read atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(atOnce)
	for _, f := range c.Files {
		for i, p := range f.Parts {
			work.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := s.check(p)
				read.Add(n)
				if err != nil {
					return fmt.Errorf("%s, part %d: %w", f.Name, i, err)
				}
				return nil
			})
		}
	}
	err := work.Wait()
	return read.Load(), err
}

// check reads a sealed part and compares it with its sum.
func (s *Store) check(p Part) (int64, error) {
	sum, n, err := s.sum(p.ID)
	if err == nil && sum != p.Sum {
		err = muster.Errorf(muster.CodeInvalid, "it is not what was written")
	}
	return n, err
}

// sum reads the sealed part of that name.
func (s *Store) sum(id string) (sum string, n int64, err error) {
	f, err := os.Open(s.partPath(id))
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// holds reports whether a part is there as it was written.
func (s *Store) holds(p Part) bool {
	_, err := s.check(p)
	return err == nil
}

// opened is a part's content, or why there is none.
type opened struct {
	content *bytes.Buffer
	err     error
}

// Read writes the content of a file of a copy to w. Parts are opened ahead.
func (s *Store) Read(ctx context.Context, f *File, identities []age.Identity, w io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	buffers := sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, partBytes+bytes.MinRead)) }}
	ahead := make(chan chan opened, atOnce)
	go func() {
		defer close(ahead)
		for _, p := range f.Parts {
			one := make(chan opened, 1)
			select {
			case ahead <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				o := opened{content: buffers.Get().(*bytes.Buffer)}
				o.content.Reset()
				o.err = s.open(p, identities, o.content)
				one <- o
			}()
		}
	}()
	size, i := int64(0), 0
	for one := range ahead {
		o := <-one
		if o.err != nil {
			return fmt.Errorf("%s, part %d: %w", f.Name, i, o.err)
		}
		if _, err := w.Write(o.content.Bytes()); err != nil {
			return err
		}
		size += int64(o.content.Len())
		buffers.Put(o.content)
		i++
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if size != f.Size {
		return muster.Errorf(muster.CodeInvalid, "%s has %d bytes and should have %d", f.Name, size, f.Size)
	}
	return nil
}

// open opens a part. Its content is what its name is a digest of, or it is an error.
func (s *Store) open(p Part, identities []age.Identity, content *bytes.Buffer) error {
	f, err := os.Open(s.partPath(p.ID))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := age.Decrypt(f, identities...)
	if none := new(age.NoIdentityMatchError); errors.As(err, &none) && s.holds(p) { // an altered header matches nobody either
		return muster.Errorf(muster.CodeInvalid, "it does not open with this identity: %w", err)
	}
	if err == nil {
		_, err = content.ReadFrom(io.LimitReader(r, partBytes+1))
	}
	if err != nil || s.name(content.Bytes()) != p.ID {
		return muster.Errorf(muster.CodeInvalid, "it is not what was written")
	}
	return nil
}
