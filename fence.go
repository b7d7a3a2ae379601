package muster

import "context"

// Fence is what a standing duty of one process is entitled by: a job that it took, or
// a lease that it holds. The next holder's number is higher, and the store refuses what
// is written under a number that is not the latest: a process that slept through the
// end of its lease writes nothing.
type Fence struct {
	Job   string // id of the job; "" where it is a lease
	Lease string // name of the lease; "" where it is a job
	Fence int64
}

type fenceKey struct{}

// WithFence has every transaction that is opened under ctx hold f to its end, beside
// what ctx holds already, or fail with CodeStale.
func WithFence(ctx context.Context, f Fence) context.Context {
	had := FencesOf(ctx)
	return context.WithValue(ctx, fenceKey{}, append(had[:len(had):len(had)], f))
}

// WithoutFence is for what has happened already and is recorded whoever did it.
func WithoutFence(ctx context.Context) context.Context {
	if len(FencesOf(ctx)) == 0 {
		return ctx
	}
	return context.WithValue(ctx, fenceKey{}, []Fence(nil))
}

// FencesOf are those that transactions under ctx hold.
func FencesOf(ctx context.Context) []Fence {
	f, _ := ctx.Value(fenceKey{}).([]Fence)
	return f
}
