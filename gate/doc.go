// Package gate answers "may this account do this, now?" from memory.
//
// Rules of this room:
//   - A Snapshot does not change. A delta makes a new one that shares all but the
//     few kilobytes that it touches; readers hold an atomic pointer and no lock.
//   - Nothing in it is personal. An account is 16 bytes: a keyed hash of the
//     provider's own reference. What is said of it stands in a profile that it
//     shares with all accounts of which the same is said.
//   - A profile is a list of instants: a measure, a limit or an end takes effect at
//     its instant in every process that holds it, without a message.
//   - Decide allocates nothing, reads no clock and asks no one.
//   - An account that is not known, and any account once the last head is older than
//     its bound, is answered by the pack's fail table. What an old snapshot denies
//     stays denied.
//   - Every message is a signed head with or without a body. The state of a sequence
//     number is one state: its digest is a sum over the accounts, so that any process
//     of the centre can serve any follower (docs/formats/gate.md).
//
// A provider's own Go service may embed a Gate; this package is promised to stay.
package gate
