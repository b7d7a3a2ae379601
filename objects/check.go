package objects

import (
	"bytes"
	"context"

	"github.com/muster-cip/muster"
)

// store is what check needs: a Dir or an S3.
type store interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	Delete(ctx context.Context, name string) error
}

// check puts an object that is nothing, reads it back, deletes it, and looks whether
// it is gone: all that anybody will ask of the storage.
func check(ctx context.Context, s store, name string, data []byte) error {
	if err := s.Put(ctx, name, data); err != nil {
		return err
	}
	back, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return muster.Errorf(muster.CodeUnavailable, "the storage gives back other bytes than it was given")
	}
	if err := s.Delete(ctx, name); err != nil {
		return err
	}
	if _, err := s.Get(ctx, name); muster.ErrorCode(err) != muster.CodeNotFound {
		return muster.Errorf(muster.CodeUnavailable, "the storage still has an object that was deleted: is the bucket versioned or locked?")
	}
	return nil
}
