// Package edge follows the centre's gate from a machine of its own: a signed
// snapshot, then changes, kept over a restart in a sealed cache.
//
// Rules of this room:
//   - It believes what the centre's key has signed and nothing else: not the
//     connection, not the disk, not the order in which messages come.
//   - What it refuses changes nothing: the last good state stays in force, and the
//     refusal is in the status, the metrics and the log, by one of the words below.
//   - (epoch, sequence) never falls. A higher epoch is taken from a whole snapshot
//     alone, and from then on the lower one is refused.
//   - It holds hashes, profiles and their words. No personal data comes here, and
//     the credential it has reads none.
package edge
