package vault

import "context"

// KMS keeps the root key. It wraps a few dozen short keys (at most 64 bytes) and is
// called at Open and at rotations, never while an application is taken.
type KMS interface {
	// Wrap encrypts plain so that it opens only with the same ad.
	Wrap(ctx context.Context, plain, ad []byte) ([]byte, error)
	// Unwrap opens what Wrap made. It fails when root key, wrapped or ad differ.
	Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error)
	// ID names the root key; it stays the same when the key turns and holds no secret.
	ID() string
}

// Turner is a KMS whose root key can turn, so that what an old backup of the key
// store holds does not open any more. Without it an epoch's end destroys the epoch
// key in the live store, but not in backups of the key store.
type Turner interface {
	// Next makes Wrap use a root key that is newer than all it has seen.
	Next(ctx context.Context) error
	// Shed destroys every root key older than those that the given wraps need. They
	// are all that must still open. With nothing to destroy it does nothing.
	Shed(ctx context.Context, wraps [][]byte) error
}
