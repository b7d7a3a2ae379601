package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/muster-cip/muster"
)

// deliver sends until it is answered: a server that is away may be on its way back, and
// what it took before is there.
func (r *remote) deliver(ctx context.Context, c *client, path string, body, out any, headers ...string) error {
	wait := 250 * time.Millisecond
	for try := 1; ; try++ {
		_, err := c.call(ctx, http.MethodPost, path, body, out, headers...)
		var e *muster.Error
		if err == nil || !errors.As(err, &e) || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		switch e.Code {
		case muster.CodeUnavailable, muster.CodeRateLimited, muster.CodeNoSpace, muster.CodeInternal:
		default:
			return err
		}
		if try >= ingestTries {
			return err
		}
		if try == 1 {
			fmt.Fprintln(r.err, "put off:", printable(e.Message))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}
