package main

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/store"
)

// asked keeps in the store what the gate answered, here and at edges.
type asked struct{ h *house }

func (s asked) PutGateBatch(ctx context.Context, source string, b *muster.GateBatch) error {
	return s.h.db.InTx(ctx, func(tx *store.Tx) error { return tx.PutGateBatch(ctx, source, b) })
}

func (s asked) ListGateRecords(ctx context.Context, account string, p muster.Page) ([]*muster.GateRecord, error) {
	return view(ctx, s.h.db, func(tx *store.Tx) ([]*muster.GateRecord, error) {
		if account == "" {
			return tx.GateRecords(ctx, nil, p)
		}
		a, err := tx.Account(ctx, account)
		reference := account
		if err == nil {
			reference = a.Reference
		} else if muster.ErrorCode(err) != muster.CodeNotFound {
			return nil, err
		}
		snap, _ := s.h.gate.Load()
		if snap == nil {
			return nil, muster.Errorf(muster.CodeUnavailable, "the gate has no snapshot yet")
		}
		hash := snap.Key().Hash(reference)
		return tx.GateRecords(ctx, hash[:], p)
	})
}

// ownAnswers are those of this process.
type ownAnswers struct{ asked }

func (s ownAnswers) PutGateBatch(ctx context.Context, b *muster.GateBatch) error {
	return s.asked.PutGateBatch(ctx, "", b)
}

// serveEnvoy answers Envoy by gRPC until ctx ends; "" serves nothing.
func serveEnvoy(ctx context.Context, listen string, e *ask.Envoy, ready func(net.Addr)) error {
	if listen == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	s := ask.NewGRPC(e)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.GracefulStop()
	}()
	if ready != nil {
		ready(l.Addr())
	}
	err = s.Serve(l)
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) {
		<-stopped
		return nil
	}
	return err
}
