package store

import (
	"context"

	"github.com/muster-cip/muster"
)

func openPostgres(_ context.Context, _ Config, _ migrations) (backend, error) {
	return nil, muster.Errorf(muster.CodeUnavailable, "PostgreSQL is not here yet")
}
