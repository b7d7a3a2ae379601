// Package vault holds every key and opens every personal value; nothing else in
// the house touches either.
//
// Rules of this room:
//   - Two doors, nothing else opens a value: Reveal (a value leaves the process
//     or is shown: one durable leaf before it is opened) and Use (a job computes
//     inside the process: one leaf at its start, one at its end). A Key in a
//     caller's hands can seal, never open.
//   - Root key (KMS) -> epoch keys -> one key per subject, and per piece of evidence:
//     both are subject keys here. Static keys (one PRF key per kind of value, and one
//     key for each other use) are wrapped by the root key too. They are one set: it is
//     replaced whole or not at all, and a check value over it makes a lost, added or
//     altered key an error at Open.
//   - Everything sealed or wrapped names its place in its associated data,
//     deployment first: no ciphertext opens in another's place, not even an older
//     revision of itself.
//   - No deterministic encryption and no bare hash of a personal value. Look-ups go
//     through Digest, which needs the key of its kind.
//   - Keys are made ahead and are durable before one can be taken: a crash leaves
//     unused keys, never data without a key.
//   - No key and no value in an error, a String or a log line: Key prints its id.
//   - This room writes nothing but the key store. It returns blobs and rows, which
//     the caller writes in its own transaction.
//
// What a stolen copy gives is in docs/keys.md, a row for each key.
//
// Memory: Go cannot promise that a key is wiped. Forgotten keys are unreachable at
// once and their memory is reused by the runtime; keep swap and core dumps off.
package vault
